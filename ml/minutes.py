"""Days of a simulated host at once: one-minute rows of all disks, and the label, which is the fault that was injected.

The same formulas as `ml.simulate`, on arrays [minute, disk]. A host is computed twice, with its faults and without
them, from the same demand and the same cost of requests: what lies between is the severity, as its callers feel it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iops.minutes import CHANNELS, SERIES
from iops.risk import KINDS
from ml.effects import Effects, add_effect
from ml.episodes import EVENTS, KIND_OF, Episode, Event, episodes_of
from ml.hosts import DAY, UNKNOWN, Host
from ml.queueing import Array, busy_ratio, open_requests
from ml.steady import MINUTE_S, Asked, Served, serve
from ml.traffic import START, Character, character_of, cost_factor, log_uniform, wander, wanted_iops

STALL_FELT_MS: Final = 30_000.0  # in a minute in which nothing comes back a caller has waited half of it
FELT: Final = math.log(1.15)  # a severity below it nobody notices
ALWAYS_FELT: Final = (Event.STALL, Event.IO_ERRORS, Event.TAIL_LATENCY)  # where the mean is not what hurts
BLIPS: Final = 1e-5  # of the minutes have an error that means nothing
ONLY_AWAIT: Final = ("read_bytes_s", "write_bytes_s", "await_ms")  # what some exporters know


@dataclass(frozen=True, slots=True)
class Simulated:
    """A host, and what was injected."""

    host: Host
    event: NDArray[np.int8]  # [minute, disk]: place in EVENTS
    character: Character
    episodes: tuple[Episode, ...]

    @property
    def is_felt(self) -> NDArray[np.bool_]:
        """[minute, disk]: a fault that a caller can notice; a throttle at night is not."""
        always = np.isin(self.event, [EVENTS.index(event) for event in ALWAYS_FELT])
        return np.asarray((self.host.incident == 1) & ((self.host.severity >= FELT) | always))


def simulated_hosts(*, seed: int, hosts: int, minutes: int) -> Iterator[Host]:
    """The first `hosts` hosts of a seed; the same however many are asked for."""
    for index in range(hosts):
        yield simulate_host(seed=seed, index=index, minutes=minutes).host


def simulate_host(*, seed: int, index: int, minutes: int) -> Simulated:
    """One host of a seed, with whatever happens to it."""
    rng = np.random.default_rng((seed, index))
    character = character_of(rng)
    return simulate(character, episodes_of(character, minutes, rng), minutes, rng, name=f"simulated-{seed}-{index}")


def simulate(
    character: Character, episodes: Sequence[Episode], minutes: int, rng: Generator, *, name: str = "simulated"
) -> Simulated:
    """A host of a given character to which given episodes happen."""
    asked = Asked(
        iops=wanted_iops(character, minutes, rng),
        cost=cost_factor(character, minutes, rng),
        balance=rng.uniform(0.2, 1.0, character.disks),
    )
    without = Effects.none(minutes, character.disks)
    for episode in episodes:
        if not episode.is_fault:
            add_effect(without, episode, rng)
    effects = copy.deepcopy(without)
    for episode in episodes:
        if episode.is_fault:
            add_effect(effects, episode, rng)
    served = serve(character, asked, effects)
    usual = serve(character, asked, without) if any(each.is_fault for each in episodes) else served
    event = _events(episodes, served, minutes)
    is_fault = np.isin(event, [EVENTS.index(each) for each in KIND_OF])
    severity = np.log(_felt_ms(served, effects) / _felt_ms(usual, without))
    kinds = np.array([KINDS.index(KIND_OF[each]) if each in KIND_OF else UNKNOWN for each in EVENTS], np.int8)
    rows = _measured_rows(episodes, minutes, character.loses_minutes, rng)
    host = Host(
        name=name,
        disks=tuple(f"disk{disk}" for disk in range(character.disks)),
        minute=START + rows,
        values=_measure(character, served, effects, rng)[rows],
        incident=is_fault[rows].astype(np.int8),
        kind=kinds[event][rows],
        severity=np.where(is_fault, severity, 0)[rows].astype(np.float32),
    )
    return Simulated(host, event[rows], character, tuple(episodes))


def _felt_ms(served: Served, effects: Effects) -> Array:
    """The mean that callers feel, those included that still wait."""
    mean_ms = served.await_ms + effects.slow_ratio * effects.slow_ms
    return np.where(effects.stalled_ratio >= 1, np.maximum(STALL_FELT_MS, mean_ms), mean_ms)


def _events(episodes: Sequence[Episode], served: Served, minutes: int) -> NDArray[np.int8]:
    """Faults over benign events over ordinary time. A deployment is news for a day; credits hurt when they are out."""
    event = np.zeros(served.wait_ms.shape, np.int8)
    for episode in sorted(episodes, key=lambda each: each.is_fault):
        is_there = np.repeat(episode.strength[:, np.newaxis] > 0, len(episode.disks), axis=1)
        if episode.event is Event.DEPLOY:
            is_there[max(0, episode.begin + DAY) :] = False
        if episode.event is Event.BURST_CREDITS:
            is_there &= served.is_out_of_credits[:, episode.disks]
        event[:, episode.disks] = np.where(is_there, EVENTS.index(episode.event), event[:, episode.disks])
    assert len(event) == minutes
    return event


def _measure(character: Character, served: Served, effects: Effects, rng: Generator) -> NDArray[np.float32]:
    """What an agent sees of it, [minute, disk, one of SERIES], with the noise of the requests that happened to come."""
    load, shape = served.load, served.wait_ms.shape
    awake = served.let_through * (1 - effects.stalled_ratio)
    reads, writes = (rng.poisson(rate * awake * MINUTE_S) for rate in (load.reads_s, load.writes_s))
    count = reads + writes
    some = np.maximum(count, 1)
    slow = rng.poisson(count * effects.slow_ratio) / some
    service_ms = (reads * load.read_ms + writes * load.write_ms) / some
    typical_ms = (service_ms + served.wait_ms) * np.exp(
        np.minimum(character.device.variation / np.sqrt(some), 1) * rng.standard_normal(shape)
    )
    await_ms = np.where(count > 0, typical_ms + served.stuck_ms + np.minimum(slow, 1) * effects.slow_ms, np.nan)
    stuck = np.minimum(rng.poisson(served.stuck), character.open_limit)
    open_now = open_requests(count / MINUTE_S, np.nan_to_num(await_ms))
    is_stuck = (stuck > 0) * effects.stalled_ratio
    busy = is_stuck + (1 - is_stuck) * busy_ratio(open_now)
    size = np.exp(0.08 * wander(rng, shape[0], 1, every=45) + 0.04 * rng.standard_normal(shape))
    p99_ms = service_ms * character.tail_ratio * np.exp(0.15 * rng.standard_normal(shape)) + 1.5 * served.wait_ms
    p99_ms = np.where(slow > 0.01, np.maximum(p99_ms, effects.slow_ms), p99_ms)
    values = {
        "queue_depth": open_now + stuck * effects.stalled_ratio,
        "read_iops": reads / MINUTE_S,
        "read_bytes_s": reads / MINUTE_S * load.read_bytes * size,
        "service_ms": np.where(count > 0, 1000 * busy * MINUTE_S / some, np.nan),
        "utilization_ratio": busy,
        "write_iops": writes / MINUTE_S,
        "await_ms": await_ms,
        "write_bytes_s": writes / MINUTE_S * load.write_bytes * size,
        "latency_p99_ms": np.where(count > 0, np.maximum(p99_ms, await_ms), np.nan),
        "troubled": _troubled(character, count * effects.error_ratio, is_stuck, rng),
    }
    return _known(character, np.stack([values[name] for name in SERIES], axis=-1).astype(np.float32))


def _troubled(character: Character, errors: Array, stalled: Array, rng: Generator) -> Array:
    """Samples of the minute with I/O errors, or stalled."""
    samples = character.samples_a_minute
    if character.counts_errors:
        counted = rng.poisson(errors + BLIPS)
        bad = np.ceil(samples * (1 - np.exp(-counted / samples)))
    else:
        bad = np.zeros(errors.shape)
    return np.asarray(np.minimum(bad + np.ceil(samples * stalled), samples))


def _known(character: Character, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Null what a host does not measure."""
    known = set(ONLY_AWAIT) if character.has_only_await else set(CHANNELS)
    if not character.has_only_await:
        known |= {"latency_p99_ms"} if character.has_p99 else set()
        known |= {"troubled"} if character.knows_trouble else set()
    values[..., [SERIES.index(name) for name in SERIES if name not in known]] = np.nan
    return values


def _measured_rows(episodes: Sequence[Episode], minutes: int, is_lossy: bool, rng: Generator) -> NDArray[np.int64]:
    """Minutes of which there is a measurement: none while a host reboots, and some are lost."""
    is_there = np.ones(minutes, np.bool_)
    for episode in episodes:
        if episode.event is Event.REBOOT:
            is_there[max(0, episode.begin) : episode.begin + int(rng.integers(2, 11))] = False
    if is_lossy:
        is_there &= rng.random(minutes) >= log_uniform(rng, 1e-3, 0.03)
        gap = int(rng.integers(minutes))
        is_there[gap : gap + int(log_uniform(rng, 5, 300))] = False
    return np.flatnonzero(is_there)
