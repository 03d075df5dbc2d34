"""Two revisions of an article in, what changed out: a word-level redline of its own text and a class.

Only the article's own words count (headline, lead, body, section, status, authors), never the "Similar articles"
printed beside them. The class errs on the grave side: whatever touches a number, a name, a negation or a month is never
a typo.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from shared.records import Article, block_text
from shared.text import fold

Op = Literal["same", "del", "ins"]
Piece = tuple[Op, str]
Kind = Literal["none", "cosmetic", "typo", "headline", "correction", "substantial"]

_WORD = r"\w+(?:(?<=\d)[.,:\u00a0\u202f]\d+|['’\u00ad-]\w+)*|[^\w\s]"
_TOKEN: Final = re.compile(_WORD)
_WORDS: Final = re.compile(rf"({_WORD}|)(\s*)")
_LINES: Final = re.compile(r"([^\n]+|)(\n*)")
_WORK: Final = 200_000
"""Pairs of equal words above which a stretch is shown as replaced whole: the time of a diff grows with them."""
_MOST_TYPOS: Final = 8
_WORDS_A_TYPO: Final = 20
"""A text with more misspelt words than eight, or than one in twenty, was rewritten."""

_SIGNS: Final = frozenset("%‰$€£¥₽₴°+-−–±<>≤≥")
_NOTE_HEADS: Final = (
    "correction", "corrected", "erratum", "editor[’']s note", "clarification", "berichtigung", "korrektur",
    r"поправка", r"исправлен\w*", "исправление", "уточнение", "от редакции",
    "ад рэдакцыі", "папраўка", r"выпраўлен\w*", "удакладненне", r"виправлен\w*", "уточнення", "від редакції",
)  # fmt: skip
_NOTE_PHRASES: Final = (
    r"an earlier version of this (?:article|story|report|brief)",
    r"this (?:article|story|report|brief) (?:has been|was) (?:corrected|amended|updated to correct)",
    r"в (?:более ранней|предыдущей|первоначальной) версии",
    r"у (?:першай|ранейшай|папярэдняй) версіі",
    r"у (?:попередній|ранішій) версії",
)
_NOTE: Final = re.compile(
    rf"^\W*(?:{'|'.join(_NOTE_HEADS)})\s*[(:.—–-]|\b(?:{'|'.join(_NOTE_PHRASES)})\b", re.IGNORECASE
)
_GRAVE: Final = frozenset({
    "not", "no", "nor", "never", "none", "without", "neither", "nothing", "nobody", "now", "cannot", "can", "could",
    "would", "will", "shall", "should", "may", "might", "must", "all", "some", "any", "only", "before", "after",
    "more", "less", "не", "ни", "нет", "без", "нельзя", "никогда", "ні", "няма", "нельга", "ніколі", "немає",
    "ніхто", "все", "всё", "усе", "hundred", "thousand", "million", "billion", "trillion", "dozen", "half",
    "percent", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "first", "second", "third", "fourth", "fifth", "twenty", "thirty", "forty", "fifty", "sixty", "seventy",
    "eighty", "ninety", "today", "tomorrow", "yesterday", "млн", "млрд", "трлн", "тыс", "один", "одна", "два",
    "две", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять", "сто", "адзін", "дзве", "тры",
    "чатыры", "пяць", "шэсць", "сем", "восем", "дзевяць", "дзесяць", "сегодня", "завтра", "вчера", "сёння", "учора",
    "заўтра",
})  # fmt: skip
_GRAVE_STEM: Final = re.compile(
    r"^(?:миллион|миллиард|тысяч|мільён|мільярд|мільйон|мільярд|процент|працэнт|відсот"
    r"|январ|феврал|март|апрел|ма[йея]|июн|июл|август|сентябр|октябр|ноябр|декабр|студзен|лют|сакавік|красавік|трав|траўн|чэрвен"
    r"|ліпен|жнів|верас|кастрычнік|лістапад|снежан|січ|берез|квіт|черв|лип|серп|верес|жовт|груд"
    r"|понедельник|вторник|сред|четверг|пятниц|суббот|воскресен|панядзел|аўтор|серад|чацв|пятніц|субот|нядзел"
    r"|(?:thir|four|fif|six|seven|eigh|nine)teen)"
)  # fmt: skip
_PREFIXES: Final = (
    "un", "in", "im", "il", "ir", "dis", "non", "anti", "не", "ня", "без", "бес", "бяз", "анти", "анты", "контр",
)  # fmt: skip


class Change(msgspec.Struct, frozen=True):
    """What differs between two revisions.

    Attributes:
        kind: none; cosmetic (spaces, quotes, layout, pictures, tags); typo; headline (and the body at most a typo);
        correction
            (the new text prints a note that it corrects something); substantial.
        reason: one sentence for an editor.
        fields: names of the record's fields that differ.
        redline: pieces whose "same" and "del" joined are the old text, "same" and "ins" joined the new one.
        numbers, names: changed tokens that carry a digit or a capital letter, old and new.
        note: the sentence of a printed correction.
        kept: share of the old words that still stand, 0 to 1.
    """

    kind: Kind
    reason: str
    fields: tuple[str, ...] = ()
    redline: tuple[Piece, ...] = ()
    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    note: str | None = None
    kept: float = 1.0


def compare(old: Article, new: Article) -> Change:
    """What happened between two revisions of one article, judged on its own text."""
    fields = tuple(name for name in _COMPARED if getattr(old, name) != getattr(new, name))
    before, after = text_of(old), text_of(new)
    if not fields and before == after:
        return Change("none", "Nothing of the article's own changed.")
    line = redline(before, after)
    kind, reason, note = _class(old, new, fields)
    return Change(
        kind=kind,
        reason=reason,
        fields=fields,
        redline=line,
        numbers=_distinct(token for token in _changed(line) if _has_digit(token)),
        names=_distinct(token for token in _changed(line) if _has_capital(token)),
        note=note,
        kept=_kept(line),
    )


def another_article(change: Change) -> bool:
    """Whether the page now carries something else: a new headline, and hardly a word of the old text left."""
    return "headline" in change.fields and change.kept < 0.15


def text_of(article: Article) -> str:
    """The article's own words: headline and body, parted by blank lines; the lead where the body does not print it."""
    return "\n\n".join(part for part in (article.headline, _body(article)) if part)


