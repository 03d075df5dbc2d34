"""Pictures and embeds of a cut in, images with caption and credit and embed blocks out."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from urllib.parse import urlsplit

from services.ingest.extract import blocks as b
from services.ingest.extract.blocks import Box, Cut, Picture, Piece
from services.ingest.extract.evidence import Evidence
from services.ingest.extract.names import tokens
from shared.records import Embed, Image

_CREDIT = re.compile(
    r"^\(?\s*(?:image|images|photo|photos|photo by|picture|foto|fotos|bild|crédit|credit|credits|source|quelle|fuente|fonte|"
    r"фото|здымак|фота|©|\(c\))(?:\s+(?:credit|by|de|von|courtesy of))?\s*[:©/]\s*(.+?)\)?$",
    re.I | re.S,
)
_SMALL = 60
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-hi-res-src", "data-src-large")
_NO_PICTURE = frozenset(
    [
        "logo",
        "icon",
        "avatar",
        "author",
        "emoji",
        "sprite",
        "pixel",
        "tracking",
        "ad",
        "ads",
        "advert",
        "banner",
        "badge",
        "flag",
        "button",
        "share",
    ]
)
_CAPTION = frozenset(
    [
        "caption",
        "captions",
        "figcaption",
        "legend",
        "cutline",
        "description",
        "credit",
        "credits",
        "copyright",
        "photo",
        "source",
        "byline",
    ]
)
_CREDITS = frozenset(["credit", "credits", "copyright", "photographer", "attribution", "source"])
_PROVIDERS = re.compile(
    r"(?:^|\.)(youtube(?:-nocookie)?\.com|youtu\.be|vimeo\.com|dailymotion\.com|twitter\.com|x\.com|instagram\.com|facebook\.com|"
    r"tiktok\.com|soundcloud\.com|spotify\.com|bsky\.app|reddit\.com|ted\.com|twitch\.tv|rumble\.com|megaphone\.fm|"
    r"datawrapper\.dwcdn\.net|infogram\.com|flourish\.studio|scribd\.com|issuu\.com|t\.me|openstreetmap\.org|vk\.com)\Z"
)


def images(
    found: Cut, chosen: Sequence[Piece], starts: Sequence[int], evidence: Evidence, barred: set[Box]
) -> list[Image]:
    """The images printed among the chosen pieces, with the texts that belong to them."""
    if not chosen:
        return []
    kept, seen = [], set()
    if not found.pictures:
        return []
    taken = {p.index for p in chosen}
    home = _home(chosen)
    for picture in found.pictures:
        if not _belongs(picture, chosen, home) or any(box.holds(picture.box) for box in barred):
            continue
        url = _source(picture, evidence)
        if url is None or url in seen:
            continue
        seen.add(url)
        caption, credit = _texts(picture, found, taken)
        alt = (picture.element.get("alt") or "").strip() or None
        position = sum(start < picture.at for start in starts)
        kept.append(Image(url, alt, caption, credit, None, position))
    return kept


def _home(chosen: Sequence[Piece]) -> Box | None:
    """The outermost box below the page's own that holds most of the chosen text, None where there is none. Whatever holds most
    holds the middle, so the outermost box around the middle piece is the one to look at."""
    numbers = [piece.index for piece in chosen]
    totals = [0, *accumulate(len(piece.text) for piece in chosen)]
    middle = bisect_left(totals, totals[-1] / 2, 1) - 1
    box = next((box for box in reversed(chosen[middle].box.up()) if box.tag not in ("html", "body")), None)
    if box is None:
        return None
    inside = totals[bisect_left(numbers, box.last)] - totals[bisect_left(numbers, box.first)]
    return box if inside > totals[-1] * 0.8 else None


def _belongs(picture: Picture, chosen: Sequence[Piece], home: Box | None) -> bool:
    """Among the chosen pieces, or before them in the box that holds them all."""
    if picture.box.flags & (b.NAV | b.ASIDE | b.FOOTER | b.FORM | b.HIDDEN | b.ADDRESS):
        return False
    if home is None:
        return chosen[0].index < picture.at <= chosen[-1].index
    return home.holds(picture.box) and picture.at <= chosen[-1].index + 3


def _source(picture: Picture, evidence: Evidence) -> str | None:
    element = picture.element
    for size in (element.get("width"), element.get("height")):
        if size and size.rstrip("px").isdigit() and int(size.rstrip("px")) < _SMALL:
            return None
    names = f"{element.get('class') or ''} {element.get('id') or ''} {picture.box.names}"
    if _NO_PICTURE & set(tokens(names)):
        return None
    sources = [element.get(name) for name in (*_LAZY, "src")]
    sources.append((element.get("srcset") or element.get("data-srcset") or "").strip().partition(" ")[0])
    return next((url for source in sources if (url := evidence.absolute(source))), None)


def _texts(picture: Picture, found: Cut, taken: set[int]) -> tuple[str | None, str | None]:
    """Caption and credit: the pieces of the picture's own box that name themselves so."""
    captions: list[str] = []
    credit = None
    for piece in _around(picture, found, taken):
        names = set(tokens(piece.inline)) | set(tokens(piece.box.names))
        match = _CREDIT.match(piece.text)
        if match or names & _CREDITS:
            credit = credit or (match[1].strip() if match else piece.text)
        elif names & _CAPTION or piece.box.flags & (b.FIGURE | b.CAPTION):
            captions.append(piece.text)
    return "\n".join(captions) or None, credit


def _around(picture: Picture, found: Cut, taken: set[int]) -> list[Piece]:
    """The unchosen pieces right beside the picture in its figure, or in the smallest box that holds nothing else."""
    box: Box | None = next((up for up in picture.box.up()[:6] if up.tag == "figure"), picture.box)
    near = [
        p for p in found.pieces[max(0, picture.at - 3) : picture.at + 6] if p.index not in taken and len(p.text) < 600
    ]
    for _ in range(3):
        if box is None or box.tag in ("body", "html", "article", "main"):
            break
        inside = [p for p in near if box.first <= p.index < box.last]
        if inside:
            return inside
        box = box.parent
    return []


def embeds(found: Cut, chosen: Sequence[Piece], evidence: Evidence, barred: set[Box]) -> list[tuple[int, Embed]]:
    """Videos, posts and maps between the chosen pieces: (index of the piece that follows, embed)."""
    if not chosen:
        return []
    first, last = chosen[0].index, chosen[-1].index
    kept, seen = [], set()
    home = _home(chosen) if found.frames else None
    for frame in found.frames:
        if not first <= frame.at <= last + 1 or any(box.holds(frame.box) for box in barred):
            continue
        if home and not home.holds(frame.box):
            continue
        url = _frame_url(frame, evidence)
        if url and url not in seen:
            seen.add(url)
            kept.append((frame.at, Embed(url, urlsplit(url).hostname)))
    return kept


def _frame_url(frame: Picture, evidence: Evidence) -> str | None:
    element = frame.element
    if element.tag == "amp-youtube" and element.get("data-videoid"):
        return f"https://www.youtube.com/watch?v={element.get('data-videoid')}"
    source = next((element.get(k) for k in ("src", "data-src", "data-lazy-src") if element.get(k)), None)
    if source is None and element.tag in ("video", "audio"):
        child = element.find("source")
        source = child.get("src") if child is not None else None
    if source and source.startswith("//"):
        source = "https:" + source
    url = evidence.absolute(source)
    if url is None or element.tag in ("video", "audio"):
        return url
    return url if _PROVIDERS.search(urlsplit(url).hostname or "") else None
