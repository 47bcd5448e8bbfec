"""What an answer of a receiver means."""

from __future__ import annotations

import pytest

from services.alerts.settings import WebhookKind
from services.alerts.webhook import Answer, judge
from tests.integration.examples import AT

ALERTMANAGER, PAGERDUTY, SLACK = WebhookKind.ALERTMANAGER, WebhookKind.PAGERDUTY, WebhookKind.SLACK
GENERIC = WebhookKind.GENERIC
ACCEPTANCES = [
    (SLACK, 200, b"ok"),
    (PAGERDUTY, 202, b'{"status":"success","message":"Event processed","dedup_key":"k"}'),
    (GENERIC, 204, b""),
    (GENERIC, 200, b"<html>thanks</html>"),
    (GENERIC, 200, b'{"error":null,"ok":true}'),
    (ALERTMANAGER, 200, b'["error"]'),
    (ALERTMANAGER, 200, b'{"status":"success"}'),
]
ERRORS_IN_A_200 = [
    (SLACK, 200, b"invalid_payload"),
    (SLACK, 200, b""),
    (PAGERDUTY, 200, b'{"status":"success"}'),
    (PAGERDUTY, 202, b'{"status":"invalid event"}'),
    (PAGERDUTY, 202, b"[" * 10_000),
    (GENERIC, 200, b'{"error":"no such channel"}'),
    (GENERIC, 200, b'{"success":false}'),
    (GENERIC, 200, b'{"errors":["x"]}'),
    (ALERTMANAGER, 200, b'{"status":"error"}'),
]


@pytest.mark.parametrize(("kind", "status", "body"), ACCEPTANCES)
def test_an_acceptance(kind: WebhookKind, status: int, body: bytes) -> None:
    assert judge(Answer(status, None, body), kind, now=AT) is None


@pytest.mark.parametrize(("kind", "status", "body"), ERRORS_IN_A_200)
def test_an_error_in_a_200_is_no_acceptance(kind: WebhookKind, status: int, body: bytes) -> None:
    refusal = judge(Answer(status, None, body), kind, now=AT)

    assert refusal is not None
    assert not refusal.needs_a_person


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 410])
def test_what_a_person_has_to_mend_is_tried_every_quarter_of_an_hour(status: int) -> None:
    refusal = judge(Answer(status, "1", b"ok"), SLACK, now=AT)

    assert refusal is not None
    assert refusal.needs_a_person
    assert refusal.retry_after_s == 900
    assert "the secret iops-dashboard/alerts" in refusal.reason


@pytest.mark.parametrize(
    ("status", "retry_after", "wait_s"),
    [
        (429, "120", 120),
        (503, "Mon, 23 Nov 2026 02:01:30 GMT", 90),
        (503, "Mon, 23 Nov 2026 01:00:00 GMT", 2),
        (503, "Mon, 23 Nov 2026 02:01:30", 2),  # no zone
        (429, "9" * 400, 3_600),
        (429, "\u0663", 2),
        (429, "-5", 2),
        (429, None, 2),
        (500, "120", 2),
        (408, None, 2),
    ],
)
def test_what_passes_by_itself_is_tried_again_when_the_receiver_says(
    status: int, retry_after: str | None, wait_s: int
) -> None:
    refusal = judge(Answer(status, retry_after, b""), GENERIC, now=AT)

    assert refusal is not None
    assert (refusal.retry_after_s, refusal.needs_a_person) == (wait_s, False)
