"""Whether words about a stream are good: the same checks for the template and for a language model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.figures import percentile
from iops.insight import Evidence
from services.insights.template import EXPLANATION_CHARS, NEIGHBOUR_CHARS, TOLD_FACTS, Explanation, explain, shown

GOLDEN: Final = Path(__file__).parents[1] / "tests" / "golden" / "evidence.json"
STEPS: Final = range(2, 5)
ROUNDING: Final = 0.02  # 8.1 for 8.13 is the same number
# Not what belongs to a word (nvme0n1, gp3); 1,234 is one number.
NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w]*\d)")
MEASURED: Final = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)(?:\s?(ms|B/s|IO/s|%|IOPS|times))?(?!\s?(?:h|min|s)\b)(?![\w.]*\d)"
)
CHECKS: Final[Mapping[str, str]] = {
    "names_stream": "the title names the stream",
    "tells_facts": "the explanation tells the three strongest facts with units",
    "invents_nothing": "every number is in the evidence",
    "one_next_step": "2 to 4 recommendations, the first of them one thing to do",
    "is_short": "title, explanation and recommendations are as long as a person reads",
    "is_printable": "no control or bidirectional character; the title is one line",
}


class Lengths(NamedTuple):
    """How many characters a person is asked to read at most."""

    title: int
    explanation: int
    recommendation: int


TEMPLATE_LENGTHS: Final = Lengths(160, EXPLANATION_CHARS, 200)
MODEL_LENGTHS: Final = Lengths(160, 1_200, 300)  # what the prompt allows


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody said of one evidence; `words` is None where `why_not` says why there are none."""

    words: Explanation | None
    why_not: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    objections: tuple[str, ...] = ()  # to answers that were refused, also where a later one was not
    lengths: Lengths = TEMPLATE_LENGTHS


Teller = Callable[[Evidence], Awaitable[Told]]  # the template, or a language model behind a provider


class Record(NamedTuple):
    """One golden evidence."""

    name: str
    evidence: Evidence


