"""The on-call person's mailbox: subscribes to the alert topic over HTTP and keeps each notification as an `.eml`."""

import asyncio
import os
import tempfile
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from iops import contract
from iops.observability import configure_logging
from local.resources import arn

BODY_LIMIT_BYTES: Final = 1024 * 1024  # SNS delivers at most 256 KB, four times that with escapes
SUBJECT_LIMIT: Final = 200  # characters; SNS itself stops at 100
DEFAULT_SUBJECT: Final = "AWS Notification Message"  # what SNS writes when the publisher gave none
SENDER: Final = "AWS Notifications <no-reply@sns.amazonaws.com>"
CONFIRM_TIMEOUT_S: Final = 5.0


class MailboxSettings(BaseSettings):
    """From IOPS_LOCAL_*."""

    model_config = SettingsConfigDict(env_prefix="IOPS_LOCAL_", frozen=True, extra="ignore")

    mail_dir: Path
    aws_endpoint_url: str
    mail_to: str = "on-call@localhost"


class Confirmation(BaseModel):
    """SNS asks whether we want what it sends."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["SubscriptionConfirmation"] = Field(alias="Type")
    topic_arn: str = Field(alias="TopicArn")
    token: Annotated[str, Field(alias="Token", min_length=1, max_length=1024)]


class Notification(BaseModel):
    """What SNS delivers. Its id becomes a file name, so it is held to what SNS makes: a UUID."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["Notification"] = Field(alias="Type")
    topic_arn: str = Field(alias="TopicArn")
    message_id: Annotated[str, Field(alias="MessageId", pattern=r"^[0-9A-Za-z-]{1,64}$")]
    sent_at: AwareDatetime = Field(alias="Timestamp")
    subject: str | None = Field(default=None, alias="Subject")
    message: str = Field(alias="Message")


DELIVERY: Final[TypeAdapter[Confirmation | Notification]] = TypeAdapter(
    Annotated[Confirmation | Notification, Field(discriminator="kind")]
)


def create_app() -> Starlette:
    """For uvicorn."""
    configure_logging("mailbox")
    return create_mailbox(MailboxSettings())


def create_mailbox(settings: MailboxSettings, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The app; `transport` is how it reaches SNS, the network unless a test passes another."""

    async def deliver(request: Request) -> Response:
        try:
            delivery = DELIVERY.validate_json(await _read_body(request))
        except (ValidationError, ClientDisconnect):
            return Response("not an SNS delivery\n", 400)
        if delivery.topic_arn != arn("sns", contract.ALERT_TOPIC):
            return Response("not our topic\n", 403)
        if isinstance(delivery, Confirmation):
            await _confirm(settings.aws_endpoint_url, delivery, transport)
        else:
            await asyncio.to_thread(save_mail, settings.mail_dir, notification_to_mail(delivery, to=settings.mail_to))
        return Response(status_code=204)

    async def answer_ready(request: Request) -> Response:  # noqa: ARG001 -- a route's signature
        return Response(status_code=200)

    return Starlette(
        routes=[Route("/sns", deliver, methods=["POST"]), Route("/health/ready", answer_ready, methods=["GET"])]
    )


def notification_to_mail(notification: Notification, *, to: str) -> EmailMessage:
    """The mail that a person would get, its subject made one printable line so that it cannot add headers."""
    mail = EmailMessage(policy=EmailPolicy(utf8=True))
    mail["From"] = SENDER
    mail["To"] = to
    mail["Subject"] = _one_line(notification.subject or DEFAULT_SUBJECT)
    mail["Date"] = format_datetime(notification.sent_at)
    mail["Message-ID"] = f"<{notification.message_id}@sns.local>"
    mail.set_content(notification.message, cte="8bit")  # so that a person can read and grep the file
    return mail


def save_mail(mail_dir: Path, mail: EmailMessage) -> Path:
    """Writes `<id>.eml` whole or not at all; the same mail delivered again is the same file."""
    mail_dir.mkdir(parents=True, exist_ok=True)
    name = mail["Message-ID"].strip("<>").partition("@")[0]
    path = mail_dir / f"{name}.eml"
    descriptor, temporary = tempfile.mkstemp(dir=mail_dir, prefix=".", suffix=".part")
    with os.fdopen(descriptor, "wb") as file:
        file.write(mail.as_bytes())
    return Path(temporary).replace(path)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT_BYTES:
            return b""  # no delivery of SNS is that long
    return bytes(body)


async def _confirm(endpoint_url: str, confirmation: Confirmation, transport: httpx.AsyncBaseTransport | None) -> None:
    """Takes only the token from the sender: the SubscribeURL beside it could point anywhere."""
    query = {
        "Action": "ConfirmSubscription",
        "Version": "2010-03-31",
        "TopicArn": confirmation.topic_arn,
        "Token": confirmation.token,
    }
    async with httpx.AsyncClient(trust_env=False, timeout=CONFIRM_TIMEOUT_S, transport=transport) as client:
        reply = await client.get(endpoint_url, params=query)
        reply.raise_for_status()


def _one_line(text: str) -> str:
    """Printable characters, single spaces, bounded.

    >>> _one_line("High risk\\r\\nBcc: everyone@example.com")
    'High risk Bcc: everyone@example.com'
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:SUBJECT_LIMIT]
