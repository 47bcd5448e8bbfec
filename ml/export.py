"""Minutes of every stream out of the table into Parquet, with what operators said of their insights.

Reads all streams, their chunks and rollups, a day of a peer group at a time. A run that was cut off is taken up again:
what is whole is skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

import aioboto3
import numpy as np
import typer
from aiobotocore.config import AioConfig
from numpy.typing import NDArray

from iops import contract, items
from iops.clock import to_epoch_ms
from iops.errors import DamagedChunk
from iops.insight import Feedback, Insight, PredictionType, Verdict
from iops.items import Item
from iops.minutes import MINUTE_MS, minutes_of
from iops.risk import KINDS
from iops.telemetry import Window, merge_windows
from ml.exported import Folder, Label
from ml.hosts import DAY, UNKNOWN

PAGE_ROWS: Final = 1_000  # of a list
TIMEOUT_S: Final = 10.0
ATTEMPTS: Final = 8  # of a read, by the SDK with backoff: nobody waits for an export
DEFAULT_SPAN: Final = timedelta(days=7)

Values = NDArray[np.float64]


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    streams: int = 0
    written: int = 0  # files
    skipped: int = 0  # files that were whole already
    minutes: int = 0  # of streams, written now
    damaged: set[str] = field(default_factory=set)  # keys of rows that could not be read and were left out
    labels: int = 0
    orphans: int = 0  # feedback whose insight is gone


class Reader:
    """The table, read by at most `workers` at once; each holds a day of one stream (5 MB at a sample every 2 s)."""

    def __init__(self, client: Any, *, workers: int) -> None:
        self._client = client
        self._free = asyncio.Semaphore(workers)

    async def all(self, request: Item) -> list[Item]:
        """Every row of a query, page after page."""
        rows: list[Item] = []
        while True:
            reply = await self._client.query(TableName=contract.TABLE_NAME, **request)
            rows += reply["Items"]
            if "LastEvaluatedKey" not in reply:
                return rows
            request = request | {"ExclusiveStartKey": reply["LastEvaluatedKey"]}

    async def listed(self, entity_type: str) -> list[Item]:
        """All rows of a kind, oldest first, through the index."""
        return await self.all(items.list_query(entity_type, limit=PAGE_ROWS, oldest_first=True))

    async def get(self, key: Item) -> Item | None:
        """One row."""
        reply = await self._client.get_item(TableName=contract.TABLE_NAME, Key=key)
        item: Item | None = reply.get("Item")
        return item

    async def minutes(self, stream_id: str, from_minute: int, to_minute: int, damaged: set[str]) -> Values:
        """[minute, one of SERIES] of a stream: of its chunks, and of rollups where the chunks have expired."""
        from_ms, to_ms = from_minute * MINUTE_MS, to_minute * MINUTE_MS
        async with self._free:
            chunks = await self.all(items.chunks_query(stream_id, from_ms=from_ms, to_ms=to_ms))
            rollups = await self.all(items.rollups_query(stream_id, from_ms=from_ms, to_ms=to_ms))
            return await asyncio.to_thread(_minutes, chunks, rollups, from_minute, to_minute, damaged)


async def export_table(
    reader: Reader, folder: Folder, *, since: datetime, until: datetime, jobs_at_once: int
) -> Outcome:
    """One run. Days are those of UTC; the last file of a day that is not over is made again by a later run."""
    outcome = Outcome()
    groups: dict[str, list[str]] = {}
    for item in await reader.listed("stream"):
        groups.setdefault(item["peer_group"]["S"], []).append(item[contract.PARTITION_KEY]["S"])
    outcome.streams = sum(map(len, groups.values()))
    labels = await _labels(reader, outcome)
    await asyncio.to_thread(folder.write_labels, labels)
    jobs = ((day, group) for day in _days(since, until) for group in sorted(groups))
    async with asyncio.TaskGroup() as workers:
        for _ in range(jobs_at_once):
            workers.create_task(_work(jobs, groups, reader, folder, outcome))
    return outcome


@dataclass(frozen=True, slots=True)
class _Day:
    day: date
    from_minute: int
    to_minute: int  # excluded


async def _work(
    jobs: Iterator[tuple[_Day, str]],
    groups: Mapping[str, Sequence[str]],
    reader: Reader,
    folder: Folder,
    outcome: Outcome,
) -> None:
    for day, group in jobs:
        span = {"from_minute": day.from_minute, "to_minute": day.to_minute}
        if await asyncio.to_thread(folder.has, day.day, group, **span):
            outcome.skipped += 1
            continue
        reads = (
            reader.minutes(stream_id, day.from_minute, day.to_minute, outcome.damaged) for stream_id in groups[group]
        )
        minutes = dict(zip(groups[group], await asyncio.gather(*reads), strict=True))
        await asyncio.to_thread(folder.write, day.day, group, minutes, **span)
        outcome.written += 1
        outcome.minutes += sum(int(np.isfinite(values).any(axis=1).sum()) for values in minutes.values())


async def _labels(reader: Reader, outcome: Outcome) -> list[Label]:
    """The last word on each insight."""
    verdicts: dict[str, Feedback] = {}
    for item in await reader.listed("feedback"):
        feedback = items.item_to_feedback(item)
        verdicts[feedback.insight_id] = feedback
    labels: list[Label] = []
    for insight_id, feedback in verdicts.items():
        row = await reader.get(items.key_of(f"insight#{insight_id}", "insight"))
        if row is None:
            outcome.orphans += 1
        elif (insight := items.item_to_insight(row)).prediction_type is not PredictionType.AGENT_SILENT:
            labels.append(label_of(insight, feedback))
    outcome.labels = len(labels)
    return labels


def label_of(insight: Insight, feedback: Feedback) -> Label:
    """What a word says of the minutes of an insight's window; of an incident only since it began."""
    is_incident = feedback.verdict is not Verdict.DISMISS
    kind = _true_kind(insight, feedback)
    begin = max(insight.window_from, insight.began_at) if is_incident else insight.window_from
    return Label(
        stream_id=insight.stream_id,
        from_minute=to_epoch_ms(begin) // MINUTE_MS,
        to_minute=(to_epoch_ms(insight.window_to) - 1) // MINUTE_MS,
        incident=int(is_incident),
        kind=KINDS.index(kind) if kind in KINDS else UNKNOWN,
    )


