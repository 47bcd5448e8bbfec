"""From the outbox to alerts, pages and events: each insight once, whatever happens in between."""

import asyncio
from datetime import timedelta

import pytest

from iops import items
from iops.alert import AlertState, EventKind, Silence, SilenceScope
from iops.clock import to_epoch_ms
from iops.contract import TIME_KEY
from iops.errors import TableUnavailable
from iops.insight import Neighbour, PredictionType
from iops.items import Item
from tests.unit.builders import AT, a_stream
from tests.unit.fakes import aws_error
from tests.unit.replicas import Scene
from tests.unit.virtual_time import cancelled, in_virtual_time, until

KINDS = [PredictionType.STALL, PredictionType.IO_ERRORS, PredictionType.FAIL_SLOW]


async def test_an_episode_is_told_when_it_opens_and_when_it_is_over() -> None:
    scene = Scene()
    scene.emit()
    await scene.settle()
    scene.emit(risk_score=95)
    await scene.settle()
    scene.emit(risk_score=10)
    await scene.settle()
    await scene.settle(minutes=10)

    (page,) = scene.pages()
    assert scene.target.told() == [(EventKind.OPENED, page.page_id), (EventKind.RESOLVED, page.page_id)]
    (alert,) = scene.alerts()
    assert (alert.state, alert.version, alert.peak_risk_score, alert.page_id) == (AlertState.RESOLVED, 4, 95, None)
    assert [change.what for change in scene.changes()] == ["opened", "updated", "recovering", "resolved"]
    assert scene.left() == []


async def test_two_replicas_on_the_same_rows_write_each_once() -> None:
    scene = Scene()
    for number in range(30):
        scene.emit(f"web-{number % 3}:sd{number}")
    one, two = scene.a_replica(), scene.a_replica()
    while scene.fake.of_type("outbox"):
        await asyncio.gather(one.intake.take_once(), two.intake.take_once())

    assert [alert.version for alert in scene.alerts()] == [1] * 30
    assert sorted(page.streams_total for page in scene.pages()) == [10, 10, 10]
    assert len(scene.fake.of_type("delivery")) == 3


async def test_1000_streams_of_50_hosts_at_once_are_50_mails() -> None:
    scene = Scene()
    for number in range(1_000):
        scene.emit(f"web-{number % 50}:sd{number}")
    before = len(scene.fake.calls)
    while scene.fake.of_type("outbox"):
        await scene.replica.intake.take_once()

    assert sorted(page.streams_total for page in scene.pages()) == [20] * 50
    assert len(scene.fake.of_type("delivery")) == 50
    assert scene.fake.calls[before:].count("TransactWriteItems") < 1_000
    await scene.settle()
    await scene.settle()
    assert len(scene.target.told()) == 50


@pytest.mark.parametrize(("streams", "wait_s"), [(1, 1), (10, 1), (20, 2), (200, 5)])
async def test_a_mail_waits_a_second_for_each_transaction_that_adds_to_it(streams: int, wait_s: int) -> None:
    scene = Scene()
    ill = (Neighbour(stream_id="web-1:sdx", risk_score=90, prediction_type=PredictionType.STALL),)
    for number in range(streams):
        scene.emit(f"web-1:sd{number}", neighbours=ill)
    await scene.replica.intake.take_once()

    (waiting,) = scene.fake.of_type("delivery")
    assert waiting[TIME_KEY]["N"] == str(to_epoch_ms(AT + timedelta(seconds=wait_s)))


async def test_a_table_throttled_in_the_middle_loses_nothing_and_holds_up_no_other_group() -> None:
    scene = Scene()
    scene.emit("web-1:sda")
    scene.emit("web-2:sda")
    scene.fake.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    with pytest.raises(TableUnavailable):
        await scene.replica.intake.take_once()

    assert [alert.stream_id for alert in scene.alerts()] == ["web-2:sda"]
    assert await scene.replica.intake.take_once()
    assert len(scene.alerts()) == len(scene.pages()) == len(scene.fake.of_type("delivery")) == 2


