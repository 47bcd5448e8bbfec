"""A chart of one stream out of both tables: samples, minutes, peers, risk and alerts as the services wrote them."""

from datetime import timedelta

import pytest

from iops import items
from iops.alert import Change, alert_id_of
from iops.clock import to_epoch_ms
from iops.insight import PredictionType
from iops.rollup import roll_up
from iops.table import Table
from iops.telemetry import window_from_samples
from services.insights.chart import Chart, Charts, chart_steps
from services.insights.fleet import Fleet
from tests.integration.examples import AT, a_batch, a_finding, an_alert, some_samples

DISK = "web-1:sda"
AT_MS = to_epoch_ms(AT)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


async def store(table: Table, stream_id: str, *, queue_depth: float = 1.0, ago: timedelta = HOUR) -> None:
    """120 samples, one a second, from so long before AT."""
    samples = some_samples(120, begin=AT - ago, queue_depth=queue_depth)
    await table.put_all(items.chunk_items(stream_id, window_from_samples(samples)), deadline_s=5)


async def see(table: Table, stream_id: str) -> None:
    """A stream that was scored just now."""
    await table.update(items.stream_seen_update(a_batch(stream_id), now_ms=AT_MS))
    row = await table.get(items.key_of(stream_id, "stream"))
    assert row is not None
    await table.update(items.stream_scored_update(items.item_to_stream(row), a_finding(5), now_ms=AT_MS))


async def read(table: Table, span: timedelta) -> Chart:
    fleet = Fleet(table, lambda: AT)
    await fleet.look_once()
    return await Charts(table, fleet, lambda: AT).read(fleet.streams[DISK], chart_steps(AT - span, AT, now=AT))


async def test_an_hour_has_the_streams_samples_and_the_band_of_its_peers(table: Table) -> None:
    for depth, disk in enumerate((DISK, "web-1:sdb", "web-1:sdc", "web-1:sdd")):
        await see(table, disk)
        await store(table, disk, queue_depth=1.0 + depth, ago=timedelta(minutes=30))

    chart = await read(table, HOUR)

    here = chart.at.index(AT_MS // 1_000 - 1_790)
    assert chart.series["queue_depth"][here] == 1.0
    assert chart.peers is not None
    assert (chart.peers.streams, chart.peers.median["queue_depth"][here]) == (3, 3.0)
    assert chart.damaged == 0


async def test_a_day_joins_rollups_and_what_is_not_rolled_up_yet(table: Table) -> None:
    await see(table, DISK)
    old = window_from_samples(some_samples(120, begin=AT - 9 * HOUR, queue_depth=7.0))
    await table.update(items.rollup_update(DISK, roll_up(old)))
    await store(table, DISK)

    chart = await read(table, 24 * HOUR)

    known = [value for value in chart.series["queue_depth"] if value is not None]
    assert (chart.step_s, known) == (300, [7.0, 1.0])


async def test_risk_and_alerts_come_with_it(table: Table) -> None:
    await see(table, DISK)
    await table.update(items.risk_update(DISK, a_finding(90), now_ms=AT_MS - 600_000))
    alert_id = alert_id_of(DISK, PredictionType.STALL)
    await table.put(items.alert_put(an_alert(DISK, alert_id=alert_id))["Item"])
    for version in range(1, 131):
        at, what = AT - timedelta(seconds=700 - 5 * version), "opened" if version == 1 else "updated"
        change = Change(alert_id=alert_id, version=version, at=at, what=what, by="scorer", risk_score=90)
        await table.put(items.change_put(change)["Item"])

    chart = await read(table, HOUR)

    assert chart.risk == [(AT_MS // 1_000 - 600, 90.0)]
    (episode,) = chart.episodes
    assert (episode.alert_id, episode.from_, episode.to) == (alert_id, AT_MS // 1_000 - 695, None)
