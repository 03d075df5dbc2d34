"""The desk in a real browser: every action done by clicking, figures that move by themselves, contrast, phone width.

Needs Playwright for Python and the system's Chromium (or a browser named by BRIEFWIRE_BROWSER); skips without them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from services.console.actions import ACTIONS
from shared.models import DeliveryRow, EntryRow
from tests.console import test_web_pages as pages
from tests.console.desk_world import PASSWORD, Site, World

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

    def act(self, path: str, action: str, **fields: str) -> str:
        """Clicks an action's button on a page, fills the confirmation in, confirms; returns what the desk says then."""
        self.page.goto(path)
        self.page.locator(f'a[href^="/do/{action}/"]').first.click()
        dialog = self.page.locator("dialog[open]")
        dialog.wait_for()
        for name, value in ({"reason": "by clicking"} | fields).items():
            dialog.locator(f'[name="{name}"]').fill(value)
        dialog.locator("button.main").click()
        said = self.page.locator(".said")
        said.wait_for()
        return str(said.inner_text())


def test_every_action_is_done_by_clicking(site: Site, world: World, chromium: Any) -> None:
    screen = Screen(chromium, site)
    article, partner, source = f"/articles/{world.article}", f"/partners/{world.partner}", f"/sources/{world.source}"
    group = "/quarantine?kind=entry"
    steps: list[tuple[str, str, dict[str, str]]] = [
        ("/sources", "poll-source", {}), ("/sources", "pause-source", {}), (source, "resume-source", {}),
        (source, "pause-host", {}), (source, "resume-host", {}), (source, "retry-entry", {}), (source, "drop-entry", {}),
        (group, "retry-group", {}), (group, "drop-group", {}),
        ("/partners", "try-partner", {}), (partner, "pause-partner", {}), (partner, "resume-partner", {}),
        (partner, "replay-partner", {"first": "1", "last": "2"}), (partner, "set-concurrency", {"at_once": "3"}),
        (partner, "rotate-secret", {}),
        (article, "retry-delivery", {}), (article, "drop-delivery", {}),
        (article, "hold-article", {}), (article, "release-article", {}), (article, "embargo-article", {"until": "2999-01-01 10:00"}),
        (article, "recategorise-article", {"section": "Harbour"}), (article, "merge-story", {"into": world.other}),
        (article, "split-story", {}), (article, "withdraw-article", {}),
    ]  # fmt: skip
    assert {action for _, action, _ in steps} == set(ACTIONS)
    for path, action, fields in steps:
        _set_the_stage(site, world, action)
        said = screen.act(path, action, **fields)
        assert said.endswith((".", "=")) or "whsec_" in said, (action, said)
    assert screen.complaints == []
    screen.context.close()


def _set_the_stage(site: Site, world: World, action: str) -> None:
    """Puts back into quarantine what the action before took out."""
    with site.desk.store.write() as c:
        if action.endswith(("-entry", "-group")):
            c.execute(
                update(EntryRow)
                .where(EntryRow.id == world.bad_entry)
                .values(state="quarantined", step=None, due_at=None)
            )
        if action.endswith("-delivery"):
            c.execute(update(DeliveryRow).where(DeliveryRow.id == world.due).values(state="quarantined", due_at=None))


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
