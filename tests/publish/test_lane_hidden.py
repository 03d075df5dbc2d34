"""What a held article must not do: travel to partners inside another article's links."""

from __future__ import annotations

import datetime as dt

from services.publish import lane
from shared import records
from shared.store import articles, events, partners
from shared.store.engine import Store
from tests.shared.test_store import NOW, event, new_article, new_partner, new_source, plan_all


def test_a_held_article_is_in_nobodys_links(store: Store) -> None:
    with store.write() as c:
        source = new_source(c)
        shown, held, told = (new_article(c, source, n) for n in (1, 2, 3))
        articles.set_article(c, held, held=True)
        similar = tuple(
            records.Similar(other, other, None, "related", 0.5, "postings", "1", NOW.isoformat())
            for other in (shown, held)
        )
        found = articles.revision(c, told)
        assert found is not None
        articles.annotate(c, [(found[0], records.Annotations(similar=similar))])
        endpoint = new_partner(c)
        events.append(c, [event(told)], NOW)
        plan_all(c, endpoint)
        rows = lane.with_contents(c, partners.sendable(c, endpoint, NOW, 10), NOW)
        assert [one.article_id for one in lane.render_input(rows[0]).annotations.similar] == [shown]
        articles.set_article(c, held, held=False, embargo_until=NOW + dt.timedelta(hours=1))
        rows = lane.with_contents(c, partners.sendable(c, endpoint, NOW, 10), NOW)
        assert [one.article_id for one in lane.render_input(rows[0]).annotations.similar] == [shown]
        rows = lane.with_contents(c, partners.sendable(c, endpoint, NOW, 10), NOW + dt.timedelta(hours=2))
        assert [one.article_id for one in lane.render_input(rows[0]).annotations.similar] == [shown, held]
