"""What each receiver is sent, written out, and what becomes of other people's strings in it."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from iops.alert import AlertState, EventKind
from iops.insight import Fact
from services.alerts.notice import Notice
from tests.integration.examples import AT
from tests.unit.notices import DISK, FINGERPRINT, ROUTING_KEY, SECRET, a_message, a_notice, a_page

KINDS = ("alertmanager", "pagerduty", "slack", "generic")
HOSTILE = '<!channel> <@U1> & "q" \\ \u202e\n\x1b[31m' + "<" * 5_000


def sent(kind: str, notice: Notice) -> Any:
    message = a_message(notice, kind)
    assert message is not None
    return json.loads(message.body)


def test_alertmanager_gets_its_version_4() -> None:
    page = a_page(DISK, "web-1:sdb", streams_total=25)

    assert sent("alertmanager", a_notice(page=page)) == {
        "version": "4",
        "groupKey": '{}:{alertname="stall", peer_group="web-1"}',
        "truncatedAlerts": 23,
        "status": "firing",
        "receiver": "team",
        "groupLabels": {"alertname": "stall", "peer_group": "web-1"},
        "commonLabels": {"alertname": "stall", "peer_group": "web-1", "severity": "critical"},
        "commonAnnotations": {},
        "externalURL": f"https://iops.example.org/ui/alerts/{FINGERPRINT}",
        "alerts": [
            {
                "status": "firing",
                "labels": {
                    "alertname": "stall",
                    "peer_group": "web-1",
                    "severity": "critical",
                    "stream_id": "web-1:nvme0n1",
                },
                "annotations": {
                    "summary": "web-1:nvme0n1 has stalled",
                    "description": "Requests are in flight and none completes.",
                    "next_step": "Look for a lost path.",
                },
                "startsAt": "2026-11-23T02:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": f"https://iops.example.org/ui/alerts/{FINGERPRINT}",
                "fingerprint": FINGERPRINT,
            },
            {
                "status": "firing",
                "labels": {
                    "alertname": "stall",
                    "peer_group": "web-1",
                    "severity": "critical",
                    "stream_id": "web-1:sdb",
                },
                "annotations": {"summary": "web-1:sdb: stall"},
                "startsAt": "2026-11-23T02:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://iops.example.org/ui/alerts/176fe1f27cb44ec9",
                "fingerprint": "176fe1f27cb44ec9",
            },
        ],
    }


def test_alertmanager_hears_what_ended_before_the_rest() -> None:
    page = a_page(DISK, "web-1:sdb", open_alerts=(FINGERPRINT,))

    reminder = sent("alertmanager", a_notice(EventKind.REMINDER, page=page, at=AT + timedelta(hours=4)))

    assert reminder["status"] == "firing"
    assert [(each["status"], each["endsAt"]) for each in reminder["alerts"]] == [
        ("firing", "0001-01-01T00:00:00Z"),
        ("resolved", "2026-11-23T06:00:00.000Z"),
    ]


def test_alertmanager_hears_the_end() -> None:
    resolved = sent("alertmanager", a_notice(EventKind.RESOLVED))

    assert resolved["status"] == resolved["alerts"][0]["status"] == "resolved"
    assert resolved["alerts"][0]["endsAt"] == "2026-11-23T02:20:00.000Z"


def test_an_opening_that_is_late_still_tells_of_an_opening() -> None:
    over = a_page(resolved_at=AT, open_alerts=())

    assert sent("alertmanager", a_notice(EventKind.OPENED, page=over))["alerts"][0]["status"] == "firing"


def test_pagerduty_is_triggered_under_the_fingerprint() -> None:
    assert sent("pagerduty", a_notice()) == {
        "routing_key": ROUTING_KEY,
        "dedup_key": FINGERPRINT,
        "event_action": "trigger",
        "client": "IOPS Dashboard",
        "client_url": f"https://iops.example.org/ui/alerts/{FINGERPRINT}",
        "links": [{"href": f"https://iops.example.org/ui/alerts/{FINGERPRINT}", "text": "The alert"}],
        "payload": {
            "summary": "web-1:nvme0n1 has stalled",
            "severity": "critical",
            "source": "web-1:nvme0n1",
            "group": "web-1",
            "class": "stall",
            "timestamp": "2026-11-23T02:00:00.000Z",
            "custom_details": {
                "risk_score": 96.0,
                "streams": ["web-1:nvme0n1"],
                "streams_total": 1,
                "explanation": "Requests are in flight and none completes.",
                "facts": ["nothing completed for 20 s"],
                "next_steps": ["Look for a lost path."],
            },
        },
    }


def test_pagerduty_is_told_the_end_under_the_same_key() -> None:
    assert sent("pagerduty", a_notice(EventKind.RESOLVED)) == {
        "routing_key": ROUTING_KEY,
        "dedup_key": FINGERPRINT,
        "event_action": "resolve",
    }


def test_the_end_of_an_old_page_does_not_end_what_fires_again_under_its_key() -> None:
    notice = a_notice(EventKind.RESOLVED)
    assert notice.alert is not None
    again = replace(notice, alert=notice.alert.model_copy(update={"page_id": "p2", "state": AlertState.FIRING}))

    assert a_message(again, "pagerduty") is None
    assert sent("generic", again)["event"] == "resolved"


def test_slack_gets_a_headline_and_a_few_lines() -> None:
    page = a_page(DISK, "web-1:sdb")

    assert sent("slack", a_notice(page=page)) == {
        "text": "Opened: web-1:nvme0n1 has stalled",
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Opened: web-1:nvme0n1 has stalled"}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "Where: web-1:nvme0n1 and 1 more in peer group web-1\n"
                    "Risk: 96 of 100 (stall)\n"
                    "Since: 2026-11-23T02:00:00.000Z\n"
                    "nothing completed for 20 s\n"
                    "Next step: Look for a lost path.\n"
                    "Stream: web-1:sdb",
                },
            },
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": f"<https://iops.example.org/ui/alerts/{FINGERPRINT}|Open the alert>",
                },
            },
        ],
    }


def test_slack_hears_how_long_it_lasted() -> None:
    resolved = sent("slack", a_notice(EventKind.RESOLVED))

    assert resolved["text"] == "Resolved: web-1:nvme0n1 has stalled"
    assert resolved["blocks"][1]["text"]["text"].endswith(
        "Since: 2026-11-23T02:00:00.000Z\nUntil: 2026-11-23T02:20:00.000Z"
    )


def test_a_generic_receiver_gets_all_of_it() -> None:
    assert sent("generic", a_notice(EventKind.RESOLVED)) == {
        "event_id": "01J",
        "event": "resolved",
        "at": "2026-11-23T02:00:00.000Z",
        "url": f"https://iops.example.org/ui/alerts/{FINGERPRINT}",
        "page_id": "p1",
        "alert_id": FINGERPRINT,
        "peer_group": "web-1",
        "prediction_type": "stall",
        "streams": ["web-1:nvme0n1"],
        "streams_total": 1,
        "opened_at": "2026-11-23T02:00:00.000Z",
        "resolved_at": "2026-11-23T02:20:00.000Z",
        "risk_score": 96.0,
        "title": "web-1:nvme0n1 has stalled",
        "explanation": "Requests are in flight and none completes.",
        "recommendations": ["Look for a lost path."],
        "facts": [
            {
                "name": "stalled_s",
                "value": 20.0,
                "unit": "s",
                "baseline": None,
                "peers": None,
                "sentence": "nothing completed for 20 s",
            }
        ],
    }


def test_a_generic_body_is_signed_with_its_timestamp() -> None:
    message = a_message(a_notice(), "generic")

    assert message is not None
    expected = hmac.new(SECRET.encode(), b"1795399200." + message.body, hashlib.sha256).hexdigest()
    assert message.headers == {
        "Content-Type": "application/json",
        "X-IOPS-Signature": f"v1={expected}",
        "X-IOPS-Timestamp": "1795399200",
        "X-IOPS-Event-Id": "01J",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_single_insights_canaries_and_pages_past_their_time_are_not_for_webhooks(kind: str) -> None:
    for unsaid in (EventKind.INSIGHT, EventKind.CANARY):
        assert a_message(a_notice(unsaid), kind) is None
    assert a_message(replace(a_notice(), page=None), kind) is None


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_strings_are_short_printable_and_no_markup(kind: str) -> None:
    page = a_page(*(f"{number}{HOSTILE}" for number in range(20)), peer_group=HOSTILE)
    fact = Fact(name="x", value=1, unit="s", sentence=HOSTILE)
    words: dict[str, Any] = {
        "title": HOSTILE,
        "explanation": HOSTILE,
        "recommendations": (HOSTILE,) * 4,
        "facts": (fact,) * 3,
    }

    message = a_message(a_notice(page=page, **words), kind)

    assert message is not None
    assert message.body.isascii()
    assert len(message.body) < 100_000
    document = json.loads(message.body)
    if kind == "slack":
        header, lines, _ = document["blocks"]
        assert len(header["text"]["text"]) == 150
        for text in (document["text"], lines["text"]["text"]):
            assert len(text) <= 3_000
            assert "<" not in text
            assert ">" not in text
            assert "&lt;!channel&gt; &lt;@U1&gt; &amp;" in text
            assert text.rpartition("&")[2].endswith(";")
    if kind == "pagerduty":
        assert len(document["payload"]["summary"]) == 1_024
        assert "\n" not in document["payload"]["summary"]
        assert "\x1b" not in document["payload"]["summary"]


def test_a_message_shows_no_key() -> None:
    message = a_message(a_notice(), "pagerduty")

    assert ROUTING_KEY not in repr(message)
