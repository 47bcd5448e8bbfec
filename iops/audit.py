"""Who changed what: one row for each change a person or a key makes, kept for a year."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from iops.auth import Role


class DeedKind(StrEnum):
    """What was done."""

    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    FLAGS_CHANGED = "flags_changed"
    SILENCE_MADE = "silence_made"
    SILENCE_ENDED = "silence_ended"
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_SILENCED = "alert_silenced"
    ALERT_RESOLVED = "alert_resolved"
    FEEDBACK_GIVEN = "feedback_given"
    LETTERS_REDRIVEN = "letters_redriven"
    SIGNED_IN = "signed_in"


class Deed(BaseModel):
    """One change. It holds no secret: a key is named by its id."""

    model_config = ConfigDict(frozen=True)

    deed_id: str = Field(description="a ULID")
    at: datetime
    kind: DeedKind
    about: str = Field(max_length=200, description="what was changed: a key, an alert, a silence, an insight")
    by: str = Field(max_length=200, description="who, as the gate names them")
    role: Role | None = Field(description="of who did it; null where it was done beside the services")
    address: str | None = Field(description="where the request came from; null as above")
    request_id: str | None = Field(description="finds the request in the logs; null as above")
    detail: dict[str, str] = Field(default={}, description="what it became, in a few words")
