"""Which series a selector means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import re2

from iops.errors import InvalidQuery
from services.insights.prometheus.query import Matcher

# Other people's patterns: re2 takes time in proportion to the text, whatever the pattern, and memory up to this.
PATTERN_BYTES: Final = 1024 * 1024
OPERATORS: Final = ("=", "!=", "=~", "!~")


def matcher_of(label: str, operator: str, text: str) -> Matcher:
    """Raises InvalidQuery where a pattern is none."""
    is_it = _fully(text) if operator.endswith("~") else lambda value: value == text
    return Matcher(label, is_it if operator in ("=", "=~") else lambda value: not is_it(value))


def all_fit(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all are content."""
    return all(matcher.fits(labels.get(matcher.label, "")) for matcher in matchers)


def _fully(pattern: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.max_mem = PATTERN_BYTES
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        raise InvalidQuery(f"query: the pattern {_short(pattern)} is none that RE2 takes: {reason[:200]}") from error
    return lambda value: compiled.fullmatch(value) is not None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
