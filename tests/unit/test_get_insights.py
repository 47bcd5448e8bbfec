"""What insights and alerts answer to people, whatever was stored and whatever is asked."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from iops import items
from iops.observability import Metrics
from iops.rollup import roll_up as roll_up_window
from iops.telemetry import Window, window_from_samples
from services.alerts import routes as alerts_routes
from services.insights import routes as insights_routes
from services.insights.rollup import Rollups
from tests.unit.builders import AT, AT_MS, DISK, a_batch, a_sample, a_window, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.routed import an_app


class Door:
    """The app on a fake table of its own."""

    def __init__(self) -> None:
        self.table = FakeTable()
        an_app().state.insights = insights_routes.Insights(self.table.table(), clock_at())
        an_app().state.alerts = alerts_routes.Alerts(self.table.table(), clock_at(), ["bus"])
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


async def roll_up(door: Door) -> None:
    """As the worker does once an hour."""
    await Rollups(door.table.table(), clock_at(AT + timedelta(minutes=5)), Metrics(), salt=b"s").roll_stream(DISK)


def drop_chunks(door: Door) -> None:
    """As happens after 7 days."""
    for row in door.table.of_type("chunk"):
        del door.table.rows[(DISK, row["entity_type"]["S"])]


async def test_six_hours_are_samples_and_more_is_minutes(door: Door) -> None:
    await door.add_stream(DISK, a_window(60, end=AT))

    short = await door.get(f"/streams/{DISK}/samples?from=2026-11-22T20:00:00Z&to=2026-11-23T02:00:00Z")
    longer = await door.get(f"/streams/{DISK}/samples?from=2026-11-22T19:59:59Z&to=2026-11-23T02:00:00Z")

    assert (short["resolution_s"], short["stored"]) == (None, 60)
    assert (short["items"][0]["samples"], short["items"][0]["max"]) == (1, None)
    assert (longer["resolution_s"], longer["stored"]) == (60, 2)
    assert [point["samples"] for point in longer["items"]] == [59, 1]


async def test_the_six_hours_and_the_90_days_are_counted_until_now_where_no_end_is_given(door: Door) -> None:
    await door.add_stream()

    assert (await door.get(f"/streams/{DISK}/samples?from=2026-11-22T20:00:00Z"))["resolution_s"] is None
    assert (await door.get(f"/streams/{DISK}/samples?from=2026-08-25T02:00:00Z"))["resolution_s"] == 60


async def test_a_minute_has_means_where_a_sample_has_values_and_the_maxima_beside_them(door: Door) -> None:
    window = a_window(60, end=AT - timedelta(seconds=1), interval_s=1.0, queue_depth=1.0, io_errors=1)
    window.columns["queue_depth"][7] = 61.0
    await door.add_stream(DISK, window)

    (point,) = (await door.get(f"/streams/{DISK}/samples?from=2026-11-22T00:00:00Z"))["items"]

    assert (point["at"], point["interval_s"], point["samples"]) == ("2026-11-23T01:59:59Z", 60.0, 60)
    assert (point["queue_depth"], point["max"]["queue_depth"]) == (2.0, 61.0)  # (59 * 1 + 61) / 60
    assert (point["io_errors"], point["max"]["io_errors"]) == (60, 1)
    assert (point["write_await_ms"], point["max"]["write_await_ms"]) == (None, None)
    assert (point["latency_p99_ms"], point["max"]["latency_p99_ms"]) == (None, None)


async def test_what_is_older_than_its_chunks_is_answered_from_rollups(door: Door) -> None:
    for hours in (0, 1, 5):
        await door.add_stream(DISK, a_window(600, end=AT - timedelta(hours=hours, seconds=1)))
    asked = f"/streams/{DISK}/samples?from=2026-11-22T02:00:00Z&to=2026-11-23T02:00:00Z"
    before = await door.get(asked)
    await roll_up(door)
    assert await door.get(asked) == before, "rolled up for the answer, or before it: the same"

    drop_chunks(door)
    assert await door.get(asked) == before
    assert before["stored"] == 30

    an_app().state.insights = insights_routes.Insights(door.table.table(), clock_at(AT + timedelta(days=8)))
    old = await door.get(f"/streams/{DISK}/samples?from=2026-11-23T01:55:00Z&to=2026-11-23T02:00:00Z")
    assert (old["resolution_s"], old["stored"]) == (60, 5)


async def test_of_90_days_the_worst_second_is_still_seen(door: Door) -> None:
    door.table.page_limit = 5
    for day in range(0, 90, 9):
        window = a_window(600, end=AT - timedelta(days=day, seconds=1))
        if day == 63:
            window.columns["read_await_ms"][300] = 777.0
        minutes = roll_up_window(window)
        await door.table.table().update(items.rollup_update(DISK, minutes))
    await door.add_stream(DISK)

    page = await door.get(f"/streams/{DISK}/samples?from=2026-08-25T02:00:00Z&max_points=20")

    assert page["stored"] == 100
    assert len(page["items"]) <= 20
    assert max(point["max"]["read_await_ms"] for point in page["items"]) == 777.0


async def test_a_damaged_rollup_is_an_error_that_names_its_key(door: Door) -> None:
    await door.add_stream(DISK, a_window(60, end=AT - timedelta(seconds=1)))
    await roll_up(door)
    (row,) = door.table.of_type("rollup")
    door.table.add(row | {"data": {"B": b"\x01damaged"}})

    problem = await door.get(f"/streams/{DISK}/samples?from=2026-11-22T02:00:00Z", 500)

    assert problem["code"] == "damaged_rollup"
    assert f"{DISK} rollup#" in problem["detail"]


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-11-23T02:00:01Z", "to": "2026-11-23T02:00:00Z"},
        {"from": "2026-08-25T01:59:59Z"},
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
