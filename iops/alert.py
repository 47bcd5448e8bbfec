"""What people are told about: episodes of one stream and one kind of trouble, and the pages that tell of them."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from iops.insight import Fact, PredictionType, RiskScore

STREAMS_NAMED: Final = 20  # of a page; more are only counted
PAGES_NAMED: Final = 20  # of an alert, the newest


class AlertState(StrEnum):
    """What a person has to do with an episode."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # somebody is at it: no reminders
    SILENCED = "silenced"  # nobody wants to hear of it until `silenced_until`
    RESOLVED = "resolved"


class Alert(BaseModel):
    """An episode of one stream and one prediction type. Stored under its fingerprint, so there is one at a time."""

    model_config = ConfigDict(frozen=True)

    alert_id: str  # the fingerprint of stream and prediction type
    stream_id: str
    peer_group: str
    prediction_type: PredictionType
    state: AlertState
    risk_score: RiskScore  # of the newest insight
    peak_risk_score: RiskScore = 0  # the highest of the episode
    opened_at: AwareDatetime
    updated_at: AwareDatetime
    resolved_at: AwareDatetime | None = None
    recovering_since: AwareDatetime | None = None  # the risk is below 60 since then; None while it is not
    reopened: int = Field(default=0, description="how often it came back within 30 minutes of being resolved")
    handled_by: str | None = None  # who acknowledged, silenced or resolved it; None: nobody, or time did
    silenced_until: AwareDatetime | None = None
    page_id: str | None = None  # the page that told of it, which is open; None: nobody is told
    page_ids: tuple[str, ...] = ()  # the pages that told of it, open or over, the newest last
    told_at: AwareDatetime | None = None  # when people were last told that it fires
    insight_id: str  # the newest insight
    opened_by: str  # the insight that opened it
    title: str
    explanation: str
    recommendations: tuple[str, ...]
    facts: tuple[Fact, ...]
    version: int  # grows by one with each change

    @property
    def is_active(self) -> bool:
        """It has not ended."""
        return self.state is not AlertState.RESOLVED

    def is_about(self, text: str) -> bool:
        """Whether `text` is in what a person reads of it, in whatever case."""
        read = f"{self.title}\n{self.stream_id}\n{self.peer_group}\n{self.prediction_type}".casefold()
        return text.strip().casefold() in read


class Change(BaseModel):
    """One line of an alert's history."""

    model_config = ConfigDict(frozen=True)

    alert_id: str
    version: int  # of the alert after it
    at: AwareDatetime
    what: str  # opened, reopened, updated, recovering, worse_again, acknowledged, silenced, unsilenced, resolved, told
    by: str  # "scorer", "time", or the caller
    risk_score: RiskScore
    insight_id: str | None = None
    reason: str | None = None  # in a person's own words


class Page(BaseModel):
    """One notification about alerts of one peer group and type: what a mail says, and when it is over."""

    model_config = ConfigDict(frozen=True)

    page_id: str
    peer_group: str
    prediction_type: PredictionType
    lead_alert_id: str  # the alert that opened it, under whose fingerprint pagers know it
    opened_at: AwareDatetime
    told_at: AwareDatetime  # when people last heard of it
    streams: tuple[str, ...]  # the first 20 that it is about
    streams_total: int
    open_alerts: tuple[str, ...]
    handled_alerts: tuple[str, ...] = ()  # of the open ones those that were acknowledged or silenced
    resolved_at: AwareDatetime | None = None
    last_event_id: str | None = None  # None: nothing was told of it yet
    version: int

    @property
    def is_open(self) -> bool:
        """Something of it has not ended."""
        return self.resolved_at is None


class EventKind(StrEnum):
    """What an event tells."""

    INSIGHT = "insight"  # something below 80, for programs; people do not hear of it
    OPENED = "opened"
    REMINDER = "reminder"
    RESOLVED = "resolved"
    CANARY = "canary"


class Event(BaseModel):
    """Something to be told to every target, once each. What it says is put together when it is sent."""

    model_config = ConfigDict(frozen=True)

    event_id: str  # ULID; receivers know a repetition by it
    kind: EventKind
    at: AwareDatetime
    alert_id: str | None = None  # the page's lead
    insight_id: str | None = None
    page_id: str | None = None
    after: str | None = None  # the page's event before this one, which a target has to take first


class Telling(BaseModel):
    """An event as one target took it."""

    model_config = ConfigDict(frozen=True)

    event_id: str
    kind: EventKind
    at: AwareDatetime  # of the event
    target: str
    taken_at: AwareDatetime
    lines: tuple[str, ...] = ()  # what a person read there, word for word; empty where a program was told


class SilenceScope(StrEnum):
    """What a silence is about."""

    STREAM = "stream"
    PEER_GROUP = "peer_group"
    PREDICTION_TYPE = "prediction_type"


class Silence(BaseModel):
    """Nobody wants to hear of what it matches, for a time."""

    model_config = ConfigDict(frozen=True)

    silence_id: str  # ULID
    scope: SilenceScope
    value: str  # a stream id, a peer group, or a prediction type
    begins_at: AwareDatetime
    ends_at: AwareDatetime
    reason: str
    created_by: str
    ended_by: str | None = None  # who ended it before its time; None: nobody did
    was_to_end_at: AwareDatetime | None = None  # where somebody ended it before its time

    def matches(self, stream_id: str, peer_group: str, prediction_type: PredictionType) -> bool:
        """It is about this trouble, whenever that is."""
        return (
            self.value
            == {"stream": stream_id, "peer_group": peer_group, "prediction_type": prediction_type}[self.scope]
        )


def alert_id_of(stream_id: str, prediction_type: PredictionType) -> str:
    """The fingerprint of an episode: 16 hex digits, the same for the same stream and type."""
    return hashlib.blake2b(f"{stream_id}\0{prediction_type}".encode(), digest_size=8).hexdigest()


def page_key_of(peer_group: str, prediction_type: PredictionType) -> str:
    """Where pages of a peer group and type lie: 16 hex digits."""
    return hashlib.blake2b(f"page\0{peer_group}\0{prediction_type}".encode(), digest_size=8).hexdigest()
