"""The words of a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from iops.errors import InvalidQuery

TOKEN: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+(?![A-Za-z0-9_.]))
    |(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_.])
    |(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<sign>==|!=|=~|!~|>=|<=|[-+*/%^<>=(){}\[\],@])""",
    re.VERBOSE,
)
ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)")
ESCAPED: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
UNIT_MS: Final = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "y": 365 * 86_400_000,
}
LONGEST_MS: Final = 292 * UNIT_MS["y"]  # as in Prometheus, which counts nanoseconds in 63 bits


class Token(NamedTuple):
    """A word, where it stands, and of which kind it is."""

    kind: str  # a group of TOKEN, or "end"
    text: str
    at: int  # counted from 1


def tokens_of(query: str) -> Iterator[Token]:
    """The words, and an end. Raises InvalidQuery."""
    at = 0
    while at < len(query):
        found = TOKEN.match(query, at)
        if found is None or found.lastgroup is None:
            raise InvalidQuery(f"query: {query[at]!r} at {at + 1} begins nothing that PromQL knows")
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found.group(), at + 1)
        at = found.end()
    yield Token("end", "the end", at + 1)


def unquote(token: Token) -> str:
    """What a string says. Raises InvalidQuery.

    >>> unquote(Token("string", '"a\\\\x62\\\\n"', 1)), unquote(Token("string", "`a\\\\n`", 1))
    ('ab\\n', 'a\\\\n')
    """
    inner = token.text[1:-1]
    if token.text[0] == "`":
        return inner

    def plain(found: re.Match[str]) -> str:
        said = found.group(1)
        if said in ESCAPED:
            return ESCAPED[said]
        try:
            return chr(int(said[1:], 16) if said[0] in "xuU" else int(said, 8))
        except (ValueError, OverflowError) as error:
            raise InvalidQuery(f"query: the string at {token.at} has an unknown escape \\{said}") from error

    return ESCAPE.sub(plain, inner)


def duration_ms(text: str) -> int | None:
    """A duration as PromQL writes it; None where it is none, or too long.

    >>> duration_ms("1h30m"), duration_ms("250ms"), duration_ms("5"), duration_ms("")
    (5400000, 250, None, None)
    """
    parts = re.findall(r"([0-9]{1,12})(ms|[smhdwy])", text)
    if not parts or "".join(count + unit for count, unit in parts) != text:
        return None
    length_ms = sum(int(count) * UNIT_MS[unit] for count, unit in parts)
    return length_ms if length_ms <= LONGEST_MS else None
