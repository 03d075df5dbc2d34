"""`briefwire source ...`: what the wire watches."""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console import articles, reading, show
from services.console.commands import past
from services.console.commands.options import AllowHost, Json, Reason
from services.console.opening import Opening
from services.ingest import folder, schedule
from shared import clock, urls
from shared.errors import OperatorError
from shared.records import Entry, to_plain
from shared.store import console, intake
from shared.store import drift as drifted

app = typer.Typer(name="source", help="What the wire watches: feeds, pages, sitemaps, texts.", no_args_is_help=True)
past.register(app)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name, as `source list` shows it.")]
Profile = Annotated[str | None, typer.Option("--profile", metavar="P", help="A publisher profile, by name.")]


@app.command()
def add(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A feed, sitemap, section page or front page; or a folder.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; its host's name unless given.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="|".join(reading.KINDS), help="What it is; auto looks.")
    ] = "auto",
    profile: Profile = None,
    allow_host: AllowHost = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not fetch it first; needs --kind.")] = False,
    json_: Json = False,
) -> None:
    """Watch a site, or a folder. Looks once at what a site offers and says what was chosen, and why.

    Of a folder, new and changed files are taken in: .html pages, .txt briefs, and .json as in docs/pushing-in.md.

    \b
    briefwire source add https://news.example/
    briefwire source add /srv/inbox --name inbox
    briefwire source add https://news.example/rss.xml --name news --profile news-example
    briefwire source add https://news.example/economy --kind listing
    """
    opening: Opening = context.obj
    if kind not in reading.KINDS or (no_check and kind == "auto"):
        raise OperatorError(
            f"--kind {kind} does not work here.", "Use feed, listing or sitemap" + ("." if no_check else ", or auto.")
        )
    if kind == "folder" or (kind == "auto" and _is_folder(url)):
        _add_folder(opening, url, name, profile, json_)
        return
    host = urls.host_key(url)
    using = reading.profile(opening.settings.ingest.profiles, profile, url, clock.now().date())
    allowed = allow_host or []
    if no_check:
        chosen = reading.Chosen(kind, url, "Not looked at, as you asked.", 0)
    else:
        with show.busy(f"Looking at {url}"):
            chosen = reading.offer(opening.door(allowed), url, kind, using)
    label = name or host.removeprefix("www.")
    with opening.change("add-source", f"source {label}", chosen.url) as (connection, now):
        known = next((row["name"] for row in intake.sources(connection) if row["url"] == chosen.url), None)
        if known is not None:
            raise OperatorError(
                f"{chosen.url} is followed already, as {known}.", "`briefwire source list` shows it.", code=4
            )
        source_id = intake.add_source(
            connection, name=label, url=chosen.url, kind=chosen.kind, profile=profile, now=now
        )
    _tell_added(opening, label, source_id, chosen, allowed, json_)


def _is_folder(url: str) -> bool:
    return url.startswith(("file://", "/", "./", "../", "~")) or Path(url).is_dir()


def _add_folder(opening: Opening, url: str, name: str | None, profile: str | None, json_: bool) -> None:
    """Watches a folder of this machine, by its whole path."""
    root = Path(url.removeprefix("file://")).expanduser().resolve()
    try:
        waiting = sum(1 for _ in folder.listing(root, clock.now()))
    except OSError as error:
        raise OperatorError(f"{root} cannot be watched: {error.strerror}.", "Name a folder that can be read.") from None
    label = name or root.name
    with opening.change("add-source", f"source {label}", str(root)) as (connection, now):
        known = next((row["name"] for row in intake.sources(connection) if row["url"] == str(root)), None)
        if known is not None:
            raise OperatorError(f"{root} is watched already, as {known}.", "`briefwire source list` shows it.", code=4)
        source_id = intake.add_source(connection, name=label, url=str(root), kind="folder", profile=profile, now=now)
    if json_:
        show.as_json({"id": source_id, "name": label, "kind": "folder", "url": str(root), "files": waiting})
    else:
        show.say(f"Added {label}: folder {root}, with {waiting} files to take in.")
        show.say("  It is looked at every few seconds while `briefwire up` runs; files are never changed or removed.")


def _tell_added(
    opening: Opening, label: str, source_id: int, chosen: reading.Chosen, allowed: list[str], json_: bool
) -> None:
    missing = sorted(set(allowed) - set(opening.settings.fetch.allow_hosts))
    if json_:
        show.as_json({"id": source_id, "name": label, **to_plain(chosen), "not_yet_allowed": missing})
    else:
        show.say(f"Added {label}: {chosen.kind} {chosen.url}")
        show.say(f"  {chosen.reason}")
        for one in chosen.others:
            show.say(f"  Also there: {one.kind} {one.url}: {one.reason}")
        show.say("  Its first poll comes at once while `briefwire up` runs.")
    if missing:
        place = opening.settings_file() or opening.settings.folder / "briefwire.toml"
        listed = ", ".join(f'"{one}"' for one in (*opening.settings.fetch.allow_hosts, *missing))
        show.note(
            f"The workers may not speak to {', '.join(missing)} yet. Put this into {place} and restart `briefwire up`:"
        )
        show.note(f"  [fetch]\n  allow_hosts = [{listed}]")


