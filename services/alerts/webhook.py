"""A webhook as a target: one POST for each notice, and what its answer means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver
from pydantic import SecretStr
from yarl import URL

from iops.clock import Clock
from iops.contract import ALERTS_SECRETS
from iops.errors import Unavailable
from iops.observability import Metrics
from iops.secrets import Secret
from services.alerts.addresses import IsPermitted, guarded_socket, is_public, is_public_or_private
from services.alerts.notice import Notice
from services.alerts.payloads import Message, compose_message
from services.alerts.settings import AlertsSettings, Webhook, WebhookKind
from services.alerts.webhook_secrets import WebhookSecrets

log = structlog.get_logger()

CONNECT_TIMEOUT_S: Final = 3.0  # finding the address and connecting
DEADLINE_S: Final = 10.0  # of one notice, all of it; half a lease is more
ANSWER_LIMIT: Final = 64 * 1024  # bytes that are read of an answer
SLOWLY_S: Final = 900  # between two tries of what a person has to mend
LONGEST_RETRY_AFTER_S: Final = 3_600  # of what a receiver may ask for
COME_AGAIN: Final = (408, 429)  # of 4xx, those that pass by themselves


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect_s: float = CONNECT_TIMEOUT_S
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    retry_after: str | None
    body: bytes  # its first 64 KB


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no acceptance."""

    reason: str
    retry_after_s: int = 2  # at least
    needs_a_person: bool = False  # trying again will not help


class WebhookMetrics:
    """Shared by all webhooks: a registry takes each name once."""

    def __init__(self, metrics: Metrics) -> None:
        self.posts = metrics.counter(
            "iops_webhook_posts", "POSTs to webhooks by what came of them", "target", "outcome"
        )
        self.waiting_s = metrics.gauge(
            "iops_webhook_waiting_seconds",
            "Age of the event that a webhook refused last; 0 after it took one",
            "target",
        )


class WebhookTarget:
    """Takes one notice at a time, so each is tried again by itself."""

    limit: Final = 1

    def __init__(
        self,
        session: aiohttp.ClientSession,
        webhook: Webhook,
        secrets: Callable[[], WebhookSecrets],
        clock: Clock,
        metrics: WebhookMetrics,
        *,
        timeouts: Timeouts = Timeouts(),
    ) -> None:
        """`secrets` are asked before each notice, so a rotated one is used for the next."""
        self._session = session
        self._webhook = webhook
        self._secrets = secrets
        self._clock = clock
        self._metrics = metrics
        self._timeouts = timeouts
        self._needs_a_person = False  # and that was said

    @property
    def name(self) -> str:
        """As the settings say it."""
        return self._webhook.name

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        """Raises Unavailable where it was not accepted, with the time before which it should not be tried again."""
        for notice in notices:
            secret = self._secrets().webhooks[self.name]  # once, so that url and key belong together
            key = secret.key.get_secret_value() if secret.key else ""
            message = compose_message(notice, self._webhook, key=key, now=self._clock())
            if message is None:
                self._metrics.posts.labels(self.name, "nothing_to_say").inc()
                continue
            refusal = await self._post(secret.url, message)
            if refusal is not None:
                raise self._refused(refusal, notice)
            self._needs_a_person = False
            self._metrics.posts.labels(self.name, "accepted").inc()
            self._metrics.waiting_s.labels(self.name).set(0)
        return [True] * len(notices)

    def words(self, notice: Notice) -> tuple[str, ...]:  # noqa: ARG002 - a protocol's signature
        """None: a program is told, in its own language."""
        return ()

    async def _post(self, url: SecretStr, message: Message) -> Refusal | None:
        """An error's own words are left out: they may have the URL in them."""
        try:
            async with asyncio.timeout(self._timeouts.deadline_s):
                answer = await self._exchange(url, message)
        except TimeoutError:
            return Refusal("it did not answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Refusal(f"it could not be reached ({type(error).__name__})")
        return judge(answer, self._webhook.kind, now=self._clock())

    async def _exchange(self, url: SecretStr, message: Message) -> Answer:
        async with self._session.post(
            URL(url.get_secret_value()),
            data=message.body,
            headers=message.headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect_s),
        ) as response:
            return Answer(response.status, response.headers.get("Retry-After"), await _beginning(response.content))

    def _refused(self, refusal: Refusal, notice: Notice) -> Unavailable:
        event = notice.event
        self._metrics.posts.labels(self.name, "rejected" if refusal.needs_a_person else "failed").inc()
        self._metrics.waiting_s.labels(self.name).set((self._clock() - event.at).total_seconds())
        if refusal.needs_a_person and not self._needs_a_person:  # said once, not every 15 minutes
            self._needs_a_person = True
            log.error("webhook_rejected", target=self.name, event_id=event.event_id, reason=refusal.reason)
        return Unavailable(f"webhook {self.name}: {refusal.reason}", retry_after_s=refusal.retry_after_s)


