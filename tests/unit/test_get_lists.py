"""Lists of insights and alerts: by risk, by state, page by page."""

from datetime import timedelta
from typing import Any

import pytest

from iops import items, story
from iops.alert import AlertState
from tests.unit.builders import AT, an_alert, an_insight
from tests.unit.fakes import aws_error
from tests.unit.test_get_insights import Door, door

__all__ = ["door"]  # a fixture


async def test_insights_are_listed_newest_first_from_a_risk_on(door: Door) -> None:
    for number, risk_score in enumerate([95, 20, 60, 79.9, 80]):
        created_at = AT + timedelta(minutes=number)
        door.table.add(
            items.insight_item(an_insight(insight_id=f"{number}", risk_score=risk_score, created_at=created_at))
        )

    async def ids(**params: Any) -> list[str]:
        return [insight["insight_id"] for insight in (await door.get("/insights/recent", **params))["items"]]

    assert await ids() == ["4", "3", "2", "1", "0"]
    assert await ids(min_risk=80) == ["4", "0"]
    assert await ids(min_risk=79.9) == ["4", "3", "0"]
    assert (await door.get("/insights/3"))["risk_score"] == 79.9


async def test_insights_of_one_stream_go_on_page_by_page_between_its_alerts(door: Door) -> None:
    for number in range(9):
        at, risk_score = AT + timedelta(minutes=number), 60.0 + 10 * (number % 3)
        made = [
            an_insight(insight_id=f"{number}", risk_score=risk_score, created_at=at),
            an_insight("web-2:sda", insight_id=f"other {number}", created_at=at),
        ]
        door.table.add(*map(items.insight_item, made))
        door.table.add(items.alert_put(an_alert(alert_id=f"{number}", updated_at=at))["Item"])

    async def ids(**params: Any) -> list[str]:
        found: list[str] = []
        page: dict[str, Any] = {"cursor": None}
        while True:
            page = await door.get("/insights/recent", stream_id="web-1:nvme0n1", limit=2, **params)
            found += [insight["insight_id"] for insight in page["items"]]
            if page["cursor"] is None:
                return found
            params["cursor"] = page["cursor"]

    assert await ids() == [f"{number}" for number in range(8, -1, -1)]
    assert await ids(min_risk=80) == ["8", "5", "2"]
    assert await ids(min_risk="1e-300") == [f"{number}" for number in range(8, -1, -1)]
    assert (await door.get("/insights/recent", stream_id="web-9:sda"))["items"] == []
    assert (await door.get("/insights/recent", 400, stream_id=""))["code"] == "invalid_query"


async def test_words_are_looked_for_in_alerts_so_far_back_and_then_further(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "LOOK_ROWS", 2)  # in four reads
    for number in range(11):
        at, state = AT - timedelta(minutes=number), AlertState.RESOLVED if number == 10 else AlertState.FIRING
        door.table.add(items.alert_put(an_alert(f"web-{number}:sda", updated_at=at, state=state))["Item"])

    first = await door.get("/alerts", text="WEB-10:")
    second = await door.get("/alerts", text="WEB-10:", cursor=first["cursor"])

    assert (first["items"], first["searched_to_at"]) == ([], "2026-11-23T01:53:00Z")
    assert [alert["stream_id"] for alert in second["items"]] == ["web-10:sda"]
    assert (second["cursor"], second["searched_to_at"]) == (None, None)
    assert (await door.get("/alerts", text="web-10:", state="firing", cursor=first["cursor"]))["items"] == []
    some = await door.get("/alerts", text="stall", limit=3)
    assert [alert["stream_id"] for alert in some["items"]] == ["web-0:sda", "web-1:sda", "web-2:sda"]
    assert some["searched_to_at"] == "2026-11-23T01:58:00Z"


@pytest.mark.parametrize("path", ["/streams", "/insights/recent", "/alerts"])
@pytest.mark.parametrize(
    "params", [{"cursor": "x"}, {"cursor": "OTk5 x"}, {"limit": 0}, {"limit": 201}, {"cursor": "x" * 2_001}]
)
async def test_a_list_refuses_what_it_cannot_go_on_from(door: Door, path: str, params: dict[str, Any]) -> None:
    assert (await door.get(path, 400, **params))["code"] in ("invalid_cursor", "invalid_query")


@pytest.mark.parametrize("min_risk", ["nan", "inf", "-1", "101"])
async def test_a_risk_that_is_none_is_a_400(door: Door, min_risk: str) -> None:
    await door.get("/insights/recent", 400, min_risk=min_risk)


async def test_the_smallest_risk_is_a_number_that_dynamodb_knows(door: Door) -> None:
    asked: list[Any] = []
    query = door.table.query

    async def noting(**request: Any) -> Any:
        asked.append(request["ExpressionAttributeValues"].get(":min"))
        return await query(**request)

    door.table.query = noting  # type: ignore[method-assign]
    await door.get("/insights/recent", min_risk="1e-300")

    assert all(value is None or float(value["N"]) == 0 or float(value["N"]) >= 1e-130 for value in asked)


async def test_alerts_are_listed_by_state(door: Door) -> None:
    for number, state in enumerate([AlertState.FIRING, AlertState.RESOLVED, AlertState.FIRING]):
        alert = an_alert(alert_id=f"{number}", state=state, updated_at=AT + timedelta(minutes=number))
        door.table.add(items.alert_put(alert)["Item"])

    firing = await door.get("/alerts", state="firing")
    assert [alert["alert_id"] for alert in firing["items"]] == ["2", "0"]
    assert len((await door.get("/alerts"))["items"]) == 3
    assert (await door.get("/alerts/1"))["state"] == "resolved"
    await door.get("/alerts", 400, state="sleeping")


async def test_a_list_goes_on_page_by_page(door: Door) -> None:
    for number in range(7):
        door.table.add(
            items.insight_item(an_insight(insight_id=f"{number}", created_at=AT + timedelta(minutes=number)))
        )

    listed: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = await door.get("/insights/recent", **params)
        listed += [insight["insight_id"] for insight in page["items"]]
        if page["cursor"] is None:
            break
        params["cursor"] = page["cursor"]

    assert listed == ["6", "5", "4", "3", "2", "1", "0"]


async def test_the_table_away_is_a_503(door: Door) -> None:
    door.table.failures["GetItem"].extend([aws_error("ThrottlingException")] * 4)

    assert (await door.get("/alerts/1", 503))["code"] == "table_unavailable"


@pytest.mark.parametrize("path", ["/streams", "/insights/recent", "/alerts"])
async def test_a_row_that_nobody_can_read_hides_no_other(door: Door, path: str) -> None:
    good = {
        "/streams": items.key_of("web-1:sda", "stream") | {"peer_group": {"S": "web-1"}, "labels": {"S": "{}"}},
        "/insights/recent": items.insight_item(an_insight()),
        "/alerts": items.alert_put(an_alert())["Item"],
    }[path]
    good = good | {"first_seen": {"N": "0"}, "timestamp": {"N": "5"}}
    bad = good | {"entity_id": {"S": "bad"}, "doc": {"S": "{}"}, "labels": {"S": "{"}}
    door.table.add(good, bad)

    assert len((await door.get(path))["items"]) == 1
