"""The door against forbidden addresses. The oracle is the interpreter's own audit event for every connect attempt.

No packet leaves: the audit hook answers each attempt with "connection refused", so a call that the door lets through
ends as `Retryable("connect-refused")` with the dialled address on record.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from shared.addresses import why_not_public
from shared.errors import OperatorError, Rejected, Retryable
from shared.http import Door, Policy, Request
from shared.wire import Dial, dial
from tests.shared.hostile import Server, ok, read_request

_watching: list[Connects] = []


class Connects:
    """Connect attempts seen by the interpreter; those to `real` go through, the others are refused."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.real: set[int] = set()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and args[0].family in (socket.AF_INET, socket.AF_INET6):
            self.dialled.append(args[1][:2])
            if args[1][1] not in self.real:
                raise ConnectionRefusedError


def _hook(event: str, args: tuple[Any, ...]) -> None:
    for watcher in _watching:
        watcher(event, args)


sys.addaudithook(_hook)


@pytest.fixture
def connects() -> Iterator[Connects]:
    watcher = Connects()
    _watching.append(watcher)
    yield watcher
    _watching.remove(watcher)


class Names:
    """A resolver with a table; counts how often it was asked. Unknown names do not exist."""

    def __init__(self, **table: list[str]) -> None:
        self.table, self.asked = table, 0

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [_answer(address, port) for address in self.table[host]]


def _answer(address: str, port: int) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    place = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
    return (family, socket.SOCK_STREAM, 6, "", place)


FORBIDDEN_4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.1",
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
FORBIDDEN_6 = [
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
    "100::1", "1000::1", "2001::1", "2001:0:808:808:0:0:f7f7:f7f7", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "3fff::1", "3ffe::1",
    "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:127.0.0.1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "93.184.216.34", "100.63.255.255", "100.128.0.1",
    "126.255.255.255", "128.0.0.1", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.1",
    "172.15.255.255",
    "172.32.0.1", "191.255.255.255", "192.0.1.1", "192.0.3.1", "192.88.98.1", "192.167.255.255", "192.169.0.1",
    "198.17.255.255", "198.20.0.1", "198.51.99.1", "203.0.112.1", "223.255.255.255", "2001:200::1",
    "2001:4860:4860::8888", "2003::1", "2400:cb00::1", "2606:4700:4700::1111", "2620:fe::fe", "2800:3f0::1",
    "2a00:1450:4001::200e", "2c0f:fb50::1", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1",
]  # fmt: skip
SPELLINGS = [
    "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/",
    "http://0177.0.0.1/", "http://017700000001/", "http://0/", "http://0x0/", "http://127.0.0.1./",
    "http://0xa9fea9fe/", "http://2852039166/", "http://169.254.43518/", "http://0251.0376.0251.0376/",
    "http://%31%32%37.0.0.1/", "http://127%2e0%2e0%2e1/", "http://１２７.0.0.1/", "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/",
    "http:127.0.0.1/", "http:/127.0.0.1/", "http:\\\\127.0.0.1\\", "http:////127.0.0.1/", "  http://127.0.0.1/  ",
    "http://127.\t0.0.\n1/", "HTTP://127.0.0.1:80/", "http://u@127.0.0.1/", "http://example.org@127.0.0.1/",
    "http://example.org:80@127.0.0.1/", "http://127.0.0.1#@example.org/", "http://127.0.0.1?@example.org/",
    "http://127.0.0.1\\@example.org/", "http://127.0.0.1:8080/x", "https://127.0.0.1/", "https://10.0.0.1:8443/",
    "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:a9fe:a9fe]/", "http://[0000:0000::0001]/",
    "http://[::ffff:0x7f.1]/", "http://[fe80::1%25eth0]/", "http://localhost/", "http://LOCALHOST/", "http://localhost./",
    "http://a.localhost:8080/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://metadata/", "http://metadata.internal/",
    "http://169.254.169.254.rebind.test/", "http://both.test/", "http://first-public.test/", "http://last-public.test/",
]  # fmt: skip
NOT_A_WAY_OUT = [
    ("ftp://93.184.216.34/", "scheme-refused"), ("file:///etc/passwd", "scheme-refused"),
    ("gopher://127.0.0.1:6379/_x", "scheme-refused"), ("dict://127.0.0.1:11211/", "scheme-refused"),
    ("ldap://127.0.0.1/", "scheme-refused"), ("jar:http://127.0.0.1!/", "scheme-refused"),
    ("data:text/html,x", "scheme-refused"), ("javascript:alert(1)", "scheme-refused"),
    ("ws://8.8.8.8/", "scheme-refused"),
    ("http+unix://%2Fvar%2Frun%2Fdocker.sock/", "scheme-refused"), ("http://93.184.216.34:22/", "port-refused"),
    ("http://93.184.216.34:25/", "port-refused"), ("http://93.184.216.34:6379/", "port-refused"),
    ("https://93.184.216.34:11211/", "port-refused"), ("http://93.184.216.34:0/", "port-refused"),
    ("http://93.184.216.34:65536/", "bad-url"), ("http://", "bad-url"), ("//93.184.216.34/", "bad-url"),
    ("", "bad-url"),
    ("http://[::1", "bad-url"), ("http://a b/", "bad-url"), ("http://%00/", "bad-url"), ("http://./", "bad-url"),
    ("http://256.1.1.1/", "bad-url"),
    ("http://1.2.3.4.5/", "bad-url"), ("http://\ud800/", "bad-url"),
]  # fmt: skip
RESOLVER: dict[str, list[str]] = {
    "localhost": ["::1", "127.0.0.1"],
    "a.localhost": ["127.0.0.1"],
    "metadata": ["169.254.169.254"],
    "metadata.internal": ["fd00:ec2::254"],
    "169.254.169.254.rebind.test": ["169.254.169.254"],
    "both.test": ["10.0.0.1", "fd00::1"],
    "first-public.test": ["93.184.216.34", "10.0.0.1"],
    "last-public.test": ["fe80::1%eth0", "93.184.216.34"],
}


