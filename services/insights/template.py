"""An explanation from evidence alone: always there, never wrong about a number, because it only repeats them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from iops.contract import INSIGHT_RISK_SCORE
from iops.insight import Earlier, Evidence, PredictionType, Verdict

NAME_CHARS: Final = 80  # of a stream: the title is a mail's subject
NEIGHBOUR_CHARS: Final = 40
WORDS_CHARS: Final = 120  # of what an operator wrote
EXPLANATION_CHARS: Final = 700  # one screen of a phone
TOLD_FACTS: Final = 3
MOST_NEIGHBOURS: Final = 5  # that an evidence names; there may be more
MOST_STEPS: Final = 4
LOW_CONFIDENCE: Final = 0.5  # below it the like is more often a false alarm than not
SLOW_RATIO: Final = 2.0  # times its median: nobody believes that nothing is wrong unless it is said


class Explanation(NamedTuple):
    """What a person reads."""

    title: str  # one printable line
    explanation: str
    recommendations: tuple[str, ...]  # 2 to 4, the next step first


class _Template(NamedTuple):
    title: str  # follows the stream's name
    meaning: str
    recommendations: tuple[str, ...]  # 2 or 3


def explain(evidence: Evidence) -> Explanation:
    """The template's words for a stream's state."""
    name, template = shown(evidence.stream_id), TEMPLATES[evidence.prediction_type]
    return Explanation(
        title=f"{name} {template.title}",
        explanation=_joined(template.meaning, _proof(evidence), _context(evidence)),
        recommendations=_steps(evidence, template.recommendations),
    )


def explain_recovery(evidence: Evidence) -> Explanation:
    """The words for a stream that was ill and is not any more; the type is that of what has ended."""
    ended = _spoken(evidence.prediction_type) if evidence.prediction_type else "ill"
    return Explanation(
        title=f"{shown(evidence.stream_id)} has recovered",
        explanation=_joined(f"What was reported as {ended} is no longer seen.", _proof(evidence), ()),
        recommendations=("Nothing has to be done now.", "Note the cause while it is fresh, for the next time."),
    )


def shown(text: str, limit: int = NAME_CHARS) -> str:
    """Somebody else's text as one printable line, its middle left out where it is long: both ends tell disks apart.

    >>> shown("web-1:sda"), shown("a\\n\\u202eb\\x1b[31m"), shown("web-1-of-many:sda", limit=9), shown("\\x00")
    ('web-1:sda', 'a b[31m', 'web-…:sda', '(unnamed)')
    """
    line = "".join(character for character in " ".join(text.split()) if character.isprintable()).strip()
    if len(line) > limit:
        line = f"{line[: limit // 2]}…{line[len(line) - (limit - 1) // 2 :]}"
    return line or "(unnamed)"


def _joined(meaning: str, proof: str, context: Iterable[str]) -> str:
    """Meaning and proof always, then as many of the other sentences as have room."""
    text = f"{meaning} {proof}".strip()
    for sentence in context:
        if len(text) + 1 + len(sentence) <= EXPLANATION_CHARS:
            text = f"{text} {sentence}"
    return text


def _proof(evidence: Evidence) -> str:
    facts = "; ".join(fact.sentence for fact in evidence.facts[:TOLD_FACTS])
    return f"Evidence: {facts}." if facts else ""


def _context(evidence: Evidence) -> Iterator[str]:
    """The most telling first."""
    kind = evidence.prediction_type
    if kind is None and _is_slow(evidence):
        yield "It is slower than usual, which the scorer does not take for trouble: demand may explain it."
    if kind is not None:
        yield f"It began at {_instant(evidence.began_at)}."
    yield from _beside(evidence)
    if evidence.warming_up:
        yield "It is warming up: there is too little history yet to know what is usual for it."
    if kind is None or evidence.risk_score < INSIGHT_RISK_SCORE:
        yield f"Its risk score of {evidence.risk_score:g} alerts nobody."
    if kind is not None and evidence.confidence < LOW_CONFIDENCE:
        yield f"Confidence is low ({evidence.confidence:.2g}): check before you act."
    if kind in LIMITED and evidence.provisioned_iops is not None:
        yield f"It is provisioned for {evidence.provisioned_iops:g} IOPS."
    if evidence.earlier is not None:
        yield _before(evidence.earlier)


def _beside(evidence: Evidence) -> Iterator[str]:
    ill, peers = evidence.neighbours, evidence.peers
    if ill:
        name, kind = shown(ill[0].stream_id, NEIGHBOUR_CHARS), _spoken(ill[0].prediction_type)
        who = f"the worst: {name}" if len(ill) > 1 else name
        yield f"{_ill_peers(evidence)} ill at the same time, {who} ({kind}, risk {ill[0].risk_score:g})."
    elif peers:
        yield f"None of its {peers} peers is ill." if peers > 1 else "Its only peer is not ill."
    elif peers == 0:
        yield "It has no peers to compare with."


def _ill_peers(evidence: Evidence) -> str:
    count = len(evidence.neighbours)
    least = "At least " if count == MOST_NEIGHBOURS and (evidence.peers or 0) > count else ""
    if count > 1 and count == evidence.peers:
        return f"All {count} of its peers are"
    of_all = f"of its {evidence.peers} peers" if evidence.peers else "of its peers" if count > 1 else "peer of it"
    return f"{least}{count} {of_all} {'are' if count > 1 else 'is'}"


def _before(earlier: Earlier) -> str:
    told = f"The last insight of this kind, at {_instant(earlier.created_at)} (risk {earlier.risk_score:g}),"
    other = f": it was {_spoken(earlier.prediction_type)}" if earlier.prediction_type else ""
    said = {
        None: "has no verdict",
        Verdict.CONFIRM: "was confirmed by an operator",
        Verdict.DISMISS: "was dismissed by an operator",
        Verdict.WRONG_CAUSE: f"had another cause, says an operator{other}",
    }[earlier.verdict]
    return f"{told} {said}: {_quoted(earlier.text)}." if earlier.text else f"{told} {said}."


def _quoted(text: str) -> str:
    words = shown(text, len(text)).replace('"', "'")
    return f'"{words[: WORDS_CHARS - 1]}…"' if len(words) > WORDS_CHARS else f'"{words.rstrip(".")}"'


def _steps(evidence: Evidence, usual: tuple[str, ...]) -> tuple[str, ...]:
    """What is known of the peers and of the last time comes before what is usual."""
    kind, earlier = evidence.prediction_type, evidence.earlier
    steps = [*usual]
    if _is_shared(evidence):
        steps.insert(0, f"Look at the host or its controller first: {_ill_peers(evidence).lower()} ill too.")
    elif earlier is not None and earlier.verdict is Verdict.WRONG_CAUSE and earlier.prediction_type:
        steps.insert(0, f"Look for {_spoken(earlier.prediction_type)} first: an operator found it the last time.")
    elif kind is not None and evidence.risk_score < INSIGHT_RISK_SCORE and not evidence.is_hard_rule:
        steps.insert(0, "Wait: nothing has to be done unless somebody feels it.")
    if earlier is not None and earlier.verdict is Verdict.DISMISS:
        steps[MOST_STEPS - 1 :] = ["Dismiss it again if the reason is the same as the last time."]
    return tuple(steps[:MOST_STEPS])


def _is_shared(evidence: Evidence) -> bool:
    """Half of the peers are ill too, or as many as are named: the disk is not the reason."""
    count = len(evidence.neighbours)
    many = 2 * count >= evidence.peers if evidence.peers else count > 1
    return evidence.prediction_type in SHARED and count > 0 and (many or count == MOST_NEIGHBOURS)


def _is_slow(evidence: Evidence) -> bool:
    return any(
        fact.name == "await_ms" and fact.baseline is not None and fact.value > SLOW_RATIO * fact.baseline
        for fact in evidence.facts
    )


def _spoken(kind: PredictionType) -> str:
    names = {PredictionType.IO_ERRORS: "I/O errors", PredictionType.AGENT_SILENT: "a silent agent"}
    return names.get(kind, kind.replace("_", " "))


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# What a host does to all of its disks. A volume is throttled, and a disk errs, by itself.
SHARED: Final = frozenset(
    {
        PredictionType.FAIL_SLOW,
        PredictionType.PERFORMANCE_DEGRADATION,
        PredictionType.LATENCY_SPIKE,
        PredictionType.RESOURCE_SATURATION,
        PredictionType.STALL,
    }
)
# Where a reader asks at once whether the limit is the reason; throttling's own fact says it.
LIMITED: Final = frozenset({PredictionType.PERFORMANCE_DEGRADATION, PredictionType.RESOURCE_SATURATION})
TEMPLATES: Final[Mapping[PredictionType | None, _Template]] = {
    None: _Template(
        "shows nothing wrong",
        "The scorer finds nothing wrong with this stream now.",
        (
            "Nothing has to be done unless somebody feels it.",
            "If somebody finds it slow, look above the disk: file system, network, application.",
        ),
    ),
    PredictionType.IO_ERRORS: _Template(
        "returns I/O errors",
        "Requests fail at the device. Errors tend to come before a failed disk.",
        (
            "Make sure that the data on it has a healthy copy before anything else writes to it.",
            "Read the kernel log and SMART or NVMe health of the device.",
            "Replace the device or volume if errors go on.",
        ),
    ),
    PredictionType.STALL: _Template(
        "has stalled: requests are in flight and none completes",
        "The device holds requests and completes none of them, so whatever waits for it hangs.",
        (
            "Look for a lost path, a controller reset or a frozen file system in the kernel log of the host.",
            "Move the workload off the device if it does not resume by itself.",
            "For a network volume, check its service's status and the host's path to it.",
        ),
    ),
    PredictionType.THROUGHPUT_THROTTLING: _Template(
        "is throttled at its provisioned limit",
        "Demand is at the limit the volume was bought with, and requests wait in front of it.",
        (
            "Raise the provisioned IOPS if this demand is meant to stay.",
            "Find what raised the demand; a batch job may run at another hour.",
            "Check burst credits where the volume type has them.",
        ),
    ),
    PredictionType.FAIL_SLOW: _Template(
        "is slower than its peers",
        "This disk takes much longer than the disks beside it under the same conditions.",
        (
            "Drain the disk, and watch whether its peers stay fast.",
            "Read SMART or NVMe health, firmware version and temperature of the device.",
            "Plan its replacement: fail-slow disks rarely recover.",
        ),
    ),
    PredictionType.PERFORMANCE_DEGRADATION: _Template(
        "is slower than usual",
        "Requests take longer than this stream's history explains, without more demand.",
        (
            "Look for a rebuild, scrub or snapshot that began at the same time.",
            "Check the path to it: cable, controller, network.",
            "Read the device's health if the slowness stays.",
        ),
    ),
    PredictionType.LATENCY_SPIKE: _Template(
        "shows latency spikes",
        "Some seconds are much slower than usual, most are not.",
        (
            "Look for what runs at those seconds: flushes, snapshots, compactions.",
            "Watch whether the spikes grow more frequent.",
        ),
    ),
    PredictionType.RESOURCE_SATURATION: _Template(
        "is saturated by demand",
        "The stream is asked for more than usual, and its latency follows.",
        (
            "Find the workload that grew.",
            "Spread it in time or over more disks if the latency matters.",
        ),
    ),
    PredictionType.AGENT_SILENT: _Template(
        "sends no samples any more",
        "Its agent fell silent, so nobody watches its disks.",
        (
            "Look whether the host is up and reaches ingest.",
            "Look whether the agent runs, and what its log says.",
            "Resolve the alert, or silence it, if the host was taken away.",
        ),
    ),
    PredictionType.ANOMALY: _Template(
        "behaves unusually",
        "Its numbers left their usual range in a way no rule has a name for.",
        (
            "Look at the stream's charts around the time given.",
            "Dismiss the insight if the change was intended.",
        ),
    ),
}
