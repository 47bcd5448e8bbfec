"""A demonstration: simulated streams with a past, faults in some of them, and what the product says about it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cli.body import Body, history_bodies, pack_bodies
from cli.live import INTERVAL_S, LiveFleet
from cli.outcome import CommandFailed, Outcome, Refused, Unreachable
from cli.screen import complain, plain, print_json, print_line, report_progress
from cli.server import Server, Sleep, Transport
from cli.tally import Tally
from iops.clock import Clock, from_epoch_ms, now, to_epoch_ms
from iops.telemetry import Batch
from ml.plan import Plan, plan_events
from ml.simulate import Fleet, Stream

DISKS_PER_HOST: Final = 6
HISTORY: Final = timedelta(hours=24)
FLEETS: Final = 100  # demonstrations that one table can hold
SENDERS: Final = 3  # requests at once: enough to keep ingest busy, few enough to leave the laptop usable
QUIET_S: Final = 10.0  # live without a fault, so that the change can be seen
SPREAD_S: Final = 20.0  # from the first fault to the last
LISTED: Final = 500  # alerts and insights looked at; the newest come first


@dataclass(frozen=True)
class DemoOptions:
    """What `iops demo` was asked for."""

    url: str
    streams: int = 60
    seed: int = 7
    duration_s: float = 180.0
    faults: int = 10
    as_json: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What a test replaces."""

    clock: Clock = now
    sleep: Sleep = asyncio.sleep
    transport: Transport | None = None


def run_demo(options: DemoOptions, surroundings: Surroundings | None = None) -> Outcome:
    """Run it to its end or to Ctrl-C, then say what was found."""
    demo = Demo(options, surroundings or Surroundings())
    failure: CommandFailed | None = None
    try:
        asyncio.run(demo.run())
    except KeyboardInterrupt:
        report_progress("Stopped.")
    except CommandFailed as error:
        complain(str(error))
        failure = error
    if failure is not None and not demo.tally.samples_sent:
        return failure.outcome
    demo.summarize()
    if failure is not None:
        return failure.outcome
    return Outcome.OK if demo.tally.found else Outcome.NOTHING


class Demo:
    """One run: first the past, then the present."""

    def __init__(self, options: DemoOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._clock, self._sleep = surroundings.clock, surroundings.sleep
        self._transport = surroundings.transport
        self._streams: tuple[Stream, ...] = ()
        self._say = report_progress if options.as_json else print_line
        self.tally = Tally(frozenset(), Plan({}, {}), self._clock())

    async def run(self) -> None:
        """Send everything and watch; `tally` knows the result at any time."""
        self._say(f"SIMULATED telemetry of {self._options.streams} streams goes to {plain(self._options.url)}.")
        async with Server(self._options.url, transport=self._transport, sleep=self._sleep) as server:
            self._streams = await self._new_streams(server)
            self.tally.stream_ids = frozenset(stream.stream_id for stream in self._streams)
            self.tally.note_tiers(await server.read("/tiers"))
            await self._send_past(server)
            await self._live(server)

    def summarize(self) -> None:
        """What was found, on standard output."""
        if self._options.as_json:
            print_json(self.tally.to_row())
        else:
            print("\n".join(self.tally.to_lines()))

    async def _new_streams(self, server: Server) -> tuple[Stream, ...]:
        """Of hosts that the server has not seen, because what an earlier demonstration broke may still be firing."""
        hosts = math.ceil(self._options.streams / DISKS_PER_HOST)
        fleet = Fleet(seed=self._options.seed, hosts=hosts, disks_per_host=DISKS_PER_HOST)
        for number in range(1, FLEETS + 1):
            streams = tuple(_renamed(stream, number) for stream in fleet.streams[: self._options.streams])
            if await server.read(f"/streams/{streams[0].stream_id}") is None:
                if number > 1:
                    host = streams[0].peer_group
                    self._say(f"The disks of an earlier demo are there; this one's hosts are {host} and on.")
                return streams
        raise Refused(f"the table holds {FLEETS} demos; start with an empty one")

    async def _send_past(self, server: Server) -> None:
        end_at = self._clock()
        bodies = history_bodies([(stream, end_at - HISTORY) for stream in self._streams], end_at=end_at)
        try:
            async with asyncio.TaskGroup() as group:
                lock = asyncio.Lock()
                for _ in range(SENDERS):
                    group.create_task(self._send_bodies(server, bodies, lock))
        except* CommandFailed as failures:
            raise failures.exceptions[0] from None
        self._say(f"The past is sent: {self.tally.samples_sent:,} samples.")

    async def _send_bodies(self, server: Server, bodies: Iterator[Body], lock: asyncio.Lock) -> None:
        while True:
            async with lock:  # one generator, several senders
                body = await asyncio.to_thread(next, bodies, None)
            if body is None:
                return
            await self._post(server, body)
            report_progress(f"{self.tally.samples_sent:,} samples of the past")

    async def _live(self, server: Server) -> None:
        start_at = _next_instant(self._clock())
        end_at = start_at + timedelta(seconds=self._options.duration_s)
        plan = self._plan(start_at)
        self.tally.plan = plan
        live = LiveFleet(self._streams, plan, start_at=start_at, end_at=end_at)
        self._say(f"Live: {len(plan.faults)} faults begin in {QUIET_S:.0f} s. Ctrl-C ends it with a summary.")
        while live.next_at < end_at:
            await self._sleep(max(0.0, (live.next_at - self._clock()).total_seconds()))
            await self._send_batches(server, live.advance(self._clock()))
            await self._watch(server)
        await self._send_batches(server, live.rest())
        await self._watch(server)

    def _plan(self, start_at: datetime) -> Plan:
        begins_at = start_at + timedelta(seconds=QUIET_S)
        return plan_events(
            self._streams, seed=self._options.seed, faults=self._options.faults, begins_at=begins_at, spread_s=SPREAD_S
        )

    async def _send_batches(self, server: Server, batches: Iterator[Batch]) -> None:
        for body in pack_bodies(batches):
            await self._post(server, body)

    async def _post(self, server: Server, body: Body) -> None:
        await server.post_gzip("/metrics", body.packed)
        self.tally.samples_sent += body.samples

    async def _watch(self, server: Server) -> None:
        try:
            self.tally.note_insights(await server.read_items("/insights/recent", limit=LISTED))
            self.tally.note_tiers(await server.read("/tiers"))
            alerts = await server.read_items("/alerts", limit=LISTED)
        except (Refused, Unreachable) as error:
            complain(f"{error}; asking again")  # sending goes on, and gives up when it must
            return
        for sighting in self.tally.note_alerts(alerts, self._clock()):
            self._say(sighting.to_line())


def _renamed(stream: Stream, number: int) -> Stream:
    """The same disk in a host of the demonstration's own: a fleet that is made with another name behaves otherwise."""
    if number == 1:
        return stream
    prefix = f"demo{number}-"
    return replace(
        stream,
        stream_id=prefix + stream.stream_id.removeprefix("demo-"),
        peer_group=prefix + stream.peer_group.removeprefix("demo-"),
    )


def _next_instant(at: datetime) -> datetime:
    interval_ms = round(INTERVAL_S * 1000)
    return from_epoch_ms((to_epoch_ms(at) // interval_ms + 1) * interval_ms)
