"""The row in which a replica says how it is: when it comes, what it says, when it goes, and that it harms nobody."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from iops import items
from iops.errors import TableUnavailable
from iops.features import NAMES
from iops.items import Pulse
from iops.observability import Metrics
from iops.pulse import WANTED, Beating
from iops.web import Health
from tests.unit.builders import AT, a_pulse, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.test_emf import Asked, shown_by
from tests.unit.virtual_time import in_virtual_time


def a_beating(service: str, fake: FakeTable, metrics: Metrics, health: Health | None = None) -> Beating:
    return Beating(service, fake.table(), health or Health(), metrics=metrics, clock=clock_at(), version="0f3a9c1d2b4e")


def pulses(fake: FakeTable) -> list[Pulse]:
    return [items.item_to_pulse(row) for row in fake.of_type("replica")]


@asynccontextmanager
async def beats(beating: Beating) -> AsyncIterator[None]:
    loop = asyncio.create_task(beating.run())
    await asyncio.sleep(1)
    yield
    assert not loop.done(), "the loop has died"
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


def an_ingest_registry() -> Metrics:
    metrics = Metrics()
    metrics.counter("iops_samples_stored", "").inc(30)
    metrics.gauge("iops_waiting_samples", "").set(12)
    metrics.secret_age_s.labels("peppers").set(41.23456)
    return metrics


@in_virtual_time
async def test_a_replica_is_heard_of_at_once_and_its_row_goes_when_it_ends() -> None:
    fake = FakeTable()
    async with beats(a_beating("ingest", fake, an_ingest_registry())):
        (pulse,) = pulses(fake)
        assert (pulse.service, pulse.version, pulse.started_at, pulse.at) == ("ingest", "0f3a9c1d2b4e", AT, AT)
        assert pulse.levels == {"waiting_samples": 12.0, "secret_age_s": 41.235}

    assert pulses(fake) == []


@in_virtual_time
async def test_what_is_counted_is_of_the_last_five_minutes() -> None:
    fake, metrics = FakeTable(), an_ingest_registry()
    async with beats(a_beating("ingest", fake, metrics)):
        assert (pulses(fake)[0].counts["samples"], pulses(fake)[0].counted_s) == (30, 0)

        metrics.requests.labels("POST", "/metrics", "503").inc(2)
        metrics.requests.labels("GET", "/health/ready", "503").inc(9)
        await asyncio.sleep(30)
        assert (pulses(fake)[0].counts, pulses(fake)[0].counted_s) == ({"samples": 30, "refused": 2}, 30)

        await asyncio.sleep(300)
        assert (pulses(fake)[0].counts, pulses(fake)[0].counted_s) == ({"samples": 0, "refused": 0}, 300)


@in_virtual_time
async def test_what_fails_is_in_the_row() -> None:
    fake, health = FakeTable(), Health()

    async def broken() -> None:
        raise TableUnavailable("DescribeTable: throttled")

    health.checks["table"] = broken
    async with beats(a_beating("ingest", fake, Metrics(), health)):
        assert list(pulses(fake)[0].failed) == ["table"]


@in_virtual_time
async def test_a_table_that_is_away_is_said_once_and_the_loop_goes_on() -> None:
    fake = FakeTable()
    fake.is_away = True
    with capture_logs() as lines:
        async with beats(a_beating("ingest", fake, Metrics())):
            await asyncio.sleep(95)
            fake.is_away = False
            await asyncio.sleep(30)
            assert len(pulses(fake)) == 1

    assert [line["event"] for line in lines] == ["replica_began", "pulse_missed"]


@in_virtual_time
async def test_a_number_that_breaks_ends_neither_the_loop_nor_the_service() -> None:
    fake, metrics = FakeTable(), Metrics()
    metrics.gauge("iops_waiting_samples", "").set_function(lambda: 1 / 0)
    with capture_logs() as lines:
        async with beats(a_beating("ingest", fake, metrics)):
            await asyncio.sleep(60)

    assert [line["event"] for line in lines] == ["replica_began", "pulse_missed"]


@in_virtual_time
async def test_of_features_those_that_drift_most_are_told_and_what_nobody_measured_is_not() -> None:
    fake, metrics = FakeTable(), Metrics()
    drift = metrics.gauge("iops_feature_drift", "", "feature")
    for place, name in enumerate(NAMES):
        drift.labels(name).set(place / 100)
    metrics.gauge("iops_silent_hosts", "").set(math.nan)
    states = metrics.gauge("iops_explainer_breaker_state", "", "provider", "state")
    for provider, state in (("bedrock", "half_open"), ("openai", "closed")):
        for each in ("open", "half_open", "closed"):
            states.labels(provider, each).set(each == state)

    async with beats(a_beating("insights", fake, metrics)):
        (pulse,) = pulses(fake)

    assert list(pulse.by_name["drift"].items())[:2] == [(NAMES[24], 0.24), (NAMES[23], 0.23)]
    assert len(pulse.by_name["drift"]) == 8
    assert pulse.by_name["open_breakers"] == {"bedrock": 1, "openai": 0}
    assert pulse.levels == {}


def test_a_row_costs_one_write_unit_and_is_in_no_index() -> None:
    longest = sorted(NAMES, key=len)[-8:]
    row = items.pulse_item(
        a_pulse(
            "insights",
            counts=dict.fromkeys(WANTED["insights"].counts, 123456.0),
            levels=dict.fromkeys(WANTED["insights"].levels, 1234.567),
            by_name={"open_breakers": {"bedrock": 1.0, "openai": 0.0}, "drift": dict.fromkeys(longest, 0.123)},
        )
    )

    assert sum(len(name) + len(next(iter(value.values()))) for name, value in row.items()) < 1024
    assert "timestamp" not in row
    assert int(row["ttl"]["N"]) == int(AT.timestamp()) + 3600


def test_a_stream_called_as_the_rows_are_is_not_among_them() -> None:
    fake = FakeTable()
    fake.add(items.pulse_item(a_pulse("ingest")))

    (row,) = fake.of_type("replica")
    assert "#" in row["entity_id"]["S"], "no stream's id has one"


@pytest.mark.parametrize("service", WANTED)
def test_every_number_of_a_row_is_one_that_the_service_shows_to_prometheus(service: str) -> None:
    asked, wanted = Asked(), WANTED[service]
    for read in (*wanted.counts.values(), *wanted.levels.values(), *wanted.by_name.values()):
        read(asked)

    assert asked.names
    assert [name for name in asked.names if f'"{name}"' not in shown_by(service)] == []
