"""What a host allows: its robots.txt asked for once a day, kept in the store, and the decision for one URL.

ask   url -> Decision: allowed or not, why, and the gap between requests that the host asks for
"""

from __future__ import annotations

import datetime as dt

from services.ingest import fetch, robots
from shared import clock, queue, urls
from shared.errors import Retryable
from shared.records import from_json, to_json
from shared.store import intake

FRESH = dt.timedelta(hours=24)
SILENT = dt.timedelta(minutes=10)  # until a host whose robots.txt could not be read is asked again

_known: dict[str, tuple[dt.datetime, robots.Rules]] = {}
MOST_KNOWN = 10_000


def ask(url: str) -> robots.Decision:
    """Whether the URL may be fetched.

    Raises:
        Retryable: robots.txt cannot be read at present, which forbids everything until it can.
    """
    rules = _rules(urls.host_key(url), url, clock.now())
    decision = robots.decide(rules, url, queue.user_agent(queue.SETTINGS))
    if rules.access == "disallow-all":
        raise Retryable("robots-unreachable", decision.why)
    return decision


def gap_s(host: str, url: str | None) -> float:
    """Seconds between two requests to a host: ours, or the longer gap that its robots.txt asks for, as far as it is known."""
    cfg = queue.SETTINGS.fetch
    own_s = cfg.hosts[host].gap_s if host in cfg.hosts else None
    asked_s = _asked_s(host, url) if cfg.robots and url else 0.0
    return max(cfg.gap_s if own_s is None else own_s, asked_s)


def at_once(host: str) -> int:
    """How many requests may be in flight to a host."""
    cfg = queue.SETTINGS.fetch
    own = cfg.hosts[host].at_once if host in cfg.hosts else None
    return max(1, cfg.at_once if own is None else own)


def _asked_s(host: str, url: str) -> float:
    known = _known.get(host)
    if known is None:
        return 0.0
    return robots.decide(known[1], url, queue.user_agent(queue.SETTINGS)).crawl_delay_s or 0.0


def _rules(host: str, url: str, now: dt.datetime) -> robots.Rules:
    until, rules = _known.get(host) or _stored(host) or (now, None)
    if rules is None or until <= now:
        until, rules = _fetched(host, url, now)
    if len(_known) > MOST_KNOWN:
        _known.clear()
    _known[host] = until, rules
    return rules


def _stored(host: str) -> tuple[dt.datetime, robots.Rules] | None:
    with queue.store().read() as connection:
        row = intake.robots(connection, host)
    if row is None:
        return None
    rules = from_json(row["rules"], robots.Rules)
    return _until(row["asked_at"], rules), rules


def _fetched(host: str, url: str, now: dt.datetime) -> tuple[dt.datetime, robots.Rules]:
    with queue.store().read() as connection:
        before = intake.robots(connection, host)
    silent_s = (now - before["read_at"]).total_seconds() if before and before["read_at"] else 0.0
    rules = fetch.rules(queue.door(), url, failing_s=silent_s)
    with queue.begin() as work:
        intake.keep_robots(work.connection, host, to_json(rules), now, read=rules.access != "disallow-all")
    return _until(now, rules), rules


def _until(asked_at: dt.datetime, rules: robots.Rules) -> dt.datetime:
    return asked_at + (SILENT if rules.access == "disallow-all" else FRESH)
