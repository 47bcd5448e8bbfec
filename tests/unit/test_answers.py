"""What all answers have in common: waiting times, statuses, calls of the tool, and tokens guessed from text."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.insights.providers import Prompt
from services.insights.replies import only_call, prompt_tokens, refused, retry_after_s, tokens_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROMPT = Prompt("s" * 300, "u" * 30, "explain", "d" * 20, {"type": "object"})


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 13:00:30 +0100", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-3", None),
        ("nan", None),
        ("1e9", None),
        ("9" * 400, None),
        ("٣", None),
        ("Mon, 99 Nov 2026 12:00:30 GMT", None),
        ("Mon, 23 Nov 99999999999999999999 12:00:30 GMT", None),
    ],
)
def test_a_wait_is_seconds_or_a_date_or_nothing(header: str | None, wait_s: float | None) -> None:
    assert retry_after_s(header, NOW) == wait_s


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 404, 409, 422, 424, 499])
def test_what_is_our_fault_does_not_pass(status: int) -> None:
    failure = refused(status, "no", wait_s=7)
    assert (failure.reason, failure.is_passing, failure.retry_after_s) == ("refused", False, None)


@pytest.mark.parametrize(
    ("status", "reason"), [(408, "timed_out"), (429, "throttled"), (500, "failed"), (503, "failed"), (529, "failed")]
)
def test_what_is_the_providers_state_passes(status: int, reason: str) -> None:
    failure = refused(status, "later", wait_s=7)
    assert (failure.reason, failure.is_passing, failure.retry_after_s) == (reason, True, 7)


def test_the_one_call_of_the_tool_counts() -> None:
    assert only_call([("explain", {"risk_score": 7})], PROMPT) == ({"risk_score": 7}, None)


@pytest.mark.parametrize("calls", [[], [("explain", 1)] * 2, [("DROP TABLE", 1)], [("explain", None)]])
def test_anything_else_is_a_fault_in_our_own_words(calls: list[tuple[str, Any]]) -> None:
    given, fault = only_call(calls, PROMPT)
    assert given is None
    assert fault is not None
    assert "DROP" not in fault


def test_a_prompt_is_counted_whole() -> None:
    assert prompt_tokens(PROMPT) == 100 + 10 + 16 + 600  # "explain ", 20 d, a space and {"type": "object"} are 47 bytes


def test_other_scripts_and_broken_text_are_counted_too() -> None:
    assert tokens_of("磁盘") == 2
    assert tokens_of("\ud800") == 1
