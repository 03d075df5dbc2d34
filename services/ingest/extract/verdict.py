"""Page and chosen text in, verdict out: is this an article, and may everyone read it.

What the publisher's data call an article, with a date or an author, is one whatever it looks like. The rest is told by what the page
is for: its address, the name over it, the fields to fill in, the headlines that lead elsewhere. A short text is no reason: briefs are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Literal
from urllib.parse import unquote, urlsplit

from services.ingest.extract import dates
from services.ingest.extract.blocks import ASIDE, FOOTER, FORM, NAV, Cut, Piece
from services.ingest.extract.charset import Decoded
from services.ingest.extract.evidence import Evidence, types
from services.ingest.extract.names import walled_off
from services.ingest.extract.offers import letters
from shared.records import Verdict

_ARTICLE = re.compile(r"(article|posting|report|story|recipe|review|analysis|opinion)", re.I)
_LISTING = re.compile(r"(CollectionPage|SearchResultsPage|ItemList\b|ProfilePage)")
_STATIC = re.compile(r"(ContactPage|AboutPage|CheckoutPage)")
_ERROR = re.compile(
    r"\b(404|403|410|not found|page not found|access denied|nicht gefunden|introuvable|no encontrad[ao]|non trovata|não encontrada|"
    r"niet gevonden|nie znaleziono|не найдена|не знайдена|не знойдзена|hittades inte|ikke fundet|bulunamadı)\b", re.I
)  # fmt: skip
_CHALLENGE = re.compile(
    r"(cf-challenge|cf_chl_|challenge-platform|captcha-delivery|px-captcha|Just a moment\.\.\.|Attention Required!)"
)
_PASSWORD = re.compile(r"<input\b[^>]{0,300}\btype\s*=\s*[\"']?password", re.I)
_ADDRESSES = re.compile(
    r"/(?:tags?|topics?|themen?|categor(?:y|ies)|kategorien?|categoria|categorie|rubri(?:k|que|ca|ky)|sections?|authors?|autor(?:en)?|"
    r"search|suche|recherche|buscar|cerca|page|seite)(?:/[^/]+)?/?\Z", re.I
)  # fmt: skip
_LAST = re.compile(r"(?:\.(?:html?|php|aspx?|jsp)|[-_]\d+)+\Z")


def _names(*groups: str) -> frozenset[str]:
    return frozenset(letters(name) for group in groups for name in group.split("|"))


_LOGIN = _names(
    "login|log in|sign in|sign up|register|log in or register|create account|create an account|my account|forgot password|members login",
    "anmelden|anmeldung|einloggen|registrieren|mein konto|connexion|se connecter|inscription|iniciar sesión|acceder|registrarse",
    "accedi|entra|entrar|inloggen|registreren|logga in|log ind|logg inn|zaloguj|zaloguj się|logowanie|вход|войти|авторизация|регистрация",
    "увійти|вхід|уваход|giriş|giriş yap|üye girişi|تسجيل الدخول|登录|ログイン|로그인",
)
_SIGN_IN = re.compile(
    r"\b(?:log[ -]?in|sign[ -]?in|anmelden|einloggen|connexion|connectez|inicia[r]? sesión|accedi|inloggen|logga in|zaloguj|вход|войти|"
    r"увійти|уваход|giriş)\b", re.I
)  # fmt: skip
"""A full-page form to sign in has one of these over it; a field for a password alone stands on many pages of other kinds."""
_CONSENT = _names(
    "cookies|cookie consent|cookie settings|cookie preferences|privacy settings|your privacy|we value your privacy|before you continue",
    "we use cookies|your privacy choices|manage cookies|consent|privatsphäre einstellungen|datenschutzeinstellungen|cookie einstellungen",
    "gestion des cookies|paramètres des cookies|configuración de cookies|impostazioni cookie|cookie instellingen|ustawienia cookies",
)
_PAGES = _names(
    "about|about us|who we are|our team|our story|our mission|mission|editorial team|masthead|staff|contact|contact us|contacts|imprint",
    "legal notice|disclaimer|terms|terms of use|terms of service|terms and conditions|privacy|privacy policy|privacy notice",
    "cookie policy|cookies policy|cookie notice|cookie statement|privacy and cookies|editorial policy|editorial guidelines|ethics policy",
    "code of ethics|corrections policy|advertise|advertising|advertise with us|media kit|subscribe|subscriptions|newsletter|newsletters",
    "faq|frequently asked questions|help|help center|careers|jobs|donate|support us|sitemap|site map|accessibility|accessibility statement",
    "rss|rss feeds|copyright|complaints|feedback|write for us|submit a story",
    "über uns|wir über uns|redaktion|das team|team|impressum|kontakt|datenschutz|datenschutzerklärung|agb|nutzungsbedingungen|mediadaten",
    "werbung|abonnement|abo|barrierefreiheit|à propos|qui sommes nous|nous contacter|mentions légales|politique de confidentialité|cgu",
    "conditions générales|conditions générales d utilisation|plan du site|publicité|sobre nosotros|quiénes somos|contacto|aviso legal",
    "política de privacidad|política de cookies|publicidad|mapa del sitio|términos y condiciones|chi siamo|contatti|note legali|redazione",
    "informativa sulla privacy|informativa privacy|pubblicità|sobre|sobre nós|quem somos|contato|contactos|termos de uso",
    "política de privacidade|publicidade|over ons|colofon|privacybeleid|privacyverklaring|adverteren|om oss|om os|kontakta oss|kontakt oss",
    "integritetspolicy|annonsera|tietoa meistä|yhteystiedot|o nas|o nás|redakcja|regulamin|polityka prywatności|reklama|kontakty",
    "о нас|о проекте|о сайте|об издании|редакция|контакты|реклама|политика конфиденциальности|пользовательское соглашение|вакансии",
    "про нас|про проєкт|контакти|редакція|політика конфіденційності|аб нас|аб праекце|кантакты|рэдакцыя|hakkımızda|iletişim|künye",
    "gizlilik politikası|من نحن|اتصل بنا|سياسة الخصوصية",
    "关于我们|联系我们|隐私政策|会社概要|お問い合わせ|プライバシーポリシー|회사소개|개인정보처리방침",
)
_SLUGS = _PAGES | _names(
    "aboutus|contactus|privacypolicy|termsandconditions|impressum|o-nas|o-kompanii|kontakty|about-the-site|rules|policies"
)
Access = Literal["free", "metered", "blocked"]
_SHORT, _BRIEF, _PROSE = 140, 500, 60
_FEW_CARDS = 3
_NEAR = (-6, 12)


def judge(chosen: list[Piece], found: Cut, evidence: Evidence, headline: str | None, page: Decoded) -> Verdict:
    """The verdict with its reasons.

    Not an article: challenge-page, soft-404, login-page, consent-page, no-text, front-page, static-page, listing-page, link-page.
    Access: not-free-json-ld, content-tier, paywalled-markup.
    """
    access, why = _access(found, evidence)
    reason = _not_article(chosen, found, evidence, headline, page)
    return Verdict("not-an-article" if reason else "article", reason, access, why)


def _not_article(
    chosen: list[Piece], found: Cut, evidence: Evidence, headline: str | None, page: Decoded
) -> str | None:
    size = sum(len(p.text) for p in chosen)
    if size < _BRIEF and _CHALLENGE.search(page.text[:20_000]):
        return "challenge-page"
    if size < _BRIEF and _ERROR.search(f"{evidence.title or ''} {headline or ''}"):
        return "soft-404"
    if _stated(evidence):
        return "no-text" if not size else None
    if reason := _other_purpose(evidence, headline, page, size, found):
        return reason
    if not size:
        return "listing-page" if _headlines(found) >= _FEW_CARDS else "no-text"
    return _pointing_elsewhere(chosen, size, found, evidence)


def _stated(evidence: Evidence) -> bool:
    """Whether the publisher's data call the page an article: a type of article and a date of publication."""
    if _ARTICLE.search(types(evidence.article)) and evidence.article.get("datePublished"):
        return True
    return "article:published_time" in evidence.meta


