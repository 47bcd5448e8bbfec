"""What waits while somebody signs in: a link for a browser, and a machine that asks for a key."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from iops.auth import Role


class Grant(BaseModel):
    """What a key that is made later may do: as much as who agreed to it, and never more."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="who agreed, as the gate names them")
    role: Role
    streams: tuple[str, ...]
    ends_at: datetime | None = Field(default=None, description="of the key they came with: no other outlives it")
    made_from: tuple[str, ...] = Field(default=(), description="ids of that key and of those it was made from itself")


class Link(BaseModel):
    """An address that signs in the one browser that opens it first."""

    model_config = ConfigDict(frozen=True)

    grant: Grant
    expires_at: datetime


class Device(BaseModel):
    """A machine that waits for a person to approve it. What it proves itself with is kept as a hash."""

    model_config = ConfigDict(frozen=True)

    user_code: str
    device_code_hash: str = Field(description="SHA-256, hex")
    label: str
    address: str
    expires_at: datetime
    grant: Grant | None = Field(default=None, description="null until somebody has approved it")
