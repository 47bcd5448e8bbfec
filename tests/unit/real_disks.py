"""A small model and small files of real disks' shape, for the steps that score and judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost

from iops.features import FEATURE_SET_ID, NAMES
from iops.model import ALONE_FILE, BOOSTER_FILES, CARD_FILE, KIND_FILE, PEERS_FILE, SEVERITY_FILE, Card, version_of
from iops.risk import KINDS, Scale, Scales
from ml import smd

SCALE = Scale(slope=1.0, intercept=-3.0, knots=((-10.0, 0.0), (3.0, 60.0), (6.0, 80.0), (20.0, 100.0)))


def write_model(folder: Path, **facts: Any) -> Path:
    """A model that looks at z of await and at the standing beside peers."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    features = rng.normal(0, 5, (300, len(NAMES))).astype(np.float32)
    told = features[:, NAMES.index("z_await_ms")] + features[:, NAMES.index("peer_standing")] > 5
    data = xgboost.DMatrix(features, told)
    usual = {"max_depth": 2, "nthread": 1, "seed": 0}
    boosters = {
        ALONE_FILE: xgboost.train({**usual, "objective": "binary:logistic"}, data, 5),
        PEERS_FILE: xgboost.train({**usual, "objective": "binary:logistic"}, data, 5),
        KIND_FILE: xgboost.train(
            {**usual, "objective": "multi:softprob", "num_class": len(KINDS)},
            xgboost.DMatrix(features, np.arange(300) % len(KINDS)),
            1,
        ),
        SEVERITY_FILE: xgboost.train(usual, data, 1),
    }
    for name, booster in boosters.items():
        (folder / name).write_bytes(booster.save_raw("ubj"))
    card = Card(
        version=version_of((folder / name).read_bytes() for name in BOOSTER_FILES),
        feature_set_id=FEATURE_SET_ID,
        features=NAMES,
        kinds=tuple(KINDS),
        scales=Scales(alone=SCALE, beside_peers=SCALE, usual_level=0.0),
        feature_quantiles={},
        facts=facts,
    )
    (folder / CARD_FILE).write_text(card.model_dump_json())
    return folder


def write_machines(folder: Path, *names: str, minutes: int = 500, is_labelled: bool = True) -> Path:
    """Machines of which the second half is for judging; everything is three times as high in minutes 430-439."""
    tables = []
    for seed, name in enumerate(names):
        values = np.random.default_rng(seed).lognormal(0, 0.2, (500, 8))
        values[430:440] *= 3
        blamed = np.where(np.arange(500) < 250, -1, (np.arange(500) // 10 == 43).astype(int))
        columns = {
            "machine": [name] * 500,
            "minute": np.arange(500),
            "half": ["train"] * 250 + ["test"] * 250,
            **dict(zip(smd.COLUMNS, values.T, strict=True)),
        }
        labels = {"label": blamed, "disk_blamed": blamed, "event": np.maximum(blamed, 0)}
        tables.append(pa.table({**columns, **(labels if is_labelled else {})}).slice(0, minutes))
    (folder / "smd").mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), folder / "smd/smd_disk_small.parquet")
    return folder


def write_drives(folder: Path, *, minutes: int = 200, is_labelled: bool = True) -> Path:
    """Two hosts of five drives; the third of each is twice as slow as the others."""
    (folder / "failslow").mkdir(parents=True)
    tables, labels = [], ["host,disk,workload,fail_slow"]
    for seed, host in enumerate(("cluster_A/h1", "cluster_B/h2")):
        for drive in range(5):
            rng = np.random.default_rng(10 * seed + drive)
            columns = {
                "host": [host] * 200,
                "disk": [f"disk{drive}"] * 200,
                "minute": 27_000_000 + np.arange(200),
                "lat_mean": rng.lognormal(drive == 2 and 0.7, 0.05, 200),
                "thr_mean": rng.lognormal(10, 0.05, 200),
            }
            tables.append(pa.table(columns).slice(0, minutes))
            labels.append(f"{host},disk{drive},log,{int(drive == 2)}")
    pq.write_table(pa.concat_tables(tables), folder / "failslow/failslow_1min_small.parquet")
    if is_labelled:
        (folder / "failslow/failslow_labels_small.csv").write_text("\n".join(labels))
    return folder
