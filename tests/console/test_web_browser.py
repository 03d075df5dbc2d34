"""The desk in a real browser: every action done by clicking, figures that move by themselves, contrast, phone width.

Needs Playwright for Python and the system's Chromium (or a browser named by BRIEFWIRE_BROWSER); skips without them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, update

from services.console.actions import ACTIONS
from shared import clock, records
from shared.models import ArticleRow, DeliveryRow, EntryRow
from shared.store import articles, drift
from tests.console import test_web_pages as pages
from tests.console.desk_world import EVIL, PASSWORD, Site, World

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
BROWSER = os.environ.get("BRIEFWIRE_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed"),
    pytest.mark.parametrize("store", ["sqlite"], indirect=True),
]

OFFLINE = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]  # fmt: skip

FADED = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
                         return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (node) => { for (; node; node = node.parentElement) { const c = rgb(getComputedStyle(node).backgroundColor);
                                                                       if (c.length < 4 || c[3] > .9) return c; } return [255, 255, 255]; };
  const words = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT), found = [];
  while (words.nextNode()) {
    const node = words.currentNode.parentElement;
    if (!words.currentNode.textContent.trim() || !node.checkVisibility() || node.closest(".hidden, svg, option")) continue;
    const a = light(rgb(getComputedStyle(node).color).slice(0, 3)), b = light(ground(node).slice(0, 3));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const text = words.currentNode.textContent.trim().slice(0, 30);
    if (ratio < 4.5) found.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)} ${text}`);
  }
  return found;
}"""
"""Texts of the page whose contrast with what lies behind them is below 4.5 to 1 (WCAG AA)."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=OFFLINE)
        yield browser
        browser.close()


class Screen:
    """A browser window at the desk, signed in; keeps what the browser complained about."""

    def __init__(self, browser: Any, site: Site, **options: Any) -> None:
        site.account("admin", "admin")
        self.context = browser.new_context(base_url=site.url, **options)
        self.context.set_default_timeout(15_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"a dialog of the browser: {dialog.message}"))
        self.page.goto("/sign-in")
        self.page.get_by_label("Name").fill("admin")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/")

    def act(self, path: str, action: str, having: str = "", **fields: str) -> str:
        """Clicks an action's button on a page, fills the confirmation in, confirms; returns what the desk says then.

        `having` is a part of the button's address, where a page has several.
        """
        self.page.goto(path)
        link = f'a[href^="/do/{action}/"]' + (f'[href*="{having}"]' if having else "")
        self.page.locator(link).first.click()
        dialog = self.page.locator("dialog[open]")
        dialog.wait_for()
        for name, value in ({"reason": "by clicking"} | fields).items():
            dialog.locator(f'[name="{name}"]').fill(value)
        dialog.locator("button.main").click()
        self.page.locator(".said, [role=alert]").wait_for()
        said = self.page.locator(".said")
        assert said.count() == 1, (action, self.page.locator("[role=alert]").inner_text())
        return str(said.inner_text())


def steps(world: World, folder: Path) -> list[tuple[str, str, dict[str, str]]]:
    """(page, action, fields) that together do everything the desk can."""
    article, partner, source = f"/articles/{world.article}", f"/partners/{world.partner}", f"/sources/{world.source}"
    group, own = "/quarantine?kind=entry", {"having": "code=section%3A"}
    return [
        ("/", "pause-stage", {}), ("/", "resume-stage", {}), ("/", "drain-wire", {}), ("/", "resume-wire", {}),
        ("/", "set-workers", {"at_once": "4"}),
        ("/sources", "poll-source", {}), ("/sources", "pause-source", {}), (source, "resume-source", {}),
        (source, "release-source", {}), (source, "accept-source", {}),
        (source, "pause-host", {}), (source, "resume-host", {}), (source, "retry-entry", {}), (source, "drop-entry", {}),
        (source, "requeue-entry", {}),
        (group, "retry-group", {}), (group, "drop-group", {}), (group, "retry-query", {}), (group, "drop-query", {}),
        ("/partners", "try-partner", {}), (partner, "pause-partner", {}), (partner, "resume-partner", {}),
        (partner, "replay-partner", {"first": "1", "last": "2"}), (partner, "set-concurrency", {"at_once": "3"}),
        (partner, "set-rate", {"per_minute": "60"}), (partner, "rotate-secret", {}),
        (partner, "add-endpoint", {"url": str(folder / "files")}), (partner, "change-endpoint", {"per_minute": "90"}),
        (partner, "add-subscription", {"filter": 'section = "Harbour"'}), (partner, "change-subscription", {"filter": "words > 5"}),
        (partner, "remove-subscription", {}),
        (article, "retry-delivery", {}), (article, "drop-delivery", {}),
        (article, "hold-article", {}), (article, "release-article", {}), (article, "embargo-article", {"until": "2999-01-01 10:00"}),
        (article, "recategorise-article", {"section": "Harbour"}), (article, "take-back-category", {"having": "scheme=section"}),
        (article, "file-article", {"code": "section:Port"}), (article, "confirm-category", own), (article, "reject-category", own),
        (article, "clear-category", own), (article, "drop-link", {}), (article, "allow-link", {}), (article, "enrich-article", {}),
        (article, "merge-story", {"into": world.other}), (article, "split-story", {}), (article, "withdraw-article", {}),
        (article, "restore-article", {}), (partner, "remove-endpoint", {}),
    ]  # fmt: skip


def test_every_action_has_a_place_where_it_is_clicked(world: World, tmp_path: Path) -> None:
    assert {action for _, action, _ in steps(world, tmp_path)} == set(ACTIONS)


@pytest.mark.parametrize("pages_of", [("/", "/sources", "/quarantine"), ("/partners",), ("/articles",)])
def test_every_action_is_done_by_clicking(
    site: Site, world: World, chromium: Any, tmp_path: Path, pages_of: tuple[str, ...]
) -> None:
    screen = Screen(chromium, site)
    for path, action, fields in steps(world, tmp_path):
        if path in pages_of or path.startswith(tuple(page for page in pages_of if page != "/")):
            _set_the_stage(site, world, action)
            said = screen.act(path, action, **fields)
            assert said.endswith((".", "=")) or "whsec_" in said, (action, said)
    assert screen.complaints == []
    screen.context.close()


def _set_the_stage(site: Site, world: World, action: str) -> None:
    """Puts things where the action needs them: what the action before took out of quarantine, a held source, a suggestion."""
    now = clock.now()
    with site.desk.store.write() as c:
        if action.endswith(("-entry", "-group", "-query")):
            back = {"state": "quarantined", "step": None, "due_at": None, "reason": EVIL[:40]}
            c.execute(update(EntryRow).where(EntryRow.id == world.bad_entry).values(back))
        if action.endswith("-delivery"):
            c.execute(update(DeliveryRow).where(DeliveryRow.id == world.due).values(state="quarantined", due_at=None))
        if action in ("release-source", "accept-source"):
            drift.load(c, [world.source])
            drift.hold(c, world.source, ["Half of its pages have no date."], [], now)
        if action in ("confirm-category", "reject-category", "clear-category"):
            _suggest(c, world.article, suggestion=action != "clear-category")
        if action == "split-story":
            c.execute(update(ArticleRow).values(story_id="sto_1"))


def _suggest(c: Connection, article_id: str, *, suggestion: bool) -> None:
    """A machine has filed the article under Harbour, or only suggests it."""
    found = articles.revision(c, article_id)
    assert found is not None
    harbour = records.Category("section", "Harbour", "Harbour", "model", "1", 0.6, ("quay",), suggestion)
    articles.annotate(c, [(found[0], msgspec.structs.replace(found[1], categories=(harbour,)))])
    articles.set_categories(c, {article_id: [harbour]})


def test_pointing_at_a_value_shows_where_it_stood(site: Site, world: World, chromium: Any) -> None:
    screen = Screen(chromium, site)
    screen.page.goto(f"/articles/{world.article}?revision=1")
    frame = screen.page.frame_locator("iframe[name=fetched]")
    chosen = frame.locator("mark:target")
    screen.page.locator('.fields [data-at="headline"]').first.hover()
    sync_api.expect(chosen).to_have_attribute("id", "headline")
    screen.page.mouse.move(0, 0)
    screen.page.locator('a[data-at="section"]').focus()  # by keyboard as well
    sync_api.expect(chosen).to_have_attribute("id", "section")
    assert (
        screen.page.evaluate("document.querySelector('iframe[name=fetched]').contentDocument") is None
    )  # it is not our own
    assert screen.page.locator("[data-at].shown").first.get_attribute("data-at") == "section"
    assert screen.complaints == []
    screen.context.close()


def test_a_hostile_page_does_nothing_even_by_itself(site: Site, world: World, chromium: Any) -> None:
    """Opened as a page of its own the frame's document is as powerless."""
    screen = Screen(chromium, site)
    asked: list[str] = []
    page = screen.context.new_page()  # one that asks for nothing of the page before any more
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: screen.complaints.append(message.text))
    page.on("dialog", lambda dialog: screen.complaints.append(dialog.message))
    page.goto(f"/articles/{world.article}/frame")
    page.wait_for_timeout(200)
    assert asked == [f"{site.url}/articles/{world.article}/frame"]
    assert screen.complaints == []
    assert "alert(1)" in page.locator("body").inner_text()
    screen.context.close()


