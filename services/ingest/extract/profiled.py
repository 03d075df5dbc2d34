"""A Draft and the publisher's profile in, the Draft with what the profile's selectors find out.

Where a selector finds nothing the engine's own value stands and the field is counted in `missed`: that is how a changed layout
shows. Read through BeautifulSoup, so that selectors behave as in any browser.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import msgspec
from bs4 import BeautifulSoup
from bs4.element import Tag

from services.ingest.extract import dates, engine, parse, related
from services.ingest.extract.blocks import Cut, cut
from services.ingest.extract.evidence import Evidence, gather
from services.ingest.profiles import Profile, Rule
from shared.records import CategoryStatus, Draft, Losing, Moment, Origin, Paragraph, Related, Removed
from shared.text import fold, shorten

_TEXTS = ("headline", "lead", "section", "language", "canonical_url", "site_name", "source_item_id")
_LISTS = ("authors", "tags")
_MOMENTS = ("published", "modified")


def apply(profile: Profile, found: Draft, text: str, url: str | None, fetched_at: dt.datetime) -> Draft:
    """The draft with every field for which the profile has a selector that finds something."""
    return _Reading(profile, found, text, url, fetched_at).draft()


class _Reading:
    def __init__(self, profile: Profile, found: Draft, text: str, url: str | None, fetched_at: dt.datetime) -> None:
        self.profile, self.found, self.fetched_at = profile, found, fetched_at
        self.soup = BeautifulSoup(text, "lxml")
        root, _ = parse.page(text)
        self.evidence: Evidence = gather(root, url)
        self.values: dict[str, Any] = {}
        self.origins = dict(found.origins)
        self.missed: list[str] = []

    def draft(self) -> Draft:
        for name in _TEXTS:
            self._text(name)
        for name in _LISTS:
            if values := self._read(name):
                self._set(name, tuple(dict.fromkeys(values)))
        for name in _MOMENTS:
            self._moment(name)
        self._status()
        removed = self._drop()
        self._related()
        self._body()
        if self._other_page():
            self.values["verdict"] = msgspec.structs.replace(
                self.found.verdict, kind="not-an-article", reason="static-page"
            )
        return msgspec.structs.replace(
            self.found,
            **self.values,
            origins=self.origins,
            missed=tuple(self.missed),
            removed=(*self.found.removed, *removed),
        )

    def _other_page(self) -> bool:
        """A page of the site that is none of its articles: nothing of the layout fits, and no date is on it at all. A changed
        layout keeps its dates, and stays an article with misses."""
        dated = self.values.get("published") or self.found.published
        return not dated and {"headline", "body"} <= set(self.missed)

    def _rule(self, name: str) -> Rule | None:
        return self.profile.fields.get(name)

    def _read(self, name: str) -> list[str]:
        """The values that the field's selector finds; a miss is counted."""
        rule = self._rule(name)
        if rule is None:
            return []
        values = [v for e in self.soup.select(rule.css) if (v := _value(e, rule))]
        if not values:
            self.missed.append(name)
        return values if rule.many else values[:1]

    def _set(self, name: str, value: Any) -> None:
        rule, before = self.profile.fields[name], getattr(self.found, name, None)
        lost = (
            (Losing(self.origins[name].rule, shorten(str(_shown(before)))),)
            if name in self.origins and before != value
            else ()
        )
        self.origins[name] = Origin(f"profile {self.profile.name} css {rule.css}", lost)
        self.values[name] = value

    def _text(self, name: str) -> None:
        for value in self._read(name):
            if name == "section":
                value = self.profile.sections.get(value, value)
            elif name == "canonical_url":
                value = self.evidence.absolute(value) or value
            self._set(name, value)

    def _moment(self, name: str) -> None:
        for value in self._read(name):
            moment = dates.parse(value, self.profile.zone)
            if moment:
                self._set(name, moment)
            else:
                self.missed.append(name)

    def _status(self) -> None:
        rule = self._rule("category_status")
        if rule is None:
            return
        label = next((e.get_text() for e in self.soup.select(rule.label)), None) if rule.label else None
        label = label.strip().rstrip(":").strip() or None if label else None
        status = next((s for e in self.soup.select(rule.css) if (s := self._trend(e, rule, label))), None)
        if status is None:
            self.missed.append("category_status")
            status = CategoryStatus(label=label)
        self._set("category_status", status)

    def _trend(self, element: Tag, rule: Rule, label: str | None) -> CategoryStatus | None:
        """What an icon or a sentence says. Only values of the profile's map count: another class is no status."""
        shown = _raw(element, rule.attr)
        for sign, trend in self.profile.status.items():
            if rule.attr == "class":
                hit = sign in shown.split()
            elif rule.attr:
                hit = sign in shown
            else:
                hit = fold(sign).lower() == fold(shown).lower().rstrip(".")
            if hit:
                evidence = f"{rule.attr or 'text'} {sign}"
                return CategoryStatus(trend, label, None if rule.attr else shown.strip(), evidence)
        return None

    def _drop(self) -> list[Removed]:
        """Takes the profile's boilerplate out of the page before body and related block are read."""
        removed = []
        for selector in self.profile.drop:
            for element in self.soup.select(selector):
                text = element.get_text(" ", strip=True)
                if text:
                    removed.append(Removed(shorten(text), f"profile drop {selector}"))
                element.extract()
        return removed

    def _related(self) -> None:
        rule = self._rule("related")
        if rule is None:
            return
        elements = self.soup.select(rule.css)
        # A page may lack the block: that is no drift, so no miss is counted.
        entries: list[Related] = []
        for element in elements:
            part = self._cut(element)
            entries.extend(related.read(related.whole(part), part, self.evidence, self.profile.zone))
            element.extract()
        entries = [msgspec.structs.replace(e, position=n + 1) for n, e in enumerate(entries)]
        self._set("related", tuple(entries))

    def _body(self) -> None:
        rule = self._rule("body")
        if rule is None:
            return
        elements = self.soup.select(rule.css)
        taken = list(elements) if rule.many else list(elements[:1])
        part = self._cut(*taken) if taken else Cut()
        chosen = engine.all_of(part)
        if not chosen:
            self.missed.append("body")
            return
        blocks, images = engine.content(part, chosen, self.evidence, set())
        self.origins["blocks"] = Origin(
            f"profile {self.profile.name} css {rule.css}", (Losing("engine", f"{len(self.found.blocks)} blocks"),)
        )
        self.values |= {"blocks": blocks, "images": images}
        if "lead" not in self.values:
            self.values["lead"] = next((block.text for block in blocks if isinstance(block, Paragraph)), None)

    def _cut(self, *elements: Tag) -> Cut:
        root = parse.fragment("".join(str(element) for element in elements))
        return cut(root, whole=True)


def _shown(value: Any) -> Any:
    return value.raw if isinstance(value, Moment) else getattr(value, "value", value)


def _raw(element: Tag, attr: str | None) -> str:
    if attr is None:
        return element.get_text()
    value = element.get(attr)
    return " ".join(value) if isinstance(value, list) else str(value or "")


def _value(element: Tag, rule: Rule) -> str | None:
    """Text or attribute of an element, its pattern's first group where the rule has one."""
    text = re.sub(r"[ \t\r\n\f]+", " ", _raw(element, rule.attr)).strip()
    if rule.pattern:
        match = re.search(rule.pattern, text)
        return match[1] if match else None
    return text or None
