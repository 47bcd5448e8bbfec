"""API keys: what they look like, what is kept of them, and whose they are."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from iops.auth import EVERY_STREAM, PATTERNS_LIMIT, Caller, Role, StreamPattern
from iops.peppers import Pepper, Peppers

ID_BYTES: Final = 10  # of randomness, 16 characters; it names the key and is no secret
SECRET_BYTES: Final = 32
ROTATED_HOLDS: Final = timedelta(hours=1)  # a secret that was rotated, so that its holders can change over
SHAPE: Final = re.compile(rb"iops_([a-z2-7]{16})_[A-Za-z0-9_-]{43}")

KeyName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@:+-]*$")]
RandomBytes = Callable[[int], bytes]


class KeptSecret(BaseModel):
    """What the table has of a secret: HMAC-SHA256 of the whole key. Without the pepper it proves nothing."""

    model_config = ConfigDict(frozen=True)

    pepper_id: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="hex")
    until: AwareDatetime | None = Field(default=None, description="when a secret that was rotated ends")


class ApiKey(BaseModel):
    """A key as its row has it: one secret, or two in the hour after a rotation, the newest first."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    name: KeyName
    role: Role
    streams: Annotated[tuple[StreamPattern, ...], Field(min_length=1, max_length=PATTERNS_LIMIT)] = (EVERY_STREAM,)
    secrets: Annotated[tuple[KeptSecret, ...], Field(min_length=1, max_length=2)]
    created_at: AwareDatetime
    created_by: str
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    last_used_at: AwareDatetime | None = None
    made_from: tuple[str, ...] = Field(default=(), description="ids of the keys behind it: it ends with any of them")
    version: int = Field(default=1, description="one more with each change")

    @property
    def caller(self) -> Caller:
        """Whoever holds the key."""
        return Caller(f"key {self.name} ({self.key_id})", self.role, self.streams)

    @property
    def ended_at(self) -> datetime | None:
        """When it stops, or stopped; None where nobody said so."""
        return self.revoked_at or self.expires_at

    def with_pepper(self, key: bytes, peppers: Peppers) -> ApiKey | None:
        """Itself with the secret of `key` hashed with the current pepper; None where it is, or is not its secret."""
        for index, secret in enumerate(self.secrets):
            pepper = peppers.of(secret.pepper_id)
            if pepper is None or pepper.id == peppers.current.id:
                continue
            if hmac.compare_digest(digest_of(key, pepper), bytes.fromhex(secret.digest)):
                again = keep(key, peppers.current, until=secret.until)
                return self.changed(secrets=(*self.secrets[:index], again, *self.secrets[index + 1 :]))
        return None

    def rotated(self, key: bytes, pepper: Pepper, *, now: datetime) -> ApiKey:
        """With `key` as its new secret. The one before holds an hour more; one that was rotated before ends now."""
        old = self.secrets[0].model_copy(update={"until": now + ROTATED_HOLDS})
        return self.changed(secrets=(keep(key, pepper), old))

    def revoked(self, now: datetime) -> ApiKey:
        """Itself, ended now."""
        return self.changed(revoked_at=now)

    def has_ended(self, now: datetime) -> bool:
        """Whether it expired or was revoked."""
        return self.ended_at is not None and self.ended_at <= now

    def held(self, now: datetime) -> list[KeptSecret]:
        """The secrets that hold."""
        if self.has_ended(now):
            return []
        return [secret for secret in self.secrets if secret.until is None or now < secret.until]

    def changed(self, **fields: object) -> ApiKey:
        """Its next version."""
        return self.model_copy(update={**fields, "version": self.version + 1})


def new_key_id(random_bytes: RandomBytes) -> str:
    """Sixteen characters that no other key has."""
    return base64.b32encode(random_bytes(ID_BYTES)).decode().lower()


def new_key(key_id: str, random_bytes: RandomBytes) -> str:
    """The whole key, as its holder sends it: shown once, kept by nobody."""
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).decode().rstrip("=")
    return f"iops_{key_id}_{secret}"


def key_id_of(key: bytes) -> str | None:
    """The id in a key; None where it is not shaped like one."""
    found = SHAPE.fullmatch(key)
    return found[1].decode() if found else None


def digest_of(key: bytes, pepper: Pepper) -> bytes:
    """HMAC-SHA256, 1.5 us: a key has 256 random bits, so nobody guesses what a slow hash would have to protect."""
    return hmac.digest(pepper.value, key, "sha256")


def keep(key: bytes, pepper: Pepper, *, until: datetime | None = None) -> KeptSecret:
    """What the table may have of it."""
    return KeptSecret(pepper_id=pepper.id, digest=digest_of(key, pepper).hex(), until=until)
