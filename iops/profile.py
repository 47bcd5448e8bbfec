"""What a model remembers of a stream: quantile tables of its last 24 h and last days, and what it usually scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from iops import columns
from iops.errors import DamagedProfile
from iops.level import DAYS, Histogram, bin_of, level_of
from iops.minutes import CHANNELS, LEVELS, pool_tables, quantile_table

Array = NDArray[np.float64]

VERSION: Final = 1
UNPACKED_LIMIT_BYTES: Final = 64 * 1024  # 8 tables of 352 bytes and 8 histograms are 10 KB
DAY_MINUTES: Final = 1440
SHAPE: Final = (len(CHANNELS), len(LEVELS))


@dataclass(frozen=True)
class Profile:
    """Renewed every hour; days are counted since 1970. What is asked of it at each scoring is worked out once."""

    day: Array  # [channel, level], of the 24 h before it was made
    midnights: Mapping[int, Array] = field(default_factory=dict)  # by the day that began: its first table
    levels: Mapping[int, Histogram] = field(default_factory=dict)  # by day: page scores, one a minute

    @cached_property
    def week(self) -> Array:
        """The table of the last days together."""
        return pool_tables([*self.midnights.values(), self.day])

    @cached_property
    def own_level(self) -> float | None:
        """What the stream usually scores; None where too little is known."""
        return level_of(self.levels.values())


def renewed(before: Profile | None, minutes: Array, *, minute: int, page_scores: Sequence[float] = ()) -> Profile:
    """The profile of the 24 h before `minute`, [minute, one of SERIES], with the scores of since the one before."""
    today, table = minute // DAY_MINUTES, quantile_table(minutes[:, : len(CHANNELS)])
    midnights, levels = ({}, {}) if before is None else (dict(before.midnights), dict(before.levels))
    midnights.setdefault(today, table)
    counts = dict(levels.get(today, {}))
    for score in page_scores:
        place = bin_of(score)
        counts[place] = counts.get(place, 0) + 1
    levels[today] = counts
    kept = range(today - DAYS + 1, today + 1)
    return Profile(
        table,
        {day: midnights[day] for day in midnights if day in kept},
        {day: levels[day] for day in levels if day in kept},
    )


def encode(profile: Profile) -> bytes:
    """The bytes of a profile: at most 2.7 KB after a week, half of it where channels stand still."""
    content = [
        VERSION,
        list(profile.midnights),
        _to_bytes([profile.day, *profile.midnights.values()]),
        [[day, *_to_run(counts)] for day, counts in profile.levels.items()],
    ]
    return columns.pack(msgpack.packb(content), version=VERSION)


def decode(data: bytes, *, key: str) -> Profile:
    """Raises DamagedProfile, naming `key`, for what `encode` does not write."""
    try:
        _, days, tables, levels = columns.unpack(data, version=VERSION, limit_bytes=UNPACKED_LIMIT_BYTES)
        day, *midnights = _to_tables(tables)
        return Profile(
            day,
            {int(began): table for began, table in zip(days, midnights, strict=True)},
            {int(began): _to_histogram(int(first), run) for began, first, run in levels},
        )
    except columns.DAMAGE as error:
        raise DamagedProfile(key, str(error) or type(error).__name__) from error


def _to_bytes(tables: Sequence[Array]) -> bytes:
    """First bytes of all numbers, then second ones: signs and exponents are much alike, which packs a sixth smaller."""
    return np.stack(tables).astype("<f4").view(np.uint8).reshape(-1, 4).T.tobytes()


def _to_tables(data: Any) -> list[Array]:
    numbers = np.frombuffer(data, np.uint8).reshape(4, -1).T.tobytes()
    return list(np.frombuffer(numbers, "<f4").reshape(-1, *SHAPE).astype(np.float64))


def _to_run(counts: Histogram) -> tuple[int, list[int]]:
    """The lowest bin, and the counts from there to the highest."""
    if not counts:
        return 0, []
    first, last = min(counts), max(counts)
    return first, [counts.get(place, 0) for place in range(first, last + 1)]


def _to_histogram(first: int, run: Sequence[int]) -> Histogram:
    return {first + place: int(count) for place, count in enumerate(run) if count}
