"""Labelled hosts: what every data set is turned into, and the features of each of its minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.features import HOUR, NAMES, matrix, state_of
from iops.minutes import CHANNELS, LEVELS, SERIES, pool_tables, quantile_table

DAY: Final = 1440  # minutes
WEEK_DAYS: Final = 7
CHUNK: Final = 1_000  # minutes of a host that are computed at once; 24 disks take 100 MB
UNKNOWN: Final = -1  # an incident's label where nobody looked
IGNORED: Final = -2  # where somebody saw something that is none of ours: neither right nor wrong

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Host:
    """Disks that are peers of one another. Minutes ascend, with holes where nothing was measured."""

    name: str
    disks: tuple[str, ...]
    minute: NDArray[np.int64]  # [minute], counted from anywhere
    values: NDArray[np.float32]  # [minute, disk, one of SERIES], NaN where null
    incident: NDArray[np.int8]  # [minute, disk]: 1, 0, UNKNOWN or IGNORED
    kind: NDArray[np.int8]  # [minute, disk]: place in iops.risk.KINDS, UNKNOWN where nobody said
    severity: NDArray[np.float32]  # [minute, disk]: ln(await / what it would have been); NaN where unknown

    def __post_init__(self) -> None:
        shape = (len(self.minute), len(self.disks))
        assert self.values.shape == (*shape, len(SERIES)), f"{self.name}: values are {self.values.shape}"
        assert self.incident.shape == self.kind.shape == self.severity.shape == shape, f"{self.name}: labels"

    def part(self, mask: NDArray[np.bool_]) -> Host:
        """The minutes that the mask marks."""
        rows = (getattr(self, name)[mask] for name in ("minute", "values", "incident", "kind", "severity"))
        return Host(self.name, self.disks, *rows)


def features_of(host: Host, *, since: int | None = None) -> NDArray[np.float32]:
    """[minute, disk, feature] of a host, by the very functions that serve, from earlier minutes only.

    With `since` the minutes before it are left out as NaN, which saves their time.
    """
    found = np.full((len(host.minute), len(host.disks), len(NAMES)), np.nan, np.float32)
    since = int(host.minute[0]) if since is None else since
    hours, day, week = tables_of(host, _hours(host, since))
    for rows in _runs(host.minute):
        if host.minute[rows.stop - 1] < since:
            continue
        at = host.minute[rows] - host.minute[rows.start]
        dense = np.full((int(at[-1]) + 1, *host.values.shape[1:]), np.nan)
        dense[at] = host.values[rows]
        for first in range(max(0, since - int(host.minute[rows.start])), len(dense), CHUNK):
            begin, end = max(0, first - HOUR + 1), min(first + CHUNK, len(dense))
            known = at[(at >= first) & (at < end)]
            if len(known):
                hour = np.searchsorted(hours, (host.minute[rows.start] + np.arange(first, end)) // HOUR)
                state = state_of(dense[begin:end], day[hour], week[hour], last=end - first)
                place = rows.start + np.searchsorted(at, known)
                found[place] = matrix(state)[known - first]
    return found


def tables_of(host: Host, hours: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], Array, Array]:
    """The tables of 24 h and of 7 days of the `hours` asked for, made when each began.

    If none are asked for: of each hour that has a minute, or follows one within a run.

    As in serving: the week is the tables of the last midnights, with the present day's.
    """
    if hours is None:
        hours = _hours(host, int(host.minute[0]))
    shape = (len(host.disks), len(CHANNELS), len(LEVELS))
    day, week = np.full((len(hours), *shape), np.nan), np.full((len(hours), *shape), np.nan)
    midnights: dict[int, Array] = {}
    for place, hour in enumerate(hours.tolist()):
        for midnight in range(hour // 24 - WEEK_DAYS + 1, hour // 24 + 1):
            if midnight not in midnights:
                midnights[midnight] = _table_before(host, midnight * DAY)
        day[place] = _table_before(host, hour * HOUR)
        past = [midnights[midnight] for midnight in range(hour // 24 - WEEK_DAYS + 1, hour // 24 + 1)]
        known = [table for table in (*past, day[place]) if np.isfinite(table).any()]
        if known:
            week[place] = pool_tables(known)
    return hours, day, week


def _hours(host: Host, since: int) -> NDArray[np.int64]:
    """Every hour from that of `since` on that has a minute, or follows one within a run."""
    runs = [host.minute[rows] for rows in _runs(host.minute)]
    hours = np.unique(np.concatenate([np.arange(run[0] // HOUR, run[-1] // HOUR + 1) for run in runs]))
    return np.asarray(hours[hours >= since // HOUR])


def _table_before(host: Host, minute: int) -> Array:
    first, last = np.searchsorted(host.minute, (minute - DAY, minute))
    past = host.values[first:last, :, : len(CHANNELS)].astype(np.float64)
    columns = past.reshape(len(past), len(host.disks) * len(CHANNELS))
    return quantile_table(columns).reshape(len(host.disks), len(CHANNELS), -1)


def _runs(minute: NDArray[np.int64]) -> Iterator[slice]:
    """Rows between holes of more than an hour."""
    edges = [0, *(np.flatnonzero(np.diff(minute) > HOUR) + 1).tolist(), len(minute)]
    yield from (slice(begin, end) for begin, end in pairwise(edges) if end > begin)
