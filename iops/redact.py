"""What must not reach a log: secrets, known by their value, the name before them, or their shape."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from structlog.typing import EventDict

HIDDEN: Final = "[hidden]"
DEEPEST: Final = 6  # levels of nesting that are looked into; what is below is one text
SHORTEST_SHAPE: Final = 20  # characters of the shortest secret that is known by its shape alone, an AWS key id
SHORTEST_VALUE: Final = 8  # characters of a known secret; a shorter one is part of ordinary words
VALUES_LIMIT: Final = 256  # known secrets, each looked for in each text; with all of them a line takes 0.1 ms
LONGEST_NAME: Final = 64  # characters of a field's name, its last ones, that are looked at
AWS_SECRET_LENGTH: Final = 40  # characters

WORDS: Final = ("authorization", "api", "cookie", "secret", "password", "passwd", "token", "signature", "routing")
HEADERS: Final = "authorization|x-api-key|cookie"
NAMES: Final = r"api[-_]?key|secret(?:[-_]?access[-_]?key)?|password|passwd|token|signature|routing[-_]key"
SECRET_FIELD: Final = re.compile(rf"(?i)(?:.*[-_.])?(?:{HEADERS}|{NAMES})")
Rule = tuple[Callable[[str], bool], re.Pattern[str], str]


def _after(*marks: str) -> Callable[[str], bool]:
    return lambda text: any(mark in text for mark in marks)


def _may_assign(text: str) -> bool:
    return ":" in text or "=" in text or "," in text


def _may_name_a_secret(text: str) -> bool:
    if not _may_assign(text):
        return False
    lowered = text.lower()
    return any(word in lowered for word in WORDS)


# Each: whether it is worth looking (a tenth of what the pattern costs), the pattern, what takes its place.
RULES: Final[tuple[Rule, ...]] = (
    # To the end of its quotes; unquoted, a header to the end of its line: schemes, cookies and digests have parts.
    (
        _may_name_a_secret,
        re.compile(rf"(?im)((?:{HEADERS}|{NAMES})\\*['\"]?\s*[:=,]\s*b?)(\\*['\"]).*?(?:\2|$)"),
        rf"\1\2{HIDDEN}\2",
    ),
    (_may_name_a_secret, re.compile(rf"(?i)((?:{HEADERS})\s*[:=]\s*)(?!b?\\*['\"])[^\r\n]+"), rf"\1{HIDDEN}"),
    (_may_name_a_secret, re.compile(rf"(?i)((?:{NAMES})\s*[:=]\s*)(?!b?\\*['\"])[^\s'\",;&)}}\]]+"), rf"\1{HIDDEN}"),
    (
        lambda text: "earer" in text or "asic" in text or "BEARER" in text or "BASIC" in text,
        re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}"),
        rf"\1 {HIDDEN}",
    ),
    # Which key stays: the one to revoke. 24 characters, since our metrics' names look alike but have fewer.
    (_after("iops_"), re.compile(r"(iops_[A-Za-z0-9-]{1,64}_)[A-Za-z0-9_-]{24,}"), rf"\1{HIDDEN}"),
    (_after("://"), re.compile(r"(://)[^/\s?#]*@"), rf"\1{HIDDEN}@"),
    (_after("slack"), re.compile(r"(hooks\.slack(?:-gov)?\.com(?::\d+)?/)[^\s'\"<>]+"), rf"\1{HIDDEN}"),
    (_after("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    # With a digit and both cases, or each path and each SHA-1 of that length would go.
    (
        lambda text: len(text) >= AWS_SECRET_LENGTH,
        re.compile(
            r"(?<![A-Za-z0-9/+])(?=[a-z0-9/+]*[A-Z])(?=[A-Z0-9/+]*[a-z])(?=[A-Za-z/+]*[0-9])"
            r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
        ),
        HIDDEN,
    ),
)


def _word(name: object) -> str:
    if isinstance(name, str):
        return name
    return name.decode("latin-1") if isinstance(name, bytes) else repr(name)


@lru_cache(maxsize=1_024)  # programs have some hundred names of fields
def _is_secret_field(name: str) -> bool:
    return SECRET_FIELD.fullmatch(name) is not None


def _is_secret_header(pair: Sequence[object]) -> bool:
    """Whether it is a name and a value, as ASGI and httpx have headers, and the name is a secret's."""
    return len(pair) == 2 and _is_secret_field(_word(pair[0])[-LONGEST_NAME:])


class Redactor:
    """A processor of structlog that stands last before the line is written, so it sees traces as texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are values that are hidden wherever they stand."""
        self._known: dict[str, None] = {}  # the newest last
        self._values: list[str] = []
        self.hide(secrets)

    def hide(self, values: Iterable[str]) -> None:
        """These too, from now on; beyond 256 the ones that were named longest ago are forgotten."""
        for value in values:
            if len(value) >= SHORTEST_VALUE:
                self._known.pop(value, None)
                self._known[value] = None
        for oldest in list(self._known)[:-VALUES_LIMIT]:
            del self._known[oldest]
        # The longest first, where one is part of another; a new list, because other threads go through the old one.
        self._values = sorted(self._known, key=len, reverse=True)

    def __call__(self, _: object, __: str, line: EventDict) -> EventDict:
        return self._mapping(line, DEEPEST)

    def text(self, text: str) -> str:
        """`text` without its secrets; the same object where it has none."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        if len(text) < SHORTEST_SHAPE and not _may_assign(text):
            return text
        for is_worth_it, pattern, replacement in RULES:
            if is_worth_it(text):
                text = pattern.sub(replacement, text)
        return text

    def _mapping(self, fields: Mapping[Any, object], levels: int) -> dict[str, object]:
        cleaned = {}
        for name, value in fields.items():
            word = _word(name)
            hides = value is not None and _is_secret_field(word[-LONGEST_NAME:])
            cleaned[self.text(word)] = HIDDEN if hides else self._clean(value, levels)
        return cleaned

    def _clean(self, value: object, levels: int) -> object:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, int | float):
            return value
        if levels == 0:
            return self.text(repr(value))
        if isinstance(value, Mapping):
            return self._mapping(value, levels - 1)
        if isinstance(value, list | tuple):
            if _is_secret_header(value):
                return [self._clean(value[0], levels - 1), HIDDEN]
            return [self._clean(inner, levels - 1) for inner in value]
        return self.text(repr(value))  # as the renderer would show it


def secrets_in(settings: BaseModel) -> list[str]:
    """The values of all its SecretStr fields, also of models and tuples in it."""
    return [text for _, value in settings for text in _secrets_of(value)]


def _secrets_of(value: object) -> list[str]:
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    if isinstance(value, BaseModel):
        return secrets_in(value)
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _secrets_of(inner)]
    if isinstance(value, list | tuple | set | frozenset):
        return [text for inner in value for text in _secrets_of(inner)]
    return []
