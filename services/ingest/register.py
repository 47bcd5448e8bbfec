"""A stream's first sight: its row, and its place in its peer group."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from iops import items
from iops.clock import Clock, to_epoch_ms
from iops.table import Table
from iops.telemetry import Batch

REFRESH_S: Final = 3600  # the row's place in the index says that the stream still sends
CONCURRENCY: Final = 16  # UpdateItem calls under way at once; a fleet that appears at once does not starve the writers


class Registry:
    """Which streams the table knows already, as far as this process can tell; bounded, least recently used out."""

    def __init__(self, table: Table, clock: Clock, *, limit: int) -> None:
        self._table = table
        self._clock = clock
        self._limit = limit
        self._known: OrderedDict[str, tuple[object, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def ensure(self, batches: Iterable[Batch]) -> None:
        """Writes the rows of streams that are new, changed, or not confirmed for an hour; raises TableUnavailable."""
        unknown = {batch.stream_id: batch for batch in batches if not self._is_known(batch)}
        if not unknown:
            return
        try:
            async with asyncio.TaskGroup() as writes:
                for batch in unknown.values():
                    writes.create_task(self._register(batch))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    def _is_known(self, batch: Batch) -> bool:
        seen = self._known.get(batch.stream_id)
        if seen is None or seen[0] != _description(batch):
            return False
        self._known.move_to_end(batch.stream_id)
        return self._clock().timestamp() - seen[1] < REFRESH_S

    async def _register(self, batch: Batch) -> None:
        async with self._slots:
            now = self._clock()
            request = items.stream_seen_update(batch, now_ms=to_epoch_ms(now))
            before = await self._table.update(request)
            await self._table.put(items.member_item(batch.group, batch.stream_id))
            group_before = before.get("peer_group", {}).get("S", batch.group)
            if group_before != batch.group:
                old = items.member_item(group_before, batch.stream_id)
                await self._table.delete(old)
        self._known[batch.stream_id] = (_description(batch), now.timestamp())
        if len(self._known) > self._limit:
            self._known.popitem(last=False)


def _description(batch: Batch) -> object:
    return batch.group, tuple(sorted(batch.labels.items())), batch.provisioned_iops
