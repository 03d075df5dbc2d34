"""Publish: every partner gets every update, once, in order, in its own format."""
