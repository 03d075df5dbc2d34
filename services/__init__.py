"""Briefwire's services, and the way of one article through them.

    feed, sitemap, section page | ingest.poll      # entries never seen before become rows
      | ingest.fetch                               # a host's lane, politely: the bytes and the row `fetched`
      | ingest.extract                             # bytes -> Draft -> Article: an immutable revision
      | enrich.enrich                              # language, duplicates, story, similar, sections -> the event log
      | publish.plan                               # who gets it, and why not: one delivery row an endpoint
      | publish.deliver                            # an endpoint's lane: render, sign, send, judge, keep the attempt

Every bar is a row in the database and a doorbell in Redis (`shared.pipeline` draws who wakes whom); the row is the truth,
the doorbell may be lost. `services.supervisor` runs all of it; `services.console` is where people look and steer.
"""
