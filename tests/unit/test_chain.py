"""Which scorers there are, by the settings and by the files that are there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from iops.model import CARD_FILE, FILES, Model, UnfitModel
from iops.observability import Metrics
from iops.settings import ServiceSettings
from services.insights import chain as chain_module
from services.insights import sagemaker
from services.insights.chain import load_model, open_chain
from services.insights.scorers import Canary
from services.insights.settings import InsightsSettings
from services.insights.shadow import Shadow
from tests.unit.tiny_model import some_features, write_model

STREAMS = [f"web-1:sd{letter}" for letter in "abcde"]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "model")


def a_copy(model_dir: Path, to: Path, **card: Any) -> Path:
    """The model with another card."""
    for name in FILES:
        (to / name).write_bytes((model_dir / name).read_bytes())
    (to / CARD_FILE).write_text(json.dumps(json.loads((to / CARD_FILE).read_text()) | card))
    return to


def test_a_model_is_loaded_and_named(model_dir: Path) -> None:
    with capture_logs() as lines:
        model = load_model(model_dir)
    assert model is not None
    assert [(line["event"], line["version"]) for line in lines] == [("model_loaded", model.card.version)]


@pytest.mark.parametrize("missing", FILES)
def test_without_its_files_the_rules_score_alone_and_the_log_says_so(
    model_dir: Path, tmp_path: Path, missing: str
) -> None:
    (a_copy(model_dir, tmp_path) / missing).unlink()
    with capture_logs() as lines:
        assert load_model(tmp_path) is None
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("model_unfit", "error")
    assert missing in line["reason"]


@pytest.mark.parametrize("damaged", FILES)
def test_a_damaged_file_is_no_model(model_dir: Path, tmp_path: Path, damaged: str) -> None:
    path = a_copy(model_dir, tmp_path) / damaged
    path.write_bytes(path.read_bytes()[:100])  # of which XGBoost itself would die
    assert load_model(tmp_path) is None


def test_trees_of_another_card_are_no_model(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UnfitModel, match="its files are not those"):
        Model(a_copy(model_dir, tmp_path, version="0ther"))


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ({"feature_set_id": "00000000"}, "made for features 00000000"),
        ({"features": ["z_queue_depth"]}, "made for features"),
        ({"kinds": ["stall"]}, "other kinds"),
        ({"scales": {}}, "scales.alone"),
    ],
)
def test_a_model_of_something_else_is_refused(
    model_dir: Path, tmp_path: Path, card: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnfitModel, match=reason):
        Model(a_copy(model_dir, tmp_path, **card))


@pytest.mark.parametrize("is_shadow", [False, True])
async def test_without_the_setting_no_client_is_opened_whatever_the_flag_says(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, *, is_shadow: bool
) -> None:
    monkeypatch.setattr(chain_module, "open_sagemaker", None)
    settings = InsightsSettings(sagemaker_shadow=is_shadow)
    async with open_chain(settings, Model(model_dir), Metrics(), percent=lambda: 100) as scoring:
        scored = await scoring.chain.predict(STREAMS, np.abs(some_features(5)))
    assert isinstance(scoring.chain, Canary)
    assert scoring.why_no_endpoint() == "no endpoint is set"
    assert (set(scored.scored_by), set(scored.fell_back_from)) == ({"local"}, {"sagemaker: not_configured"})
    assert np.isfinite(scored.raw.margin).all()


@pytest.mark.parametrize(("is_shadow", "kind"), [(False, Canary), (True, Shadow)])
async def test_the_endpoint_of_the_setting_is_asked_for_the_flags_share_or_compared_with(
    model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_shadow: bool,
    kind: type,
) -> None:
    opened: list[tuple[str, str | None]] = []

    def recording(settings: ServiceSettings, *others: Any, endpoint: str, version: str | None) -> Any:
        opened.append((endpoint, version))
        return sagemaker.open_sagemaker(settings, *others, endpoint=endpoint, version=version)

    monkeypatch.setattr(chain_module, "open_sagemaker", recording)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    model = Model(model_dir)
    settings = InsightsSettings(
        sagemaker_endpoint="risk",
        sagemaker_shadow=is_shadow,
        aws_endpoint_url="http://127.0.0.1:9",
        aws_timeout_s=0.5,
    )
    percent = 0.0
    async with open_chain(settings, model, Metrics(), percent=lambda: percent) as scoring:
        before = await scoring.chain.predict(STREAMS, np.abs(some_features(5)))
        why = [scoring.why_no_endpoint()]
        percent = 100
        why.append(scoring.why_no_endpoint())
        scored = await scoring.chain.predict(STREAMS, np.abs(some_features(5)))

    shadowed = "it is only compared with (IOPS_SAGEMAKER_SHADOW)"
    assert why == ([shadowed, shadowed] if is_shadow else ["the flag sagemaker_percent is 0", None])
    assert isinstance(scoring.chain, kind)
    assert opened == [("risk", None if is_shadow else model.card.version)]
    assert set(before.fell_back_from) == {None}
    assert set(scored.scored_by) == {"local"}
    assert set(scored.fell_back_from) == ({None} if is_shadow else {"sagemaker: unreachable"})
