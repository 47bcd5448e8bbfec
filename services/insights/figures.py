"""Which numbers a text says, and which of them the evidence bears out, rounded or in another unit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

from iops.insight import Evidence, Fact
from services.insights.names import DEVICE

Kind = Literal["time", "bytes", "share", "plain"]

FACTS_TOLD: Final = 8  # of one evidence; the strongest come first
ROUNDING_ERROR: Final = 1e-9  # of floating point, relative
WIDEST_ROUNDING: Final = 0.15  # "100 ms" may be 87 to 117, and not 149; "a dozen" may be 14
NAMED_PERCENTILES: Final = frozenset({1.0, 2.0, 3.0, 50.0, 90.0, 95.0, 99.0, 99.9})  # and first, second, third
DAY_S, WEEK_S = 86_400.0, 604_800.0  # what a baseline and a stream's own level are of: the product's words
WARM_UP_S: Final = 10_800.0
SMALL: Final = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
WORDS: Final[Mapping[str, float]] = {
    **{word: float(number) for number, word in enumerate(SMALL.split(), start=1)},
    "seventeen": 17.0,
    "eighteen": 18.0,
    "nineteen": 19.0,
    "twenty": 20.0,
    "thirty": 30.0,
    "forty": 40.0,
    "fifty": 50.0,
    "sixty": 60.0,
    "seventy": 70.0,
    "eighty": 80.0,
    "ninety": 90.0,
}
SCALES: Final[Mapping[str, float]] = {
    "k": 1e3,
    "m": 1e6,
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "dozen": 12.0,
}
SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "h": 3_600.0,
    "hr": 3_600.0,
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "d": DAY_S,
    "day": DAY_S,
    "week": WEEK_S,
}
BYTES: Final[Mapping[str, int]] = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}  # powers of 1,000 or 1,024
LIST_MARK: Final = re.compile(r"^\s*\(?[1-9][.)]\s|\([1-9]\)")
OUT_OF: Final = re.compile(r"(?<=\d)\s?(?:out of|/)\s?100\b(?!\.\d)", re.IGNORECASE)
# Digits in a word are a name's, and a name that the text was not freed of has to be a word of the field.
GLUED: Final = re.compile(r"(?<![\w.-])[a-z]+\d[\w.]*", re.IGNORECASE)
VOCABULARY: Final = re.compile(
    r"p\d{2,4}(?:\.\d+)?|gp[23]|io[12]|st1|sc1|raid\d{1,2}|ext[234]|xfs|nfsv?\d?|smbv?\d?|s3|ec2|md5|sha\d+|z\d?|v\d+(?:\.\d+)*",
    re.IGNORECASE,
)
MULTIPLES: Final[Mapping[str, float]] = {
    "double": 2.0,
    "doubled": 2.0,
    "twice": 2.0,
    "thrice": 3.0,
    "triple": 3.0,
    "tripled": 3.0,
    "quadruple": 4.0,
    "quadrupled": 4.0,
    **{f"{word}fold": float(number) for number, word in enumerate(SMALL.split()[:10], start=1)},
}
MULTIPLE: Final = re.compile(rf"\b(?:{'|'.join(MULTIPLES)})\b", re.IGNORECASE)
RAID: Final = re.compile(r"\bRAID[ -]?\d{1,2}\b", re.IGNORECASE)
DATE: Final = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})T?")
CLOCK: Final = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z\b)?(?![\d:])")
BETWEEN: Final = re.compile(r"\s*(?:to|and|or|-|[\u2013\u2014]|versus|vs\.?|against|instead of|from)\s*", re.IGNORECASE)
QUANTITY: Final = re.compile(
    r"""(?<!\w)
    (?:(?P<digits>(?:\d{1,3}(?:[,']\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3}\b)?|\.\d+)
     |(?P<word>"""
    + "|".join(sorted(WORDS, key=len, reverse=True))
    + r""")(?:[ -](?P<ones>one|two|three|four|five|six|seven|eight|nine))?\b
     |(?=(?:hundred|thousand|million|billion|dozen)s?\b))
    (?:[ -]?(?P<scale>k|(?-i:M)|hundred|thousand|million|billion|dozen)s?(?!\w))?
    (?:(?P<ordinal>st|nd|rd|th)\b)?
    (?:[ -]{0,2}(?:(?P<percent>%|percent\b|per\ cent\b)
     |(?P<time>ns|us|μs|ms|s|sec|min|h|hr|d
        |(?:nano|micro|milli)?seconds?|secs|msec|mins|minutes?|hours?|hrs|days?|weeks?)(?!\w)
     |(?P<bytes>[kmgt]?i?b(?:ytes?)?|(?:kilo|mega|giga|tera)bytes?)(?:/s(?:ec(?:ond)?)?|ps)?(?!\w)))?
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a text: `mantissa` as written, times one of `factors`, in seconds, B/s, a share, or as it is."""

    said: str
    mantissa: float
    step: float  # of the last place that it claims to know; the zeros at the end of a whole number claim nothing
    kind: Kind
    scale: float  # a thousand, where it says "k"
    factors: tuple[float, ...]  # more than one where a unit has two meanings: a KB is 1,000 or 1,024 bytes

    def is_of(self, value: float) -> bool:
        """It is `value`, rounded.

        >>> six = quantities("6.1 ms")[0]
        >>> six.is_of(0.006129), six.is_of(0.0062)
        (True, False)
        """
        return any(self._is_near(abs(value) / factor) for factor in self.factors)

    def _is_near(self, value: float) -> bool:
        if self.mantissa == 0 or value == 0 or not math.isfinite(self.mantissa):
            return self.mantissa == value
        step = self.step / 10 if value < self.mantissa == self.step else self.step  # 0.6 is not "1", 0.96 is
        away = abs(value - self.mantissa)
        return away <= min(step / 2, WIDEST_ROUNDING * value) + ROUNDING_ERROR * self.mantissa


@dataclass(slots=True)
class Figures:
    """The values that a text may repeat."""

    values: dict[Kind, list[float]] = field(
        default_factory=lambda: {"time": [DAY_S, WEEK_S], "bytes": [], "share": [], "plain": []}
    )
    clocks: set[tuple[int, int]] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)

    def unknown(self, text: str) -> list[str]:
        """The numbers of a text that are not among them, as it wrote them."""
        strange = [said[0] for said in CLOCK.finditer(text) if (int(said[1]), int(said[2])) not in self.clocks]
        strange += [said[1] for said in DATE.finditer(text) if said[1] not in self.dates]
        rest = CLOCK.sub(" ; ", DATE.sub(" ; ", text))
        for pattern in (LIST_MARK, OUT_OF, RAID):
            rest = pattern.sub(" ; ", rest)
        strange += [said[0] for said in GLUED.finditer(rest) if not _is_a_word_of_the_field(said[0])]
        strange += [said[0] for said in MULTIPLE.finditer(rest) if not self._has_ratio(MULTIPLES[said[0].lower()])]
        return strange + [quantity.said for quantity in quantities(rest) if not self._has(quantity)]

    def _has_ratio(self, ratio: float) -> bool:
        """ "Doubled" is said of 1.7 to 2.3."""
        known = (*self.values["plain"], *self.values["share"])
        return any(abs(value - ratio) <= WIDEST_ROUNDING * ratio for value in known)

    def _has(self, quantity: Quantity) -> bool:
        return any(quantity.is_of(value) for value in self.values[quantity.kind])

    def add(self, kind: Kind, *values: float | None) -> None:
        """Values in seconds, B/s or shares, or plain ones."""
        self.values[kind] += [value for value in values if value is not None and math.isfinite(value)]

    def add_instants(self, instants: Iterable[datetime]) -> None:
        """Their days and their minutes, in UTC."""
        for instant in (one.astimezone(UTC) for one in instants):
            self.clocks.add((instant.hour, instant.minute))
            self.dates.add(f"{instant:%Y-%m-%d}")


def figures_of(evidence: Evidence) -> Figures:
    """All that the evidence says in numbers."""
    figures = Figures()
    figures.add("plain", evidence.risk_score, evidence.provisioned_iops, evidence.peers, len(evidence.neighbours))
    figures.add("plain", *(neighbour.risk_score for neighbour in evidence.neighbours), evidence.confidence)
    figures.add("share", evidence.confidence)
    figures.add("time", lasted_s(evidence), WARM_UP_S if evidence.warming_up else None)
    figures.add_instants((evidence.began_at, evidence.window_from, evidence.window_to))
    if evidence.earlier is not None:
        figures.add("plain", evidence.earlier.risk_score)
        figures.add_instants((evidence.earlier.created_at,))
    for fact in evidence.facts[:FACTS_TOLD]:
        _add_fact(figures, fact)
    return figures


def lasted_s(evidence: Evidence) -> float:
    """From when it began to the end of the window, in whole minutes, or in seconds below one."""
    seconds = max(0.0, (evidence.window_to - evidence.began_at).total_seconds())
    return round(seconds / 60) * 60.0 if seconds >= 60 else float(round(seconds))


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text in order. "from 400 to 900 us" says microseconds twice.

    >>> [(one.mantissa, one.kind) for one in quantities("p99 of nvme0n1: 12k IOPS, three times 4 ms")]
    [(12.0, 'plain'), (3.0, 'plain'), (4.0, 'time')]
    """
    found = list(_found(text))
    for index in range(len(found) - 2, -1, -1):
        match, quantity = found[index]
        following, next_quantity = found[index + 1]
        if quantity.kind == "plain" and BETWEEN.fullmatch(text, match.end(), following.start()):
            factors = tuple(quantity.scale * factor / next_quantity.scale for factor in next_quantity.factors)
            found[index] = (match, replace(quantity, kind=next_quantity.kind, factors=factors))
    return [quantity for _, quantity in found]


def _add_fact(figures: Figures, fact: Fact) -> None:
    kind, factor = _unit_of(fact.unit)
    for value in (fact.value, fact.baseline, fact.peers):
        figures.add("plain", value)
        figures.add(kind, None if value is None else value * factor)
    for quantity in quantities(fact.sentence[:1_000]):
        if quantity.kind in ("plain", "share"):
            figures.add("plain", quantity.mantissa * quantity.scale)
        figures.add(quantity.kind, *(quantity.mantissa * known for known in quantity.factors))
        if quantity.kind == "plain":  # "4 ms over 5 min, from 3.9": the fact's unit goes without saying
            figures.add(kind, quantity.mantissa * quantity.scale * factor)


def _unit_of(unit: str) -> tuple[Kind, float]:
    if unit == "ratio":
        return "share", 1.0
    quantity = next(iter(quantities(f"1 {unit[:20]}")), None)
    return ("plain", 1.0) if quantity is None else (quantity.kind, quantity.factors[0])


def _found(text: str) -> Iterator[tuple[re.Match[str], Quantity]]:
    for match in QUANTITY.finditer(text):
        quantity = _quantity_of(match)
        is_word_for_one_or_two = match["word"] and quantity.mantissa <= 2 and quantity.scale == 1
        is_ordinal = match["ordinal"] and quantity.mantissa in NAMED_PERCENTILES
        if not is_word_for_one_or_two and not is_ordinal and not _is_part_of_a_name(match, quantity):
            yield match, quantity


def _is_a_word_of_the_field(word: str) -> bool:
    """Or a device, of which `strange_names` judges."""
    return bool(VOCABULARY.fullmatch(word.rstrip(".")) or DEVICE.fullmatch(word.rstrip(".")))


def _is_part_of_a_name(match: re.Match[str], quantity: Quantity) -> bool:
    """As in us-east-1: after a letter and a hyphen, short and without a unit."""
    before = match.string[max(0, match.start() - 2) : match.start()]
    return before[1:] == "-" and before[0].isalpha() and len(match[0]) <= 2 and quantity.kind == "plain"


def _quantity_of(match: re.Match[str]) -> Quantity:
    scale = SCALES[match["scale"].lower()] if match["scale"] else 1.0
    mantissa, step = _mantissa_of(match)
    kind, factors = _meaning_of(match)
    return Quantity(match[0], mantissa, step, kind, scale, tuple(scale * factor for factor in factors))


def _mantissa_of(match: re.Match[str]) -> tuple[float, float]:
    if match["digits"] is None:
        mantissa = WORDS[match["word"].lower()] if match["word"] else 1.0
        mantissa += WORDS[match["ones"].lower()] if match["ones"] and mantissa >= 20 else 0.0
        return mantissa, 1.0
    digits, _, exponent = match["digits"].replace(",", "").replace("'", "").lower().partition("e")
    mantissa = float(match["digits"].replace(",", "").replace("'", ""))
    whole, _, decimals = digits.partition(".")
    places = -len(decimals) if decimals else len(whole) - len(whole.rstrip("0"))
    is_countable = math.isfinite(mantissa) and mantissa != 0
    return mantissa, 10.0 ** (places + int(exponent or 0)) if is_countable else 1.0


def _meaning_of(match: re.Match[str]) -> tuple[Kind, tuple[float, ...]]:
    if match["percent"]:
        return "share", (0.01,)
    if match["time"]:
        unit = match["time"].lower().replace("msec", "ms")
        return "time", (SECONDS[unit if unit in SECONDS else unit.removesuffix("s")],)
    if match["bytes"]:
        unit = match["bytes"].lower()
        power = BYTES[unit[0] if unit[0] != "b" else ""]
        return "bytes", (1_024.0**power,) if unit[1:3] == "ib" else _either(power)
    return "plain", (1.0,)


def _either(power: int) -> tuple[float, ...]:
    return (1_000.0**power, 1_024.0**power) if power else (1.0,)
