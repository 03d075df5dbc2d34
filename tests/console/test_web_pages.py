"""Every page of the desk, over a socket, on both databases: it answers, it stays small, and nothing hostile becomes markup."""

from __future__ import annotations

import json

import pytest
from lxml import html

from services.console.web.guard import HEADERS
from shared.store import drift, rulings, switches
from tests.console.desk_world import EVIL, EVIL_URL, Site, World

LIMIT = 100_000


def paths(world: World) -> list[str]:
    """Every page that shows something of the store."""
    group = {"of_kind": "entry", "owner": str(world.source), "of_reason": EVIL[:40]}
    query = "&".join(f"{name}={value}" for name, value in group.items())
    return [
        "/", "/sources", f"/sources/{world.source}", "/articles", "/articles?q=alert", f"/articles/{world.article}",
        f"/articles/{world.article}?revision=1", f"/articles/{world.article}/page", f"/articles/{world.other}",
        f"/articles/{world.article}/why/{world.partner}", "/partners",
        "/withdrawals", "/withdrawals?open=1",
        f"/sources/{world.source}/test", f"/quarantine?words={EVIL}&source={EVIL}&kind={EVIL}", f"/quarantine?words={EVIL}&since={EVIL}",
        f"/quarantine?reason={EVIL[:40]}", f"/do/drop-query/kind=entry?mark={EVIL}", f"/withdrawals?article={EVIL}",
        f"/partners/{world.partner}", "/quarantine", f"/quarantine?{query}",
        f"/quarantine?of_kind=delivery&owner={world.partner}&of_reason={EVIL[:60]}", "/sections", "/ledger", "/ledger?check=1", "/audit",
        f"/audit?who={EVIL}", "/account", "/access", f"/do/pause-source/{world.source}?back={EVIL}",
        f"/do/withdraw-article/{world.article}", f"/do/retry-delivery/{world.dead}", f"/do/drop-entry/{world.bad_entry}",
        f"/do/no-such-action/{EVIL}", f"/do/merge-story/{world.article}?into={EVIL}", f"/articles?q={EVIL}&section={EVIL}&language={EVIL}",
    ]  # fmt: skip


def faults(text: str) -> list[str]:
    """What a browser would run, or fetch from elsewhere, of a page."""
    tree = html.fromstring(text)
    found = [f"script {s.get('src')}" for s in tree.iter("script") if not (s.get("src") or "").startswith("/static/")]
    for node in tree.iter("*"):
        if node.tag == "iframe" and node.get("sandbox") == "" and (node.get("src") or "").startswith("/articles/"):
            continue  # a page of our own, which may do nothing
        if node.tag in ("img", "iframe", "object", "embed", "base", "style", "link") and not (
            node.get("href") or ""
        ).startswith("/static/"):
            found.append(f"<{node.tag}>")
        for name, value in node.attrib.items():
            scheme = value.strip().partition(":")[0].lower()
            if (
                name.startswith("on")
                or name == "style"
                or (name in ("href", "src", "action") and scheme in ("javascript", "data"))
            ):
                found.append(f"<{node.tag} {name}={value!r}>")
    return found


def test_no_page_takes_hostile_words_for_markup(site: Site, world: World) -> None:
    admin = site.visitor("admin")
    with site.desk.store.write() as c:
        example = {"entry_id": world.stored_entry, "url": EVIL_URL, "headline": EVIL, "reasons": [EVIL]}
        drift.load(c, [world.source])
        drift.hold(c, world.source, [EVIL], [example], site.desk.now())
        switches.turn_off(c, "deliver", EVIL, EVIL, site.desk.now())
        rulings.drop_link(c, world.article, world.other, site.desk.now())
    shown = 0
    for path in paths(world):
        answer = admin.get(path)
        assert answer.status_code in (200, 404), (path, answer.text[:300])
        assert faults(answer.text) == [], path
        shown += "alert(1)" in html.fromstring(answer.text).text_content()
        assert "50337" not in answer.text, path  # what a template would make of them
    assert shown >= 24  # the words did reach the pages


