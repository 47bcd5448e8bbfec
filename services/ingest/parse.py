"""The quick way to read a body: straight into columns, for what is certainly right.

It knows the contract a second time, as msgspec wants it, and says only yes or "look closer": whatever it does not
take goes to the pydantic models, which are the contract. A test holds it to them: what it takes, they take alike.
"""

import re
from array import array
from datetime import datetime
from operator import attrgetter, ge
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from iops.contract import BATCH_SAMPLES_LIMIT, REQUEST_BATCHES_LIMIT
from iops.telemetry import CHANNELS, NAN, Window, default_peer_group
from services.ingest.arrival import Arrival

STREAM_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._:@+=-]*\Z"  # a dollar would allow a last newline
LABEL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
LABEL_VALUE_LIMIT: Final = 128
LABELS_LIMIT: Final = 16

Rate = Annotated[float, Meta(ge=0, le=1e8)]
BytesRate = Annotated[float, Meta(ge=0, le=1e12)]
Milliseconds = Annotated[float, Meta(ge=0, le=3_600_000)]


class QuickSample(Struct, forbid_unknown_fields=True, gc=False):
    """A sample as msgspec reads it; the fields are those of `iops.telemetry.Sample`."""

    at: Annotated[datetime, Meta(tz=True)]
    interval_s: Annotated[float, Meta(ge=0.001, le=3_600)]
    read_iops: Rate
    write_iops: Rate
    read_bytes_s: BytesRate
    write_bytes_s: BytesRate
    queue_depth: Annotated[float, Meta(ge=0, le=1e6)]
    utilization_ratio: Annotated[float, Meta(ge=0, le=1)]
    in_flight: Annotated[int, Meta(ge=0, le=1_000_000)]
    read_await_ms: Milliseconds | None = None
    write_await_ms: Milliseconds | None = None
    latency_p95_ms: Milliseconds | None = None
    latency_p99_ms: Milliseconds | None = None
    io_errors: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class QuickBatch(Struct, forbid_unknown_fields=True, gc=False):
    """A batch as msgspec reads it; the fields are those of `iops.telemetry.Batch`."""

    stream_id: Annotated[str, Meta(min_length=1, max_length=200, pattern=STREAM_ID)]
    samples: Annotated[list[QuickSample], Meta(min_length=1, max_length=BATCH_SAMPLES_LIMIT)]
    peer_group: Annotated[str, Meta(min_length=1, max_length=200, pattern=STREAM_ID)] | None = None
    labels: dict[str, str] = {}
    provisioned_iops: Annotated[float, Meta(ge=1, le=1e8)] | None = None


class QuickBatches(Struct, forbid_unknown_fields=True, gc=False):
    """Several batches in one body."""

    batches: Annotated[list[QuickBatch], Meta(min_length=1, max_length=REQUEST_BATCHES_LIMIT)]


ONE: Final = msgspec.json.Decoder(QuickBatch)
MANY: Final = msgspec.json.Decoder(QuickBatches)
MANY_KEY: Final = b'{"batches"'
READ: Final = {channel.name: attrgetter(channel.name) for channel in CHANNELS}
OPTIONAL: Final = frozenset({"read_await_ms", "write_await_ms", "latency_p95_ms", "latency_p99_ms", "io_errors"})


def parse(body: bytes, *, earliest_ms: int, latest_ms: int) -> list[Arrival] | None:
    """What the body holds, or None where somebody has to look closer; instants must lie within the two, in order."""
    try:
        batches = MANY.decode(body).batches if body.startswith(MANY_KEY) else [ONE.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    arrivals = []
    for batch in batches:
        window = _window_of(batch.samples)
        if window is None or not earliest_ms <= window.at_ms[0] <= window.at_ms[-1] <= latest_ms:
            return None
        if batch.labels and not _are_labels(batch.labels):
            return None
        group = batch.peer_group or default_peer_group(batch.stream_id)
        arrivals.append(Arrival(batch.stream_id, group, batch.labels, batch.provisioned_iops, window))
    return arrivals


def _window_of(samples: list[QuickSample]) -> Window | None:
    """None where the instants do not grow, or an await is 0, which may be a null that somebody wrote wrongly."""
    at_ms = array("q", [round(sample.at.timestamp() * 1000) for sample in samples])
    if len(at_ms) > 1 and any(map(ge, at_ms, at_ms[1:])):
        return None
    columns: dict[str, array[float]] = {}
    for name, read in READ.items():
        values = map(read, samples)
        if name in OPTIONAL:
            columns[name] = array("d", [NAN if value is None else value for value in values])
        else:
            columns[name] = array("d", values)
    if 0.0 in columns["read_await_ms"] or 0.0 in columns["write_await_ms"]:
        return None
    return Window(at_ms, columns)


def _are_labels(labels: dict[str, str]) -> bool:
    return len(labels) <= LABELS_LIMIT and all(
        LABEL_NAME.fullmatch(name) and len(value) <= LABEL_VALUE_LIMIT and value.isprintable()
        for name, value in labels.items()
    )
