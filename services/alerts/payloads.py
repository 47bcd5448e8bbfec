"""What is POSTed to a webhook: a notice in the language of its receiver, within that receiver's limits.

Pure. What streams are called and what a model wrote is other people's text: one printable line, cut, and never markup.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from iops.alert import Alert, Event, EventKind, Page, alert_id_of
from iops.clock import to_epoch_ms
from iops.telemetry import instant_to_text
from services.alerts.notice import Notice
from services.alerts.settings import Webhook, WebhookKind

CRITICAL_RISK_SCORE: Final = 95  # and above; the rest that people hear of is an error
NEVER: Final = "0001-01-01T00:00:00Z"  # what Alertmanager says of an alert that has not ended
LINE_LIMIT: Final = 1_000  # characters of one of our lines
FACTS: Final = 3
SUMMARY_LIMIT: Final = 1_024  # characters, PagerDuty's
NAME_LIMIT: Final = 255  # characters of a stream or peer group, at PagerDuty
SLACK_LIMIT: Final = 3_000  # characters of a block's text, after escaping
SLACK_HEADER_LIMIT: Final = 150  # characters
SLACK_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # without < there is no <!channel>, <@U1> or link

# Of a generic webhook. The signature covers "<timestamp>.<body>" with HMAC-SHA256, in hex behind "v1=".
SIGNATURE_HEADER: Final = "X-IOPS-Signature"
TIMESTAMP_HEADER: Final = "X-IOPS-Timestamp"  # epoch seconds of this attempt
EVENT_ID_HEADER: Final = "X-IOPS-Event-Id"  # the same in each attempt

TOLD: Final = {EventKind.OPENED: "Opened", EventKind.REMINDER: "Still firing", EventKind.RESOLVED: "Resolved"}


@dataclass(frozen=True, slots=True)
class Message:
    """A body with its headers. Its repr shows neither: there may be a key in them."""

    body: bytes
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Message({len(self.body)} bytes)"


def compose_message(notice: Notice, webhook: Webhook, *, key: str, now: datetime) -> Message | None:
    """None where there is nothing to say to this receiver: people's tools hear of pages, not of single insights or
    canaries, and of no page that is older than its row. `key` is empty where its kind takes none."""
    event, alert, page = notice.event, notice.alert, notice.page
    if event.kind not in TOLD or alert is None or page is None:
        return None
    match webhook.kind:
        case WebhookKind.ALERTMANAGER:
            return _message(alertmanager(event, alert, page, url=notice.url, receiver=webhook.name))
        case WebhookKind.SLACK:
            return _message(slack(event, alert, page, url=notice.url))
        case WebhookKind.PAGERDUTY:
            if event.kind is EventKind.RESOLVED and alert.is_active and alert.page_id not in (None, page.page_id):
                return None  # it fires again under the same dedup_key, and this would end that
            return _message(pagerduty(event, alert, page, url=notice.url, routing_key=key))
        case WebhookKind.GENERIC:
            message = _message(generic(event, alert, page, url=notice.url))
            timestamp_s = to_epoch_ms(now) // 1000
            signature = {
                SIGNATURE_HEADER: sign(key, timestamp_s=timestamp_s, body=message.body),
                TIMESTAMP_HEADER: str(timestamp_s),
                EVENT_ID_HEADER: event.event_id,
            }
            return Message(message.body, {**message.headers, **signature})


def sign(key: str, *, timestamp_s: int, body: bytes) -> str:
    """The signature of a generic webhook. A receiver makes it anew from the timestamp's header and the body as it came,
    compares the two in constant time, and refuses a timestamp that is more than five minutes off.

    >>> came = {"X-IOPS-Timestamp": "1795399200", "body": b'{"event_id":"01J"}'}
    >>> ours = sign("sixteen letters!", timestamp_s=int(came["X-IOPS-Timestamp"]), body=came["body"])
    >>> ours
    'v1=8c2d7da7ee59f83adfd66b145b2489901de16cb4b3f4d003b212efb5d1599574'
    >>> hmac.compare_digest(ours, sign("sixteen letters!", timestamp_s=1795399200, body=b'{"event_id":"01K"}'))
    False
    """
    digest = hmac.new(key.encode(), f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"v1={digest}"


def alertmanager(event: Event, alert: Alert, page: Page, *, url: str, receiver: str) -> dict[str, Any]:
    """Alertmanager's webhook, version 4: one alert for each stream of the page that is named."""
    shared = {
        "alertname": str(page.prediction_type),
        "peer_group": _line(page.peer_group),
        "severity": _severity(alert),
    }
    group = {name: shared[name] for name in ("alertname", "peer_group")}
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in group.items()) + "}",
        "truncatedAlerts": page.streams_total - len(page.streams),
        "status": "resolved" if event.kind is EventKind.RESOLVED else "firing",
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": shared,
        "commonAnnotations": {},
        "externalURL": url,
        "alerts": [_alertmanager_alert(stream_id, shared, event, alert, page, url=url) for stream_id in page.streams],
    }


