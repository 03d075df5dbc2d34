"""URLs in, URLs out: identity keys, absolute links, keys of lanes. Parsed by the WHATWG rules, as browsers do.

What cannot name a page on the web is `Rejected("bad-url")` where an answer is needed and None where a page may well
hold such links.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

import ada_url

from shared.errors import Rejected

LONGEST = 8192
"""Code points of the longest URL taken; common servers refuse longer request lines."""

_TRACKING_NAMES = """
    __s __twitter_impression _branch_match_id _branch_referrer _ga _gl _hsenc _hsmi _ke _kx _openstat amp_js_v cmpid
    dclid dicbo epik fb_action_ids fb_action_types fb_ref fb_source fbclid ga_campaign ga_content ga_medium ga_place
    ga_source ga_term gad_campaignid gad_source gbraid gclid gclsrc guccounter guce_referrer guce_referrer_sig
    hsctatracking icid igsh igshid li_fat_id mc_cid mc_eid mkt_tok ml_subscriber ml_subscriber_hash msclkid ncid
    oborigurl oly_anon_id oly_enc_id rb_clickid ref_src ref_url s_cid sc_cid sc_src smid srsltid tblci ttclid twclid
    vero_conv vero_id wbraid wickedid wt_mc wt_zmc wtrid xtor yclid ysclid
"""
_TRACKING = frozenset(_TRACKING_NAMES.split())
_TRACKING_PREFIXES = ("utm_", "at_", "hsa_", "itm_", "matomo_", "mtm_", "ns_", "piwik_", "pk_", "stm_")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PARTS = ("protocol", "hostname", "port", "pathname", "search", "hash")


def canonical(url: str) -> str:
    """The identity key of a page's URL: the same for spellings that name the same page; twice changes nothing.

    No user name or password, no fragment (a "#!" route stays), no default port, no tracking parameters, no dot at the
    end of the host; percent-escapes in one spelling. Scheme, path and the order of the other parameters stay.

    Raises:
        Rejected: "bad-url" when it is no http(s) URL with a host.
    """
    parts = _parse(url)
    port = f":{parts['port']}" if parts["port"] else ""
    route = _one_spelling(parts["hash"]) if parts["hash"].startswith("#!") else ""
    query = _without_tracking(_one_spelling(parts["search"].removeprefix("?")))
    path = _one_spelling(parts["pathname"])
    return f"{parts['protocol']}//{_host(parts)}{port}{path}{'?' + query if query else ''}{route}"


def absolute(base: str | None, href: str) -> str | None:
    """`href` as an absolute http(s) URL, read relative to `base` where there is one; None when it is no such link."""
    if len(href) > LONGEST:
        return None
    try:
        joined = ada_url.join_url(base, href) if base else ada_url.normalize_url(href)
    except ValueError:
        return None
    return str(joined) if is_web(joined) else None


def host_key(url: str) -> str:
    """The key of the host's lane: "example.org", with the port where it is not the scheme's own ("127.0.0.1:8080").

    Raises:
        Rejected: "bad-url" when it is no http(s) URL with a host.
    """
    parts = _parse(url)
    return f"{_host(parts)}:{parts['port']}" if parts["port"] else _host(parts)


def is_web(url: str) -> bool:
    """Whether this is an absolute http or https URL with a host."""
    try:
        _parse(url)
    except Rejected:
        return False
    return True


def _parse(url: str) -> dict[str, str]:
    """The URL's parts, as WHATWG names them."""
    if len(url) > LONGEST:
        raise Rejected("bad-url", f"The URL is longer than {LONGEST} characters.")
    try:
        parts: dict[str, str] = {**ada_url.parse_url(url, attributes=_PARTS)}  # type: ignore[dict-item]
    except ValueError:
        raise Rejected("bad-url", f"{url[:200]!r} is not an absolute URL.") from None
    if parts["protocol"] not in ("http:", "https:") or not _host(parts):
        raise Rejected("bad-url", f"{url[:200]!r} is not an http or https URL.")
    return parts


def _host(parts: dict[str, str]) -> str:
    """The host without the dot that marks it as absolute; one with more dots at its end is another, broken, name."""
    host = parts["hostname"]
    return host[:-1] if host.endswith(".") and not host.endswith("..") else host


def _one_spelling(text: str) -> str:
    """Percent-escapes in upper case, none where none is needed, and a stray "%" escaped (RFC 3986, 6.2.2)."""
    return _PERCENT.sub(_respell, text) if "%" in text else text


def _respell(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        return "%25"
    char = chr(int(digits, 16))
    return char if char in _UNRESERVED else f"%{digits.upper()}"


def _without_tracking(query: str) -> str:
    return "&".join(part for part in query.split("&") if part and not _tracks(part))


def _tracks(part: str) -> bool:
    name = unquote_plus(part.partition("=")[0]).lower()
    return name in _TRACKING or name.startswith(_TRACKING_PREFIXES)
