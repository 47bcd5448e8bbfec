"""The door for API keys, for admins only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field

from iops import items
from iops.auth import Caller, Role
from iops.body import body_schema, read_body
from iops.errors import BodyTooLarge, Conflict, Forbidden, InvalidInput, NotFound, SlowBody, TableUnavailable
from iops.gate import Admin, OpenGate, gate_of
from iops.keys import ApiKey
from iops.problems import error_responses
from iops.request_line import note
from iops.table import readable
from services.insights.keys import Actor, KeyBody, Workshop, create_key, revoke_key, rotate_key
from services.insights.routes import Cursor, Limit, Service

router = APIRouter(tags=["keys"])

ERRORS: Final = error_responses(NotFound, Conflict, TableUnavailable)


class SecretView(BaseModel):
    """A secret that holds; what it is nobody knows."""

    until: datetime | None = Field(description="when it ends, since it was rotated; null where it was not")


class KeyView(BaseModel):
    """A key without what proves it."""

    key_id: str
    name: str
    role: Role
    streams: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to the hour")
    secrets: tuple[SecretView, ...] = Field(description="that hold now: two in the hour after a rotation, newest first")


class MadeKey(BaseModel):
    """A key that was made or rotated."""

    key: str = Field(description="the whole key, as X-API-Key takes it; it is shown this once")
    view: KeyView


class KeyPage(BaseModel):
    """Keys, the newest first."""

    items: list[KeyView]
    cursor: str | None


async def _workshop(request: Request, insights: Service) -> Workshop:
    gate = gate_of(request)
    if isinstance(gate, OpenGate):
        raise Forbidden("IOPS_AUTH=off: everybody is let in here, and nobody by a key")
    return Workshop(insights.table, insights.clock, gate.keys.peppers)


Keys = Annotated[Workshop, Depends(_workshop)]
KeyId = Annotated[str, Path(max_length=64)]
EVERY_KEY: Final = Caller("the list of keys", Role.ADMIN)  # what is beyond who asks is left out after the read


@router.post(
    "/keys",
    status_code=201,
    responses=error_responses(SlowBody, Conflict, BodyTooLarge, InvalidInput, TableUnavailable),
    openapi_extra=body_schema(KeyBody),
)
async def post_key(request: Request, keys: Keys, caller: Admin) -> MadeKey:
    """Makes a key; its secret is shown in this answer and never again. Of an admin whose own streams are bound, the
    key's streams must lie within them (403)."""
    body = await read_body(request, KeyBody)
    key, kept = await create_key(keys, body, Actor(caller, request))
    note(request, deed="create_key", key_id=kept.key_id, by=caller.name)
    return MadeKey(key=key, view=_view(kept, keys.clock()))


@router.get("/keys", responses=error_responses(TableUnavailable))
async def list_keys(keys: Keys, caller: Admin, limit: Limit = 50, cursor: Cursor = None) -> KeyPage:
    """Keys, the newest first, also those that ended in the last year. Streams that are not the caller's may leave a
    page short, or empty, with a cursor."""
    rows, next_cursor = await keys.table.list_page("apikey", caller=EVERY_KEY, limit=limit, cursor=cursor)
    kept = [key for key in readable(rows, items.item_to_api_key) if caller.may_give(key.role, key.streams)]
    return KeyPage(items=[_view(key, keys.clock()) for key in kept], cursor=next_cursor)


@router.post("/keys/{key_id}/rotate", responses=ERRORS | error_responses(InvalidInput))
async def post_rotation(request: Request, keys: Keys, caller: Admin, key_id: KeyId) -> MadeKey:
    """Gives a key a new secret. The secret before it holds one more hour, so that its holders can change over; two
    hold at most, so a second rotation within the hour ends the oldest at once (within 60 s everywhere). A key that
    expired or was revoked is a 422."""
    key, kept = await rotate_key(keys, key_id, Actor(caller, request))
    note(request, deed="rotate_key", key_id=key_id, by=caller.name)
    return MadeKey(key=key, view=_view(kept, keys.clock()))


@router.delete("/keys/{key_id}", responses=ERRORS)
async def delete_key(request: Request, keys: Keys, caller: Admin, key_id: KeyId) -> KeyView:
    """Revokes a key: it holds nowhere after 60 s. Twice is once. It stays in lists for a year."""
    kept = await revoke_key(keys, key_id, Actor(caller, request))
    note(request, deed="revoke_key", key_id=key_id, by=caller.name)
    return _view(kept, keys.clock())


def _view(key: ApiKey, now: datetime) -> KeyView:
    fields = key.model_dump(exclude={"secrets", "version", "made_from"})
    return KeyView(**fields, secrets=tuple(SecretView(until=secret.until) for secret in key.held(now)))
