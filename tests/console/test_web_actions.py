"""Every action of the desk: what it changes, that it says so, and that the audit says who; on both databases."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from services.console import actions
from services.console.actions import ACTIONS, Done
from shared import clock, feeder, vault
from shared.errors import OperatorError
from shared.models import ArticleRow, DeliveryRow, EntryRow, LaneRow
from shared.store import articles, events, installation, intake, lanes, ledger, partners, quarantine, switches, workers
from shared.store import desk as rows
from shared.store.engine import Store
from tests.console import desk_world
from tests.console.desk_world import Site, World

SECRET = bytes(range(32))


class Hand:
    """An operator's hand on the store: carries actions out as the desk does."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.rung: dict[str, list[Any]] = {}

    def do(self, name: str, target: str | int, reason: str = "a test", **fields: str) -> Done:
        with desk_world.work(self.store) as work:
            done = actions.perform(ACTIONS[name], work, "ilze", str(target), reason=reason, fields=fields, folder=self.folder,
                                   randomness=SECRET)  # fmt: skip
            self.rung = work.rings()
        return done

    def value(self, column: Any, *where: Any) -> Any:
        with self.store.read() as c:
            return c.execute(select(column).where(*where)).scalar_one()

    def article(self, article_id: str) -> dict[str, Any]:
        with self.store.read() as c:
            found = articles.get(c, article_id)
        assert found is not None
        return found


@pytest.fixture
def hand(store: Store, world: World, tmp_path: Path) -> Hand:
    return Hand(store, tmp_path)


def test_every_action_has_a_target_an_effect_and_a_line_in_the_audit(hand: Hand, world: World) -> None:
    fields = {"first": "1", "last": "9", "at_once": "2", "section": "Harbour", "into": world.other,
              "code": "medtop:04000000", "other": world.other, "scheme": "medtop",
              "until": (clock.now() + dt.timedelta(days=1)).isoformat()}  # fmt: skip
    fields |= {"url": "https://further.example/in", "filter": "words > 5", "days": "3", "per_minute": "60"}
    order = (
        "withdraw-article",
        "restore-article",
        "remove-endpoint",
        "resume-wire",
        "resume-stage",
        "take-back-category",
        "allow-link",
        "split-story",
    )  # they need their opposite first
    last = (
        "release-source",  # no source is held here
        "accept-source",
        "retry-entry",
        "drop-entry",
        "retry-group",
        "drop-group",
        "retry-query",
        "drop-query",
        "drop-delivery",
        "retry-delivery",
        "confirm-category",
        "reject-category",
    )  # nothing is suggested here
    for action in sorted(ACTIONS.values(), key=lambda a: (a.name in last, a.name in order)):
        target = world.targets()[action.kind]
        with hand.store.read() as c:
            subject = actions.subject_of(c, action.kind, target) if action.name not in last else None
        if subject is not None:
            named = subject.name.lower() in actions.effect(action, subject).lower()
            assert named or "{name}" not in action.effect, action.name
            hand.do(action.name, target, **fields)
            with hand.store.read() as c:
                line = rows.audits(c, action=action.name)[0]
            assert (line["who"], line["target"], line["reason"]) == ("ilze", subject.name, "a test")


def test_grave_actions_need_a_reason(hand: Hand, world: World) -> None:
    for action in ACTIONS.values():
        if action.needs_reason:
            with pytest.raises(OperatorError, match="reason is needed"):
                hand.do(action.name, world.targets()[action.kind], reason="  ")
        assert action.needs_reason or not action.grave


def test_a_failed_action_leaves_nothing(hand: Hand, world: World) -> None:
    with pytest.raises(OperatorError):
        hand.do("replay-partner", world.partner, first="9", last="1")
    with pytest.raises(OperatorError):
        hand.do("embargo-article", world.article, until="yesterday")
    with pytest.raises(OperatorError):
        hand.do("set-concurrency", world.partner, at_once="1000")
    with hand.store.read() as c:
        assert rows.audits(c, who="ilze") == []


def test_a_source_is_paused_resumed_and_polled(hand: Hand, world: World) -> None:
    hand.do("pause-source", world.source)
    with hand.store.read() as c:
        assert intake.due_sources(c, clock.now(), 5) == []
    with pytest.raises(OperatorError, match="paused"):
        hand.do("poll-source", world.source)
    hand.do("resume-source", world.source)
    assert hand.rung == {"source.due": [world.source]}
    hand.do("poll-source", world.source)
    with hand.store.read() as c:
        assert intake.due_sources(c, clock.now(), 5) == [world.source]


