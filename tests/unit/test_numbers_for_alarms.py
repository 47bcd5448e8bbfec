"""The numbers that alarms stand on: how old the outbox is, who is silent, what was spent and stored."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.errors import TableUnavailable
from iops.observability import Metrics
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit
from services.insights.absence import Absence
from services.insights.spending import Spending
from tests.unit.builders import AT, a_batch, a_window
from tests.unit.fakes import FakeTable
from tests.unit.replicas import Scene
from tests.unit.test_store import arrived
from tests.unit.virtual_time import cancelled, in_virtual_time


def number(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


async def test_a_row_that_stays_in_the_outbox_grows_old() -> None:
    scene = Scene()
    scene.emit()
    metrics = scene.replica.metrics
    scene.now += timedelta(seconds=40)
    await scene.replica.intake.take_once()
    assert number(metrics, "iops_outbox_oldest_seconds") == 40

    await scene.replica.intake.take_once()
    assert number(metrics, "iops_outbox_oldest_seconds") == 0


async def test_an_outbox_that_nobody_can_read_grows_old_too() -> None:
    scene = Scene()
    await scene.replica.intake.take_once()
    scene.fake.is_away = True
    scene.now += timedelta(minutes=3)
    with pytest.raises(TableUnavailable):
        await scene.replica.intake.take_once()

    assert number(scene.replica.metrics, "iops_outbox_oldest_seconds") == 180


async def test_silent_hosts_are_counted_and_in_an_outage_all_of_them() -> None:
    fake, now, metrics = FakeTable(), AT, Metrics()
    absence = Absence(fake.table(), lambda: now, metrics)
    hosts = [f"web-{number}:sda" for number in range(1, 9)]

    async def minute(*speaking: str) -> float | None:
        nonlocal now
        now += timedelta(minutes=1)
        for stream_id in speaking:
            await fake.table().update(items.stream_seen_update(a_batch(stream_id), now_ms=to_epoch_ms(now)))
            fake.add(*items.chunk_items(stream_id, a_window(30, end=now, interval_s=2.0)))
        await absence.look_once()
        return number(metrics, "iops_silent_hosts")

    unseen = number(metrics, "iops_silent_hosts")
    assert unseen is not None
    assert math.isnan(unseen)
    assert [await minute(*hosts) for _ in range(3)] == [0, 0, 0]
    assert [await minute(*hosts[1:]) for _ in range(7)][-1] == 1
    assert [await minute() for _ in range(9)][-1] == 8


async def test_the_day_s_spending_is_what_is_settled_and_reserved() -> None:
    fake, metrics = FakeTable(), Metrics()
    spending = Spending(fake.table(), lambda: AT, metrics)
    await spending.look_once()
    assert number(metrics, "iops_llm_today_usd") == 0

    reserve = items.reserve_update(AT.date(), "r1", most_nano=70_000_000, limit_nano=1_000_000_000)
    await fake.table().update(reserve)
    await spending.look_once()
    assert number(metrics, "iops_llm_today_usd") == 0.07


@in_virtual_time
async def test_only_samples_that_are_stored_are_counted_as_stored() -> None:
    fake, metrics = FakeTable(), Metrics()
    commit = GroupCommit(fake.table(), IngestSettings(), metrics)
    writers = asyncio.create_task(commit.run())
    await commit.store([arrived(1, samples=30), arrived(2, samples=30)])
    fake.is_away = True
    with pytest.raises(TableUnavailable):
        await commit.store([arrived(3, samples=30)])
    await cancelled(writers)

    assert number(metrics, "iops_samples_stored_total") == 60
