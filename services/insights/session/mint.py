"""Keys that live for a day's work: made for a browser or a machine, with what their maker may do, and ended again."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fastapi import Request

from iops import items
from iops.audit import DeedKind
from iops.auth import Caller
from iops.errors import Conflict, ExpiredCode, Forbidden, Unauthenticated
from iops.gate import key_of
from iops.items import Item
from iops.keyring import makers_hold
from iops.keys import ApiKey, digest_of, keep, key_id_of, new_key, new_key_id
from iops.sign_in import Grant
from iops.witness import deed_of
from services.insights.session.desk import Desk

KEY_LIFE: Final = timedelta(hours=12)
BROWSER: Final = "browser of"
MACHINE: Final = "login of"
NAME_LIMIT: Final = 64  # characters, as of every key
MAKERS_LIMIT: Final = 4  # keys behind a key; each is one more read a minute
UNFIT: Final = re.compile(r"[^A-Za-z0-9 ._@:+-]+")  # for a key's name


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key, which only its holder ever sees."""

    key: str = field(repr=False)
    expires_at: datetime


async def grant_of(desk: Desk, request: Request, caller: Caller) -> Grant:
    """What the caller may hand on: their own role and streams, until their own key ends."""
    key_id = key_id_of(key_of(request.scope) or b"")
    kept = await desk.table.get_readable(items.api_key_key(key_id), items.item_to_api_key) if key_id else None
    made_from = (*kept.made_from, kept.key_id) if kept else ()
    if len(made_from) > MAKERS_LIMIT:
        raise Forbidden(f"{caller.name} was made from a key that was made from others; sign in with the first of them")
    ends_at = kept.ended_at if kept else None
    return Grant(name=caller.name, role=caller.role, streams=caller.streams, ends_at=ends_at, made_from=made_from)


async def mint(desk: Desk, request: Request, grant: Grant, *, name: str, takes: Item, gone: str) -> Minted:
    """A new key, in one transaction with the row that it is for and the deed: of two who come, one gets a key.

    Raises ExpiredCode, which says `gone`, for the other, and Unauthenticated where the maker's own key has ended.
    """
    now = desk.clock()
    expires_at = min(now + KEY_LIFE, grant.ends_at or now + KEY_LIFE)
    if expires_at <= now or not await makers_hold(desk.table, grant.made_from, now):
        raise Unauthenticated(f"the key of {grant.name} has ended")
    text = new_key(new_key_id(desk.random_bytes), desk.random_bytes)
    key = ApiKey(
        key_id=key_id_of(text.encode()) or "",
        name=key_name(name),
        role=grant.role,
        streams=grant.streams,
        secrets=(keep(text.encode(), desk.peppers().current),),
        created_at=now,
        created_by=grant.name,
        expires_at=expires_at,
        made_from=grant.made_from,
    )
    detail = {"name": key.name, "streams": " ".join(key.streams), "expires_at": expires_at.isoformat()}
    giver = Caller(grant.name, grant.role, grant.streams)
    deed = deed_of(request, giver, DeedKind.KEY_CREATED, about=key.key_id, now=now, detail=detail)
    puts = (items.api_key_put(key, replaces=None), items.deed_put(deed))
    try:
        await desk.table.transact([{"Delete": takes}, *({"Put": put} for put in puts)])
    except Conflict as error:
        raise ExpiredCode(gone) from error
    return Minted(text, expires_at)


async def end_key(desk: Desk, request: Request, key: bytes) -> bool:
    """Revokes a key of a browser or a machine that its holder shows; False where there is none that holds.

    Raises Forbidden for any other key: whoever borrows one should not be able to end it. Raises Conflict.
    """
    key_id = key_id_of(key)
    kept = await desk.table.get_readable(items.api_key_key(key_id), items.item_to_api_key) if key_id else None
    if kept is None or not _fits(desk, kept, key):
        return False
    if not kept.name.startswith((BROWSER, MACHINE)):
        raise Forbidden(f"{kept.name} is no key of a login; `iops keys revoke` ends it")
    now = desk.clock()
    ended = kept.revoked(now)
    detail = {"name": kept.name}
    deed = deed_of(request, kept.caller, DeedKind.KEY_REVOKED, about=kept.key_id, now=now, detail=detail)
    puts = (items.api_key_put(ended, replaces=kept), items.deed_put(deed))
    await desk.table.transact([{"Put": put} for put in puts])
    return True


def key_name(text: str) -> str:
    """As a key may be called.

    >>> key_name("login of key web (ab2c) on <ann's laptop>")
    'login of key web ab2c on anns laptop'
    """
    return UNFIT.sub("", text)[:NAME_LIMIT].strip()


def hash_of(code: str) -> str:
    """What is kept of a code of 256 random bits."""
    return hashlib.sha256(code.encode()).hexdigest()


def _fits(desk: Desk, kept: ApiKey, key: bytes) -> bool:
    """Whether it is one of the secrets that hold; every comparison takes as long."""
    peppered = ((desk.peppers().of(secret.pepper_id), secret.digest) for secret in kept.held(desk.clock()))
    return any(
        hmac.compare_digest(digest_of(key, pepper), bytes.fromhex(digest)) for pepper, digest in peppered if pepper
    )
