"""The step `train`: fits, cross-validates and writes the model that ships, with its card."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
import xgboost
from numpy.typing import NDArray
from rich.progress import track

from iops.features import FEATURE_SET_ID, NAMES
from iops.model import (
    ALONE_FILE,
    CARD_FILE,
    FILES,
    KIND_FILE,
    PEERS_FILE,
    SEVERITY_FILE,
    Card,
    Model,
    UnfitModel,
    version_of,
)
from iops.risk import KINDS, Scales, has_peers, likely_kinds
from ml import failslow, smd
from ml.answers import answers_of_folds
from ml.card import PLOT_FILE, READABLE_FILE, write_card
from ml.crossval import Subject, alone_scale, cross_validated, peers_scale, subject_of
from ml.evaluate import report_of
from ml.exported import exported_hosts
from ml.hosts import DAY, Host, features_of
from ml.minutes import simulate_host
from ml.report import better_baselines
from ml.rows import Rows, join, reviewed_rows, simulated_rows
from ml.source import UnreadableData, columns_of, find_file
from ml.split import Part, is_in
from ml.train import Recipe, Trees, fit
from ml.windows import COLUMNS, FILE, MINUTES

SCALE_HOSTS: Final = 150  # simulated, that the scale of disks beside peers is made on: 2,000 disk-days
SCALE_SEED: Final = 1_000_000  # beyond any seed that windows are simulated with
SCALE_FOLDS: Final = 6
LEAST_MACHINES: Final = 3  # with an event each: one is judged, by trees fitted on others, read by a scale of yet others
DECILES: Final = tuple(round(0.1 * part, 1) for part in range(1, 10))


def train(
    data: Annotated[Path, typer.Option(help="folder with smd/: recorded machines to learn from and be judged on")],
    windows: Annotated[Path, typer.Option(help="folder with windows.parquet, as `simulate` writes it")],
    out: Annotated[Path, typer.Option(help="where the model goes")] = Path("ml/model"),
    *,
    exported: Annotated[str, typer.Option(help="folder or s3:// of `export`: your disks, with operators' words")] = "",
    seed: Annotated[int, typer.Option(help="the same seed, data and windows make the same model")] = 0,
    anyway: Annotated[bool, typer.Option("--anyway", help="ship it even where a baseline is better")] = False,
    hosts: Annotated[int, typer.Option(min=1, help="simulated, to calibrate disks beside peers on")] = SCALE_HOSTS,
) -> None:
    """Fit the model, cross-validate it by machine, and write it with its card. Some 5 minutes on one core.

    It ships only where it beats every baseline; otherwise it is left beside, as OUT.rejected.
    """
    if foreign := sorted(path.name for path in out.glob("*") if path.name not in (*FILES, READABLE_FILE, PLOT_FILE)):
        raise UnreadableData(f"{out}: holds {foreign[0]}, which is no part of a model, and would be lost")
    table = read_windows(windows / FILE)
    subjects = [subject_of(machine) for machine in track(list(smd.machines_of(data)), "Features")]
    if sum(bool(subject.truth.events) for subject in subjects) < LEAST_MACHINES:
        raise UnreadableData(f"{data}: at least {LEAST_MACHINES} machines with an event in their test half are wanted")
    reviewed = read_reviewed(exported) if exported else None
    made = out.with_name(f"{out.name}.rejected")
    make(subjects, table, made, seed=seed, reviewed=reviewed, hosts=hosts)
    judged = track(cross_validated(subjects, seed=seed), "Cross-validation", total=len(subjects))
    model = Model(made)
    report = report_of(data, model, cross_validated=answers_of_folds((each.machine, said) for each, said in judged))
    report = replace(report, kinds=kinds_called(model, simulated_rows(table)))
    digests = {"smd": _digest(find_file(data / "smd", smd.PATTERN)), "windows": _digest(windows / FILE)}
    if (data / "failslow").is_dir():
        digests["failslow"] = _digest(find_file(data / "failslow", failslow.PATTERN))
    write_card(made, model.card, report, digests)
    if (beaten_by := better_baselines(report)) and not anyway:
        raise UnfitModel(f"{made} does not ship: {', '.join(beaten_by)} is better")
    shutil.rmtree(out, ignore_errors=True)
    made.replace(out)


def read_reviewed(folder: str) -> Rows:
    """What operators' words teach of exported disks. Raises UnreadableData where there is nothing."""
    parts = [reviewed_rows(host, features_of(host)) for host in exported_hosts(folder)]
    if not parts:
        raise UnreadableData(f"{folder}: holds no exported hosts")
    return join(parts)


