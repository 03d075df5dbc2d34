"""The files under briefs/, in; briefs, out.

A file is `briefs/SECTION/SLUG.md`: TOML between two lines of `+++`, then the body. Blank lines part the body; a part
that starts with `<` is markup as it stands, any other is one paragraph (inline markup allowed). All of it is invented.
"""

from __future__ import annotations

import html
import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from shared.text import digest

SECTIONS = {
    "politics": "Politics",
    "economy": "Economy",
    "foreign-affairs": "Foreign affairs",
    "security": "Security",
    "society": "Society",
}
_TAG = re.compile(r"<[^>]+>")


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the editors change while the demo runs: `find` becomes `put`, and `note` is printed below."""

    find: str
    put: str
    note: str


class Brief(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One brief as its file has it.

    `number` is the site's own item number and the order of release. `status` is None where no icon is printed.
    `similar` names the briefs (SECTION/SLUG) that its "Similar articles" block prints, `whole` or by their first
    paragraph. `story` is the same on two briefs that tell one event in other words, `copy_of` names the brief whose
    text this one prints again: both are truth for tests, never printed. `age_days` dates an old item.
    """

    number: int
    slug: str
    section: str
    headline: str
    body: str
    kind: Literal["brief", "about"] = "brief"
    language: str = "en"
    status: Literal["improved", "unchanged", "worsened"] | None = None
    author: str | None = None
    image: str | None = None
    caption: str | None = None
    credit: str | None = None
    similar: tuple[str, ...] = ()
    whole: bool = False
    story: str | None = None
    copy_of: str | None = None
    age_days: float | None = None
    correction: Correction | None = None
    withdrawn: bool = False

    @property
    def path(self) -> str:
        """Where its page is, from the site's root."""
        return f"/{self.slug}" if self.kind == "about" else f"/{self.section}/{self.slug}"

    @property
    def name(self) -> str:
        """SECTION/SLUG."""
        return self.path[1:]

    @property
    def blocks(self) -> tuple[str, ...]:
        """The body's parts as markup."""
        parts = (part.strip() for part in re.split(r"\n\s*\n", self.body))
        return tuple(part if part.startswith("<") else f"<p>{part}</p>" for part in parts if part)

    @property
    def lead(self) -> str:
        """The first paragraph's text."""
        return plain(self.blocks[0])

    @property
    def text(self) -> str:
        """The body without markup, a line for each part."""
        return "\n".join(plain(block) for block in self.blocks)

    @property
    def sha256(self) -> str:
        """Digest of headline and text: changes when, and only when, a reader sees another text."""
        return digest(self.headline, self.text)

    def corrected(self) -> Brief:
        """The brief after its correction; ValueError when its text does not have what is to be changed."""
        if self.correction is None or self.correction.find not in self.body:
            raise ValueError(f"{self.name} has nothing to correct")
        body = self.body.replace(self.correction.find, self.correction.put)
        return msgspec.structs.replace(self, body=f"{body.rstrip()}\n\nCorrection: {self.correction.note}\n")


def plain(markup: str) -> str:
    """The text of a piece of markup: no tags, entities decoded, no-break spaces kept."""
    return html.unescape(_TAG.sub("", markup)).strip()


def parse(raw: str, section: str, slug: str) -> Brief:
    """One file's text as a Brief; ValueError and msgspec.ValidationError say what is wrong with it."""
    _, head, body = raw.split("+++\n", 2)
    return msgspec.convert({**tomllib.loads(head), "section": section, "slug": slug, "body": body}, Brief)


@cache
def briefs() -> tuple[Brief, ...]:
    """Every brief of the bundle in the order of release; a copy carries the text of its original."""
    found = [brief for section in (*SECTIONS, "pages") for brief in _folder(section)]
    by_name = {brief.name: brief for brief in found}
    filled = [
        brief if brief.copy_of is None else msgspec.structs.replace(brief, body=by_name[brief.copy_of].body)
        for brief in found
    ]
    return tuple(sorted(filled, key=lambda brief: brief.number))


def _folder(section: str) -> list[Brief]:
    folder: Any = files(__package__).joinpath("briefs", section)
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(".md")]
    return [parse(entry.read_text(encoding="utf-8"), section, entry.name.removesuffix(".md")) for entry in entries]
