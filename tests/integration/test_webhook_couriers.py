"""Couriers of webhooks side by side: one that hangs delays no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from iops import items
from iops.clock import Clock
from iops.observability import Metrics
from services.alerts.deliver import Courier, CourierMetrics
from services.alerts.webhook import Timeouts, open_webhooks
from tests.doubles.hook import Does, Hook, running_hook
from tests.integration.examples import AT
from tests.integration.test_webhooks import a_settings, secrets_of
from tests.unit.fakes import FakeTable
from tests.unit.notices import a_notice

LIMIT_S = 5.0


async def test_one_that_hangs_delays_no_other_and_500s_pass() -> None:
    table = FakeTable()
    async with running_hook() as slow, running_hook() as sound:
        slow.always = Does(hangs=True)
        sound.does.extend([Does(500), Does(500)])
        async with couriers(table, slow, sound) as running:
            async with asyncio.timeout(LIMIT_S * 4):
                while ("event#01J", "delivery#sound") in table.rows:  # noqa: ASYNC110 - what is waited for is a row
                    await asyncio.sleep(0.02)
            assert all(not task.done() for task in running)

    assert len(sound.bodies) == 3
    assert ("event#01J", "delivery#slow") in table.rows


@asynccontextmanager
async def couriers(table: FakeTable, slow: Hook, sound: Hook) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Two targets, each with its own courier, and one event for both."""
    notice = a_notice()
    assert notice.alert is not None
    assert notice.page is not None
    table.add(items.alert_put(notice.alert)["Item"], items.page_put(notice.page)["Item"])
    for name in ("slow", "sound"):
        table.add(items.delivery_item(notice.event, name, not_before=AT))
    settings = a_settings({"slow": "alertmanager", "sound": "alertmanager"})
    secrets = secrets_of({"slow": slow.url(), "sound": sound.url()})
    metrics, hurried = Metrics(), _hurried_clock()
    counts = CourierMetrics(metrics)
    async with open_webhooks(settings, secrets, hurried, metrics, timeouts=Timeouts(0.3, 60)) as targets:
        running = [
            asyncio.create_task(
                Courier(
                    table.table(), target, hurried, counts, owner="a", poll_s=0.01, lease_s=30, public_url="http://x"
                ).run()
            )
            for target in targets
        ]
        try:
            yield running
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _hurried_clock() -> Clock:
    """A hundred seconds in one, so that a wait before the next try is short."""
    began_s = time.monotonic()
    return lambda: AT + timedelta(seconds=100 * (time.monotonic() - began_s))
