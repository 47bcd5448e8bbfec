"""Reads a query. What PromQL does not know is a 400; what it knows and is not served here a 422 that says what is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import Final, NoReturn

import numpy as np

from iops.errors import InvalidQuery, QueryRefused
from services.insights.prometheus import query as says
from services.insights.prometheus.calculate import calculate
from services.insights.prometheus.lex import Token, duration_ms, tokens_of, unquote
from services.insights.prometheus.match import OPERATORS, matcher_of
from services.insights.prometheus.query import (
    Aggregate,
    Binary,
    Expression,
    Matcher,
    Negation,
    Number,
    OverTime,
    Selector,
)

QUERY_LIMIT: Final = 10_000  # characters: 300 streams by name
WORDS_LIMIT: Final = 500
PARTS_LIMIT: Final = 50  # numbers, selectors, calls and brackets, in one another or beside
BINDING: Final[Mapping[str, int]] = {
    "or": 1, "and": 2, "unless": 2,
    "==": 3, "!=": 3, ">": 3, "<": 3, ">=": 3, "<=": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 6,
}  # fmt: skip
POWER: Final = BINDING["^"]
SETS: Final = ("and", "or", "unless", "atan2")
MATCHING: Final = ("on", "ignoring", "group_left", "group_right")
NOT_AGGREGATED: Final = ("count_values", "group", "limit_ratio", "limitk", "stddev", "stdvar")
ONE_NUMBER: Final = (
    "only a number may stand beside a vector; series are added up by sum by (stream) "
    '({__name__=~"iops_stream_(read|write)_iops"})'
)


def parse(query: str) -> Expression:
    """Raises InvalidQuery, or QueryRefused for what is not served."""
    if len(query) > QUERY_LIMIT:
        raise QueryRefused(f"query: it is longer than {QUERY_LIMIT} characters; select by a pattern, or ask twice")
    reader = _Reader(query)
    expression = reader.vector(0)
    reader.end()
    return expression


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """What a `match[]` says. Raises as `parse` does."""
    expression = parse(text)
    if not isinstance(expression, Selector) or expression.offset_ms:
        raise InvalidQuery('match[]: it has to be a selector like iops_stream_risk_score{peer_group="web-1"}')
    return expression.matchers


class _Reader:
    """Goes through the words once; PARTS_LIMIT bounds how deep."""

    def __init__(self, query: str) -> None:
        self._tokens = list(islice(tokens_of(query), WORDS_LIMIT + 1))
        if len(self._tokens) > WORDS_LIMIT:
            raise QueryRefused(f"query: it has more than {WORDS_LIMIT} words")
        self._at = 0
        self._parts = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def end(self) -> None:
        if self._next.kind != "end":
            self._unexpected("an operator or the end")

    def vector(self, binding: int) -> Expression:
        """What stands before an operator that binds less; never a range by itself."""
        start, expression = self._next, self._expression(binding)
        if isinstance(expression, Selector) and expression.range_ms is not None:
            raise QueryRefused(
                f"query: the range at {start.at} is served as a function's argument only: {', '.join(says.OVER_TIME)}"
            )
        return expression

    def _expression(self, binding: int) -> Expression:
        left = self._unary()
        while BINDING.get(self._next.text, 0) > binding and self._next.kind in ("sign", "word"):
            sign = self._take()
            if sign.text in SETS:
                raise QueryRefused(f"query: `{sign.text}` at {sign.at} is not served: {ONE_NUMBER}")
            returns_bool = self._took("bool")
            if self._next.text in MATCHING and self._next.kind == "word":
                raise QueryRefused(f"query: `{self._next.text}` at {self._next.at} is not served: {ONE_NUMBER}")
            right = self.vector(BINDING[sign.text] - (sign.text == "^"))
            left = _binary(sign, left, right, returns_bool=returns_bool)
        return left

    def _unary(self) -> Expression:
        self._count()
        if self._next.text not in ("-", "+"):
            return self._primary()
        sign, inner = self._take(), self.vector(POWER - 1)
        if sign.text == "+":
            return inner
        return Number(-inner.value) if isinstance(inner, Number) else Negation(inner)

    def _primary(self) -> Expression:
        token = self._next
        if token.kind == "number":
            return Number(_number(self._take()))
        if token.kind == "string":
            raise QueryRefused(f"query: the string at {token.at} is no value here; strings stand in braces")
        if self._took("("):
            inner = self.vector(0)
            self._expect(")")
            return inner
        if token.text == "{":
            return self._selector(None)
        if token.kind != "word":
            self._unexpected("a series, a number or a function")
        return self._named(self._take())

    def _named(self, word: Token) -> Expression:
        lower, following = word.text.lower(), self._next.text
        if lower in ("inf", "nan"):
            return Number(float(lower))
        if lower in (*says.AGGREGATIONS, *NOT_AGGREGATED) and following in ("(", "by", "without"):
            return self._aggregate(word, lower)
        if following == "(":
            return self._call(word)
        return self._selector(word)

    def _call(self, word: Token) -> Expression:
        if word.text not in says.OVER_TIME:
            raise QueryRefused(
                f"query: the function {word.text[:60]} at {word.at} is not served; there are "
                f"{', '.join(says.OVER_TIME)} and the aggregations {', '.join(says.AGGREGATIONS)}"
            )
        self._expect("(")
        inner = self._expression(0)
        self._expect(")")
        if not isinstance(inner, Selector) or inner.range_ms is None:
            raise InvalidQuery(f"query: {word.text} at {word.at} takes a range, as in {word.text}(x[5m])")
        return OverTime(word.text, inner)

    def _aggregate(self, word: Token, name: str) -> Expression:
        if name in NOT_AGGREGATED:
            raise QueryRefused(f"query: {name} at {word.at} is not served; there are {', '.join(says.AGGREGATIONS)}")
        grouping, parameter = self._grouping(), None
        self._expect("(")
        if name in says.WITH_PARAMETER:
            parameter = self._parameter(word)
            self._expect(",")
        inner = self.vector(0)
        self._expect(")")
        if isinstance(inner, Number):
            raise InvalidQuery(f"query: {name} at {word.at} takes series, not a number")
        labels, is_by = grouping or self._grouping() or (frozenset(), True)
        return Aggregate(name, inner, labels, is_by, parameter)

    def _parameter(self, word: Token) -> float:
        inner = self.vector(0)
        if not isinstance(inner, Number) or math.isnan(inner.value):
            raise InvalidQuery(f"query: {word.text} at {word.at} takes a number first")
        return inner.value

    def _grouping(self) -> tuple[frozenset[str], bool] | None:
        if self._next.text not in ("by", "without"):
            return None
        is_by, labels = self._take().text == "by", set()
        self._expect("(")
        while not self._took(")"):
            labels.add(self._expect_kind("word", "a label").text)
            if self._next.text != ")":
                self._expect(",")
        return frozenset(labels), is_by

    def _selector(self, word: Token | None) -> Expression:
        start = word or self._next
        matchers = [matcher_of(says.NAME, "=", word.text)] if word else []
        if self._took("{"):
            matchers += self._matchers()
        if sum(matcher.label == says.NAME for matcher in matchers) > 1 and word:
            raise InvalidQuery(f"query: the selector at {start.at} says its name twice")
        if all(matcher.fits("") for matcher in matchers):
            raise InvalidQuery(f"query: the selector at {start.at} has to ask for something, or it means everything")
        range_ms = self._range() if self._took("[") else None
        offset_ms = self._offset() if self._next.kind == "word" and self._took("offset") else 0
        if self._next.text == "@":
            raise QueryRefused(f"query: `@` at {self._next.at} is not served; ask with another time")
        return Selector(tuple(matchers), offset_ms, range_ms)

    def _matchers(self) -> list[Matcher]:
        found = []
        while not self._took("}"):
            label = self._expect_kind("word", "a label").text
            if self._next.text not in OPERATORS:
                self._unexpected("=, !=, =~ or !~")
            sign = self._take().text
            found.append(matcher_of(label, sign, unquote(self._expect_kind("string", "a string"))))
            if self._next.text != "}":
                self._expect(",")
        return found

    def _range(self) -> int:
        self._count()
        length_ms = self._duration()
        if self._next.text.startswith(":"):
            raise QueryRefused(f"query: the subquery at {self._next.at} is not served; ask a range query for the steps")
        self._expect("]")
        if length_ms == 0:
            raise InvalidQuery("query: a range has to be longer than 0")
        return length_ms

    def _offset(self) -> int:
        sign = -1 if self._took("-") else 1
        return sign * self._duration()

    def _duration(self) -> int:
        token = self._expect_kind("duration", "a duration like 5m")
        length_ms = duration_ms(token.text)
        if length_ms is None:
            raise InvalidQuery(f"query: the duration at {token.at} is too long")
        return length_ms

    def _count(self) -> None:
        self._parts += 1
        if self._parts > PARTS_LIMIT:
            raise QueryRefused(f"query: it has more than {PARTS_LIMIT} parts")

    def _take(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, text: str) -> bool:
        is_it = self._next.text == text
        self._at += is_it
        return is_it

    def _expect(self, text: str) -> None:
        if not self._took(text):
            self._unexpected(text)

    def _expect_kind(self, kind: str, what: str) -> Token:
        if self._next.kind != kind:
            self._unexpected(what)
        return self._take()

    def _unexpected(self, what: str) -> NoReturn:
        raise InvalidQuery(f"query: {self._next.text[:60]} at {self._next.at}, where {what} was expected")


def _number(token: Token) -> float:
    try:
        return float(int(token.text, 16) if token.text[:2] in ("0x", "0X") else token.text)
    except OverflowError as error:
        raise InvalidQuery(f"query: the number at {token.at} is too large") from error


def _binary(sign: Token, left: Expression, right: Expression, *, returns_bool: bool) -> Expression:
    is_comparison = sign.text in says.COMPARISONS
    if returns_bool and not is_comparison:
        raise InvalidQuery(f"query: bool belongs to a comparison, not to {sign.text} at {sign.at}")
    if isinstance(left, Selector) and left.range_ms is not None:
        raise QueryRefused(f"query: {sign.text} at {sign.at} cannot take a range; put a function around it")
    if isinstance(left, Number) and isinstance(right, Number):
        if is_comparison and not returns_bool:
            raise InvalidQuery(f"query: {sign.text} at {sign.at} between numbers needs bool")
        return Number(float(calculate(sign.text, np.array(left.value), right.value)))
    if isinstance(left, Number):
        return Binary(sign.text, right, left.value, is_number_left=True, returns_bool=returns_bool)
    if isinstance(right, Number):
        return Binary(sign.text, left, right.value, is_number_left=False, returns_bool=returns_bool)
    raise QueryRefused(f"query: {sign.text} at {sign.at} stands between two vectors: {ONE_NUMBER}")
