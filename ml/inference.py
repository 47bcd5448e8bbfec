"""What runs in SageMaker's managed XGBoost container: the trees' answer to feature vectors, as JSON.

`iops` is not in that container, so this file stands alone: the standard library, numpy and xgboost. The container calls
the four functions by their names (https://github.com/aws/sagemaker-inference-toolkit); what they raise reaches the
caller as a ModelError with the sentence in it. `iops.model.Model.predict` says the same of the same vectors.
"""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray

JSON: Final = "application/json"
ROWS_LIMIT: Final = 5_000  # such an answer has 4 MB, which is all that a serverless endpoint may send
PROBE_TOLERANCE: Final = 1e-4  # of a log-odds; another processor may add up in another order
BOOSTERS: Final = ("alone", "beside_peers", "kind", "severity")
PEERS: Final = "peer_standing"  # the feature that is null of a disk without peers
LARGEST: Final = float(np.finfo(np.float32).max)


class Trees(NamedTuple):
    """The unpacked model.tar.gz."""

    card: dict[str, Any]
    alone: xgboost.Booster
    beside_peers: xgboost.Booster
    kind: xgboost.Booster
    severity: xgboost.Booster


class Question(NamedTuple):
    """A request's body."""

    feature_set_id: str
    features: list[list[float | None]]


def model_fn(model_dir: str) -> Trees:
    """Loads what the container has unpacked; called once a worker.

    Another version of XGBoost may load the same file and say something else: 3.0.5 does so, without a word, with what
    3.2 has written. So the archive carries vectors with their answers, and a container that differs does not serve.
    """
    directory = Path(model_dir)
    card = json.loads((directory / "model_card.json").read_bytes())
    trees = Trees(card, *(_booster(directory / f"{name}.ubj") for name in BOOSTERS))
    probe = json.loads((directory / "probe.json").read_bytes())
    said = predict_fn(Question(card["feature_set_id"], probe["features"]), trees)
    for part in ("margin", "kinds", "severity", "contributions"):
        if not np.allclose(said[part], probe[part], rtol=0, atol=PROBE_TOLERANCE):
            raise RuntimeError(f"XGBoost {xgboost.__version__} reads another {part} from this model than its maker")
    return trees


def input_fn(body: str | bytes, content_type: str) -> Question:
    """Reads `{"feature_set_id": ..., "features": [[...]]}`; a feature is a number or null."""
    if content_type.partition(";")[0].strip() != JSON:
        raise ValueError(f"the body is {content_type!r}; only {JSON} is read")
    asked = json.loads(body, parse_constant=_refuse_constant)
    if not isinstance(asked, dict) or set(asked) != {"feature_set_id", "features"}:
        raise ValueError("the body is not an object of feature_set_id and features")
    rows = asked["features"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= ROWS_LIMIT:
        raise ValueError(f"features is not a list of 1 to {ROWS_LIMIT} rows")
    for place, row in enumerate(rows):
        if not isinstance(row, list) or not all(_is_feature(value) for value in row):
            raise ValueError(f"features[{place}] is not a list of numbers (of 32 bits) and nulls")
    return Question(str(asked["feature_set_id"]), rows)


def predict_fn(question: Question, trees: Trees) -> dict[str, Any]:
    """What the trees say of each row."""
    expected, names = trees.card["feature_set_id"], trees.card["features"]
    if question.feature_set_id != expected:
        raise ValueError(f"these are features {question.feature_set_id!r}; the model was made for {expected!r}")
    for place, row in enumerate(question.features):
        if len(row) != len(names):
            raise ValueError(f"features[{place}] has {len(row)} numbers; the model takes {len(names)}")
    matrix = np.array(question.features, dtype=np.float32)  # null becomes NaN
    beside = np.isfinite(matrix[:, names.index(PEERS)])
    contributions = np.empty((len(matrix), len(names) + 1), np.float32)
    for mask, booster in ((beside, trees.beside_peers), (~beside, trees.alone)):
        if mask.any():
            contributions[mask] = _predict(booster, matrix[mask], pred_contribs=True)
    return {
        "model_version": trees.card["version"],
        "feature_set_id": expected,
        "margin": contributions.sum(axis=1).tolist(),  # the last column is the bias
        "kinds": _predict(trees.kind, matrix).tolist(),
        "severity": _predict(trees.severity, matrix).tolist(),
        "contributions": contributions[:, :-1].tolist(),
    }


def output_fn(answer: dict[str, Any], accept: str) -> str:
    """The answer as JSON, whatever else the caller would take."""
    if not any(kind in accept for kind in (JSON, "application/*", "*/*")):
        raise ValueError(f"the caller accepts {accept!r}; only {JSON} is written")
    return json.dumps(answer, allow_nan=False)


def _booster(path: Path) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})  # the container runs a worker for each core
    booster.load_model(bytearray(path.read_bytes()))
    return booster


def _predict(booster: xgboost.Booster, matrix: NDArray[np.float32], **options: bool) -> NDArray[np.float32]:
    return booster.predict(xgboost.DMatrix(matrix, feature_names=booster.feature_names, nthread=1), **options)


def _is_feature(value: object) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) <= LARGEST)  # type: ignore[arg-type]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON; a feature that is not known is null")