def _body(article: Article) -> str:
    blocks = [block_text(block) for block in article.blocks]
    if article.lead and (not blocks or fold(article.lead) not in fold(blocks[0])):
        blocks.insert(0, article.lead)
    return "\n\n".join(blocks)


# The redline


def redline(old: str, new: str) -> tuple[Piece, ...]:
    """The way from one text to the other, word by word; equal texts give one "same" piece, or none when both are
    empty.
    """
    pieces: list[Piece] = []
    for op, left, right in _hunks(_units(_LINES, old), _units(_LINES, new)):
        if op == "same":
            pieces += _same(left, right)
        elif len(left) == len(right):  # paragraphs that kept their number are compared each with its own
            pieces += [piece for one, other in zip(left, right, strict=True) for piece in _by_words(one.all, other.all)]
        else:
            pieces += _by_words(_text(left), _text(right))
    return _joined(pieces)


class _Unit(NamedTuple):
    """A word or line, and the white space behind it: which is not compared, or it would be what most texts share."""

    core: str
    gap: str

    @property
    def all(self) -> str:
        """Core and gap as printed."""
        return self.core + self.gap


def _units(pattern: re.Pattern[str], text: str) -> list[_Unit]:
    """The text cut into units; their cores and gaps joined are the text again."""
    return [_Unit(found[1], found[2]) for found in pattern.finditer(text) if found[0]]


def _text(units: Iterable[_Unit]) -> str:
    return "".join(unit.all for unit in units)


def _by_words(old: str, new: str) -> list[Piece]:
    pieces: list[Piece] = []
    for op, left, right in _hunks(_units(_WORDS, old), _units(_WORDS, new)):
        pieces += _same(left, right) if op == "same" else [("del", _text(left)), ("ins", _text(right))]
    return pieces


def _same(left: Sequence[_Unit], right: Sequence[_Unit]) -> Iterator[Piece]:
    """Units with equal cores; a gap that differs is a change of its own."""
    for one, other in zip(left, right, strict=True):
        yield "same", one.core
        if one.gap == other.gap:
            yield "same", one.gap
        else:
            yield "del", one.gap
            yield "ins", other.gap


