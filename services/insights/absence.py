"""The loop that misses agents: a host that falls silent is told once, and once more when it speaks again."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog

from iops import items
from iops.clock import Clock, to_epoch_ms
from iops.contract import PARTITION_KEY, TIME_KEY
from iops.errors import Conflict, DamagedChunk, Unavailable
from iops.insight import Insight
from iops.items import Item, SilentHost, Stream
from iops.observability import Metrics
from iops.table import Table
from iops.telemetry import Window
from services.insights import silence
from services.insights.silence import ALL_HOSTS, FORGOTTEN, LEAST_S, OLD, Heard, Host, host_of

log = structlog.get_logger()

Document = TypeVar("Document")

EVERY_S: Final = 60.0
ASLEEP: Final = timedelta(minutes=5)  # between two looks: this machine slept, and its agents may have too
LIST_EVERY: Final = timedelta(minutes=10)
LIST_PAGE: Final = 1_000
HOUR_MS: Final = 3_600_000
HOSTS_AT_ONCE: Final = 8
SIMULATED: Final = "simulated"  # label `source`: a demonstration has no agent to miss


class Absence:
    """Safe with any number of replicas: what is told of a host holds only for the version of its row."""

    def __init__(self, table: Table, clock: Clock, metrics: Metrics) -> None:
        self._table = table
        self._clock = clock
        self._hosts: Mapping[str, Host] = {}
        self._listed_at: datetime | None = None
        self._looked_at: datetime | None = None
        self._spoke: set[str] = set()  # hosts that were heard while this process looked
        self._freshest: dict[str, str] = {}  # host -> the stream that was asked with success the last time
        self._usual: dict[str, Heard] = {}  # host -> its last hour, while nothing newer comes
        self._told = metrics.counter("iops_silent_hosts_told", "Insights about silent agents", "what")
        self._silent = metrics.gauge(
            "iops_silent_hosts", "Hosts that are told to be silent; in an outage, all there are"
        )
        self._silent.set(math.nan)  # 0 would say that somebody looked

    async def run(self) -> None:
        """Looks until it is cancelled. It sleeps first: after a restart of everything agents need a moment."""
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.9, 1.1))  # noqa: S311 - replicas drift apart
            try:
                await self.look_once()
            except Unavailable as error:
                log.warning("absence_not_looked_for", reason=error.detail)
            except Exception:  # a loop that dies would miss nobody any more
                log.exception("absence_failed")

    async def look_once(self) -> None:
        """Tells what has changed since the last look. Raises Unavailable."""
        now = self._clock()
        was_asleep = self._looked_at is not None and not timedelta(0) <= now - self._looked_at < ASLEEP
        self._looked_at = now
        if was_asleep:
            self._spoke.clear()
            return
        await self._list_hosts(now)
        rows = await self._table.query(items.silent_hosts_query())
        told = {each.host: each for each in _readable(rows, items.item_to_silent_host)}
        self._silent.set(len(self._hosts) if ALL_HOSTS in told else len(told))
        heard = await self._hear_all(to_epoch_ms(now))
        await self._end_silences(told, heard, now)
        await self._begin_silences(told, heard, now)

    async def _begin_silences(self, told: Mapping[str, SilentHost], heard: Mapping[str, Heard], now: datetime) -> None:
        now_ms, fleet = to_epoch_ms(now), told.get(ALL_HOSTS)
        recent_ms = to_epoch_ms((fleet.insight.window_to if fleet else now) - OLD)
        self._spoke -= told.keys()
        watched = {
            name: each
            for name, each in heard.items()
            if name not in told and (name in self._spoke or each.at_ms >= recent_ms)
        }
        missed = [name for name, each in watched.items() if each.is_silent(now_ms)]
        is_outage = bool(fleet or missed) and silence.is_outage(watched, now_ms=now_ms)
        if is_outage and fleet is None:
            await self._tell(silence.outage(watched, now=now), "outage", is_silent=True)
        if fleet is not None and not is_outage:
            await self._tell(silence.spoken_again(fleet.insight, now=now), "outage_over", before=fleet)
        for name in () if is_outage else missed:
            await self._tell(silence.silence(self._hosts[name], heard[name], now=now), "silent", is_silent=True)
        self._spoke |= {name for name, each in heard.items() if not each.is_silent(now_ms)}
        self._spoke &= self._hosts.keys()

    async def _end_silences(self, told: Mapping[str, SilentHost], heard: Mapping[str, Heard], now: datetime) -> None:
        for name, before in told.items():
            if name == ALL_HOSTS:
                continue
            newest = heard.get(name)
            if newest is not None and not newest.is_silent(to_epoch_ms(now)):
                await self._tell(silence.spoken_again(before.insight, now=now), "spoke_again", before=before)
            elif now - before.insight.window_to >= FORGOTTEN:
                await self._tell(silence.forgotten(before.insight, now=now), "forgotten", before=before)

    async def _tell(
        self, insight: Insight, what: str, *, is_silent: bool = False, before: SilentHost | None = None
    ) -> None:
        """The insight, its outbox row and the host's, all or none; nothing where another replica was faster."""
        seen = before.version if before else await self._version(insight.stream_id)
        if seen is None:
            return
        host = items.host_put(insight, version=seen + 1, is_silent=is_silent)
        try:
            await self._table.transact(
                [
                    {"Put": {"Item": items.insight_item(insight)}},
                    {"Put": {"Item": items.outbox_item(insight)}},
                    {"Put": host},
                ]
            )
        except Conflict:
            return
        self._told.labels(what).inc()
        log.info("silence_told", what=what, host=insight.stream_id, insight_id=insight.insight_id)

    async def _version(self, host: str) -> int | None:
        """Of the row of a host that is not told; None where it is, and the list did not say so yet."""
        row = await self._table.get(items.host_key(host))
        return None if row is not None and "doc" in row else items.item_to_host_version(row)

    async def _list_hosts(self, now: datetime) -> None:
        if self._listed_at is not None and now - self._listed_at < LIST_EVERY:
            return
        oldest_ms = to_epoch_ms(now - FORGOTTEN)
        streams: dict[str, list[Stream]] = defaultdict(list)
        async for page in self._table.pages(items.list_query("stream", limit=LIST_PAGE)):
            for stream in _readable(page, items.item_to_stream):
                if stream.labels.get("source") != SIMULATED:
                    streams[host_of(stream.stream_id)].append(stream)
            if page and int(page[-1][TIME_KEY]["N"]) < oldest_ms:  # ingest renews the row of a stream that sends
                break
        self._hosts = {name: _host(name, of_host) for name, of_host in streams.items()}
        self._freshest = {name: each for name, each in self._freshest.items() if name in self._hosts}
        self._usual = {name: each for name, each in self._usual.items() if name in self._hosts}
        self._listed_at = now

    async def _hear_all(self, now_ms: int) -> dict[str, Heard]:
        """Without hosts whose samples could not be read now. Raises Unavailable where those are most."""
        slots = asyncio.Semaphore(HOSTS_AT_ONCE)
        unread: list[Unavailable] = []

        async def hear(host: Host) -> Heard | None:
            async with slots:
                try:
                    return await self._hear(host, now_ms)
                except Unavailable as error:
                    unread.append(error)
                    return None

        found = await asyncio.gather(*map(hear, self._hosts.values()))
        if unread:
            log.warning("hosts_not_read", hosts=len(unread), reason=unread[0].detail)
        if 2 * len(unread) > len(found):
            raise unread[0]
        return {name: each for name, each in zip(self._hosts, found, strict=True) if each is not None}

    async def _hear(self, host: Host, now_ms: int) -> Heard | None:
        """One read as long as the stream that was fresh the last time still is; None where nothing is stored."""
        first = self._freshest.get(host.name, host.stream_ids[0])
        newest: tuple[Heard, str] | None = None
        for stream_id in (first, *(each for each in host.stream_ids if each != first)):
            rows, _ = await self._table.query_page(items.newest_chunk_query(stream_id))
            heard = _heard(rows)
            if heard is not None and (newest is None or heard.at_ms > newest[0].at_ms):
                newest = heard, stream_id
            if newest is not None and newest[0].age_s(now_ms) <= LEAST_S:
                break
        if newest is None:
            return None
        self._freshest[host.name] = newest[1]
        return newest[0] if newest[0].age_s(now_ms) <= LEAST_S else await self._with_usual(host.name, *newest)

    async def _with_usual(self, host: str, newest: Heard, stream_id: str) -> Heard:
        """With the longest batch of its last hour: the last one may have been sent early, or cut by the hour."""
        known = self._usual.get(host)
        if known is None or known.at_ms != newest.at_ms:
            query = items.chunks_query(stream_id, from_ms=newest.at_ms - HOUR_MS, to_ms=newest.at_ms)
            rows = await self._table.query(query)
            spans = [heard.span_s for heard in map(_heard, ([row] for row in rows)) if heard is not None]
            known = self._usual[host] = replace(newest, span_s=max([newest.span_s, *spans]))
        return known


def _host(name: str, streams: Iterable[Stream]) -> Host:
    ordered = sorted(streams, key=lambda each: each.stream_id)
    return Host(name, ordered[0].peer_group, tuple(each.stream_id for each in ordered))


def _readable(rows: Iterable[Item], read: Callable[[Item], Document]) -> Iterator[Document]:
    """One damaged row must not keep all hosts from being missed."""
    for row in rows:
        try:
            yield read(row)
        except items.UNREADABLE:
            log.warning("row_left_out", key=row[PARTITION_KEY]["S"])


def _heard(rows: list[Item]) -> Heard | None:
    """Of a chunk, if there is one that can be read."""
    try:
        window: Window | None = items.item_to_window(rows[0]) if rows else None
    except DamagedChunk as error:
        log.warning("chunk_left_out", key=error.key)
        return None
    if window is None or not len(window):
        return None
    interval_s = float(window.columns["interval_s"][-1])
    return Heard(window.at_ms[-1], interval_s, (window.at_ms[-1] - window.at_ms[0]) / 1000 + interval_s)
