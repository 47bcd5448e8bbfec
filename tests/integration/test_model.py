"""The committed model in the running service: from stored samples to an insight that it scored."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iops import items, profile
from iops.bus import ScoringQueue
from iops.clock import now
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from iops.telemetry import Sample
from services.insights.settings import MODEL_DIR
from tests.integration.examples import a_sample
from tests.integration.stand_ins import Cloud, wait_until
from tests.integration.test_insights import ask, insights_service, rows_of, store, wait_for_messages

SICK = "web-1:sda"
DISKS = (SICK, "web-1:sdb", "web-1:sdc", "web-1:sdd", "web-1:sde")
SICK_MINUTES = 30


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


def a_minute(rng: np.random.Generator, at: datetime, *, slowdown: float) -> Sample:
    """Of a disk that takes 1 ms for each of some 200 reads a second, if nothing slows it down."""
    reads, await_ms = 200 * rng.lognormal(0, 0.1), slowdown * rng.lognormal(0, 0.05)
    values: dict[str, Any] = {
        "read_iops": reads,
        "read_bytes_s": 4096 * reads,
        "read_await_ms": await_ms,
        "write_iops": 0.0,
        "write_bytes_s": 0.0,
        "write_await_ms": None,
        "queue_depth": reads * await_ms / 1000,
        "utilization_ratio": min(1.0, reads * await_ms / 1000),
    }
    return a_sample(at=at, interval_s=60.0, **values)


async def store_a_host(table: Table, *, slowdown: float) -> datetime:
    """Five disks with five hours behind them, of which one is slow at last; answers when that began."""
    end = now().replace(second=0, microsecond=0)
    for seed, stream_id in enumerate(DISKS):
        rng = np.random.default_rng(seed)
        samples = [
            a_minute(
                rng,
                end - timedelta(minutes=back),
                slowdown=slowdown if stream_id == SICK and back < SICK_MINUTES else 1.0,
            )
            for back in range(299, -1, -1)
        ]
        await store(table, samples, stream_id=stream_id)
    return end - timedelta(minutes=SICK_MINUTES)


async def test_a_slow_disk_among_peers_becomes_an_insight_that_the_model_scored(
    cloud: Cloud, table: Table, queue: ScoringQueue
) -> None:
    began_at = await store_a_host(table, slowdown=5.0)
    async with insights_service(cloud.endpoint_url) as client:
        await ask(queue, since=began_at)
        await wait_for_messages(client, 1)
        shown = (await client.get("/internal/metrics")).text

    (insight,) = [items.item_to_insight(row) for row in await rows_of(table, "insight")]
    assert (insight.stream_id, insight.scored_by, insight.asked_before) == (SICK, "local", ())
    assert insight.risk_score >= 80
    assert insight.prediction_type == "fail_slow"
    assert "its peers" in insight.explanation
    assert 'iops_streams_scored_total{scorer="local"} 5.0' in shown
    assert 'iops_feature_drift{feature="z_await_ms"} 0.0' in shown
    row = await table.get(items.key_of(SICK, "baseline"))
    assert row is not None
    remembered = items.item_to_profile(row)
    assert remembered is not None
    assert np.isfinite(profile.decode(remembered, key=SICK).week).any()


async def test_a_host_on_which_nothing_is_wrong_has_no_insight(cloud: Cloud, table: Table, queue: ScoringQueue) -> None:
    since = await store_a_host(table, slowdown=1.0)
    async with insights_service(cloud.endpoint_url) as client:
        await ask(queue, since=since)
        await wait_for_messages(client, 1)
        streams = (await client.get("/streams")).json()["items"]

    assert await rows_of(table, "insight") == []
    assert [stream["risk_score"] for stream in streams] == [0.0] * 5


async def test_without_a_model_the_rules_score_alone(cloud: Cloud, table: Table, queue: ScoringQueue) -> None:
    began_at = await store_a_host(table, slowdown=5.0)
    async with insights_service(cloud.endpoint_url, model_dir=MODEL_DIR / "nowhere") as client:
        await ask(queue, since=began_at)
        await wait_for_messages(client, 1)
        shown = (await client.get("/internal/metrics")).text
        sick = (await client.get(f"/streams/{SICK}")).json()

    assert 'iops_streams_scored_total{scorer="rules"} 5.0' in shown
    assert sick["risk_score"] == 55.0  # 30 slow minutes are a tenth of the five hours that it has behind it


async def test_an_endpoint_that_is_not_there_is_named_in_the_insight(
    cloud: Cloud, table: Table, queue: ScoringQueue, tmp_path: Path
) -> None:
    began_at = await store_a_host(table, slowdown=5.0)
    path = tmp_path / "flags.json"
    path.write_text('{"sagemaker_percent": 100}')
    async with insights_service(cloud.endpoint_url, flags_file=path, sagemaker_endpoint="risk") as client:

        async def is_in_force() -> bool:
            return 'iops_flag{flag="sagemaker_percent"} 100.0' in (await client.get("/internal/metrics")).text

        await wait_until(is_in_force)
        await ask(queue, since=began_at)
        await wait_for_messages(client, 1)
        shown = (await client.get("/internal/metrics")).text

    (insight,) = [items.item_to_insight(row) for row in await rows_of(table, "insight")]
    assert insight.scored_by == "local"
    assert [before.partition(":")[0] for before in insight.asked_before] == ["sagemaker"]
    assert "iops_scorer_fallbacks_total{" in shown
