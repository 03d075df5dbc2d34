"""A `requests.Session` whose only way out is the guarded wire: a `Hop` goes in, a `requests.Response`, body unread, comes out.

requests carries requests and responses; everything that guards is below it, in `shared.wire`, or above it, in `shared.http`.
What it would do by itself and behind our back is closed off here: its own transport, reading a body, cookies, redirects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from shared import wire


class Step(NamedTuple):
    """One hop to make: `url` without credentials and fragment, `host` without brackets, `target` its path and query."""

    method: str
    url: str
    scheme: str
    host: str
    port: int
    target: str
    headers: dict[str, str]
    body: bytes | None


class Hop(requests.PreparedRequest):
    """A step as requests carries it.

    Prepared by us: requests would parse and quote the URL once more, in its own way, and then another host could be
    dialled than the one that was judged.
    """

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        self.method, self.url, self.body = step.method, step.url, step.body
        self.headers = CaseInsensitiveDict(step.headers)


class Body:
    """A body still on the wire, all that requests gets to hold of it: whoever reads here gets it capped and decoded.

    It lacks what requests would take cookies from.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def stream(self, chunk_size: int | None = None, decode_content: bool = True) -> Iterator[bytes]:
        """The pieces of the body as they come, decoded, whatever the arguments say; errors as `Door.send` lists them."""
        return wire.body(self._response)

    def drain_conn(self) -> None:
        """Done with a redirect: its connection may serve the next hop."""
        wire.drain(self._response)

    def close(self) -> None:
        """Done: the connection is kept if the whole body was read, closed otherwise."""
        wire.drop(self._response)

    # Never a bare release: decoding can end before the bytes do, and the next answer would begin with the rest.
    release_conn = close


class GuardedAdapter(BaseAdapter):
    """The one transport of a session: one hop a call, over the pools of `shared.wire`."""

    def __init__(self, ca_file: str | None) -> None:
        super().__init__()
        self._pools = wire.pools(ca_file)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """The response to a `Hop`, head read, body unread. The other arguments loosen nothing: they are not looked at.

        Raises:
            Retryable, Rejected: as `shared.http.Door.send` lists them.
            TypeError: for a request that the door did not prepare.
        """
        if not isinstance(request, Hop):
            raise TypeError(f"{request!r} was not prepared by the door.")
        step = request.step
        pool = self._pools.connection_from_host(step.host, step.port, step.scheme)
        return _carried(request, wire.exchange(pool, step.method, step.target, request.headers, step.body))

    def close(self) -> None:
        """Close the idle connections."""
        self._pools.clear()


class GuardedSession(requests.Session):
    """Sends hops; `ca_file` as `shared.wire.pools` takes it. Threads may share it: sending changes nothing in it."""

    def __init__(self, ca_file: str | None) -> None:
        super().__init__()
        self.trust_env = False
        adapter = GuardedAdapter(ca_file)
        for prefix in list(self.adapters):
            self.mount(prefix, adapter)

    def make(self, step: Step) -> requests.Response:
        """The response to `step`, its body unread, redirects not followed; errors as `GuardedAdapter.send`.

        An empty `proxies` keeps requests from working out which ones it should use.
        """
        return self.send(Hop(step), stream=True, allow_redirects=False, proxies={})

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, always: redirects are the door's. requests reads and inflates their bodies even if told not to follow."""


def _carried(hop: Hop, response: urllib3.BaseHTTPResponse) -> requests.Response:
    carried = requests.Response()
    carried.request, carried.url = hop, hop.step.url
    carried.status_code, carried.reason = response.status, response.reason or ""
    carried.headers = CaseInsensitiveDict(response.headers)
    carried.raw = Body(response)
    return carried
