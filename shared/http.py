"""The only door out: a `Request` goes in, a `Reply` (any status) comes out, or `Retryable` or `Rejected` is raised.

    name -> every address judged -> one of those addresses dialled -> peer checked -> TLS verified -> head -> body

The same for every hop of a redirect. One total deadline cuts each step, however slowly the other side drips; head, raw
body and decoded body are capped. Nothing is read from the environment: no proxies, no .netrc, no cookies kept.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import time
from collections.abc import Mapping
from urllib.parse import unquote

import ada_url
import msgspec
import requests

from shared import wire
from shared.adapter import GuardedSession, Step
from shared.addresses import why_not_public
from shared.errors import OperatorError, Rejected, Retryable
from shared.names import Names, Resolve
from shared.urls import absolute

REDIRECTS = (301, 302, 303, 307, 308)
_SAFE_ELSEWHERE = frozenset(
    ("accept", "accept-encoding", "accept-language", "content-type", "if-modified-since", "if-none-match", "user-agent")
)
_OURS = frozenset(("connection", "content-length", "host", "te", "transfer-encoding", "upgrade"))
_BAD_HEADER = re.compile(r"[^\x09\x20-\x7e\x80-\xff]")


class Policy(msgspec.Struct, frozen=True):
    """What the door lets through. Sizes in bytes, durations in seconds.

    `allow_hosts` names internal hosts, "host" or "host:port": for those, and only those, addresses that are not public
    and any port are let through. Connections are kept for `idle_s` after their last use. `ca_file` is a PEM file of
    further authorities, for internal hosts.
    """

    allow_hosts: frozenset[str] = frozenset()
    user_agent: str = "Briefwire/0.1"
    ports: frozenset[int] = frozenset((80, 443, 8080, 8443))
    connect_s: float = 5.0
    idle_s: float = 60.0
    deadline_s: float = 30.0
    max_raw: int = 10 * 1024 * 1024
    max_decoded: int = 20 * 1024 * 1024
    max_header_bytes: int = 64 * 1024
    max_redirects: int = 10
    ca_file: str | None = None


class Request(msgspec.Struct, frozen=True):
    """One call out. `deadline_s` covers all hops; it and `max_decoded` default to the policy's.

    `redirects` is how many to follow (0: a 3xx is the reply). With `cut_body_ok` a reply whose head arrived counts even
    when its body is cut, too large or unreadable: `Reply.complete` is then False.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    redirects: int = 10
    deadline_s: float | None = None
    max_decoded: int | None = None
    cut_body_ok: bool = False


class Reply(msgspec.Struct, frozen=True):
    """What came back. `headers` ignore the case of names; `hops` are the redirects followed: (status, URL that did it).

    `body` is decoded. `peer` is the address that answered, "93.184.216.34:443".
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    final_url: str
    hops: tuple[tuple[int, str], ...]
    duration_s: float
    complete: bool
    peer: str


class Door:
    """Sends requests under one policy over kept-alive connections. Threads may share it; make it after a fork.

    `resolve` is `socket.getaddrinfo` or something that answers like it; `dial` connects to what passed the judgement.
    """

    def __init__(self, policy: Policy, resolve: Resolve = socket.getaddrinfo, dial: wire.Dial = wire.dial) -> None:
        self.policy, self._dial = policy, dial
        self._names = Names(resolve)
        self._allowed = frozenset(_allowed_key(entry) for entry in policy.allow_hosts)
        self._session = GuardedSession(policy.ca_file)

    def send(self, request: Request) -> Reply:
        """The reply to `request`, whatever its status.

        Raises:
            Retryable: "dns-failed", "dns-timeout", "connect-refused", "connect-timeout", "connect-failed",
                "tls-failed", "deadline", "connection-reset", "cut-short", "protocol-error", "encoding-broken".
            Rejected: "bad-url", "bad-header", "scheme-refused", "address-refused", "port-refused", "too-large",
                "headers-too-large", "encoding-refused", "too-many-redirects".
        """
        policy = self.policy
        call = wire.Call(
            self._connect,
            within_s=request.deadline_s or policy.deadline_s,
            idle_s=policy.idle_s,
            max_raw=max(policy.max_raw, request.max_decoded or 0),
            max_decoded=request.max_decoded or policy.max_decoded,
            max_head=policy.max_header_bytes,
        )
        with wire.running(call):
            return self._follow(_first_step(request, policy), request, call)

    def close(self) -> None:
        """Close the idle connections and end the resolver's threads."""
        self._session.close()
        self._names.close()

    def _follow(self, step: Step, request: Request, call: wire.Call) -> Reply:
        """One hop after the other, until an answer that leads nowhere else."""
        hops: list[tuple[int, str]] = []
        allowed = min(request.redirects, self.policy.max_redirects)
        while True:
            response = self._session.make(step)
            location = response.headers.get("location") if response.status_code in REDIRECTS else None
            if location is None or request.redirects <= 0:
                return self._reply(response, step, request, call, tuple(hops))
            if len(hops) >= allowed:
                response.close()
                raise Rejected("too-many-redirects", f"More than {allowed} redirects, the last one at {step.url}.")
            response.raw.drain_conn()
            hops.append((response.status_code, step.url))
            before, step = step, _next_step(step, response.status_code, location)
            self._judge_turn(before, step, call)

    def _reply(
        self,
        response: requests.Response,
        step: Step,
        request: Request,
        call: wire.Call,
        hops: tuple[tuple[int, str], ...],
    ) -> Reply:
        body, complete = _body(response, cut_ok=request.cut_body_ok)
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=body,
            final_url=step.url,
            hops=hops,
            duration_s=time.monotonic() - call.started,
            complete=complete,
            peer=call.peer,
        )

    def _connect(self, host: str, port: int, call: wire.Call) -> tuple[socket.socket, str]:
        """A socket connected to a judged address of that host, and the address it reached."""
        named = self._named(host, port)
        if not named and port not in self.policy.ports:
            raise Rejected("port-refused", f"Port {port} is not among the ports allowed; {_advice(host, port)}.")
        answers = self._names.lookup(host, port, call.left_s())
        for _, address in () if named else answers:
            rule = why_not_public(address[0])
            if rule:
                raise Rejected("address-refused", f"{host} is at {address[0]}, in {rule}; {_advice(host, port)}.")
        return self._dial(host, answers, min(self.policy.connect_s, call.left_s()))

    def _named(self, host: str, port: int) -> bool:
        """Whether the operator named this host as internal."""
        return bool({(host.lower(), None), (host.lower(), port)} & self._allowed)

    def _judge_turn(self, before: Step, after: Step, call: wire.Call) -> None:
        """What is allowed to us is not allowed to a site outside: it may not redirect us to a machine of our own.

        Judged here and not when connecting, for a connection to that machine may be open already.
        """
        if not self._named(after.host, after.port) or self._named(before.host, before.port):
            return
        for _, address in self._names.lookup(after.host, after.port, call.left_s()):
            if why_not_public(address[0]):
                raise Rejected("address-refused", f"{before.url} redirects to {after.host}, a machine of our own.")