def read_records(path: Path = GOLDEN) -> list[Record]:
    """Of the golden file, in its order."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Record(row["name"], Evidence.model_validate(row["evidence"])) for row in rows]


def problems_of(evidence: Evidence, words: Explanation, lengths: Lengths = TEMPLATE_LENGTHS) -> dict[str, str]:
    """By check, what is wrong with the words; nothing for what is right."""
    found = {
        "names_stream": _unnamed(evidence, words),
        "tells_facts": _untold(evidence, words),
        "invents_nothing": _invented(evidence, words),
        "one_next_step": _no_step(words),
        "is_short": _long(words, lengths),
        "is_printable": _unprintable(words),
    }
    return {check: problem for check, problem in found.items() if problem}


async def tell_by_template(evidence: Evidence) -> Told:
    """Costs nothing."""
    return Told(explain(evidence))


async def measure(
    records: Sequence[Record],
    tell: Teller,
    timer: Callable[[], float],
    *,
    show: Callable[[Record, Told], None] = lambda *_: None,
) -> dict[str, Any]:
    """Figures of all records, one after the other: what passed, what was objected to, tokens, dollars, seconds."""
    tolds, seconds, failures = [], [], []
    for record in records:
        began_s = timer()
        told = await tell(record.evidence)
        seconds.append(timer() - began_s)
        tolds.append(told)
        show(record, told)
        problems = problems_of(record.evidence, told.words, told.lengths) if told.words else {}
        failures += [{"record": record.name, "check": check, "why": why} for check, why in problems.items()]
        if told.words is None:
            failures.append({"record": record.name, "check": "answered", "why": told.why_not or "no words"})
    failed = Counter(failure["check"] for failure in failures)
    answered = len(records) - failed["answered"]
    return {
        "records": len(records),
        "answered": answered,
        "checks": {check: {"passed": answered - failed[check], "failed": failed[check]} for check in CHECKS},
        "tokens_in": sum(told.tokens_in for told in tolds),
        "tokens_out": sum(told.tokens_out for told in tolds),
        "cost_usd": round(sum(told.cost_usd for told in tolds), 6),
        "p50_s": round(percentile(sorted(seconds), 0.5), 4),
        "p95_s": round(percentile(sorted(seconds), 0.95), 4),
        "objections": [
            {"record": record.name, "why": why}
            for record, told in zip(records, tolds, strict=True)
            for why in told.objections
        ],
        "failures": failures,
    }


def lines_of(figures: Mapping[str, Any]) -> Iterator[str]:
    """A table for people, and a sentence for each failure."""
    yield f"{figures['answered']} of {figures['records']} records answered"
    yield f"{'passed':>7} {'failed':>7}"
    for check, count in figures["checks"].items():
        yield f"{count['passed']:7} {count['failed']:7}  {CHECKS[check]}"
    yield f"tokens {figures['tokens_in']:,} in, {figures['tokens_out']:,} out; ${figures['cost_usd']:.4f}"
    yield f"seconds p50 {figures['p50_s']:.3f}, p95 {figures['p95_s']:.3f}"
    for objection in figures["objections"]:
        yield f"OBJECTED {objection['record']}: {objection['why']}"
    for failure in figures["failures"]:
        yield f"FAILED {failure['record']}: {failure['check']}: {failure['why']}"


def words_of(record: Record, words: Explanation) -> Iterator[str]:
    """As a person reads them."""
    yield f"[{record.name}] risk {record.evidence.risk_score:g}"
    yield words.title
    yield words.explanation
    yield from (f"{number}. {step}" for number, step in enumerate(words.recommendations, start=1))


def _unnamed(evidence: Evidence, words: Explanation) -> str:
    name = shown(evidence.stream_id)
    return "" if name in words.title else f"{name!r} is not in the title {words.title!r}"


def _untold(evidence: Evidence, words: Explanation) -> str:
    """Spans of time need not be repeated."""
    told = list(_measured(words.explanation))
    lacking = [
        f"{number} {unit}".strip()
        for fact in evidence.facts[:TOLD_FACTS]
        for number, unit in _measured(fact.sentence)
        if not any(_is_same(number, other) and (not unit or unit == its) for other, its in told)
    ]
    return f"not told: {', '.join(lacking)}" if lacking else ""


def _measured(text: str) -> Iterator[tuple[float, str]]:
    for match in MEASURED.finditer(text.replace(",", "")):
        yield float(match[1]), match[2] or ""


def _invented(evidence: Evidence, words: Explanation) -> str:
    known = [*_numbers(evidence.model_dump_json()), len(evidence.neighbours)]
    known += [value * 100 for value in known]  # a ratio told as a percentage
    text = "\n".join((*words[:2], *words.recommendations))
    for name in (evidence.stream_id, *(each.stream_id for each in evidence.neighbours)):
        text = text.replace(shown(name), "").replace(shown(name, NEIGHBOUR_CHARS), "")
    new = [number for number in _numbers(text) if not any(_is_same(number, each) for each in known)]
    return f"not in the evidence: {', '.join(f'{number:g}' for number in new)}" if new else ""


def _numbers(text: str) -> list[float]:
    """Those of an instant too, each by itself."""
    spaced = re.sub(r"(?<=\d)[-:TZ](?=\d|\"|$)", " ", text)
    return [float(match[0].replace(",", "")) for match in NUMBER.finditer(spaced)]


def _is_same(one: float, other: float) -> bool:
    return abs(one - other) <= ROUNDING * abs(other)


def _no_step(words: Explanation) -> str:
    steps = words.recommendations
    if len(steps) not in STEPS or len(set(steps)) < len(steps):
        return f"{len(steps)} recommendations, {len(set(steps))} of them different"
    first = steps[0].strip().rstrip(".")
    return f"the next step is not one sentence: {first!r}" if not first or re.search(r"[.;?!]\s", first + " ") else ""


def _long(words: Explanation, lengths: Lengths) -> str:
    parts = [
        ("title", len(words.title), lengths.title),
        ("explanation", len(words.explanation), lengths.explanation),
        *(("recommendation", len(step), lengths.recommendation) for step in words.recommendations),
    ]
    return ", ".join(
        f"{part} of {length} characters, {limit} at most" for part, length, limit in parts if length > limit
    )


def _unprintable(words: Explanation) -> str:
    body: Sequence[str] = (words.explanation, *words.recommendations)
    if not words.title.isprintable():
        return f"title {words.title!r}"
    return next((repr(text) for text in body if not text.replace("\n", " ").isprintable()), "")
