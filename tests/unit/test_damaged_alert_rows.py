"""One row that nobody can read stops nothing but itself."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from iops import items
from iops.alert import AlertState, EventKind, Silence, SilenceScope, alert_id_of
from iops.insight import PredictionType
from iops.items import Item
from tests.unit.builders import AT
from tests.unit.replicas import Scene

BROKEN: Item = {"doc": {"S": "{"}, "version": {"N": "3"}}


def damage(scene: Scene, entity_type: str, change: Callable[[Item], object]) -> None:
    """The first row of its type."""
    change(next(row for (_, kind), row in scene.fake.rows.items() if kind == entity_type))


def a_broken_alert(stream_id: str, kind: PredictionType) -> Item:
    return items.key_of(f"alert#{alert_id_of(stream_id, kind)}", "alert") | BROKEN


def told(scene: Scene) -> list[EventKind]:
    return [kind for kind, _ in scene.target.told()]


async def test_a_silence_without_words_silences_nothing() -> None:
    scene = Scene()
    ends_at = AT + timedelta(days=30)
    silence = Silence(
        silence_id="S1",
        scope=SilenceScope.PEER_GROUP,
        value="web-1",
        begins_at=AT,
        ends_at=ends_at,
        reason="",
        created_by="ann",
    )
    scene.fake.add(items.silence_item(silence) | {"doc": {"N": "1"}})
    scene.emit()
    await scene.settle()

    assert told(scene) == [EventKind.OPENED]


@pytest.mark.parametrize("change", [lambda row: row.pop("doc"), lambda row: row.update(doc={"B": b"x"})])
async def test_an_outbox_row_without_words_holds_up_no_other(change: Callable[[Item], object]) -> None:
    scene = Scene()
    scene.emit("web-2:sda")
    scene.emit("web-3:sda")
    damage(scene, "outbox", change)
    await scene.settle()

    assert told(scene) == [EventKind.OPENED]


async def test_200_insights_of_an_alert_that_cannot_be_read_hold_up_no_other_stream() -> None:
    scene = Scene()
    scene.fake.add(a_broken_alert("web-1:sda", PredictionType.STALL))
    for _ in range(201):
        scene.emit("web-1:sda")
    scene.emit("web-2:sda")
    for _ in range(3):
        await scene.settle()

    assert told(scene) == [EventKind.OPENED]


async def test_an_alert_that_cannot_be_read_keeps_no_other_of_its_stream_from_ending() -> None:
    scene = Scene()
    scene.fake.add(a_broken_alert("web-1:sda", PredictionType.FAIL_SLOW))
    scene.emit()
    await scene.settle()
    scene.emit(risk_score=10)
    await scene.settle()
    await scene.settle(minutes=11)

    assert told(scene) == [EventKind.OPENED, EventKind.RESOLVED]


@pytest.mark.parametrize(
    ("entity_type", "change"),
    [("page", lambda row: row.update(doc={"S": "{"})), ("newest", lambda row: row.pop("page_id"))],
)
async def test_a_page_that_cannot_be_read_keeps_no_alert_from_being_told(
    entity_type: str, change: Callable[[Item], object]
) -> None:
    scene = Scene()
    scene.emit()
    await scene.settle()
    damage(scene, entity_type, change)
    scene.now += timedelta(hours=2)
    scene.emit("web-1:sdb")
    await scene.settle()

    assert told(scene) == [EventKind.OPENED] * 2


async def test_60_deliveries_without_words_hold_up_no_other() -> None:
    scene = Scene()
    for number in range(60):
        scene.fake.add(items.key_of(f"event#{number}", "delivery#bus") | {"timestamp": {"N": "1"}})
    scene.emit()
    await scene.settle()
    await scene.settle()

    assert told(scene) == [EventKind.OPENED]


async def test_an_alert_that_opens_after_its_silence_was_ended_is_told() -> None:
    scene = Scene()
    silence = Silence(
        silence_id="S1",
        scope=SilenceScope.PEER_GROUP,
        value="web-1",
        begins_at=AT,
        ends_at=AT + timedelta(days=30),
        reason="",
        created_by="ann",
    )
    scene.fake.add(items.silence_item(silence))
    await scene.replica.silences.refresh()
    scene.now += timedelta(seconds=1)
    scene.fake.add(items.silence_item(silence.model_copy(update={"ends_at": scene.now})))
    scene.now += timedelta(seconds=1)
    scene.emit()
    await scene.settle()

    assert told(scene) == [EventKind.OPENED]


async def test_the_alert_of_a_disk_that_was_replaced_ends_when_people_would_be_reminded() -> None:
    scene = Scene()
    scene.emit()
    for _ in range(10):
        await scene.settle(hours=4)

    assert told(scene)[-1] is EventKind.RESOLVED
    assert told(scene).count(EventKind.REMINDER) == 6
    (alert,) = scene.alerts()
    assert alert.state is AlertState.RESOLVED
    assert scene.changes()[-1].reason == "nothing was received of it for a day"
