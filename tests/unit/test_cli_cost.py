"""`iops cost spent` against a server double."""

import json

import httpx

from cli.server import Row
from tests.unit.test_cli import iops

SPENT: Row = {"usd": 0.1234, "calls": 41, "tokens_in": 36_900, "tokens_out": 4_100}
COST: Row = {
    "today": {**SPENT, "day": "2026-11-23", "reserved_usd": 0.007, "budget_usd": 1.0, "left_usd": 0.8696},
    "month": {**SPENT, "usd": 2.5, "month": "2026-11", "forecast_usd": 3.26},
    "days": [],
    "streams": [{**SPENT, "stream_id": "web-1:sda\x1b[31m", "usd": 0.0421}],
    "streams_total": 57,
}


def test_the_cost_is_a_short_table() -> None:
    result = iops("cost", "spent", handler=lambda request: httpx.Response(200, json=COST))

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert "not the AWS bill" in lines[0]
    assert "today 0.123 41 36,900 4,100" in lines
    assert "budget a day 1" in lines
    assert "left today 0.87" in lines
    assert "month, forecast 3.26" in lines
    assert "stream (1 of 57) usd calls tokens in tokens out" in lines
    assert "web-1:sda[31m 0.0421 41 36,900 4,100" in lines
    assert "\x1b" not in result.stdout


def test_the_cost_as_json_is_the_servers_answer() -> None:
    result = iops("cost", "spent", "--json", handler=lambda request: httpx.Response(200, json=COST))

    assert json.loads(result.stdout) == COST


def test_a_server_that_knows_no_cost_is_a_sentence() -> None:
    result = iops("cost", "spent", handler=lambda request: httpx.Response(404, json={"detail": "x"}))

    assert (result.exit_code, "older than this command" in result.stderr) == (1, True)


def test_an_answer_without_a_month_is_no_traceback() -> None:
    result = iops("cost", "spent", handler=lambda request: httpx.Response(200, json={"today": {}, "month": 3}))

    assert (result.exit_code, result.stderr) == (1, "iops: /cost answered something without month\n")
