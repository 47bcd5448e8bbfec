"""Which webhooks alerts starts with, and that what refuses them tells no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from iops.contract import ALERTS_SECRETS
from iops.observability import Metrics
from iops.secrets import SecretUnread
from services.alerts.settings import AlertsSettings
from services.alerts.webhook_secrets import WebhookSecrets, open_webhook_secrets
from tests.secret_documents import write_secrets

SLACK = "https://hooks.slack.com/services/T0/B0/verysecret"
PAGER = "https://events.pagerduty.com/v2/enqueue"
HOSTS = "hooks.slack.com, Events.PagerDuty.com"
KEY = "verysecretverysecretverysecret00"


def settings(patch: pytest.MonkeyPatch, *webhooks: dict[str, Any], **variables: str) -> AlertsSettings:
    """As the environment says them."""
    patch.setenv("IOPS_WEBHOOKS", json.dumps(webhooks))
    patch.setenv("IOPS_WEBHOOK_HOSTS", HOSTS)
    for name, value in variables.items():
        patch.setenv(f"IOPS_{name}", value)
    return AlertsSettings()


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("IOPS_SECRETS_FILE", str(tmp_path / "secrets.json"))
    return monkeypatch


async def secrets_of(configured: AlertsSettings, document: Any) -> WebhookSecrets:
    """As alerts has them once it started."""
    assert configured.secrets_file is not None
    write_secrets(configured.secrets_file, {ALERTS_SECRETS: document})
    async with open_webhook_secrets(configured, Metrics()) as secrets:
        assert secrets is not None
        return secrets.current


async def test_webhooks_are_read_from_json_hosts_from_a_list_and_secrets_from_their_document(
    patch: pytest.MonkeyPatch,
) -> None:
    configured = settings(patch, {"name": "chat", "kind": "slack"}, {"name": "pager", "kind": "pagerduty"})
    found = await secrets_of(configured, {"webhooks": {"chat": {"url": SLACK}, "pager": {"url": PAGER, "key": KEY}}})

    assert [(each.name, each.kind) for each in configured.webhooks] == [("chat", "slack"), ("pager", "pagerduty")]
    assert configured.webhook_hosts == {"hooks.slack.com", "events.pagerduty.com"}
    assert found.webhooks["chat"].url.get_secret_value() == SLACK
    assert "verysecret" not in f"{found!r}{found}{found.model_dump()}{found.model_dump_json()}"


async def test_without_webhooks_nothing_is_read(patch: pytest.MonkeyPatch) -> None:
    configured = AlertsSettings()

    assert configured.webhooks == ()
    async with open_webhook_secrets(configured, Metrics()) as secrets:
        assert secrets is None


@pytest.mark.parametrize(
    ("kind", "secret", "message"),
    [
        ("slack", {"url": "https://verysecret.org/x"}, "'webhooks.chat': the host of its url is not in IOPS_WEBHOOK_H"),
        ("slack", {"url": "https://hooks.slack.com@verysecret.org/"}, "not in IOPS_WEBHOOK_HOSTS"),
        ("slack", {"url": "https://hooks.slack.com\\@verysecret.org/"}, "'webhooks.chat'"),
        ("slack", {"url": "https://[verysecret"}, "its url cannot be read"),
        ("slack", {"url": "http://hooks.slack.com/verysecret"}, "its url has to begin with https://"),
        ("slack", {"url": "/verysecret"}, "its url has to begin with https://"),
        ("slack", {"url": SLACK, "key": KEY}, "a webhook of kind slack takes no key"),
        ("pagerduty", {"url": PAGER}, "PagerDuty's routing key, 32 characters"),
        ("pagerduty", {"url": PAGER, "key": "verysecret"}, "PagerDuty's routing key, 32 characters"),
        ("generic", {"url": SLACK, "key": "verysecret"}, "needs 16 characters or more"),
        ("slack", {"key": KEY}, "'webhooks.chat.url': Field required"),
        ("slack", {"url": {"verysecret": 1}}, "'webhooks.chat.url': Input should be a valid string"),
        ("slack", {"url": SLACK, "verysecret": 1}, "'webhooks.chat.?': Extra inputs are not permitted"),
    ],
)
async def test_a_secret_that_cannot_be_used_refuses_to_start_and_is_not_quoted(
    patch: pytest.MonkeyPatch, kind: str, secret: dict[str, Any], message: str
) -> None:
    configured = settings(patch, {"name": "chat", "kind": kind})

    with pytest.raises(SecretUnread) as refused:
        await secrets_of(configured, {"webhooks": {"chat": secret}})

    assert message in str(refused.value)
    assert f"the secret {ALERTS_SECRETS} cannot be used" in str(refused.value)
    assert "verysecret" not in f"{refused.value!r}{refused.value.__cause__!r}{refused.value.__context__!r}".lower()


async def test_a_webhook_without_its_secret_refuses_to_start(patch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SecretUnread, match=r"iops-dashboard/alerts cannot be used: 'webhooks\.chat\.url': it is not"):
        await secrets_of(settings(patch, {"name": "chat", "kind": "slack"}), {"webhooks": {}})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "verysecret"}, "Input should be 'alertmanager', 'pagerduty', 'slack' or 'generic'"),
        ({"name": "Very Secret"}, "webhooks.0.name"),
        ({"name": "bus"}, "a name of its own, other than bus"),
        ({"url": "https://hooks.slack.com/verysecret"}, "webhooks.0.url\n  Extra inputs are not permitted"),
    ],
)
def test_a_setting_that_cannot_be_used_refuses_to_start_and_is_not_quoted(
    patch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(patch, {"name": "chat", "kind": "slack"} | fields)

    assert message in str(refused.value)
    assert "verysecret" not in str(refused.value).lower()


def test_two_of_one_name_are_refused(patch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="each needs a name of its own"):
        settings(patch, *[{"name": "chat", "kind": "slack"}] * 2)


def test_what_is_no_json_is_not_quoted(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("IOPS_WEBHOOKS", "[{verysecret}]")

    with pytest.raises(SettingsError) as refused:
        AlertsSettings()

    assert "webhooks" in str(refused.value)
    assert "verysecret" not in f"{refused.value}{refused.value.__cause__}"


async def test_plain_http_is_for_private_networks(patch: pytest.MonkeyPatch) -> None:
    local = settings(patch, {"name": "chat", "kind": "alertmanager"}, WEBHOOK_PRIVATE="true", WEBHOOK_HOSTS="::1")

    assert (await secrets_of(local, {"webhooks": {"chat": {"url": "http://[::1]:9095/"}}})).webhooks


def test_a_lease_that_ends_while_a_webhook_hangs_is_refused(patch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="IOPS_LEASE_S of 25 or more"):
        settings(patch, {"name": "chat", "kind": "slack"}, LEASE_S="10")
