"""GET /streams/{stream_id}/chart: what a page draws of one stream, in numbers that can be done in the head."""

from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.auth import Caller, Role
from iops.rollup import roll_up
from iops.telemetry import Window
from services.insights.score import device_kind
from tests.unit.builders import AT, AT_MS, EVERYBODY, a_baseline, a_finding, a_window
from tests.unit.tenants import House

DISK = "web-1:sda"
AT_S = AT_MS // 1_000
HOUR = {"from": "2026-11-23T01:00:00Z", "to": "2026-11-23T02:00:00Z"}
VIEWER = Caller("somebody", Role.VIEWER, ("web-1:sda",))


async def a_house(*windows: Window, peers: int = 0) -> House:
    """A disk with samples, and peers b, c, d ... that are 2, 3, 4 ... times as slow."""
    house = House()
    await house.add_stream(DISK)
    house.table.add(*(row for window in windows for row in items.chunk_items(DISK, window)))
    for number in range(peers):
        peer = f"web-1:sd{chr(ord('b') + number)}"
        await house.add_stream(peer)
        await score(house, peer)
        house.table.add(*items.chunk_items(peer, a_window(60, read_await_ms=2.0 + number)))
    await house.watch.fleet.look_once()
    return house


async def score(house: House, stream_id: str, risk_score: float = 5) -> None:
    row = await house.table.table().get(items.key_of(stream_id, "stream"))
    assert row is not None
    request = items.stream_scored_update(items.item_to_stream(row), a_finding(risk_score), now_ms=AT_MS)
    await house.table.table().update(request)


