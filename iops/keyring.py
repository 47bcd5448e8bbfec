"""Whose key it is: read from the table at most once a minute, then told within microseconds."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog
from botocore.exceptions import ClientError

from iops import items
from iops.auth import Caller
from iops.clock import Clock
from iops.errors import Conflict, Unauthenticated, Unavailable
from iops.keys import ApiKey, KeptSecret, key_id_of
from iops.peppers import Peppers
from iops.table import Table

log = structlog.get_logger()
Remembered = TypeVar("Remembered")

CACHED_S: Final = 60.0  # how long a key that was revoked may go on
UNKNOWN_CACHED_S: Final = 5.0  # an id that is not there: nobody asks the table for it again so long
LOOKS_EVERY_S: Final = 1.0  # at the row of a key whose secret does not fit: it may have been rotated
KEYS_LIMIT: Final = 10_000  # remembered, the oldest out
ID: Final = slice(5, 21)  # of a key, its id
USE_NOTED_EVERY: Final = timedelta(hours=1)
ANOTHER: Final = "this API key is unknown, expired or revoked; `iops keys create` makes another"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is remembered of a key that holds."""

    caller: Caller
    secrets: tuple[tuple[bytes, bytes], ...]  # pepper and digest
    read_at_s: float  # monotonic, as is the next
    fresh_until_s: float

    def fits(self, key: bytes) -> bool:
        """Whether the key has one of the secrets; every comparison takes as long."""
        return any(hmac.compare_digest(hmac.digest(pepper, key, "sha256"), digest) for pepper, digest in self.secrets)


class KeyRing:
    """Tells the caller of a key. It notes at most hourly that a key is used."""

    def __init__(
        self,
        table: Table,
        peppers: Callable[[], Peppers],
        clock: Clock,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.peppers, self._table, self._clock, self._monotonic_s = peppers, table, clock, monotonic_s
        self._entries: dict[str, _Entry] = {}
        self._unknown: dict[str, float] = {}  # ids without a key that holds, until when; apart, or they push keys out
        self._loads: dict[str, asyncio.Task[_Entry | None]] = {}

    def known(self, key: bytes) -> Caller | None:
        """The caller, if that can be said without asking the table."""
        entry = self._entries.get(key[ID].decode("latin-1"))
        if entry is None or self._monotonic_s() >= entry.fresh_until_s or not entry.fits(key):
            return None
        return entry.caller

    def remembers(self, key: bytes) -> bool:
        """Whether it held when the table was last asked."""
        entry = self._entries.get(key[ID].decode("latin-1"))
        return entry is not None and entry.fits(key)

    async def caller_of(self, key: bytes) -> Caller:
        """The caller; raises Unauthenticated, or TableUnavailable."""
        key_id = key_id_of(key)
        if key_id is None:
            raise Unauthenticated("this is no API key: they look like iops_<id>_<secret>")
        entry = self._entries.get(key_id)
        if self._should_read(key_id, entry, key):
            entry = await self._read(key_id, key)
        if entry is None or not entry.fits(key):
            raise Unauthenticated(ANOTHER)
        return entry.caller

    def _should_read(self, key_id: str, entry: _Entry | None, key: bytes) -> bool:
        now_s = self._monotonic_s()
        if entry is None:
            return now_s >= self._unknown.get(key_id, now_s)
        return now_s >= entry.fresh_until_s or (not entry.fits(key) and now_s - entry.read_at_s >= LOOKS_EVERY_S)

    async def _read(self, key_id: str, key: bytes) -> _Entry | None:
        """One read for all who ask at the same time; it goes on when one of them leaves."""
        load = self._loads.get(key_id)
        if load is None:
            load = self._loads[key_id] = asyncio.create_task(self._load(key_id, key))
            load.add_done_callback(lambda done: self._end_load(key_id, done))
        return await asyncio.shield(load)

    def _end_load(self, key_id: str, load: asyncio.Task[_Entry | None]) -> None:
        del self._loads[key_id]
        if not load.cancelled():
            load.exception()  # seen, also where everybody who waited has left

    async def _load(self, key_id: str, key: bytes) -> _Entry | None:
        kept = await self._table.get_readable(items.api_key_key(key_id), items.item_to_api_key)
        entry = self._entry_of(kept) if kept and await makers_hold(self._table, kept.made_from, self._clock()) else None
        self._entries.pop(key_id, None)
        self._unknown.pop(key_id, None)
        if kept is None or entry is None:
            _remember(self._unknown, key_id, self._monotonic_s() + UNKNOWN_CACHED_S)
            return None
        _remember(self._entries, key_id, entry)
        if entry.fits(key):
            await self._tend(kept, key)
        return entry

    def _entry_of(self, key: ApiKey) -> _Entry | None:
        now, now_s = self._clock(), self._monotonic_s()
        if key.has_ended(now):
            return None
        held = key.held(now)
        ends = [key.ended_at, *(secret.until for secret in held)]
        fresh_s = min([CACHED_S, *((end - now).total_seconds() for end in ends if end is not None)])
        return _Entry(key.caller, tuple(self._with_peppers(key, held)), now_s, now_s + fresh_s)

    def _with_peppers(self, key: ApiKey, held: Iterable[KeptSecret]) -> Iterator[tuple[bytes, bytes]]:
        for secret in held:
            pepper = self.peppers().of(secret.pepper_id)
            if pepper is None:
                log.error("key_lost_its_pepper", key_id=key.key_id, name=key.name, pepper=secret.pepper_id)
            else:
                yield pepper.value, bytes.fromhex(secret.digest)

    async def _tend(self, kept: ApiKey, key: bytes) -> None:
        """Notes the use, and hashes with the current pepper, since an old one goes with the rotations to come."""
        now = self._clock()
        renewed = kept.with_pepper(key, self.peppers())
        try:
            if renewed is not None:
                await self._table.transact([{"Put": items.api_key_put(renewed, replaces=kept)}])
            if kept.last_used_at is None or now - kept.last_used_at >= USE_NOTED_EVERY:
                use = items.api_key_used_update(kept.key_id, now, unless_since=now - USE_NOTED_EVERY)
                await self._table.update(use)
        except Conflict:
            return  # another replica did
        except (Unavailable, ClientError) as error:  # a key that cannot be tended is a key all the same
            log.warning("key_not_tended", key_id=kept.key_id, reason=str(error))


async def makers_hold(table: Table, key_ids: Iterable[str], now: datetime) -> bool:
    """Whether no key that another was made from has ended: who revokes a stolen one ends what the thief made of it."""
    for key_id in key_ids:
        maker = await table.get_readable(items.api_key_key(key_id), items.item_to_api_key)
        if maker is None or maker.has_ended(now):
            return False
    return True


def _remember(memory: dict[str, Remembered], key_id: str, fact: Remembered) -> None:
    memory[key_id] = fact
    if len(memory) > KEYS_LIMIT:
        del memory[next(iter(memory))]
