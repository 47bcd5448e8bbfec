"""One stream as a scorer sees it: what it does now, what is usual for it, and the facts a person can check."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from iops.baseline import MINUTE_MS, Baseline, Summary, minutes_of, summarize
from iops.clock import from_epoch_ms
from iops.insight import Fact
from iops.telemetry import Window

WARM_UP_MS: Final = 3 * 3600 * 1000  # less history than this is no history
RECENT_SPANS_S: Final = (60, 180, 900)  # the shortest with enough requests in it speaks
ENOUGH_REQUESTS: Final = 50
ENOUGH_SAMPLES: Final = 3
ENOUGH_PEERS: Final = 3  # beside the stream itself
PEERS_SPAN_MS: Final = 15 * MINUTE_MS
FINEST_AWAIT_MS: Final = 0.01  # below what diskstats resolves, so never a divisor
SLOW_SAMPLE_RATIO: Final = 2.0  # a sample with an await of more than this times the 24 h median is slow
GOOD_SAMPLES_IN_RUN: Final = 2  # within a slow run, so many good samples in a row are chance


@dataclass(frozen=True, slots=True)
class Subject:
    """One stream of a peer group. `baseline` is None where there is no history at all."""

    window: Window  # up to 1 h
    baseline: Baseline | None
    provisioned_iops: float | None = None
    device_kind: str = ""  # only streams of one kind are peers: an HDD beside NVMe is not slow


@dataclass(frozen=True, slots=True)
class View:
    """A subject with what every rule asks of it worked out once."""

    window: Window
    provisioned_iops: float | None
    device_kind: str
    recent_window: Window
    recent: Summary | None  # None: no samples
    usual: Baseline | None  # None below 3 h of history

    @property
    def usual_await_ms(self) -> float | None:
        """The 24 h median of the await."""
        return None if self.usual is None or self.usual.await_ms is None else self.usual.await_ms.p50

    @property
    def slowdown(self) -> float | None:
        """Recent await over the 24 h median."""
        if self.recent is None or self.recent.await_ms is None or self.usual_await_ms is None:
            return None
        return self.recent.await_ms / max(self.usual_await_ms, FINEST_AWAIT_MS)

    def slow_samples(self, window: Window) -> Iterator[bool | None]:
        """Of each sample, the newest first, whether it is slow; None where nothing completed or nothing is known."""
        usual_ms = self.usual_await_ms
        threshold_ms = math.inf if usual_ms is None else SLOW_SAMPLE_RATIO * usual_ms
        reads, writes = window["read_iops"], window["write_iops"]
        read_await, write_await = window["read_await_ms"], window["write_await_ms"]
        for index in range(len(window) - 1, -1, -1):
            # An await is NaN where nothing completed in its direction.
            timed_reads = reads[index] if read_await[index] == read_await[index] else 0.0
            timed_writes = writes[index] if write_await[index] == write_await[index] else 0.0
            if usual_ms is None or timed_reads + timed_writes == 0:
                yield None
                continue
            waited = (read_await[index] * timed_reads if timed_reads else 0.0) + (
                write_await[index] * timed_writes if timed_writes else 0.0
            )
            yield waited > threshold_ms * (timed_reads + timed_writes)

    def slow_run(self) -> Window:
        """The slow samples that last until now, with the odd good one between; at least the last sample."""
        last = len(self.window) - 1
        began, good = last, 0
        for back, is_slow in enumerate(self.slow_samples(self.window)):
            if is_slow:
                began, good = last - back, 0
            elif is_slow is False:
                good += 1
                if good > GOOD_SAMPLES_IN_RUN:
                    break
        return self.window.cut(began, last + 1)


def view_of(subject: Subject) -> View:
    """Works out what the rules ask."""
    window, baseline = subject.window, subject.baseline
    is_warming_up = baseline is None or not len(window) or window.at_ms[-1] - baseline.from_ms < WARM_UP_MS
    recent_window = _recent(window)
    return View(
        window=window,
        provisioned_iops=subject.provisioned_iops,
        device_kind=subject.device_kind,
        recent_window=recent_window,
        recent=summarize(recent_window),
        usual=None if is_warming_up else baseline,
    )


def start_of(window: Window) -> datetime:
    """When the first interval of a window of at least one sample began."""
    return from_epoch_ms(window.at_ms[0] - round(window["interval_s"][0] * 1000))


def peers_await_ms(peers: Sequence[View]) -> float | None:
    """The median of the peers' recent awaits; None where too few have one."""
    known = [peer.recent.await_ms for peer in peers if peer.recent is not None and peer.recent.await_ms is not None]
    return median(known) if len(known) >= ENOUGH_PEERS else None


