"""Training rows: what is taken of labelled hosts, and what each row weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iops.features import NAMES
from iops.risk import KINDS
from ml.hosts import UNKNOWN, Host
from ml.protocol import runs

Array = NDArray[np.float64]

LENGTH_POWER: Final = -0.75  # what a minute of an event of n minutes weighs is n to this
SHOULDER: Final = 5  # minutes beside an event that nobody can label
EVENTS_RATIO: Final = 0.05  # of a disk's weight that ten events have; others as the square root of their number
ORDINARY_STEP: Final = 3  # every third ordinary minute is enough


@dataclass(frozen=True, slots=True)
class Rows:
    """Minutes of disks to fit on; `host` names where each is from, so that no host is on two sides of a split."""

    features: NDArray[np.float32]  # [row, feature]
    incident: NDArray[np.bool_]
    weight: Array
    kind: NDArray[np.int8]  # place in iops.risk.KINDS, UNKNOWN where nobody said
    severity: NDArray[np.float32]  # NaN where unknown
    host: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.incident)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows that the mask marks."""
        return Rows(*(getattr(self, name)[mask] for name in self.__slots__))


def join(parts: Sequence[Rows]) -> Rows:
    """All rows as one."""
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))


def recorded_rows(host: Host, features: NDArray[np.float32]) -> Rows:
    """What a real, labelled host teaches: long events and machines with many of them do not drown the others."""
    parts = []
    for disk in range(len(host.disks)):
        weight = weights(host.incident[:, disk])
        incident = host.incident[:, disk] == 1
        is_kept = (weight > 0) & (incident | (np.arange(len(weight)) % ORDINARY_STEP == 0))
        weight = np.where(incident, weight, weight * ORDINARY_STEP)
        parts.append(_rows(host, features, disk, is_kept, weight))
    return join(parts)


def reviewed_rows(host: Host, features: NDArray[np.float32]) -> Rows:
    """What operators' verdicts teach; a longer one says little more than a shorter, whichever way it went."""
    parts = []
    for disk in range(len(host.disks)):
        weight = np.zeros(len(host.minute))
        for verdict in (0, 1):
            for begin, end in runs(host.incident[:, disk] == verdict):
                weight[begin:end] = float(end - begin) ** LENGTH_POWER
        parts.append(_rows(host, features, disk, weight > 0, weight))
    return join(parts)


def simulated_rows(windows: pa.Table) -> Rows:
    """What labelled windows (`ml simulate`) teach, alike in weight."""
    columns = [windows[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in NAMES]
    kinds: dict[str | None, int] = {kind.value: place for place, kind in enumerate(KINDS)} | {None: UNKNOWN}
    return Rows(
        features=np.stack(columns, axis=1),
        incident=windows["incident"].to_numpy() == 1,
        weight=np.ones(len(windows)),
        kind=np.array([kinds[kind] for kind in windows["kind"].to_pylist()], np.int8),
        severity=windows["severity"].to_numpy(),
        host=np.array(windows["host"].to_pylist()),
    )


def weights(incident: NDArray[np.int8]) -> Array:
    """What each minute of one disk weighs; 0 where it is unlabelled, ignored, or beside an event."""
    weight = (incident >= 0).astype(np.float64)
    events = runs(incident == 1)
    if not events:
        return weight
    for begin, end in events:
        weight[begin:end] = float(end - begin) ** LENGTH_POWER
    is_event = incident == 1
    total = EVENTS_RATIO * np.count_nonzero(incident >= 0) * np.sqrt(len(events) / 10)
    weight[is_event] *= total / weight[is_event].sum()
    for begin, end in events:
        for beside in (slice(max(begin - SHOULDER, 0), begin), slice(end, end + SHOULDER)):
            weight[beside][~is_event[beside]] = 0
    return weight


def _rows(host: Host, features: NDArray[np.float32], disk: int, is_kept: NDArray[np.bool_], weight: Array) -> Rows:
    kind = np.where(host.incident[:, disk] == 1, host.kind[:, disk], UNKNOWN)
    return Rows(
        features=features[is_kept, disk],
        incident=host.incident[is_kept, disk] == 1,
        weight=weight[is_kept],
        kind=kind[is_kept].astype(np.int8),
        severity=host.severity[is_kept, disk],
        host=np.full(np.count_nonzero(is_kept), host.name),
    )
