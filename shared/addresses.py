"""An IP address in, the reason why it is not public out (or None): the rule that keeps us off our own network.

IPv4 by the list of special blocks, IPv6 by allow-list (2000::/3 without its special blocks). An IPv4 address carried
inside an IPv6 one is judged by itself: a translator or tunnel would take us there.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SPECIAL_4 = tuple(
    (IPv4Network(block), name)
    for block, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private use"),
        ("100.64.0.0/10", "shared by carriers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own services"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private use"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private use"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(
    (IPv6Network(block), name)
    for block, name in (
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("3ffe::/16", "returned test network"),
        ("3fff::/20", "documentation"),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def why_not_public(address: str) -> str | None:
    """The name of the rule that refuses this address, None when it is a public one. Unreadable text is refused."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "not an IP address"
    return _refusal_4(ip) if isinstance(ip, IPv4Address) else _refusal_6(ip)


def _refusal_4(ip: IPv4Address) -> str | None:
    return next((f"{block} ({name})" for block, name in _SPECIAL_4 if ip in block), None)


def _refusal_6(ip: IPv6Address) -> str | None:
    if ip in _MAPPED or ip in _NAT64:
        return _refusal_4(IPv4Address(int(ip) & 0xFFFF_FFFF))
    if ip not in _GLOBAL_6:
        return f"outside {_GLOBAL_6} (not global)"
    if ip in _SIX_TO_FOUR:
        return _refusal_4(IPv4Address(int(ip) >> 80 & 0xFFFF_FFFF))
    if int(ip) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return _refusal_4(IPv4Address(int(ip) & 0xFFFF_FFFF))
    return next((f"{block} ({name})" for block, name in _SPECIAL_6 if ip in block), None)
