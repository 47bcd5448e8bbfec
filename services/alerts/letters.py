"""A dead letter: what lies in a queue of what could not be delivered, why, and what a replay of it would be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from iops import contract
from iops.bus import ScoringRequest, parse_scoring_request
from iops.errors import MalformedBody

TEXT_LIMIT: Final = 300  # characters of one field that is shown


class LetterQueue(StrEnum):
    """The three queues, by what could not be done."""

    SCORING = "scoring"  # a scoring that failed again and again
    RULE = "rule"  # an event that EventBridge could not hand to the topic
    SUBSCRIPTION = "subscription"  # a message that SNS could not hand to a subscriber


QUEUE_NAMES: Final[Mapping[LetterQueue, str]] = {
    LetterQueue.SCORING: contract.SCORING_DEAD_LETTERS,
    LetterQueue.RULE: contract.RULE_DEAD_LETTERS,
    LetterQueue.SUBSCRIPTION: contract.SUBSCRIPTION_DEAD_LETTERS,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """As it lies in its queue, not yet understood; `attributes` are those that EventBridge or SNS put beside it."""

    message_id: str
    receipt: str
    body: str
    sent_at: datetime
    attributes: Mapping[str, str]


class LetterView(BaseModel):
    """A letter for a person. Its texts are other people's, on one line and cut."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    at: AwareDatetime = Field(description="when it came into the queue")
    error_code: str | None = Field(description="EventBridge's or SNS's; null: it says none, as SQS never does")
    error_message: str | None
    retry_attempts: int | None
    kind: str | None = Field(description="null: it cannot be read, so it cannot be replayed")
    title: str | None = None
    stream: str | None = Field(default=None, description="the stream or the peer group")
    risk_score: float | None = None
    event_id: str | None = None
    unreadable: str | None = Field(default=None, description="why it cannot be read")


class BusEvent(BaseModel):
    """An event of ours as EventBridge leaves it in a dead-letter queue: whole, before the input transformer."""

    model_config = ConfigDict(frozen=True)

    source: Literal["iops.insights"]
    detail_type: str = Field(alias="detail-type", min_length=1, max_length=128)
    detail: dict[str, JsonValue]
    time: AwareDatetime

    @property
    def detail_text(self) -> str:
        """What PutEvents takes. Raises ValueError where the detail holds what is no JSON (NaN)."""
        return json.dumps(self.detail, separators=(",", ":"), allow_nan=False)


class Notification(BaseModel):
    """A message of the topic in SNS's envelope."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["Notification"] = Field(alias="Type")
    topic_arn: str = Field(alias="TopicArn", pattern=f":{contract.ALERT_TOPIC}$")
    message: str = Field(alias="Message", min_length=1)
    subject: str | None = Field(default=None, alias="Subject")


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message of the topic as a subscription with raw delivery leaves it."""

    message: str
    subject: None = None


Readable: TypeAlias = ScoringRequest | BusEvent | Notification | RawMessage


def read_letter(queue: LetterQueue, letter: Letter) -> Readable:
    """What a replay would send. Raises MalformedBody for what none of our programs can have sent."""
    match queue:
        case LetterQueue.SCORING:
            return parse_scoring_request(letter.body)
        case LetterQueue.RULE:
            return _read_event(letter)
        case LetterQueue.SUBSCRIPTION:
            return _read_message(letter)


def view_letter(queue: LetterQueue, letter: Letter) -> LetterView:
    """The letter for a person, readable or not."""
    said = letter.attributes
    attempts = said.get("RETRY_ATTEMPTS", "")
    view = LetterView(
        message_id=letter.message_id,
        at=letter.sent_at,
        error_code=_line(said.get("ERROR_CODE") or said.get("ErrorCode")),
        error_message=_line(said.get("ERROR_MESSAGE") or said.get("ErrorMessage")),
        retry_attempts=int(attempts) if attempts.isascii() and attempts.isdigit() and len(attempts) < 10 else None,
        kind=None,
    )
    try:
        summary = _summary(read_letter(queue, letter))
    except MalformedBody as error:
        summary = {"unreadable": _line(error.detail)}
    return view.model_copy(update=summary)


def _read_event(letter: Letter) -> BusEvent:
    try:
        event = BusEvent.model_validate_json(letter.body)
        _ = event.detail_text
    except ValidationError as error:
        raise MalformedBody(f"not an event of ours: {_first(error)}") from error
    except ValueError as error:
        raise MalformedBody(f"not an event of ours: {error}") from error
    return event


def _read_message(letter: Letter) -> Notification | RawMessage:
    """An envelope; or anything else, if SNS itself says why it could not deliver it."""
    try:
        return Notification.model_validate_json(letter.body)
    except ValidationError as error:
        if "ErrorCode" in letter.attributes and letter.body.strip() and '"TopicArn"' not in letter.body:
            return RawMessage(letter.body)
        raise MalformedBody(f"not a message of the alert topic: {_first(error)}") from error


def _summary(readable: Readable) -> dict[str, str | float | None]:
    if isinstance(readable, ScoringRequest):
        return {"kind": "ScoringRequest", "stream": _line(readable.peer_group)}
    if not isinstance(readable, BusEvent):
        first = readable.subject or readable.message.strip().partition("\n")[0].strip('"')
        return {"kind": "Notification", "title": _line(first)}
    detail = readable.detail
    mail, risk = detail.get("mail"), detail.get("risk_score")
    return {
        "kind": _line(readable.detail_type),
        "title": _line(mail.get("title") if isinstance(mail, dict) else detail.get("title")),
        "stream": _line(detail.get("stream_id")),
        "risk_score": float(risk) if isinstance(risk, int | float) else None,
        "event_id": _line(detail.get("event_id")),
    }


def _line(value: object) -> str | None:
    """Printable text on one line; None for what is no text."""
    if not isinstance(value, str):
        return None
    return "".join(character if character.isprintable() else " " for character in value[:TEXT_LIMIT])


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
