"""An insight on the bus: which reach people, and that its text cannot break their mail."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iops.events import insight_to_entry, mail_transformer, rule_pattern
from iops.insight import Fact, Insight
from tests.unit.builders import AT, an_insight

URL = "http://127.0.0.1:8080/alerts/0123456789abcdef"


def an_event(**fields: Any) -> dict[str, Any]:
    """What EventBridge makes of the entry."""
    entry = insight_to_entry(an_insight(**fields), alert_url=URL)
    return {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """EventBridge's rules for a pattern of exact values and `numeric`; a number in quotes is no number."""
    return all(
        matches(wanted, event.get(name, {}))
        if isinstance(wanted, dict)
        else any(_is_one(event.get(name), option) for option in wanted)
        for name, wanted in pattern.items()
    )


def _is_one(value: object, option: object) -> bool:
    if not isinstance(option, dict):
        return value == option
    operator, bound = option["numeric"]
    assert operator == ">="
    return isinstance(value, int | float) and value >= bound


@pytest.mark.parametrize(
    ("risk_score", "reaches_people"),
    [(0, False), (60, False), (79, False), (79.9, False), (80, True), (80.0, True), (80.5, True), (100, True)],
)
def test_80_reaches_people_and_79_does_not(risk_score: float, reaches_people: bool) -> None:
    assert matches(rule_pattern(), an_event(risk_score=risk_score)) is reaches_people


@pytest.mark.parametrize("change", [{"source": "aws.ec2"}, {"detail-type": "Feedback"}, {"detail": {}}])
def test_other_events_on_the_bus_do_not(change: dict[str, Any]) -> None:
    assert not matches(rule_pattern(), an_event(risk_score=90) | change)


def test_the_risk_is_a_number_in_the_event() -> None:
    assert not matches(rule_pattern(), an_event() | {"detail": {"risk_score": "90"}})
    assert isinstance(an_event(risk_score=90)["detail"]["risk_score"], int | float)


def test_the_detail_is_the_insight_and_nothing_is_lost() -> None:
    insight = an_insight(risk_score=87.5)
    detail = json.loads(insight_to_entry(insight, alert_url=URL)["Detail"])

    detail.pop("mail")
    assert Insight.model_validate_json(json.dumps(detail)) == insight


def test_the_mail_says_what_where_since_when_why_and_what_to_do() -> None:
    mail = an_event(risk_score=90)["detail"]["mail"]

    assert mail == {
        "title": "web-1:nvme0n1 has stalled",
        "risk": "90 (stall)",
        "where": "web-1:nvme0n1 in peer group web-1",
        "since": "2026-11-23T01:59:00.000Z",
        "fact_1": "nothing completed for 20 s",
        "fact_2": "-",
        "fact_3": "-",
        "next_step": "Look for a lost path.",
        "url": URL,
    }


def rendered(event: dict[str, Any]) -> str:
    """EventBridge's input transformer: it pastes what the paths say between the quotes and escapes nothing."""
    transformer = mail_transformer()

    def value_of(match: re.Match[str]) -> str:
        value: Any = event
        for step in transformer["InputPathsMap"][match.group(1)].removeprefix("$.").split("."):
            value = value[step]
        return str(value)

    return re.sub(r"<(\w+)>", value_of, transformer["InputTemplate"])


hostile = st.one_of(
    st.text(max_size=50),
    st.sampled_from(
        ['"', "\\", "\\n", "a\nb", "a\r\nSubject: x", "<url>", "\u2028", "\u202e", "\0", "\ud800", "x" * 999]
    ),
)


@given(st.tuples(*[hostile] * 5))
def test_no_string_of_a_stream_can_break_the_mail(texts: tuple[str, ...]) -> None:
    stream, group, title, sentence, step = texts
    fact = Fact(name="x", value=1, unit="s", sentence=sentence)

    event = an_event(
        stream_id=stream, peer_group=group, title=title, facts=(fact,) * 5, recommendations=(step,), created_at=AT
    )

    for line in event["detail"]["mail"].values():
        assert not set(line) & set('"\\\n\r<>')
        assert line.isprintable()
        assert len(line) <= 400
    lines = rendered(event).split("\n")
    assert len(lines) == 9
    assert all(isinstance(json.loads(line), str) for line in lines)


def test_every_place_in_the_mail_is_filled() -> None:
    transformer = mail_transformer()

    assert set(re.findall(r"<(\w+)>", transformer["InputTemplate"])) == set(transformer["InputPathsMap"])
    assert "<" not in rendered(an_event())
    assert len(transformer["InputPathsMap"]) <= 100  # EventBridge's limit
    assert all(not name.startswith("AWS") for name in transformer["InputPathsMap"])
