"""The outbox: each insight is dealt with at least once, each episode told of once, whatever dies in between."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.errors import TableUnavailable
from iops.insight import Alert, AlertState, Insight, PredictionType
from iops.observability import Metrics
from services.alerts.deliver import Outbox
from services.alerts.settings import AlertsSettings
from tests.unit.builders import AT, DISK, an_insight
from tests.unit.fakes import FakeBus, FakeTable, aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, until


class Scene:
    """One table, one bus, any number of replicas, and a clock they share."""

    def __init__(self) -> None:
        self.fake, self.bus, self.now = FakeTable(), FakeBus(), AT

    def replica(self, owner: str = "a") -> Outbox:
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        return Outbox(self.fake.table(), self.bus.bus(), AlertsSettings(), clock=clock, owner=owner, metrics=Metrics())

    def add(self, *insights: Insight) -> None:
        self.fake.add(*(items.outbox_item(insight) for insight in insights))

    def published(self) -> list[str]:
        return [json.loads(entry["Detail"])["insight_id"] for entry in self.bus.entries]

    def alerts(self) -> list[Alert]:
        return [items.item_to_alert(row) for row in self.fake.of_type("alert")]

    def waiting(self) -> list[str]:
        return sorted(items.item_to_insight(row).insight_id for row in self.fake.of_type("outbox"))


def insights_of_streams(count: int, **fields: Any) -> list[Insight]:
    return [an_insight(f"web-{n}:sda", insight_id=f"{n:02}", **fields) for n in range(count)]


async def test_an_insight_opens_an_episode_is_published_and_let_go() -> None:
    scene = Scene()
    scene.add(an_insight(insight_id="01"))

    assert await scene.replica().deliver_once()

    assert scene.published() == ["01"]
    assert [(alert.state, alert.opened_by) for alert in scene.alerts()] == [(AlertState.FIRING, "01")]
    assert scene.waiting() == []
    entry = scene.bus.entries[0]
    assert json.loads(entry["Detail"])["mail"]["url"].endswith(f"/alerts/{scene.alerts()[0].alert_id}")


async def test_an_empty_outbox_is_settled() -> None:
    assert await Scene().replica().deliver_once()


async def test_an_episode_is_told_of_once() -> None:
    scene = Scene()
    for number in range(4):
        scene.add(an_insight(insight_id=f"0{number}", risk_score=85 + number))
        await scene.replica().deliver_once()

    assert scene.published() == ["00"]
    assert [(alert.risk_score, alert.version) for alert in scene.alerts()] == [(88, 4)]


async def test_two_replicas_at_once_publish_once() -> None:
    scene = Scene()
    scene.add(*insights_of_streams(12))

    await asyncio.gather(*(scene.replica(owner).deliver_once() for owner in "ab"))

    assert sorted(scene.published()) == [f"{number:02}" for number in range(12)]
    assert {alert.version for alert in scene.alerts()} == {1}
    assert scene.waiting() == []


async def test_of_ten_entries_of_which_seven_are_accepted_three_stay() -> None:
    scene = Scene()
    scene.add(*insights_of_streams(10))
    scene.bus.accepts.append(7)

    assert not await scene.replica().deliver_once()

    assert len(scene.published()) == 7
    assert len(scene.waiting()) == 3
    assert set(scene.waiting()).isdisjoint(scene.published())

    assert await scene.replica().deliver_once()
    assert sorted(scene.published()) == [f"{number:02}" for number in range(10)]
    assert scene.waiting() == []


async def test_what_was_stored_but_not_published_is_published_by_who_takes_over() -> None:
    scene = Scene()
    scene.add(an_insight(insight_id="01"))
    scene.bus.failures["PutEvents"].append(RuntimeError("the program died here"))
    with pytest.raises(RuntimeError):
        await scene.replica("dead").deliver_once()
    assert [alert.state for alert in scene.alerts()] == [AlertState.FIRING]

    await scene.replica("heir").deliver_once()
    assert scene.published() == [], "the lease of the dead still runs"

    scene.now += timedelta(seconds=31)
    await scene.replica("heir").deliver_once()
    assert scene.published() == ["01"]
    assert [alert.version for alert in scene.alerts()] == [1]
    assert scene.waiting() == []


async def test_what_died_before_anything_was_stored_is_done_from_the_start() -> None:
    scene = Scene()
    scene.add(an_insight(insight_id="01"))
    scene.fake.failures["TransactWriteItems"].append(RuntimeError("the program died here"))
    with pytest.raises(RuntimeError):
        await scene.replica("dead").deliver_once()

    scene.now += timedelta(seconds=31)
    await scene.replica("heir").deliver_once()

    assert scene.published() == ["01"]
    assert scene.waiting() == []


async def test_an_update_that_comes_again_is_not_published() -> None:
    scene = Scene()
    scene.add(an_insight(insight_id="01"))
    await scene.replica().deliver_once()
    scene.add(an_insight(insight_id="02", risk_score=97))
    scene.fake.failures["DeleteItem"].append(aws_error("ThrottlingException"))
    with pytest.raises(TableUnavailable):
        await scene.replica().deliver_once()

    await scene.replica().deliver_once()

    assert scene.published() == ["01"]
    assert [(alert.risk_score, alert.version) for alert in scene.alerts()] == [(97, 2)]
    assert scene.waiting() == []


async def test_a_bus_that_is_away_loses_nothing_and_repeats_nothing_that_it_took() -> None:
    scene = Scene()
    scene.add(*insights_of_streams(15))
    scene.bus.failures["PutEvents"].append(aws_error("ThrottlingException"))
    assert not await scene.replica().deliver_once()
    assert len(scene.waiting()) == 15

    taking_ten = scene.bus.put_events
    calls = 0

    async def second_call_fails(**request: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise aws_error("ThrottlingException")
        return await taking_ten(**request)

    scene.bus.put_events = second_call_fails  # type: ignore[method-assign]
    assert not await scene.replica().deliver_once()
    assert await scene.replica().deliver_once()

    assert sorted(scene.published()) == [f"{number:02}" for number in range(15)]


async def test_a_recovery_waits_for_what_it_ends() -> None:
    scene = Scene()
    begin = an_insight(insight_id="01", created_at=AT)
    end = an_insight(insight_id="02", created_at=AT + timedelta(minutes=5), risk_score=0.0)
    scene.add(end, begin)

    await scene.replica().deliver_once()
    assert scene.waiting() == ["02"]
    await scene.replica().deliver_once()

    assert scene.published() == ["01", "02"]
    assert [alert.state for alert in scene.alerts()] == [AlertState.RESOLVED]


async def test_a_recovery_ends_every_episode_of_its_stream_and_no_other() -> None:
    scene = Scene()
    for number, (stream, kind) in enumerate(
        [(DISK, PredictionType.STALL), (DISK, PredictionType.IO_ERRORS), ("web-2:sda", PredictionType.STALL)]
    ):
        scene.add(an_insight(stream, insight_id=f"0{number}", prediction_type=kind))
        await scene.replica().deliver_once()

    scene.add(an_insight(insight_id="09", risk_score=0.0, created_at=AT + timedelta(minutes=5)))
    await scene.replica().deliver_once()

    states = {(alert.stream_id, alert.state) for alert in scene.alerts()}
    assert states == {(DISK, AlertState.RESOLVED), ("web-2:sda", AlertState.FIRING)}


async def test_an_alert_that_somebody_else_changed_is_decided_again() -> None:
    scene = Scene()
    scene.add(an_insight(insight_id="01"))
    scene.fake.failures["TransactWriteItems"].append(
        aws_error("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}])
    )

    assert not await scene.replica().deliver_once()
    assert scene.published() == []
    assert await scene.replica().deliver_once()
    assert scene.published() == ["01"]


async def test_a_row_nobody_can_read_keeps_no_other_from_being_told() -> None:
    scene = Scene()
    for number in range(120):  # more than two pages of them
        unreadable = items.outbox_item(an_insight(insight_id=f"u{number}", created_at=AT - timedelta(hours=1)))
        scene.fake.add(unreadable | {"doc": {"S": "{}"}})
    scene.add(an_insight(insight_id="01"), an_insight("web-2:sda", insight_id="02"))

    for _ in range(3):
        await scene.replica().deliver_once()

    assert sorted(scene.published()) == ["01", "02"]


@in_virtual_time
async def test_the_loop_outlives_a_table_that_is_away_and_what_nobody_expected() -> None:
    scene = Scene()
    scene.fake.failures["Query"].append(ZeroDivisionError())
    loop = asyncio.create_task(scene.replica().run())
    await asyncio.sleep(1)
    scene.fake.is_away = True
    await asyncio.sleep(120)
    scene.add(an_insight(insight_id="01"))
    scene.fake.is_away = False

    await until(lambda: scene.published() == ["01"], within_s=20)

    assert scene.waiting() == []
    assert len(scene.fake.calls) < 200
    await cancelled(loop)


async def test_a_pass_that_took_half_the_lease_leaves_the_telling_to_the_next() -> None:
    scene = Scene()
    scene.add(an_insight())
    times = iter([AT, AT, AT + timedelta(seconds=16)])
    slow = Outbox(
        scene.fake.table(),
        scene.bus.bus(),
        AlertsSettings(),
        clock=lambda: next(times),
        owner="slow",
        metrics=Metrics(),
    )

    assert not await slow.deliver_once()
    assert scene.published() == []
    assert await scene.replica("slow").deliver_once()
    assert len(scene.published()) == 1
