"""Ingest: pulls news pages and cleans them into records."""
