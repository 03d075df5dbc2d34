"""What the services share: records, the pipeline's map, the store, the queue, and the only door out."""
