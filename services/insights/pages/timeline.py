"""What happened to an alert, in words: its changes and what people were told, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from iops.alert import Change, EventKind
from iops.insight import cut_risk
from iops.story import MailView

DEEDS: Final = {
    "opened": "Opened",
    "reopened": "Came back",
    "updated": "Still found",
    "recovering": "The risk fell below 60: over if that lasts",
    "worse_again": "Worse again",
    "acknowledged": "Acknowledged",
    "silenced": "Silenced",
    "unsilenced": "The silence is over",
    "resolved": "Resolved",
    "told": "Time to tell people again",
}
TOLD: Final = {
    EventKind.OPENED: "People were told",
    EventKind.REMINDER: "People were reminded",
    EventKind.RESOLVED: "People were told that it is over",
}
PROGRAMS: Final = ("scorer", "time")  # who is no person


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    text: str
    by: str | None = None  # a person; None: a program, or nobody
    reason: str | None = None  # in that person's words
    insight_id: str | None = None


def timeline(changes: Sequence[Change], mails: Iterable[MailView]) -> list[Line]:
    """Newest first. Risks that followed each other without anything else are one line."""
    told = [Line(mail.at, _told(mail)) for mail in mails]
    # At one instant what people were told comes after what it was about.
    return sorted([*told, *_changes(changes)], key=lambda line: line.at, reverse=True)


def _changes(changes: Sequence[Change]) -> Iterator[Line]:
    for what, together in groupby(changes, key=lambda change: change.what):
        alike = list(together)
        newest = alike[0]
        if what == "updated" and len(alike) > 1:
            risks = [change.risk_score for change in alike]
            span = f"{len(alike)} times, at risk {cut_risk(min(risks))} to {cut_risk(max(risks))}"
            yield Line(newest.at, f"Still found {span}", insight_id=newest.insight_id)
        else:
            yield from map(_line, alike)


def _line(change: Change) -> Line:
    text = DEEDS.get(change.what, change.what.replace("_", " ").capitalize())
    if change.insight_id is not None:
        text += f", risk {cut_risk(change.risk_score)}"
    if change.what == "resolved" and change.by == "time":
        text += " by itself"
    person = None if change.by in PROGRAMS else change.by
    return Line(change.at, text, by=person, reason=change.reason, insight_id=change.insight_id)


def _told(mail: MailView) -> str:
    text = TOLD.get(mail.kind, f"Told: {mail.kind}")
    taken = f": {', '.join(each.target for each in mail.taken)} took it" if mail.taken else ""
    waits = f"{';' if taken else ':'} {', '.join(mail.waiting_for)} did not yet" if mail.waiting_for else ""
    return text + taken + waits
