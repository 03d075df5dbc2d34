"""The filter language: text in, a test over an article's facts out, and an explanation of every clause.

    section = "Economy" and language in ("en", "ru") and not words < 100
    category under "medtop:04000000" or headline contains "econom*"
    age < 2d and (status = "worsened" or tags = "budget")

    filter  = and-part { "or" and-part }          clause = field ("=" | "!=") value
    and-part = part { "and" part }                        | field ("<" | "<=" | ">" | ">=") value
    part    = "not" part | "(" filter ")" | clause        | field "in" "(" value { "," value } ")"
                                                          | field ("contains" | "under") "text"
                                                          | field "is" ("known" | "unknown")

Comparing ignores case, kinds of quotes and runs of spaces. A field with several values (tags, category, relation,
author) matches when any of them does. A clause over a value that is not known is false, hence true under `not`;
`a != b` is short for `not a = b`.
Values: "text", numbers, durations (30m, 48h, 7d, 2w; for `age`), true, false. An empty filter matches everything.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import msgspec

from services.publish.render.shapes import block_text
from shared.errors import OperatorError
from shared.records import Annotations, Article
from shared.text import fold, shorten

Kind = Literal["text", "words", "number", "duration", "flag", "list", "codes"]
Value = str | int | float | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "contains", "under", "is known", "is unknown"]

DEEPEST = 40
LONGEST = 10_000


class FilterError(OperatorError):
    """A filter that does not parse. `column` counts from 1 within the filter."""

    def __init__(self, problem: str, source: str, column: int) -> None:
        start = max(0, column - 60)
        line = re.sub(r"\s", " ", source[start : column + 40])
        super().__init__(f"{problem} at column {column}.", f"\n    {line}\n    {' ' * (column - 1 - start)}^", code=2)
        self.problem, self.column = problem, column


class Facts(msgspec.Struct, frozen=True):
    """What filters can ask about. None and empty mean not known. `age_s` are seconds since publication.

    `category` holds codes as "scheme:code"; `category_above` those and every code above them. `relation` says how
    the article stands to others of ours: "duplicate", "same_story", "related".
    """

    source: str = ""
    site: str | None = None
    url: str | None = None
    section: str | None = None
    language: str | None = None
    status: str | None = None
    state: str | None = None
    access: str | None = None
    kind: str | None = None
    headline: str = ""
    lead: str | None = None
    text: str = ""
    story: str | None = None
    author: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    category_above: tuple[str, ...] = ()
    relation: tuple[str, ...] = ()
    words: int = 0
    images: int = 0
    revision: int = 1
    age_s: float | None = None
    backfill: bool = False


class Field(msgspec.Struct, frozen=True):
    """A field filters can name: where it stands in Facts, what kind it is, what it means."""

    attribute: str
    kind: Kind
    meaning: str


FIELDS: dict[str, Field] = {
    "source": Field("source", "text", "id of the source"),
    "site": Field("site", "text", "name of the site as it calls itself"),
    "url": Field("url", "text", "canonical address of the article"),
    "section": Field("section", "text", "section as the publisher prints it"),
    "language": Field("language", "text", "language code, such as en"),
    "status": Field("status", "text", "category status: improved, unchanged, worsened, unknown"),
    "state": Field("state", "text", "usable, held or withdrawn"),
    "access": Field("access", "text", "free, metered or blocked"),
    "kind": Field("kind", "text", "event: published, updated, corrected, relinked, restored, status_changed"),
    "story": Field("story", "text", "id of the story the article belongs to"),
    "headline": Field("headline", "words", "headline"),
    "lead": Field("lead", "words", "lead"),
    "text": Field("text", "words", "headline, lead and body"),
    "author": Field("author", "list", "authors as printed"),
    "tags": Field("tags", "list", "the publisher's tags"),
    "relation": Field("relation", "list", "how it relates to our other articles: duplicate, same_story, related"),
    "category": Field("category", "codes", 'category codes as "scheme:code"; under takes a code and all below it'),
    "words": Field("words", "number", "words in the body"),
    "images": Field("images", "number", "number of images"),
    "revision": Field("revision", "number", "number of the revision, from 1"),
    "age": Field("age_s", "duration", "time since publication: 30m, 48h, 7d, 2w"),
    "backfill": Field("backfill", "flag", "whether the article was old when first seen"),
}

_EQUAL: tuple[Operator, ...] = ("=", "!=", "in", "is known", "is unknown")
_ORDER: tuple[Operator, ...] = ("=", "!=", "<", "<=", ">", ">=", "in", "is known", "is unknown")
OPERATORS: dict[Kind, tuple[Operator, ...]] = {
    "text": (*_EQUAL, "contains"),
    "words": (*_EQUAL, "contains"),
    "list": (*_EQUAL, "contains"),
    "codes": (*_EQUAL, "under"),
    "number": _ORDER,
    "duration": _ORDER,
    "flag": ("=", "!="),
}


class Clause(msgspec.Struct, frozen=True, tag="clause"):
    """One comparison. `values` has one entry, several for `in`, none for `is known`; durations are seconds."""

    field: str
    operator: Operator
    values: tuple[Value, ...] = ()


class Not(msgspec.Struct, frozen=True, tag="not"):
    part: Filter


class And(msgspec.Struct, frozen=True, tag="and"):
    parts: tuple[Filter, ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    parts: tuple[Filter, ...]


Filter = Clause | Not | And | Or

Everything = And(())
"""The empty filter."""


class Explained(msgspec.Struct, frozen=True):
    """One part of a filter with its result; `value` is what the article has there, for clauses only."""

    part: str
    result: bool
    value: Any = None
    parts: tuple[Explained, ...] = ()


def matches(source: str, facts: Facts) -> bool:
    """Whether the filter text fits the facts. Raises FilterError with the place where it does not parse."""
    return compiled(source)(facts)


@lru_cache(maxsize=4096)
def compiled(source: str) -> Callable[[Facts], bool]:
    """The filter text as a function of facts; parsed once a text. Raises FilterError."""
    return compile_filter(parse(source))


def compile_filter(filter_: Filter) -> Callable[[Facts], bool]:
    """A parsed filter as a function of facts."""
    match filter_:
        case Not(part=part):
            inner = compile_filter(part)
            return lambda facts: not inner(facts)
        case And(parts=parts):
            all_of = [compile_filter(part) for part in parts]
            return lambda facts: all(test(facts) for test in all_of)
        case Or(parts=parts):
            any_of = [compile_filter(part) for part in parts]
            return lambda facts: any(test(facts) for test in any_of)
        case Clause():
            return _clause(filter_)


def explain(filter_: Filter, facts: Facts) -> Explained:
    """Every part of the filter with its result, every clause with the value it met."""
    result = compile_filter(filter_)(facts)
    match filter_:
        case Clause(field=name):
            return Explained(format_filter(filter_), result, _shown(getattr(facts, FIELDS[name].attribute)))
        case Not(part=part):
            return Explained("not", result, parts=(explain(part, facts),))
        case And(parts=parts):
            return Explained("and", result, parts=tuple(explain(part, facts) for part in parts))
        case Or(parts=parts):
            return Explained("or", result, parts=tuple(explain(part, facts) for part in parts))


class Backtest(msgspec.Struct, frozen=True):
    """What changing a filter changes over a history: ids it `adds` and `drops`; how many match both or neither."""

    adds: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    both: int = 0
    neither: int = 0


def backtest(before: str, after: str, history: Iterable[tuple[str, Facts]]) -> Backtest:
    """Runs two filter texts over (id, facts) pairs. Raises FilterError when one of them does not parse."""
    old, new = compiled(before), compiled(after)
    results = [(name, old(facts), new(facts)) for name, facts in history]
    return Backtest(
        adds=tuple(name for name, was, now in results if now and not was),
        drops=tuple(name for name, was, now in results if was and not now),
        both=sum(was and now for _, was, now in results),
        neither=sum(not (was or now) for _, was, now in results),
    )


def nearest_miss(explained: Explained) -> list[Explained]:
    """The clauses that decided against the article, in order: what would have to change for it to match."""
    return _deciding(explained, wanted=True) if not explained.result else []


def _deciding(explained: Explained, *, wanted: bool) -> list[Explained]:
    if explained.result == wanted:
        return []
    if not explained.parts:
        return [explained]
    inner = wanted if explained.part != "not" else not wanted
    return [clause for part in explained.parts for clause in _deciding(part, wanted=inner)]


def joined(first: str, second: str) -> str:
    """One filter text that matches where both do."""
    if not first.strip() or not second.strip():
        return first if first.strip() else second
    return f"({first}) and ({second})"


def format_filter(filter_: Filter) -> str:
    """The filter as text; parsing that text gives the same filter."""
    match filter_:
        case Clause(field=name, operator=sign, values=values):
            texts = [_literal(value, FIELDS[name].kind) for value in values]
            tail = f" ({', '.join(texts)})" if sign == "in" else "".join(f" {text}" for text in texts)
            return f"{name} {sign}{tail}"
        case Not(part=part):
            return "not " + _bracketed(part, And, Or)
        case And(parts=parts):
            return " and ".join(_bracketed(part, And, Or) for part in parts)
        case Or(parts=parts):
            return " or ".join(_bracketed(part, Or) for part in parts)


def fields() -> dict[str, Any]:
    """JSON Schema of the fields: type and meaning, with `operators` beside them."""
    types: dict[Kind, Any] = {
        "number": {"type": "number"},
        "duration": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(s|m|h|d|w)$"},
        "flag": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "string"}},
        "codes": {"type": "array", "items": {"type": "string"}},
    }
    properties = {
        name: {
            **types.get(field.kind, {"type": "string"}),
            "description": field.meaning,
            "operators": list(OPERATORS[field.kind]),
        }
        for name, field in FIELDS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Fields of a filter",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def facts_of(
    article: Article,
    annotations: Annotations,
    kind: str,
    now: dt.datetime,
    above: Mapping[str, Sequence[str]] | None = None,
) -> Facts:
    """An article's facts at `now`. Its categories know what stands above them; `above` adds, for a "scheme:code", further codes."""
    body = [block_text(block) for block in article.blocks]
    filed = [one for one in annotations.categories if not one.suggestion]
    codes = tuple(f"{one.scheme}:{one.code}" for one in filed)
    higher = tuple(f"{one.scheme}:{upper}" for one in filed for upper in one.above)
    higher += tuple(upper for code in codes for upper in (above or {}).get(code, ()))
    return Facts(
        source=article.source,
        site=article.site_name,
        url=article.url,
        section=article.section,
        language=article.language,
        status=article.category_status.value,
        state=article.state,
        access=article.access,
        kind=kind,
        headline=article.headline,
        lead=article.lead,
        text="\n".join([article.headline, article.lead or "", *body]),
        story=annotations.story,
        author=article.authors,
        tags=article.tags,
        category=codes,
        category_above=codes + higher,
        relation=tuple(sorted({similar.relation for similar in annotations.similar})),
        words=sum(len(text.split()) for text in body),
        images=len(article.images),
        revision=article.revision,
        age_s=(now - article.published.at).total_seconds() if article.published else None,
        backfill=article.backfill,
    )


