"""What insights does with an operator's word: stored once, shown, and quiet where it was a dismissal."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.insight import Insight, PredictionType
from services.insights import routes
from tests.unit.builders import AT, DISK, an_insight, clock_at
from tests.unit.fakes import aws_error
from tests.unit.routed import an_app
from tests.unit.test_get_insights import Door, door

__all__ = ["door"]  # a fixture

THROTTLED = PredictionType.THROUGHPUT_THROTTLING


async def an_insight_of(door: Door, **fields: Any) -> Insight:
    """A stored insight of a known stream."""
    await door.add_stream()
    insight = an_insight(DISK, prediction_type=PredictionType.FAIL_SLOW, **fields)
    door.table.add(items.insight_item(insight))
    return insight


async def say(door: Door, insight: Insight, status: int = 201, *, key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await door.client.post(f"/insights/{insight.insight_id}/feedback", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == ("application/json" if status == 201 else "application/problem+json")
    return answer.json()


def at_hour(door: Door, hours: float) -> None:
    """So many hours later."""
    now = clock_at(AT + timedelta(hours=hours))
    an_app().state.insights = routes.Insights(door.table.table(), now)


async def test_a_word_is_stored_with_who_gave_it_and_shown_with_its_insight(door: Door) -> None:
    insight = await an_insight_of(door)

    stored = await say(door, insight, verdict="wrong_cause", text=" a snapshot\x1b[31m ", prediction_type=THROTTLED)

    expected = {
        "insight_id": insight.insight_id,
        "verdict": "wrong_cause",
        "created_at": "2026-11-23T02:00:00Z",
        "text": "a snapshot[31m",
        "prediction_type": "throughput_throttling",
        "given_by": "127.0.0.1",
        "quiet_until": None,
    }
    assert stored == expected | {"feedback_id": stored["feedback_id"]}
    assert (await door.get(f"/insights/{insight.insight_id}"))["feedback"] == [stored]
    (row,) = door.table.of_type("feedback")
    assert items.item_to_feedback(row).model_dump(mode="json") == stored


async def test_a_dismissal_says_until_when_and_the_stream_shows_it_until_then(door: Door) -> None:
    insight = await an_insight_of(door)

    stored = await say(door, insight, verdict="dismiss")

    until = "2026-11-24T02:00:00Z"
    assert stored["quiet_until"] == until
    (stream,) = (await door.get("/streams"))["items"]
    assert stream["quiet"] == [{"prediction_type": "fail_slow", "until": until}]
    at_hour(door, 24)
    assert (await door.get(f"/streams/{DISK}"))["quiet"] == []


@pytest.mark.parametrize("verdict", ["confirm", "wrong_cause"])
async def test_who_thinks_again_ends_the_quiet(door: Door, verdict: str) -> None:
    insight = await an_insight_of(door)
    await say(door, insight, verdict="dismiss")

    await say(door, insight, verdict=verdict)

    assert (await door.get(f"/streams/{DISK}"))["quiet"] == []
    said = (await door.get(f"/insights/{insight.insight_id}"))["feedback"]
    assert [word["verdict"] for word in said] == ["dismiss", verdict]
    first, last = (datetime.fromisoformat(word["created_at"]) for word in said)
    assert first < last, "the last word is the last in every list by time"


@pytest.mark.parametrize("key", ["k1", None])
async def test_the_same_word_again_is_stored_once(door: Door, key: str | None) -> None:
    insight = await an_insight_of(door)

    first = await say(door, insight, key=key, verdict="dismiss", text="a backup")
    at_hour(door, 1)
    again = await say(door, insight, key=key, verdict="dismiss", text="a backup")

    assert again == first
    assert len(door.table.of_type("feedback")) == len(door.table.of_type("word")) == 1


async def test_a_key_finds_its_word_whatever_was_said_since(door: Door) -> None:
    insight = await an_insight_of(door)
    first = await say(door, insight, key="k1", verdict="dismiss")
    await say(door, insight, key="k2", verdict="confirm")

    assert await say(door, insight, key="k1", verdict="dismiss") == first
    assert (await say(door, insight, 422, key="k1", verdict="confirm"))["errors"][0]["field"] == "Idempotency-Key"
    assert len(door.table.of_type("feedback")) == 2


async def test_what_was_dismissed_may_be_dismissed_again_when_the_quiet_is_over(door: Door) -> None:
    insight = await an_insight_of(door)
    await say(door, insight, verdict="dismiss")
    at_hour(door, 24)

    assert (await say(door, insight, verdict="dismiss"))["quiet_until"] == "2026-11-25T02:00:00Z"


@pytest.mark.parametrize("key", ["k1", None])
async def test_a_word_sent_twice_at_once_is_stored_once(door: Door, key: str | None) -> None:
    insight = await an_insight_of(door)

    first, second = await asyncio.gather(*(say(door, insight, key=key, verdict="dismiss") for _ in range(2)))

    assert first == second
    assert len(door.table.of_type("feedback")) == 1


async def test_two_operators_at_once_are_both_heard(door: Door) -> None:
    insight = await an_insight_of(door)

    await asyncio.gather(*(say(door, insight, verdict=verdict) for verdict in ("dismiss", "confirm")))

    said = (await door.get(f"/insights/{insight.insight_id}"))["feedback"]
    assert sorted(word["verdict"] for word in said) == ["confirm", "dismiss"]
    quiet = (await door.get(f"/streams/{DISK}"))["quiet"]
    assert len(quiet) == (said[-1]["verdict"] == "dismiss")


async def test_the_table_away_stores_nothing_and_asks_to_come_again(door: Door) -> None:
    insight = await an_insight_of(door)
    door.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    assert (await say(door, insight, 503, verdict="dismiss"))["code"] == "table_unavailable"

    assert door.table.of_type("feedback") == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "maybe"},
        {"verdict": ["confirm"]},
        {"verdict": "confirm", "text": "x" * 1_001},
        {"verdict": "confirm", "text": 7},
        {"verdict": "confirm", "mood": "good"},
        {"verdict": "confirm", "prediction_type": "stall"},
        {"verdict": "wrong_cause", "prediction_type": "gremlins"},
        {"verdict": "wrong_cause", "prediction_type": "fail_slow"},
    ],
    ids=str,
)
async def test_what_breaks_the_contract_is_a_422_that_names_it(door: Door, body: dict[str, Any]) -> None:
    insight = await an_insight_of(door)

    problem = await say(door, insight, 422, **body)

    assert problem["code"] == "invalid_input"
    assert door.table.of_type("feedback") == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"confirm", 422),
        (b"[]", 422),
        (b'{"verdict":"confirm","text":"\\ud800"}', 422),
        (b"x" * 16_385, 413),
    ],
)
async def test_a_body_that_is_none_is_a_problem(door: Door, content: bytes, status: int) -> None:
    insight = await an_insight_of(door)

    answer = await door.client.post(f"/insights/{insight.insight_id}/feedback", content=content)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_a_text_of_1000_characters_and_an_unknown_insight(door: Door) -> None:
    insight = await an_insight_of(door)

    assert (await say(door, insight, verdict="confirm", text="\U0001f4be" * 1_000))["text"] == "\U0001f4be" * 1_000
    assert (await say(door, an_insight(), 404, verdict="confirm"))["code"] == "not_found"


async def test_the_end_of_an_episode_takes_no_word(door: Door) -> None:
    insight = await an_insight_of(door, risk_score=20.0)

    assert (await say(door, insight, 422, verdict="dismiss"))["errors"][0]["field"] == "insight_id"


async def test_more_words_than_people_have_are_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    insight = await an_insight_of(door)
    monkeypatch.setattr("services.insights.hear.WORDS_LIMIT", 2)
    for verdict in ("confirm", "dismiss"):
        await say(door, insight, verdict=verdict)

    await say(door, insight, 422, verdict="confirm")
