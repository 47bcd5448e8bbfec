"""Telemetry of a simulated fleet, derived from queueing; the label is the fault that was injected.

An interval is one steady state: demand (daily rhythm, drift, bursts, noise) meets lanes with service times; the wait is
that of an M/G/c queue, bounded because a host keeps only so many requests open; queue depth follows by Little's law.
What an agent would see is then drawn from it, with the sampling noise of the requests that happened to complete.
Every instant has a random generator of its own, so the same request twice gives the same samples.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import datetime
from statistics import NormalDist
from typing import Final

from iops.clock import from_epoch_ms, to_epoch_ms
from iops.telemetry import Sample
from ml.fault import NO_EFFECT, OVERLOAD_RATIO, Benign, Effect, Fault
from ml.fleet import Fleet, Stream
from ml.queueing import Flow, Limits, Load, busy_ratio, flow, open_requests, with_sequential_reads

__all__ = ["Fleet", "Stream", "samples"]

DEMAND_NOISE: Final = 0.12  # of the logarithm, from interval to interval
SERVICE_NOISE: Final = 0.10  # of the logarithm: caches, neighbours, temperature
HICCUP_RATIO: Final = 0.004  # of the intervals see a flush or a garbage collection ...
HICCUP_FACTORS: Final = (1.5, 4.0)  # ... that makes a healthy disk this much slower

PERCENTILES: Final = {"latency_p95_ms": 0.95, "latency_p99_ms": 0.99}


def samples(
    stream: Stream,
    *,
    start_at: datetime,
    end_at: datetime,
    interval_s: float,
    fault: Fault | None = None,
    benign: Benign | None = None,
) -> Iterator[Sample]:
    """The samples of the instants from `start_at` on and before `end_at` that are whole intervals since 1970."""
    interval_ms = round(interval_s * 1000)
    first = -(-to_epoch_ms(start_at) // interval_ms) * interval_ms
    rng = random.Random()
    for at_ms in range(first, to_epoch_ms(end_at), interval_ms):
        at = from_epoch_ms(at_ms)
        effect = NO_EFFECT
        if fault is not None:
            effect = fault.effect(at)
        if benign is not None and effect is NO_EFFECT:
            effect = benign.effect(at)
        rng.seed(f"{stream.demand.key}/{interval_ms}/{at_ms}")
        yield _sample(stream, at, interval_s, effect, rng)


def _sample(stream: Stream, at: datetime, interval_s: float, effect: Effect, rng: random.Random) -> Sample:
    wanted_iops = stream.demand.rate_iops(at.timestamp(), effect.demand_factor) * rng.lognormvariate(0, DEMAND_NOISE)
    if effect.is_stalled:
        return _stalled_sample(stream, at, interval_s, wanted_iops)
    load = _load(stream, wanted_iops, effect, _slowness(rng))
    flow = _flow(stream, load, effect)
    reads = _completions(load.reads_s * interval_s, flow.let_through_ratio, rng)
    writes = _completions(load.writes_s * interval_s, flow.let_through_ratio, rng)
    read_ms = _await_ms(reads, load.read_ms + flow.wait_ms, stream.device.variation, effect, rng)
    write_ms = _await_ms(writes, load.write_ms + flow.wait_ms, stream.device.variation, effect, rng)
    open_now = open_requests(reads / interval_s, read_ms or 0) + open_requests(writes / interval_s, write_ms or 0)
    sample = Sample(
        at=at,
        interval_s=interval_s,
        read_iops=round(reads / interval_s, 2),
        write_iops=round(writes / interval_s, 2),
        read_bytes_s=_bytes_s(reads, load.read_bytes, interval_s, rng),
        write_bytes_s=_bytes_s(writes, load.write_bytes, interval_s, rng),
        read_await_ms=read_ms,
        write_await_ms=write_ms,
        queue_depth=round(open_now, 3),
        utilization_ratio=round(busy_ratio(open_now), 4),
        in_flight=_poisson(open_now, rng),
        io_errors=_poisson((reads + writes) * effect.error_ratio, rng) if stream.device.counts_errors else None,
    )
    if not stream.has_percentiles or reads + writes == 0:
        return sample
    return sample.model_copy(update=_percentiles(stream, load.mean_ms + flow.wait_ms, reads + writes, effect, rng))


def _slowness(rng: random.Random) -> float:
    usual = rng.lognormvariate(0, SERVICE_NOISE)
    return usual * rng.uniform(*HICCUP_FACTORS) if rng.random() < HICCUP_RATIO else usual


def _load(stream: Stream, wanted_iops: float, effect: Effect, slowness: float) -> Load[float]:
    device, demand = stream.device, stream.demand
    slowness *= stream.service_factor * effect.service_factor
    if effect.overload:
        limit_iops = _cap_iops(stream, effect)
        full_iops = limit_iops if math.isfinite(limit_iops) else wanted_iops
        wanted_iops += effect.overload * max(0.0, OVERLOAD_RATIO * full_iops - wanted_iops)
    if effect.load_ratio:
        wanted_iops = max(wanted_iops, effect.load_ratio * _full_iops(stream, slowness))
    load = Load(
        reads_s=wanted_iops * demand.read_ratio,
        writes_s=wanted_iops * (1 - demand.read_ratio),
        read_bytes=demand.read_bytes,
        write_bytes=demand.write_bytes,
        read_ms=device.service_ms(device.read_ms, demand.read_bytes) * slowness,
        write_ms=device.service_ms(device.write_ms, demand.write_bytes) * slowness,
    )
    if not effect.sequential_load:
        return load
    return with_sequential_reads(
        load,
        share=effect.sequential_load,
        big_ms=device.service_ms(device.sequential_ms, device.backup_bytes) * slowness,
        big_bytes=device.backup_bytes,
        lanes=device.lanes,
        throughput_bytes_s=device.sustained_bytes_s,
    )


def _full_iops(stream: Stream, slowness: float) -> float:
    """The requests a second that lanes and throughput can serve."""
    device, demand, ratio = stream.device, stream.demand, stream.demand.read_ratio
    read_ms = device.service_ms(device.read_ms, demand.read_bytes)
    write_ms = device.service_ms(device.write_ms, demand.write_bytes)
    mean_bytes = ratio * demand.read_bytes + (1 - ratio) * demand.write_bytes
    mean_ms = (ratio * read_ms + (1 - ratio) * write_ms) * slowness
    return min(1000 * device.lanes / mean_ms, device.throughput_bytes_s / mean_bytes)


def _flow(stream: Stream, load: Load[float], effect: Effect) -> Flow[float]:
    device = stream.device
    return flow(
        load,
        Limits(
            lanes=device.lanes,
            concurrency=device.concurrency,
            variation=device.variation,
            throughput_bytes_s=_throughput_bytes_s(stream, effect),
            cap_iops=_cap_iops(stream, effect),
        ),
    )


def _throughput_bytes_s(stream: Stream, effect: Effect) -> float:
    if effect.throughput_ratio is None:
        return stream.device.throughput_bytes_s
    demand = stream.demand
    mean_bytes = demand.read_ratio * demand.read_bytes + (1 - demand.read_ratio) * demand.write_bytes
    return effect.throughput_ratio * demand.usual_iops * mean_bytes


def _cap_iops(stream: Stream, effect: Effect) -> float:
    """What a throttle lets through; a disk without provisioned IOPS is throttled below what it usually does."""
    if effect.cap_ratio is None:
        return stream.provisioned_iops or math.inf
    return effect.cap_ratio * (stream.provisioned_iops or 0.6 * stream.demand.usual_iops)


def _stalled_sample(stream: Stream, at: datetime, interval_s: float, wanted_iops: float) -> Sample:
    """Requests go in and none comes out; an agent sees them in flight."""
    stuck = min(stream.device.concurrency, math.ceil(wanted_iops * interval_s))
    return Sample(
        at=at,
        interval_s=interval_s,
        read_iops=0,
        write_iops=0,
        read_bytes_s=0,
        write_bytes_s=0,
        queue_depth=float(stuck),
        utilization_ratio=1,
        in_flight=stuck,
        io_errors=0 if stream.device.counts_errors else None,
    )


def _completions(wanted: float, let_through_ratio: float, rng: random.Random) -> int:
    """Completions of one interval; a throttle or a full device lets them through evenly."""
    if let_through_ratio < 1:
        return max(0, round(wanted * let_through_ratio * rng.gauss(1, 0.005)))
    return _poisson(wanted, rng)


def _await_ms(count: int, mean_ms: float, variation: float, effect: Effect, rng: random.Random) -> float | None:
    """The mean latency of `count` requests as measured; null when none completed."""
    if count == 0:
        return None
    sigma = variation / math.sqrt(count)
    slow = min(count, _poisson(count * effect.slow_ratio, rng)) if effect.slow_ratio else 0
    typical_ms = mean_ms * rng.lognormvariate(-sigma * sigma / 2, sigma)
    return max(0.001, round(typical_ms + slow / count * effect.slow_ms, 3))


def _percentiles(stream: Stream, typical_ms: float, count: int, effect: Effect, rng: random.Random) -> dict[str, float]:
    """As a host measures them that times every request; of few requests they are rough."""
    noise = rng.lognormvariate(0, min(0.3, 1 / math.sqrt(count)))
    variation = stream.device.variation
    return {
        name: round(noise * _percentile_ms(share, typical_ms, variation, effect), 3)
        for name, share in PERCENTILES.items()
    }


def _percentile_ms(share: float, typical_ms: float, variation: float, effect: Effect) -> float:
    """What that share of the requests stays below: times are lognormal, and a fault makes some requests slow."""
    usual = 1 - effect.slow_ratio
    is_slow = share > usual
    place = (share - usual) / effect.slow_ratio if is_slow else share / usual
    sigma = math.sqrt(math.log1p(variation**2))
    above = NormalDist().inv_cdf(min(0.999, max(0.001, place)))
    return typical_ms * math.exp(above * sigma - sigma**2 / 2) + (effect.slow_ms if is_slow else 0.0)


def _bytes_s(count: int, mean_bytes: float, interval_s: float, rng: random.Random) -> float:
    if count == 0:
        return 0.0
    sectors = count * max(1, round(mean_bytes / 512 * rng.lognormvariate(0, 0.05)))
    return round(512 * sectors / interval_s)


def _poisson(mean: float, rng: random.Random) -> int:
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
