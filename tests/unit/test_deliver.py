"""Events on their way to a target: each at least once, none in another's way, whatever dies in between."""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import pytest

from iops import items
from iops.alert import Event, EventKind
from iops.errors import TableUnavailable
from iops.items import Item
from iops.observability import Metrics
from services.alerts.deliver import Courier, CourierMetrics, Target
from services.alerts.event_bus import BusTarget
from services.alerts.notice import Notice
from tests.unit.builders import AT, an_alert, an_insight
from tests.unit.fakes import FakeBus, FakeTable, aws_error


class Scene:
    """One table, one bus, any number of replicas, and a clock they share."""

    def __init__(self) -> None:
        self.fake, self.bus, self.now = FakeTable(), FakeBus(), AT

    def courier(self, owner: str = "a", target: Target | None = None, counts: CourierMetrics | None = None) -> Courier:
        return Courier(
            self.fake.table(),
            target or BusTarget(self.bus.bus()),
            lambda: self.now,
            counts or CourierMetrics(Metrics()),
            owner=owner,
            poll_s=0.5,
            lease_s=30,
            public_url="http://iops",
        )

    def add(self, *events: Event) -> None:
        self.fake.add(*(items.delivery_item(event, "bus", not_before=event.at) for event in events))

    def told(self) -> list[str]:
        return [json.loads(entry["Detail"])["event_id"] for entry in self.bus.entries]

    def row(self, event_id: str) -> Item:
        return self.fake.rows[f"event#{event_id}", "delivery#bus"]

    def waiting(self) -> list[str]:
        return sorted(key.removeprefix("event#") for key, kind in self.fake.rows if kind == "delivery#bus")

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def an_event(number: int = 1, **fields: object) -> Event:
    usual = {"event_id": f"{number:02}", "kind": EventKind.OPENED, "at": AT, "alert_id": "web-1-nvme0n1"}
    return Event.model_validate(usual | fields)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.fake.add(items.alert_put(an_alert())["Item"], items.insight_item(an_insight(insight_id="01")))
    return made


def some_events(count: int) -> list[Event]:
    return [an_event(number) for number in range(count)]


async def test_an_event_is_told_and_its_row_goes(scene: Scene) -> None:
    scene.add(an_event())

    assert await scene.courier().deliver_once()

    assert (scene.told(), scene.waiting()) == (["01"], [])
    assert json.loads(scene.bus.entries[0]["Detail"])["title"] == "web-1:nvme0n1 has stalled"


async def test_of_ten_events_of_which_seven_are_accepted_three_are_told_again(scene: Scene) -> None:
    scene.add(*some_events(10))
    scene.bus.accepts.append(7)
    courier = scene.courier()

    assert not await courier.deliver_once()
    assert (len(scene.told()), len(scene.waiting())) == (7, 3)

    scene.pass_s(3)
    assert await courier.deliver_once()
    assert sorted(scene.told()) == [f"{number:02}" for number in range(10)]
    assert scene.waiting() == []


@pytest.mark.parametrize("failure", [aws_error("ThrottlingException"), TimeoutError()])
async def test_a_bus_that_is_throttled_or_away_keeps_the_rows_and_rests(scene: Scene, failure: Exception) -> None:
    scene.add(*some_events(15))
    scene.bus.failures["PutEvents"].append(failure)
    courier = scene.courier()

    assert not await courier.deliver_once()
    assert scene.bus.calls == ["PutEvents"]  # the other five were not tried
    assert len(scene.waiting()) == 15

    scene.pass_s(10)
    assert await courier.deliver_once()
    assert sorted(scene.told()) == [f"{number:02}" for number in range(15)]


async def test_a_lease_is_taken_over_only_when_it_has_run_out(scene: Scene) -> None:
    scene.add(an_event())
    key = items.delivery_key("01", "bus")
    scene.fake.rows["event#01", "delivery#bus"] |= {"lease_owner": {"S": "dead"}, "lease_until": {"N": "0"}}
    claim = items.claim_update(key, owner="dead", now_ms=round(AT.timestamp() * 1000), lease_ms=30_000)
    await scene.fake.update_item(TableName="", **claim)

    await scene.courier("b").deliver_once()
    assert scene.told() == []
    scene.pass_s(31)
    assert await scene.courier("b").deliver_once()

    assert scene.told() == ["01"]


async def test_what_was_accepted_before_a_crash_is_told_again_under_the_same_id(scene: Scene) -> None:
    scene.add(an_event())
    scene.fake.failures["DeleteItem"].append(aws_error("ThrottlingException"))
    with pytest.raises(TableUnavailable):
        await scene.courier("dead").deliver_once()

    scene.pass_s(31)
    await scene.courier("b").deliver_once()

    assert (scene.told(), scene.waiting()) == (["01", "01"], [])


async def test_a_row_whose_deletion_failed_is_not_told_twice_by_who_told_it(scene: Scene) -> None:
    scene.add(*some_events(3))
    scene.fake.failures["DeleteItem"].append(aws_error("ThrottlingException"))
    courier = scene.courier()
    with pytest.raises(TableUnavailable):
        await courier.deliver_once()
    assert len(scene.waiting()) == 1

    await courier.deliver_once()

    assert (len(scene.told()), scene.waiting()) == (3, [])


