"""From POST to mail, over many faults."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from bench.scenario import HARD_KINDS, Case, history, make_cases
from cli.body import Body
from cli.credentials import credential_for
from cli.server import Server
from iops.clock import now
from iops.events import read_mail

SENDERS: Final = 3  # of the history
SCORED_LIMIT_S: Final = 120.0  # for the history to be known
# Ingest asks for a group's scoring at most once in 10 s: a second message, for what followed a group's first body, goes
# out up to 10 s after the past was sent, and the fault must not wait for that one's 10 s.
GROUP_PAUSE_S: Final = 21.0
MAIL_LIMIT_S: Final = 30.0  # after the last POST
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """How much, and how fast."""

    faults: int
    spread_s: float
    seed: int
    again_s: float = 10.0  # from a fault's first body to a second one, which a finding needs that no hard rule made


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. A mail is unexpected when nobody sent its fault, or it came twice."""

    faults: int
    lost: int
    unexpected: int
    seconds: dict[str, list[float]]  # from POST to mail, by kind of fault


async def measure(options: Options, url: str, mail_dir: Path, *, key: str | None = None) -> Result:
    """Send the past, then one fault after the other, and look when each mail was written.

    What a hard rule finds is mailed after the first scoring, the rest after the second in a row: those disks send on,
    ten seconds later, and their time counts from the first POST. Each fault lies in a peer group of its own, so that
    none waits for the 10 s between two scorings of a group: what is measured of the hard rules is the way of the first
    message, which is what an agent's early flush gets. The end is the modification time of the mail's file, on the
    clock that also timed the POST (the kernel stamps files to 4 ms). `key` is what it proves itself with; None,
    what the `iops` command would.
    """
    cases = make_cases(options.faults, seed=options.seed, run=uuid.uuid4().hex[:8])
    async with Server(url, credential_for=lambda asked: key or credential_for(asked)) as server:
        await server.read_items("/streams", limit=1)  # nobody there is said at once
        await _send_history(server, cases)
        await _wait_until_known(server, cases)
        await asyncio.sleep(GROUP_PAUSE_S)
        sent_at = await _send_faults(server, cases, options)
    victims = {case.victim.stream_id for case in cases}
    await _wait_for_mails(mail_dir, victims)
    return judge(cases, sent_at, _mails(mail_dir, cases))


def judge(cases: list[Case], sent_at: dict[str, float], written: dict[str, list[float]]) -> Result:
    """What came of the cases; all instants are seconds since 1970, mails by stream, oldest first."""
    seconds: dict[str, list[float]] = {}
    lost = 0
    for case in cases:
        mails = written[case.victim.stream_id]
        if mails:
            seconds.setdefault(case.kind, []).append(mails[0] - sent_at[case.victim.stream_id])
        else:
            lost += 1
            _say(f"lost: {case.kind} of {case.victim.stream_id}")
    victims = {case.victim.stream_id for case in cases}
    for stream_id, mails in written.items():
        if len(mails) > (stream_id in victims):
            _say(f"unexpected: {len(mails)} mails of {stream_id}")
    unexpected = sum(map(len, written.values())) - (len(cases) - lost)
    return Result(faults=len(cases), lost=lost, unexpected=unexpected, seconds=seconds)


def read_mails(mail_dir: Path) -> list[tuple[str, float]]:
    """The stream that each mail names, and when it was written (seconds since 1970)."""
    return list(_each_mail(mail_dir))


async def _send_history(server: Server, cases: list[Case]) -> None:
    bodies = history(cases, end_at=now())
    lock = asyncio.Lock()
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            async with lock:  # one generator, several senders
                body: Body | None = await asyncio.to_thread(next, bodies, None)
            if body is None:
                return
            await server.post_gzip("/metrics", body.packed)
            sent += body.samples

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(send())
    _say(f"sent {sent} samples of the past of {sum(len(case.streams) for case in cases)} disks")


async def _wait_until_known(server: Server, cases: list[Case]) -> None:
    """Until every disk that will have a fault has a history, or the patience ends: then its fault may be lost."""
    waiting = {case.victim.stream_id for case in cases}
    give_up_s = time.monotonic() + SCORED_LIMIT_S
    while waiting and time.monotonic() < give_up_s:
        for stream_id in sorted(waiting):
            known = await server.read(f"/streams/{stream_id}")
            if known is not None and known.get("warming_up") is False:
                waiting.discard(stream_id)
        await asyncio.sleep(POLL_S)
    _say(f"{len(cases) - len(waiting)} of {len(cases)} disks have a history")


async def _send_faults(server: Server, cases: list[Case], options: Options) -> dict[str, float]:
    """When each was sent (seconds since 1970), by stream; at seeded moments, so that no beat hides or makes a queue."""
    rng = random.Random(f"{options.seed}/moments")
    moments_s = sorted(rng.uniform(0, options.spread_s) for _ in cases)
    sent_at: dict[str, float] = {}
    begin_s = time.monotonic()

    async def send(case: Case, moment_s: float) -> None:
        await asyncio.sleep(begin_s + moment_s - time.monotonic())
        body_end_at = now()
        body = await asyncio.to_thread(case.fault_body, body_end_at)
        sent_at[case.victim.stream_id] = time.time()
        await server.post_gzip("/metrics", body.packed)
        if case.kind not in HARD_KINDS:
            await asyncio.sleep(options.again_s)
            later = await asyncio.to_thread(case.later_body, body_end_at, now())
            await server.post_gzip("/metrics", later.packed)

    async with asyncio.TaskGroup() as group:
        for case, moment_s in zip(cases, moments_s, strict=True):
            group.create_task(send(case, moment_s))
    _say(f"sent {len(cases)} faults in {time.monotonic() - begin_s:.0f} s")
    return sent_at


async def _wait_for_mails(mail_dir: Path, victims: set[str]) -> None:
    give_up_s = time.monotonic() + MAIL_LIMIT_S
    while time.monotonic() < give_up_s:
        named = {stream_id for stream_id, _ in await asyncio.to_thread(read_mails, mail_dir)}
        if victims <= named:
            return
        await asyncio.sleep(POLL_S)


def _mails(mail_dir: Path, cases: Iterable[Case]) -> dict[str, list[float]]:
    """When the mails of each of our streams were written, oldest first."""
    ours: dict[str, list[float]] = {stream.stream_id: [] for case in cases for stream in case.streams}
    for stream_id, written_s in sorted(read_mails(mail_dir), key=lambda mail: mail[1]):
        if stream_id in ours:
            ours[stream_id].append(written_s)
    return ours


def _each_mail(mail_dir: Path) -> Iterator[tuple[str, float]]:
    for path in mail_dir.glob("*.eml"):
        try:
            _, body = read_mail(path.read_text(errors="replace").partition("\n\n")[2])
        except ValueError:  # somebody else's
            continue
        if body["event"] == "opened":
            yield str(body["stream_id"]), path.stat().st_mtime


def _say(text: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {text}", file=sys.stderr)