def _hunks(left: Sequence[_Unit], right: Sequence[_Unit]) -> Iterator[tuple[str, Sequence[_Unit], Sequence[_Unit]]]:
    """("same" or "change", units of the old text, units of the new), in order; what both ends share is set aside
    first.
    """
    head = _shared_head(left, right)
    tail = _shared_head(left[head:][::-1], right[head:][::-1])
    old, new = left[head : len(left) - tail], right[head : len(right) - tail]
    yield "same", left[:head], right[:head]
    if _work(old, new) > _WORK:
        yield "change", old, new
    else:
        cores = [unit.core for unit in old], [unit.core for unit in new]
        for op, i, j, k, m in difflib.SequenceMatcher(None, *cores, autojunk=False).get_opcodes():
            yield "same" if op == "equal" else "change", old[i:j], new[k:m]
    yield "same", left[len(left) - tail :], right[len(right) - tail :]


def _work(old: Iterable[_Unit], new: Iterable[_Unit]) -> int:
    theirs = Counter(unit.core for unit in new)
    return sum(theirs[unit.core] for unit in old)


def _shared_head(left: Sequence[_Unit], right: Sequence[_Unit]) -> int:
    limit = min(len(left), len(right))
    return next((i for i in range(limit) if left[i].core != right[i].core), limit)