def _url(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


def _outcome(door: Door, url: str) -> str:
    """The reason code that a request for `url` ends with."""
    try:
        door.send(Request(url))
    except (Rejected, Retryable) as error:
        return error.reason
    raise AssertionError(f"{url} was answered")


@pytest.fixture
def door() -> Iterator[Door]:
    with_names = Door(Policy(), resolve=Names(**RESOLVER))
    yield with_names
    with_names.close()


@pytest.mark.parametrize("url", [*map(_url, FORBIDDEN_4 + FORBIDDEN_6), *SPELLINGS])
def test_no_spelling_leads_to_a_forbidden_address(url: str, door: Door, connects: Connects) -> None:
    assert _outcome(door, url) in ("address-refused", "bad-url")
    assert connects.dialled == []


@pytest.mark.parametrize("address", FORBIDDEN_4 + FORBIDDEN_6)
def test_no_name_leads_to_a_forbidden_address(address: str, connects: Connects) -> None:
    door = Door(Policy(), resolve=Names(**{"news.test": [address], "mixed.test": ["93.184.216.34", address]}))
    assert _outcome(door, "https://news.test/") == "address-refused"
    assert _outcome(door, "https://mixed.test/") == "address-refused"
    assert connects.dialled == []
    door.close()


@pytest.mark.parametrize(("url", "reason"), NOT_A_WAY_OUT)
def test_other_schemes_ports_and_non_urls_are_refused(url: str, reason: str, door: Door, connects: Connects) -> None:
    assert _outcome(door, url) == reason
    assert connects.dialled == []


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_dialled_as_they_are(address: str, connects: Connects) -> None:
    names = Names(**{"news.test": [address]})
    door = Door(Policy(), resolve=names)
    for url in (_url(address), "https://news.test/", "http://news.test:8080/"):
        assert _outcome(door, url) == "connect-refused"
    assert [ipaddress.ip_address(host) for host, _ in connects.dialled] == [ipaddress.ip_address(address)] * 3
    assert [port for _, port in connects.dialled] == [80, 443, 8080]
    assert names.asked == 2  # once a connection: the address judged is the address dialled
    door.close()


def test_a_name_that_changes_its_mind_is_asked_once(connects: Connects) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    def rebinding(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [_answer(address, port) for address in next(answers)]

    door = Door(Policy(), resolve=rebinding)
    assert _outcome(door, "http://rebind.test/") == "connect-refused"
    assert connects.dialled == [("93.184.216.34", 80)]
    assert _outcome(door, "http://rebind.test/") == "address-refused"
    assert connects.dialled == [("93.184.216.34", 80)]
    door.close()


def test_each_of_several_addresses_is_tried(connects: Connects) -> None:
    door = Door(Policy(), resolve=Names(**{"news.test": ["2606:4700::1", "93.184.216.34"]}))
    assert _outcome(door, "https://news.test/") == "connect-refused"
    assert connects.dialled == [("2606:4700::1", 443), ("93.184.216.34", 443)]
    door.close()


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1:6379", "http://127.0.0.1:6379/"),
        ("127.0.0.1", "http://127.0.0.1:9999/"),
        ("[::1]:8080", "http://[::1]:8080/"),
        ("::1", "http://[::1]/"),
        ("Archive.Internal:8000", "http://archive.internal.:8000/"),
        ("archive.internal", "https://ARCHIVE.internal/"),
        ("архив.test:80", "http://xn--80aer5aza.test/"),
        ("[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]/"),
    ],
)
def test_hosts_that_the_operator_names_are_let_through(entry: str, url: str, connects: Connects) -> None:
    door = Door(
        Policy(allow_hosts=frozenset({entry})),
        resolve=Names(**{"archive.internal": ["10.0.0.5"], "xn--80aer5aza.test": ["10.0.0.6"]}),
    )
    assert _outcome(door, url) == "connect-refused"
    assert len(connects.dialled) == 1
    for other in ("http://127.0.0.2:6379/", "http://10.0.0.5/", "http://localhost:8000/", "http://127.0.0.1:81/"):
        if entry != "127.0.0.1":
            assert _outcome(door, other) != "connect-refused"
    door.close()


