"""What waits between the services and before people: how long or how much, what that means, and what is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, Field

from iops.items import Pulse
from services.insights.verdict import Trouble, how_long

Pulses = Mapping[str, Sequence[Pulse]]  # of each service, from replicas that are heard of
Unit = Literal["s", "samples", "requests", "messages", "letters"]


class QueueView(BaseModel):
    """Something that waits."""

    name: str
    value: float | None = Field(description="null where no replica says it")
    unit: Unit
    means: str
    trouble: Trouble | None = Field(description="null where it is well")


@dataclass(frozen=True, slots=True)
class _Watched:
    """The limits are those of the alarms in infra/incidents.py, where there is one."""

    name: str
    unit: Unit
    means: str
    above: float
    trouble: str  # behind the value
    section: str

    def view(self, value: float | None) -> QueueView:
        trouble = None
        if value is not None and value > self.above:
            shown = how_long(value) if self.unit == "s" else f"{value:,.0f} {self.unit}"
            trouble = Trouble(says=f"{self.name}: {shown}. {self.trouble}", section=self.section)
        return QueueView(name=self.name, value=value, unit=self.unit, means=self.means, trouble=trouble)


AHEAD: Final = _Watched(
    "Samples ahead of the table", "samples", "usually stored in milliseconds; ingest answers 503 when too many wait",
    50_000, "The table is slow, or the load too high", "balancer-errors",
)  # fmt: skip
REFUSED: Final = _Watched(
    "Requests refused", "requests", "429 and 503 in the last 5 min; senders keep what was not taken and come again",
    25, "Senders are asked to come again", "balancer-errors",
)  # fmt: skip
SCORING: Final = _Watched(
    "Groups to score", "s", "how long the one taken last had waited; 15 s is usual",
    180, "What is wrong with disks is found late", "scoring-age",
)  # fmt: skip
PUT_OFF: Final = _Watched(
    "Scorings put off", "messages", "failed in the last 5 min and come again; after five tries they are dead letters",
    10, "Some groups are scored late", "scoring-dead-letters",
)  # fmt: skip
OUTBOX: Final = _Watched(
    "Insights to take up", "s", "age of the oldest that alerts has not taken; below a second is usual",
    120, "Nobody is told of anything new", "outbox-age",
)  # fmt: skip
CANARY: Final = _Watched(
    "Since the last canary", "s",
    "one a day goes the way of all alerts and comes back; before the first, since one is awaited",
    26 * 3600, "The way to people may be cut", "canary-missing",
)  # fmt: skip
SECRETS: Final = _Watched(
    "Since secrets were read", "s", "the oldest of them; each is read once a minute",
    300, "A rotated key would not be known", "secret-age",
)  # fmt: skip
DELIVERY_LIMIT_S: Final = 600.0
LETTERS: Final = {
    "scoring": ("scoring-dead-letters", "groups that could not be scored in five tries", "Their cause is not repaired"),
    "rule": ("rule-dead-letters", "alerts that did not reach the topic", "Somebody was not told"),
    "subscription": ("mail-dead-letters", "mails that were not taken", "Somebody was not told"),
}


def view_queues(pulses: Pulses) -> list[QueueView]:
    """In the order in which a sample becomes a mail."""
    ingest, insights, alerts = (pulses.get(service, ()) for service in ("ingest", "insights", "alerts"))
    return [
        AHEAD.view(level(sum, ingest, "waiting_samples")),
        REFUSED.view(_counted(ingest, "refused")),
        SCORING.view(level(max, insights, "scoring_wait_s")),
        PUT_OFF.view(_counted(insights, "put_off")),
        OUTBOX.view(level(min, alerts, "outbox_age_s")),  # one that takes them is enough
        *_deliveries(alerts),
        *_letters(alerts),
        CANARY.view(level(min, alerts, "canary_age_s")),
        SECRETS.view(level(max, [*ingest, *insights, *alerts], "secret_age_s")),
    ]


def counted(pulses: Sequence[Pulse], name: str) -> float:
    """In all replicas, in the last five minutes."""
    return sum(pulse.counts.get(name, 0.0) for pulse in pulses)


def rate_per_s(pulses: Sequence[Pulse], name: str) -> float | None:
    """The same a second; None where no replica has counted for a while."""
    rates = [pulse.counts.get(name, 0.0) / pulse.counted_s for pulse in pulses if pulse.counted_s > 0]
    return sum(rates) if rates else None


def level(fold: Callable[[list[float]], float], pulses: Sequence[Pulse], name: str) -> float | None:
    """Of the replicas that know it; None where none does."""
    known = [pulse.levels[name] for pulse in pulses if name in pulse.levels]
    return fold(known) if known else None


def largest(pulses: Sequence[Pulse], name: str) -> dict[str, float]:
    """Of a list of each replica's, the largest value by name; the largest first."""
    found: dict[str, float] = {}
    for pulse in pulses:
        for key, value in pulse.by_name.get(name, {}).items():
            found[key] = max(value, found.get(key, value))
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _counted(pulses: Sequence[Pulse], name: str) -> float | None:
    return counted(pulses, name) if pulses else None


def _deliveries(alerts: Sequence[Pulse]) -> Iterator[QueueView]:
    for target, waits_s in sorted(largest(alerts, "delivery_wait_s").items()):
        watched = _Watched(
            f"Deliveries to {target}", "s", "age of the event it refused last; 0 after it took one",
            DELIVERY_LIMIT_S, "It is tried again every 15 min at least", "Deliveries that wait",
        )  # fmt: skip
        yield watched.view(waits_s)


def _letters(alerts: Sequence[Pulse]) -> Iterator[QueueView]:
    for queue, count in sorted(largest(alerts, "dead_letters").items()):
        section, means, trouble = LETTERS.get(queue, ("rule-dead-letters", "what AWS gave up on", "Look at it"))
        yield _Watched(f"Dead letters of {queue}", "letters", means, 0, trouble, section).view(count)