async def chart(house: House, **params: Any) -> Any:
    answer = await house.ask("GET", f"/streams/{DISK}/chart", caller=VIEWER, **{**HOUR, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()


def value_at(found: Any, name: str, instant_s: int, *, of: str = "series") -> Any:
    return found[of][name][found["at"].index(instant_s)]


async def test_an_hour_is_steps_of_10_s_with_gaps_where_nothing_was_sent() -> None:
    house = await a_house(a_window(20, end=AT - timedelta(seconds=30), interval_s=2.0, queue_depth=0.25))

    found = await chart(house)

    assert (found["step_s"], len(found["at"]), found["at"][0]) == (10, 361, AT_S - 3_600)
    assert (found["from"], found["to"]) == (AT_S - 3_600, AT_S + 10)
    assert value_at(found, "queue_depth", AT_S - 60) == 0.25
    assert value_at(found, "queue_depth", AT_S - 20) is None
    assert value_at(found, "write_await_ms", AT_S - 60) is None
    assert {len(column) for column in found["series"].values()} == {361}


async def test_both_directions_together_stand_beside_each() -> None:
    window = a_window(60, write_iops=100.0, write_await_ms=4.0, write_bytes_s=1e6)
    found = await chart(await a_house(window))

    here = AT_S - 30
    assert value_at(found, "iops", here) == 300.0
    assert value_at(found, "bytes_s", here) == 1_819_000.0
    assert value_at(found, "await_ms", here) == 2.0  # (200 * 1 + 100 * 4) / 300


async def test_percentiles_are_there_where_they_were_measured_and_only_there() -> None:
    measured = await chart(await a_house(a_window(60, latency_p95_ms=7.0, latency_p99_ms=9.5)))
    plain = await chart(await a_house(a_window(60)))

    assert [value_at(measured, f"latency_{name}_ms", AT_S - 30) for name in ("p95", "p99")] == [7.0, 9.5]
    assert [value_at(plain, f"latency_{name}_ms", AT_S - 30) for name in ("p95", "p99")] == [None, None]


async def test_the_largest_sample_of_a_step_is_beside_its_mean() -> None:
    window = a_window(60)
    window.columns["read_await_ms"][29] = 91.0  # 30 s before AT

    found = await chart(await a_house(window))

    assert value_at(found, "read_await_ms", AT_S - 30) == 10.0  # (9 * 1 + 91) / 10
    assert value_at(found, "read_await_ms", AT_S - 30, of="maxima") == 91.0
    assert value_at(found, "write_await_ms", AT_S - 30, of="maxima") is None


async def test_more_than_six_hours_are_minutes_of_rollups_and_of_what_is_not_rolled_up_yet() -> None:
    house = await a_house(a_window(600, end=AT - timedelta(seconds=1)))
    old = a_window(600, end=AT - timedelta(hours=9, seconds=1), queue_depth=7.0)
    await house.table.table().update(items.rollup_update(DISK, roll_up(old)))

    found = await chart(house, **{"from": "2026-11-22T14:00:00Z"})

    assert found["step_s"] == 120
    assert value_at(found, "queue_depth", AT_S - 9 * 3_600 - 240) == 7.0
    assert value_at(found, "queue_depth", AT_S - 240) == 0.2
    assert value_at(found, "queue_depth", AT_S - 5 * 3_600) is None


async def test_ninety_days_are_a_few_hundred_points() -> None:
    house = await a_house()
    for day in range(90):
        window = a_window(60, end=AT - timedelta(days=day, seconds=1), queue_depth=1.0 + day)
        await house.table.table().update(items.rollup_update(DISK, roll_up(window)))

    found = await chart(house, **{"from": "2026-08-25T02:00:00Z"})

    known = [value for value in found["series"]["queue_depth"] if value is not None]
    assert (found["step_s"], len(found["at"])) == (21_600, 361)
    assert known == [float(day) for day in range(90, 0, -1)]
    assert found["peers"] is None


async def test_what_is_usual_is_the_baselines_from_three_hours_on() -> None:
    house = await a_house()
    assert (await chart(house))["baseline"] is None
    house.table.add(items.baseline_item(DISK, a_baseline(hours=2)))
    assert (await chart(house))["baseline"] is None
    house.table.add(items.baseline_item(DISK, a_baseline()))

    usual = (await chart(house))["baseline"]

    assert usual["await_ms"] == {"p10": 1.0, "p50": 1.0, "p90": 1.0}
    assert usual["iops"]["p50"] == 200.0
    assert set(usual) == {"iops", "bytes_s", "await_ms", "queue_depth", "utilization_ratio"}


async def test_the_band_is_of_all_peers_also_of_those_that_are_not_the_callers() -> None:
    house = await a_house(a_window(60), peers=4)

    peers = (await chart(house))["peers"]

    assert peers["streams"] == 4
    place = 360 - 3
    assert peers["low"]["await_ms"][place] == 2.3  # of 2, 3, 4, 5
    assert peers["median"]["await_ms"][place] == 3.5
    assert peers["high"]["await_ms"][place] == 4.7
    assert peers["median"]["await_ms"][0] is None
    assert "web-1:sd" not in str(peers)


async def test_two_peers_are_no_band_and_neither_are_some_of_another_kind() -> None:
    assert (await chart(await a_house(peers=2)))["peers"] is None
    house = await a_house(peers=2)
    await house.add_stream("web-1:nvme0n1")
    await score(house, "web-1:nvme0n1")
    house.table.add(*items.chunk_items("web-1:nvme0n1", a_window(60)))
    await house.watch.fleet.look_once()

    assert device_kind("web-1:nvme0n1", None) != device_kind(DISK, None)
    assert (await chart(house))["peers"] is None


async def test_of_many_peers_the_same_twelve_are_read() -> None:
    house = await a_house(peers=20)

    read = []
    for _ in range(2):
        house.table.calls.clear()
        read.append((await chart(house))["peers"])
        assert house.table.calls.count("Query") <= 12 + 2

    assert read[0]["streams"] == 12
    assert read[0] == read[1]


async def test_risk_and_episodes_are_on_the_same_axis() -> None:
    house = House()
    things = await house.move_in("web-1")
    await house.watch.fleet.look_once()
    await house.table.table().update(items.risk_update(DISK, a_finding(90), now_ms=AT_MS - 60_500))

    found = await chart(house, step_s=10)

    assert found["risk"] == [[AT_S - 61, 90.0]]
    assert found["episodes"] == [{"alert_id": things.alert_id, "prediction_type": "stall", "from": AT_S, "to": None}]


async def test_a_damaged_row_is_counted_and_hides_nothing_else() -> None:
    house = await a_house(a_window(30, end=AT - timedelta(minutes=9)), a_window(30))
    first = house.table.of_type("chunk")[0]
    house.table.add(first | {"data": {"B": b"\x01damaged"}})

    found = await chart(house)

    assert found["damaged"] == 1
    assert value_at(found, "iops", AT_S - 20) == 200.0


async def test_a_chart_goes_on_with_the_same_steps() -> None:
    house = await a_house(a_window(600))
    whole = await chart(house)

    more = await chart(house, **{"from": "2026-11-23T01:59:30Z"}, step_s=10)

    assert more["at"] == whole["at"][-4:]
    assert more["series"]["queue_depth"] == whole["series"]["queue_depth"][-4:]


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-11-23T02:00:01Z", "to": "2026-11-23T02:00:00Z"},
        {"from": "2026-11-23T03:00:00Z", "to": "2026-11-23T04:00:00Z"},
        {"from": "2026-08-25T01:59:59Z"},
        {"from": "0001-01-01T00:00:00Z"},
        {"from": "0001-01-01T00:00:00+14:00", "to": "0001-01-02T00:00:00Z"},
        {"from": "9999-12-31T23:59:59-14:00"},
        {"to": "9999-12-31T23:59:59Z"},
        {"from": "2026-11-23T02:00:00"},
        {"from": "yesterday"},
        {"points": 99},
        {"points": 1_001},
        {"step_s": 0},
        {"step_s": 7},
        {"step_s": -60},
        {"step_s": 1},  # 3,601 points
        {"from": "2026-11-22T14:00:00Z", "step_s": 30},  # 12 hours
    ],
    ids=str,
)
async def test_a_range_that_makes_no_sense_is_a_400(params: dict[str, Any]) -> None:
    house = await a_house()

    answer = await house.ask("GET", f"/streams/{DISK}/chart", caller=EVERYBODY, **{**HOUR, **params})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")


async def test_a_stream_that_is_not_there_is_a_404_and_a_fleet_that_is_not_read_yet_a_503() -> None:
    house = await a_house()
    assert (await house.ask("GET", "/streams/web-9:sda/chart", caller=EVERYBODY)).status_code == 404

    fresh = House()
    await fresh.add_stream(DISK)
    assert (await fresh.ask("GET", f"/streams/{DISK}/chart", caller=EVERYBODY)).status_code == 503
