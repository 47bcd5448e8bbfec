"""The scorer that needs no model: what a storage engineer would conclude from a window, its past and its peers.

Each rule is a pure function that answers with a Finding or None. A stall or an I/O error cannot be outvoted; of the
rest the limit a volume was bought with explains slowness first. Bare utilisation and queue depth are
never a finding: a busy disk is not a sick one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import add
from statistics import median
from typing import Final

from iops.baseline import MINUTE_MS, quantile
from iops.clock import from_epoch_ms
from iops.evidence import (
    ENOUGH_PEERS,
    ENOUGH_SAMPLES,
    Subject,
    View,
    counted,
    figure,
    latency_facts,
    load_facts,
    peers_await_ms,
    ratios_to_peers,
    start_of,
    view_of,
)
from iops.insight import Fact, Finding, PredictionType
from iops.telemetry import Window

STALL_MIN_MS: Final = 4_000
ERRORS_SPAN_MS: Final = 15 * MINUTE_MS
ENOUGH_MINUTES: Final = 10  # in common with peers, where there is no history
AT_LIMIT_RATIO: Final = 0.95  # of the provisioned IOPS
PAGE_MIN_EXCESS_MS: Final = 0.2  # a request that takes less longer than usual hurts nobody yet
FAIL_SLOW_RATIO: Final = 2.0  # beyond what the peers do, it is this disk and not the host
UNPROVEN_CAP: Final = 79.0  # what did not last, or nobody can feel, wakes nobody
BENIGN_CAP: Final = 55.0  # what demand explains is not even an insight
# How much slower than usual, and what that is worth; straight lines between, on the logarithm of the ratio.
RISK_BY_RATIO: Final = ((1.3, 0.0), (2.0, 45.0), (3.0, 65.0), (4.0, 80.0), (8.0, 90.0), (20.0, 98.0))


def judge_group(subjects: Mapping[str, Subject]) -> dict[str, Finding]:
    """A finding for each stream of one peer group, judged together, because peers are the strongest signal there is."""
    return judge_views({stream_id: view_of(subject) for stream_id, subject in subjects.items()})


def judge_views(views: Mapping[str, View]) -> dict[str, Finding]:
    """The same of what is worked out already."""
    return {
        stream_id: _judge(view, [peer for peer in views.values() if peer is not view and _are_alike(peer, view)])
        for stream_id, view in views.items()
    }


def risk_of_ratio(ratio: float) -> float:
    """The risk of being `ratio` times slower than usual.

    >>> [round(risk_of_ratio(ratio)) for ratio in (0.5, 1.3, 2, 3, 4, 8, 20, 500)]
    [0, 0, 45, 65, 80, 90, 98, 98]
    """
    for (below, low), (above, high) in pairwise(RISK_BY_RATIO):
        if ratio <= below:
            return low
        if ratio < above:
            return low + (high - low) * math.log(ratio / below) / math.log(above / below)
    return RISK_BY_RATIO[-1][1]


def _are_alike(view: View, other: View) -> bool:
    return view.device_kind == other.device_kind


def _judge(view: View, peers: Sequence[View]) -> Finding:
    if view.recent is not None:
        hard = [finding for finding in (_errors(view), _stall(view)) if finding is not None]
        if hard:
            return max(hard, key=lambda finding: finding.risk_score)
        throttled, slow = _throttled(view), _slow(view, peers)
        if throttled is not None and (view.usual is not None or slow is None):
            return throttled
        if slow is not None:
            return slow
    return Finding(risk_score=0, prediction_type=None, warming_up=view.usual is None)


def _errors(view: View) -> Finding | None:
    window = view.window.since(view.window.at_ms[-1] - ERRORS_SPAN_MS + 1)
    at_ms = [at for at, errors in zip(window.at_ms, window["io_errors"], strict=True) if errors > 0]
    if not at_ms:
        return None
    count = sum(errors for errors in window["io_errors"] if errors > 0)
    fact = Fact(
        name="io_errors",
        value=count,
        unit="errors",
        sentence=f"{counted(count, 'I/O error')} in the last 15 min; a healthy device has none",
    )
    return Finding(
        risk_score=min(100.0, round(85 + 5 * math.log10(count), 1)),
        prediction_type=PredictionType.IO_ERRORS,
        facts=(fact, *load_facts(view)),
        is_hard_rule=True,
        warming_up=view.usual is None,
        confidence=0.99,
        began_at=from_epoch_ms(at_ms[0]),
    )


def _stall(view: View) -> Finding | None:
    """In flight, and nothing completed. One request caught in flight on an idle disk is not a stall, so a lone sample
    counts only where the disk was also busy for half of it."""
    window = _last_minute(view.window)
    run_ms = longest_ms = began_ms = ended = 0
    for index, at in enumerate(window.at_ms):
        if not _follows(window, index):
            run_ms = 0
        run_ms = run_ms + round(window["interval_s"][index] * 1000) if _is_stalled(window, index) else 0
        if run_ms > longest_ms:
            longest_ms, began_ms, ended = run_ms, at - run_ms, index
    if longest_ms < STALL_MIN_MS:
        return None
    in_flight = window["in_flight"][ended]
    fact = Fact(
        name="stalled_s",
        value=longest_ms / 1000,
        unit="s",
        sentence=f"nothing completed for {longest_ms / 1000:.0f} s with {counted(in_flight, 'request')} in flight",
    )
    return Finding(
        risk_score=min(100.0, round(90 + longest_ms / 6000, 1)),
        prediction_type=PredictionType.STALL,
        facts=(fact, *load_facts(view)),
        is_hard_rule=True,
        warming_up=view.usual is None,
        confidence=0.95,
        began_at=from_epoch_ms(began_ms),
    )


def _last_minute(window: Window) -> Window:
    """Or the last three samples, where intervals are that long."""
    minute = window.since(window.at_ms[-1] - MINUTE_MS + 1)
    return minute if len(minute) >= ENOUGH_SAMPLES else window.cut(max(0, len(window) - ENOUGH_SAMPLES), len(window))


def _is_stalled(window: Window, index: int) -> bool:
    def hangs(position: int) -> bool:
        return (
            0 <= position < len(window)
            and window["in_flight"][position] > 0
            and window["read_iops"][position] + window["write_iops"][position] == 0
        )

    if not hangs(index):
        return False
    hung_before = _follows(window, index) and hangs(index - 1)
    hangs_after = _follows(window, index + 1) and hangs(index + 1)
    return window["utilization_ratio"][index] >= 0.5 or hung_before or hangs_after


def _follows(window: Window, index: int) -> bool:
    """The sample's interval begins where the one before ended; half an interval of lateness is none."""
    if not 0 < index < len(window):
        return False
    interval_ms = window["interval_s"][index] * 1000
    return window.at_ms[index] - window.at_ms[index - 1] <= 1.5 * interval_ms


