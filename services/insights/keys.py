"""What admins do with API keys: make, rotate and revoke them; one transaction each, with the row that says who did."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from iops import items
from iops.audit import Deed, DeedKind
from iops.auth import EVERY_STREAM, PATTERNS_LIMIT, Caller, Role, StreamPattern
from iops.clock import Clock
from iops.errors import Conflict, Forbidden, InvalidInput, NotFound, Problem
from iops.keys import ApiKey, KeyName, RandomBytes, keep, new_key, new_key_id
from iops.peppers import Peppers
from iops.table import Table
from iops.witness import deed_of

ATTEMPTS: Final = 5  # where another admin, or a use that hashes it anew, changes the key at the same instant
LONGEST_WAIT_S: Final = 0.05
LONGEST_EXPIRY_S: Final = 3_650 * 86_400  # later is a slip; a key that never expires is asked for as such
NAME_LIMIT: Final = 200  # characters of who did it

Done = TypeVar("Done")
Streams = Annotated[tuple[StreamPattern, ...], Field(min_length=1, max_length=PATTERNS_LIMIT)]


class KeyBody(BaseModel):
    """What a new key is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: KeyName = Field(description="for people; several keys may have the same")
    role: Role
    streams: Streams = Field(default=(EVERY_STREAM,), description="stream ids, or how they begin with `*` behind it")
    expires_in_s: int | None = Field(default=None, ge=1, le=LONGEST_EXPIRY_S, description="null: it does not expire")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What keys are made with."""

    table: Table
    clock: Clock
    peppers: Callable[[], Peppers]
    random_bytes: RandomBytes = secrets.token_bytes


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, and by which request."""

    caller: Caller
    request: Request

    def deed(self, kind: DeedKind, key: ApiKey, *, now: datetime, **detail: str) -> Deed:
        """As the audit has it, with the key's name."""
        told = {"name": key.name} | detail
        return deed_of(self.request, self.caller, kind, about=key.key_id, now=now, detail=told)


async def create_key(workshop: Workshop, wish: KeyBody, actor: Actor) -> tuple[str, ApiKey]:
    """The whole key, to be shown once, and what is kept of it. Raises Forbidden where its maker may do less."""
    streams = tuple(dict.fromkeys(wish.streams))
    if not actor.caller.may_give(wish.role, streams):
        raise Forbidden(f"{actor.caller.name} may not make a key with more streams or another role than its own")

    async def once() -> tuple[str, ApiKey]:
        now, key_id = workshop.clock(), new_key_id(workshop.random_bytes)
        key = new_key(key_id, workshop.random_bytes)
        kept = ApiKey(
            key_id=key_id,
            name=wish.name,
            role=wish.role,
            streams=streams,
            secrets=(keep(key.encode(), workshop.peppers().current),),
            created_at=now,
            created_by=actor.caller.name[:NAME_LIMIT],
            expires_at=now + timedelta(seconds=wish.expires_in_s) if wish.expires_in_s else None,
        )
        deed = actor.deed(DeedKind.KEY_CREATED, kept, now=now, role=kept.role, streams=" ".join(kept.streams))
        await _store(workshop, kept, None, deed)
        return key, kept

    return await _insisting(once)


async def rotate_key(workshop: Workshop, key_id: str, actor: Actor) -> tuple[str, ApiKey]:
    """A key with a new secret. The one before holds an hour more, and one that was rotated before that ends now.

    Raises NotFound, Forbidden, and InvalidInput for a key that has ended.
    """

    async def once() -> tuple[str, ApiKey]:
        before, now = await read_key(workshop, key_id, actor.caller), workshop.clock()
        if before.has_ended(now):
            raise InvalidInput([Problem("key_id", f"the key {key_id} expired or was revoked; make another")])
        key = new_key(key_id, workshop.random_bytes)
        after = before.rotated(key.encode(), workshop.peppers().current, now=now)
        deed = actor.deed(DeedKind.KEY_ROTATED, after, now=now, until=str(after.secrets[1].until))
        await _store(workshop, after, before, deed)
        return key, after

    return await _insisting(once)


async def revoke_key(workshop: Workshop, key_id: str, actor: Actor) -> ApiKey:
    """The key, ended; as it is where it was revoked before. Raises NotFound, and Forbidden."""

    async def once() -> ApiKey:
        before, now = await read_key(workshop, key_id, actor.caller), workshop.clock()
        if before.revoked_at is not None:
            return before
        after = before.revoked(now)
        await _store(workshop, after, before, actor.deed(DeedKind.KEY_REVOKED, after, now=now))
        return after

    return await _insisting(once)


async def read_key(workshop: Workshop, key_id: str, caller: Caller) -> ApiKey:
    """A key as its row has it. Raises NotFound, and Forbidden where the caller may do less than its holder."""
    key = await workshop.table.get_readable(items.api_key_key(key_id), items.item_to_api_key)
    if key is None:
        raise NotFound(f"there is no key {key_id!r}, or it ended more than a year ago")
    if not caller.may_give(key.role, key.streams):
        raise Forbidden(f"the key {key_id} has streams that are not yours")
    return key


async def _store(workshop: Workshop, key: ApiKey, before: ApiKey | None, deed: Deed) -> None:
    await workshop.table.transact([{"Put": items.api_key_put(key, replaces=before)}, {"Put": items.deed_put(deed)}])


async def _insisting(once: Callable[[], Awaitable[Done]]) -> Done:
    return await AsyncRetrying(
        retry=retry_if_exception_type(Conflict),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random(0, LONGEST_WAIT_S),
        reraise=True,
    )(once)
