"""A fetched page in; the record that it would become, out. Pure and light: it runs in `shared.sandbox` for the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from services.enrich import language
from services.ingest import discover, normalise, profiles
from services.ingest.extract import PageInput, draft, draft_text
from shared.errors import Rejected
from shared.records import Article, Draft, Entry, Verdict, body_text

if TYPE_CHECKING:
    from services.ingest.fetch import Page


class Tried(msgspec.Struct, frozen=True):
    """A page as it would become a record. `article` is None where the page is no article: `draft.verdict` says why."""

    draft: Draft
    article: Article | None
    reason: str | None = None


def read(got: Page, using: profiles.Profile | None, zone: str, languages: tuple[str, ...], source: str) -> Tried:
    """A fetched page as the wire would read it."""
    try:
        found = _draft(got, using, zone)
        if found.verdict.kind != "article":
            return Tried(found, None, _why_not(got, found.verdict.reason))
        finding = normalise.Finding(
            source, Entry(got.requested_url, got.requested_url), got.requested_url, got.final_url
        )
        return Tried(found, with_language(normalise.article(found, finding), languages))
    except Rejected as error:
        nothing = Draft(headline=None, verdict=Verdict("not-an-article", error.reason))
        return Tried(nothing, None, _why_not(got, error.reason, error.detail))


def _draft(got: Page, using: profiles.Profile | None, zone: str) -> Draft:
    if (got.content_type or "").partition(";")[0].strip() == "text/plain":
        return draft_text(got.body.decode("utf-8", "replace"), got.fetched_at, zone)
    return draft(PageInput(got.body, got.final_url, got.content_type, got.fetched_at), using)


_VERDICTS = {
    "listing-page": "it lists articles",
    "link-page": "it is made of links",
    "no-text": "no text of an article was found on it",
    "soft-404": "it says that nothing is there",
    "challenge-page": "a bot wall stands before it",
}


def _why_not(got: Page, code: str | None, detail: str = "") -> str:
    """In words why a page is no article, with the reason code; a feed is told apart, as that is easily mixed up."""
    what = discover.discover(got.body, got.final_url, got.headers).page
    if what in ("feed", "sitemap"):
        return f"it is a {what}, which `briefwire source add` takes ({code})"
    return f"{_VERDICTS.get(code or '') or detail.rstrip('.') or 'it does not look like one'} ({code})"


def with_language(article: Article, allowed: tuple[str, ...]) -> Article:
    """The article with its language as enrichment fills it in."""
    text = f"{article.headline}\n\n{article.lead or ''}\n\n{body_text(article.blocks)}"
    found = language.detect(text, allowed, article.language)
    return msgspec.structs.replace(article, language=found.code, language_evidence=found.evidence)