def test_the_port_of_an_entry_counts(connects: Connects) -> None:
    door = Door(Policy(allow_hosts=frozenset({"10.0.0.1:80", "[fd00::1]:8443"})))
    assert _outcome(door, "http://10.0.0.1/") == _outcome(door, "https://[fd00::1]:8443/") == "connect-refused"
    assert _outcome(door, "http://10.0.0.1:8080/") == _outcome(door, "https://[fd00::1]/") == "address-refused"
    door.close()


@pytest.mark.parametrize("entry", ["", "http://10.0.0.1/", "10.0.0.0/8", "a b", "host:port"])
def test_an_entry_that_is_no_host_is_told_to_the_operator(entry: str) -> None:
    with pytest.raises(OperatorError, match="allow_hosts"):
        Door(Policy(allow_hosts=frozenset({entry})))


def test_refusals_say_the_rule_and_the_next_step(door: Door) -> None:
    with pytest.raises(Rejected, match=r"10\.0\.0\.0/8.*add 10\.0\.0\.1:80 to allow_hosts"):
        door.send(Request("http://10.0.0.1/"))
    with pytest.raises(Rejected, match=r"outside 2000::/3.*add \[fe80::1\]:443 to allow_hosts"):
        door.send(Request("https://[fe80::1]/"))
    with pytest.raises(Rejected, match=r"Port 22 .*add news\.test:22 to allow_hosts"):
        door.send(Request("http://news.test:22/"))


def test_redirects_are_judged_like_first_requests(connects: Connects) -> None:
    """Every hostile URL as the target of a real server's redirect."""
    targets = [*map(_url, FORBIDDEN_4 + FORBIDDEN_6), *(url.strip() for url in SPELLINGS if "\n" not in url)]
    targets += [url for url, reason in NOT_A_WAY_OUT if reason != "bad-url"]
    targets = [url for url in targets if not url.startswith(("http:1", "http:/1"))]  # these are relative links
    number = iter(range(len(targets)))

    def redirect(sock: socket.socket) -> None:
        while read_request(sock):
            location = targets[next(number)].encode()
            sock.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")

    with Server(redirect) as server:
        connects.real.add(server.port)
        policy = Policy(allow_hosts=frozenset({f"127.0.0.1:{server.port}"}), deadline_s=3)
        door = Door(policy, resolve=Names(**RESOLVER))
        seen = [_outcome(door, server.url) for _ in targets]
        door.close()
    assert set(seen) <= {"address-refused", "scheme-refused", "port-refused"}, list(zip(targets, seen, strict=True))
    assert set(connects.dialled) == {("127.0.0.1", server.port)}


def _on_loopback(ports: dict[str, int]) -> Dial:
    """Dials each host's server on this machine, whatever address it has."""
    return lambda host, answers, within_s: dial(host, [(socket.AF_INET, ("127.0.0.1", ports[host]))], within_s)


@pytest.mark.parametrize("kept", [False, True])
def test_a_site_outside_cannot_send_us_to_a_host_that_the_operator_named(kept: bool) -> None:
    moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://%s/\r\n\r\n"
    names = Names(
        **{"news.test": ["8.8.8.8"], "cms.test": ["10.0.0.5"], "wiki.test": ["10.0.0.6"], "odd.test": ["8.8.4.4"]}
    )
    turns = {"/cms": b"cms.test", "/wiki": b"wiki.test", "/odd": b"odd.test"}

    def answer(sock: socket.socket) -> None:
        while request := read_request(sock):
            to = turns.get(request.split()[1].decode())
            sock.sendall(moved % to if to else ok(b"fine"))

    policy = Policy(allow_hosts=frozenset({"cms.test", "wiki.test:80", "odd.test"}), deadline_s=10)
    with Server(answer) as server:
        hosts = dict.fromkeys(names.table, server.port)
        door = Door(policy, resolve=names, dial=_on_loopback(hosts))
        if kept:
            assert door.send(Request("http://cms.test/")).body == b"fine"
        with pytest.raises(Rejected, match=r"address-refused: http://news\.test/cms redirects to cms\.test"):
            door.send(Request("http://news.test/cms"))
        assert door.send(Request("http://cms.test/wiki")).final_url == "http://wiki.test/"  # one of ours to another
        assert (
            door.send(Request("http://news.test/odd")).final_url == "http://odd.test/"
        )  # named, and public all the same
        door.close()


@pytest.mark.parametrize("address", FORBIDDEN_4 + FORBIDDEN_6)
def test_the_rule_refuses(address: str) -> None:
    assert why_not_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_rule_lets_through(address: str) -> None:
    assert why_not_public(address) is None


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "01.2.3.4", "1.2.3.4%eth0", "::1::", "fe80::1%eth0"])
def test_what_is_no_address_or_scoped_is_refused(text: str) -> None:
    assert why_not_public(text)
