"""The command line against a server double: tables, JSON, exit codes, and strings that mean harm."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from agent.settings import AgentSettings
from cli import agent as agent_command
from cli.main import app
from cli.server import Row, Server

STREAMS: list[Row] = [
    {"stream_id": "web-1:sda", "risk_score": None, "prediction_type": None, "warming_up": True, "latest": None},
    {
        "stream_id": "web-1:sdb",
        "risk_score": 91.0,
        "prediction_type": "stall",
        "warming_up": False,
        "latest": {"at": "2026-11-23T02:39:00.000Z", "read_iops": 210.0, "read_await_ms": 0.41, "in_flight": 3},
    },
]
ALERT: Row = {
    "alert_id": "a1",
    "stream_id": "web-1:sdb",
    "prediction_type": "stall",
    "state": "firing",
    "risk_score": 91.0,
    "opened_at": "2026-11-23T02:39:00.000Z",
    "title": "Stalled",
    "facts": [{"name": "in_flight", "value": 3, "sentence": "3 requests in flight and none completed."}],
}

Handler = Callable[[httpx.Request], httpx.Response]


def iops(*arguments: str, handler: Handler) -> Result:
    return CliRunner().invoke(app, arguments, obj=httpx.MockTransport(handler))


def answer(items: list[Row], cursor: str | None = None) -> Handler:
    return lambda request: httpx.Response(200, json={"items": items, "cursor": cursor})


def test_streams_are_listed_worst_first() -> None:
    result = iops("streams", handler=answer(STREAMS))

    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "web-1" in line]
    assert ["sdb" in lines[0], "sda" in lines[1]] == [True, True]
    assert "stall" in lines[0]
    assert "warming up" in lines[1]
    assert "2026-11-23 02:39:00" in lines[0]


def test_json_is_all_there_is_on_standard_output() -> None:
    result = iops("streams", "--json", handler=answer(STREAMS))

    assert json.loads(result.stdout) == {"items": [STREAMS[1], STREAMS[0]]}


def test_an_alert_shows_its_evidence() -> None:
    result = iops("alerts", handler=answer([ALERT]))

    assert "3 requests in flight and none completed." in result.stdout


def test_the_state_of_alerts_is_asked_of_the_server() -> None:
    asked: list[httpx.URL] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"items": [], "cursor": None})

    iops("alerts", "--state", "firing", handler=handler)

    assert [url.params["state"] for url in asked] == ["firing"]


def test_pages_are_followed_up_to_the_limit() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        first = int(request.url.params.get("cursor", "0"))
        last = first + min(2, int(request.url.params["limit"]))
        items = [{"stream_id": f"web-1:sd{index}"} for index in range(first, last)]
        return httpx.Response(200, json={"items": items, "cursor": str(last)})

    result = iops("streams", "--json", "--limit", "5", handler=handler)

    ids = [item["stream_id"] for item in json.loads(result.stdout)["items"]]
    assert ids == ["web-1:sd0", "web-1:sd1", "web-1:sd2", "web-1:sd3", "web-1:sd4"]


def test_a_cursor_that_leads_nowhere_ends_the_list() -> None:
    result = iops("streams", "--json", handler=answer(STREAMS, cursor="again"))

    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["items"]) == 4


def test_strings_of_others_are_neither_markup_nor_terminal_commands() -> None:
    nasty = {**ALERT, "stream_id": "[red]x[/red]\x1b[31m\u202ey\r\nz"}

    result = iops("alerts", handler=answer([nasty]))

    assert "[red]x[/red][31my z" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_a_problem_is_one_line_on_standard_error() -> None:
    problem = {"type": "about:blank", "title": "Not now", "status": 503, "code": "x", "detail": "The table\nis away."}

    result = iops("streams", "--json", handler=lambda request: httpx.Response(503, json=problem))

    assert result.exit_code == 1
    assert result.stderr == "iops: The table is away.\n"
    assert result.stdout == ""


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"items": 3}', b"\xff"])
def test_an_answer_that_is_not_ours_is_a_failure_and_no_traceback(body: bytes) -> None:
    result = iops("insights", handler=lambda request: httpx.Response(200, content=body))

    assert result.exit_code == 1
    assert result.stderr.startswith("iops: /insights/recent answered something")


def test_a_server_that_is_away_has_an_exit_code_of_its_own() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    result = iops("streams", handler=away)

    assert result.exit_code == 3
    assert "`iops up` starts it" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://", "http://a:b", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    assert CliRunner().invoke(app, ["streams", "--url", url]).exit_code == 2


def test_the_address_can_come_from_the_environment() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url.copy_with(query=None)))
        return httpx.Response(200, json={"items": [], "cursor": None})

    runner = CliRunner(env={"IOPS_URL": "http://127.0.0.1:9"})
    runner.invoke(app, ["insights"], obj=httpx.MockTransport(handler))

    assert asked == ["http://127.0.0.1:9/insights/recent"]


def test_the_help_documents_commands_and_exit_codes() -> None:
    result = CliRunner().invoke(app, ["--help"])

    assert "Exit codes: 0 done; 1 failed" in result.stdout
    assert [
        c for c in ("up", "agent", "demo", "streams", "insights", "alerts") if f"\n  {c} " not in result.stdout
    ] == []


def test_the_agent_gets_only_what_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[AgentSettings] = []

    async def run(settings: AgentSettings) -> None:
        started.append(settings)

    monkeypatch.setattr(agent_command, "run", run)
    monkeypatch.setattr(agent_command, "configure_logging", lambda program, secrets: None)
    monkeypatch.setenv("IOPS_BATCH_SAMPLES", "45")

    result = CliRunner().invoke(
        app, ["agent", "--interval", "1", "--device", "sda", "--device", "sdb", "--spool", str(tmp_path)]
    )

    assert result.exit_code == 0
    assert (started[0].interval_s, started[0].batch_samples) == (1.0, 45)
    assert started[0].devices == ("sda", "sdb")
    assert started[0].spool_dir == tmp_path


def test_an_agent_setting_out_of_range_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["agent", "--interval", "0"])

    assert result.exit_code == 2
    assert result.stderr.startswith("iops: interval_s: ")


async def test_a_busy_server_gets_the_body_again_after_the_time_it_asked_for() -> None:
    answers = iter(
        [httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(503), httpx.Response(202, json={})]
    )
    waited_s: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited_s.append(delay_s)

    transport = httpx.MockTransport(lambda request: next(answers))
    async with Server("http://127.0.0.1:1", transport=transport, sleep=sleep) as server:
        await server.post_gzip("/metrics", b"")

    assert waited_s == [7.0, 2.0]


async def test_a_server_that_stays_away_is_given_up() -> None:
    waited_s: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited_s.append(delay_s)

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with Server("http://127.0.0.1:1", transport=httpx.MockTransport(away), sleep=sleep) as server:
        with pytest.raises(Exception, match="does not answer"):
            await server.post_gzip("/metrics", b"")

    assert sum(waited_s) == 60.0


def give(*options: str) -> tuple[Result, list[httpx.Request]]:
    """`iops insights feedback` with a server that stores whatever comes."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        until = "2026-11-24T02:39:00Z"
        return httpx.Response(201, json={"insight_id": "01", **json.loads(request.content), "quiet_until": until})

    return iops("insights", "feedback", *options, handler=handler), asked