def test_a_source_is_tested_by_clicking(site: Site, world: World, chromium: Any) -> None:
    screen = Screen(chromium, site)
    screen.page.goto("/sources")
    screen.page.get_by_role("link", name="Test").first.click()
    screen.page.get_by_label("Address of a page").fill("http://127.0.0.1:9/")
    screen.page.get_by_role("button", name="Read this page").click()
    assert "There is no profile named" in screen.page.get_by_role("alert").inner_text()  # this source's is not known
    screen.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_axe_finds_no_fault_on_any_page(site: Site, world: World, chromium: Any, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    screen = Screen(chromium, site, viewport={"width": width, "height": 900}, color_scheme=scheme)
    found = []
    for path in ["/sign-in", *pages.paths(world)]:
        screen.page.goto(path)
        for fault in axe.run(screen.page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found.append(
                    (path, fault["id"], fault["nodes"][0]["html"][:200], fault["nodes"][0]["failureSummary"][:200])
                )
    assert found == []
    screen.context.close()


def test_a_confirmation_can_be_left_by_keyboard(site: Site, world: World, chromium: Any) -> None:
    screen = Screen(chromium, site)
    screen.page.goto("/sources")
    screen.page.locator('a[href^="/do/pause-source/"]').focus()
    screen.page.keyboard.press("Enter")
    screen.page.locator("dialog[open]").wait_for()
    screen.page.keyboard.press("Escape")
    screen.page.locator("dialog[open]").wait_for(state="detached")
    assert screen.page.evaluate("document.activeElement.textContent") == "Pause"
    screen.context.close()


def test_from_a_complaint_to_the_fix_in_three_clicks(site: Site, world: World, chromium: Any) -> None:
    screen = Screen(chromium, site)
    screen.page.keyboard.press("/")
    screen.page.keyboard.type(world.article)
    screen.page.keyboard.press("Enter")  # one
    screen.page.wait_for_url("**/articles/*")
    assert "answered 503" in screen.page.locator("main").inner_text()  # the answer
    screen.page.locator('a[href^="/do/retry-delivery/"]').first.click()  # two
    screen.page.locator("dialog[open] button.main").click()  # three
    screen.page.locator(".said").wait_for()
    assert "It goes to" in screen.page.locator(".said").inner_text()
    screen.context.close()


def test_the_live_page_moves_by_itself(site: Site, world: World, chromium: Any) -> None:
    screen = Screen(chromium, site)
    depth = screen.page.locator('[data-text="deliver.depth"]')
    assert depth.inner_text() == "1"
    with site.desk.store.write() as c:
        c.execute(update(DeliveryRow).where(DeliveryRow.id == world.due).values(state="superseded"))
    sync_api.expect(depth).to_have_text("0", timeout=10_000)
    assert screen.complaints == []
    screen.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable_and_fits_a_phone(site: Site, world: World, chromium: Any, scheme: str) -> None:
    screen = Screen(chromium, site, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for path in pages.paths(world):
        screen.page.goto(path)
        assert screen.page.evaluate(FADED) == [], path
        wide = screen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, (path, wide)
    assert [
        text for text in screen.complaints if "404" not in text
    ] == []  # no script ran, nothing was fetched from elsewhere
    screen.context.close()
