"""What an episode does to the disks it happens to, minute by minute; how much is drawn here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.episodes import Episode, Event
from ml.traffic import log_uniform, wander

Array = NDArray[np.float64]

FAIL_SLOW_FACTORS: Final = (1.15, 10.0)  # times the healthy service time
CAP_RATIOS: Final = (0.6, 1.3)  # of what is asked on average; over 1 only the peaks are held back


@dataclass(slots=True)
class Effects:
    """What the episodes do to each minute of each disk; arrays are [minute, disk]."""

    service_factor: Array
    demand_factor: Array
    load_ratio: Array  # demand is at least this much of what the disk can serve
    cap_ratio: Array  # of the demand without a fault that a throttle of requests lets through
    cap_bytes_ratio: Array
    slow_ratio: Array  # share of the requests that take `slow_ms` more
    slow_ms: Array
    error_ratio: Array
    stalled_ratio: Array  # share of the minute in which nothing is served
    sequential_load: Array
    credits_wanted: Array  # demand over what a volume's credits earn

    @classmethod
    def none(cls, minutes: int, disks: int) -> Effects:
        usual = {"service_factor": 1.0, "demand_factor": 1.0, "cap_ratio": math.inf, "cap_bytes_ratio": math.inf}
        return cls(**{each.name: np.full((minutes, disks), usual.get(each.name, 0.0)) for each in fields(cls)})


def add_effect(effects: Effects, episode: Episode, rng: Generator) -> None:
    """Adds what an episode does."""
    _DOES[episode.event](effects, episode.disks, episode.strength[:, np.newaxis], rng)


def _fail_slow(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.service_factor[:, disks] *= log_uniform(rng, *FAIL_SLOW_FACTORS) ** strength


def _noisy_neighbour(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    """Somebody else takes a share of what all these disks stand on, now more and now less."""
    restless = 1 + 0.25 * wander(rng, len(strength), 1, every=4)
    taken = np.clip(rng.uniform(0.25, 0.85) * strength * restless, 0, 0.93)
    effects.service_factor[:, disks] /= 1 - taken


def _tail_latency(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.slow_ratio[:, disks] = log_uniform(rng, 0.003, 0.05) * strength
    effects.slow_ms[:, disks] = log_uniform(rng, 20, 500)


def _io_errors(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    """Some requests fail after they were retried; in some minutes none does."""
    is_bad = rng.random(strength.shape) < rng.uniform(0.2, 1)
    effects.error_ratio[:, disks] = log_uniform(rng, 0.0005, 0.05) * strength * is_bad
    effects.slow_ratio[:, disks] = effects.error_ratio[:, disks]
    effects.slow_ms[:, disks] = log_uniform(rng, 10, 1000)


def _iops_cap(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.cap_ratio[np.ix_(strength[:, 0] > 0, disks)] = rng.uniform(*CAP_RATIOS)


def _throughput_cap(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.cap_bytes_ratio[np.ix_(strength[:, 0] > 0, disks)] = rng.uniform(*CAP_RATIOS)


def _burst_credits(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.credits_wanted[:, disks] = rng.uniform(1.2, 3) * strength


def _stall(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    """Half of the stalls are whole; others stand still for a part of every minute."""
    share = 1.0 if rng.random() < 0.5 else rng.uniform(0.1, 1)
    effects.stalled_ratio[:, disks] = np.where(strength > 0, share, 0)


def _overload(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.load_ratio[:, disks] = rng.uniform(1.02, 1.6) * strength


def _backup(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.sequential_load[:, disks] = rng.uniform(0.4, 0.9) * strength


def _scrub(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.sequential_load[:, disks] = rng.uniform(0.2, 0.5) * strength


def _batch_job(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.demand_factor[:, disks] *= log_uniform(rng, 1.5, 6) ** strength


def _deploy(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    effects.demand_factor[:, disks] *= log_uniform(rng, 0.4, 2.5) ** strength


def _reboot(effects: Effects, disks: NDArray[np.intp], strength: Array, rng: Generator) -> None:
    """Cold caches: more gets through to the disks, and costs more."""
    effects.demand_factor[:, disks] *= rng.uniform(1, 2) ** strength
    effects.service_factor[:, disks] *= rng.uniform(1.1, 2) ** strength


_DOES: Final[Mapping[Event, Callable[[Effects, NDArray[np.intp], Array, Generator], None]]] = MappingProxyType(
    {
        Event.FAIL_SLOW: _fail_slow,
        Event.TAIL_LATENCY: _tail_latency,
        Event.IOPS_CAP: _iops_cap,
        Event.THROUGHPUT_CAP: _throughput_cap,
        Event.BURST_CREDITS: _burst_credits,
        Event.NOISY_NEIGHBOUR: _noisy_neighbour,
        Event.STALL: _stall,
        Event.IO_ERRORS: _io_errors,
        Event.OVERLOAD: _overload,
        Event.BACKUP: _backup,
        Event.SCRUB: _scrub,
        Event.BATCH_JOB: _batch_job,
        Event.REBOOT: _reboot,
        Event.DEPLOY: _deploy,
    }
)
