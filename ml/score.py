"""The step `score`: what the model says of every minute of real telemetry, for others to judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray

from iops.features import NAMES
from iops.minutes import CHANNELS
from iops.model import Model
from iops.risk import KINDS, Judgement, Raw, contributions, judge, page_scores
from ml import failslow, smd
from ml.hosts import Host, features_of
from ml.levels import own_levels
from ml.source import UnreadableData

BLOCK_ROWS: Final = 32_768  # that the trees explain at once: contributions take 7 MB
TOP: Final = 3  # channels a row names
SHOWN_RISK: Final = 60  # from here on contributions are exact; on all of 3 million rows they would take 4 minutes
CHANNEL_OF: Final = {  # which channel a feature speaks of; those of all channels speak of none
    **{f"{kind}_{channel}": channel for kind in ("z", "step") for channel in CHANNELS},
    **dict.fromkeys(("peer_ratio_median", "peer_ratio_p10", "peer_standing", "p99_to_await"), "await_ms"),
}
DISK_NAMES: Final = tuple({channel: column for column, channel in smd.COLUMNS.items()}[name] for name in CHANNELS)
JUDGED: Final = (
    pa.field("p_incident", pa.float64()),
    pa.field("risk_score", pa.float64()),
    pa.field("prediction_type", pa.string()),
    pa.field("top_channels", pa.list_(pa.string())),
)
SMD_SCHEMA: Final = pa.schema([("machine", pa.string()), ("minute", pa.int64()), *JUDGED])
FAILSLOW_SCHEMA: Final = pa.schema([("host", pa.string()), ("disk", pa.string()), ("minute", pa.int64()), *JUDGED])


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of a host, [minute, disk]."""

    margin: NDArray[np.float64]  # of the trees alone
    p_incident: NDArray[np.float64]
    risk_score: NDArray[np.float64]
    kind: NDArray[np.intp]  # place in KINDS
    top_channels: NDArray[np.int8]  # [minute, disk, TOP]: places in CHANNELS, -1 where there are no more


def score(
    data: Annotated[Path, typer.Option(help="folder with smd/ or failslow/ or both")],
    out: Annotated[Path, typer.Option(help="folder for smd_scores.parquet and failslow_scores.parquet")],
    model: Annotated[Path, typer.Option(help="the model's folder")] = Path("ml/model"),
) -> None:
    """Score every minute of real disks, each from that minute and earlier ones."""
    judge_with = Model(model)
    found = [folder for folder in ("smd", "failslow") if (data / folder).is_dir()]
    if not found:
        raise UnreadableData(f"{data}: has neither smd/ nor failslow/")
    out.mkdir(parents=True, exist_ok=True)
    if "smd" in found:
        _write(out / "smd_scores.parquet", SMD_SCHEMA, _smd_tables(data, judge_with))
    if "failslow" in found:
        _write(out / "failslow_scores.parquet", FAILSLOW_SCHEMA, _failslow_tables(data, judge_with))


def score_host(model: Model, host: Host, features: NDArray[np.float32] | None = None) -> Scores:
    """What the model says of each minute of each disk; the features are computed where they are not given."""
    found = features_of(host) if features is None else features
    shape = found.shape[:2]
    flat = found.reshape(-1, len(NAMES))
    raw, top = _predict(model, flat, is_quick=True)
    judged = judge_host(host, raw, flat, model)
    is_shown = judged.risk_score >= SHOWN_RISK
    if is_shown.any():
        top[is_shown] = _predict(model, flat[is_shown])[1]
    return Scores(
        margin=raw.margin.reshape(shape),
        p_incident=judged.p_incident.reshape(shape),
        risk_score=judged.risk_score.reshape(shape),
        kind=judged.kind.reshape(shape),
        top_channels=top.reshape(*shape, TOP),
    )


def judge_host(host: Host, raw: Raw, features: NDArray[np.float32], model: Model) -> Judgement:
    """Reads the trees' answers to all [row, feature] of a host; a disk's own level is made of its earlier ones."""
    pages = page_scores(raw.margin, features).reshape(len(host.minute), len(host.disks))
    is_measured = np.isfinite(host.values).any(axis=-1)
    levels = own_levels(np.where(is_measured, pages, np.nan), host.minute)
    return judge(raw, features, levels.ravel(), model.card.scales)


def top_channels(added: NDArray[np.float64], features: NDArray[np.float32]) -> NDArray[np.int8]:
    """[row, TOP]: the channels whose features moved the margin most; what is null moved nothing that is there."""
    weight = np.where(np.isfinite(features), np.abs(added), 0.0)
    by_channel = np.zeros((len(weight), len(CHANNELS)))
    for place, name in enumerate(NAMES):
        if name in CHANNEL_OF:
            column = CHANNELS.index(CHANNEL_OF[name])
            by_channel[:, column] = np.maximum(by_channel[:, column], weight[:, place])
    order = np.argsort(-by_channel, axis=1, kind="stable")[:, :TOP]
    return np.where(np.take_along_axis(by_channel, order, axis=1) > 0, order, -1).astype(np.int8)


def _predict(model: Model, features: NDArray[np.float32], *, is_quick: bool = False) -> tuple[Raw, NDArray[np.int8]]:
    """The trees' answers without the contributions, which would be most of the memory, and what they point at."""
    parts, top = [], []
    for first in range(0, len(features), BLOCK_ROWS):
        block = features[first : first + BLOCK_ROWS]
        raw = model.predict(block, is_quick=is_quick)
        parts.append(raw)
        top.append(top_channels(contributions(raw, block), block))
    margin, kinds, severity = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("margin", "kinds", "severity")
    )
    return Raw(margin, kinds, severity, contributions=np.empty((0, len(NAMES)))), np.concatenate(top)


def _smd_tables(data: Path, model: Model) -> Iterator[pa.Table]:
    for machine in smd.machines_of(data):
        host, rows = machine.host, np.flatnonzero(machine.is_judged)
        keys = [pa.array([host.name] * len(rows)), pa.array(host.minute[rows])]
        yield _table(SMD_SCHEMA, keys, score_host(model, host), (rows, np.zeros_like(rows)))


def _failslow_tables(data: Path, model: Model) -> Iterator[pa.Table]:
    for host in failslow.hosts_of(data):
        disk, row = np.nonzero(failslow.is_measured(host).T)
        names = pa.array(host.disks).take(pa.array(disk))
        keys = [pa.array([host.name] * len(row)), names, pa.array(host.minute[row])]
        yield _table(FAILSLOW_SCHEMA, keys, score_host(model, host), (row, disk))


def _table(
    schema: pa.Schema, keys: list[pa.Array], scores: Scores, cells: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> pa.Table:
    """One row for each cell, which is a minute's and a disk's place."""
    kind = pa.array([kind.value for kind in KINDS]).take(pa.array(scores.kind[cells]))
    top = scores.top_channels[cells]
    offsets = np.concatenate(([0], np.cumsum((top >= 0).sum(axis=1)))).astype(np.int32)
    names = pa.array(DISK_NAMES).take(pa.array(top[top >= 0]))
    channels = pa.ListArray.from_arrays(pa.array(offsets), names)
    judged = [pa.array(scores.p_incident[cells]), pa.array(scores.risk_score[cells]), kind, channels]
    return pa.Table.from_arrays([*keys, *judged], schema=schema)


def _write(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    """One row group a host; the file appears when it is whole."""
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
    part.replace(path)
