"""Runs stored samples through scorer and episode logic again, one peer group after another, and publishes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cli.outcome import Misused, Outcome, Refused
from cli.replay.compare import compare
from cli.replay.desk import Desk
from cli.replay.group import Group, Member
from cli.replay.options import Choice, Span, Trial
from cli.replay.reader import Reader
from cli.replay.show import Outcomes, show
from cli.replay.track import Track
from cli.screen import report_progress
from cli.server import Server, Transport
from iops.baseline import BASELINE_S
from iops.clock import to_epoch_ms
from iops.items import Stream
from iops.model import Model, UnfitModel
from iops.observability import Metrics
from iops.rollup import HOUR_MS
from services.insights.judge import QUIET_RISK, ModelJudge
from services.insights.scorers import Canary, LocalScorer
from services.insights.settings import MODEL_DIR

SLICE: Final = timedelta(hours=6) - timedelta(milliseconds=1)  # of samples at once; longer ones are minutes
READS_AT_ONCE: Final = 4
ANSWER_TIMEOUT_S: Final = 60.0  # for 20,000 samples
NO_MODEL: Final = "none"


@dataclass(frozen=True, slots=True)
class Replay:
    """What is replayed, and with what."""

    url: str
    span: Span
    choice: Choice
    trial: Trial
    model: str | None = None  # a directory, or "none"; None: the model that is shipped
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    """A group that was replayed."""

    group: Group
    desk: Desk
    streams: int


async def replay(asked: Replay, *, transport: Transport | None) -> Outcome:
    """Prints what would have fired, and how that differs from what did."""
    judge = open_judge(asked.model)
    began_s = time.monotonic()
    async with Server(asked.url, transport=transport, timeout_s=ANSWER_TIMEOUT_S) as server:
        reader = Reader(server)
        groups = await reader.groups(asked.choice)
        if not groups:
            raise Refused("no stream is like that; `iops streams` lists them")
        done = []
        for place, streams in enumerate(groups.values(), start=1):
            done.append(await _replay_group(reader, asked, streams, judge))
            scored = sum(each.group.scored for each in done)
            speed = scored / (time.monotonic() - began_s)
            report_progress(f"{place} of {len(groups)} peer groups, {scored} scorings, {speed:.0f} a second")
        real = await reader.fired(asked.span.from_at, asked.span.to_at, asked.choice)
    fired = sorted(
        (fired for each in done for fired in each.desk.fired), key=lambda fired: (fired.opened_at, fired.stream_id)
    )
    everything = [stream for streams in groups.values() for stream in streams]
    outcomes = Outcomes(
        span=asked.span,
        streams=sum(each.streams for each in done),
        scored=sum(each.group.scored for each in done),
        insights=sum(each.group.insights for each in done),
        pages=sum(each.desk.pages for each in done),
        reminders=sum(each.desk.reminders for each in done),
        fired=fired,
        difference=compare(fired, real, asked.span, everything),
    )
    show(outcomes, as_json=asked.as_json)
    return Outcome.OK


def open_judge(model: str | None) -> ModelJudge | None:
    """None for "none"; raises Misused for a directory whose model does not fit."""
    if model == NO_MODEL:
        return None
    try:
        loaded = Model(MODEL_DIR if model is None else Path(model))
    except UnfitModel as error:
        raise Misused(f"--model {model or MODEL_DIR}: {error}") from error
    metrics = Metrics()  # which nobody reads
    chain = Canary(LocalScorer(loaded, least_risk=QUIET_RISK), None, lambda: 0, metrics)
    return ModelJudge(chain, loaded.card, metrics)


async def _replay_group(reader: Reader, asked: Replay, streams: Sequence[Stream], judge: ModelJudge | None) -> _Done:
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def open_member(stream: Stream) -> Member:
        async with slots:
            track = await _open_track(reader, stream.stream_id, asked.span.from_at)
        return Member(_unscored(stream), track, is_told=asked.choice.has(stream.stream_id, stream.peer_group))

    async def add(member: Member, from_ms: int, to_ms: int) -> None:
        async with slots:
            member.track.add(await reader.samples(member.stream_id, from_ms=from_ms, to_ms=to_ms))

    members = await asyncio.gather(*map(open_member, streams))
    desk = Desk(asked.trial.rules)
    group = Group(members, judge, desk, asked.trial)
    for instants in _slices(asked.span):
        await asyncio.gather(*(add(member, instants.start + 1, instants.stop) for member in members))
        for at_ms in range(instants.start, instants.stop, instants.step):
            await group.step(at_ms + instants.step)
    return _Done(group, desk, streams=sum(member.is_told for member in members))


async def _open_track(reader: Reader, stream_id: str, from_at: datetime) -> Track:
    """What was known of a stream when the replay begins: a day of minutes, of which the last hour as it was sent."""
    from_ms = to_epoch_ms(from_at)
    raw_from_ms = (from_ms - HOUR_MS) // HOUR_MS * HOUR_MS
    minutes = await reader.minutes(stream_id, from_ms=from_ms - BASELINE_S * 1000, to_ms=raw_from_ms - 1)
    track = Track(minutes=minutes, raw_from_ms=raw_from_ms)
    track.add(await reader.samples(stream_id, from_ms=raw_from_ms, to_ms=from_ms))
    track.advance(from_ms)
    return track


def _slices(span: Span) -> Iterator[range]:
    """The instants at which is scored, but for the last of each slice; a slice is read at once."""
    step_ms = round(span.every.total_seconds() * 1000)
    from_ms, to_ms = to_epoch_ms(span.from_at), to_epoch_ms(span.to_at)
    longest_ms = max(1, round(SLICE.total_seconds() * 1000) // step_ms) * step_ms
    last_ms = from_ms + (to_ms - from_ms) // step_ms * step_ms
    for start_ms in range(from_ms, last_ms, longest_ms):
        yield range(start_ms, min(start_ms + longest_ms, last_ms), step_ms)


def _unscored(stream: Stream) -> Stream:
    """What the server says of it now must not matter then: neither its risk nor what was dismissed since."""
    return Stream(stream.stream_id, stream.peer_group, stream.labels, stream.provisioned_iops, stream.first_seen_at)
