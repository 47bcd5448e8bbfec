"""The mail sink: what it takes from SNS, and what a person finds in the folder."""

import email
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.mailbox import MailboxSettings, create_mailbox

TOPIC = "arn:aws:sns:us-east-1:000000000000:iops-dashboard-high-risk-alerts"


def a_notification(**fields: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "b7f1c6e0-0000-4000-8000-000000000001",
        "TopicArn": TOPIC,
        "Subject": "Disk web-1:nvme0n1 stalls",
        "Message": "Risk: 91 of 100\n8 requests wait, none completed for 12 s",
        "Timestamp": "2026-11-23T02:39:00.000Z",
        "UnsubscribeURL": "http://127.0.0.1:4566/?Action=Unsubscribe",
        **fields,
    }


class Mailbox:
    """The app, its folder, and what it asked SNS."""

    def __init__(self, mail_dir: Path) -> None:
        self.mail_dir = mail_dir
        self.asked: list[httpx.URL] = []
        settings = MailboxSettings(mail_dir=mail_dir, aws_endpoint_url="http://127.0.0.1:4566")
        app = create_mailbox(settings, httpx.MockTransport(self._answer_as_sns))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mailbox")

    async def deliver(self, **body: Any) -> int:
        return (await self.client.post("/sns", json=body)).status_code

    def mails(self) -> list[EmailMessage]:
        paths = sorted(self.mail_dir.iterdir()) if self.mail_dir.exists() else []
        return [email.message_from_bytes(path.read_bytes(), _class=EmailMessage, policy=default) for path in paths]

    def _answer_as_sns(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        return httpx.Response(200)


@pytest.fixture
async def mailbox(tmp_path: Path) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(tmp_path / "mail")
    async with mailbox.client:
        yield mailbox


async def test_a_notification_becomes_a_mail(mailbox: Mailbox) -> None:
    assert await mailbox.deliver(**a_notification()) == 204

    [mail] = mailbox.mails()
    assert mail["Subject"] == "Disk web-1:nvme0n1 stalls"
    assert mail["To"] == "on-call@localhost"
    assert mail["Date"] == "Mon, 23 Nov 2026 02:39:00 +0000"
    assert mail["Message-ID"] == "<b7f1c6e0-0000-4000-8000-000000000001@sns.local>"
    assert mail.get_content() == "Risk: 91 of 100\n8 requests wait, none completed for 12 s\n"


async def test_a_mail_delivered_twice_is_one_mail(mailbox: Mailbox) -> None:
    await mailbox.deliver(**a_notification())
    await mailbox.deliver(**a_notification())

    assert [path.name for path in mailbox.mail_dir.iterdir()] == ["b7f1c6e0-0000-4000-8000-000000000001.eml"]


async def test_a_subject_cannot_add_headers(mailbox: Mailbox) -> None:
    await mailbox.deliver(**a_notification(Subject="Risk\r\nBcc: everyone@example.com\r\n\r\nHello \x00\u2028"))

    [mail] = mailbox.mails()
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Risk Bcc: everyone@example.com Hello"


async def test_other_languages_stay_readable_in_the_file(mailbox: Mailbox) -> None:
    await mailbox.deliver(**a_notification(Subject="Gerät träge", Message="Größe: 3 µs"))

    [mail] = mailbox.mails()
    assert mail["Subject"] == "Gerät träge"
    assert "Größe: 3 µs".encode() in next(mailbox.mail_dir.iterdir()).read_bytes()


async def test_a_missing_subject_reads_as_sns_writes_it(mailbox: Mailbox) -> None:
    await mailbox.deliver(**a_notification(Subject=None))

    assert mailbox.mails()[0]["Subject"] == "AWS Notification Message"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"TopicArn": "arn:aws:sns:us-east-1:000000000000:other"}, 403),
        ({"MessageId": "../../etc/passwd"}, 400),
        ({"MessageId": ""}, 400),
        ({"Message": None}, 400),
        ({"Timestamp": "yesterday"}, 400),
        ({"Type": "UnsubscribeConfirmation"}, 400),
        ({"Message": "x" * 1024 * 1024}, 400),
    ],
)
async def test_what_is_not_a_notification_of_our_topic_is_refused(
    mailbox: Mailbox, fields: dict[str, Any], status: int
) -> None:
    assert await mailbox.deliver(**a_notification(**fields)) == status

    assert mailbox.mails() == []


async def test_a_subscription_is_confirmed_at_the_known_endpoint_wherever_its_url_points(mailbox: Mailbox) -> None:
    status = await mailbox.deliver(
        Type="SubscriptionConfirmation", TopicArn=TOPIC, Token="t-1", SubscribeURL="http://169.254.169.254/latest"
    )

    [asked] = mailbox.asked
    assert status == 204
    assert (asked.host, asked.port) == ("127.0.0.1", 4566)
    assert dict(asked.params) == {
        "Action": "ConfirmSubscription",
        "Version": "2010-03-31",
        "TopicArn": TOPIC,
        "Token": "t-1",
    }


async def test_a_subscription_to_another_topic_is_not_confirmed(mailbox: Mailbox) -> None:
    assert await mailbox.deliver(Type="SubscriptionConfirmation", TopicArn=f"{TOPIC}-2", Token="t-1") == 403

    assert mailbox.asked == []