def _throttled(view: View) -> Finding | None:
    """Demand at the provisioned limit, now or since it became slow, and requests that wait because of it."""
    limit, recent = view.provisioned_iops, view.recent
    if limit is None or recent is None:
        return None
    run = view.slow_run()
    iops = max(recent.iops, _median_iops(run))
    if iops < AT_LIMIT_RATIO * limit:
        return None
    fact = Fact(
        name="provisioned_ratio",
        value=round(iops / limit, 3),
        unit="ratio",
        sentence=f"{iops:.0f} IOPS, {iops / limit:.0%} of the provisioned {limit:.0f}",
    )
    risk = BENIGN_CAP if view.slowdown is None else max(BENIGN_CAP, 15 + risk_of_ratio(view.slowdown))
    return Finding(
        risk_score=min(100.0, round(risk, 1)),
        prediction_type=PredictionType.THROUGHPUT_THROTTLING,
        facts=(fact, *latency_facts(view, None), *load_facts(view)),
        warming_up=view.usual is None,
        confidence=0.9,
        began_at=start_of(run),
    )


def _median_iops(window: Window) -> float:
    """Of a ramp the half that has arrived counts."""
    return float(median(map(add, window["read_iops"], window["write_iops"])))


def _slow(view: View, peers: Sequence[View]) -> Finding | None:
    """Slower than its own day, beyond what demand explains; peers say whether it is the disk or the host."""
    if view.usual is None:
        return _slow_without_history(view, peers)
    if view.recent is None or view.slowdown is None:
        return None
    others = [peer.slowdown for peer in peers if peer.slowdown is not None]
    is_slower_than_peers = len(others) >= ENOUGH_PEERS and view.slowdown >= FAIL_SLOW_RATIO * max(median(others), 1.0)
    is_explained = _is_explained_by_demand(view) and not (is_slower_than_peers and _have_the_same_demand(peers))
    has_lasted = _has_lasted(view)
    risk = min(risk_of_ratio(view.slowdown), _cap(view, is_explained=is_explained, has_lasted=has_lasted))
    if risk == 0:
        return None
    if is_explained:
        kind = PredictionType.RESOURCE_SATURATION
    elif not has_lasted:
        kind = PredictionType.LATENCY_SPIKE
    elif is_slower_than_peers:
        kind = PredictionType.FAIL_SLOW
    else:
        kind = PredictionType.PERFORMANCE_DEGRADATION
    return Finding(
        risk_score=round(risk, 1),
        prediction_type=kind,
        facts=(*latency_facts(view, peers_await_ms(peers)), *load_facts(view)),
        confidence=0.9 if kind is PredictionType.FAIL_SLOW else 0.75,
        began_at=start_of(view.slow_run()),
    )


