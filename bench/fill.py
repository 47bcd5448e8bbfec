"""A fleet in the table as the programs would have left it: a day of each stream, and what was found of some."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bench.bodies import fleet_of
from bench.expression import apply_update
from iops import items, profile
from iops.alert import Alert, AlertState, alert_id_of
from iops.baseline import make_baseline
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE, PARTITION_KEY
from iops.insight import DISK_TROUBLES, Fact, Finding, Insight, PredictionType
from iops.items import Item
from iops.minutes import MINUTE_MS, minutes_of
from iops.rollup import HOUR_MS, roll_up
from iops.table import WRITE_LIMIT, Table
from iops.telemetry import Window, window_from_samples
from ml.simulate import Stream, samples

NAME: Final = "bench"
SEED: Final = 7
DAY: Final = timedelta(hours=24)
DAY_MINUTES: Final = 1440
PATTERNS: Final = 100  # days that are simulated; streams share them, for each takes 0.4 s of CPU
PAST_INTERVAL_S: Final = 30.0
INTERVAL_S: Final = 2.0
CHUNK_SAMPLES: Final = 30  # the agent's batch
WRITERS: Final = 16
WRITE_DEADLINE_S: Final = 30.0
ILL_EVERY, WARMING_EVERY = 100, 50  # one stream of so many
QUIET_RISK: Final = 40  # below it the others lie


@dataclass(frozen=True, slots=True)
class Filled:
    """What is in the table."""

    streams: Sequence[Stream]
    alerts: int
    rows: int


async def fill(table: Table, *, streams: int, now: datetime) -> Filled:
    """Writes it; some 140 rows a stream, because a chunk is what an agent sends in a minute."""
    fleet = fleet_of(streams, name=NAME)
    patterns = await asyncio.to_thread(make_patterns, fleet[:PATTERNS], now)
    alerts = 0
    written = 0
    rows = rows_of(fleet, patterns, now)

    async def write() -> None:
        nonlocal alerts, written
        while batch := list(_take(rows)):
            await table.put_all(batch, deadline_s=WRITE_DEADLINE_S)
            written += len(batch)
            alerts += sum(row["entity_type"]["S"] == "alert" for row in batch)

    async with asyncio.TaskGroup() as writers:
        for _ in range(WRITERS):
            writers.create_task(write())
    return Filled(fleet, alerts, written)


def make_patterns(streams: Sequence[Stream], now: datetime) -> list[list[Item]]:
    """The rows of these streams' last day, for others to share."""
    return [list(_day_rows(stream, now)) for stream in streams]


def rows_of(fleet: Sequence[Stream], patterns: Sequence[Sequence[Item]], now: datetime) -> Iterator[Item]:
    """Every row of a fleet; the same arguments make the same."""
    rng = random.Random(SEED)
    for number, stream in enumerate(fleet):
        yield from _standing_rows(stream, number, now, rng)
        own = {PARTITION_KEY: {"S": stream.stream_id}}
        yield from (row | own for row in patterns[number % len(patterns)])


