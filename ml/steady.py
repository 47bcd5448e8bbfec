"""The steady state of each minute of a host: what its disks let through, and how long requests take.

The same formulas as `ml.simulate`, on arrays [minute, disk].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.effects import Effects
from ml.queueing import (
    Array,
    Limits,
    Load,
    allowed_s,
    credits_after,
    flow,
    least,
    most,
    with_sequential_reads,
)
from ml.traffic import Character

MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """Demand and cost of requests, whatever happens."""

    iops: Array
    cost: Array
    balance: Array  # of the burst credits at the beginning, share of the bucket


@dataclass(frozen=True, slots=True)
class Served:
    """The steady state of each minute; rates are a second."""

    load: Load[Array]
    let_through: Array
    wait_ms: Array
    stuck: Array  # requests that wait for the end of a stall
    stuck_ms: Array  # what a stall adds to the mean of those that complete
    is_out_of_credits: NDArray[np.bool_]

    @property
    def await_ms(self) -> Array:
        return self.load.mean_ms + self.wait_ms + self.stuck_ms


def serve(character: Character, asked: Asked, effects: Effects) -> Served:
    """What a host makes of what is asked of it, under the effects of what happens to it."""
    load = _load(character, asked, effects)
    limits, is_out = _limits(character, load, effects, asked.balance)
    steady = flow(load, limits)
    stall_s = MINUTE_S * effects.stalled_ratio
    stuck = least(load.arrivals_s * stall_s, character.open_limit)
    # Those that waited for a stall to end waited half of it on average.
    completions = most(load.arrivals_s * steady.let_through_ratio * (MINUTE_S - stall_s), 0.0) + stuck
    stuck_ms = np.where(effects.stalled_ratio < 1, stuck / completions * 500 * stall_s, 0.0)
    return Served(load, steady.let_through_ratio, steady.wait_ms, stuck, stuck_ms, is_out)


def _load(character: Character, asked: Asked, effects: Effects) -> Load[Array]:
    device = character.device
    slowness = asked.cost * effects.service_factor
    read_bytes, write_bytes = (np.broadcast_to(each, slowness.shape) for each in _sizes(character))
    read_ms = (device.read_ms + 1000 * read_bytes / device.lane_bytes_s) * slowness
    write_ms = (device.write_ms + 1000 * write_bytes / device.lane_bytes_s) * slowness
    ratio = character.read_ratio
    mean_ms, mean_bytes = (ratio * one + (1 - ratio) * two for one, two in ((read_ms, write_ms), _sizes(character)))
    iops = least(asked.iops * effects.demand_factor, np.broadcast_to(character.limit_iops, slowness.shape))
    full_iops = least(1000 * min(device.lanes, character.open_limit) / mean_ms, device.throughput_bytes_s / mean_bytes)
    iops = most(iops, effects.load_ratio * full_iops)
    if device.credits is not None:
        earned_iops = device.credits.earned_s / (mean_bytes if device.credits.are_bytes else 1)
        iops = most(iops, effects.credits_wanted * earned_iops)
    load = Load(iops * ratio, iops * (1 - ratio), read_bytes, write_bytes, read_ms, write_ms)
    if not effects.sequential_load.any():
        return load
    return with_sequential_reads(
        load,
        share=effects.sequential_load,
        big_ms=device.service_ms(device.sequential_ms, device.backup_bytes) * slowness,
        big_bytes=device.backup_bytes,
        lanes=device.lanes,
        throughput_bytes_s=device.sustained_bytes_s,
    )


def _sizes(character: Character) -> tuple[Array, Array]:
    return character.read_bytes, character.write_bytes


def _limits(
    character: Character, load: Load[Array], effects: Effects, balance: Array
) -> tuple[Limits[Array], NDArray[np.bool_]]:
    """Provisioning, injected caps and burst credits; and where the credits hold back what is asked."""
    device = character.device
    cap_iops = least(_cap(load.arrivals_s, effects.cap_ratio), device.provisioned_iops or math.inf)
    cap_bytes_s = least(_cap(load.bytes_s, effects.cap_bytes_ratio), device.throughput_bytes_s)
    is_out = np.zeros(cap_iops.shape, np.bool_)
    if device.credits is not None:
        asked_s = load.bytes_s if device.credits.are_bytes else load.arrivals_s
        allowed = _allowed(character, asked_s, balance)
        is_out = allowed < asked_s
        if device.credits.are_bytes:
            cap_bytes_s = least(cap_bytes_s, allowed)
        else:
            cap_iops = least(cap_iops, allowed)
    return Limits(device.lanes, character.open_limit, device.variation, cap_bytes_s, cap_iops), is_out


def _cap(asked_s: Array, ratio: Array) -> Array:
    """A throttle is set once: below what the disk is asked for on average while it lasts."""
    is_capped = np.isfinite(ratio)
    usual = np.where(is_capped, asked_s, 0).sum(axis=0) / np.maximum(is_capped.sum(axis=0), 1)
    return np.where(is_capped, ratio, 1.0) * np.where(is_capped, usual, np.inf)


def _allowed(character: Character, asked_s: Array, balance: Array) -> Array:
    """What burst credits let through each minute: they are spent and earned from one to the next."""
    burst = character.device.credits
    assert burst is not None
    allowed, left = np.empty_like(asked_s), balance * burst.bucket
    earned_s = np.full_like(left, burst.earned_s)
    for minute, asked in enumerate(asked_s):
        now = allowed_s(left, earned_s=earned_s, burst_s=burst.burst_s, interval_s=MINUTE_S)
        spent = MINUTE_S * least(asked, now)
        left = credits_after(left, earned=MINUTE_S * earned_s, spent=spent, bucket=burst.bucket)
        allowed[minute] = now
    return allowed