def test_a_host_is_paused_and_resumed(hand: Hand, world: World) -> None:
    key = lanes.host_lane(world.host)
    hand.do("pause-host", world.host)
    with hand.store.read() as c:
        assert lanes.due_lanes(c, "host", clock.now() + dt.timedelta(days=1), 5) == []
    hand.do("resume-host", world.host)
    assert hand.rung == {"host.due": [key]}
    assert hand.value(LaneRow.paused, LaneRow.key == key) is False


def test_a_partner_is_paused_and_resumed_with_its_breaker_closed(hand: Hand, world: World) -> None:
    key = lanes.endpoint_lane(world.partner)
    hand.do("pause-partner", world.partner)
    with hand.store.read() as c:
        assert lanes.due_lanes(c, "endpoint", clock.now(), 5) == []
        assert partners.endpoint(c, world.partner)["state"] == "paused"  # type: ignore[index]  # it is there
    with pytest.raises(OperatorError, match="paused"):
        hand.do("try-partner", world.partner)
    hand.do("resume-partner", world.partner)
    assert hand.rung == {"endpoint.due": [key]}
    with hand.store.read() as c:
        assert lanes.due_lanes(c, "endpoint", clock.now(), 5) == [key]
        row = lanes.get(c, key)
    assert row is not None
    assert (row["breaker"], row["failures"], row["blocked_until"]) == (None, 0, None)


def test_a_replay_sends_the_range_again_and_the_books_balance(hand: Hand, world: World) -> None:
    deliver(hand.store, world.partner, world.due)
    done = hand.do("replay-partner", world.partner, first="1", last="5")
    assert done.said.startswith("2 deliveries")
    with hand.store.read() as c:
        again = partners.sendable(c, world.partner, clock.now(), 10)
        assert [(row["webhook_id"], row["position"]) for row in again] == [
            ("msg_1", 1)
        ]  # the second waits for the first
        assert ledger.books(c).delivery[0].due == 2
        assert ledger.books(c).balanced


def test_a_rotated_secret_signs_beside_the_one_before(hand: Hand, world: World) -> None:
    with hand.store.read() as c:
        before = vault.unseal(hand.folder, partners.endpoint(c, world.partner)["secrets"])  # type: ignore[index]  # it is there
    done = hand.do("rotate-secret", world.partner)
    with hand.store.read() as c:
        kept = vault.unseal(hand.folder, partners.endpoint(c, world.partner)["secrets"])  # type: ignore[index]  # it is there
        audit = rows.audits(c, action="rotate-secret")
    assert kept == (done.secret, *before)
    assert done.secret not in repr(audit)


def deliver(store: Store, partner: int, delivery_id: int) -> None:
    """The partner takes the delivery."""
    with store.write() as c:
        partners.begin_attempts(c, [delivery_id])
        row = rows.delivery(c, delivery_id)
        assert row is not None
        partners.record(c, partner, [partners.Tried(row, "delivered", clock.now(), 5, status=200)])


def test_a_withdrawal_is_logged_first_of_all_and_once(hand: Hand, world: World) -> None:
    hand.do("withdraw-article", world.article)
    with hand.store.read() as c:
        logged = events.of_article(c, world.article)
    assert [(e.kind, e.revision) for e in logged][-1] == ("article.withdrawn", 2)
    assert hand.rung["event.logged"] == ["plan"]
    with pytest.raises(OperatorError, match="already"):
        hand.do("withdraw-article", world.article)


def test_what_is_held_waits_and_goes_out_at_a_new_position(hand: Hand, world: World) -> None:
    with hand.store.write() as c:  # nobody has begun to send it
        c.execute(update(DeliveryRow).where(DeliveryRow.id == world.due).values(begun=0))
    hand.do("hold-article", world.article)
    assert hand.value(DeliveryRow.state, DeliveryRow.id == world.due) == "held"
    assert hand.value(DeliveryRow.position, DeliveryRow.id == world.due) is None
    with hand.store.read() as c:
        assert ledger.books(c).balanced
    hand.do("release-article", world.article)
    assert hand.rung == {"endpoint.due": [lanes.endpoint_lane(world.partner)], "article.ingested": [world.article]}
    assert hand.value(DeliveryRow.position, DeliveryRow.id == world.due) == 3
    assert hand.article(world.article)["held"] is False
    with hand.store.read() as c:
        assert [row["id"] for row in partners.sendable(c, world.partner, clock.now(), 5)] == [world.due]
        assert ledger.books(c).balanced


