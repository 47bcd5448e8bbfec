"""Webhooks against a receiver on a real socket: what it takes, how it fails, and where nothing is ever sent."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from structlog.testing import capture_logs

from iops.alert import EventKind
from iops.errors import Unavailable
from iops.observability import Metrics
from iops.secrets import Secret
from services.alerts.addresses import IsPermitted, is_public
from services.alerts.settings import AlertsSettings
from services.alerts.webhook import Timeouts, WebhookTarget, open_webhooks
from services.alerts.webhook_secrets import WebhookSecrets
from tests.doubles.hook import Does, running_hook
from tests.integration.examples import AT
from tests.secret_documents import a_secret
from tests.unit.notices import KEYS, a_notice

SHORT = Timeouts(connect_s=0.3, deadline_s=0.5)
LIMIT_S = 5.0
METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"


class NameServer(AbstractResolver):
    """Answers with one list of addresses after the other; the last one stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = deque(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.asked += 1
        addresses = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """It holds nothing."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)


@asynccontextmanager
async def webhook(
    url: str,
    kind: str = "generic",
    *,
    resolver: AbstractResolver | None = None,
    is_permitted: IsPermitted | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[WebhookTarget]:
    """The one that the settings name; its host is on the list."""
    settings = a_settings({"team": kind})
    counts = metrics or Metrics()
    async with open_webhooks(
        settings,
        secrets_of({"team": url}, key=KEYS.get(kind)),
        lambda: AT,
        counts,
        resolver=resolver,
        is_permitted=is_permitted,
        timeouts=SHORT,
    ) as (target,):
        yield target


def a_settings(kinds: Mapping[str, str]) -> AlertsSettings:
    """Webhooks by their names."""
    return AlertsSettings.model_validate(
        {
            "webhooks": [{"name": name, "kind": kind} for name, kind in kinds.items()],
            "webhook_hosts": "127.0.0.1,team.example.org,::1,::ffff:7f00:1,169.254.169.254",
            "webhook_private": True,
        }
    )


def secrets_of(urls: Mapping[str, str], *, key: str | None = None) -> Secret[WebhookSecrets]:
    """By the webhooks' names, all with one key."""
    document = {"webhooks": {name: {"url": url, "key": key} for name, url in urls.items()}}
    return a_secret(WebhookSecrets.model_validate(document))


async def refusal_of(target: WebhookTarget) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        await asyncio.wait_for(target.send([a_notice()]), LIMIT_S)
    return refused.value


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("generic", Does(204)),
        ("alertmanager", Does(200)),
        ("slack", Does(200, b"ok")),
        ("pagerduty", Does(202, b'{"status":"success"}')),
    ],
)
async def test_each_kind_is_posted_and_taken(kind: str, answer: Does) -> None:
    async with running_hook() as hook, webhook(hook.url(), kind) as target:
        hook.always = answer

        assert await target.send([a_notice()]) == [True]

        assert hook.headers[0]["Content-Type"] == "application/json"
        assert "web-1:nvme0n1 has stalled" in json.dumps(json.loads(hook.bodies[0]))


async def test_what_is_not_for_people_is_taken_and_not_sent() -> None:
    async with running_hook() as hook, webhook(hook.url()) as target:
        assert await target.send([a_notice(EventKind.CANARY)]) == [True]
        assert hook.bodies == []


@pytest.mark.parametrize("does", [Does(hangs=True), Does(drips=True)])
async def test_a_receiver_that_hangs_or_drips_is_left_at_the_deadline(does: Does) -> None:
    async with running_hook() as hook, webhook(hook.url()) as target:
        hook.always = does

        began_s = time.monotonic()
        refused = await refusal_of(target)

        assert refused.detail == "webhook team: it did not answer in time"
        assert time.monotonic() - began_s < 2


@pytest.mark.parametrize("where", [METADATA, "itself"])
async def test_no_redirect_is_followed(where: str) -> None:
    async with running_hook() as hook, webhook(hook.url()) as target:
        location = hook.url() if where == "itself" else where
        hook.always = Does(307, headers={"Location": location})

        refused = await refusal_of(target)

        assert "redirects are not followed" in refused.detail
        assert refused.retry_after_s == 900
        assert len(hook.bodies) == 1