def judge(answer: Answer, kind: WebhookKind, *, now: datetime) -> Refusal | None:
    """None where the receiver has it. A 200 with an error in it is none."""
    status = answer.status
    if 200 <= status < 300:
        return None if _is_acceptance(answer, kind) else Refusal(f"it answered {status} with an error in the body")
    if status in COME_AGAIN or status >= 500:
        wait_s = _retry_after_s(answer.retry_after, now) if status in (429, 503) else 2
        return Refusal(f"it answered {status}", retry_after_s=wait_s)
    if 300 <= status < 400:
        reason = f"it answered {status}, and redirects are not followed: correct its url in the secret {ALERTS_SECRETS}"
    else:
        reason = f"it answered {status}: look at its url and key in the secret {ALERTS_SECRETS}"
    return Refusal(reason, retry_after_s=SLOWLY_S, needs_a_person=True)


@asynccontextmanager
async def open_webhooks(
    settings: AlertsSettings,
    secrets: Secret[WebhookSecrets] | None,
    clock: Clock,
    metrics: Metrics,
    *,
    resolver: AbstractResolver | None = None,
    is_permitted: IsPermitted | None = None,
    timeouts: Timeouts = Timeouts(),
) -> AsyncIterator[Sequence[WebhookTarget]]:
    """A target for each webhook of the settings; none without `secrets`. Where none are given, `is_permitted` and
    `resolver` are the settings' and the system's."""
    if secrets is None:
        yield []
        return
    permitted = is_permitted or (is_public_or_private if settings.webhook_private else is_public)
    connector = aiohttp.TCPConnector(
        resolver=resolver or aiohttp.ThreadedResolver(),
        use_dns_cache=False,
        socket_factory=guarded_socket(permitted),
        force_close=True,  # alerts are rare: a kept connection would be dead when it is needed
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "iops-dashboard", "Accept-Encoding": "identity"},
        auto_decompress=False,  # 64 KB of gzip may be 64 MB
        trust_env=False,  # a proxy would connect for us, and to anywhere
    ) as session:
        counts = WebhookMetrics(metrics)
        yield [
            WebhookTarget(session, each, lambda: secrets.current, clock, counts, timeouts=timeouts)
            for each in settings.webhooks
        ]


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    try:
        return await content.readexactly(ANSWER_LIMIT)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _is_acceptance(answer: Answer, kind: WebhookKind) -> bool:
    if kind is WebhookKind.SLACK:
        return answer.body.strip() == b"ok"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None  # most receivers answer with nothing, or with a word
    if kind is WebhookKind.PAGERDUTY:
        return answer.status == 202 and isinstance(document, dict) and document.get("status") == "success"
    return not (isinstance(document, dict) and _tells_of_an_error(document))


def _tells_of_an_error(document: dict[str, object]) -> bool:
    """As most programs say it that know no other status than 200."""
    says_no = document.get("ok") is False or document.get("success") is False
    return (
        says_no or bool(document.get("error") or document.get("errors")) or document.get("status") in ("error", "fail")
    )


def _retry_after_s(value: str | None, now: datetime) -> int:
    """A number of seconds or a date; what is neither counts as nothing.

    >>> _retry_after_s("120", datetime(2026, 11, 23)), _retry_after_s("soon", datetime(2026, 11, 23))
    (120, 2)
    """
    if value is None:
        return 2
    try:
        wait_s = int(value) if value.isascii() and value.isdigit() else _until_s(value, now)
    except (ValueError, TypeError, OverflowError):
        return 2
    return max(2, min(wait_s, LONGEST_RETRY_AFTER_S))


def _until_s(date: str, now: datetime) -> int:
    return round((parsedate_to_datetime(date) - now).total_seconds())