def _cap(view: View, *, is_explained: bool, has_lasted: bool) -> float:
    """How far slowness alone may go."""
    recent, usual = view.recent, view.usual
    if recent is None or recent.await_ms is None or usual is None or usual.await_ms is None:
        return 0.0
    if recent.await_ms <= usual.await_ms.p90:
        return 0.0
    if is_explained or recent.await_ms <= usual.await_ms.p99:
        return BENIGN_CAP
    if not has_lasted or recent.await_ms - usual.await_ms.p50 < PAGE_MIN_EXCESS_MS:
        return UNPROVEN_CAP
    return 100.0


def _slow_without_history(view: View, peers: Sequence[View]) -> Finding | None:
    """Below 3 h only peers speak: slower than their median in nine minutes of ten, for ten minutes."""
    ratios = ratios_to_peers(view, peers)
    if len(ratios) < ENOUGH_MINUTES:
        return None
    steady_ratio = quantile(sorted(ratios), 0.1)
    if steady_ratio < FAIL_SLOW_RATIO:
        return None
    fact = Fact(
        name="steady_peer_await_ratio",
        value=round(steady_ratio, 2),
        unit="ratio",
        sentence=f"{figure(steady_ratio)} times slower than its peers, or worse, in 90 % of {len(ratios)} minutes",
    )
    return Finding(
        risk_score=round(risk_of_ratio(steady_ratio), 1),
        prediction_type=PredictionType.FAIL_SLOW,
        facts=(fact, *latency_facts(view, peers_await_ms(peers)), *load_facts(view)),
        warming_up=True,
        confidence=0.7,
        began_at=from_epoch_ms(view.window.at_ms[-1] - len(ratios) * MINUTE_MS),
    )


def _is_explained_by_demand(view: View) -> bool:
    """Larger requests, or more of them than in 99 of 100 minutes, take longer on a healthy disk too."""
    recent, usual = view.recent, view.usual
    if recent is None or usual is None:
        return False
    is_larger = (
        recent.request_bytes is not None
        and usual.request_bytes is not None
        and recent.request_bytes > 2 * usual.request_bytes.p50
    )
    return is_larger or recent.iops > 1.25 * usual.iops.p99 or recent.bytes_s > 1.25 * usual.bytes_s.p99


def _have_the_same_demand(peers: Sequence[View]) -> bool:
    """At least half of the peers are asked for more too: then demand is not what sets the disk apart."""
    return 2 * sum(map(_is_explained_by_demand, peers)) >= len(peers)


def _has_lasted(view: View) -> bool:
    """At least half of the recent samples are slow: one bad second among sixty is no state."""
    slow = [is_slow for is_slow in view.slow_samples(view.recent_window) if is_slow is not None]
    return bool(slow) and sum(slow) >= len(slow) / 2
