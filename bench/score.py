"""How many streams a second one core scores: from windows of samples to risk, features and trees included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from iops.contract import INSIGHT_RISK_SCORE
from iops.features import FEATURE_SET_ID, HOUR, NAMES, matrix, state_of
from iops.minutes import CHANNELS, MINUTE_MS, minutes_of, quantile_table
from iops.model import (
    ALONE_FILE,
    BOOSTER_FILES,
    CARD_FILE,
    KIND_FILE,
    PEERS_FILE,
    SEVERITY_FILE,
    Card,
    Model,
    version_of,
)
from iops.risk import KINDS, Raw, Scale, Scales, judge
from iops.telemetry import CHANNELS as FIELDS
from iops.telemetry import Window

Array = NDArray[np.float64]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

WANTED_STREAMS_S: Final = 2_000
GROUP_SIZES: Final = (4, 8, 24)
INTERVAL_S: Final = 2
END_MINUTE: Final = 29_923_360
ROUNDS: Final = 5  # of a size; the median counts, because other programs disturb
TREES, DEPTH = 120, 3  # of each booster (of the kinds: of each kind)
COMMITTED: Final = Path(__file__).parents[1] / "ml" / "model"


@dataclass(frozen=True, slots=True)
class Group:
    """What the service has at hand when a group is to be scored."""

    windows: tuple[Window, ...]
    day: Array  # [disk, channel, level]
    week: Array


@dataclass(slots=True)
class Stopwatch:
    """Seconds of CPU by step: of all threads, and not of other programs."""

    taken_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def time(
        self, step: str, deed: Callable[Parameters, Result], *args: Parameters.args, **options: Parameters.kwargs
    ) -> Result:
        """The deed's answer."""
        begin = time.process_time()
        answer = deed(*args, **options)
        self.taken_s[step] += time.process_time() - begin
        return answer


def measure(*, seconds: float, model_dir: Path = COMMITTED) -> dict[str, Any]:
    """Figures of each group size, and the slowest as the result."""
    with tempfile.TemporaryDirectory() as folder:
        is_committed = (model_dir / CARD_FILE).exists()
        if not is_committed:
            make_model(Path(folder))
        directory = model_dir if is_committed else Path(folder)
        model = Model(directory)
        model_mb = model_memory_mb(directory)
    sizes = {str(size): _measure_size(model, size, seconds / len(GROUP_SIZES)) for size in GROUP_SIZES}
    slowest = min(figures["streams_per_s"] for figures in sizes.values())
    return {
        "streams_per_s": slowest,
        "wanted_streams_per_s": WANTED_STREAMS_S,
        "is_reached": slowest >= WANTED_STREAMS_S,
        "model": model.card.version if is_committed else f"trained on the spot, {TREES} rounds of depth {DEPTH} x 3",
        "model_memory_mb": round(model_mb, 1),
        "group_sizes": sizes,
    }


def score(model: Model, group: Group, watch: Stopwatch) -> Array:
    """The risk of each disk; kind, severity and contributions are asked for only where somebody will be told."""
    minutes = watch.time("minutes", _minutes, group.windows)
    state = watch.time("state", state_of, minutes, group.day, group.week)
    features = watch.time("matrix", matrix, state)[-1]
    margin = watch.time("predict", model.margins, features)
    nothing_yet = np.zeros((len(features), len(KINDS)))
    raw = Raw(margin, nothing_yet, np.zeros(len(features)), np.zeros(features.shape))
    own_level = np.full(len(features), np.nan)
    risk_score = watch.time("judge", judge, raw, features, own_level, model.card.scales).risk_score
    worth_telling = risk_score >= INSIGHT_RISK_SCORE
    if worth_telling.any():
        watch.time("explain", model.predict, features[worth_telling])
    return risk_score


def make_group(size: int, *, seed: int) -> Group:
    """Disks with an hour of samples every 2 s, and the tables of a day and a week before it."""
    rng = np.random.default_rng(seed)
    windows = tuple(_window(rng) for _ in range(size))
    usual = _minutes(windows)[..., : len(CHANNELS)]  # so that nothing is unusual, as with most groups
    table = quantile_table(usual.reshape(HOUR, -1)).reshape(size, len(CHANNELS), -1)
    return Group(windows, table, table.copy())


