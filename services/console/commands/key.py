"""`briefwire key ...`: programs that may push into a source, or fetch what a partner gets. A key is shown once."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy import Connection

from services.console import endpoints, reasons, show
from services.console.commands.endpoint import Which
from services.console.commands.options import Json
from services.console.opening import Opening
from shared import vault
from shared.errors import OperatorError
from shared.settings import Settings
from shared.store import intake, keys, partners, websub

app = typer.Typer(name="key", help="Who may push in, and who may fetch.", no_args_is_help=True)

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The source's name; a new one makes a source for pushes.")
]
Partner = Annotated[
    str, typer.Argument(metavar="PARTNER", help="The partner's name; a new one makes a partner that is sent nothing.")
]


class Kind(StrEnum):
    push = "push"
    pull = "pull"


@app.command()
def push(
    context: typer.Context,
    name: Source,
    sign: Annotated[bool, typer.Option("--sign", help="A secret that signs requests, instead of a key.")] = False,
    json_: Json = False,
) -> None:
    """Make a key with which a program may push into a source; docs/pushing-in.md shows how.

    \b
    briefwire key push newsroom
    """
    opening: Opening = context.obj
    made = endpoints.new_secret() if sign else f"bwp_{secrets.token_urlsafe(32)}"
    with opening.change("key.push", name) as (connection, now):
        sealed = vault.seal(opening.settings.folder, [made]) if sign else None
        known = next((row["id"] for row in intake.sources(connection) if row["name"] == name), None)
        source_id = known or intake.add_source(connection, name=name, url="", kind="push", profile=None, now=now)
        keys.add(connection, "sign" if sign else "push", source_id, made, now, sealed=sealed)
    address = f"{base(opening.settings)}/push/{name}"
    if json_:
        show.as_json({"source": name, "key": made, "address": address})
        return
    show.say(f"{'Secret' if sign else 'Key'} of {name} (shown once): {made}")
    show.say(f"  Push to {address}")


@app.command()
def pull(
    context: typer.Context,
    name: Partner,
    filter_: Annotated[
        str, typer.Option("--filter", metavar="F", help="For a new partner: only what this matches.")
    ] = "",
    which: Which = None,
    json_: Json = False,
) -> None:
    """Make a key with which a partner may fetch feeds and events, and sign in at its own page; docs/partners.md shows how.

    A key opens one endpoint: name it where the partner has several.

    \b
    briefwire key pull gazette
    briefwire key pull gazette --endpoint 3
    """
    opening: Opening = context.obj
    endpoints.check_filter(filter_)
    made = secrets.token_urlsafe(32)
    with opening.change("key.pull", name) as (connection, now):
        endpoint_id = _endpoint(connection, name, which)
        if endpoint_id is None:
            _, endpoint_id = partners.add_partner(
                connection, name=name, kind="pull", url="", format="brief", secrets=vault.seal(opening.settings.folder, []),
                filter=filter_, backfill=False, coalesce=False, relinked=False, concurrency=1, now=now,
            )  # fmt: skip
        elif filter_:
            raise OperatorError(f"{name} is there already and keeps its filter.", "Leave --filter out.")
        keys.add(connection, "pull", endpoint_id, made, now)
    at = base(opening.settings)
    feeds = {ending: f"{at}/feeds/{made}.{ending}" for ending in ("rss", "atom", "json", "txt")}
    if json_:
        found = {"partner": name, "endpoint": endpoint_id, "key": made, "feeds": feeds}
        show.as_json(found | {"events": f"{at}/events", "page": f"{at}/portal"})
        return
    show.say(f"Key of {name} (shown once; its feeds' addresses hold it too): {made}")
    for one in (*feeds.values(), f"{at}/events?after=0"):
        show.say(f"  {one}")
    show.say(f"  The partner's own page, signed in with this key: {at}/portal")


@app.command()
def revoke(
    context: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="push: keys and secrets of a source; pull: keys of a partner.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The source's or the partner's name.")],
) -> None:
    """Shut out every key of a source or of a partner.

    \b
    briefwire key revoke pull gazette
    """
    with context.obj.change("key.revoke", f"{kind} {name}") as (connection, now):
        if kind is Kind.push:
            source_id = intake.source(connection, name)["id"]
            n = keys.revoke(connection, "push", source_id, now) + keys.revoke(connection, "sign", source_id, now)
        else:
            rows = [row for row in partners.of_partner(connection, name) if row["kind"] != "websub"]
            n = sum(keys.revoke(connection, "pull", row["id"], now) for row in rows)
            for row in rows:
                websub.shut_out(connection, row["id"])
    show.say(f"Shut out {n} {'key' if n == 1 else 'keys'} of {name}.")


def base(settings: Settings) -> str:
    """The address of the web application: as configured, else as the running one has written down, else the usual one."""
    written = settings.folder / "web.url"
    if settings.web.url or not written.is_file():
        return (settings.web.url or f"http://{settings.web.host}:{settings.web.port}").rstrip("/")
    return written.read_text(encoding="utf-8").strip()


def _endpoint(connection: Connection, name: str, which: int | None) -> int | None:
    """The partner's endpoint, the one named where it has several; subscribers of its feeds have some of their own."""
    known = any(row["partner"] == name for row in partners.endpoints(connection))
    return int(reasons.one_endpoint(connection, name, which)["id"]) if known or which is not None else None