def test_a_dismissal_is_sent_and_answered_with_its_quiet() -> None:
    result, (request,) = give("01/..", "--dismiss", "--text", "a backup")

    assert (request.method, request.url.raw_path) == ("POST", b"/insights/01%2F../feedback")
    assert json.loads(request.content) == {"verdict": "dismiss", "text": "a backup"}
    assert "quiet until 2026-11-24 02:39:00 UTC" in result.stdout


def test_a_wrong_cause_may_name_the_right_one() -> None:
    _, (request,) = give("01", "--wrong-cause", "--cause", "stall")

    assert json.loads(request.content) == {"verdict": "wrong_cause", "prediction_type": "stall"}


@pytest.mark.parametrize(
    "options",
    [(), ("--confirm", "--dismiss"), ("--confirm", "--cause", "stall"), ("--wrong-cause", "--cause", "gremlins")],
    ids=str,
)
def test_a_word_that_makes_no_sense_is_wrong_usage_and_not_sent(options: tuple[str, ...]) -> None:
    result, asked = give("01", *options)

    assert (result.exit_code, asked) == (2, [])


def test_what_is_quiet_is_listed_with_its_stream() -> None:
    quiet = [{"prediction_type": "stall", "until": "2026-11-24T02:39:00Z"}]

    assert "(quiet: stall)" in iops("streams", handler=answer([STREAMS[1] | {"quiet": quiet}])).stdout
