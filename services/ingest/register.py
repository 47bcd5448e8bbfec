"""A stream's first sight: its row, and its place in its peer group."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from iops import items
from iops.clock import Clock, to_epoch_ms
from iops.errors import TableUnavailable
from iops.items import SeenStream
from iops.table import Table

REFRESH_S: Final = 3600  # the row's place in the index says that the stream still sends
CONCURRENCY: Final = 16  # UpdateItem calls under way at once; a fleet that appears at once does not starve the writers


class Registry:
    """Which streams the table knows already, as far as this process can tell; bounded, least recently used out."""

    def __init__(self, table: Table, clock: Clock, *, limit: int, wait_s: float) -> None:
        self._wait_s = wait_s
        self._table = table
        self._clock = clock
        self._limit = limit
        self._known: OrderedDict[str, tuple[object, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def ensure(self, arrivals: Iterable[SeenStream]) -> None:
        """Writes the rows of streams that are new, changed, or not confirmed for an hour; raises TableUnavailable.

        Where that happens between the two rows of a stream that changes its group, the old group keeps a member row;
        who reads it sees by the stream's own row that the stream is gone.
        """
        unknown = {arrival.stream_id: arrival for arrival in arrivals if not self._is_known(arrival)}
        if not unknown:
            return
        try:
            async with asyncio.timeout(self._wait_s), asyncio.TaskGroup() as writes:
                for arrival in unknown.values():
                    writes.create_task(self._register(arrival))
        except TimeoutError as error:
            raise TableUnavailable("the table is too slow for so many new streams", retry_after_s=2) from error
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    def _is_known(self, arrival: SeenStream) -> bool:
        seen = self._known.get(arrival.stream_id)
        if seen is None or seen[0] != _description(arrival):
            return False
        self._known.move_to_end(arrival.stream_id)
        return self._clock().timestamp() - seen[1] < REFRESH_S

    async def _register(self, arrival: SeenStream) -> None:
        async with self._slots:
            now = self._clock()
            request = items.stream_seen_update(arrival, now_ms=to_epoch_ms(now))
            before = await self._table.update(request)
            await self._table.put(items.member_item(arrival.group, arrival.stream_id))
            group_before = before.get("peer_group", {}).get("S", arrival.group)
            if group_before != arrival.group:
                old = items.member_item(group_before, arrival.stream_id)
                await self._table.delete(old)
        self._known[arrival.stream_id] = (_description(arrival), now.timestamp())
        if len(self._known) > self._limit:
            self._known.popitem(last=False)


def _description(arrival: SeenStream) -> object:
    return arrival.group, tuple(sorted(arrival.labels.items())), arrival.provisioned_iops
