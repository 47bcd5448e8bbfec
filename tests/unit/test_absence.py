"""Silent agents: one alert per host, none for what is slow, simulated, long gone, or everybody's fault."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from iops import items
from iops.clock import to_epoch_ms
from iops.insight import Insight, PredictionType
from iops.items import Item
from iops.observability import Metrics
from services.insights.absence import Absence
from services.insights.answer import Answer
from tests.unit.builders import AT, a_batch, a_window
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.speaking import WORDS

WEB_1 = ("web-1:sda", "web-1:sdb")


class PatchyTable(FakeTable):
    """Does not answer for one stream."""

    unreadable: str | None = None

    async def query(self, *, TableName: str, **request: Any) -> Item:  # noqa: N803
        if {"S": self.unreadable} in request["ExpressionAttributeValues"].values():
            raise aws_error("ThrottlingException")
        return await super().query(TableName=TableName, **request)


class World:
    """Hosts that send, and replicas that listen, on one clock."""

    def __init__(self, *streams: str, **labels: str) -> None:
        self.fake, self.now = PatchyTable(), AT
        self.streams = streams
        self.labels = labels
        self.replica, self.other = self.a_replica(), self.a_replica()

    def a_replica(self) -> Absence:
        return Absence(self.fake.table(), lambda: self.now, Metrics())

    async def send(self, *streams: str, samples: int = 30, at: datetime | None = None, interval_s: float = 2.0) -> None:
        end = at or self.now
        for stream_id in streams or self.streams:
            row = items.stream_seen_update(a_batch(stream_id, labels=self.labels), now_ms=to_epoch_ms(end))
            await self.fake.table().update(row)
            self.fake.add(*items.chunk_items(stream_id, a_window(samples, end=end, interval_s=interval_s)))

    async def wait(self, minutes: float, *speaking: str) -> None:
        """A look a minute, before which some streams send."""
        for _ in range(round(minutes)):
            self.now += timedelta(minutes=1)
            if speaking:
                await self.send(*speaking)
            await self.replica.look_once()
            await self.other.look_once()

    def told(self) -> list[tuple[str, float]]:
        rows = sorted(self.fake.of_type("insight"), key=lambda row: row["entity_id"]["S"])
        return [(each.stream_id, each.risk_score) for each in map(items.item_to_insight, rows)]

    def insight(self) -> Insight:
        return items.item_to_insight(self.fake.of_type("insight")[0])


async def test_a_host_that_falls_silent_is_told_once_by_any_number_of_replicas() -> None:
    world = World(*WEB_1)
    await world.send()

    await world.wait(2)
    assert world.told() == []
    await world.wait(3)

    insight = world.insight()
    assert world.told() == [("web-1", 80)]
    assert (insight.prediction_type, insight.is_hard_rule, insight.is_confirmed) == ("agent_silent", True, True)
    assert insight.title == "web-1 sends no samples any more"
    assert "the last sample is 180 s old; it usually takes one every 2 s; 2 of its streams" in insight.explanation
    assert [items.item_to_insight(row) for row in world.fake.of_type("outbox")] == [insight]


async def test_a_host_that_cannot_be_read_keeps_no_other_from_being_missed() -> None:
    world = World(*WEB_1, "web-2:sda", "web-3:sda", "web-4:sda")
    world.fake.unreadable = "web-4:sda"
    await world.send()

    await world.wait(5, "web-2:sda", "web-3:sda")
    assert world.told() == [("web-1", 80)]
    world.fake.unreadable = None
    await world.wait(1, "web-2:sda", "web-3:sda")

    assert world.told() == [("web-1", 80), ("web-4", 80)]


async def test_one_disk_that_speaks_is_an_agent_that_speaks() -> None:
    world = World(*WEB_1)
    await world.send()

    await world.wait(10, "web-1:sdb")

    assert world.told() == []


async def test_it_is_told_once_that_it_speaks_again_and_again_when_it_falls_silent_again() -> None:
    world = World(*WEB_1)
    await world.send()
    await world.wait(3)

    await world.wait(2, *WEB_1)
    assert world.told() == [("web-1", 80), ("web-1", 0)]
    await world.wait(4)
    assert world.told() == [("web-1", 80), ("web-1", 0), ("web-1", 80)]


async def test_an_agent_that_sends_every_five_minutes_is_not_silent_even_after_an_early_batch() -> None:
    world = World("web-1:sda")
    await world.send(samples=150)
    world.now += timedelta(seconds=10)
    await world.send(samples=5)

    await world.wait(9)
    assert world.told() == []
    await world.wait(2)
    assert world.told() == [("web-1", 80)]


async def test_a_fresh_host_costs_one_read_beside_the_lists() -> None:
    world = World("web-1:sda", "web-1:sdb", "web-1:sdc")
    await world.send("web-1:sda", "web-1:sdb", at=AT - timedelta(hours=1))
    await world.send("web-1:sdc")
    await world.replica.look_once()
    world.fake.calls.clear()

    await world.replica.look_once()

    assert world.fake.calls == ["Query", "Query"]


async def test_a_host_that_was_silent_for_an_hour_at_first_sight_is_not_told() -> None:
    world = World("web-1:sda")
    await world.send(at=AT - timedelta(minutes=61))

    await world.wait(3)
    assert world.told() == []


async def test_a_restart_in_the_middle_of_a_silence_forgets_nobody() -> None:
    world = World("web-1:sda")
    await world.send(at=AT - timedelta(minutes=50))

    await world.wait(3)
    assert world.told() == [("web-1", 80)]


async def test_a_machine_that_slept_tells_nothing_of_the_night() -> None:
    world = World("web-1:sda")
    await world.send()
    await world.wait(1)

    world.now += timedelta(hours=9)
    await world.wait(2)
    assert world.told() == []


async def test_a_host_is_forgotten_after_seven_days() -> None:
    world = World("web-1:sda")
    await world.send()
    await world.wait(3)

    world.now = AT + timedelta(days=7)
    await world.wait(3)

    assert world.told() == [("web-1", 80), ("web-1", 0)]
    last = max(world.fake.of_type("insight"), key=lambda row: row["entity_id"]["S"])
    assert items.item_to_insight(last).title == "web-1 is not waited for any more"


async def test_a_simulated_host_has_no_agent_to_miss() -> None:
    world = World("demo-1:sda", source="simulated")
    await world.send()

    await world.wait(5)
    assert world.told() == []


async def test_most_hosts_at_once_are_one_alert_about_ingest() -> None:
    hosts = [f"web-{number}:sda" for number in range(6)]
    world = World(*hosts)
    for place, stream_id in enumerate(hosts):  # their minutes end at other seconds
        await world.send(stream_id, at=AT - timedelta(seconds=10 * place))

    await world.wait(6)
    assert world.told() == [("(all hosts)", 80)]
    assert world.insight().title == "ingest receives nothing from most hosts"
    await world.wait(2, *hosts)
    assert world.told() == [("(all hosts)", 80), ("(all hosts)", 0)]


async def test_hosts_that_stay_away_after_an_outage_are_told_one_by_one() -> None:
    hosts = [f"web-{number}:sda" for number in range(5)]
    world = World(*hosts)
    await world.send()
    await world.wait(4)

    await world.wait(2, *hosts[1:])

    assert world.told() == [("(all hosts)", 80), ("(all hosts)", 0), ("web-0", 80)]


async def test_of_few_hosts_each_is_told() -> None:
    world = World("web-1:sda", "web-2:sda", "web-3:sda")
    await world.send()

    await world.wait(3)
    assert sorted(world.told()) == [("web-1", 80), ("web-2", 80), ("web-3", 80)]


def test_no_model_may_say_that_an_agent_is_silent() -> None:
    with pytest.raises(ValidationError):
        Answer.model_validate({**WORDS, "prediction_type": PredictionType.AGENT_SILENT})
