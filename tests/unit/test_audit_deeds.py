"""What the audit has after a change: one row, stored with the change or not at all."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from iops import items
from iops.audit import Deed
from services.alerts import quieten
from tests.unit.alerting import Desk
from tests.unit.builders import DISK, an_insight
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.test_get_insights import Door, door

__all__ = ["door"]  # a fixture

KEY = f"iops_{'a' * 16}_{'s3cr3t' * 7}x"
HOSTILE = f"a restore\x1b[31m\nof {KEY}\u202e"
HARMLESS = f"a restore[31m of iops_{'a' * 16}_[hidden]"
HOUR: dict[str, Any] = {"duration_s": 3_600, "reason": "x"}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.client:
        yield desk


def deeds(table: FakeTable) -> list[Deed]:
    found = [items.item_to_deed(row) for row in table.of_type("audit")]
    assert "s3cr3t" not in str(table.of_type("audit"))
    return found


@pytest.mark.parametrize("deed", ["acknowledge", "silence", "resolve"])
async def test_a_deed_on_an_alert_is_one_row_that_says_who_from_where_and_why(desk: Desk, deed: str) -> None:
    alert_id = await desk.open_one()
    body = {"reason": HOSTILE, **({"until": "2026-11-23T04:00:00Z"} if deed == "silence" else {})}

    answers = [
        await desk.client.post(f"/alerts/{alert_id}/{deed}", json=body, headers={"X-Request-Id": "r-12345678"})
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    (row,) = deeds(desk.table)
    assert (row.kind, row.about) == (f"alert_{deed}d" if deed != "acknowledge" else "alert_acknowledged", alert_id)
    assert (row.by, row.role, row.address, row.request_id) == ("127.0.0.1", "admin", "127.0.0.1", "r-12345678")
    told = {"stream_id": "web-1:sda", "prediction_type": "stall", "was": "firing", "reason": HARMLESS}
    assert row.detail == told | ({"until": "2026-11-23T04:00:00+00:00"} if deed == "silence" else {})


async def test_a_row_ends_after_a_year(desk: Desk) -> None:
    await desk.post(f"/alerts/{await desk.open_one()}/acknowledge")

    (row,) = desk.table.of_type("audit")

    at_s = int(row["timestamp"]["N"]) // 1000
    assert int(row["ttl"]["N"]) - at_s == 365 * 86_400


async def test_a_deed_that_is_refused_is_no_row(desk: Desk) -> None:
    alert_id = await desk.open_one()
    await desk.post(f"/alerts/{alert_id}/resolve")

    await desk.post(f"/alerts/{alert_id}/acknowledge", 422)
    await desk.post("/alerts/nothing/acknowledge", 404)

    assert [row.kind for row in deeds(desk.table)] == ["alert_resolved"]


async def test_a_silence_and_its_end_are_a_row_each_whatever_becomes_of_the_alerts(desk: Desk) -> None:
    for disk in "ab":
        await desk.open_one(f"web-1:sd{disk}")
    body = HOUR | {"reason": HOSTILE}

    made = await desk.post("/alerts/silences", 201, scope="peer_group", value="web-1", **body)
    for _ in range(2):
        await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}")

    begun, ended = deeds(desk.table)
    told = {"scope": "peer_group", "value": "web-1", "begins_at": "2026-11-23T02:00:00+00:00", "reason": HARMLESS}
    assert (begun.kind, begun.about, ended.kind) == ("silence_made", made["silence_id"], "silence_ended")
    assert begun.detail == told | {"ends_at": "2026-11-23T03:00:00+00:00", "alerts_to_silence": "2"}
    end = {"ends_at": "2026-11-23T02:00:00+00:00", "was_to_end_at": "2026-11-23T03:00:00+00:00"}
    assert ended.detail == told | end


async def test_who_ends_a_silence_again_for_alerts_that_were_missed_is_written_down(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.open_one()
    made = await desk.post("/alerts/silences", 201, scope="stream", value="web-1:sda", **HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(quieten, "DEADLINE_S", 0.0)
        assert (await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}"))["alerts_missed"] == 1

    assert (await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}"))["alerts_changed"] == 1

    assert [row.detail.get("alerts_missed_before") for row in deeds(desk.table)] == [None, None, "1"]


async def test_a_silence_that_cannot_be_written_down_is_not_made_and_not_ended(desk: Desk) -> None:
    alert_id = await desk.open_one()
    scope = {"scope": "stream", "value": "web-1:sda"}
    desk.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    assert (await desk.post("/alerts/silences", 503, **scope, **HOUR))["code"] == "table_unavailable"

    assert (desk.table.of_type("silence"), deeds(desk.table), await desk.states()) == ([], [], {"web-1:sda": "firing"})
    made = await desk.post("/alerts/silences", 201, **scope, **HOUR)
    desk.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))
    await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}", 503)
    assert (await desk.get(f"/alerts/{alert_id}"))["state"] == "silenced"
    assert len((await desk.get("/alerts/silences"))["items"]) == len(deeds(desk.table)) == 1


@pytest.mark.parametrize("path", ["acknowledge", "silence", "resolve"])
async def test_an_alert_stays_as_it_is_where_the_row_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    alert_id = await desk.open_one()
    refuse_audit_rows(desk.table, monkeypatch)

    body = HOUR if path == "silence" else {}
    assert (await desk.post(f"/alerts/{alert_id}/{path}", 503, **body))["code"] == "table_unavailable"

    alert = await desk.get(f"/alerts/{alert_id}")
    assert (alert["state"], alert["version"], desk.events(), deeds(desk.table)) == ("firing", 1, ["opened"], [])


async def test_feedback_is_one_row_also_where_it_is_sent_twice(door: Door) -> None:
    await door.add_stream()
    insight = an_insight(DISK)
    door.table.add(items.insight_item(insight))

    for _ in range(2):
        body = {"verdict": "dismiss", "text": HOSTILE}
        assert (await door.client.post(f"/insights/{insight.insight_id}/feedback", json=body)).status_code == 201

    (row,) = deeds(door.table)
    assert (row.kind, row.about, row.by) == ("feedback_given", insight.insight_id, "127.0.0.1")
    assert row.detail == {"stream_id": DISK, "verdict": "dismiss", "text": HARMLESS}


async def test_feedback_is_not_taken_where_the_row_is_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.add_stream()
    insight = an_insight(DISK)
    door.table.add(items.insight_item(insight))
    refuse_audit_rows(door.table, monkeypatch)

    answer = await door.client.post(f"/insights/{insight.insight_id}/feedback", json={"verdict": "dismiss"})

    assert answer.status_code == 503
    assert (door.table.of_type("feedback"), door.table.of_type("word"), deeds(door.table)) == ([], [], [])
    assert (await door.get(f"/streams/{DISK}"))["quiet"] == []


def refuse_audit_rows(table: FakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table takes everything else."""
    change = table._change

    def refuse(write: Any) -> None:
        if write.get("Put", {}).get("Item", {}).get("entity_type") == {"S": "audit"}:
            raise aws_error("ThrottlingError")
        change(write)

    monkeypatch.setattr(table, "_change", refuse)
