"""`iops doctor`, `analyse` and the words of `insights`, against a server double that may be broken or mean harm."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import Result

from cli.server import Row
from tests.unit.test_cli import ALERT, answer, iops

HOSTILE = "[red]x[/red]\x1b[31m\u202ey\r\nz"
TIERS: Row = {
    "scoring": [
        {"name": "sagemaker", "answers": False, "why_not": "no endpoint is set", "share_percent": 0},
        {"name": "local", "answers": True, "why_not": None, "model": "v7", "share_percent": 100},
    ],
    "explaining": [
        {"name": "bedrock", "answers": True, "why_not": None, "model": "haiku", "share_percent": 5, "warning": "ends"},
        {"name": "template", "answers": True, "why_not": None, "share_percent": 100},
    ],
}
COST: Row = {"today": {"usd": 0.1234, "budget_usd": 1.0}}
WORKS: dict[str, httpx.Response] = {
    "/metrics": httpx.Response(422, json={"detail": "no body"}),
    "/streams": httpx.Response(200, json={"items": []}),
    "/alerts": httpx.Response(200, json={"items": []}),
    "/tiers": httpx.Response(200, json=TIERS),
    "/cost": httpx.Response(200, json=COST),
    "/system": httpx.Response(200, json={"troubles": []}),
}
INSIGHT: Row = {
    "title": "web-1:sda answers slower than its peers",
    "risk_score": 87.4,
    "prediction_type": "fail_slow",
    "explanation": "It takes 6.13 ms.",
    "recommendations": ["Drain it.", "Read its SMART health."],
    "scored_by": "local",
    "explained_by": "template",
    "explainers_asked": ["bedrock: throttled"],
}


def doctor(*options: str, **changes: httpx.Response) -> Result:
    """With a server that answers what works, but for `changes`, by the first word of the path."""
    answers = WORKS | {f"/{path}": response for path, response in changes.items()}
    return iops("doctor", *options, handler=lambda request: answers[request.url.path])


def lines_of(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_the_doctor_says_who_answers_and_why_others_do_not() -> None:
    result = doctor()

    assert result.exit_code == 0
    lines = lines_of(result)
    assert "service ingest yes -" in lines
    assert "scoring sagemaker no no endpoint is set" in lines
    assert "scoring local yes v7" in lines
    assert "explaining bedrock yes haiku; 5 % of the streams; ends" in lines
    assert "cost language models $0.123 of $1 today" in lines


def test_the_doctor_says_what_the_system_knows_to_be_wrong() -> None:
    troubles = [{"says": "alerts has not been heard of for 3 min", "section": "unhealthy-targets"}]
    result = doctor(system=httpx.Response(200, json={"troubles": troubles}))

    assert "trouble unhealthy-targets alerts has not been heard of for 3 min" in lines_of(result)


@pytest.mark.parametrize("troubles", [None, 7, [None, {}, {"says": [HOSTILE], "section": HOSTILE}]])
def test_troubles_that_are_none_of_ours_are_no_traceback(troubles: Any) -> None:
    result = doctor(system=httpx.Response(200, json={"troubles": troubles}))

    assert result.exit_code == 0
    assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_a_service_that_hangs_keeps_nobody_from_asking_the_others() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/alerts":
            raise httpx.ReadTimeout("hangs", request=request)
        return WORKS[request.url.path]

    result = iops("doctor", handler=handler)

    assert result.exit_code == 1
    assert "service insights yes -" in lines_of(result)
    assert [line for line in lines_of(result) if line.startswith("service alerts no http://")]


def test_the_doctors_json_is_all_there_is_on_standard_output() -> None:
    told = json.loads(doctor("--json").stdout)

    assert (told["tiers"], told["cost"], told["troubles"]) == (TIERS, COST, [])
    assert told["services"][0] == {"service": "ingest", "works": True, "why_not": None}


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (httpx.Response(502, content=b"<html>"), "/streams answered 502"),
        (httpx.Response(503, json={"detail": f"away {HOSTILE}"}), "away [red]x[/red][31my z"),
        (httpx.Response(200, content=b"<html>"), "/streams answered something that is no JSON object"),
        (httpx.Response(404, content=b"nginx"), "answered 404: something else is at this address"),
    ],
    ids=["away", "unwell", "not JSON", "not ours"],
)
def test_a_service_that_does_not_work_is_named_and_the_others_are_still_asked(
    response: httpx.Response, why: str
) -> None:
    result = doctor(streams=response, tiers=response, cost=response)

    assert result.exit_code == 1
    (line,) = (line for line in lines_of(result) if line.startswith("service insights no"))
    assert why in line
    assert "service alerts yes -" in lines_of(result)
    assert "\x1b" not in result.stdout


def test_a_door_that_takes_nothing_as_a_batch_does_not_work() -> None:
    assert doctor(metrics=httpx.Response(200, json={})).exit_code == 1


@pytest.mark.parametrize(
    "tiers", [[], {"scoring": 3, "explaining": [None, 7, {}]}, {"scoring": [{"name": HOSTILE, "why_not": [HOSTILE]}]}]
)
def test_tiers_that_are_none_of_ours_are_no_traceback(tiers: Any) -> None:
    result = doctor(tiers=httpx.Response(200, json=tiers), cost=httpx.Response(200, json={"today": {}}))

    assert (result.exit_code, result.exception and type(result.exception)) in ((0, None), (0, SystemExit))
    assert not {"\x1b", "\u202e"} & set(result.stdout)


@pytest.mark.parametrize("command", [("doctor",), ("analyse", "web-1:sda")])
def test_a_server_that_is_away_has_its_exit_code(command: tuple[str, ...]) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    result = iops(*command, handler=away)

    assert (result.exit_code, "does not answer" in result.stderr) == (3, True)


def analyse(response: httpx.Response, *options: str) -> tuple[Result, httpx.Request]:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return response

    result = iops("analyse", "web-1:/dev/sda?x", *options, handler=handler)
    return result, asked[0]


def test_an_analysis_is_text_for_a_person() -> None:
    result, request = analyse(httpx.Response(201, json=INSIGHT))

    assert (request.method, request.url.raw_path) == ("POST", b"/streams/web-1%3A%2Fdev%2Fsda%3Fx/insight")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "web-1:sda answers slower than its peers",
        "Risk 87.4 of 100 (fail_slow)",
        "It takes 6.13 ms.",
        "- Drain it.",
        "- Read its SMART health.",
        "Scored by local, explained by template (bedrock: throttled)",
    ]


def test_an_analysis_as_json_is_the_servers_answer() -> None:
    assert json.loads(analyse(httpx.Response(201, json=INSIGHT), "--json")[0].stdout) == INSIGHT


def test_strings_of_an_analysis_cannot_command_a_terminal() -> None:
    nasty = {name: [HOSTILE] if isinstance(value, list) else HOSTILE for name, value in INSIGHT.items()}

    result, _ = analyse(httpx.Response(201, json=nasty | {"explanation": HOSTILE + "x" * 40_000}))

    assert len(result.stdout.splitlines()) == 5
    assert not {"\x1b", "\u202e", "\r"} & set(result.stdout)
    assert len(result.stdout) < 3_000


@pytest.mark.parametrize("body", [{}, {"recommendations": 3, "explainers_asked": "x"}])
def test_an_analysis_that_says_little_is_no_traceback(body: Row) -> None:
    assert analyse(httpx.Response(201, json=body))[0].exit_code == 0


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (httpx.Response(404, json={"detail": "nothing was ever received"}), "nothing was ever received"),
        (httpx.Response(201, content=b"<html>"), "answered something that is no JSON object"),
        (httpx.Response(502), "answered 502"),
    ],
    ids=["unknown", "not JSON", "away"],
)
def test_an_analysis_that_fails_is_one_line_on_standard_error(response: httpx.Response, sentence: str) -> None:
    result, _ = analyse(response)

    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_list_says_whose_words_and_what_is_disputed() -> None:
    disputed = {**ALERT, "explained_by": "bedrock", "is_disputed": True}
    plain = {**ALERT, "explained_by": "template", "is_disputed": False}

    lines = lines_of(iops("insights", handler=answer([disputed, plain])))

    assert any("bedrock, disputed 3 requests" in line for line in lines)
    assert any("template 3 requests" in line for line in lines)
