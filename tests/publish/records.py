"""Articles to render, route and send in tests: one that holds every kind of value, and variations of it."""

from __future__ import annotations

import datetime as dt

import msgspec

from services.publish.render import RenderInput
from shared.records import (
    Annotations,
    Article,
    Category,
    CategoryStatus,
    Code,
    Embed,
    Heading,
    Image,
    ListBlock,
    Mark,
    Moment,
    Name,
    Nested,
    Paragraph,
    Quote,
    Related,
    Similar,
    Snapshot,
    Table,
)

AT = dt.datetime(2026, 3, 5, 14, 30, 15, tzinfo=dt.UTC)

PUBLISHED = Moment("March 5, 2026 16:20", "2026-03-05T14:20:00+00:00", "Europe/Vilnius", "configured", "minute")
MODIFIED = Moment("March 5, 2026 16:25", "2026-03-05T14:25:00+00:00", "Europe/Vilnius", "configured", "minute")

LEAD = "Ferry fares on the lagoon\u00a0rise by a tenth in May, the harbour board’s minutes say."

BLOCKS = (
    Paragraph(
        LEAD, (Mark(0, 11, "strong"), Mark(6, 25, "em"), Mark(70, 77, "link", "https://harbour.example/minutes"))
    ),
    Heading("What changes", 2),
    Paragraph('Паромы подорожают: билет стоит 11 рублей, "льготный" — 7.'),
    ListBlock(
        False,
        ("Single ticket", "Season ticket"),
        ((Mark(0, 6, "strong"),), ()),
        (Nested(1, ListBlock(True, ("adult", "child"))),),
    ),
    Quote("We waited four years.\n\nWe cannot wait a fifth.", "Ilze Kalna, harbour master"),
    Code("fare = base * 1.1\nif child:\n    fare /= 2"),
    Table((("Ticket", "Fare"), ("Single | day", "11"), ("Season", "90")), 1, "Fares from May"),
    Embed("https://video.example/v/91", "video.example", "The board's press conference"),
    Paragraph("1. This paragraph starts like a list & holds <angle> brackets, *stars* and _lines_."),
)

IMAGES = (
    Image("https://harbour.example/ferry.jpg", "A ferry", "The Amber at quay", "Harbour.example", "All rights kept", 2),
    Image("https://harbour.example/map.png", None, None, "Map desk", None, 9),
)

RELATED = (
    Related(
        "publisher_similar",
        "Similar articles",
        1,
        "https://harbour.example/strike",
        Snapshot(
            "Dockers end their strike",
            "https://harbour.example/strike",
            Moment("February 1, 2026", "2026-01-31T22:00:00+00:00", "Europe/Vilnius", "configured", "day"),
            "The strike ended on Sunday.",
            (Paragraph("The strike ended on Sunday."), Paragraph("Both sides signed.")),
            (Image("https://harbour.example/dock.jpg", None, None, "Dock.example"),),
        ),
    ),
    Related("publisher_related", None, 2, "https://harbour.example/timetable", None),
)

ARTICLE = Article(
    id="art_7c1",
    source="harbour",
    source_item_id="8812",
    url="https://harbour.example/fares",
    requested_url="https://harbour.example/fares?utm_source=rss",
    final_url="https://harbour.example/fares",
    revision=3,
    state="usable",
    content_hash="ab" * 32,
    headline="Ferry fares rise in May",
    language="en",
    language_evidence="stated",
    authors=("Jānis Bērziņš", "A. Reporter"),
    published=PUBLISHED,
    modified=MODIFIED,
    section="Economy",
    category_status=CategoryStatus("worsened", "Category status:", "arrow down", "class down"),
    lead=LEAD,
    blocks=BLOCKS,
    images=IMAGES,
    tags=("ferries", "fares"),
    related=RELATED,
    site_name="Harbour News",
)

ANNOTATIONS = Annotations(
    categories=(
        Category("medtop", "20000337", "Tourism", "model", "4", 0.871, ("ferry", "fare")),
        Category("section", "economy", "Economy", "publisher", "1", 1.0),
        Category("medtop", "20000344", "Transport", "model", "4", 0.31, (), True),
    ),
    story="story_12",
    similar=(
        Similar(
            "art_5",
            "Board postpones fare rise",
            "https://other.example/board",
            "same_story",
            0.62,
            "postings",
            "2",
            "2026-03-05T14:29:00+00:00",
            ("Kalna", "fares"),
        ),
    ),
    names=(Name("Jānis Kalna", "person", 2), Name("Lagoon Lines", "organisation", 1), Name("Amber", None, 1)),
)


def event(kind: str = "published", annotations: Annotations = ANNOTATIONS, **changes: object) -> RenderInput:
    """An event about ARTICLE with these fields of it changed."""
    article = msgspec.structs.replace(ARTICLE, **changes)
    return RenderInput(f"article.{kind}", AT, 41, article, annotations)


def withdrawn() -> RenderInput:
    """The withdrawal of ARTICLE."""
    return event("withdrawn", state="withdrawn", revision=4)
