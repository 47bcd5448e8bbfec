"""The golden file of feature vectors: `python -m tests.vectors` writes it anew, after a definition was meant to change.

A case is minutes [minute, disk, one of SERIES], the tables of a day and a week [disk, channel, level], and the vectors
[disk, feature] at its last minute; null is null.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iops.features import FEATURE_SET_ID, NAMES, matrix, state_of
from iops.minutes import AWAIT, CHANNELS, LEVELS, P99, SERIES, TROUBLED

PATH: Final = Path(__file__).parent / "golden" / "features.json"
SPREAD: Final = np.array([0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0])  # of a table, in medians
USUAL: Final = np.array([0.2, 200, 819_200, 1, 0.2, 100, 1, 409_600, 4, 0])  # of SERIES

Array = NDArray[np.float64]


def vectors_of(case: dict[str, Any]) -> NDArray[np.float32]:
    """[disk, feature] of a case, computed now."""
    minutes, day, week = (np.array(case[name], dtype=float) for name in ("minutes", "day", "week"))
    return np.asarray(matrix(state_of(minutes, day, week))[-1])


def make_cases() -> dict[str, tuple[Array, Array, Array]]:
    """Minutes, day and week of each case."""
    cases = {
        "one disk, an ordinary hour": _case(60, 1),
        "one disk, three minutes of a spike": _case(20, 1),
        "channels that stood still all day, two of which move": _case(8, 1),
        "no history yet": _case(8, 1),
        "nulls: no reads for some minutes, no tail, no queue": _case(16, 2),
        "five disks, one twice as slow": _case(16, 5),
        "five disks, two of them silent: too few peers": _case(16, 5),
        "four disks, one with errors": _case(8, 4),
    }
    _spike(cases["one disk, three minutes of a spike"])
    _stand_still(cases["channels that stood still all day, two of which move"])
    for table in cases["no history yet"][1:]:
        table[:] = np.nan
    _nulls(cases["nulls: no reads for some minutes, no tail, no queue"])
    cases["five disks, one twice as slow"][0][:, 3, AWAIT] *= 2
    cases["five disks, two of them silent: too few peers"][0][:, 3:, AWAIT] = np.nan
    cases["four disks, one with errors"][0][4, 1, TROUBLED] = 2
    return cases


def _case(minutes: int, disks: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(7)
    values = USUAL * rng.lognormal(0, 0.3, (minutes, disks, len(SERIES)))
    table = np.broadcast_to(USUAL[: len(CHANNELS), np.newaxis] * SPREAD, (disks, len(CHANNELS), len(LEVELS)))
    return _short(values), _short(table), _short(table * 1.25)


def _short(values: Array) -> Array:
    """Four digits, as the file has them."""
    return np.array([float(f"{value:.4g}") for value in values.ravel().tolist()]).reshape(values.shape)


def _spike(case: tuple[Array, Array, Array]) -> None:
    minutes, _, _ = case
    minutes[-3:, 0, AWAIT] = [8.0, 9.5, 7.0]
    minutes[-3:, 0, CHANNELS.index("queue_depth")] = 4.0
    minutes[-3:, 0, P99] = 90.0


def _stand_still(case: tuple[Array, Array, Array]) -> None:
    minutes, day, week = case
    minutes[:, 0] = USUAL
    day[:] = week[:] = USUAL[: len(CHANNELS), np.newaxis]
    minutes[-1, 0, CHANNELS.index("write_iops")] = 101.0
    minutes[-2:, 0, CHANNELS.index("queue_depth")] = 0.1


def _nulls(case: tuple[Array, Array, Array]) -> None:
    minutes, day, week = case
    minutes[-4:, 0, [AWAIT, CHANNELS.index("service_ms")]] = np.nan
    minutes[3:5] = np.nan
    minutes[:, 1, P99] = np.nan
    queue = CHANNELS.index("queue_depth")
    minutes[:, 1, queue], day[1, queue], week[1, queue] = np.nan, np.nan, np.nan


def _with_null(values: Array | NDArray[np.float32]) -> Any:
    return json.loads(json.dumps(values.astype(float).round(7).tolist()).replace("NaN", "null"))


def main() -> None:
    """Write the file."""
    cases = []
    for name, (minutes, day, week) in make_cases().items():
        case = {
            "name": name,
            **{
                key: _with_null(part)
                for key, part in zip(("minutes", "day", "week"), (minutes, day, week), strict=True)
            },
        }
        cases.append(case | {"vectors": _with_null(vectors_of(case))})
    document = {"feature_set_id": FEATURE_SET_ID, "features": list(NAMES), "cases": cases}
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(document, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
