"""The silences that hold now, as this replica last read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from iops import items
from iops.alert import Silence
from iops.clock import Clock, to_epoch_ms
from iops.contract import PARTITION_KEY
from iops.insight import PredictionType
from iops.items import UNREADABLE, Item
from iops.table import Table

log = structlog.get_logger()

MAX_AGE: Final = timedelta(seconds=5)  # a silence holds a few seconds after it is made


class Silences:
    """A short-lived copy of a short list."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._held: Sequence[Silence] = ()
        self._read_at: datetime | None = None

    async def refresh(self) -> None:
        """Reads them where that was long ago. Raises TableUnavailable."""
        now = self._clock()
        if self._read_at is not None and timedelta(0) <= now - self._read_at < MAX_AGE:
            return
        rows = await self._table.query(items.silences_query(now_ms=to_epoch_ms(now)))
        self._held = [silence for row in rows if (silence := read_silence(row)) is not None]
        self._read_at = now

    async def until_now(
        self, stream_id: str, peer_group: str, prediction_type: PredictionType, *, now: datetime
    ) -> datetime | None:
        """When the last silence ends that matches this trouble now; None where none does.

        Of those that match, each is read anew (strongly consistent): an alert that opens in a silence which somebody
        just ended would stay silent to its end.
        """
        matching = [each for each in self._held if each.matches(stream_id, peer_group, prediction_type)]
        rows = [await self._table.get(items.key_of(f"silence#{each.silence_id}", "silence")) for each in matching]
        read = [silence for row in rows if row is not None and (silence := read_silence(row)) is not None]
        return silenced_until(read, stream_id, peer_group, prediction_type, now=now)


def silenced_until(
    silences: Iterable[Silence], stream_id: str, peer_group: str, prediction_type: PredictionType, *, now: datetime
) -> datetime | None:
    """When the last of `silences` ends that matches this trouble now; None where none does."""
    ends = [
        silence.ends_at
        for silence in silences
        if silence.begins_at <= now < silence.ends_at and silence.matches(stream_id, peer_group, prediction_type)
    ]
    return max(ends, default=None)


def read_silence(row: Item) -> Silence | None:
    """None for what cannot be read: then people hear too much, not too little."""
    try:
        return items.item_to_silence(row)
    except UNREADABLE:
        log.warning("silence_unreadable", key=row[PARTITION_KEY]["S"])
        return None