@app.command("list")
def list_(context: typer.Context, json_: Json = False) -> None:
    """The sources, how they fare, when each is polled next.

    \b
    briefwire source list --json
    """
    with context.obj.read() as connection:
        rows, counts = intake.sources(connection), intake.count_states(connection)
        held = {row["source_id"] for row in drifted.held(connection)}
    listed = [_listed(row, counts.get(row["id"], {}), clock.now(), held=row["id"] in held) for row in rows]
    columns = {"name": "name", "kind": "kind", "standing": "state", "seen": "seen", "quarantined": "quarantined",
               "news": "newest", "polled_at": "last poll", "due_at": "next poll", "last_error": "last error", "url": "url"}  # fmt: skip
    show.listing(listed, columns, json_=json_, right=("seen", "quarantined"),
                 empty="No sources yet. `briefwire source add URL` adds one.")  # fmt: skip


def _listed(row: dict[str, Any], counts: dict[str, int], now: dt.datetime, *, held: bool) -> dict[str, Any]:
    """`standing` is the state, and whether the source is held; `news` how long it has brought nothing, and whether that is late."""
    fresh = schedule.freshness(schedule.remembered(row["rhythm"]).rhythm, row["new_at"], now)
    silent = "" if fresh.silent_s is None else f"{_span(fresh.silent_s)} ago"
    own = {
        "held": held, "standing": f"{row['state']}, held" if held else row["state"], "new_at": row["new_at"],
        "overdue": fresh.overdue, "silent_s": fresh.silent_s, "allowed_s": fresh.allowed_s,
        "news": f"{silent}, overdue" if fresh.overdue else silent,
    }  # fmt: skip
    keys = (
        "id",
        "name",
        "kind",
        "state",
        "url",
        "profile",
        "seen",
        "polled_at",
        "ok_at",
        "due_at",
        "failures",
        "last_error",
        "created_at",
    )
    return (
        {key: row[key] for key in keys}
        | own
        | {state: counts.get(state, 0) for state in ("stored", "quarantined", "waiting")}
    )


def _span(seconds: float) -> str:
    """A duration as people say it."""
    for unit_s, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


@app.command()
def drift(context: typer.Context, name: Name, json_: Json = False) -> None:
    """What a source's records usually look like, and what waits because it looks different.

    \b
    briefwire source drift news
    """
    with context.obj.read() as connection:
        found = drifted.summary(connection, intake.source(connection, name)["id"])
    if json_:
        show.as_json(found or {})
    elif found is None or not found["usual"].get("records"):
        show.say(f"Nothing of {name} has become an article yet, so nothing is known of how its records look.")
    else:
        _tell_usual(name, found)


def _tell_usual(name: str, found: dict[str, Any]) -> None:
    usual = found["usual"]
    learning = usual["records"] < usual["needed"]
    show.say(f"{name}: known from its last {usual['records']} articles" + (
        f"; judged from {usual['needed']} on, until then only for the plainest faults." if learning else "."))  # fmt: skip
    show.say(f"  words    {usual['words_low']} to {usual['words_high']}, half of them up to {usual['words_median']}")
    show.say("  fields   " + ", ".join(f"{field} {share:.0%}" for field, share in usual["fields"].items() if share))
    if found["since"]:
        show.say(f"Held since {show.moment(found['since'])}; {found['waiting']} entries wait:")
        for why in found["why"]:
            show.say(f"  {why}")
    for one in found["odd"][:5]:
        show.say(f"  entry:{one['id']}  {one['url'] or ''}\n    {one['detail'] or ''}")
    if found["waiting"]:
        show.say(f"Correct its profile, then `briefwire source release {name}`. Where the pages are right as they are: "
                 f"`briefwire source release {name} --as-it-is --reason …`.")  # fmt: skip


