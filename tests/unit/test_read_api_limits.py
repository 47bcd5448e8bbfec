"""What the read API refuses: in Prometheus's shape, with a sentence, and before it has cost anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.insights.prometheus import ask, matrix, over_time, read
from tests.unit.builders import AT, a_window
from tests.unit.read_apis import Door, a_door

NOW = AT.timestamp()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door() as door:
        yield door


@pytest.mark.parametrize(
    ("path", "parameters", "said"),
    [
        ("query", {}, "query: it is needed"),
        ("query", {"query": ""}, "query: it is needed"),
        *(
            ("query", {"query": "1", "time": time}, "time:")
            for time in ("NaN", "inf", "-1", "1e11", "yesterday", "2026-11-23", "2026-11-23T02:00:00", "9" * 400)
        ),
        ("query", {"query": "1", "timeout": "soon"}, "step:"),
        ("query", {"query": "1", "timeout": "-inf"}, "step:"),
        ("query_range", {"query": "1", "start": NOW, "end": NOW}, "step: it is needed"),
        ("query_range", {"query": "1", "start": NOW, "end": NOW - 1, "step": 1}, "end:"),
        *(
            ("query_range", {"query": "1", "start": NOW, "end": NOW, "step": step}, "step:")
            for step in ("0", "-5", "NaN", "inf", "-inf", "0s", "1e-9", "5 m", "m")
        ),
        ("series", {}, "match[]: it is needed"),
        ("series", {"match[]": "sum(x)"}, "match[]:"),
        ("labels", {"match[]": "x{"}, "query:"),
        ("labels", {"limit": "-1"}, "limit:"),
        ("label/a/values", {"limit": "²"}, "limit:"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_cannot_be_read_is_a_400(
    door: Door, method: str, path: str, parameters: dict[str, Any], said: str
) -> None:
    if path.startswith("label/"):
        method = "GET"
    answer = await door.ask(path, method=method, status=400, **parameters)

    assert (answer["status"], answer["errorType"]) == ("error", "bad_data")
    assert answer["error"].startswith(said)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"query": "x + y", "start": NOW, "end": NOW, "step": 1}, "query: + at 3"),
        ({"query": "1", "start": NOW - 11_000, "end": NOW, "step": 1}, "step: more than 11,000 points"),
        ({"query": "1", "start": 0, "end": NOW, "step": "30d"}, "start: at most 90 days"),
        ({"query": "x" * 10_001, "start": NOW, "end": NOW, "step": 1}, "query: it is longer than 10000"),
    ],
)
async def test_what_is_too_much_is_a_422(door: Door, parameters: dict[str, Any], said: str) -> None:
    answer = await door.ask("query_range", status=422, **parameters)

    assert answer["errorType"] == "execution"
    assert answer["error"].startswith(said)


async def test_eleven_thousand_points_are_served(door: Door) -> None:
    found = await door.ask("query_range", query="1", start=NOW - 10_999, end=NOW, step=1)

    assert len(found["result"][0]["values"]) == 11_000


async def test_more_streams_or_hours_than_may_be_read_are_refused_before_a_read(door: Door) -> None:
    for number in range(201):
        await door.add(f"web-{number}:sda", risk_score=50.0)
    await door.fleet.look_once()
    door.table.calls.clear()

    answer = await door.ask("query", query="iops_stream_queue_depth", time=NOW, status=422)
    assert "201 streams, and 200 are the limit" in answer["error"]
    some = 'iops_stream_queue_depth{stream=~"web-1..:sda"}'
    answer = await door.ask("query_range", query=some, start=NOW - 20 * 86_400, end=NOW, step=3600, status=422)
    assert "482 hours of 100 streams, and 10,000 hours of all are the limit" in answer["error"]
    assert door.table.calls == ["Query"] * 4, "the fleet's own looks"
    assert len(await door.values("iops_stream_risk_score")) == 201


async def test_memory_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.add("web-1:sda", a_window(60), risk_score=50.0)
    await door.add("web-2:sda", a_window(60), risk_score=50.0)

    async def refused(query: str, **parameters: Any) -> str:
        asked: dict[str, Any] = {"query": query, "start": NOW - 600, "end": NOW, "step": 1} | parameters
        return str((await door.ask("query_range", status=422, **asked))["error"])

    with monkeypatch.context() as patch:
        patch.setattr(read, "SAMPLES_LIMIT", 119)
        assert "more than 119 samples" in await refused("iops_stream_queue_depth")
    with monkeypatch.context() as patch:
        patch.setattr(matrix, "POINTS_LIMIT", 1_201)
        assert "2 series of 601 points are more than 1,201" in await refused("iops_stream_risk_score")
    with monkeypatch.context() as patch:
        patch.setattr(over_time, "WORK_LIMIT", 3_000)
        assert "so many long ranges" in await refused("avg_over_time(iops_stream_queue_depth[5m])")
    with monkeypatch.context() as patch:
        patch.setattr(ask, "LISTED_LIMIT", 1)
        answer = await door.ask("series", status=422, match="iops_stream_queue_depth")
        assert answer["error"].startswith("match[]: it fits more than 1 series")


@pytest.mark.parametrize("path", ["series", "labels", "label/stream/values"])
async def test_more_selectors_than_a_person_writes_are_refused(door: Door, path: str) -> None:
    await door.ask(path, match=["iops_stream_risk_score"] * 10)
    answer = await door.ask(path, match=["iops_stream_risk_score"] * 11, status=422)

    assert answer["error"].startswith("match[]: 11 are too many, 10 the limit")


async def test_ranges_outside_what_is_kept_are_empty(door: Door) -> None:
    await door.add("web-1:sda", a_window(60), risk_score=50.0)

    for query in ("iops_stream_queue_depth", "iops_stream_risk_score", "rate(iops_stream_read_iops[90d])"):
        for at in (0, 1, NOW - 90 * 86_400, 9_999_999_999):
            assert (await door.ask("query", query=query, time=at))["result"] == []
    for offset in ("100y", "-100y", "200d", "-1d"):
        assert await door.values(f"iops_stream_queue_depth offset {offset}") == {}


async def test_a_query_that_takes_too_long_is_told_so(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.add("web-1:sda", a_window(60))
    await door.fleet.look_once()

    async def never(**_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(door.table, "query", never)
    asked: dict[str, Any] = {"query": "iops_stream_queue_depth", "time": NOW, "timeout": "50ms"}
    answer = await door.client.get("/api/v1/query", params=asked)

    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"query=%ff%fe&x=" + b"\xff"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"&".join(b"a=1" for _ in range(101))),
    ],
)
async def test_a_body_that_is_no_form_is_a_400(door: Door, headers: dict[str, str], body: bytes) -> None:
    answer = await door.client.post("/api/v1/query", headers=headers, content=body)

    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


async def test_a_megabyte_of_query_is_refused_at_the_door(door: Door) -> None:
    answer = await door.client.post("/api/v1/query", data={"query": "x" * 1_000_000})

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_fleet_that_is_not_read_yet_asks_to_come_again(door: Door) -> None:
    answer = await door.client.get("/api/v1/query", params={"query": "iops_stream_risk_score"})

    assert (answer.status_code, answer.json()["errorType"]) == (503, "unavailable")


async def test_grafanas_health_check_is_answered(door: Door) -> None:
    assert (await door.ask("query", method="POST", query="1+1", time=NOW)) == {
        "resultType": "scalar",
        "result": [NOW, "2"],
    }
    assert (await door.ask("query", query="1+1"))["result"][0] == pytest.approx(
        NOW, abs=timedelta(days=1).total_seconds()
    )
