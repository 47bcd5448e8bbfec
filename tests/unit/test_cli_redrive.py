"""`iops alerts redrive`: nothing is sent unless it is said, and nothing in a letter commands a terminal."""

import json

import httpx
import pytest

from cli.server import Row
from tests.unit.test_cli import Handler, iops

LETTER: Row = {
    "message_id": "m01",
    "at": "2026-11-23T02:00:00Z",
    "error_code": "NO_PERMISSIONS",
    "error_message": "not \x1b[31mauthorized",
    "kind": "Insight",
    "title": "web-1:sda stalled",
    "stream": "web-1:sda",
    "risk_score": 90.5,
    "unreadable": None,
}


def a_report(**fields: object) -> Row:
    report: Row = {"queue": "rule", "replayed": [LETTER], "replayed_total": 1, "unreadable": [], "left": 1}
    return report | {"unreadable_total": 0, "stopped_by": None} | fields


def answering(body: Row, asked: list[Row]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        asked.append({"path": request.url.path, "body": json.loads(request.content or "null")})
        return httpx.Response(200, json=body)

    return handler


def test_without_a_queue_it_counts() -> None:
    asked: list[Row] = []
    queues = [{"queue": "rule", "count": 3, "oldest_at": "2026-11-23T02:00:00Z", "letters": []}]

    result = iops("alerts", "redrive", handler=answering({"items": queues}, asked))

    assert (result.exit_code, asked) == (0, [{"path": "/alerts/dead-letters", "body": None}])
    assert "2026-11-23 02:00:00" in result.stdout


@pytest.mark.parametrize(("flags", "is_dry"), [((), True), (("--dry-run",), True), (("--yes",), False)])
def test_letters_are_sent_only_with_yes(flags: tuple[str, ...], is_dry: bool) -> None:
    asked: list[Row] = []

    result = iops("alerts", "redrive", "--queue", "rule", *flags, handler=answering(a_report(), asked))

    assert result.exit_code == 0
    wanted = {"queue": "rule", "limit": 100, "dry_run": is_dry}
    assert asked == [{"path": "/alerts/dead-letters/redrive", "body": wanted}]
    assert ("would be sent" in result.stdout) is is_dry
    assert "NO_PERMISSIONS: not [31mauthorized" in result.stdout


def test_an_early_stop_is_a_failure() -> None:
    report = a_report(stopped_by="PutEvents failed: Throttling")

    result = iops("alerts", "redrive", "--queue", "rule", "--yes", handler=answering(report, []))

    assert result.exit_code == 1
    assert "stopped early: PutEvents failed: Throttling" in result.stderr


def test_yes_needs_a_queue() -> None:
    assert iops("alerts", "redrive", "--yes", handler=answering({}, [])).exit_code == 2


def test_json_is_the_servers_report() -> None:
    result = iops("alerts", "redrive", "--queue", "rule", "--json", handler=answering(a_report(), []))

    assert json.loads(result.stdout) == a_report()


def test_the_list_of_alerts_is_still_the_list() -> None:
    asked: list[Row] = []

    iops("alerts", handler=answering({"items": [], "cursor": None}, asked))

    assert asked == [{"path": "/alerts", "body": None}]
