"""The daily canary: one a day of all replicas, noted when it comes back, an error when it does not."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from iops import contract, items
from iops.alert import EventKind
from iops.events import is_canary, read_mail, rule_pattern
from iops.observability import Metrics
from services.alerts.canary import Canary
from services.alerts.canary_watch import CanaryWatch
from services.alerts.entry import notice_to_entry
from services.alerts.notice import compose
from tests.unit.fakes import FakeTable
from tests.unit.post import FakePost, a_notification_body
from tests.unit.test_events import matches, rendered

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Day:
    """A clock that is set by hand, a table, and the post."""

    def __init__(self, at: datetime = NINE) -> None:
        self.at = at
        self.table, self.post, self.metrics = FakeTable(), FakePost(), Metrics()

    def canary(self) -> Canary:
        return Canary(self.table.table(), lambda: self.at, hour_utc=9)

    def watch(self) -> CanaryWatch:
        client: Any = self.post
        return CanaryWatch(client, self.table.table(), lambda: self.at, self.metrics, hour_utc=9)

    def age_s(self) -> float | None:
        return self.metrics.registry.get_sample_value("iops_canary_age_seconds")

    async def event(self) -> dict[str, Any]:
        """What the bus gets of the canary that waits."""
        (row,) = self.table.of_type("delivery")
        notice = await compose(self.table.table(), items.item_to_event(row), public_url="http://127.0.0.1:8080")
        entry = notice_to_entry(notice)
        return {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}


async def test_of_all_replicas_one_sends_one_a_day() -> None:
    day = Day()
    replicas = [day.canary() for _ in range(3)]

    sent = [await replica.send_when_due() for replica in replicas * 2]
    day.at += timedelta(days=1)
    sent_next = [await replica.send_when_due() for replica in replicas]

    assert (sum(sent), sum(sent_next)) == (1, 1)
    events = [items.item_to_event(row) for row in day.table.of_type("delivery")]
    assert [event.kind for event in events] == [EventKind.CANARY] * 2


@pytest.mark.parametrize(("minutes", "is_sent"), [(-1, False), (0, True), (59, True), (60, False), (300, False)])
async def test_it_goes_out_in_its_hour_only(minutes: int, is_sent: bool) -> None:
    assert await Day(NINE + timedelta(minutes=minutes)).canary().send_when_due() is is_sent


async def test_a_clock_that_jumps_back_sends_no_second() -> None:
    day = Day(NINE + timedelta(minutes=59))
    await day.canary().send_when_due()
    day.at -= timedelta(minutes=55)

    assert await day.canary().send_when_due() is False


async def test_a_table_that_was_away_gets_its_canary_later() -> None:
    day = Day()
    canary = day.canary()
    day.table.is_away = True
    with pytest.raises(Exception, match="TransactWriteItems failed"):
        await canary.send_when_due()
    day.table.is_away = False

    assert await canary.send_when_due() is True


async def test_the_rule_lets_it_through_and_its_mail_says_that_nothing_is_wrong() -> None:
    day = Day()
    await day.canary().send_when_due()

    event = await day.event()

    assert matches(rule_pattern(), event)
    mail = rendered(event)
    lines, body = read_mail(mail)
    assert lines[0] == "Canary 2026-11-23: alerting works. Nothing is wrong, and there is nothing to do."
    assert "http://127.0.0.1:8080" in lines
    assert body["event"] == "canary"
    assert is_canary(mail)
    assert is_canary(a_notification_body(mail))


async def test_a_canary_is_noted_and_whatever_came_is_deleted() -> None:
    day = Day()
    watch = day.watch()
    await watch.look_once()
    day.at += timedelta(minutes=1)
    day.post.add(contract.CANARY_QUEUE, a_notification_body("web-1:sda has stalled"))
    day.post.add(contract.CANARY_QUEUE, a_notification_body("Canary 2026-11-23: alerting works."))

    assert await watch.receive_once() == 2
    day.at += timedelta(seconds=30)
    await watch.look_once()

    assert (day.age_s(), day.post.queues[contract.CANARY_QUEUE]) == (30, {})


async def test_an_alert_is_no_canary() -> None:
    day = Day()
    watch = day.watch()
    await watch.look_once()
    day.post.add(contract.CANARY_QUEUE, "web-1:sda has stalled")
    day.at += timedelta(hours=1)
    await watch.receive_once()
    await watch.look_once()

    assert day.age_s() == 3600


async def test_a_canary_that_cannot_be_noted_comes_again() -> None:
    day = Day()
    day.post.add(contract.CANARY_QUEUE, "Canary 2026-11-23: alerting works.")
    day.table.is_away = True
    with pytest.raises(Exception, match="TransactWriteItems failed"):
        await day.watch().receive_once()

    assert len(day.post.queues[contract.CANARY_QUEUE]) == 1


async def test_a_restart_goes_on_from_what_the_table_knows() -> None:
    day = Day()
    await day.watch().look_once()
    day.metrics = Metrics()
    day.at += timedelta(hours=5)
    await day.watch().look_once()

    assert day.age_s() == 5 * 3600


async def test_the_age_grows_while_the_table_is_away() -> None:
    day = Day()
    watch = day.watch()
    await watch.look_once()
    day.at += timedelta(hours=2)
    day.table.failures["GetItem"].extend([OSError()] * 4)
    with pytest.raises(Exception, match="GetItem failed"):
        await watch.look_once()

    assert day.age_s() == 7200


def test_the_age_is_not_zero_before_anything_is_known() -> None:
    day = Day()
    day.watch()

    assert math.isnan(day.age_s() or 0)


async def complaints(day: Day, watch: CanaryWatch) -> int:
    with structlog.testing.capture_logs() as lines:
        await watch.look_once()
    return sum(line["event"] == "canary_missing" and line["log_level"] == "error" for line in lines)


async def test_a_day_without_one_is_an_error_once() -> None:
    day = Day(NINE - timedelta(hours=1))
    watch = day.watch()
    told = []
    for minutes in (0, 134, 135, 136, 1574, 1575):  # its hour and 15 minutes are over at 10:15
        day.at = NINE + timedelta(minutes=minutes - 60)
        told.append(await complaints(day, watch))

    assert told == [0, 0, 1, 0, 0, 1]


async def test_a_service_that_was_not_there_in_that_hour_does_not_complain() -> None:
    day = Day(NINE - timedelta(days=3))
    await day.watch().look_once()
    day.metrics = Metrics()
    day.at = NINE + timedelta(hours=5)

    assert await complaints(day, day.watch()) == 0