async def test_what_somebody_else_changed_is_decided_again() -> None:
    scene = Scene()
    scene.emit()
    conflict = aws_error("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}])
    scene.fake.failures["TransactWriteItems"].append(conflict)

    assert not await scene.replica.intake.take_once()
    assert await scene.replica.intake.take_once()
    assert [alert.version for alert in scene.alerts()] == [1]


async def test_rows_nobody_can_read_or_deal_with_keep_no_other_from_being_told() -> None:
    scene = Scene()
    for number in range(250):  # more than one page of them
        unreadable = scene.emit(insight_id=f"u{number}", created_at=AT - timedelta(hours=1))
        scene.fake.add(items.outbox_item(unreadable) | {"doc": {"S": "{}"}})
    scene.emit("web-1:bad", prediction_type=None)
    scene.emit("web-1:sda")

    assert await scene.replica.intake.take_once()

    assert [alert.stream_id for alert in scene.alerts()] == ["web-1:sda"]
    assert len(scene.fake.of_type("outbox")) == 251


async def test_a_streams_rows_are_taken_in_their_order_in_one_pass() -> None:
    scene = Scene()
    for minute, risk_score in enumerate((90, 10, 95, 20)):
        scene.emit(risk_score=risk_score, created_at=AT + timedelta(minutes=minute))

    await scene.replica.intake.take_once()

    assert [change.what for change in scene.changes()] == ["opened", "recovering", "worse_again", "recovering"]


async def test_a_scorer_whose_clock_jumped_back_tells_the_end_after_the_beginning() -> None:
    scene = Scene()
    scene.emit(risk_score=90, created_at=AT)
    scene.emit(risk_score=10, created_at=AT - timedelta(hours=1))

    await scene.replica.intake.take_once()

    assert [change.what for change in scene.changes()] == ["opened", "recovering"]


async def test_a_recovery_begins_the_end_of_all_that_its_stream_has_and_of_nothing_else() -> None:
    scene = Scene()
    for kind in KINDS:
        scene.emit("web-1:sda", prediction_type=kind)
    scene.emit("web-1:sdb")
    await scene.settle()
    scene.emit("web-1:sda", 10)
    await scene.settle()
    await scene.settle(minutes=10)

    assert {(alert.stream_id, alert.state) for alert in scene.alerts()} == {
        ("web-1:sda", AlertState.RESOLVED),
        ("web-1:sdb", AlertState.FIRING),
    }
    # All troubles of the one disk are on one page, which goes on: another disk of it still stalls.
    assert [kind for kind, _ in scene.target.told()] == [EventKind.OPENED]


async def test_another_trouble_of_a_disk_that_was_just_told_makes_no_second_mail_and_a_later_one_does() -> None:
    scene = Scene()
    scene.emit("web-1:sda", prediction_type=PredictionType.FAIL_SLOW)
    await scene.settle()
    scene.emit("web-1:sda", prediction_type=PredictionType.STALL)
    await scene.settle(minutes=4)
    scene.emit("web-1:sda", prediction_type=PredictionType.IO_ERRORS)
    await scene.settle(minutes=4)

    assert [kind for kind, _ in scene.target.told()] == [EventKind.OPENED] * 2
    slow_and_stalled, failing = sorted(scene.pages(), key=lambda page: page.opened_at)
    assert (len(slow_and_stalled.open_alerts), slow_and_stalled.streams_total) == (2, 1)
    assert len(failing.open_alerts) == 1


async def test_an_insight_below_80_is_told_to_programs_alone() -> None:
    scene = Scene()
    insight = scene.emit(risk_score=79)
    await scene.settle()

    assert [notice.event.insight_id for notice in scene.target.accepted] == [insight.insight_id]
    assert scene.target.told() == []
    assert scene.alerts() == []


async def test_what_is_reworded_after_the_stream_recovered_opens_nothing() -> None:
    scene = Scene()
    before = scene.emit(risk_score=70)
    after = scene.emit(risk_score=10)
    scene.fake.add(_stream_row(after.insight_id))
    reworded = before.model_copy(update={"risk_score": 90.0})
    scene.fake.add(items.outbox_item(reworded, reworded_at=AT + timedelta(seconds=5)))

    await scene.settle()
    assert scene.alerts() == []

    scene.fake.add(_stream_row(before.insight_id))
    scene.fake.add(items.outbox_item(reworded, reworded_at=AT + timedelta(seconds=5)))
    await scene.settle()
    assert len(scene.alerts()) == 1


def _stream_row(insight_id: str) -> Item:
    stream = a_stream("web-1:sda")
    return items.key_of(stream.stream_id, "stream") | {
        "peer_group": {"S": stream.peer_group},
        "first_seen": {"N": "1"},
        "labels": {"S": "{}"},
        "insight_id": {"S": insight_id},
    }


async def test_what_a_silence_matches_is_told_when_that_is_over() -> None:
    scene = Scene()
    usual = {"silence_id": "s", "begins_at": AT, "reason": "", "created_by": "ann"}
    silence = Silence(scope=SilenceScope.PEER_GROUP, value="web-1", ends_at=AT + timedelta(hours=1), **usual)
    scene.fake.add(items.silence_item(silence))
    scene.fake.add(items.silence_item(silence) | {"entity_id": {"S": "silence#bad"}, "doc": {"S": "{}"}})
    scene.emit("web-1:sda")
    scene.emit("web-2:sda")
    await scene.settle()

    assert [page.peer_group for page in scene.pages()] == ["web-2"]
    await scene.settle(hours=1)
    assert [page.peer_group for page in scene.pages()] == ["web-2", "web-1"]


async def test_a_change_whose_name_an_expired_one_has_is_written() -> None:
    scene = Scene()
    scene.emit()
    await scene.settle()
    (alert,) = scene.alerts()
    del scene.fake.rows[f"alert#{alert.alert_id}", "alert"]  # expired, and its history was not deleted yet
    scene.now += timedelta(days=91)
    scene.emit()

    assert await scene.replica.intake.take_once()


@in_virtual_time
async def test_the_loop_outlives_a_table_that_is_away_and_what_nobody_expected() -> None:
    scene = Scene()
    scene.fake.failures["Query"].append(ZeroDivisionError())
    loop = asyncio.create_task(scene.replica.intake.run())
    await asyncio.sleep(1)
    scene.fake.is_away = True
    await asyncio.sleep(120)
    scene.emit()
    scene.fake.is_away = False

    await until(lambda: len(scene.alerts()) == 1, within_s=20)

    assert len(scene.fake.calls) < 200
    await cancelled(loop)
