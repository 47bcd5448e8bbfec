"""The history of a stream's risk in both tables."""

import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.insight import PredictionType
from iops.items import Risk
from iops.rollup import HOUR_MS
from iops.table import Table
from tests.integration.examples import AT, a_finding

DISK = "web-1:nvme0n1"
AT_MS = to_epoch_ms(AT)

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


async def keep(table: Table, at_ms: int, risk_score: float) -> None:
    await table.update(items.risk_update(DISK, a_finding(risk_score), now_ms=at_ms))


async def test_risks_come_back_hour_by_hour_as_they_were_kept(table: Table) -> None:
    for at_ms, risk_score in ((AT_MS + 9_000, 91.25), (AT_MS + 8_000, 60), (AT_MS + 8_000, 60)):
        await keep(table, at_ms, risk_score)
    await keep(table, AT_MS + HOUR_MS, 5)
    await keep(table, AT_MS - 1, 4)

    rows = await table.query(items.risks_query(DISK, from_ms=AT_MS, to_ms=AT_MS + 2 * HOUR_MS))

    assert [items.item_to_risks(row) for row in rows] == [
        [Risk(AT_MS + 8_000, 60, PredictionType.STALL), Risk(AT_MS + 9_000, 91.2, PredictionType.STALL)],
        [Risk(AT_MS + HOUR_MS, 5, PredictionType.STALL)],
    ]


async def test_a_streams_risks_are_not_among_its_chunks_or_rollups(table: Table) -> None:
    await keep(table, AT_MS, 60)

    assert await table.query(items.chunks_query(DISK, from_ms=0, to_ms=AT_MS)) == []
    assert await table.query(items.rollups_query(DISK, from_ms=0, to_ms=AT_MS)) == []
