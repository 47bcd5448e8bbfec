"""A host whose disks go through the scorer of the service, and the evidence that comes of it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from iops import items
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.insight import Evidence
from iops.model import Model
from iops.observability import Metrics
from iops.telemetry import Batch, Window, merge_windows, window_from_samples
from ml.fault import Benign, Fault
from ml.simulate import Stream, samples
from services.insights.judge import QUIET_RISK, ModelJudge
from services.insights.routes import find_stream
from services.insights.score import Scorer
from services.insights.scorers import Canary, LocalScorer
from services.insights.settings import MODEL_DIR
from services.insights.tell import Teller
from services.insights.windows import Windows
from tests.unit.builders import EVERYBODY
from tests.unit.fakes import FakeTable
from tests.unit.words import a_teller

RECORDINGS: Final = Path(__file__).parent / "recordings"
STALL_ENDS_MS: Final = to_epoch_ms(datetime(2026, 11, 23, 4, 34, 46, tzinfo=UTC))
HISTORY_S, LIVE_S = 30.0, 2.0  # between two samples, as the demonstration has them


Event = Fault | Benign


class Span(NamedTuple):
    """When a past begins, when its samples become fine, and when it is judged."""

    start_at: datetime
    live_at: datetime
    at: datetime


@dataclass(frozen=True)
class Host:
    """Disks of one peer group, and what happens to some of them; or what was recorded of them."""

    streams: tuple[Stream, ...] = ()
    events: Mapping[str, Event] = field(default_factory=dict)
    recorded: Mapping[str, tuple[Batch, Window]] = field(default_factory=dict)


async def score_host(host: Host, span: Span, *, has_model: bool = True) -> dict[str, Evidence]:
    """What is known of each disk at the end of the span, or of what was recorded."""
    fake, metrics, at = FakeTable(), Metrics(), span.at
    past = dict(host.recorded)
    for stream in host.streams:
        past[stream.stream_id] = _first_batch(stream, span), _window(stream, host.events.get(stream.stream_id), span)
    if host.recorded:
        at = max(from_epoch_ms(window.at_ms[-1]) for _, window in past.values())
    for stream_id, (batch, window) in past.items():
        await fake.table().update(items.stream_seen_update(batch, now_ms=to_epoch_ms(at)))
        fake.add(items.member_item(batch.group, stream_id), *items.chunk_items(stream_id, window))
    windows = Windows(fake.table(), lambda: at, metrics, limit=100)
    teller = a_teller(fake.table(), lambda: at, metrics)
    scorer = Scorer(fake.table(), windows, teller, lambda: at, metrics, shipped_judge(metrics) if has_model else None)
    return {stream_id: await _evidence(fake, scorer, teller, stream_id, at) for stream_id in past}


async def _evidence(fake: FakeTable, scorer: Scorer, teller: Teller, stream_id: str, at: datetime) -> Evidence:
    examined = await scorer.examine(await find_stream(fake.table(), stream_id, EVERYBODY))
    assert examined is not None, f"{stream_id} has no samples of late"
    return await teller.gather(examined.stream, examined.findings, examined.window, now=at)


def shipped_judge(metrics: Metrics) -> ModelJudge:
    """With the committed model, all of it here."""
    model = _model()
    chain = Canary(LocalScorer(model, least_risk=QUIET_RISK), None, lambda: 0, metrics)
    return ModelJudge(chain, model.card, metrics)


@cache
def _model() -> Model:
    return Model(MODEL_DIR)


def _first_batch(stream: Stream, span: Span) -> Batch:
    """What ingest learns of a stream."""
    return Batch(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=stream.labels,
        provisioned_iops=stream.provisioned_iops,
        samples=(next(samples(stream, start_at=span.start_at, end_at=span.at, interval_s=HISTORY_S)),),
    )


def _window(stream: Stream, event: Event | None, span: Span) -> Window:
    """A past of coarse samples, then the present in fine ones."""
    fault, benign = (event, None) if isinstance(event, Fault) else (None, event)
    live = samples(stream, start_at=span.live_at, end_at=span.at, interval_s=LIVE_S, fault=fault, benign=benign)
    return merge_windows([_past(stream, span.start_at, span.live_at), window_from_samples(live)])


_PASTS: Final[dict[tuple[str, datetime, datetime], Window]] = {}


def _past(stream: Stream, start_at: datetime, end_at: datetime) -> Window:
    """The same for all that happens to a disk."""
    key = stream.stream_id, start_at, end_at
    if key not in _PASTS:
        _PASTS[key] = window_from_samples(samples(stream, start_at=start_at, end_at=end_at, interval_s=HISTORY_S))
    return _PASTS[key]


def recorded_stall() -> Host:
    """Four streams of a real device, of which loop1 stands still at the end of what is taken."""
    with gzip.open(RECORDINGS / "stall.jsonl.gz", "rt", encoding="utf-8") as file:
        batches = [Batch.model_validate_json(line) for line in file]
    recorded = {}
    for stream_id in sorted({batch.stream_id for batch in batches}):
        own = [batch for batch in batches if batch.stream_id == stream_id]
        window = window_from_samples(sample for batch in own for sample in batch.samples)
        recorded[stream_id] = own[0], window.until(STALL_ENDS_MS)
    return Host(recorded=recorded)
