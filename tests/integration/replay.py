"""Recorded batches of a real device, moved to another time."""

import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

RECORDINGS: Final = Path(__file__).parents[1] / "recordings"
BODY_BATCHES: Final = 24  # of up to 1,000 samples: 6 MB unpacked, within the 8 MiB of a body

Recording = dict[str, list[dict[str, Any]]]  # samples by stream, oldest first


def load(name: str) -> Recording:
    """A recording of tests/recordings."""
    streams: Recording = {}
    with gzip.open(RECORDINGS / name, "rt") as lines:
        for batch in map(json.loads, lines):
            streams.setdefault(batch["stream_id"], []).extend(batch["samples"])
    return {stream_id: sorted(samples, key=at_of) for stream_id, samples in sorted(streams.items())}


def at_of(sample: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(sample["at"])


def cut(recording: Recording, *, begin: datetime, end: datetime) -> Recording:
    """The part from `begin` on and before `end`."""
    return {
        stream_id: [sample for sample in samples if begin <= at_of(sample) < end]
        for stream_id, samples in recording.items()
    }


def move(recording: Recording, *, end: datetime) -> Recording:
    """The recording so that its last sample is at `end`."""
    last = max(at_of(sample) for samples in recording.values() for sample in samples)
    return {
        stream_id: [sample | {"at": (at_of(sample) + (end - last)).isoformat()} for sample in samples]
        for stream_id, samples in recording.items()
    }


def tile(recording: Recording, *, end: datetime, span: timedelta) -> Recording:
    """The recording again and again, for `span` until `end`."""
    samples = next(iter(recording.values()))
    length = at_of(samples[-1]) - at_of(samples[0]) + timedelta(seconds=1)
    tiled: Recording = {stream_id: [] for stream_id in recording}
    for number in reversed(range(span // length)):
        for stream_id, moved in move(recording, end=end - number * length).items():
            tiled[stream_id] += moved
    return tiled


def to_bodies(recording: Recording, *, peer_group: str, host: str) -> Iterator[bytes]:
    """What POST /metrics takes, gzipped; its streams are those of `host`."""
    batches = list(_to_batches(recording, peer_group, host))
    for start in range(0, len(batches), BODY_BATCHES):
        yield gzip.compress(json.dumps({"batches": batches[start : start + BODY_BATCHES]}).encode())


def _to_batches(recording: Recording, peer_group: str, host: str) -> Iterable[dict[str, Any]]:
    for stream_id, samples in recording.items():
        for start in range(0, len(samples), 1_000):
            device = stream_id.rpartition(":")[2]
            part = samples[start : start + 1_000]
            yield {"stream_id": f"{host}:{device}", "peer_group": peer_group, "samples": part}