# ---- parsing ---------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<duration>\d+(?:\.\d+)?[smhdw]\b)|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))"""
    r"""|(?P<word>[^\W\d]\w*)|(?P<sign>!=|<=|>=|[=<>(),])""",
    re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_RESERVED = frozenset({"and", "or", "not", "in", "contains", "under", "is", "known", "unknown", "true", "false"})


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    column: int


def parse(source: str) -> Filter:
    """The filter text as a tree; an empty text is `Everything`. Raises FilterError with problem and column."""
    if len(source) > LONGEST:
        raise FilterError(f"a filter has at most {LONGEST} characters; this one goes on", source, LONGEST + 1)
    if not source.strip():
        return Everything
    parser = _Parser(source)
    tree = parser.either(0)
    parser.end()
    return tree


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        at = _SPACE.match(source, at).end()  # type: ignore[union-attr]  # it matches nothing as well
        if at >= len(source):
            return [*tokens, _Token("end", "", len(source) + 1)]
        found = _TOKEN.match(source, at)
        if found is None:
            problem = "a text that is not closed by a quote" if source[at] == '"' else f"unexpected {source[at]!r}"
            raise FilterError(problem, source, at + 1)
        tokens.append(_Token(str(found.lastgroup), found.group(), at + 1))
        at = found.end()


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, source: str) -> None:
        self.source, self.tokens, self.at = source, _tokens(source), 0

    def fail(self, expected: str) -> FilterError:
        token = self.tokens[self.at]
        found = f", found {token.text}" if token.text else ""
        return FilterError(f"expected {expected}{found}", self.source, token.column)

    def take(self, *texts: str) -> str | None:
        """The next token when it is one of these words or signs; words in any case."""
        token = self.tokens[self.at]
        if token.kind in ("word", "sign") and token.text.lower() in texts:
            self.at += 1
            return token.text.lower()
        return None

    def need(self, text: str) -> None:
        if self.take(text) is None:
            raise self.fail(repr(text).replace("'", '"') if text in ("(", ")") else text)

    def end(self) -> None:
        if self.tokens[self.at].kind != "end":
            raise self.fail("and, or, or the end")

    def either(self, depth: int) -> Filter:
        parts = [self.both(depth)]
        while self.take("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, depth: int) -> Filter:
        parts = [self.part(depth)]
        while self.take("and"):
            parts.append(self.part(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def part(self, depth: int) -> Filter:
        if depth > DEEPEST:
            raise FilterError("nested too deep", self.source, self.tokens[self.at].column)
        if self.take("not"):
            return Not(self.part(depth + 1))
        if self.take("("):
            inner = self.either(depth + 1)
            self.need(")")
            return inner
        return self.clause()

    def clause(self) -> Clause:
        token = self.tokens[self.at]
        name = token.text.lower()
        if token.kind != "word" or name in _RESERVED:
            raise self.fail("a field")
        if name not in FIELDS:
            raise FilterError(f"no field is called {shorten(token.text, 40)!r}{_hint(name)}", self.source, token.column)
        self.at += 1
        column = self.tokens[self.at].column
        sign = self.operator()
        if sign not in OPERATORS[FIELDS[name].kind]:
            allowed = ", ".join(OPERATORS[FIELDS[name].kind])
            raise FilterError(f"{name} takes {allowed}, not {sign}", self.source, column)
        return Clause(name, sign, self.values(name, sign))

    def operator(self) -> Operator:
        sign = self.take("=", "!=", "<", "<=", ">", ">=", "in", "contains", "under", "is")
        if sign is None:
            raise self.fail("an operator")
        if sign != "is":
            return sign  # type: ignore[return-value]  # take() gave one of the words asked for
        known = self.take("known", "unknown")
        if known is None:
            raise self.fail("known or unknown")
        return "is known" if known == "known" else "is unknown"

    def values(self, name: str, sign: Operator) -> tuple[Value, ...]:
        if sign in ("is known", "is unknown"):
            return ()
        if sign != "in":
            return (self.value(name),)
        self.need("(")
        values = [self.value(name)]
        while self.take(","):
            values.append(self.value(name))
        self.need(")")
        return tuple(values)

    def value(self, name: str) -> Value:
        kind, token = FIELDS[name].kind, self.tokens[self.at]
        flag = token.kind == "word" and token.text.lower() in ("true", "false")
        if token.kind not in ("text", "number", "duration") and not flag:
            raise self.fail("a value")
        wanted = {"number": "number", "duration": "duration", "flag": "word"}.get(kind, "text")
        if token.kind != wanted:
            raise FilterError(f"{name} is compared with {_EXAMPLES[wanted]}", self.source, token.column)
        self.at += 1
        return _value(token)


_EXAMPLES = {
    "text": 'text in double quotes, such as "en"',
    "number": "a number, such as 100",
    "duration": "a duration, such as 48h or 7d",
    "word": "true or false",
}


def _value(token: _Token) -> Value:
    if token.kind == "text":
        return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
    if token.kind == "word":
        return token.text.lower() == "true"
    if token.kind == "duration":
        return _plain(float(token.text[:-1]) * _UNITS[token.text[-1]])
    return _plain(float(token.text))


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _hint(name: str) -> str:
    near = [known for known in FIELDS if known.startswith(name[:3]) or name.rstrip("s") == known.rstrip("s")]
    return f" (did you mean {near[0]}?)" if near else f" (fields: {', '.join(FIELDS)})"


# ---- formatting ------------------------------------------------------------------------------------------------------


def _bracketed(part: Filter, *kinds: type) -> str:
    return f"({format_filter(part)})" if isinstance(part, kinds) else format_filter(part)


def _literal(value: Value, kind: Kind) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    if kind != "duration":
        return _decimal(value)
    unit = next((name for name in "wdhm" if value and value % _UNITS[name] == 0), "s")
    return _decimal(value / _UNITS[unit]) + unit


def _decimal(value: float) -> str:
    number = _plain(float(value))
    return str(number) if isinstance(number, int) else format(Decimal(repr(number)), "f")


def _shown(value: Any) -> Any:
    return shorten(value) if isinstance(value, str) else value


# ---- testing ---------------------------------------------------------------------------------------------------------

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _clause(clause: Clause) -> Callable[[Facts], bool]:
    attribute, sign = FIELDS[clause.field].attribute, clause.operator
    read = operator.attrgetter(attribute)
    if sign in ("is known", "is unknown"):
        # A status has a word of its own for not being known.
        nothing = (None, "", (), "unknown") if clause.field == "status" else (None, "", ())
        return lambda facts: (read(facts) in nothing) is (sign == "is unknown")
    if sign == "contains":
        pattern = _pattern(str(clause.values[0]))
        return lambda facts: any(pattern.search(_key(text)) for text in _several(read(facts)))
    if sign == "under":
        top = _key(str(clause.values[0]))
        return lambda facts: any(_key(code) == top for code in facts.category_above + facts.category)
    if sign in _COMPARE:
        compare, limit = _COMPARE[sign], clause.values[0]
        return lambda facts: (value := read(facts)) is not None and compare(value, limit)
    wanted = frozenset(_key(value) for value in clause.values)
    among: Callable[[Facts], bool] = lambda facts: any(_key(one) in wanted for one in _several(read(facts)))  # noqa: E731
    return among if sign != "!=" else lambda facts: not among(facts)


def _several(value: Any) -> tuple[Any, ...]:
    if value is None or value == "":
        return ()
    return value if isinstance(value, tuple) else (value,)


def _key(value: Any) -> Any:
    return _folded(value) if isinstance(value, str) else value


@lru_cache(maxsize=512)
def _folded(text: str) -> str:
    # The same article meets the filters of many endpoints one after the other.
    return fold(text).casefold()


def _pattern(words: str) -> re.Pattern[str]:
    """Whole words, in this order; a star at either end lets the word go on there."""
    core = re.escape(_key(words.strip("*")))
    before = "" if words.startswith("*") else r"(?<!\w)"
    after = "" if words.endswith("*") else r"(?!\w)"
    return re.compile(before + core + after)
