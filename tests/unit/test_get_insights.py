"""What insights and alerts answer to people, whatever was stored and whatever is asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from iops import items
from iops.insight import AlertState
from iops.observability import Metrics
from iops.telemetry import Window, window_from_samples
from iops.web import Health, create_service
from services.alerts import routes as alerts_routes
from services.insights import routes as insights_routes
from tests.unit.builders import AT, AT_MS, DISK, a_batch, a_sample, a_window, an_alert, an_insight, clock_at
from tests.unit.fakes import FakeTable, aws_error


@asynccontextmanager
async def nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


@cache
def an_app() -> FastAPI:
    """Both services' routes; made once, because that takes longer than any test here."""
    routers = [insights_routes.router, alerts_routes.router]
    return create_service("test", routers=routers, lifespan=nothing_to_open, metrics=Metrics(), health=Health())


class Door:
    """The app on a fake table of its own."""

    def __init__(self) -> None:
        self.table = FakeTable()
        an_app().state.insights = insights_routes.Insights(self.table.table(), clock_at())
        an_app().state.alerts = alerts_routes.Alerts(self.table.table())
        transport = httpx.ASGITransport(an_app())
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False)

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        answer = await self.client.get(path, params=params or None)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def add_stream(self, stream_id: str = DISK, *windows: Window) -> None:
        await self.table.table().update(items.stream_seen_update(a_batch(stream_id), now_ms=AT_MS))
        for window in windows:
            self.table.add(*items.chunk_items(stream_id, window))


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with door.client:
        yield door


async def test_streams_are_listed_with_their_latest_sample(door: Door) -> None:
    await door.add_stream(DISK, a_window(60, end=AT - timedelta(seconds=1)))
    await door.add_stream("web-2:sda")

    listed = {stream["stream_id"]: stream for stream in (await door.get("/streams"))["items"]}

    assert listed[DISK]["latest"]["at"] == "2026-11-23T01:59:59Z"
    assert listed[DISK]["latest"]["read_await_ms"] == 1.0
    assert (listed["web-2:sda"]["latest"], listed["web-2:sda"]["risk_score"]) == (None, None)
    assert (await door.get(f"/streams/{DISK}")) == listed[DISK]


HARD_TO_SHOW = [
    a_sample(interval_s=0.001),
    a_sample(read_iops=0.004, read_await_ms=0.0004),
    a_sample(read_iops=0.004, read_await_ms=0.0),
    a_sample(utilization_ratio=0.99999, queue_depth=1e6, read_bytes_s=1e12, in_flight=1_000_000, io_errors=10**9),
]


@pytest.mark.parametrize("sample", HARD_TO_SHOW, ids=range(4))
async def test_whatever_was_accepted_can_be_shown_and_hides_no_other_stream(door: Door, sample: Any) -> None:
    await door.add_stream(DISK, window_from_samples([sample]))
    await door.add_stream("web-2:sda", a_window(1))

    assert len((await door.get("/streams"))["items"]) == 2
    assert len((await door.get(f"/streams/{DISK}/samples", to="2026-11-23T02:00:00Z"))["items"]) == 1


async def test_a_damaged_chunk_does_not_hide_its_stream(door: Door) -> None:
    await door.add_stream(DISK, a_window(1))
    (row,) = door.table.of_type("chunk")
    door.table.add(row | {"data": {"B": b"\x01damaged"}})

    assert (await door.get("/streams"))["items"][0]["latest"] is None


async def test_samples_of_a_range_are_those_in_it_both_ends_included(door: Door) -> None:
    await door.add_stream(DISK, *(a_window(60, end=AT - timedelta(minutes=minute)) for minute in range(5)))

    page = await door.get(f"/streams/{DISK}/samples?from=2026-11-23T01:58:00Z&to=2026-11-23T01:59:30Z")

    assert (page["stored"], len(page["items"])) == (91, 91)
    assert (page["items"][0]["at"], page["items"][-1]["at"]) == ("2026-11-23T01:58:00Z", "2026-11-23T01:59:30Z")


async def test_of_more_samples_than_asked_for_the_slowest_stay(door: Door) -> None:
    await door.add_stream(DISK, a_window(300, end=AT - timedelta(seconds=301)), a_window(1, read_await_ms=77.0))

    page = await door.get(f"/streams/{DISK}/samples", max_points=10)

    assert page["stored"] == 301
    assert len(page["items"]) <= 10
    assert 77.0 in [sample["read_await_ms"] for sample in page["items"]]


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-11-23T02:00:01Z", "to": "2026-11-23T02:00:00Z"},
        {"from": "2026-11-15T02:00:00Z"},
        {"from": "0001-01-01T00:00:00Z"},
        {"to": "0001-01-01T00:00:00Z"},
        {"to": "9999-12-31T23:59:59Z"},
        {"from": "0001-01-01T00:00:00+14:00", "to": "0001-01-02T00:00:00Z"},
        {"from": "1969-12-31T00:00:00Z", "to": "1970-01-01T00:00:00Z"},
        {"from": "2026-11-23T02:00:00"},
        {"from": "yesterday"},
        {"max_points": 0},
        {"max_points": "many"},
    ],
)
async def test_a_range_that_makes_no_sense_is_a_400(door: Door, params: dict[str, Any]) -> None:
    await door.add_stream()

    assert (await door.get(f"/streams/{DISK}/samples", 400, **params))["code"] == "invalid_query"


@pytest.mark.parametrize(
    "path",
    ["/streams/nobody", "/streams/nobody/samples", "/insights/01", "/alerts/01", "/streams/group%23web-1", "/x"],
)
async def test_what_is_not_there_is_a_404(door: Door, path: str) -> None:
    assert (await door.get(path, 404))["code"] == "not_found"


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
