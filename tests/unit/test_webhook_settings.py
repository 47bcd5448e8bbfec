"""Which webhooks alerts starts with, and that what refuses them tells no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from services.alerts.settings import AlertsSettings

SLACK = "https://hooks.slack.com/services/T0/B0/verysecret"
PAGER = "https://events.pagerduty.com/v2/enqueue"
HOSTS = "hooks.slack.com, Events.PagerDuty.com"
KEY = "verysecretverysecretverysecret00"


def settings(monkeypatch: pytest.MonkeyPatch, *webhooks: dict[str, Any], **variables: str) -> AlertsSettings:
    """As the environment says them."""
    monkeypatch.setenv("IOPS_WEBHOOKS", json.dumps(webhooks))
    monkeypatch.setenv("IOPS_WEBHOOK_HOSTS", HOSTS)
    for name, value in variables.items():
        monkeypatch.setenv(f"IOPS_{name}", value)
    return AlertsSettings()


def test_webhooks_are_read_from_json_and_hosts_from_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(
        monkeypatch,
        {"name": "chat", "kind": "slack", "url": SLACK},
        {"name": "pager", "kind": "pagerduty", "url": PAGER, "key": KEY},
    )

    assert [(each.name, each.kind, each.url.get_secret_value()) for each in found.webhooks] == [
        ("chat", "slack", SLACK),
        ("pager", "pagerduty", PAGER),
    ]
    assert found.webhook_hosts == {"hooks.slack.com", "events.pagerduty.com"}
    assert "verysecret" not in repr(found)


def test_without_any_there_is_none() -> None:
    assert AlertsSettings().webhooks == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "https://verysecret.example.org/x"}, "webhook chat: the host of its url is not in IOPS_WEBHOOK_HOSTS"),
        ({"url": "https://hooks.slack.com@verysecret.org/"}, "not in IOPS_WEBHOOK_HOSTS"),
        ({"url": "https://hooks.slack.com\\@verysecret.org/"}, "webhook chat"),
        ({"url": "https://[verysecret"}, "its url cannot be read"),
        ({"url": "http://hooks.slack.com/verysecret"}, "its url has to begin with https://"),
        ({"url": "/verysecret"}, "its url has to begin with https://"),
        ({"key": KEY}, "a webhook of kind slack takes no key"),
        ({"kind": "pagerduty", "url": PAGER}, "PagerDuty's routing key, 32 characters"),
        ({"kind": "pagerduty", "url": PAGER, "key": "verysecret"}, "PagerDuty's routing key, 32 characters"),
        ({"kind": "generic", "key": "verysecret"}, "needs 16 characters or more"),
        ({"kind": "verysecret"}, "Input should be 'alertmanager', 'pagerduty', 'slack' or 'generic'"),
        ({"name": "Very Secret"}, "webhooks.0.name"),
        ({"name": "bus"}, "a name of its own, other than bus"),
        ({"password": "verysecret"}, "Extra inputs are not permitted"),
        ({"url": {"verysecret": 1}}, "Input should be a valid string"),
    ],
)
def test_what_cannot_be_used_refuses_to_start_and_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, {"name": "chat", "kind": "slack", "url": SLACK} | fields)

    assert message in str(refused.value)
    assert "verysecret" not in str(refused.value).lower()


def test_two_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="each needs a name of its own"):
        settings(monkeypatch, *[{"name": "chat", "kind": "slack", "url": SLACK}] * 2)


def test_what_is_no_json_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOPS_WEBHOOKS", "[{verysecret}]")

    with pytest.raises(SettingsError) as refused:
        AlertsSettings()

    assert "webhooks" in str(refused.value)
    assert "verysecret" not in f"{refused.value}{refused.value.__cause__}"


def test_plain_http_is_for_private_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    local = {"name": "chat", "kind": "alertmanager", "url": "http://[::1]:9095/"}

    assert settings(monkeypatch, local, WEBHOOK_PRIVATE="true", WEBHOOK_HOSTS="::1").webhooks[0].name == "chat"


def test_a_lease_that_ends_while_a_webhook_hangs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="IOPS_LEASE_S of 25 or more"):
        settings(monkeypatch, {"name": "chat", "kind": "slack", "url": SLACK}, LEASE_S="10")
