"""An explanation from evidence alone: always there, never wrong about a number, because it only repeats them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from iops.insight import Evidence, PredictionType


class Explanation(NamedTuple):
    """What a person reads."""

    title: str
    explanation: str
    recommendations: tuple[str, ...]


class _Template(NamedTuple):
    title: str  # follows the stream's name
    meaning: str
    recommendations: tuple[str, ...]


def explain(evidence: Evidence) -> Explanation:
    """The template's words for what is known."""
    template = NOTHING if evidence.prediction_type is None else TEMPLATES[evidence.prediction_type]
    facts = "; ".join(fact.sentence for fact in evidence.facts)
    return Explanation(
        title=f"{evidence.stream_id} {template.title}",
        explanation=f"{template.meaning} Evidence: {facts}." if facts else template.meaning,
        recommendations=template.recommendations,
    )


def explain_recovery(evidence: Evidence, prediction_type: PredictionType) -> Explanation:
    """The words for a stream that was ill with this and is not any more."""
    facts = "; ".join(fact.sentence for fact in evidence.facts)
    meaning = f"What was reported as {prediction_type.replace('_', ' ')} is no longer seen."
    return Explanation(
        title=f"{evidence.stream_id} has recovered",
        explanation=f"{meaning} Evidence: {facts}." if facts else meaning,
        recommendations=("Nothing has to be done now.", "Note the cause while it is fresh, for the next time."),
    )


TEMPLATES: Final[Mapping[PredictionType, _Template]] = {
    PredictionType.IO_ERRORS: _Template(
        "returns I/O errors",
        "Requests fail at the device. Errors tend to come before a failed disk.",
        (
            "Read the kernel log and SMART or NVMe health of the device, and take it out of service if errors go on.",
            "Check that the data on it has a healthy copy before anything else writes to it.",
            "Replace the device or volume.",
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
            "Raise the provisioned IOPS, or move part of the load to another volume.",
            "Find what raised the demand; a batch job may run at another hour.",
            "Check burst credits where the volume type has them.",
        ),
    ),
    PredictionType.FAIL_SLOW: _Template(
        "is slower than its peers",
        "This disk has become slow while the disks beside it, under the same conditions, have not.",
        (
            "Take the disk out of rotation, or drain it, and watch whether its peers stay fast.",
            "Read SMART or NVMe health, firmware version and temperature of the device.",
            "Plan its replacement: fail-slow disks rarely recover.",
        ),
    ),
    PredictionType.PERFORMANCE_DEGRADATION: _Template(
        "is slower than its own last 24 h",
        "Requests take longer than this stream's history explains, without more demand.",
        (
            "Compare with the other disks of the host: if all are slow, look at the host, controller or network.",
            "Look for a rebuild, scrub or snapshot that began at the same time.",
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
    PredictionType.ANOMALY: _Template(
        "behaves unusually",
        "Its numbers left their usual range in a way no rule has a name for.",
        (
            "Look at the stream's charts around the time given.",
            "Dismiss the insight if the change was intended.",
        ),
    ),
}
NOTHING: Final = _Template(
    "shows nothing unusual",
    "Neither its own history nor its peers give a reason to worry.",
    ("Nothing has to be done now.", "Look at the host or the network if its applications are slow all the same."),
)
