"""What Prometheus's clients are answered: the series there are, and what they are worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from iops import items
from iops.alert import AlertState
from iops.auth import Caller, Role
from iops.clock import to_epoch_ms
from iops.rollup import roll_up
from iops.telemetry import Window
from services.insights.prometheus import hold
from services.insights.prometheus.series import HELP
from tests.unit.builders import AT, a_finding, a_window, an_alert
from tests.unit.fakes import aws_error
from tests.unit.read_apis import Door, a_door, named

NOW = AT.timestamp()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door() as door:
        yield door


async def test_a_channel_is_asked_for_by_its_name(door: Door) -> None:
    await door.add("web-1:sda", a_window(60, queue_depth=3.5), labels={"volume_type": "gp3"})

    found = await door.ask("query", query="iops_stream_queue_depth", time=NOW)

    metric = {"__name__": "iops_stream_queue_depth", "stream": "web-1:sda", "peer_group": "web-1", "volume_type": "gp3"}
    assert found == {"resultType": "vector", "result": [{"metric": metric, "value": [NOW, "3.5"]}]}
    assert await door.values("iops_stream_queue_depth", at=AT + timedelta(minutes=5)) == {"web-1:sda": 3.5}
    assert await door.values("iops_stream_queue_depth", at=AT + timedelta(minutes=5, seconds=1)) == {}


async def test_what_was_not_measured_is_not_there(door: Door) -> None:
    await door.add("web-1:sda", a_window(60, read_await_ms=None, read_iops=0.0, read_bytes_s=0.0))

    for channel in ("read_await_ms", "write_await_ms", "latency_p99_ms", "io_errors"):
        assert await door.values(f"iops_stream_{channel}") == {}
    assert await door.values("iops_stream_read_iops") == {"web-1:sda": 0}


async def test_a_range_has_each_step_and_leaves_gaps(door: Door) -> None:
    await door.add("web-1:sda", a_window(60, end=AT - timedelta(minutes=10), in_flight=2), a_window(60, in_flight=7))

    found = await door.ask(
        "query_range", query="iops_stream_in_flight", start=NOW - 660, end=NOW, step="1m", method="POST"
    )

    assert found["resultType"] == "matrix"
    (series,) = found["result"]
    assert [at - NOW for at, _ in series["values"]] == [-600, -540, -480, -420, -360, -300, 0]
    assert [value for _, value in series["values"]] == ["2"] * 6 + ["7"]


async def test_risk_costs_no_read_where_it_is_asked_for_as_it_is_now(door: Door) -> None:
    await door.add("web-1:sda", risk_score=91.5)
    await door.add("web-2:sda")  # nobody has scored it
    await door.fleet.look_once()
    door.table.calls.clear()

    assert await door.values("iops_stream_risk_score > 80") == {"web-1:sda": 91.5}
    assert await door.values("iops_stream_risk_score", at=AT - timedelta(seconds=1)) == {}
    assert await door.values("iops_stream_warming_up") == {"web-1:sda": 0, "web-2:sda": 1}
    assert len(door.table.calls) == 3 * 2 + 1, (
        "two looks of the fleet before each question, and one for what was before"
    )


async def test_the_risk_of_a_stream_that_is_gone_ends() -> None:
    async with a_door(now=AT + timedelta(hours=3)) as door:
        await door.add("web-1:sda", risk_score=91.5)

        assert await door.values("iops_stream_risk_score", at=AT + timedelta(minutes=80)) == {"web-1:sda": 91.5}
        assert await door.values("iops_stream_risk_score", at=AT + timedelta(minutes=80, seconds=1)) == {}


async def test_what_risk_was_before_is_read_where_it_is_asked_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.add("web-1:sda", risk_score=91.5)
    for minutes, risk_score in ((200, 5.0), (60, 70.0), (30, 20.0)):
        at_ms = to_epoch_ms(AT - timedelta(minutes=minutes))
        await door.table.table().update(items.risk_update("web-1:sda", a_finding(risk_score), now_ms=at_ms))

    found = await door.ask("query_range", query="iops_stream_risk_score", start=NOW - 12_600, end=NOW, step="15m")

    (series,) = found["result"]
    known = {round((at - NOW) / 60): float(value) for at, value in series["values"]}
    early = dict.fromkeys((-195, -180, -165, -150, -135, -120), 5.0)
    assert known == early | {-60: 70.0, -45: 70.0, -30: 20.0, -15: 20.0, 0: 91.5}
    assert await door.values("max_over_time(iops_stream_risk_score[50m])") == {"web-1:sda": 91.5}
    assert await door.values("min_over_time(iops_stream_risk_score[50m])") == {"web-1:sda": 20}
    monkeypatch.setattr(hold, "STREAMS_LIMIT", 0)
    answer = await door.client.get("/api/v1/query", params={"query": "iops_stream_risk_score offset 1h", "time": NOW})
    assert (answer.json()["data"]["result"], "risk is shown from when" in answer.json()["warnings"][0]) == ([], True)


async def test_an_alert_is_a_series_until_it_is_resolved(door: Door) -> None:
    await door.add("web-1:sda", labels={"tier": "gold"})
    opened, acknowledged = an_alert("web-1:sda"), an_alert("web-9:sda", state=AlertState.ACKNOWLEDGED, risk_score=70.0)
    door.alert(opened, acknowledged, an_alert("web-3:sda", state=AlertState.RESOLVED))

    found = await door.ask("query", query='iops_stream_alert{state="firing"}', time=NOW)

    (series,) = found["result"]
    kind = opened.prediction_type.value
    assert series["value"][1] == f"{opened.risk_score:g}"
    assert series["metric"] == {
        "__name__": "iops_stream_alert", "stream": "web-1:sda", "peer_group": "web-1", "tier": "gold",
        "prediction_type": kind, "state": "firing",
    }  # fmt: skip
    assert await door.values("iops_stream_alert") == {"web-1:sda": opened.risk_score, "web-9:sda": 70}
    assert await door.values("count(iops_stream_alert)") == {"": 2}


async def test_labels_have_names_that_promql_knows(door: Door) -> None:
    labels = {
        "volume.type": "gp3",
        "stream": "mine",
        "__name__": "mine",
        "rack-2": "b",
        "empty": "",
        "volume_type": "io2",
    }
    await door.add("web-1:sda", labels=labels)

    (found,) = await door.ask("series", match="iops_stream_queue_depth")

    assert found == {
        "__name__": "iops_stream_queue_depth", "stream": "web-1:sda", "peer_group": "web-1", "volume_type": "gp3",
        "exported_stream": "mine", "exported___name__": "mine", "rack_2": "b",
    }  # fmt: skip


async def test_labels_and_values_are_listed(door: Door) -> None:
    await door.add("web-1:sda", labels={"tier": "gold"}, risk_score=1.0)
    await door.add("web-2:sda", labels={"rack": "a"})

    assert await door.ask("labels") == ["__name__", "peer_group", "rack", "stream", "tier"]
    assert await door.ask("labels", method="POST", match='{rack="a"}') == [
        "__name__",
        "peer_group",
        "rack",
        "stream",
    ]
    assert await door.ask("label/stream/values") == ["web-1:sda", "web-2:sda"]
    assert await door.ask("label/stream/values", match=['{tier="gold"}', '{rack="b"}']) == ["web-1:sda"]
    assert set(await door.ask("label/__name__/values")) == HELP.keys() - {"iops_stream_alert"}
    assert await door.ask("label/nothing/values") == []
    assert (await door.ask("metadata")).keys() == HELP.keys()
    assert named(await door.ask("series", limit=1, match="iops_stream_in_flight")) == ["web-1:sda"]


async def test_a_long_range_is_answered_with_minutes(door: Door) -> None:
    await door.add("web-1:sda", a_window(90, queue_depth=2.0))
    door.table.add(_rollup_row(a_window(60, end=AT - timedelta(hours=30, seconds=1), queue_depth=9.0)))

    found = await door.ask(
        "query_range",
        query="count_over_time(iops_stream_queue_depth[1h])",
        start=NOW - 30 * 3600,
        end=NOW,
        step=30 * 3600,
    )

    assert [value for _, value in found["result"][0]["values"]] == ["1", "90"], (
        "a minute of the hour rolled up, and samples"
    )
    short = await door.values("count_over_time(iops_stream_queue_depth[1h])")
    assert short == {"web-1:sda": 90}


def _rollup_row(window: Window) -> items.Item:
    update = items.rollup_update("web-1:sda", roll_up(window))
    values = update["ExpressionAttributeValues"]
    return {**update["Key"], "data": values[":data"], "samples": values[":samples"], "ttl": values[":ttl"]}


async def test_of_an_instant_that_was_stored_twice_the_later_counts(door: Door) -> None:
    begin, end = a_window(60, end=AT - timedelta(seconds=30), in_flight=1), a_window(60, in_flight=2)
    await door.add("web-1:sda", begin, end)
    door.table.page_limit = 1

    assert await door.values("count_over_time(iops_stream_in_flight[5m])") == {"web-1:sda": 90}
    assert await door.values("sum_over_time(iops_stream_in_flight[5m])") == {"web-1:sda": 30 * 1 + 60 * 2}


async def test_a_damaged_chunk_hides_its_stream_and_says_so(door: Door) -> None:
    await door.add("web-1:sda", a_window(60))
    await door.add("web-2:sda", a_window(60))
    for row in door.table.of_type("chunk"):
        if row["entity_id"]["S"] == "web-1:sda":
            row["data"] = {"B": b"\2damaged"}
    await door.fleet.look_once()

    answer = (await door.client.get("/api/v1/query", params={"query": "iops_stream_read_iops", "time": NOW})).json()

    assert named(each["metric"] for each in answer["data"]["result"]) == ["web-2:sda"]
    assert answer["status"] == "success"
    assert "web-1:sda is left out" in answer["warnings"][0]


async def test_a_table_that_is_away_is_said_in_their_shape(door: Door) -> None:
    await door.add("web-1:sda", a_window(60))
    await door.fleet.look_once()
    door.table.failures["Query"].extend([aws_error("InternalServerError", status=500)] * 9)

    answer = await door.client.get("/api/v1/query", params={"query": "iops_stream_read_iops", "time": NOW})

    assert (answer.status_code, answer.json()["errorType"], answer.headers["retry-after"]) == (503, "unavailable", "2")


async def test_nobody_sees_what_is_somebody_elses() -> None:
    async with a_door(caller=Caller("web team", Role.VIEWER, ("web-*",))) as door:
        for stream_id in ("web-1:sda", "db-1:sda"):
            await door.add(stream_id, a_window(60), labels={"team": stream_id}, risk_score=90.0)
            door.alert(an_alert(stream_id))

        for query in ("iops_stream_risk_score", "iops_stream_queue_depth", "iops_stream_alert", '{stream="db-1:sda"}'):
            assert (await door.values(query)).keys() <= {"web-1:sda"}, query
            found = await door.ask("query_range", query=query, start=NOW - 60, end=NOW, step=15, method="POST")
            assert set(named(each["metric"] for each in found["result"])) <= {"web-1:sda"}, query
        assert await door.values("count(iops_stream_risk_score)") == {"": 1}
        assert await door.ask("label/team/values") == ["web-1:sda"]
        assert set(named(await door.ask("series", match='{stream!=""}'))) == {"web-1:sda"}
        assert "db-1" not in str(await door.ask("labels"))
