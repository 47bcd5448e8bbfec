"""Confirmations and silences in both tables: what holds when two come at once."""

import asyncio
from datetime import datetime, timedelta

import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.errors import Conflict, TableUnavailable
from iops.insight import Insight
from iops.items import Standing, Stream
from iops.observability import Metrics
from iops.table import Table
from iops.telemetry import window_from_samples
from services.insights.absence import Absence
from services.insights.confirm import standing_after, write_confirmation
from services.insights.record import write_insight
from tests.integration.examples import AT, a_batch, a_finding, an_insight, some_samples

DISK = "web-1:nvme0n1"
AT_MS = to_epoch_ms(AT)

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


async def stream_of(table: Table) -> Stream:
    row = await table.get(items.key_of(DISK, "stream"))
    assert row is not None
    return items.item_to_stream(row)


async def outbox(table: Table) -> list[Insight]:
    rows, _ = await table.query_page(items.list_query("outbox", limit=10, oldest_first=True))
    return [items.item_to_insight(row) for row in rows]


async def test_of_two_second_scorings_one_confirms(table: Table) -> None:
    await table.update(items.stream_seen_update(a_batch(DISK), now_ms=AT_MS))
    insight = an_insight(DISK, is_hard_rule=False, is_confirmed=False)
    stream, finding = await stream_of(table), a_finding(90)
    await write_insight(table, stream, finding, insight, standing_after(stream, finding, newest_ms=AT_MS))
    waiting = await stream_of(table)
    standing = standing_after(waiting, finding, newest_ms=AT_MS + 10_000)
    row = await table.get(items.key_of(f"insight#{insight.insight_id}", "insight"))
    assert row is not None
    assert (waiting.standing, standing) == (Standing(AT_MS), Standing(is_confirmed=True))

    later = AT + timedelta(seconds=10)
    outcomes = await asyncio.gather(
        *(write_confirmation(table, waiting, finding, row, standing=standing, now=later) for _ in range(2)),
        return_exceptions=True,
    )

    # DynamoDB may also cancel the loser for being there at the same time.
    assert sum(isinstance(outcome, Conflict | TableUnavailable) for outcome in outcomes) == 1
    assert [each.is_confirmed for each in await outbox(table)] == [False, True]
    assert (await stream_of(table)).standing == standing
    stored = await table.get(items.key_of(f"insight#{insight.insight_id}", "insight"))
    assert stored is not None
    assert items.item_to_insight(stored).is_confirmed


async def test_a_low_scoring_by_a_stale_scorer_ends_the_wait(table: Table) -> None:
    await table.update(items.stream_seen_update(a_batch(DISK), now_ms=AT_MS))
    stale, finding = await stream_of(table), a_finding(90)
    insight = an_insight(DISK, is_hard_rule=False, is_confirmed=False)
    await write_insight(table, stale, finding, insight, Standing(AT_MS))
    waiting = await stream_of(table)
    await table.update(items.stream_scored_update(stale, a_finding(20), now_ms=AT_MS + 5_000))
    row = await table.get(items.key_of(f"insight#{insight.insight_id}", "insight"))
    assert row is not None

    with pytest.raises(Conflict):
        await write_confirmation(table, waiting, finding, row, standing=Standing(is_confirmed=True), now=AT)

    assert (await stream_of(table)).standing == Standing()
    assert [each.is_confirmed for each in await outbox(table)] == [False]


async def test_two_replicas_tell_a_silence_and_its_end_once(table: Table) -> None:
    now = AT + timedelta(minutes=1)

    def clock() -> datetime:
        return now

    async def send(at: datetime) -> None:
        samples = window_from_samples(some_samples(30, begin=at - timedelta(seconds=29)))
        await table.put_all(items.chunk_items(DISK, samples), deadline_s=5)

    async def look() -> None:
        outcomes = await asyncio.gather(*(each.look_once() for each in replicas), return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, TableUnavailable) for outcome in outcomes)

    replicas = [Absence(table, clock, Metrics()) for _ in range(2)]
    await table.update(items.stream_seen_update(a_batch(DISK), now_ms=AT_MS))
    await send(AT)
    for _ in range(4):
        await look()
        now += timedelta(minutes=1)
    assert [(each.stream_id, each.risk_score) for each in await outbox(table)] == [("web-1", 80)]

    await send(now)
    await look()
    await look()

    assert [(each.stream_id, each.risk_score) for each in await outbox(table)] == [("web-1", 80), ("web-1", 0)]