def _allowed_key(entry: str) -> tuple[str, int | None]:
    """An entry of allow_hosts as host and port, the host spelled as connections spell it; port None: any."""
    host, colon, digits = entry.strip().rpartition(":")
    if not colon or not digits.isdigit() or (":" in host and not host.startswith("[")):
        host, digits = entry.strip(), ""
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    try:
        parts = ada_url.parse_url(f"http://{host}/", attributes=("hostname", "href"))
    except ValueError:
        parts = {"hostname": "", "href": ""}
    if not parts["hostname"] or parts["href"] != f"http://{parts['hostname']}/":
        raise OperatorError(f"{entry!r} in allow_hosts is no host.", 'Write "host" or "host:port".')
    return parts["hostname"].strip("[]").rstrip("."), int(digits) if digits else None


def _first_step(request: Request, policy: Policy) -> Step:
    headers = {"User-Agent": policy.user_agent, "Accept-Encoding": "gzip, deflate, br, zstd"}
    for name, value in request.headers.items():
        if _BAD_HEADER.search(name + value) or name.lower() in _OURS:
            raise Rejected("bad-header", f"The header {name!r} cannot be sent; take it out of the request.")
        headers = _without(headers, name) | {name: value}
    return _step(request.method, request.url, headers, request.body)


def _without(headers: dict[str, str], *names: str) -> dict[str, str]:
    gone = {name.lower() for name in names}
    return {name: value for name, value in headers.items() if name.lower() not in gone}


def _step(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Step:
    try:
        parts = ada_url.parse_url(url, attributes=_PARTS)
    except ValueError:
        raise Rejected("bad-url", f"{url[:200]!r} is not an absolute URL.") from None
    scheme = parts["protocol"].rstrip(":")
    if scheme not in ("http", "https"):
        raise Rejected("scheme-refused", f"The scheme {scheme!r} is not allowed; use an http or https URL.")
    host = parts["hostname"].strip("[]").rstrip(".")
    if not host:
        raise Rejected("bad-url", f"{url[:200]!r} has no host.")
    port = int(parts["port"] or (443 if scheme == "https" else 80))
    if parts["username"] or parts["password"]:
        headers = _without(headers, "Authorization") | {"Authorization": _basic(parts["username"], parts["password"])}
    target = parts["pathname"] + parts["search"]
    shown = f"{scheme}://{parts['hostname']}{':' + parts['port'] if parts['port'] else ''}{target}"
    return Step(method.upper(), shown, scheme, host, port, target, headers, body)


_PARTS = ("protocol", "username", "password", "hostname", "port", "pathname", "search")


def _basic(username: str, password: str) -> str:
    pair = f"{unquote(username)}:{unquote(password)}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _next_step(step: Step, status: int, location: str) -> Step:
    """Where a redirect leads: as RFC 9110 has it, without what was meant for the first host only."""
    with contextlib.suppress(UnicodeError):  # where it is not raw UTF-8, what http.client read as Latin-1 stands
        location = location.encode("latin-1").decode("utf-8")
    url = absolute(step.url, location)
    if url is None:
        raise Rejected("scheme-refused", f"{step.url} redirects to {location[:200]!r}, which is no http or https URL.")
    method, body, headers = step.method, step.body, step.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body, headers = "GET", None, _without(headers, "Content-Type")
    following = _step(method, url, {}, body)
    if not _same_party(step, following):
        headers = {name: value for name, value in headers.items() if name.lower() in _SAFE_ELSEWHERE}
    return following._replace(headers=headers)


def _same_party(one: Step, two: Step) -> bool:
    """The same host, and neither another port nor less protection: http to https on the standard ports is the same."""
    upgrade = (one.scheme, one.port, two.scheme, two.port) == ("http", 80, "https", 443)
    return one.host == two.host and (upgrade or (one.scheme, one.port) == (two.scheme, two.port))


def _body(response: requests.Response, *, cut_ok: bool) -> tuple[bytes, bool]:
    """The decoded body, and whether it is whole. What was read of a cut one is kept where a cut body is acceptable."""
    got = bytearray()
    try:
        for piece in response.iter_content(None):
            got += piece
    except (Retryable, Rejected):
        if not cut_ok:
            raise
        return bytes(got), False
    finally:
        response.close()
    return bytes(got), True


def _advice(host: str, port: int) -> str:
    return f"if it is your own host, add {wire.bracketed(host)}:{port} to allow_hosts"
