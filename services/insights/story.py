"""What was said of a stream over time: how its risk went, and when people were told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from iops import items
from iops.alert import Alert, Change, alert_id_of
from iops.clock import to_epoch_ms
from iops.insight import DISK_TROUBLES, PredictionType
from iops.items import Risk
from iops.table import Table, readable

RISK_LASTS_MS: Final = 75 * 60_000  # it is said hourly, with the next samples; after that nobody knows
CHANGES_PAGE: Final = 100
CHANGES_PAGES: Final = 5  # of one alert; what is older is left out

RiskStep = tuple[int, float | None]  # from when on (epoch s), and what; None: nobody knows


class Episode(NamedTuple):
    """Some trouble that people were told of, or would have been."""

    alert_id: str
    prediction_type: PredictionType
    from_ms: int
    to_ms: int | None  # None: it goes on


async def read_risk(table: Table, stream_id: str, *, from_ms: int, to_ms: int, step_ms: int) -> list[RiskStep]:
    """How the risk went: of each step of the chart the highest and the last. Raises TableUnavailable."""
    rows = await table.query(items.risks_query(stream_id, from_ms=from_ms - RISK_LASTS_MS, to_ms=to_ms))
    risks = [risk for entries in readable(rows, items.item_to_risks) for risk in entries if risk.at_ms <= to_ms]
    lasts_ms = max(RISK_LASTS_MS, 2 * step_ms)  # those that are left of two steps may lie as far apart
    return _as_steps(_thinned(risks, step_ms), from_ms=from_ms, to_ms=to_ms, lasts_ms=lasts_ms)


async def read_episodes(table: Table, stream_id: str, *, from_ms: int, to_ms: int) -> list[Episode]:
    """The stream's episodes in a range, oldest first; one that began before it begins with it.

    Raises TableUnavailable.
    """
    keys = [items.key_of(f"alert#{alert_id_of(stream_id, kind)}", "alert") for kind in DISK_TROUBLES]
    rows = await asyncio.gather(*map(table.get, keys))
    alerts = readable((row for row in rows if row is not None), items.item_to_alert)
    found = await asyncio.gather(*(_episodes_of(table, alert, from_ms, to_ms) for alert in alerts))
    return sorted((episode for episodes in found for episode in episodes), key=lambda each: each.from_ms)


async def _episodes_of(table: Table, alert: Alert, from_ms: int, to_ms: int) -> list[Episode]:
    changes: list[Change] = []
    start = None
    for _ in range(CHANGES_PAGES):
        request = items.changes_query(alert.alert_id, limit=CHANGES_PAGE)
        page, start = await table.query_page(request | ({"ExclusiveStartKey": start} if start else {}))
        changes += readable(page, items.item_to_change)
        if start is None or (changes and to_epoch_ms(changes[-1].at) < from_ms):
            break
    return episodes_of(alert, changes[::-1], from_ms=from_ms, to_ms=to_ms)


def episodes_of(alert: Alert, changes: Iterable[Change], *, from_ms: int, to_ms: int) -> list[Episode]:
    """The episodes of an alert that touch a range, by its changes, the oldest first; older ones may be missing."""
    spans: list[tuple[int, int | None]] = []
    began_ms: int | None = from_ms  # of the one that is open; whatever came before the first change that is known
    for change in changes:
        at_ms = to_epoch_ms(change.at)
        if change.what in ("opened", "reopened"):
            began_ms = at_ms
        elif change.what == "resolved" and began_ms is not None:
            spans.append((began_ms, at_ms))
            began_ms = None
    if alert.is_active and began_ms is not None:
        spans.append((began_ms, None))
    touching = [(max(began, from_ms), end) for began, end in spans if began <= to_ms and (end is None or end > from_ms)]
    return [Episode(alert.alert_id, alert.prediction_type, began, end) for began, end in touching]


def _thinned(risks: Sequence[Risk], step_ms: int) -> list[Risk]:
    groups: dict[int, list[Risk]] = {}
    for risk in risks:
        groups.setdefault(risk.at_ms // step_ms, []).append(risk)
    kept = ({max(group, key=lambda risk: risk.risk_score), group[-1]} for group in groups.values())
    return [risk for group in kept for risk in sorted(group, key=lambda risk: risk.at_ms)]


def _as_steps(risks: Sequence[Risk], *, from_ms: int, to_ms: int, lasts_ms: int) -> list[RiskStep]:
    steps: list[RiskStep] = []
    for index, risk in enumerate(risks):
        next_ms = risks[index + 1].at_ms if index + 1 < len(risks) else to_ms
        ends_ms = risk.at_ms + lasts_ms
        if min(next_ms, ends_ms) <= from_ms:
            continue
        steps.append((max(risk.at_ms, from_ms) // 1_000, risk.risk_score))
        if ends_ms < next_ms:
            steps.append((ends_ms // 1_000, None))
    return steps
