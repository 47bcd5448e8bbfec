"""A model of a few trees, made in a moment: for what packs, ships, loads and asks models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from iops.features import FEATURE_SET_ID, NAMES
from iops.model import ALONE_FILE, CARD_FILE, FILES, KIND_FILE, PEERS_FILE, SEVERITY_FILE, version_of
from iops.risk import KINDS

VERSION = "0a1b2c3d4e5f"


def some_features(disks: int, *, seed: int = 1) -> NDArray[np.float32]:
    """[disk, feature], a fifth of it unknown."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(disks, len(NAMES))).astype(np.float32)
    for name in NAMES:
        if name.startswith("mean_"):  # a mean of what is never below 0
            features[:, NAMES.index(name)] = np.abs(features[:, NAMES.index(name)])
    features[rng.random(features.shape) < 0.2] = np.nan
    return features


def write_model(directory: Path) -> Path:
    """The files of a model in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    features = some_features(400)
    is_incident = np.nan_to_num(features[:, 0]) > 0.5
    fits: dict[str, tuple[dict[str, Any], Any]] = {
        ALONE_FILE: ({"objective": "binary:logistic", "num_parallel_tree": 2}, is_incident),
        PEERS_FILE: ({"objective": "binary:logistic", "num_parallel_tree": 2}, np.nan_to_num(features[:, 2]) > 0.5),
        KIND_FILE: ({"objective": "multi:softprob", "num_class": len(KINDS)}, np.arange(400) % len(KINDS)),
        SEVERITY_FILE: ({"objective": "reg:absoluteerror"}, np.nan_to_num(features[:, 1])),
    }
    for name, (parameters, label) in fits.items():
        data = xgboost.DMatrix(features, label, feature_names=list(NAMES), nthread=1)  # as `ml train` names them
        xgboost.train({"max_depth": 3, "nthread": 1, **parameters}, data, 5).save_model(directory / name)
    version = version_of((directory / name).read_bytes() for name in FILES if name != CARD_FILE)
    (directory / CARD_FILE).write_text(json.dumps(a_card(version=version)))
    return directory


def a_card(**fields: Any) -> dict[str, Any]:
    """What model_card.json says."""
    scale = {"slope": 1.0, "intercept": 0.0, "knots": [[0, 0], [1, 100]]}
    card = {
        "version": VERSION,
        "feature_set_id": FEATURE_SET_ID,
        "features": NAMES,
        "kinds": [str(kind) for kind in KINDS],
        "scales": {"alone": scale, "beside_peers": scale, "usual_level": 0.0},
        "feature_quantiles": {},
    }
    return card | fields
