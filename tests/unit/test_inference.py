"""The container's script says what the trees here say, and refuses what it was not made for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iops.features import FEATURE_SET_ID, NAMES
from iops.model import Model
from ml import inference
from ml.archive import PROBE_FILE, make_probe
from ml.inference import Trees
from tests.unit.tiny_model import some_features, write_model

JSON = "application/json"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_model(tmp_path_factory.mktemp("model"))
    (directory / PROBE_FILE).write_bytes(make_probe(Model(directory)))
    return directory


@pytest.fixture(scope="module")
def trees(unpacked: Path) -> Trees:
    return inference.model_fn(str(unpacked))


def a_body(features: Any, feature_set_id: str = FEATURE_SET_ID) -> str:
    return json.dumps({"feature_set_id": feature_set_id, "features": features})


def ask(body: str | bytes, trees: Trees, *, content_type: str = JSON, accept: str = JSON) -> dict[str, Any]:
    """As the container calls it."""
    answer = inference.output_fn(inference.predict_fn(inference.input_fn(body, content_type), trees), accept)
    found: dict[str, Any] = json.loads(answer)
    return found


def test_the_script_says_what_the_model_says(unpacked: Path, trees: Trees) -> None:
    features = some_features(50, seed=2)
    rows = [[None if np.isnan(value) else value for value in row] for row in features.tolist()]

    said = ask(a_body(rows), trees)

    model = Model(unpacked)
    raw = model.predict(features)
    assert (said["model_version"], said["feature_set_id"]) == (model.card.version, FEATURE_SET_ID)
    for part in ("margin", "kinds", "severity", "contributions"):
        np.testing.assert_allclose(said[part], getattr(raw, part), rtol=0, atol=1e-6)


def test_bytes_and_a_charset_are_read_too(trees: Trees) -> None:
    said = ask(a_body([[1.0] * len(NAMES)]).encode(), trees, content_type=f"{JSON}; charset=utf-8", accept="*/*")
    assert len(said["margin"]) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (a_body([[1.0] * 25], "00000000"), f"these are features '00000000'; the model was made for '{FEATURE_SET_ID}'"),
        (a_body([[1.0] * 25, [1.0] * 24]), r"features\[1\] has 24 numbers; the model takes 25"),
        (a_body([]), "features is not a list of 1 to 5000 rows"),
        (a_body([[1.0] * 25] * 5_001), "features is not a list of 1 to 5000 rows"),
        (a_body([["1"] * 25]), r"features\[0\] is not a list of numbers"),
        (a_body([[True] * 25]), r"features\[0\] is not a list of numbers"),
        (a_body([[1e39] * 25]), r"features\[0\] is not a list of numbers"),
        (a_body([[float("nan")] * 25]), "NaN is not a number in JSON"),
        (a_body(3), "features is not a list"),
        ("[]", "not an object of feature_set_id and features"),
        ('{"features": []}', "not an object of feature_set_id and features"),
        ("1,2,3", "Extra data"),
    ],
)
def test_what_is_not_of_these_features_is_refused_with_the_reason(body: str, complaint: str, trees: Trees) -> None:
    with pytest.raises(ValueError, match=complaint):
        ask(body, trees)


def test_only_json_is_read_and_written(trees: Trees) -> None:
    body = a_body([[1.0] * 25])
    with pytest.raises(ValueError, match="the body is 'text/csv'"):
        ask(body, trees, content_type="text/csv")
    with pytest.raises(ValueError, match="the caller accepts 'text/csv'"):
        ask(body, trees, accept="text/csv")


def test_a_container_that_reads_other_numbers_from_the_model_does_not_serve(unpacked: Path, tmp_path: Path) -> None:
    for file in unpacked.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    probe = json.loads((tmp_path / PROBE_FILE).read_bytes())
    probe["severity"][3] += 0.01
    (tmp_path / PROBE_FILE).write_text(json.dumps(probe))

    with pytest.raises(RuntimeError, match=r"XGBoost \S+ reads another severity from this model than its maker"):
        inference.model_fn(str(tmp_path))
