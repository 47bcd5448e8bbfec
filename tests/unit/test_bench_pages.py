"""What the bench of the dashboard fills a table with, what it asks for, and how it judges."""

import random
from collections import Counter

import httpx
import pytest

from bench.bodies import fleet_of
from bench.browse import Answer, BenchFailed, ask, ask_twice, figures_of, fleet_questions, hear_news, stream_questions
from bench.fill import make_patterns, rows_of
from bench.pages import judge
from bench.weigh import weigh_files
from iops import items
from iops.alert import AlertState
from iops.items import Item
from iops.rollup import HOUR_MS
from ml.simulate import Stream
from tests.unit.builders import AT, AT_MS

FLEET = fleet_of(200, name="bench")


@pytest.fixture(scope="module")
def rows() -> list[Item]:
    """Of 200 streams that share two days."""
    return list(rows_of(FLEET, make_patterns(FLEET[:2], AT), AT))


def of(rows: list[Item], stream_id: str, prefix: str) -> list[Item]:
    keys = ({"S": stream_id}, prefix)
    return [row for row in rows if row["entity_id"] == keys[0] and row["entity_type"]["S"].startswith(prefix)]


def test_a_stream_has_a_day_of_rollups_that_end_where_its_chunks_go_on(rows: list[Item]) -> None:
    stream_id = FLEET[7].stream_id

    rollups = [items.item_to_rollup(row) for row in of(rows, stream_id, "rollup#")]
    windows = [items.item_to_window(row) for row in of(rows, stream_id, "chunk#")]

    hour_ms = AT_MS // HOUR_MS * HOUR_MS
    assert [rollup.at_ms[0] // HOUR_MS for rollup in rollups] == list(
        range(hour_ms // HOUR_MS - 24, hour_ms // HOUR_MS)
    )
    assert {len(rollup) for rollup in rollups} == {60}
    assert (windows[0].at_ms[0], AT_MS - windows[-1].at_ms[-1]) == (hour_ms - HOUR_MS, 2_000)
    assert {len(window) for window in windows} == {30}


def test_every_stream_has_its_row_its_place_in_a_group_and_what_is_usual(rows: list[Item]) -> None:
    kinds = Counter(row["entity_type"]["S"].partition("#")[0] for row in rows)
    streams = [items.item_to_stream(row) for row in rows if row["entity_type"]["S"] == "stream"]
    baseline = of(rows, FLEET[7].stream_id, "baseline")[0]

    assert (kinds["stream"], kinds["member"], kinds["baseline"], kinds["rollup"]) == (200, 200, 200, 4_800)
    assert sum(stream.is_warming_up for stream in streams) == 4
    assert items.item_to_baseline(baseline).minutes == 1_440
    assert items.item_to_profile(baseline) is not None


def test_one_stream_in_a_hundred_is_ill_and_has_its_insight(rows: list[Item]) -> None:
    ill = [
        stream
        for row in rows
        if row["entity_type"]["S"] == "stream" and ((stream := items.item_to_stream(row)).risk_score or 0) >= 60
    ]
    insights = {
        i.insight_id: i for row in rows if row["entity_type"]["S"] == "insight" for i in [items.item_to_insight(row)]
    }
    alerts = [items.item_to_alert(row) for row in rows if row["entity_type"]["S"] == "alert"]

    assert [stream.stream_id for stream in ill] == [FLEET[0].stream_id, FLEET[100].stream_id]
    assert [insights[stream.insight_id or ""].stream_id for stream in ill] == [stream.stream_id for stream in ill]
    assert all(alert.state is not AlertState.RESOLVED for alert in alerts)


def test_the_same_arguments_make_the_same_rows() -> None:
    once, again = (list(rows_of(FLEET[:4], make_patterns(FLEET[:1], AT), AT)) for _ in range(2))

    assert once == again


def test_a_fleet_is_asked_for_in_every_way_more_than_a_hundred_times() -> None:
    asked = fleet_questions(fleet_of(10_000, name="bench"), path="/", seed=1)

    assert Counter(kind for kind, _ in asked) == {
        "first pages": 4,
        "text": 22,
        "peer group": 20,
        "risk": 4,
        "state": 3,
        "deep pages": 60,
    }
    deep = [int(path.partition("page=")[2]) for kind, path in asked if kind == "deep pages"]
    assert (min(deep) >= 5, max(deep) <= 200) == (True, True)


def test_a_stream_is_asked_for_its_page_of_24_hours_and_then_for_what_is_new() -> None:
    (page, path), (renewal, newest) = stream_questions(FLEET[:1], lambda: AT)

    assert (page, renewal) == ("page", "renewal")
    assert path.endswith("?range=24h")
    assert newest.endswith("&step_s=300")


def client_of(**answers: httpx.Response) -> httpx.AsyncClient:
    """A client of a server that knows these paths."""

    def handler(request: httpx.Request) -> httpx.Response:
        return answers.get(request.url.path, httpx.Response(404, text="no such thing"))

    return httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://bench")


async def test_what_is_not_answered_with_200_ends_the_measurement() -> None:
    async with client_of() as client:
        with pytest.raises(BenchFailed, match="/gone answered 404: no such thing"):
            await ask(client, "/gone", "page", is_first=True)


async def test_every_page_is_asked_for_twice() -> None:
    async with client_of(**{"/a": httpx.Response(200, text="aa"), "/b": httpx.Response(200, text="b")}) as client:
        answers = await ask_twice(client, [("page", "/a"), ("data", "/b")])

    assert [(answer.kind, answer.is_first, answer.size_bytes) for answer in answers] == [
        ("page", True, 2),
        ("page", False, 2),
        ("data", True, 1),
        ("data", False, 1),
    ]


def test_first_looks_and_kinds_have_percentiles_of_their_own() -> None:
    answers = [Answer("page", index == 0, float(10 * (index + 1)), 1, 1) for index in range(4)]

    figures = figures_of([*answers, Answer("data", is_first=True, took_ms=500.0, wire_bytes=1, size_bytes=1)])

    assert figures["all"] == {"count": 5, "p50_ms": 30.0, "p95_ms": 500.0, "p99_ms": 500.0, "max_ms": 500.0}
    assert figures["first look"]["p50_ms"] == 10.0
    assert figures["page"]["max_ms"] == 40.0


async def test_a_page_weighs_what_its_tags_and_their_modules_load() -> None:
    page = '<link rel="stylesheet" href="/static/1/a.css"><script src="/static/1/app.js" type="module"></script>'
    files = {
        "/static/1/a.css": "p { background: url(dots.svg), url(data:x) }",
        "/static/1/app.js": 'import { b } from "./b.js"; import "./b.js";',
        "/static/1/b.js": "1",
        "/static/1/dots.svg": "<svg/>",
    }
    async with client_of(**{path: httpx.Response(200, text=text) for path, text in files.items()}) as client:
        weighed = await weigh_files(client, page)

    assert sorted(file.path for file in weighed) == sorted(files)
    assert {file.size_bytes for file in weighed if file.path.endswith("b.js")} == {1}


async def test_news_of_a_stream_is_its_name_or_that_much_has_changed() -> None:
    told = 'event: tick\ndata: 1\n\nevent: streams\ndata: ["other"]\n\n'
    told += f'event: alerts\ndata: ["x"]\n\nevent: streams\ndata: ["{FLEET[0].stream_id}"]\n\nevent: streams\n\n'
    ill: list[str] = []

    async def make_ill(stream: Stream) -> None:
        ill.append(stream.stream_id)

    async with client_of(**{"/events": httpx.Response(200, text=told)}) as client:
        took_ms = await hear_news(client, FLEET[:2], make_ill, random.Random(1), pause_s=0)

    assert len(took_ms) == 2
    assert ill == [FLEET[0].stream_id, FLEET[1].stream_id]


@pytest.mark.parametrize(("took_ms", "ratio"), [(150.0, 0.5), (600.0, 2.0)])
def test_a_limit_that_is_missed_has_a_ratio_above_one(took_ms: float, ratio: float) -> None:
    times = {"p95_ms": took_ms, "max_ms": 6_000.0}
    figures = {
        "fleet page": {"all": times, "first look": times},
        "GET /fleet": {"all": times},
        "stream page, 24 h": {"page": times, "bytes": {"all": 150_000}},
        "fault to browser": times,
    }

    limits = judge(figures)

    assert limits["fleet page, p95 ms"] == {"is": took_ms, "limit": 300.0, "ratio": ratio}
    assert limits["stream page with its files, bytes"]["ratio"] == 0.5
    assert limits["fault to browser, max ms"]["ratio"] == 1.0