def stream_row(stream: Stream, risk_score: float, kind: PredictionType | None, *, at: datetime) -> Item:
    """A stream's row after ingest saw it and a scorer wrote what it found."""
    seen = items.stream_seen_update(_Seen(stream), now_ms=to_epoch_ms(at - DAY))
    row = _updated(seen)
    finding = Finding(risk_score=risk_score, prediction_type=kind)
    return _updated(items.stream_scored_update(items.item_to_stream(row), finding, now_ms=to_epoch_ms(at)), row)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A simulated stream as a batch tells of it."""

    stream: Stream

    @property
    def stream_id(self) -> str:
        return self.stream.stream_id

    @property
    def group(self) -> str:
        return self.stream.peer_group

    @property
    def labels(self) -> dict[str, str]:
        return self.stream.labels

    @property
    def provisioned_iops(self) -> float | None:
        return self.stream.provisioned_iops


def _take(rows: Iterator[Item]) -> Iterator[Item]:
    for _, row in zip(range(WRITE_LIMIT), rows, strict=False):
        yield row


def _day_rows(stream: Stream, now: datetime) -> Iterator[Item]:
    hour_at = from_epoch_ms(to_epoch_ms(now) // HOUR_MS * HOUR_MS)
    past = _window(stream, hour_at - DAY, hour_at, PAST_INTERVAL_S)
    for hour in past.parts(HOUR_MS):
        yield _updated(items.rollup_update(stream.stream_id, roll_up(hour)))
    live = _window(stream, hour_at - timedelta(hours=1), now, INTERVAL_S)
    for start in range(0, len(live), CHUNK_SAMPLES):
        yield from items.chunk_items(stream.stream_id, live.cut(start, start + CHUNK_SAMPLES))
    baseline = make_baseline(past, made_at_ms=to_epoch_ms(hour_at))
    assert baseline is not None, "a day has samples"
    minute = to_epoch_ms(hour_at) // MINUTE_MS
    table = profile.renewed(None, minutes_of(past, end_minute=minute, count=DAY_MINUTES), minute=minute)
    yield items.baseline_item(stream.stream_id, baseline, profile.encode(table))


def _window(stream: Stream, start_at: datetime, end_at: datetime, interval_s: float) -> Window:
    return window_from_samples(samples(stream, start_at=start_at, end_at=end_at, interval_s=interval_s))


def _standing_rows(stream: Stream, number: int, now: datetime, rng: random.Random) -> Iterator[Item]:
    """What is known of a stream beside its samples; of every hundredth, that it is ill."""
    at = now - timedelta(seconds=rng.uniform(0, 3600))
    yield items.member_item(stream.peer_group, stream.stream_id)
    if number % ILL_EVERY:
        row = stream_row(stream, round(rng.uniform(0, QUIET_RISK), 1), None, at=at)
        yield row | {"warming_up": {"BOOL": number % WARMING_EVERY == 1}}
        return
    risk_score = round(rng.uniform(INSIGHT_RISK_SCORE, 100), 1)
    insight = _insight(stream, number, risk_score, rng.choice(DISK_TROUBLES), at)
    yield stream_row(stream, risk_score, insight.prediction_type, at=at) | {"insight_id": {"S": insight.insight_id}}
    yield items.insight_item(insight)
    if risk_score >= PAGE_RISK_SCORE:
        state = rng.choice((AlertState.FIRING, AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.SILENCED))
        yield items.alert_put(_alert(insight, state))["Item"]


def _insight(stream: Stream, number: int, risk_score: float, kind: PredictionType, at: datetime) -> Insight:
    fact = Fact(
        name="await_ms",
        value=12.0,
        unit="ms",
        baseline=0.8,
        peers=0.7,
        sentence="Requests took 12 ms; 0.8 ms is usual here, and the peers take 0.7 ms.",
    )
    return Insight(
        insight_id=f"{number:026d}",
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=stream.labels,
        provisioned_iops=stream.provisioned_iops,
        prediction_type=kind,
        risk_score=risk_score,
        confidence=0.8,
        facts=(fact,) * 3,
        window_from=at - timedelta(minutes=15),
        window_to=at,
        began_at=at - timedelta(minutes=5),
        is_hard_rule=False,
        warming_up=False,
        peers=3,
        created_at=at,
        title=f"{stream.stream_id} is slower than its peers",
        explanation=fact.sentence,
        recommendations=("Look at the other disks of the host.", "Move the load away."),
        scored_by="local",
        explained_by="template",
    )


def _alert(insight: Insight, state: AlertState) -> Alert:
    assert insight.prediction_type is not None, "it is ill"
    return Alert(
        alert_id=alert_id_of(insight.stream_id, insight.prediction_type),
        stream_id=insight.stream_id,
        peer_group=insight.peer_group,
        prediction_type=insight.prediction_type,
        state=state,
        risk_score=insight.risk_score,
        peak_risk_score=insight.risk_score,
        opened_at=insight.created_at,
        updated_at=insight.created_at,
        insight_id=insight.insight_id,
        opened_by=insight.insight_id,
        title=insight.title,
        explanation=insight.explanation,
        recommendations=insight.recommendations,
        facts=insight.facts,
        version=1,
    )


def _updated(request: Item, row: Item | None = None) -> Item:
    """The row after an UpdateItem; its condition is not looked at, because nobody else writes here."""
    names = request.get("ExpressionAttributeNames", {})
    before = row or request["Key"]
    return apply_update(before, request["UpdateExpression"], names, request["ExpressionAttributeValues"])
