"""Enrich: what an article is about, and what it belongs with."""
