"""Printed dates in, moments out.

`read` understands ISO 8601, RFC 2822, day-month-year with month names in the languages the wire meets, and numeric dates.
A date without a zone takes the configured one, else UTC as an assumption; the raw text always stays.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.records import Moment, Precision, ZoneSource

_ISO = re.compile(
    r"(?<!\d)((?:19|20)\d\d)-(\d\d?)-(\d\d?)(?:(?:T|\s+(?:at\s+)?|\s*[|,·-]\s*)(\d\d?):?(\d\d)(?::?(\d\d)(?:[.,]\d+)?)?\s*([ap]\.?m\.?)?"
    r"\s*(Z\b|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d\b)?)?",
    re.I,
)
_CLOCK = re.compile(
    r"(?<![\d.:])(\d{1,2})(?:[:h]|\.(?=\d\d(?!\d|\.\d)))(\d\d)(?::(\d\d))?\s*(?:([ap])\.?\s?m\b\.?)?\s*(?:\(?\b(Z|UTC|GMT|CEST|CET|MEZ|"
    r"MESZ|EEST|EET|MSK|EST|EDT|CST|CDT|MST|MDT|PST|PDT|BST|IST|JST|KST|WIB|AEST|AEDT|ET|PT)\b\)?|((?:GMT|UTC)?\s?[+-]\d\d?:?(?:\d\d)?)(?!\d))?",
    re.I,
)
_LETTERS = re.compile(r"[^\W\d_]{4}")
_HOUR = re.compile(r"\b(\d{1,2})\s*([ap])\.?m\b", re.I)
_NUMERIC = re.compile(r"(?<![\d.])(\d{1,4})([./-])\s?(\d{1,2})\2\s?(\d{2,4})(?!\d)")
_CJK = re.compile(r"((?:19|20)\d\d)\s?[年년]\s?(\d\d?)\s?[月월]\s?(\d\d?)\s?[日일]")
_MONTH_WORD = r"([^\W\d_][^\s\d.,/|]{1,13})"
_WORDS = re.compile(
    r"(?<![\w.])(\d{1,2})?(?:st|nd|rd|th|er|º|ª|\.)?,?\s*(?:de |of |d'|tháng )?\s*" + _MONTH_WORD + r"\.?,?\s*"
    r"(?:(\d{1,2})(?:st|nd|rd|th)?(?!\d|:),?)?\s*(?:de |del |of )?\s*((?:19|20|25)\d\d)(?!\d)"
)
_YEAR_FIRST = re.compile(
    r"(?<!\d)((?:19|20)\d\d)(?:\.?\s?gada|\s?m\.|\.)?,?\s*(?:(\d{1,2})\.\s*)?"
    + _MONTH_WORD
    + r"\.?(?:\s+(\d{1,2})(?![\d:]))?"
)
_NUMBERED = re.compile(r"(?<!\d)(\d{1,2})\s+tháng\s+(\d{1,2})(?:,|\s+năm)?,?\s+((?:19|20)\d\d)")
CHANGED = re.compile(
    r"\b(?:updated?|modified|changed|"
    r"aktualisiert|geändert|actualizado|actualizada|modificado|atualizad[oa]|mis à jour|modifié|обновлен[оа]?|"
    r"изменен[оа]?|оновлено|абноўлена|aggiornat[oa]|modificato|bijgewerkt|gewijzigd|uppdaterad|opdateret|oppdatert|päivitetty|"
    r"zaktualizowano|aktualizacja|aktualizováno|güncelle\w*|ενημέρωση|diperbarui|atnaujinta)|(?:^|\s)(?:تحديث|آخر تحديث|更新)", re.I
)  # fmt: skip
SAID = re.compile(
    r"\b(?:posted|published|written|created|"
    r"veröffentlicht|geschrieben|erstellt|gepostet|publié|publicado|publicada|pubblicato|"
    r"gepubliceerd|geplaatst|опубликован[оа]?|размещено|опубліковано|апублікавана|dodano|opublikowano|"
    r"publicerad|julkaistu|yayın\w*)\b", re.I
)  # fmt: skip
"""Words beside a date: of a change, of the first appearance."""
_BUDDHIST = 543
"""Thailand counts years from the death of the Buddha."""
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙", "0123456789" * 4)
_LATER = re.compile(r"(?:오후|下午|午後|晚上)\s*\Z|\A\s*(?:م|مساء|مساءً|μ\.?\s?μ\.?)(?!\w)")
"""Beside a clock: after noon."""
_ZONES = {"z": 0, "utc": 0, "gmt": 0, "cest": 120, "mesz": 120, "cet": 60, "mez": 60, "eest": 180, "eet": 120, "msk": 180,
          "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420, "bst": 60,
          "ist": 330, "jst": 540, "kst": 540, "wib": 420, "aest": 600, "aedt": 660}  # fmt: skip
_REGIONS = {"et": "America/New_York", "pt": "America/Los_Angeles"}
# Month names by their first letters: enough to tell them apart, locale-free.
_MONTHS = [
    "jan|ene|gen|ian|jaan|янв|яну|січ|сту|tam|led|ocak|ιαν|sau|sty|tammi|siječ|يناير|كانون الثاني|जन|ม.ค|มกรา|ינו",
    "feb|fév|fev|febr|veeb|фев|лют|únor|subat|şubat|φεβ|vas|lut|helmi|velj|فبراير|شباط|फ़र|फर|ก.พ|กุมภา|פבר",
    "mar|mär|maa|mrt|мар|бер|сак|břez|brez|mart|μαρ|kov|mars|márc|ožu|مارس|آذار|मार्च|มี.ค|มีนา|מרץ",
    "apr|avr|abr|ápr|апр|кві|кра|dub|nisan|απρ|bal|kwi|huhti|tra|أبريل|ابريل|إبريل|نيسان|अप्रै|เม.ย|เมษา|אפר",
    "may|mai|mag|maj|mei|máj|май|мая|маі|тра|květ|kvet|mayıs|μαΐ|μαι|μάι|geg|touko|svib|مايو|أيار|ماي|मई|พ.ค|พฤษภา|מאי",
    "jun|juin|giu|iun|jún|juuni|июн|юни|чер|чэр|červn|haz|ιουν|ιούν|bir|cze|kesä|lipnj|يونيو|حزيران|जून|มิ.ย|มิถุนา|יונ",
    "jul|juil|lug|iul|júl|juuli|июл|юли|лип|ліп|červen|tem|ιουλ|ιούλ|lie|lip|heinä|يوليو|تموز|जुला|ก.ค|กรกฎา|יול",
    "aug|aoû|aou|ago|avg|авг|сер|жні|srp|ağu|agu|αυγ|αύγ|rugp|sie|elo|kolo|أغسطس|اغسطس|अगस्त|ส.ค|สิงหา|אוג",
    "sep|set|szept|сен|сеп|вер|září|zari|eyl|σεπ|rugs|wrz|syys|ruj|سبتمبر|أيلول|सित|ก.ย|กันยา|ספט",
    "oct|okt|out|ott|окт|жов|кас|říj|rij|eki|οκτ|spa|paź|paz|loka|أكتوبر|اكتوبر|تشرين الأول|अक्टू|अक्तू|ต.ค|ตุลา|אוק",
    "nov|noi|ноя|ное|лис|ліс|list|kas|νοε|νοέ|lap|marras|stud|نوفمبر|تشرين الثاني|नव|พ.ย|พฤศจิ|נוב",
    "dec|déc|dez|dic|des|dets|дек|гру|сне|pros|ara|δεκ|gru|joulu|ديسمبر|كانون الأول|दिस|ธ.ค|ธันวา|דצמ",
]
_STARTS = sorted(
    ((start, n + 1) for n, row in enumerate(_MONTHS) for start in row.split("|")), key=lambda p: -len(p[0])
)


_NUMBERED_TEXT = re.compile("[" + "".join(filter(str.isdigit, map(chr, range(0x20000)))) + "]")


def numbered(text: str) -> bool:
    """Whether a text holds a digit of any script: without one it states no date."""
    return _NUMBERED_TEXT.search(text) is not None


class Printed(NamedTuple):
    """A date as read: naive parts, the zone it states (None: none), how exact it is."""

    when: dt.datetime
    zone: str | None
    precision: Precision


def read(text: str, *, month_first: bool = False) -> Printed | None:
    """The first date in a short text, None when there is none. `month_first`: 5/3/2024 is the third of May."""
    text = text.strip()[:200]
    if not text.isascii():
        text = text.translate(_DIGITS)
    if match := _ISO.search(text):
        return _iso(match)
    day = _cjk(text) or _worded(text) or _numeric(text, month_first)
    if day is None:
        return None
    date, start, end = day
    clock = _CLOCK.search(text[end:]) or _CLOCK.search(text[:start])
    if clock and int(clock[1]) < 24 and int(clock[2]) < 60:
        late = _LATER.search(clock.string[: clock.start()]) or _LATER.search(clock.string[clock.end() :])
        return _clocked(date, clock, "p" if late else None)
    if hour := _HOUR.search(text[end:]):
        moment = dt.datetime(date.year, date.month, date.day, _hour(int(hour[1]), hour[2]))  # noqa: DTZ001
        return Printed(moment, None, "hour")
    return Printed(dt.datetime(date.year, date.month, date.day), None, "day")  # noqa: DTZ001


def only(text: str) -> bool:
    """Whether a short text is a date, perhaps with a time and words such as "published on", and nothing else."""
    if len(text) > 60 or not numbered(text):
        return False
    if match := _ISO.search(text):
        start, end = match.span()
    elif day := _cjk(text) or _worded(text) or _numeric(text):
        _, start, end = day
    else:
        return False
    rest = _CLOCK.sub("", text[:start] + " " + text[end:])
    return not _LETTERS.search(rest) or not _LETTERS.search(SAID.sub("", CHANGED.sub("", rest)))


def _iso(match: re.Match[str]) -> Printed | None:
    year, month, day, hour, minute, second, half, zone = match.groups()
    try:
        when = dt.datetime(  # noqa: DTZ001
            int(year), int(month), int(day), _hour(int(hour or 0), half), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    precision: Precision = "second" if second else "minute" if minute else "day"
    return Printed(when, _offset(zone) if zone else None, precision)


def _clocked(date: dt.date, clock: re.Match[str], late: str | None) -> Printed | None:
    hour, minute, second, half, name, offset = clock.groups()
    half = half or late
    try:
        when = dt.datetime(date.year, date.month, date.day, _hour(int(hour), half), int(minute), int(second or 0))  # noqa: DTZ001
    except ValueError:
        return None
    zone = _named(name) if name else _offset(offset) if offset else None
    return Printed(when, zone, "second" if second else "minute")


def _hour(hour: int, half: str | None) -> int:
    if half is None or hour > 12:
        return hour
    return hour % 12 + (12 if half.lower().startswith("p") else 0)


def _named(name: str) -> str:
    low = name.lower()
    return _REGIONS.get(low) or _clock_face(_ZONES[low])


def _offset(text: str) -> str:
    text = text.strip().lower()
    if text in _ZONES:
        return _clock_face(_ZONES[text])
    digits = re.sub(r"[^\d]", "", text)
    hours, minutes = int(digits[:2] if len(digits) != 3 else digits[0]), int(digits[-2:]) if len(digits) > 2 else 0
    return _clock_face((-1 if "-" in text else 1) * (hours * 60 + minutes))


def _clock_face(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"


def _day(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year + 2000 if year < 70 else year, month, day)
    except ValueError:
        return None


def _cjk(text: str) -> tuple[dt.date, int, int] | None:
    match = _CJK.search(text)
    date = _day(int(match[1]), int(match[2]), int(match[3])) if match else None
    return (date, match.start(), match.end()) if match and date else None


def _worded(text: str) -> tuple[dt.date, int, int] | None:
    for match in _WORDS.finditer(text):
        month = _month(match[2])
        day = match[1] or match[3]
        if month and day and (date := _day(_common(int(match[4])), month, int(day))):
            return date, match.start(), match.end()
    for match in _YEAR_FIRST.finditer(text):
        month, day = _month(match[3]), match[2] or match[4]
        if month and day and (date := _day(int(match[1]), month, int(day))):
            return date, match.start(), match.end()
    numbered = _NUMBERED.search(text)
    date = _day(int(numbered[3]), int(numbered[2]), int(numbered[1])) if numbered else None
    return (date, numbered.start(), numbered.end()) if numbered and date else None


def _common(year: int) -> int:
    return year - _BUDDHIST if year >= 2400 else year


@lru_cache(maxsize=2048)
def _month(word: str) -> int | None:
    low = word.lower()
    return next((number for start, number in _STARTS if low.startswith(start)), None)


def _numeric(text: str, month_first: bool = False) -> tuple[dt.date, int, int] | None:
    """Numbers alone: year first when it has four digits, else day first as most of the world writes; slashes are read the
    American way where the page is American, or where the month would be impossible."""
    for match in _NUMERIC.finditer(text):
        first, second, third = int(match[1]), int(match[3]), int(match[4])
        if len(match[1]) == 4:
            date = _day(first, second, third)
        elif len(match[4]) == 3:
            continue
        else:
            day_month = [(second, first), (first, second)] if match[2] == "/" else [(second, first)]
            tried = reversed(day_month) if month_first else day_month
            date = next((day for month, number in tried if (day := _day(third, month, number))), None)
        if date and 1990 <= date.year < 2100:
            return date, match.start(), match.end()
    return None


def moment(raw: str, printed: Printed, zone: str | None) -> Moment:
    """The instant of a printed date: its own zone, else the configured `zone`, else UTC as an assumption."""
    name, source = printed.zone, "stated"
    if name is None:
        name, source = (zone, "configured") if zone else ("UTC", "assumed")
    local = printed.when.replace(tzinfo=tz(name))
    return Moment(raw, local.astimezone(dt.UTC).isoformat(), name, _source(source), printed.precision)


def _source(name: str) -> ZoneSource:
    return "stated" if name == "stated" else "configured" if name == "configured" else "assumed"


def tz(name: str) -> dt.tzinfo:
    """The zone of an IANA name or an offset such as "+02:00"."""
    if name[0] in "+-":
        sign = -1 if name[0] == "-" else 1
        return dt.timezone(sign * dt.timedelta(hours=min(int(name[1:3]), 23), minutes=int(name[4:6])))
    return ZoneInfo(name)


def parse(raw: str, zone: str | None = None, *, month_first: bool = False) -> Moment | None:
    """A printed date as a moment, None when it is none or lies outside the years a calendar can hold."""
    printed = read(raw, month_first=month_first)
    if printed is None:
        return None
    try:
        return moment(raw.strip(), printed, zone)
    except (OverflowError, ValueError):
        return None