def _true_kind(insight: Insight, feedback: Feedback) -> PredictionType | None:
    """What it was, as far as the operator said so; None where that is not known, or nothing was wrong."""
    if feedback.verdict is Verdict.CONFIRM:
        return insight.prediction_type
    return feedback.prediction_type if feedback.verdict is Verdict.WRONG_CAUSE else None


def _minutes(
    chunks: Sequence[Item], rollups: Sequence[Item], from_minute: int, to_minute: int, damaged: set[str]
) -> Values:
    span = {"end_minute": to_minute, "count": to_minute - from_minute}
    made = minutes_of(merge_windows(_readable(chunks, items.item_to_window, damaged)), **span)
    rolled = merge_windows(_readable(rollups, lambda item: items.item_to_rollup(item).mean, damaged))
    is_empty = ~np.isfinite(made).any(axis=1, keepdims=True)
    return np.where(is_empty, minutes_of(rolled, **span), made)


def _readable(rows: Sequence[Item], decode: Callable[[Item], Window], damaged: set[str]) -> list[Window]:
    windows = []
    for row in rows:
        try:
            windows.append(decode(row))
        except DamagedChunk as error:
            damaged.add(error.key)
    return windows


def _days(since: datetime, until: datetime) -> Iterator[_Day]:
    first, last = (to_epoch_ms(at) // MINUTE_MS for at in (since, until))
    for number in range(first // DAY, -(-last // DAY)):
        day = datetime.fromtimestamp(number * DAY * 60, UTC).date()
        yield _Day(day, max(first, number * DAY), min(last, (number + 1) * DAY))


@asynccontextmanager
async def open_reader(*, endpoint_url: str | None, region: str | None, workers: int) -> AsyncIterator[Reader]:
    """The table as the usual AWS environment names it."""
    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    config = AioConfig(
        connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, max_pool_connections=workers + 1, retries=retries
    )
    session = aioboto3.Session(region_name=region)
    async with session.client("dynamodb", endpoint_url=endpoint_url, config=config) as client:
        yield Reader(client, workers=workers)


def export(
    out: Annotated[str, typer.Option(help="A folder, or s3://bucket/prefix. A run that was cut off goes on here.")],
    from_table: Annotated[bool, typer.Option("--from-table", help="Out of the table, the only source so far.")] = True,
    since: Annotated[datetime | None, typer.Option(help="From then on, UTC.  [default: 7 days ago]")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before then, UTC.  [default: now]")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Streams that are read at once.")] = 8,
    endpoint_url: Annotated[str | None, typer.Option(help="Of a stand-in of DynamoDB.")] = None,
    region: Annotated[str | None, typer.Option(help="Where it is not the environment's.")] = None,
) -> None:
    """Write the table's minutes, a file per day and peer group, and operators' feedback as labels."""
    assert from_table
    end = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
    begin = since.replace(tzinfo=UTC) if since else end - DEFAULT_SPAN

    async def run() -> Outcome:
        async with open_reader(endpoint_url=endpoint_url, region=region, workers=workers) as reader:
            return await export_table(reader, Folder(out), since=begin, until=end, jobs_at_once=workers)

    outcome = asyncio.run(run())
    for key in sorted(outcome.damaged):
        typer.echo(f"left out, cannot be read: {key}", err=True)
    typer.echo(
        f"{outcome.streams} streams: {outcome.written} files of {outcome.minutes} minutes written, "
        f"{outcome.skipped} were there, {len(outcome.damaged)} damaged rows left out, {outcome.labels} labels "
        f"({outcome.orphans} of insights that are gone)"
    )