@app.command()
def release(
    context: typer.Context,
    name: Name,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="The pages are right: take them, and learn the new shape.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Let go what waits because it looked different.

    It is read again by the source's profile as it is now, from the bytes that were kept, and judged again.

    \b
    briefwire source release news
    briefwire source release news --as-it-is --reason "new design, records checked"
    """
    show.say(_do(context.obj, "accept-source" if as_it_is else "release-source", name, reason))


@app.command()
def pause(context: typer.Context, name: Name) -> None:
    """Stop polling a source; nothing is forgotten."""
    show.say(f"{_do(context.obj, 'pause-source', name)} `briefwire source resume {name}` polls it again.")


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Poll a paused or stopped source again, at once."""
    show.say(_do(context.obj, "resume-source", name))


@app.command()
def poll(context: typer.Context, name: Name) -> None:
    """Poll a source now, whatever its schedule says."""
    show.say(_do(context.obj, "poll-source", name))


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Stop watching a source for good; what it brought stays.

    Its name becomes free.
    """
    with context.obj.change("remove-source", f"source {name}") as (connection, _):
        console.remove_source(connection, intake.source(connection, name))
    show.say(f"Removed {name}. Its articles stay.")


def _do(opening: Opening, action: str, name: str, reason: str = "") -> str:
    with opening.read() as connection:
        source_id = intake.source(connection, name)["id"]
    return opening.perform(action, source_id, reason=reason).said


@app.command("test")
def show_page(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The page of one article.")],
    profile: Profile = None,
    allow_host: AllowHost = None,
    json_: Json = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which rule gave each field, and what was left out.")
    ] = False,
) -> None:
    """Show what a page would become, and store nothing. Exit code 1 where it is no article.

    \b
    briefwire source test https://news.example/2026/a-brief
    briefwire source test https://news.example/2026/a-brief --profile news-example --json
    briefwire source test http://127.0.0.1:8000/x --allow-host 127.0.0.1:8000 --explain
    """
    opening: Opening = context.obj
    cfg = opening.settings
    using = reading.profile(cfg.ingest.profiles, profile, url, clock.now().date())
    with show.busy(f"Fetching {url}"):
        got = reading.page(opening.door(allow_host or []), url)
    tried = reading.careful(got, using, cfg, "test")
    if json_:
        record = tried.article or tried.draft
        show.as_json(
            to_plain(record) | {"verdict": to_plain(tried.draft.verdict), "profile": using.name if using else None}
        )
    elif tried.article is not None:
        articles.record(tried.article)
    if explain and not json_:
        articles.explanation(tried.draft, using.name if using else None)
    if tried.article is None:
        raise OperatorError(f"{url} is no article: {tried.reason or 'no reason given'}.",
                            "Give the page of one article, or a profile that finds it with --profile.", code=1)  # fmt: skip


@app.command()
def push(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A text or HTML file; - reads standard input.")],
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The source it belongs to; made when new.")],
    url: Annotated[str | None, typer.Option("--url", help="The article's address, where it has one.")] = None,
    html: Annotated[
        bool | None, typer.Option("--html/--text", help="What it is; told from the content unless given.")
    ] = None,
    json_: Json = False,
) -> None:
    """Push an article in, as text or HTML. Pushing the same again changes nothing.

    \b
    briefwire source push brief.txt --source desk
    curl -s https://intranet.example/x | briefwire source push - --source desk --url https://intranet.example/x
    """
    body = _bytes(file)
    if not body.strip():
        raise OperatorError(f"{file} is empty.", "Push a text with a headline and a body.")
    if url is not None:
        urls.host_key(url)
    entry_id, new = _push(context.obj, source, body, _content_type(file, body, html), url)
    if json_:
        show.as_json({"entry": entry_id, "new": new, "source": source})
    elif new:
        show.say(f"Taken in as entry {entry_id} of {source}; it becomes an article while `briefwire up` runs.")
    else:
        show.say(f"{source} has it already (entry {entry_id}); nothing changed.")


def _bytes(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None


def _push(opening: Opening, name: str, body: bytes, content_type: str, url: str | None) -> tuple[int, bool]:
    key = url or f"push:{hashlib.sha256(body).hexdigest()}"
    with opening.change("push", f"source {name}", url or "") as (connection, now):
        try:
            source_id = intake.source(connection, name)["id"]
        except OperatorError:
            source_id = intake.add_source(connection, name=name, url="", kind="push", profile=None, now=now)
        page = intake.NewPage(body, url, url, 200, content_type, now)
        return intake.push_entry(connection, source_id, intake.NewEntry(Entry(key, url), None, False), page, now)


def _content_type(file: str, body: bytes, html: bool | None) -> str:
    if html is None:
        head = body[:2000].lstrip().lower()
        html = file.lower().endswith((".html", ".htm", ".xhtml")) or head.startswith(
            (b"<!doctype html", b"<html", b"<?xml")
        )
    if html:
        return "text/html"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OperatorError(
            f"{file} is no UTF-8 text (byte {error.start}).", "Convert it to UTF-8, or push it with --html."
        ) from None
    return "text/plain; charset=utf-8"