def test_what_is_being_sent_counts_when_it_arrives_and_is_not_repeated_while_held(hand: Hand, world: World) -> None:
    with hand.store.write() as c:
        (row,) = [one for one in partners.deliveries_of(c, world.article) if one["id"] == world.due]
        assert partners.begin_attempts(c, [world.due]) == {world.due}
    hand.do("hold-article", world.article)
    for outcome, state in (("retry", "held"), ("delivered", "delivered")):
        with hand.store.write() as c:
            partners.record(c, world.partner, [partners.Tried(row, outcome, clock.now(), 5, status=200)])
            assert partners.sendable(c, world.partner, clock.now(), 5) == []
        assert hand.value(DeliveryRow.state, DeliveryRow.id == world.due) == state
    with hand.store.read() as c:
        assert ledger.books(c).balanced


def test_a_withdrawn_article_comes_back_to_who_was_told(hand: Hand, world: World) -> None:
    deliver(hand.store, world.partner, world.due)
    with pytest.raises(OperatorError, match="not withdrawn"):
        hand.do("restore-article", world.article)
    hand.do("withdraw-article", world.article)
    hand.do("restore-article", world.article)
    assert hand.article(world.article)["state"] == "usable"
    hand.do("withdraw-article", world.article)
    hand.do("restore-article", world.article)
    with hand.store.read() as c:
        last = events.of_article(c, world.article)[-4:]
    assert [(e.kind, e.occurrence) for e in last] == [
        ("article.withdrawn", 0), ("article.restored", 0), ("article.withdrawn", 1), ("article.restored", 1),
    ]  # fmt: skip


def test_an_embargo_lifts_by_itself(hand: Hand, store: Store, world: World) -> None:
    with store.write() as c:
        c.execute(update(DeliveryRow).where(DeliveryRow.id == world.due).values(begun=0))
    hand.do("embargo-article", world.article, until=(clock.now() + dt.timedelta(hours=1)).isoformat())
    with desk_world.work(store) as work:
        assert feeder.lift_embargoes(work) == 0
    assert hand.value(DeliveryRow.state, DeliveryRow.id == world.due) == "held"
    with store.write() as c:
        articles.set_article(c, world.article, embargo_until=clock.now() - dt.timedelta(seconds=1))
    with desk_world.work(store) as work:
        assert feeder.lift_embargoes(work) == 1
        assert work.rings() == {"endpoint.due": [lanes.endpoint_lane(world.partner)]}
    assert hand.value(DeliveryRow.state, DeliveryRow.id == world.due) == "due"
    assert hand.article(world.article)["embargo_until"] is None


def test_an_ended_embargo_does_not_release_what_is_held(hand: Hand, world: World, store: Store) -> None:
    hand.do("hold-article", world.article)
    with store.write() as c:
        articles.set_article(c, world.article, embargo_until=clock.now() - dt.timedelta(seconds=1))
    with desk_world.work(store) as work:
        assert feeder.lift_embargoes(work) == 1
    assert hand.article(world.article)["held"] is True


def test_a_persons_section_stands_above_others_and_partners_hear_of_it(hand: Hand, world: World) -> None:
    hand.do("recategorise-article", world.article, section="Harbour")
    hand.do("recategorise-article", world.article, section="Lagoon")
    with hand.store.read() as c:
        mine = [found.label for found in articles.categories_of(c, world.article) if found.method == "person"]
        revision = articles.revision(c, world.article)
        logged = [(e.kind, e.occurrence) for e in events.of_article(c, world.article) if e.revision == 2]
    assert mine == ["Lagoon"]
    assert revision is not None
    assert [found.label for found in revision[1].categories if found.method == "person"] == ["Lagoon"]
    assert logged == [("article.updated", 0), ("article.updated", 1), ("article.updated", 2)]


def test_stories_are_merged_and_left(hand: Hand, world: World) -> None:
    hand.do("merge-story", world.article, into=world.other)
    story = hand.article(world.other)["story_id"]
    assert hand.article(world.article)["story_id"] == story is not None
    hand.do("split-story", world.article)
    assert hand.article(world.article)["story_id"] not in (None, story)
    with pytest.raises(OperatorError, match="no other article"):
        hand.do("merge-story", world.article, into=world.article)


def test_a_dead_delivery_is_sent_again_unless_a_newer_one_arrived(hand: Hand, world: World) -> None:
    hand.do("retry-delivery", world.dead)
    assert hand.value(DeliveryRow.state, DeliveryRow.id == world.dead) == "due"
    assert hand.value(DeliveryRow.attempts, DeliveryRow.id == world.dead) == 0
    assert hand.rung == {"endpoint.due": [lanes.endpoint_lane(world.partner)]}
    desk_world.set_delivery(hand.store, world.dead, state="quarantined")
    deliver(hand.store, world.partner, world.due)
    assert "superseded" in hand.do("retry-delivery", world.dead).said
    assert hand.value(DeliveryRow.state, DeliveryRow.id == world.dead) == "superseded"


