"""An event on the bus: which reach people, that it is never too big, and that no text can break a mail."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iops.alert import Event, EventKind, Page
from iops.events import ENTRY_LIMIT_BYTES, mail_transformer, read_mail, rule_pattern
from iops.insight import Fact, Insight, PredictionType
from services.alerts.entry import notice_to_entry
from services.alerts.notice import Notice
from tests.unit.builders import AT, an_alert, an_insight

URL = "http://127.0.0.1:8080/alerts/0123456789abcdef"


def a_notice(kind: EventKind = EventKind.OPENED, **parts: Any) -> Notice:
    return Notice(Event(event_id="01E", kind=kind, at=AT, alert_id="a", page_id="p"), URL, **parts)


def bus_event(notice: Notice) -> dict[str, Any]:
    """What EventBridge makes of the entry."""
    entry = notice_to_entry(notice)
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


@pytest.mark.parametrize("risk_score", [0, 60, 79, 79.9, 80, 100])
def test_an_insight_that_is_no_alert_reaches_programs_only(risk_score: float) -> None:
    event = bus_event(a_notice(EventKind.INSIGHT, insight=an_insight(risk_score=risk_score)))

    assert not matches(rule_pattern(), event)
    assert event["detail"]["risk_now"] == risk_score
    assert "mail" not in event["detail"]


@pytest.mark.parametrize("kind", [EventKind.OPENED, EventKind.REMINDER, EventKind.RESOLVED])
def test_what_was_80_once_reaches_people_though_it_is_20_now(kind: EventKind) -> None:
    event = bus_event(a_notice(kind, alert=an_alert(risk_score=20, peak_risk_score=97)))

    assert matches(rule_pattern(), event)
    assert (event["detail"]["risk_score"], event["detail"]["risk_now"]) == (97, 20)


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind is not EventKind.INSIGHT])
def test_what_people_have_to_hear_reaches_them_where_no_row_can_be_read(kind: EventKind) -> None:
    assert matches(rule_pattern(), bus_event(a_notice(kind)))


def test_the_detail_type_says_opened_resolved_and_canary_apart() -> None:
    types = {kind: bus_event(a_notice(kind))["detail-type"] for kind in EventKind}

    assert types == {
        "insight": "Insight",
        "opened": "Insight",
        "reminder": "Insight",
        "resolved": "Resolved",
        "canary": "Canary",
    }


@pytest.mark.parametrize("change", [{"source": "aws.ec2"}, {"detail-type": "Feedback"}, {"detail": {}}])
def test_other_events_on_the_bus_do_not(change: dict[str, Any]) -> None:
    assert not matches(rule_pattern(), bus_event(a_notice(alert=an_alert())) | change)


def test_the_detail_is_the_insight_and_nothing_is_lost() -> None:
    insight = an_insight(risk_score=87.5)

    detail = bus_event(a_notice(insight=insight))["detail"]

    assert Insight.model_validate_json(json.dumps(detail)) == insight
    assert detail["event_id"] == "01E"


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


@settings(max_examples=40)
@given(st.tuples(*[hostile] * 5))
def test_no_string_of_a_stream_can_break_the_mail_or_its_json(texts: tuple[str, ...]) -> None:
    stream, group, title, sentence, step = texts
    fact = Fact(name="x", value=1, unit="s", sentence=sentence)
    alert = an_alert(stream_id=stream, peer_group=group, title=title, facts=(fact,), recommendations=(step,))

    message = rendered(bus_event(a_notice(alert=alert)))

    assert len(message.split("\n")) == 10
    assert all(isinstance(json.loads(line), str) for line in message.split("\n"))
    lines, body = read_mail(message)
    assert len(lines) == 9
    assert (body["event_id"], body["risk_score"], body["url"]) == ("01E", 90, URL)


def test_the_json_reads_the_same_where_eventbridge_took_its_quotes_away() -> None:
    message = rendered(bus_event(a_notice(alert=an_alert())))
    bare = "\n".join(line[1:-1].replace('\\"', '"') for line in message.split("\n"))

    assert read_mail(bare) == read_mail(message)


@pytest.mark.parametrize("message", ["", "Hello.", "1", "{}\nx"])
def test_another_message_is_no_mail_of_ours(message: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|JSON|unpack"):
        read_mail(message)


def test_the_template_is_within_what_eventbridge_takes() -> None:
    transformer = mail_transformer()

    assert len(transformer["InputTemplate"]) <= 8192
    assert len(transformer["InputPathsMap"]) <= 100


def test_ten_of_the_longest_entries_stay_below_what_one_call_takes() -> None:
    long = "\U0001f525" * 20_000
    facts = tuple(Fact(name=long, value=1, unit=long, sentence=long) for _ in range(100))
    words = {"title": long, "explanation": long, "recommendations": (long,) * 9, "facts": facts}
    page = Page(
        page_id="p",
        peer_group="g" * 200,
        prediction_type=PredictionType.STALL,
        lead_alert_id="a",
        opened_at=AT,
        told_at=AT,
        streams=("s" * 200,) * 20,
        streams_total=1_000,
        open_alerts=("f" * 16,) * 1_000,
        version=1,
    )
    insight = an_insight("s" * 200, peer_group="g" * 200, labels={str(n): long for n in range(16)}, **words)

    entry = notice_to_entry(a_notice(insight=insight, alert=an_alert("s" * 200, **words), page=page))

    detail = json.loads(entry["Detail"])
    assert len(entry["Detail"].encode()) <= ENTRY_LIMIT_BYTES
    assert (detail["is_cut"], detail["event_id"], detail["stream_id"]) == (True, "01E", "s" * 200)
