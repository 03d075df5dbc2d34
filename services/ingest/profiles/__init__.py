"""Publisher profiles: TOML files in, checked selectors out; docs/profiles.md describes the format.

A profile is one file; its versions are dated and only ever appended, so that a page fetched last year is still read the way it was
laid out then. Everything is checked at the start: a bad file is an OperatorError that names file, line and selector.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
import soupsieve

from shared.errors import OperatorError
from shared.records import Trend

BUNDLED = Path(__file__).parent
FIELDS = (
    "headline", "lead", "authors", "published", "modified", "section", "category_status", "tags", "language",
    "canonical_url", "site_name", "source_item_id", "body", "related",
)  # fmt: skip
_MANY = ("authors", "tags", "related")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a field stands: `css` selects, `attr` takes an attribute instead of the text, `pattern` keeps its first group,
    `many` takes all matches (always so for authors, tags and related), `label` selects the printed label of a status."""

    css: str
    attr: str | None = None
    pattern: str | None = None
    many: bool = False
    label: str | None = None


class Profile(msgspec.Struct, frozen=True):
    """One version of a publisher's profile, ready to be applied. `zone` is an IANA name for dates that state none."""

    name: str
    title: str
    hosts: tuple[str, ...]
    zone: str | None
    since: dt.date
    fields: dict[str, Rule]
    drop: tuple[str, ...] = ()
    sections: dict[str, str] = {}
    status: dict[str, Trend] = {}


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: dt.date
    fields: dict[str, str | Rule]
    drop: tuple[str, ...] = ()
    sections: dict[str, str] = {}
    status: dict[str, Trend] = {}
    zone: str | None = None
    note: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    hosts: tuple[str, ...]
    version: tuple[_Version, ...]
    title: str | None = None
    zone: str | None = None


class Profiles:
    """All profiles known to this installation."""

    def __init__(self, versions: dict[str, tuple[Profile, ...]]) -> None:
        self._versions = versions
        self._hosts = {host: name for name, found in versions.items() for profile in found for host in profile.hosts}

    def names(self) -> tuple[str, ...]:
        """Every profile's name, sorted."""
        return tuple(sorted(self._versions))

    def named(self, name: str, at: dt.date) -> Profile | None:
        """The version of that profile in force on a day; the oldest for days before it; None for an unknown name."""
        versions = self._versions.get(name, ())
        return next((v for v in reversed(versions) if v.since <= at), versions[0] if versions else None)

    def for_url(self, url: str, at: dt.date) -> Profile | None:
        """The profile of the URL's host, with or without "www."; None when no profile knows it."""
        try:
            host = (urlsplit(url).hostname or "").lower()
        except ValueError:
            return None
        name = self._hosts.get(host) or self._hosts.get(host.removeprefix("www."))
        return self.named(name, at) if name else None


def load(folders: Sequence[Path] = ()) -> Profiles:
    """The bundled profiles and those in `folders` (*.toml); a later folder's profile replaces one of the same name.

    OperatorError: a folder that is not there, a file that is no TOML or has unknown keys, a selector that is no CSS.
    """
    found: dict[str, tuple[Profile, ...]] = {}
    for folder in (BUNDLED, *folders):
        if not folder.is_dir():
            raise OperatorError(
                f"The profile folder {folder} does not exist.", "Create it or take it out of the settings."
            )
        here: dict[str, tuple[Profile, ...]] = {}
        for path in sorted(folder.glob("*.toml")):
            versions = _read(path)
            if versions[0].name in here:
                raise OperatorError(
                    f"{path}: another file in this folder has the name {versions[0].name!r}.", "Rename one."
                )
            here[versions[0].name] = versions
        found |= here
    return Profiles(found)


def _read(path: Path) -> tuple[Profile, ...]:
    try:
        text = path.read_text("utf-8")
        file = msgspec.convert(tomllib.loads(text), _File)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise OperatorError(f"{path}: {error}.", "See docs/profiles.md for the format.") from None
    if not file.version:
        raise OperatorError(f"{path}: no [[version]].", "A profile needs at least one.")
    versions = tuple(_profile(path, text, file, version) for version in file.version)
    if any(a.since >= b.since for a, b in pairwise(versions)):
        raise OperatorError(f"{path}: the versions' `since` dates do not ascend.", "Append a newer version at the end.")
    return versions


def _profile(path: Path, text: str, file: _File, version: _Version) -> Profile:
    fields = {}
    for name, given in version.fields.items():
        if name not in FIELDS:
            raise _bad(path, text, name, f"unknown field {name!r}; known are {', '.join(FIELDS)}")
        rule = Rule(given) if isinstance(given, str) else given
        fields[name] = msgspec.structs.replace(rule, many=rule.many or name in _MANY)
        _check(path, text, fields[name])
    for selector in version.drop:
        _check(path, text, Rule(selector))
    zone = version.zone or file.zone
    if zone:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise _bad(path, text, zone, f"unknown zone {zone!r}") from None
    hosts = tuple(host.lower() for host in file.hosts)
    return Profile(
        file.name,
        file.title or file.name,
        hosts,
        zone,
        version.since,
        fields,
        version.drop,
        version.sections,
        version.status,
    )


def _check(path: Path, text: str, rule: Rule) -> None:
    for selector in filter(None, (rule.css, rule.label)):
        try:
            soupsieve.compile(selector)
        except (soupsieve.SelectorSyntaxError, TypeError) as error:
            raise _bad(path, text, selector, f"bad selector {selector!r}: {str(error).splitlines()[0]}") from None
    if rule.pattern is not None:
        try:
            groups = re.compile(rule.pattern).groups
        except re.error as error:
            raise _bad(path, text, rule.pattern, f"bad pattern {rule.pattern!r}: {error}") from None
        if not groups:
            raise _bad(path, text, rule.pattern, f"the pattern {rule.pattern!r} has no group to keep")


def _bad(path: Path, text: str, what: str, why: str) -> OperatorError:
    needle = what.replace("\\", "\\\\")
    numbers = [n for n, line in enumerate(text.splitlines(), 1) if what in line or needle in line]
    place = f"{path}, line {numbers[0]}" if numbers else str(path)
    return OperatorError(f"{place}: {why}.", "See docs/profiles.md for the format.")