async def test_a_200_with_an_error_is_tried_again() -> None:
    async with running_hook() as hook, webhook(hook.url(), "slack") as target:
        hook.does.append(Does(200, b"invalid_payload"))
        hook.always = Does(200, b"ok")

        assert "with an error in the body" in (await refusal_of(target)).detail
        assert await target.send([a_notice()]) == [True]


async def test_an_answer_without_end_is_read_no_further_than_64_kb() -> None:
    async with running_hook() as hook, webhook(hook.url()) as target:
        hook.always = Does(200, b"x" * 5_000_000)

        assert await target.send([a_notice()]) == [True]


async def test_a_receiver_says_when_to_come_again() -> None:
    async with running_hook() as hook, webhook(hook.url()) as target:
        hook.always = Does(503, headers={"Retry-After": "77"})

        assert (await refusal_of(target)).retry_after_s == 77


async def test_what_a_person_has_to_mend_is_an_error_once_and_shows_its_age() -> None:
    metrics = Metrics()
    async with running_hook() as hook, webhook(hook.url("127.0.0.1"), metrics=metrics) as target:
        hook.always = Does(404)
        with capture_logs() as lines:
            await refusal_of(target)
            await refusal_of(target)

        errors = [line for line in lines if line["log_level"] == "error"]
        assert [(line["event"], line["target"]) for line in errors] == [("webhook_rejected", "team")]
        assert "hook" not in errors[0]["reason"]
        assert 'iops_webhook_posts_total{outcome="rejected",target="team"} 2.0' in metrics.expose().decode()


async def test_a_refused_connection_tells_no_url() -> None:
    async with running_hook() as hook:
        url = hook.url()
    async with webhook(url) as target:
        refused = await refusal_of(target)

    assert refused.detail == "webhook team: it could not be reached (ClientConnectorError)"


@pytest.mark.parametrize(
    "answers",
    [("127.0.0.1",), ("::1",), ("10.0.0.7", "::1", "127.0.0.1"), ("::ffff:127.0.0.1",), ("169.254.169.254",)],
)
async def test_a_name_with_private_addresses_is_connected_to_nowhere(answers: tuple[str, ...]) -> None:
    async with running_hook() as hook:
        url = hook.url("team.example.org")
        async with webhook(url, resolver=NameServer(answers), is_permitted=is_public) as target:
            assert "could not be reached" in (await refusal_of(target)).detail

        assert hook.bodies == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_an_address_in_the_url_is_asked_about_too(host: str) -> None:
    async with running_hook() as hook, webhook(hook.url(host), is_permitted=is_public) as target:
        assert "could not be reached" in (await refusal_of(target)).detail
        assert hook.bodies == []


async def test_where_private_networks_are_allowed_the_metadata_are_not() -> None:
    with capture_logs() as lines:
        async with webhook(METADATA) as target:
            await refusal_of(target)

    assert [line["address"] for line in lines if line["event"] == "webhook_address_refused"] == ["169.254.169.254"]


async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """127.0.0.1 plays the public address, 127.0.0.2 the one behind the wall."""
    names = NameServer(("127.0.0.1",), ("127.0.0.2",))
    async with running_hook() as outside, running_hook("127.0.0.2", port=outside.port) as inside:
        url = outside.url("team.example.org")
        async with webhook(url, resolver=names, is_permitted=lambda address: address == "127.0.0.1") as target:
            assert await target.send([a_notice()]) == [True]
            await refusal_of(target)

        assert (len(outside.bodies), len(inside.bodies), names.asked) == (1, 0, 2)


async def test_of_several_addresses_only_the_permitted_is_used() -> None:
    names = NameServer(("127.0.0.2", "127.0.0.1"))
    async with running_hook() as outside, running_hook("127.0.0.2", port=outside.port) as inside:
        url = outside.url("team.example.org")
        async with webhook(url, resolver=names, is_permitted=lambda address: address == "127.0.0.1") as target:
            assert await target.send([a_notice()]) == [True]

        assert (len(outside.bodies), len(inside.bodies)) == (1, 0)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_hook() as proxy, running_hook() as hook:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with webhook(hook.url()) as target:
            assert await target.send([a_notice()]) == [True]

        assert (len(proxy.bodies), len(hook.bodies)) == (0, 1)