def ratios_to_peers(view: View, peers: Sequence[View]) -> list[float]:
    """Of each of the last 15 minutes, the stream's await over the median of its peers'."""
    from_ms = view.window.at_ms[-1] - PEERS_SPAN_MS
    own = _await_by_minute(view.window.since(from_ms))
    others = [_await_by_minute(peer.window.since(from_ms)) for peer in peers]
    ratios = []
    for minute, await_ms in own.items():
        beside = [other[minute] for other in others if minute in other]
        if len(beside) >= ENOUGH_PEERS:
            ratios.append(await_ms / max(median(beside), FINEST_AWAIT_MS))
    return ratios


def latency_facts(view: View, peers_ms: float | None) -> list[Fact]:
    """How slow, beside its own day and its peers."""
    if view.recent is None or view.recent.await_ms is None:
        return []
    await_ms, usual_ms = view.recent.await_ms, view.usual_await_ms
    sentence = f"await {figure(await_ms)} ms over the last {view.recent.span_s:.0f} s"
    if usual_ms is not None and view.slowdown is not None:
        sentence += f", {figure(view.slowdown)} times its 24 h median of {figure(usual_ms)} ms"
    facts = [_fact("await_ms", "ms", await_ms, sentence, baseline=usual_ms, peers=peers_ms)]
    if peers_ms is not None:
        ratio = await_ms / max(peers_ms, FINEST_AWAIT_MS)
        sentence = f"its peers' median await is {figure(peers_ms)} ms: it takes {figure(ratio)} times as long"
        facts.append(_fact("peer_await_ratio", "ratio", ratio, sentence))
    return facts


def load_facts(view: View) -> list[Fact]:
    """What the disk was asked to do and how much of it waited: context, never a finding by itself."""
    recent, usual = view.recent, view.usual
    if recent is None:
        return []
    facts = []
    for name, label, unit, value, typical in (
        ("iops", "IOPS", "IO/s", recent.iops, usual.iops.p50 if usual else None),
        ("queue_depth", "queue depth", "requests", recent.queue_depth, usual.queue_depth.p50 if usual else None),
    ):
        usually = "" if typical is None else f" (24 h median {figure(typical)})"
        facts.append(_fact(name, unit, value, f"{label} {figure(value)}{usually}", baseline=typical))
    return facts


def figure(value: float) -> str:
    """Three significant digits, without an exponent.

    >>> figure(0.04321), figure(6.129), figure(31840.2), figure(0)
    ('0.0432', '6.13', '31840', '0')
    """
    if value == 0:
        return "0"
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def counted(count: float, noun: str) -> str:
    """So many of a thing.

    >>> counted(1, "request"), counted(12, "request")
    ('1 request', '12 requests')
    """
    return f"{count:.0f} {noun}" if round(count) == 1 else f"{count:.0f} {noun}s"


def _fact(
    name: str,
    unit: str,
    value: float,
    sentence: str,
    *,
    baseline: float | None = None,
    peers: float | None = None,
) -> Fact:
    return Fact(name=name, value=round(value, 3), unit=unit, baseline=baseline, peers=peers, sentence=sentence)


def _recent(window: Window) -> Window:
    """The shortest recent span that holds enough requests to say what one takes."""
    part = window
    for span_s in RECENT_SPANS_S:
        part = window.since(window.at_ms[-1] - span_s * 1000 + 1) if len(window) else window
        row = summarize(part)
        if row is not None and row.samples >= ENOUGH_SAMPLES and row.completions >= ENOUGH_REQUESTS:
            break
    return part


def _await_by_minute(window: Window) -> dict[int, float]:
    return {row.ends_ms // MINUTE_MS: row.await_ms for row in minutes_of(window) if row.await_ms is not None}