@pytest.mark.parametrize(("values", "words"), [
    ({"state": "withdrawn"}, "withdrawn"), ({"held": True}, "held"), ({"embargo_until": clock.now() + dt.timedelta(days=1)}, "held"),
])  # fmt: skip
def test_what_must_not_go_out_is_not_sent_again(hand: Hand, world: World, values: dict[str, Any], words: str) -> None:
    deliver(hand.store, world.partner, world.due)
    with hand.store.write() as c:
        articles.set_article(c, world.article, **values)
    for delivery in (world.dead, world.due):
        with pytest.raises(OperatorError, match=words):
            hand.do("retry-delivery", delivery)
    assert hand.do("replay-partner", world.partner, first="1", last="9").said.startswith("0 deliveries")
    hand.do("retry-group", f"delivery:{world.partner}:{group_reason(hand)}")
    with hand.store.read() as c:
        assert partners.sendable(c, world.partner, clock.now(), 9) == []
        assert ledger.books(c).balanced


def test_a_superseded_delivery_does_not_overtake_a_newer_one(hand: Hand, world: World) -> None:
    deliver(hand.store, world.partner, world.due)
    desk_world.set_delivery(hand.store, world.dead, state="superseded")
    assert "superseded" in hand.do("retry-delivery", world.dead).said
    assert hand.value(DeliveryRow.state, DeliveryRow.id == world.dead) == "superseded"


def group_reason(hand: Hand) -> str:
    """The reason that the quarantined deliveries stand under."""
    with hand.store.read() as c:
        return str(
            next(group["reason"] for group in quarantine.groups(c, quarantine.Query()) if group["kind"] == "delivery")
        )


def test_a_dropped_delivery_leaves_the_quarantine_and_the_books_balance(hand: Hand, world: World) -> None:
    hand.do("drop-delivery", world.dead)
    with hand.store.read() as c:
        assert rows.quarantine_size(c) == (1, 0)
        assert ledger.books(c).delivery[0].superseded == 1
        assert ledger.books(c).balanced
    with pytest.raises(OperatorError, match="not in quarantine"):
        hand.do("drop-delivery", world.dead)


def test_an_entry_is_taken_up_where_it_stopped(hand: Hand, world: World) -> None:
    hand.do("retry-entry", world.bad_entry)
    assert hand.value(EntryRow.step, EntryRow.id == world.bad_entry) == "fetch"
    assert hand.rung == {"host.due": [lanes.host_lane(world.host)]}
    with hand.store.write() as c:
        page = desk_world.page_ids(hand.store)[0]
        c.execute(
            update(EntryRow).where(EntryRow.id == world.bad_entry).values(state="quarantined", step=None, page_id=page)
        )
    hand.do("retry-entry", world.bad_entry)
    assert hand.value(EntryRow.step, EntryRow.id == world.bad_entry) == "extract"
    assert hand.rung == {"page.fetched": [world.bad_entry]}
    with hand.store.write() as c:
        c.execute(
            update(EntryRow).where(EntryRow.id == world.bad_entry).values(state="quarantined", page_id=None, host=None)
        )
    with pytest.raises(OperatorError, match="no link"):
        hand.do("retry-entry", world.bad_entry)


def test_a_dropped_entry_stands_in_the_book_as_gone(hand: Hand, world: World) -> None:
    hand.do("drop-entry", world.bad_entry, reason="spam")
    with hand.store.read() as c:
        row = rows.entry(c, world.bad_entry)
        line = ledger.books(c).intake[0]
    assert row is not None
    assert (row["state"], row["reason"], row["detail"]) == ("gone", "dropped", "spam")
    assert (line.gone, line.quarantined, line.balanced) == (1, 0, True)


@pytest.mark.parametrize(("name", "left"), [("retry-group", (0, 1)), ("drop-group", (0, 1))])
def test_a_group_is_moved_at_once(hand: Hand, world: World, name: str, left: tuple[int, int]) -> None:
    hand.do(name, world.targets()["group"])
    with hand.store.read() as c:
        assert rows.quarantine_size(c) == left
        (group,) = quarantine.groups(c, quarantine.Query())
    hand.do(name, f"delivery:{group['owner_id']}:{group['reason']}")
    with hand.store.read() as c:
        assert quarantine.groups(c, quarantine.Query()) == []
        assert ledger.books(c).balanced


