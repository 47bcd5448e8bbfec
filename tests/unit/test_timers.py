"""What time alone changes, in the table."""

import asyncio
from datetime import timedelta

import pytest

from iops import items
from iops.alert import AlertState, EventKind
from iops.clock import from_epoch_ms
from iops.errors import TableUnavailable
from services.alerts import episode
from services.alerts.docket import Docket
from tests.unit.builders import AT
from tests.unit.fakes import aws_error
from tests.unit.replicas import Scene


async def a_recovering_scene(streams: int = 1) -> Scene:
    scene = Scene()
    for risk_score in (90, 10):
        for number in range(streams):
            scene.emit(f"web-{number}:sda", risk_score)
        await scene.settle()
    return scene


async def test_reminders_come_every_four_hours_until_somebody_takes_it() -> None:
    scene = Scene()
    scene.emit()
    await scene.settle()
    for _ in range(2):
        await scene.settle(hours=4)
    step = episode.acknowledge(scene.alerts()[0], by="ann", reason=None, now=scene.now)
    await scene.do(step)
    await scene.settle(hours=9)

    assert [kind for kind, _ in scene.target.told()] == ["opened", "reminder", "reminder"]
    assert scene.left() == []


async def test_what_a_person_resolves_is_told_to_be_over() -> None:
    scene = Scene()
    scene.emit()
    await scene.settle()
    await scene.do(episode.resolve(scene.alerts()[0], by="ann", reason=None, now=scene.now))
    await scene.settle()

    assert [kind for kind, _ in scene.target.told()] == [EventKind.OPENED, EventKind.RESOLVED]
    assert scene.left() == []


async def test_what_is_over_is_not_told_before_it_was_told_to_begin() -> None:
    scene = Scene()
    scene.emit()
    await scene.replica.intake.take_once()
    scene.target.is_away = True
    await scene.replica.courier.deliver_once()
    await scene.do(episode.resolve(scene.alerts()[0], by="ann", reason=None, now=scene.now))
    scene.target.is_away = False

    await scene.replica.courier.deliver_once()
    assert scene.target.told() == []
    await scene.settle(seconds=3)
    assert [kind for kind, _ in scene.target.told()] == [EventKind.OPENED, EventKind.RESOLVED]


async def test_two_replicas_end_an_episode_once() -> None:
    scene = await a_recovering_scene(20)
    scene.now += timedelta(minutes=11)

    await asyncio.gather(*(scene.a_replica().timers.ring_once() for _ in range(2)))

    assert {(alert.state, alert.version) for alert in scene.alerts()} == {(AlertState.RESOLVED, 3)}
    assert len(scene.fake.of_type("delivery")) == 20


async def test_a_timer_that_rings_early_is_set_anew() -> None:
    scene = await a_recovering_scene()
    (alert,) = scene.alerts()
    due_at = episode.due_at(alert)
    scene.fake.add(items.due_item(f"alert#{alert.alert_id}", AT))
    await scene.settle()

    assert scene.alerts() == [alert]
    row = scene.fake.rows[f"alert#{alert.alert_id}", "due"]
    assert from_epoch_ms(int(row["timestamp"]["N"])) == due_at


@pytest.mark.parametrize("entity_id", ["alert#nobody", "page#nobody", "#", "what is this"])
async def test_a_timer_that_belongs_to_nothing_goes(entity_id: str) -> None:
    scene = Scene()
    scene.fake.add(items.due_item(entity_id, AT))

    await scene.replica.timers.ring_once()

    assert scene.left() == []


async def test_a_timer_of_an_alert_that_is_just_being_written_stays() -> None:
    scene = Scene()
    scene.emit()
    await scene.replica.intake.take_once()
    (alert,) = scene.alerts()
    name = f"alert#{alert.alert_id}"
    row = scene.fake.rows.pop((name, "alert"))
    scene.fake.add(items.due_item(name, AT))
    read = scene.fake.get_item

    async def read_before_it_is_written(**request: object) -> object:
        answer = await read(**request)  # type: ignore[arg-type]
        scene.fake.add(row)
        return answer

    scene.fake.get_item = read_before_it_is_written  # type: ignore[assignment,method-assign]
    docket = Docket(scene.fake.table(), ["bus"], now=AT)
    assert await docket.alert(alert.alert_id) is None
    del scene.fake.rows[name, "alert"]
    await scene.replica.timers.ring_once()

    assert (name, "due") in scene.fake.rows


async def test_timers_that_cannot_be_dealt_with_keep_no_other_from_ringing() -> None:
    scene = await a_recovering_scene()
    for number in range(60):  # more than one page of them
        scene.fake.add(items.due_item(f"alert#bad{number}", AT - timedelta(hours=1)))
        scene.fake.add(items.key_of(f"alert#bad{number}", "alert") | {"doc": {"S": "{}"}})
    scene.now += timedelta(minutes=11)

    await scene.replica.timers.ring_once()

    assert sum("resolved" in row["doc"]["S"] for row in scene.fake.of_type("alert")) == 1


async def test_a_timer_that_the_table_refuses_is_tried_again_and_the_others_ring() -> None:
    scene = await a_recovering_scene(3)
    scene.now += timedelta(minutes=11)
    scene.fake.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    with pytest.raises(TableUnavailable):
        await scene.replica.timers.ring_once()

    assert [alert.is_active for alert in scene.alerts()].count(True) == 1
    await scene.replica.timers.ring_once()
    assert not any(alert.is_active for alert in scene.alerts())


def opened(scene: Scene) -> int:
    """Events of openings that were stored; takes them and the other rows that only grow away."""
    events = [items.item_to_event(row) for row in scene.fake.of_type("delivery")]
    grown = ("delivery", "change", "insight")
    scene.fake.rows = {key: row for key, row in scene.fake.rows.items() if key[1].split("#")[0] not in grown}
    return [event.kind for event in events].count(EventKind.OPENED)


async def test_a_storm_of_1000_transitions_makes_one_opening_page_in_30_minutes() -> None:
    scene = Scene()
    count = 0
    for _ in range(500):  # in 5.5 hours
        scene.emit()
        await scene.replica.intake.take_once()
        scene.now += timedelta(seconds=20)
        await scene.replica.timers.ring_once()
        (alert,) = scene.alerts()
        await scene.do(episode.resolve(alert, by="ann", reason=None, now=scene.now))
        scene.now += timedelta(seconds=20)
        count += opened(scene)

    assert scene.now - AT < timedelta(hours=6)
    assert 10 <= count <= 12


async def test_a_storm_of_1000_transitions_within_the_calm_is_one_page() -> None:
    scene = Scene()
    count = 0
    for _ in range(500):
        scene.emit()
        scene.emit(risk_score=10)
        await scene.replica.intake.take_once()
        await scene.replica.timers.ring_once()
        scene.now += timedelta(seconds=20)
        count += opened(scene)

    assert count == 1
    assert len(scene.pages()) == 1