def _other_purpose(evidence: Evidence, headline: str | None, page: Decoded, size: int, found: Cut) -> str | None:
    """A page to sign in, to consent, to learn about the house, or its front."""
    path = urlsplit(evidence.url or "").path
    last = _LAST.sub("", unquote(path).rstrip("/").rpartition("/")[2])
    names = {letters(name) for name in (headline or "", (evidence.title or "").partition("|")[0], last)} - {""}
    if size < _BRIEF and (
        names & _LOGIN or (_SIGN_IN.search(f"{evidence.title} {headline}") and _PASSWORD.search(page.text))
    ):
        return "login-page"
    if names & _CONSENT and not _dated(evidence, found):
        return "consent-page"
    if letters(headline or "") in _PAGES or letters(last) in _SLUGS or _page_type(evidence, _STATIC):
        return None if _dated(evidence, found) and letters(last) not in _SLUGS else "static-page"
    if evidence.url and path.strip("/") in ("", "index.html", "index.php", "home") and not urlsplit(evidence.url).query:
        return "front-page"
    return None


def _page_type(evidence: Evidence, wanted: re.Pattern[str]) -> bool:
    """Whether the page's own data, not what they mention, give it such a type."""
    return any(node.get("") in (None, "@graph") and wanted.search(types(node)) for node in evidence.nodes)


