"""Every query of the wire. Functions take a connection first; rows go in and records or plain dicts come out.

engine     transactions on SQLite or PostgreSQL
claims     leases: who works on which row
lanes      hosts, endpoints and the planner as rows
intake     sources, entries, pages
articles   articles, revisions, annotations
events     the numbered event log
partners   partners, endpoints, deliveries, attempts
similar    postings and fingerprints
ledger     the two books
"""