def read_windows(path: Path) -> pa.Table:
    """Labelled windows of these very features. Raises UnreadableData."""
    columns_of(path, tuple(COLUMNS))
    table = pq.read_table(path)
    made_for = (table.schema.metadata or {}).get(b"feature_set_id", b"").decode()
    if made_for != FEATURE_SET_ID:
        raise UnreadableData(f"{path}: of features {made_for or 'unknown'}, not {FEATURE_SET_ID}; simulate them again")
    return table


def make(
    subjects: Sequence[Subject],
    windows: pa.Table,
    out: Path,
    *,
    seed: int,
    recipe: Recipe | None = None,
    reviewed: Rows | None = None,
    hosts: int = SCALE_HOSTS,
) -> None:
    """The model's files, its card without figures; `reviewed` is of disks that operators spoke of."""
    recorded, simulated = join([subject.rows for subject in subjects]), simulated_rows(windows)
    simulated = simulated.where(is_in(Part.TRAIN, simulated.host))
    if reviewed is not None:
        reviewed = reviewed.where(is_in(Part.TRAIN, reviewed.host))
        is_beside = has_peers(reviewed.features)
        recorded, simulated = (
            join([recorded, reviewed.where(~is_beside)]),
            join([simulated, reviewed.where(is_beside)]),
        )
    trees = fit(recorded, simulated, seed=seed, recipe=recipe)
    alone, usual_level = alone_scale(subjects, folds=SCALE_FOLDS, seed=seed, recipe=recipe)
    scales = Scales(
        alone=alone, beside_peers=peers_scale(trees.beside_peers, scale_hosts(hosts)), usual_level=usual_level
    )
    facts = {
        "trained_on": [subject.name for subject in subjects],
        "simulated_windows": len(windows),  # 70 in 100 of their hosts to learn from
        "reviewed_minutes": len(reviewed) if reviewed is not None else 0,
        "seed": seed,
        "recipe": {**(recipe or Recipe()).parameters, "rounds": (recipe or Recipe()).rounds},
        "xgboost": xgboost.__version__,
    }
    _write(out, trees, scales, (recorded, simulated), facts)


def scale_hosts(count: int) -> list[tuple[Host, NDArray[np.float32]]]:
    """The last day of simulated hosts that no window is of."""
    found = []
    for index in track(range(count), "Hosts for the scale"):
        host = simulate_host(seed=SCALE_SEED, index=index, minutes=MINUTES).host
        since = int(host.minute[-1]) - DAY + 1
        features = features_of(host, since=since)
        part = host.minute >= since
        found.append((host.part(part), features[part]))
    return found


def kinds_called(model: Model, simulated: Rows) -> dict[str, dict[str, int]]:
    """Of windows of known incidents of the hosts that judge: how often each kind was called what."""
    rows = simulated.where(simulated.incident & is_in(Part.TEST, simulated.host))
    said = np.argmax(likely_kinds(model.predict(rows.features, is_quick=True).kinds, rows.features), axis=1)
    pairs = Counter((KINDS[truth].value, KINDS[called].value) for truth, called in zip(rows.kind, said, strict=True))
    truths = sorted({truth for truth, _ in pairs})
    return {
        truth: {called: count for (each, called), count in pairs.most_common() if each == truth} for truth in truths
    }


def _write(out: Path, trees: Trees, scales: Scales, rows: tuple[Rows, Rows], facts: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    contents = {
        name: bytes(booster.save_raw("ubj"))
        for name, booster in (
            (ALONE_FILE, trees.alone),
            (PEERS_FILE, trees.beside_peers),
            (KIND_FILE, trees.kind),
            (SEVERITY_FILE, trees.severity),
        )
    }
    for name, content in contents.items():
        (out / name).write_bytes(content)
    card = Card(
        version=version_of(contents.values()),
        feature_set_id=FEATURE_SET_ID,
        features=NAMES,
        kinds=tuple(KINDS),
        scales=scales,
        feature_quantiles=_quantiles(rows),
        facts=facts,
    )
    (out / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n")


def _quantiles(rows: tuple[Rows, Rows]) -> dict[str, tuple[float, ...]]:
    """Deciles of ordinary time, half of it recorded and half simulated."""
    found = {}
    ordinary = [part.features[~part.incident] for part in rows]
    least = min(map(len, ordinary))
    both = np.concatenate([part[:: len(part) // least] for part in ordinary])
    for place, name in enumerate(NAMES):
        known = both[np.isfinite(both[:, place]), place]
        if len(known):
            found[name] = tuple(round(float(value), 4) for value in np.quantile(known, DECILES))
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
