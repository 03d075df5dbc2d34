"""A partner's address, format, filter, secret or layout in; whether it may be used, and what it is, out."""

from __future__ import annotations

import datetime as dt
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import msgspec

from services.publish import filters, render, sign, storage, trial
from shared import urls
from shared.addresses import why_not_public
from shared.errors import OperatorError, Rejected
from shared.http import Policy
from shared.settings import Settings


class Place(msgspec.Struct, frozen=True):
    """Where a partner takes delivery. kind: webhook (an http or https URL) or storage (a folder or any fsspec URL)."""

    kind: str
    url: str
    name: str


def place(url: str) -> Place:
    """What an address is. OperatorError where it is neither a web address nor a storage target."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in ("http", "https"):
        try:
            return Place("webhook", url, urls.host_key(url).removeprefix("www."))
        except Rejected as error:
            raise OperatorError(error.detail, "Give a whole address, such as https://desk.example/in.") from None
    if scheme in ("", "file"):
        folder = Path(url.removeprefix("file://")).expanduser().absolute()
        return Place("storage", str(folder), folder.name or "folder")
    if scheme not in fsspec.available_protocols():
        raise OperatorError(f"{url} is neither a web address nor a storage target.",
                            "Use https://…, a folder, or a storage URL such as s3://bucket/prefix.")  # fmt: skip
    return Place("storage", url, urlsplit(url).netloc or scheme)


def check_format(name: str) -> None:
    """OperatorError, naming what there is, where no renderer has this name."""
    if name not in render.FORMATS:
        raise OperatorError(f"There is no format named {name}.", f"There are: {', '.join(render.FORMATS)}.")


def check_filter(text: str) -> None:
    """OperatorError with the place of the mistake where the filter does not parse."""
    try:
        filters.parse(text)
    except filters.FilterError as error:
        raise OperatorError(f"The filter does not parse: {error.what}", error.next_step) from None


def check_layout(template: str) -> None:
    """OperatorError where the template names something unknown, or leads out of the target."""
    now = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    try:
        storage.layout(template, storage.layout_values(trial.sample(now), "json"))
    except Rejected as error:
        raise OperatorError(
            f"The layout is not usable: {error.detail}", "docs/partners.md shows what it may name."
        ) from None


def check_secret(secret: str) -> None:
    """OperatorError where nothing can be signed with it."""
    try:
        sign.sign([secret], "msg_test", dt.datetime(2000, 1, 1, tzinfo=dt.UTC), b"{}")
    except Rejected as error:
        raise OperatorError(
            f"The secret is not usable: {error.detail}", "Leave --secret out and one is made."
        ) from None


def new_secret() -> str:
    """A fresh whsec_ secret."""
    return sign.new_secret(os.urandom(32))


def check_reachable(settings: Settings, url: str) -> None:
    """Judges a webhook's addresses by the rules of the guarded door, without calling it.

    Raises:
        OperatorError: code 2, the host or port is refused, and by which rule; code 3, its name cannot be resolved.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if {host.lower(), shown.lower()} & {entry.lower() for entry in settings.fetch.allow_hosts}:
        return
    allow = f'Put allow_hosts = ["{shown}"] under [fetch] in briefwire.toml if this host is yours.'
    if port not in Policy().ports:
        raise OperatorError(
            f"Port {port} is refused: webhooks go to {', '.join(map(str, sorted(Policy().ports)))}.", allow
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OperatorError(
            f"The name {host} cannot be resolved: {error}.", "Check it, or skip this with --no-check.", code=3
        ) from None
    for address in {str(answer[4][0]) for answer in found}:
        rule = why_not_public(address)
        if rule is not None:
            raise OperatorError(
                f"{host} is refused: its address {address} is in {rule}, and that is not public.", allow
            )
