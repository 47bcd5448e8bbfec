"""What people were told of an alert can be read afterwards, word for word, with who took it and who did not yet."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.alert import Event, EventKind
from iops.observability import Metrics
from services.alerts import episode
from services.alerts.deliver import Courier, CourierMetrics
from services.alerts.docket import Docket
from services.alerts.event_bus import BusTarget
from services.alerts.routes import Alerts
from tests.unit import alerting
from tests.unit.alerting import Desk
from tests.unit.builders import AT, an_insight, clock_at
from tests.unit.fakes import FakeBus, aws_error
from tests.unit.routed import an_app

TARGETS = ["bus", "team"]  # nobody carries anything to the team's webhook here


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(alerting, "TARGETS", TARGETS)
    return Desk()


class Post:
    """The bus with its courier."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.bus = desk, FakeBus()
        target, counts = BusTarget(self.bus.bus()), CourierMetrics(Metrics())
        ways: dict[str, Any] = {"owner": "a", "poll_s": 1, "lease_s": 30, "public_url": "http://iops"}
        self.courier = Courier(desk.table.table(), target, lambda: desk.now, counts, **ways)

    async def carry(self) -> None:
        """All there is for the bus: what follows something waits a second for it."""
        for _ in range(3):
            await self.courier.deliver_once()
            self.desk.later(seconds=2)

    def mailed(self) -> list[list[str]]:
        """The lines of each mail as the bus took them."""
        mails = [json.loads(entry["Detail"])["mail"] for entry in self.bus.entries]
        return [[mail[f"line_{number}"] for number in range(1, 10)] for mail in mails]


async def mails_of(desk: Desk, alert_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await desk.get(f"/alerts/{alert_id}/mails"))["items"]
    return found


async def test_a_mail_is_kept_as_it_went_out_though_the_alert_moved_on(desk: Desk) -> None:
    post, alert_id = Post(desk), await desk.open_one(title='"sda" <is> \\ ill')
    await post.carry()
    desk.later(minutes=1)
    await desk.post(f"/alerts/{alert_id}/resolve")
    await post.carry()

    resolved, opened = await mails_of(desk, alert_id)

    assert (opened["kind"], resolved["kind"]) == ("opened", "resolved")
    assert [opened["lines"], resolved["lines"]] == post.mailed()
    assert opened["lines"][0] == "'sda' (is) / ill"
    assert opened["lines"][8] == f"http://iops/ui/alerts/{alert_id}"
    assert opened["at"] == "2026-11-23T02:00:00Z"


async def test_it_says_who_took_it_and_who_did_not_yet(desk: Desk) -> None:
    post, alert_id = Post(desk), await desk.open_one()
    (waiting,) = await mails_of(desk, alert_id)
    desk.later(seconds=2)
    await post.carry()
    (taken,) = await mails_of(desk, alert_id)

    assert (waiting["lines"], waiting["taken"], waiting["waiting_for"]) == ([], [], ["bus", "team"])
    assert (taken["taken"], taken["waiting_for"]) == ([{"target": "bus", "at": "2026-11-23T02:00:02Z"}], ["team"])
    assert taken["lines"][0] == "web-1:sda has stalled"


async def test_what_waits_behind_what_waits_is_listed_too(desk: Desk) -> None:
    alert_id = await desk.open_one()
    await desk.post(f"/alerts/{alert_id}/resolve")

    assert [mail["kind"] for mail in await mails_of(desk, alert_id)] == ["resolved", "opened"]


async def test_all_alerts_of_a_page_tell_of_the_same_mail(desk: Desk) -> None:
    opened = await desk.open(*(an_insight(f"web-1:{disk}", peer_group="web-1") for disk in ("sda", "sdb")))
    await Post(desk).carry()

    (of_one,), (of_other,) = [await mails_of(desk, alert.alert_id) for alert in opened]

    assert of_one == of_other
    assert of_one["lines"][0] == "2 streams of web-1: stall"


async def test_an_alert_that_came_back_keeps_what_was_told_before(desk: Desk) -> None:
    post, alert_id = Post(desk), await desk.open_one()
    await desk.post(f"/alerts/{alert_id}/resolve")
    desk.later(hours=2)
    docket = Docket(desk.table.table(), TARGETS, now=desk.now)
    before = await docket.alert(alert_id)
    step = episode.take(an_insight("web-1:sda"), before, silenced_until=None, now=desk.now)
    assert step is not None
    await docket.take(step)
    await docket.commit()
    await post.carry()

    assert [mail["kind"] for mail in await mails_of(desk, alert_id)] == ["opened", "resolved", "opened"]


async def test_a_note_that_was_not_stored_is_stored_before_the_row_goes(desk: Desk) -> None:
    post, alert_id = Post(desk), await desk.open_one()
    desk.table.failures["PutItem"].append(aws_error("ThrottlingException"))
    with pytest.raises(Exception, match="PutItem"):
        await post.courier.deliver_once()

    await post.courier.deliver_once()

    (mail,) = await mails_of(desk, alert_id)
    assert (len(post.mailed()), [mail["lines"]]) == (1, post.mailed())


async def test_a_note_that_cannot_be_read_hides_no_other(desk: Desk) -> None:
    post, alert_id = Post(desk), await desk.open_one()
    await desk.post(f"/alerts/{alert_id}/resolve")
    await post.carry()
    first = min(desk.table.of_type("told"), key=lambda row: row["entity_type"]["S"])
    first["doc"] = {"S": "{"}
    desk.table.add(first)

    resolved, opened = await mails_of(desk, alert_id)

    assert len(resolved["lines"]) == 9
    assert (opened["lines"], opened["waiting_for"]) == ([], ["team"])


async def test_what_is_told_of_no_page_is_not_kept(desk: Desk) -> None:
    canary = Event(event_id="01C", kind=EventKind.CANARY, at=AT)
    desk.table.add(items.delivery_item(canary, "bus", not_before=AT))

    await Post(desk).carry()

    assert desk.table.of_type("told") == []


async def test_an_alert_of_which_nobody_was_told_has_no_mails(desk: Desk) -> None:
    an_app().state.alerts = Alerts(desk.table.table(), clock_at(AT), TARGETS)
    silenced = episode.take(an_insight("web-1:sda"), None, silenced_until=AT + timedelta(hours=1), now=AT)
    assert silenced is not None
    desk.table.add(items.alert_put(silenced.alert)["Item"])

    assert await mails_of(desk, silenced.alert.alert_id) == []
    await desk.get("/alerts/feedfeedfeedfeed/mails", 404)
