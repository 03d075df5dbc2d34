"""Console: where operators look and steer: the command line, the pages, the demo."""