class ThievingTarget:
    """While it refuses, another replica takes the row over."""

    name, limit = "bus", 10

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        for notice in notices:
            self._scene.row(notice.event.event_id)["lease_owner"] = {"S": "thief"}
        return [False] * len(notices)

    def words(self, notice: Notice) -> tuple[str, ...]:
        return ()


async def test_a_lost_lease_leaves_the_row_to_who_has_it(scene: Scene) -> None:
    scene.add(an_event())

    assert not await scene.courier(target=ThievingTarget(scene)).deliver_once()

    assert scene.row("01")["lease_owner"] == {"S": "thief"}
    assert "attempts" not in scene.row("01")


async def test_two_couriers_at_once_tell_each_event_once(scene: Scene) -> None:
    scene.add(*some_events(25))

    await asyncio.gather(*(scene.courier(owner).deliver_once() for owner in "ab"))
    await asyncio.gather(*(scene.courier(owner).deliver_once() for owner in "ab"))

    assert sorted(scene.told()) == [f"{number:02}" for number in range(25)]
    assert scene.waiting() == []


async def test_a_resolve_waits_until_its_opening_was_told(scene: Scene) -> None:
    scene.add(an_event(1), an_event(2, kind=EventKind.RESOLVED, after="01"))
    scene.bus.accepts.append(0)
    courier = scene.courier()

    for _ in range(4):
        await courier.deliver_once()
        scene.pass_s(3)

    assert scene.told() == ["01", "02"]


async def test_an_event_whose_predecessor_cannot_be_read_does_not_wait(scene: Scene) -> None:
    scene.add(an_event(1), an_event(2, kind=EventKind.RESOLVED, after="01"))
    scene.row("01")["doc"] = {"S": "{"}

    await scene.courier().deliver_once()

    assert (scene.told(), scene.waiting()) == (["02"], ["01"])


async def test_rows_that_cannot_be_read_stay_and_hold_up_nobody(scene: Scene) -> None:
    scene.add(*some_events(61))
    for number in range(60):
        scene.row(f"{number:02}")["doc"] = {"S": '{"kind": "of another program"}'}
    courier = scene.courier()

    await courier.deliver_once()  # the first fifty rows
    await courier.deliver_once()

    assert scene.told() == ["60"]
    assert len(scene.waiting()) == 60


class PoisonedTarget:
    """A programming error about one event."""

    name, limit = "bus", 10

    def __init__(self) -> None:
        self.took: deque[str] = deque()

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        if any(notice.event.event_id == "03" for notice in notices):
            raise ZeroDivisionError
        self.took.extend(notice.event.event_id for notice in notices)
        return [True] * len(notices)

    def words(self, notice: Notice) -> tuple[str, ...]:
        return ()


async def test_an_event_that_breaks_the_target_holds_up_no_other(scene: Scene) -> None:
    scene.add(*some_events(10))
    target = PoisonedTarget()

    assert not await scene.courier(target=target).deliver_once()

    assert (len(target.took), scene.waiting()) == (9, ["03"])


@pytest.mark.parametrize(
    ("attempts", "at_least_s", "at_most_s"), [(0, 1, 2), (3, 8, 16), (9, 450, 900), (9999, 450, 900)]
)
async def test_each_refusal_doubles_the_wait_up_to_a_quarter_of_an_hour(
    scene: Scene, attempts: int, at_least_s: float, at_most_s: float
) -> None:
    scene.add(an_event())
    scene.row("01")["attempts"] = {"N": str(attempts)}
    scene.bus.accepts.append(0)

    await scene.courier().deliver_once()

    waits_s = int(scene.row("01")["timestamp"]["N"]) / 1000 - AT.timestamp()
    assert at_least_s <= waits_s <= at_most_s
    assert scene.row("01")["attempts"] == {"N": str(attempts + 1)}


async def test_a_table_that_costs_half_the_lease_leaves_the_telling_to_the_next_pass(scene: Scene) -> None:
    scene.add(an_event())
    courier = scene.courier()
    times = iter([AT, AT, AT, AT + timedelta(seconds=16)])
    courier._clock = lambda: next(times)

    assert not await courier.deliver_once()

    assert scene.told() == []
    assert await scene.courier("a").deliver_once()


@pytest.mark.parametrize("kind", list(EventKind))
@pytest.mark.parametrize("damage", ["gone", "damaged"])
async def test_an_event_is_told_with_what_is_there(kind: EventKind, damage: str) -> None:
    scene = Scene()
    scene.add(an_event(1, kind=kind, page_id="p", insight_id="i"))
    if damage == "damaged":
        for name in ("alert#web-1-nvme0n1", "page#p", "insight#i"):
            scene.fake.add(items.key_of(name, name.partition("#")[0]) | {"doc": {"S": "{}"}})

    assert await scene.courier().deliver_once()

    assert (scene.told(), scene.waiting()) == (["01"], [])


async def test_what_a_target_refuses_is_seen_to_wait_until_it_takes_one() -> None:
    scene, metrics = Scene(), Metrics()
    courier = scene.courier(counts=CourierMetrics(metrics))
    scene.add(an_event())
    for scene.bus.is_away, waits_s in ((True, 40), (False, 0)):
        scene.pass_s(40)
        await courier.deliver_once()
        assert metrics.registry.get_sample_value("iops_delivery_waiting_seconds", {"target": "bus"}) == waits_s