def make_model(folder: Path, *, rows: int = 20_000, rounds: int = TREES) -> None:
    """Files like the committed ones, of noise: trees cost the same whatever they say."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    signal = features[:, :8].sum(axis=1)
    kinds = np.digitize(signal, np.quantile(signal, np.linspace(0, 1, len(KINDS) + 1)[1:-1]))
    for name, labels, options in (
        (ALONE_FILE, signal > 2, {"objective": "binary:logistic"}),
        (PEERS_FILE, signal > 2, {"objective": "binary:logistic"}),
        (KIND_FILE, kinds, {"objective": "multi:softprob", "num_class": len(KINDS)}),
        (SEVERITY_FILE, signal, {"objective": "reg:squarederror"}),
    ):
        made = {
            "max_depth": DEPTH,
            "nthread": 1,
            "num_parallel_tree": 2 if name in (ALONE_FILE, PEERS_FILE) else 1,
            **options,
        }
        data = xgboost.DMatrix(features, labels, feature_names=list(NAMES), nthread=1)
        xgboost.train(made, data, rounds).save_model(folder / name)
    scale = Scale(slope=1, intercept=-2, knots=((-8.0, 0.0), (4.0, 60.0), (6.0, 80.0), (9.0, 100.0)))
    card = Card(
        version=version_of((folder / name).read_bytes() for name in BOOSTER_FILES),
        feature_set_id=FEATURE_SET_ID,
        features=NAMES,
        kinds=tuple(KINDS),
        scales=Scales(alone=scale, beside_peers=scale, usual_level=-5),
        feature_quantiles={},
    )
    (folder / CARD_FILE).write_text(card.model_dump_json())


MEMORY_PROGRAM: Final = """
import sys
from pathlib import Path
import numpy as np
import iops.risk

def resident_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

before = resident_mb()
from iops.model import Model
model = Model(Path(sys.argv[1]))
for is_quick in (True, False):
    model.predict(np.zeros((24, len(model.card.features)), np.float32), is_quick=is_quick)
print(resident_mb() - before)
"""


def model_memory_mb(directory: Path) -> float:
    """What XGBoost, the model and its first answers add to a program that has numpy and the features already."""
    command = (sys.executable, "-c", MEMORY_PROGRAM, str(directory))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 -- ourselves
    return float(done.stdout)


def _measure_size(model: Model, size: int, seconds: float) -> dict[str, Any]:
    groups = [make_group(size, seed=seed) for seed in range(max(2, 96 // size))]
    rates, watch, scored = [], Stopwatch(), 0
    for _ in range(ROUNDS):
        begin, streams = time.process_time(), 0
        while (taken_s := time.process_time() - begin) < seconds / ROUNDS or not streams:
            for group in groups:
                score(model, group, watch)
            streams += size * len(groups)
        rates.append(streams / taken_s)
        scored += streams
    return {"streams_per_s": round(median(rates)), "us_per_stream": _per_stream(watch.taken_s, scored)}


def _per_stream(taken_s: Mapping[str, float], streams: int) -> dict[str, float]:
    return {step: round(seconds / streams * 1e6, 1) for step, seconds in taken_s.items()}


def _minutes(windows: Sequence[Window]) -> Array:
    made = [minutes_of(window, end_minute=END_MINUTE, count=HOUR) for window in windows]
    return np.stack(made, axis=1)


def _window(rng: np.random.Generator) -> Window:
    count = HOUR * 60 // INTERVAL_S
    end_ms = END_MINUTE * MINUTE_MS
    instants = np.arange(end_ms - (count - 1) * INTERVAL_S * 1000, end_ms + 1, INTERVAL_S * 1000)
    columns = {channel.name: array("d", rng.lognormal(0, 0.5, count).tobytes()) for channel in FIELDS}
    columns["interval_s"] = array("d", [INTERVAL_S]) * count
    columns["latency_p95_ms"] = array("d", [np.nan]) * count
    return Window(array("q", instants.astype(np.int64).tobytes()), columns)
