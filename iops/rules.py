"""The scorer that needs no model: what a storage engineer would conclude from a window, its past and its peers.

Five rules, each a pure function that answers with a Finding or None; the highest risk wins, and a stall or an I/O error
cannot be outvoted. Bare utilisation and queue depth are never a finding: a busy disk is not a sick one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final

from iops.baseline import MINUTE_MS, Baseline, Summary, minutes_of, quantile, summarize
from iops.clock import from_epoch_ms
from iops.insight import Fact, Finding, PredictionType
from iops.telemetry import Window

WARM_UP_MS: Final = 3 * 3600 * 1000  # less history than this is no history
RECENT_SPANS_S: Final = (60, 180, 900)  # the shortest with enough requests in it speaks
ENOUGH_REQUESTS: Final = 50
ENOUGH_SAMPLES: Final = 3
ENOUGH_PEERS: Final = 3  # beside the stream itself
STALL_MIN_MS: Final = 4_000
ERRORS_SPAN_MS: Final = 15 * 60 * 1000
ENOUGH_MINUTES: Final = 10  # in common with peers, where there is no history
PAGE_MIN_EXCESS_MS: Final = 0.5  # what a caller would notice of one request
FINEST_AWAIT_MS: Final = 0.01  # below what diskstats resolves, so never a divisor
FAIL_SLOW_RATIO: Final = 2.0  # beyond what the peers do, it is this disk and not the host
SLOW_SAMPLE_RATIO: Final = 2.0
UNPROVEN_CAP: Final = 79.0  # what did not last, or nobody can feel, wakes nobody
BENIGN_CAP: Final = 55.0  # what demand explains is not even an insight
FACT_UNITS: Final = {"await_ms": "ms", "iops": "IO/s", "queue_depth": "requests"}
# How much slower than usual, and what that is worth; straight lines between, on the logarithm of the ratio.
RISK_BY_RATIO: Final = ((1.3, 0.0), (2.0, 45.0), (3.0, 65.0), (4.0, 80.0), (8.0, 90.0), (20.0, 98.0))


@dataclass(frozen=True, slots=True)
class Subject:
    """One stream of a peer group as the rules see it. `baseline` is None where there is no history at all."""

    window: Window  # up to 1 h
    baseline: Baseline | None
    provisioned_iops: float | None = None
    device_kind: str = ""  # only streams of one kind are peers: an HDD beside NVMe is not slow


def judge_group(subjects: Mapping[str, Subject]) -> dict[str, Finding]:
    """A finding for each stream of one peer group, judged together, because peers are the strongest signal there is."""
    views = {stream_id: _view(subject) for stream_id, subject in subjects.items()}
    return {
        stream_id: _judge(view, [peer for peer in views.values() if peer is not view and peer.is_peer_of(view)])
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


@dataclass(frozen=True, slots=True)
class _View:
    """A stream with what every rule asks of it worked out once."""

    subject: Subject
    recent: Summary | None
    recent_window: Window
    usual: Baseline | None  # None below 3 h of history
    is_warming_up: bool

    def is_peer_of(self, other: _View) -> bool:
        return self.subject.device_kind == other.subject.device_kind

    @property
    def slowdown(self) -> float | None:
        """Recent await over the 24 h median."""
        if self.recent is None or self.recent.await_ms is None or self.usual is None or self.usual.await_ms is None:
            return None
        return self.recent.await_ms / max(self.usual.await_ms.p50, FINEST_AWAIT_MS)


def _view(subject: Subject) -> _View:
    window = subject.window
    baseline = subject.baseline
    is_warming_up = baseline is None or not len(window) or window.at_ms[-1] - baseline.from_ms < WARM_UP_MS
    recent_window = _recent(window)
    return _View(subject, summarize(recent_window), recent_window, None if is_warming_up else baseline, is_warming_up)


def _recent(window: Window) -> Window:
    """The shortest recent span that holds enough requests to say what one takes."""
    part = window
    for span_s in RECENT_SPANS_S:
        part = window.since(window.at_ms[-1] - span_s * 1000 + 1) if len(window) else window
        row = summarize(part)
        if row is not None and row.samples >= ENOUGH_SAMPLES and row.completions >= ENOUGH_REQUESTS:
            break
    return part


def _judge(view: _View, peers: Sequence[_View]) -> Finding:
    quiet = Finding(risk_score=0, prediction_type=None, warming_up=view.is_warming_up)
    if view.recent is None:
        return quiet
    hard = [finding for finding in (_errors(view), _stall(view)) if finding is not None]
    if hard:
        return max(hard, key=lambda finding: finding.risk_score)
    soft = [finding for finding in (_throttled(view), _slow(view, peers)) if finding is not None]
    return max(soft, key=lambda finding: finding.risk_score, default=quiet)


def _errors(view: _View) -> Finding | None:
    window = view.subject.window.since(view.subject.window.at_ms[-1] - ERRORS_SPAN_MS + 1)
    at_ms = [at for at, errors in zip(window.at_ms, window["io_errors"], strict=True) if errors > 0]
    if not at_ms:
        return None
    count = sum(errors for errors in window["io_errors"] if errors > 0)
    fact = Fact(
        name="io_errors",
        value=count,
        unit="errors",
        sentence=f"{count:.0f} I/O errors in the last 15 min; a healthy device has none",
    )
    return Finding(
        risk_score=min(100.0, round(85 + 5 * math.log10(count), 1)),
        prediction_type=PredictionType.IO_ERRORS,
        facts=(fact, *_load_facts(view)),
        is_hard_rule=True,
        warming_up=view.is_warming_up,
        confidence=0.99,
        began_at=from_epoch_ms(at_ms[0]),
    )


def _stall(view: _View) -> Finding | None:
    """In flight, and nothing completed. One request caught in flight on an idle disk is not a stall, so a lone sample
    counts only where the disk was also busy for half of it."""
    window = view.recent_window
    run_ms = longest_ms = began_ms = 0
    for index, at in enumerate(window.at_ms):
        interval_ms = round(window["interval_s"][index] * 1000)
        run_ms = run_ms + interval_ms if _is_stalled(window, index) else 0
        if run_ms > longest_ms:
            longest_ms, began_ms = run_ms, at - run_ms
    if longest_ms < STALL_MIN_MS:
        return None
    in_flight = max(window["in_flight"])
    fact = Fact(
        name="stalled_s",
        value=longest_ms / 1000,
        unit="s",
        sentence=f"nothing completed for {longest_ms / 1000:.0f} s with {in_flight:.0f} requests in flight",
    )
    return Finding(
        risk_score=min(100.0, round(90 + longest_ms / 6000, 1)),
        prediction_type=PredictionType.STALL,
        facts=(fact, *_load_facts(view)),
        is_hard_rule=True,
        warming_up=view.is_warming_up,
        confidence=0.95,
        began_at=from_epoch_ms(began_ms),
    )


def _is_stalled(window: Window, index: int) -> bool:
    def hangs(position: int) -> bool:
        return (
            0 <= position < len(window)
            and window["in_flight"][position] > 0
            and window["read_iops"][position] + window["write_iops"][position] == 0
        )

    if not hangs(index):
        return False
    return window["utilization_ratio"][index] >= 0.5 or hangs(index - 1) or hangs(index + 1)


def _throttled(view: _View) -> Finding | None:
    """Demand at the provisioned limit, and requests that wait because of it."""
    limit, recent, slowdown = view.subject.provisioned_iops, view.recent, view.slowdown
    if limit is None or recent is None or recent.iops < 0.95 * limit:
        return None
    fact = Fact(
        name="provisioned_ratio",
        value=round(recent.iops / limit, 3),
        unit="ratio",
        sentence=f"{recent.iops:.0f} IOPS, {recent.iops / limit:.0%} of the provisioned {limit:.0f}",
    )
    risk = BENIGN_CAP if slowdown is None else max(BENIGN_CAP, 15 + risk_of_ratio(slowdown))
    return Finding(
        risk_score=min(100.0, round(risk, 1)),
        prediction_type=PredictionType.THROUGHPUT_THROTTLING,
        facts=(fact, *_latency_facts(view, None), *_load_facts(view)),
        warming_up=view.is_warming_up,
        confidence=0.9,
        began_at=_slow_since(view),
    )


def _slow(view: _View, peers: Sequence[_View]) -> Finding | None:
    """Slower than its own day, beyond what demand explains; peers say whether it is the disk or the host."""
    if view.usual is None or view.slowdown is None or view.recent is None:
        return _slow_without_history(view, peers)
    is_explained = _is_explained_by_demand(view.recent, view.usual)
    has_lasted = _has_lasted(view)
    risk = min(risk_of_ratio(view.slowdown), _cap(view, is_explained=is_explained, has_lasted=has_lasted))
    if risk == 0:
        return None
    others = [peer.slowdown for peer in peers if peer.slowdown is not None]
    if is_explained:
        kind = PredictionType.RESOURCE_SATURATION
    elif not has_lasted:
        kind = PredictionType.LATENCY_SPIKE
    elif len(others) >= ENOUGH_PEERS and view.slowdown >= FAIL_SLOW_RATIO * max(median(others), 1.0):
        kind = PredictionType.FAIL_SLOW
    else:
        kind = PredictionType.PERFORMANCE_DEGRADATION
    return Finding(
        risk_score=round(risk, 1),
        prediction_type=kind,
        facts=(*_latency_facts(view, _peers_await_ms(peers)), *_load_facts(view)),
        confidence=0.9 if kind is PredictionType.FAIL_SLOW else 0.75,
        began_at=_slow_since(view),
    )


def _cap(view: _View, *, is_explained: bool, has_lasted: bool) -> float:
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


def _slow_without_history(view: _View, peers: Sequence[_View]) -> Finding | None:
    """Below 3 h only peers speak: slower than their median in nine minutes of ten, for ten minutes."""
    ratios = _ratios_to_peers(view, peers)
    if len(ratios) < ENOUGH_MINUTES:
        return None
    steady_ratio = quantile(sorted(ratios), 0.1)
    if steady_ratio < FAIL_SLOW_RATIO:
        return None
    fact = Fact(
        name="peer_await_ratio",
        value=round(steady_ratio, 2),
        unit="ratio",
        sentence=f"{steady_ratio:.1f} times slower than its peers or worse in 90 % of {len(ratios)} minutes",
    )
    return Finding(
        risk_score=round(risk_of_ratio(steady_ratio), 1),
        prediction_type=PredictionType.FAIL_SLOW,
        facts=(fact, *_latency_facts(view, _peers_await_ms(peers)), *_load_facts(view)),
        warming_up=True,
        confidence=0.7,
        began_at=from_epoch_ms(view.subject.window.at_ms[-1] - len(ratios) * MINUTE_MS),
    )


def _is_explained_by_demand(recent: Summary, usual: Baseline) -> bool:
    """Larger requests, or more of them than in 99 of 100 minutes, take longer on a healthy disk too."""
    is_larger = (
        recent.request_bytes is not None
        and usual.request_bytes is not None
        and recent.request_bytes > 2 * usual.request_bytes.p50
    )
    return is_larger or recent.iops > 1.25 * usual.iops.p99 or recent.bytes_s > 1.25 * usual.bytes_s.p99


def _has_lasted(view: _View) -> bool:
    """At least half of the recent samples are slow: one bad second among sixty is no state."""
    slow = [is_slow for is_slow in _slow_samples(view, view.recent_window) if is_slow is not None]
    return bool(slow) and sum(slow) >= len(slow) / 2


def _slow_samples(view: _View, window: Window) -> list[bool | None]:
    """Of each sample whether its await is above twice the 24 h median; None where nothing completed."""
    if view.usual is None or view.usual.await_ms is None:
        return [None] * len(window)
    threshold_ms = SLOW_SAMPLE_RATIO * view.usual.await_ms.p50
    slow: list[bool | None] = []
    for index in range(len(window)):
        row = summarize(window.cut(index, index + 1))
        slow.append(None if row is None or row.await_ms is None else row.await_ms > threshold_ms)
    return slow


def _slow_since(view: _View) -> datetime:
    """The start of the slow run that lasts until now; up to two good samples within it are chance."""
    window = view.subject.window
    began = len(window) - 1
    good = 0
    for index, is_slow in reversed(list(enumerate(_slow_samples(view, window)))):
        if is_slow:
            began, good = index, 0
        elif is_slow is False:
            good += 1
            if good > 2:
                break
    return from_epoch_ms(window.at_ms[began] - round(window["interval_s"][began] * 1000))


def _ratios_to_peers(view: _View, peers: Sequence[_View]) -> list[float]:
    """Of each of the last 15 minutes, the stream's await over the median of its peers'."""
    window = view.subject.window
    from_ms = window.at_ms[-1] - 15 * MINUTE_MS
    own = _await_by_minute(window.since(from_ms))
    others = [_await_by_minute(peer.subject.window.since(from_ms)) for peer in peers]
    ratios = []
    for minute, await_ms in own.items():
        beside = [other[minute] for other in others if minute in other]
        if len(beside) >= ENOUGH_PEERS:
            ratios.append(await_ms / max(median(beside), FINEST_AWAIT_MS))
    return ratios


def _await_by_minute(window: Window) -> dict[int, float]:
    return {row.ends_ms // MINUTE_MS: row.await_ms for row in minutes_of(window) if row.await_ms is not None}


def _peers_await_ms(peers: Sequence[_View]) -> float | None:
    known = [peer.recent.await_ms for peer in peers if peer.recent is not None and peer.recent.await_ms is not None]
    return median(known) if len(known) >= ENOUGH_PEERS else None


def _latency_facts(view: _View, peers_ms: float | None) -> list[Fact]:
    recent = view.recent
    if recent is None or recent.await_ms is None:
        return []
    usual_ms = view.usual.await_ms.p50 if view.usual is not None and view.usual.await_ms is not None else None
    sentence = f"await {_figure(recent.await_ms)} ms over the last {recent.span_s:.0f} s"
    if usual_ms is not None and view.slowdown is not None:
        sentence += f", {view.slowdown:.1f} times its 24 h median of {_figure(usual_ms)} ms"
    facts = [_fact("await_ms", recent.await_ms, sentence, baseline=usual_ms, peers=peers_ms)]
    if peers_ms is not None:
        ratio = recent.await_ms / max(peers_ms, FINEST_AWAIT_MS)
        sentence = f"its peers' median await is {_figure(peers_ms)} ms, so it is {ratio:.1f} times theirs"
        facts.append(Fact(name="peer_await_ratio", value=round(ratio, 2), unit="ratio", sentence=sentence))
    return facts


def _load_facts(view: _View) -> list[Fact]:
    """What the disk was asked to do and how much of it waited: context, never a finding by itself."""
    recent, usual = view.recent, view.usual
    if recent is None:
        return []
    facts = []
    for name, label, value, typical in (
        ("iops", "IOPS", recent.iops, usual.iops.p50 if usual else None),
        ("queue_depth", "queue depth", recent.queue_depth, usual.queue_depth.p50 if usual else None),
    ):
        usually = "" if typical is None else f" (24 h median {_figure(typical)})"
        facts.append(_fact(name, value, f"{label} {_figure(value)}{usually}", baseline=typical))
    return facts


def _fact(name: str, value: float, sentence: str, *, baseline: float | None = None, peers: float | None = None) -> Fact:
    unit = FACT_UNITS[name]
    return Fact(name=name, value=round(value, 3), unit=unit, baseline=baseline, peers=peers, sentence=sentence)


def _figure(value: float) -> str:
    """Three significant digits, without an exponent.

    >>> _figure(0.04321), _figure(6.129), _figure(31840.2)
    ('0.0432', '6.13', '31840')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