def test_the_desk_carries_actions_out_and_goes_back(site: Site, world: World, store: Store) -> None:
    operator = site.visitor("operator")
    shown = operator.get(f"/do/pause-source/{world.source}?back=/sources").text
    assert "is not polled until somebody resumes it" in shown
    assert 'name="back" value="/sources"' in shown
    done = operator.do("pause-source", str(world.source), back="/sources")
    assert (done.status_code, done.headers["location"]) == (303, "/sources")
    assert "is paused." in operator.get("/sources").text
    assert "is paused." not in operator.get("/sources").text
    assert operator.do("pause-source", str(world.source), back="//evil.example").headers["location"] == "/"
    with store.read() as c:
        assert [line["who"] for line in rows.audits(c, action="pause-source")] == ["operator", "operator"]
        assert installation.name(c)


def test_a_refused_action_says_what_to_do(site: Site, world: World) -> None:
    operator = site.visitor("operator")
    answer = operator.do("embargo-article", world.article, until="soon")
    assert answer.status_code == 400
    assert "That is not a date and time." in answer.text


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("add-endpoint", "https://127.0.0.1/in", ("127.0.0.1 is refused", "127.0.0.0/8", "not public")),
        ("add-endpoint", "http://[fd00::1]/in", ("fd00::1", "not public")),
        ("change-endpoint", "http://169.254.169.254/latest", ("169.254.0.0/16", "not public")),
        ("change-endpoint", "https://desk.example:22/in", ("Port 22 is refused",)),
    ],
)
def test_the_desk_judges_an_address_first(
    site: Site, world: World, store: Store, name: str, url: str, words: tuple[str, ...]
) -> None:
    admin = site.visitor("admin")
    page = admin.get(f"/partners/{world.partner}").text
    assert page.count(f"/do/{name}/{world.partner}") == 1  # the button is there
    answer = admin.do(name, str(world.partner), url=url)
    assert answer.status_code == 400
    assert [word for word in words if word not in answer.text] == []
    with store.read() as c:
        assert url not in {row["url"] for row in partners.endpoints(c)}


def test_articles_by_first_sight_use_their_index(hand: Hand) -> None:
    with hand.store.read() as c:
        plan = "EXPLAIN QUERY PLAN " if hand.store.is_sqlite else "EXPLAIN "
        wish = select(ArticleRow.id).order_by(ArticleRow.first_seen_at.desc()).limit(5)
        if not hand.store.is_sqlite:
            c.exec_driver_sql("SET LOCAL enable_seqscan = off")
        text = " ".join(
            str(row) for row in c.exec_driver_sql(plan + str(wish.compile(c, compile_kwargs={"literal_binds": True})))
        )
    assert "ix_article_first_seen_at" in text


def test_an_entry_is_fetched_again_at_once_wherever_it_stands(hand: Hand, world: World) -> None:
    hand.do("requeue-entry", world.stored_entry)
    assert hand.rung == {"host.due": [lanes.host_lane(world.host)]}
    assert hand.value(EntryRow.step, EntryRow.id == world.stored_entry) == "fetch"
    assert hand.value(EntryRow.state, EntryRow.id == world.stored_entry) == "stored"
    hand.do("requeue-entry", world.bad_entry)
    assert hand.value(EntryRow.state, EntryRow.id == world.bad_entry) == "waiting"
    with hand.store.read() as c:
        assert ledger.books(c).balanced


def test_stages_stop_and_go_by_somebodys_word(hand: Hand) -> None:
    hand.do("pause-stage", "deliver", reason="their network is down")
    with pytest.raises(OperatorError, match="paused already"):
        hand.do("pause-stage", "deliver")
    with hand.store.read() as c:
        (row,) = switches.off(c).values()
    assert (row["key"], row["who"], row["reason"]) == ("deliver", "ilze", "their network is down")
    hand.do("drain-wire", "wire")
    hand.do("resume-wire", "wire")
    with hand.store.read() as c:
        assert set(switches.stopped(c)) == {"deliver"}
    hand.do("resume-stage", "deliver")
    with pytest.raises(OperatorError, match="not paused"):
        hand.do("resume-stage", "deliver")
    with pytest.raises(OperatorError, match="There is no stage print"):
        hand.do("pause-stage", "print")


def test_a_pool_has_its_bounds(hand: Hand) -> None:
    said = hand.do("set-workers", "enrich", at_once="3")
    assert "3 processes" in said.said
    with hand.store.read() as c:
        assert workers.sizes(c) == {"enrich": 3}
    with pytest.raises(OperatorError, match="at most 64 processes"):
        hand.do("set-workers", "enrich", at_once="65")
    hand.do("set-workers", "enrich", at_once="0")