def test_the_page_as_fetched_neither_runs_nor_loads_anything(site: Site, world: World) -> None:
    viewer = site.visitor("viewer")
    for query in ("", "?revision=1"):
        answer = viewer.get(f"/articles/{world.article}/frame{query}")
        assert answer.status_code == 200
        assert len(answer.content) < LIMIT
        tree = html.fromstring(answer.text)
        assert [
            node.tag for node in tree.iter("script", "img", "link", "base", "form", "iframe", "svg", "object")
        ] == []
        assert {name for node in tree.iter() for name in node.attrib} <= {
            "lang",
            "data-theme",
            "charset",
            "id",
            "class",
            "title",
        }
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("frame-ancestors 'self'; sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "alert(1)" in tree.text_content()
    assert viewer.get("/articles/none/frame").status_code == 404
    assert site.visitor().get(f"/articles/{world.article}/frame").url.startswith(f"{site.url}/sign-in")


def test_every_page_is_small_and_strict(site: Site, world: World) -> None:
    admin = site.visitor("admin")
    for path in paths(world):
        answer = admin.get(path)
        assert len(answer.content) < LIMIT, path
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path


def test_every_page_names_its_controls(site: Site, world: World) -> None:
    """What a screen reader needs: a language, a title, one main heading, a label for every field, a text for every link."""
    admin = site.visitor("admin")
    for path in paths(world):
        tree = html.fromstring(admin.get(path).text)
        assert tree.get("lang") == "en", path
        assert tree.findtext(".//title"), path
        fields = tree.xpath("//input[not(@type='hidden')] | //select | //textarea")
        assert not [f.get("name") for f in fields if not (f.get("aria-label") or list(f.iterancestors("label")))], path
        assert not [a.get("href") for a in tree.iter("a") if not a.text_content().strip()], path
        assert len(tree.xpath("//h1")) >= 1, path


def test_an_article_is_found_by_word_url_and_id(site: Site, world: World) -> None:
    viewer = site.visitor("viewer")
    found = viewer.get("/articles", params={"q": world.article, "open": "1"})
    assert found.url.endswith(f"/articles/{world.article}")
    assert world.article in viewer.get("/articles", params={"q": "alert(1)", "state": "usable"}).text
    assert world.article not in viewer.get("/articles", params={"q": "100%_certain"}).text
    assert world.other in viewer.get("/articles", params={"state": "withdrawn"}).text


def test_the_article_says_who_has_it_and_why_not(site: Site, world: World) -> None:
    text = html.fromstring(site.visitor("viewer").get(f"/articles/{world.article}").text).text_content()
    for words in ("answered 503", "Event 1 logged", "Revision 2 stored", "Page fetched", "msg_2", "Seen in"):
        assert words in text
    assert "the partner is left alone until" in text
    other = site.visitor("viewer").get(f"/articles/{world.other}").text
    assert "not enriched yet, so no partner has been asked" in other


def test_missing_things_are_not_found(site: Site, world: World) -> None:
    viewer = site.visitor("operator")
    for path in (
        "/sources/999",
        "/partners/999",
        "/articles/none",
        f"/articles/{world.article}?revision=9",
        "/articles/none/page",
    ):
        assert viewer.get(path).status_code == 404, path
    for path in (
        "/do/pause-source/999",
        "/do/pause-source/x",
        "/do/hold-article/none",
        "/do/retry-group/entry:9:x",
        "/do/drop-group/x",
    ):
        assert viewer.get(path).status_code == 400, path


def test_a_viewer_sees_no_buttons(site: Site, world: World) -> None:
    viewer, operator = site.visitor("viewer"), site.visitor("operator")
    for path in ("/sources", "/partners", f"/articles/{world.article}", "/quarantine"):
        assert "/do/" not in viewer.get(path).text, path
        assert "/do/" in operator.get(path).text, path
    assert "rotate-secret" not in operator.get(f"/partners/{world.partner}").text
    assert "/access" not in operator.get("/").text


def test_the_stream_carries_the_figures_of_the_page(site: Site, world: World) -> None:
    viewer = site.visitor("viewer")
    with viewer.get("/live", stream=True) as stream:
        lines = (line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data: "))
        views = (json.loads(line.removeprefix("data: ")) for line in lines)
        view = next(view for view in views if view["text"]["books"] != "not checked yet")
    assert view["text"]["deliver.depth"] == "1"
    assert view["text"]["books"] == "balanced"
    assert view["state"]["worker.fetch"] == "good"
    assert any("breaker is open" in text for _, text, _ in view["trouble"])
    assert set(view) == {"text", "state", "curve", "trouble"}


@pytest.mark.parametrize("role", ["", "push"])
def test_the_stream_is_for_those_who_may_look(site: Site, role: str) -> None:
    visitor = site.visitor()
    if role:
        visitor.headers["Authorization"] = "Bearer nothing"
    assert visitor.get("/live").status_code == 401