def pagerduty(event: Event, alert: Alert, page: Page, *, url: str, routing_key: str) -> dict[str, Any]:
    """PagerDuty's Events v2. An incident is known by the fingerprint of the alert that opened the page."""
    target = {"routing_key": routing_key, "dedup_key": page.lead_alert_id}
    if event.kind is EventKind.RESOLVED:
        return target | {"event_action": "resolve"}
    return target | {
        "event_action": "trigger",
        "client": "IOPS Dashboard",
        "client_url": url,
        "links": [{"href": url, "text": "The alert"}],
        "payload": {
            "summary": _line(f"{alert.title}{_others(page)}", SUMMARY_LIMIT),
            "severity": _severity(alert),
            "source": _line(alert.stream_id, NAME_LIMIT),
            "group": _line(page.peer_group, NAME_LIMIT),
            "class": str(page.prediction_type),
            "timestamp": _instant(page.opened_at),
            "custom_details": {
                "risk_score": alert.peak_risk_score,
                "streams": [_line(stream_id, NAME_LIMIT) for stream_id in page.streams],
                "streams_total": page.streams_total,
                "explanation": _line(alert.explanation),
                "facts": _facts(alert),
                "next_steps": [_line(step) for step in alert.recommendations],
            },
        },
    }


def slack(event: Event, alert: Alert, page: Page, *, url: str) -> dict[str, Any]:
    """Slack's incoming webhook: a headline and the same few lines that a mail has."""
    headline = f"{TOLD[event.kind]}: {alert.title}"
    lines = [f"Where: {_where(page)}", f"Risk: {alert.peak_risk_score:g} of 100 ({page.prediction_type})"]
    lines.append(f"Since: {_instant(page.opened_at)}")
    if event.kind is EventKind.RESOLVED:
        lines.append(f"Until: {_instant(page.resolved_at or event.at)}")
    else:
        lines += [*_facts(alert), *(f"Next step: {step}" for step in alert.recommendations[:1])]
    lines += [f"Stream: {stream_id}" for stream_id in page.streams[1:]]
    return {
        "text": _escape(_line(headline), SLACK_LIMIT),
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": _line(headline, SLACK_HEADER_LIMIT)}},
            _slack_section(_escape("\n".join(map(_line, lines)), SLACK_LIMIT)),
            _slack_section(f"<{_escape(url, 2_000)}|Open the alert>"),
        ],
    }


def generic(event: Event, alert: Alert, page: Page, *, url: str) -> dict[str, Any]:
    """Our own: what a program needs to know of a page."""
    return {
        "event_id": event.event_id,
        "event": str(event.kind),
        "at": _instant(event.at),
        "url": url,
        "page_id": page.page_id,
        "alert_id": alert.alert_id,
        "peer_group": _line(page.peer_group),
        "prediction_type": str(page.prediction_type),
        "streams": [_line(stream_id) for stream_id in page.streams],
        "streams_total": page.streams_total,
        "opened_at": _instant(page.opened_at),
        "resolved_at": _instant(page.resolved_at) if page.resolved_at else None,
        "risk_score": alert.peak_risk_score,
        "title": _line(alert.title),
        "explanation": _line(alert.explanation),
        "recommendations": [_line(step) for step in alert.recommendations],
        "facts": [fact.model_dump(mode="json") | {"sentence": _line(fact.sentence)} for fact in alert.facts],
    }


def _alertmanager_alert(
    stream_id: str, shared: Mapping[str, str], event: Event, alert: Alert, page: Page, *, url: str
) -> dict[str, Any]:
    fingerprint = alert_id_of(stream_id, page.prediction_type)
    is_lead = fingerprint == page.lead_alert_id
    is_over = event.kind is EventKind.RESOLVED or (page.is_open and fingerprint not in page.open_alerts)
    ended_at = (page.resolved_at if event.kind is EventKind.RESOLVED else None) or event.at
    annotations = {"summary": _line(alert.title if is_lead else f"{stream_id}: {page.prediction_type}")}
    if is_lead:
        next_step = _line(" ".join(alert.recommendations[:1]))
        annotations |= {"description": _line(alert.explanation), "next_step": next_step}
    return {
        "status": "resolved" if is_over else "firing",
        "labels": {**shared, "stream_id": _line(stream_id)},
        "annotations": annotations,
        "startsAt": _instant(page.opened_at),
        "endsAt": _instant(ended_at) if is_over else NEVER,
        "generatorURL": url if is_lead else url.replace(alert.alert_id, fingerprint),
        "fingerprint": fingerprint,
    }


def _slack_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _message(document: dict[str, Any]) -> Message:
    body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return Message(body, {"Content-Type": "application/json"})


def _severity(alert: Alert) -> str:
    return "critical" if alert.peak_risk_score >= CRITICAL_RISK_SCORE else "error"


def _where(page: Page) -> str:
    return f"{page.streams[0]}{_others(page)} in peer group {page.peer_group}"


def _others(page: Page) -> str:
    return f" and {page.streams_total - 1} more" if page.streams_total > 1 else ""


def _facts(alert: Alert) -> list[str]:
    return [_line(fact.sentence) for fact in alert.facts[:FACTS]]


def _instant(at: datetime) -> str:
    return instant_to_text(to_epoch_ms(at))


def _line(text: str, limit: int = LINE_LIMIT) -> str:
    """One printable line.

    >>> _line("sda\\n\\x1b[31mred", 8), _line("abcdef", 4)
    ('sda  [3…', 'abc…')
    """
    printable = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    return printable if len(printable) <= limit else f"{printable[: limit - 1]}…"


def _escape(text: str, limit: int) -> str:
    """Text that Slack shows as it is, cut between two characters and never within an escaped one.

    >>> _escape("<!channel> & co", 100), _escape("a<<<", 9)
    ('&lt;!channel&gt; &amp; co', 'a&lt;&lt;')
    """
    escaped, length = [], 0
    for character in text:
        length += len(written := SLACK_ESCAPES.get(character, character))
        if length > limit:
            break
        escaped.append(written)
    return "".join(escaped)