def _joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Neighbours merged, so that a replaced phrase is one "del" and one "ins"; white space alone does not part two
    changes.
    """
    parts = [piece for piece in pieces if piece[1]]
    done: list[Piece] = []
    removed, added = "", ""
    for number, (op, text) in enumerate(parts):
        between = op == "same" and text.isspace() and (removed or added) and _changes_follow(parts, number)
        removed += text if op == "del" or between else ""
        added += text if op == "ins" or between else ""
        if op == "same" and not between:
            done += [*_replaced(removed, added), ("same", text)]
            removed, added = "", ""
    return tuple(_merged(piece for piece in [*done, *_replaced(removed, added)] if piece[1]))


def _replaced(removed: str, added: str) -> list[Piece]:
    """A change; white space that both sides end with is no part of it."""
    gap = removed[len(removed.rstrip()) :]
    if gap and added[len(added.rstrip()) :] == gap:
        return [("del", removed[: -len(gap)]), ("ins", added[: -len(gap)]), ("same", gap)]
    return [("del", removed), ("ins", added)]


def _changes_follow(parts: list[Piece], number: int) -> bool:
    return number + 1 < len(parts) and parts[number + 1][0] != "same"


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for op, text in pieces:
        if merged and merged[-1][0] == op:
            merged[-1] = (op, merged[-1][1] + text)
        else:
            merged.append((op, text))
    return merged


def before(line: Iterable[Piece]) -> str:
    """The old text of a redline."""
    return "".join(text for op, text in line if op != "ins")


def after(line: Iterable[Piece]) -> str:
    """The new text of a redline."""
    return "".join(text for op, text in line if op != "del")


def _kept(line: Sequence[Piece]) -> float:
    words = {op: sum(len(re.findall(r"\w+", text)) for kind, text in line if kind == op) for op in ("same", "del")}
    total = words["same"] + words["del"]
    return words["same"] / total if total else 1.0


# The class

_COMPARED: Final = (
    "headline", "lead", "blocks", "section", "category_status", "authors", "published", "language", "images", "tags",
)  # fmt: skip
_WEIGHTY: Final = {
    "section": "The section changed.",
    "category_status": "The status of the category changed.",
    "authors": "The authors changed.",
}


def _class(old: Article, new: Article, fields: tuple[str, ...]) -> tuple[Kind, str, str | None]:
    note = _note(_body(old), _body(new))
    if note:
        return "correction", "The new text prints a correction.", note
    body, why = _text_class(_body(old), _body(new))
    if body == "substantial":
        return body, why, None
    weighty = [why for name, why in _WEIGHTY.items() if name in fields and _differs(old, new, name)]
    if weighty:
        return "substantial", weighty[0], None
    if fold(old.headline) != fold(new.headline):
        return "headline", "The headline changed.", None
    if body == "typo":
        return body, why, None
    return "cosmetic", "Only spacing, quotes, layout, pictures, dates or tags changed.", None


def _differs(old: Article, new: Article, field: str) -> bool:
    """For the status only its value counts: the evidence may be read from other markup."""
    if field == "category_status":
        return old.category_status.value != new.category_status.value
    return bool(getattr(old, field) != getattr(new, field))


def _note(old: str, new: str) -> str | None:
    """The paragraph of a correction note that the old text did not print."""
    printed = {fold(line) for line in old.splitlines()}
    fresh = (line for line in new.splitlines() if fold(line) and fold(line) not in printed)
    return next((line.strip() for line in fresh if _NOTE.search(line) and not _NOTE.search(old)), None)


def _text_class(old: str, new: str) -> tuple[Kind, str]:
    if fold(old) == fold(new):
        return "cosmetic", "The words are the same."
    line = redline(fold(old), fold(new))
    words = [token for token in _changed(line) if token[0].isalnum()]
    grave = next((token for token in words if _is_grave(token)), None)
    if grave:
        return "substantial", f"{grave!r} is a number, a name or a word that turns the meaning."
    if len(words) > 2 * min(_MOST_TYPOS, max(1, len(new.split()) // _WORDS_A_TYPO)):
        return "substantial", f"{len(words)} words changed."
    sign = next((place for place in _places(line) if _turns_number(place)), None)
    if sign:
        return "substantial", "A sign or unit beside a number changed."
    odd = next((place for place in _places(line) if not (_near(place.old, place.new) or _repeated(place))), None)
    if odd:
        return "substantial", f"{odd.old.strip()!r} became {odd.new.strip()!r}."
    return "typo", "Only spelling or punctuation changed; no number, no name."


def _changed(line: Iterable[Piece]) -> list[str]:
    return [token for op, text in line if op != "same" for token in _TOKEN.findall(text)]


class _Place(NamedTuple):
    """What stood in a changed place, what stands there now ("" for nothing), and the unchanged text around it."""

    old: str
    new: str
    ahead: str
    behind: str


def _places(line: Sequence[Piece]) -> Iterable[_Place]:
    padded: list[Piece] = [("same", ""), *line, ("same", "")]
    for i, (op, text) in enumerate(padded):
        if op == "same" or (op == "ins" and padded[i - 1][0] == "del"):
            continue
        both = op == "del" and padded[i + 1][0] == "ins"
        ahead, behind = padded[i - 1][1], padded[i + 2 if both else i + 1][1]
        yield _Place(
            text if op == "del" else "", padded[i + 1][1] if both else text if op == "ins" else "", ahead, behind
        )


def _is_grave(token: str) -> bool:
    lowered = token.lower()
    return (
        _has_digit(token)
        or _has_capital(token)
        or lowered in _GRAVE
        or bool(_GRAVE_STEM.match(lowered))
        or lowered.endswith(("n't", "n’t"))
    )


def _has_digit(token: str) -> bool:
    return any(char.isdigit() for char in token)


def _has_capital(token: str) -> bool:
    return any(char.isupper() for char in token)


def _near(old: str, new: str) -> bool:
    """Whether one stretch is the other misspelt: the same letters but for a slip in each word, or punctuation alone."""
    left, right = re.findall(r"\w+", old), re.findall(r"\w+", new)
    if "".join(left) == "".join(right):
        return True
    if len(left) == len(right):
        return all(_misspelt(one, other) for one, other in zip(left, right, strict=True))
    return False


def _turns_number(place: _Place) -> bool:
    """A minus, percent or currency sign that came or went beside a number."""
    beside = f"{place.ahead.rstrip()[-1:]}{place.behind.lstrip()[:1]}"
    return _has_digit(beside) and bool(_SIGNS & {*place.old, *place.new})


def _repeated(place: _Place) -> bool:
    """A word printed twice: "the the"."""
    words = (place.old or place.new).split()
    return (
        not (place.old and place.new)
        and len(words) == 1
        and words[0] in (*place.ahead.split()[-1:], *place.behind.split()[:1])
    )


def _misspelt(one: str, other: str) -> bool:
    if one == other:
        return True
    shorter, longer = sorted((one, other), key=len)
    if any(longer == prefix + shorter for prefix in _PREFIXES):
        return False
    return len(longer) >= 4 and _slips(one, other) <= (1 if len(longer) < 10 else 2)


def _slips(one: str, other: str) -> int:
    """Letters inserted, left out, wrong or swapped with their neighbour (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, char in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (char != against))
            if i > 1 and j > 1 and char == other[j - 2] and one[i - 2] == against:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