def _dated(evidence: Evidence, found: Cut) -> bool:
    """Whether the page bears a date of its own: in its data, in a time element, or printed near its headline. Dates in a row
    are those of teasers."""
    if 0 < len(evidence.times) < _FEW_CARDS or "datePublished" in evidence.items:
        return True
    if evidence.first("date", "dc.date", "pubdate"):
        return True
    head = next((p.index for p in found.pieces if p.box.tag == "h1"), 0)
    near = found.pieces[max(0, head + _NEAR[0]) : head + _NEAR[1]]
    own = takewhile(lambda p: p.index <= head or not _leads_away(p), near)
    lines = (p.text for p in own if not p.box.flags & (NAV | FOOTER | FORM) and len(p.text) < 100)
    return any(dates.read(line) for line in lines if dates.numbered(line))


def _pointing_elsewhere(chosen: Sequence[Piece], size: int, found: Cut, evidence: Evidence) -> str | None:
    """A page whose text is links, or the openings of other articles under headlines that lead to them."""
    if sum(p.links for p in chosen) > size * 0.6:
        return "link-page"
    prose = [p for p in chosen if len(p.text) > _PROSE and not p.box.flags & ASIDE]
    openings = sum(_elsewhere(above, evidence) for above in _openings(prose, found))
    if openings >= _FEW_CARDS and openings * 2 >= len(prose):
        return "listing-page"
    if _headlines(found) < _FEW_CARDS:
        return None
    if openings == len(prose) > 0:
        return "listing-page"
    listed = _page_type(evidence, _LISTING) or _ADDRESSES.search(urlsplit(evidence.url or "").path)
    if listed and openings * 3 >= len(prose) > 0:
        return "listing-page"
    if size < (_BRIEF if listed else _SHORT) and not _dated(evidence, found):
        return "listing-page"
    return None


def _openings(prose: Sequence[Piece], found: Cut) -> Iterator[Piece]:
    """The linked headlines right above prose: with at most a date and a name between them."""
    taken = {piece.index for piece in prose}
    for piece in prose:
        for back in range(1, 4):
            above = found.pieces[piece.index - back] if piece.index >= back else None
            if above is None or above.index in taken:
                break
            if (
                above.links * 10 > len(above.text) * 9
                and len(above.text) > 12
                and above.box.tag not in ("p", "li", "td")
            ):
                yield above
                break


def _elsewhere(headline: Piece, evidence: Evidence) -> bool:
    """Whether a linked headline leads to another page of this site: not to its own page, nor to what a round-up is about."""
    link = next((href for _, _, kind, href in headline.spans if kind == "link" and href), None)
    target = urlsplit(evidence.absolute(link) or "")
    own = urlsplit(evidence.url or evidence.absolute(evidence.links.get("canonical")) or "")
    same_site = not target.netloc or not own.netloc or _site(target.netloc) == _site(own.netloc)
    return same_site and (target.path != own.path or target.query != own.query)


def _site(host: str) -> str:
    return ".".join(host.lower().rsplit(":", 1)[0].split(".")[-2:])


def _headlines(found: Cut) -> int:
    """How many headings of the page's main part are links as a whole: a page of teasers has several."""
    return sum(_leads_away(p) for p in found.pieces if not p.box.flags & (ASIDE | NAV | FOOTER))


def _leads_away(piece: Piece) -> bool:
    return piece.box.tag in ("h2", "h3", "h4") and piece.links * 10 > len(piece.text) * 9


def _access(found: Cut, evidence: Evidence) -> tuple[Access, str | None]:
    free = str(evidence.article.get("isAccessibleForFree", "")).lower()
    walled = any(box.names and walled_off(box.names) for box in found.boxes)
    if free in ("false", "no", "0"):
        return ("blocked", "not-free-json-ld") if walled else ("metered", "not-free-json-ld")
    tier = evidence.first("article:content_tier")
    if tier and tier[1].lower() in ("locked", "metered"):
        return ("blocked" if tier[1].lower() == "locked" else "metered"), "content-tier"
    if walled and free not in ("true", "yes", "1"):
        return "metered", "paywalled-markup"
    return "free", None
