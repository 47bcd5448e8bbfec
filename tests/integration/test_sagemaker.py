"""SageMaker as far as it can be had here: its API by moto, its container by the script run as the container runs it."""

import importlib.util
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bench.processes import environment, free_port, url_of
from iops import contract
from iops.features import NAMES
from iops.model import Model
from iops.observability import Metrics
from iops.settings import ServiceSettings
from local.supervisor import Child, Supervisor
from ml import tuning_job, tuning_script
from ml.archive import pack_model
from ml.deploy import deploy, open_cloud
from ml.endpoint import Cloud
from ml.image import xgboost_image
from ml.tuning_job import Order, TuningFailed
from services.insights.sagemaker import open_sagemaker, read_answer, write_question
from services.insights.scorers import Canary, LocalScorer, ScorerUnavailable
from services.insights.shadow import Shadow
from tests.integration.stand_ins import wait_until
from tests.unit.tiny_model import some_features, write_model

ROLE: Final = "arn:aws:iam::123456789012:role/sagemaker"
BUCKET: Final = "iops-dashboard-models"
MODELS: Final = Path(__file__).parents[2] / "ml" / "model"

# As the container: it imports what lies in code/, loads the model once, and calls input_fn, predict_fn and output_fn.
CONTAINER: Final = """
import importlib, sys
for name in ("iops", "ml", "services", "pydantic"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1] + "/code")
script = importlib.import_module("inference")
model = script.model_fn(sys.argv[1])
for line in sys.stdin:
    asked = script.input_fn(line, "application/json")
    print(script.output_fn(script.predict_fn(asked, model), "application/json"), flush=True)
"""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that is committed, or where there is none yet, a tiny one."""
    if (MODELS / "model_card.json").exists():
        return MODELS
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed: make setup")
    with Supervisor(tmp_path_factory.mktemp("moto")) as supervisor:
        port = free_port()
        command = (sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port))
        supervisor.start(Child("moto", command, environment(), ready_url=f"{url_of(port)}/moto-api/"))
        yield url_of(port)


@pytest.fixture
def cloud(moto: str) -> Cloud:
    httpx.post(f"{moto}/moto-api/reset")
    opened = open_cloud("us-east-1", moto)
    opened.s3.create_bucket(Bucket=BUCKET)
    return opened


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(deploy)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def let_answer(moto: str, *bodies: str) -> None:
    """What moto's endpoints answer to one question after the other; the same question gets the same answer."""
    around = {"ContentType": "application/json", "InvokedProductionVariant": "all", "CustomAttributes": ""}
    results = [{"Body": body, **around} for body in bodies]
    httpx.post(f"{moto}/moto-api/static/sagemaker/endpoint-results", json={"results": results}).raise_for_status()


def unpack(content: bytes, directory: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def in_container(unpacked: Path, question: bytes) -> "subprocess.CompletedProcess[str]":
    """One request to the script, in a process where nothing of ours can be imported."""
    command = [sys.executable, "-I", "-c", CONTAINER, str(unpacked)]
    return subprocess.run(
        command, input=question.decode(), capture_output=True, text=True, timeout=60, cwd=unpacked, check=False
    )


def test_the_container_says_what_the_model_says(model_dir: Path, tmp_path: Path) -> None:
    features = some_features(60, seed=3)
    unpacked = unpack(pack_model(model_dir).content, tmp_path)

    done = in_container(unpacked, write_question(features))

    assert done.returncode == 0, done.stderr
    model = Model(model_dir)
    said, raw = read_answer(done.stdout.encode(), 60, version=model.card.version), model.predict(features)
    for part in raw.__slots__:
        np.testing.assert_allclose(getattr(said, part), getattr(raw, part), rtol=0, atol=1e-6)


def test_the_container_refuses_other_features(model_dir: Path, tmp_path: Path) -> None:
    unpacked = unpack(pack_model(model_dir).content, tmp_path)
    question = json.dumps({"feature_set_id": "00000000", "features": [[0.0] * len(NAMES)]})
    done = in_container(unpacked, question.encode())
    assert done.returncode != 0
    assert "these are features '00000000'; the model was made for" in done.stderr


def test_an_endpoint_is_made_and_taken_away(cloud: Cloud, moto: str, model_dir: Path) -> None:
    given = ("--model", str(model_dir), "--bucket", BUCKET, "--role-arn", ROLE, "--aws-endpoint-url", moto)
    for _ in range(2):  # the second time changes nothing
        code, said = run(*given)
        assert code == 0, said
        assert said.splitlines()[-1].startswith(f"{contract.RISK_ENDPOINT} serves model ")

    served = cloud.sagemaker.describe_endpoint(EndpointName=contract.RISK_ENDPOINT)
    config = cloud.sagemaker.describe_endpoint_config(EndpointConfigName=served["EndpointConfigName"])
    (variant,) = config["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    container = cloud.sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    assert container["Image"] == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    key = container["ModelDataUrl"].removeprefix(f"s3://{BUCKET}/")
    assert cloud.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == pack_model(model_dir).content

    code, said = run("--delete", "--aws-endpoint-url", moto)
    assert (code, len(said.splitlines())) == (0, 3)
    for call, name in (("endpoints", "Endpoints"), ("endpoint_configs", "EndpointConfigs"), ("models", "Models")):
        assert getattr(cloud.sagemaker, f"list_{call}")()[name] == []
    assert run("--delete", "--aws-endpoint-url", moto) == (0, "")


def test_a_real_time_endpoint_scales_between_1_and_3(cloud: Cloud, moto: str, model_dir: Path) -> None:
    given = ("--model", str(model_dir), "--bucket", BUCKET, "--role-arn", ROLE, "--aws-endpoint-url", moto)
    code, said = run(*given, "--real-time")
    assert code == 0, said
    (target,) = cloud.autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    (policy,) = cloud.autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 2_500
    (variant,) = cloud.sagemaker.describe_endpoint(EndpointName=contract.RISK_ENDPOINT)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 1

    assert run("--delete", "--aws-endpoint-url", moto)[0] == 0
    assert cloud.autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


def test_a_bucket_that_is_not_there_is_told(cloud: Cloud, moto: str, model_dir: Path) -> None:
    given = ("--model", str(model_dir), "--bucket", "nobodys", "--role-arn", ROLE, "--aws-endpoint-url", moto)
    code, said = run(*given)
    assert code == 1
    assert "NoSuchBucket" in said


def test_the_search_is_taken_as_a_tuning_job(cloud: Cloud) -> None:
    search = {"max_depth": (2, 6, False, True), "eta": (0.02, 0.3, True, False)}
    order = Order(search, {"rounds": 120, "folds": 5}, 50, xgboost_image("us-east-1"), ROLE, BUCKET)
    ours = tuning_job.Cloud(cloud.s3, cloud.sagemaker)

    name = tuning_job.submit(order, b"rows", ours)
    assert tuning_job.submit(order, b"rows", ours) == name

    job: dict[str, Any] = cloud.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 50
    assert cloud.s3.get_object(Bucket=BUCKET, Key=f"tuning/{name}/rows/rows.npz")["Body"].read() == b"rows"
    # moto's best candidate is of a search that nobody asked for, and that is not believed.
    with pytest.raises(TuningFailed, match=r"searched \['string'\], not \['eta', 'max_depth'\]"):
        tuning_job.wait_for_best(name, search, ours, deadline_s=60)


def test_the_search_runs_as_the_container_runs_it(tmp_path: Path) -> None:
    features = some_features(400)
    incident = np.nan_to_num(features[:, 0]) > 1
    host = np.array([f"host-{number % 4}" for number in range(400)])
    everywhere = np.ones(400)
    rows = tuning_job.write_rows(features, incident, weight=everywhere, host=host, is_judged=everywhere > 0)
    (tmp_path / tuning_script.ROWS_FILE).write_bytes(rows)

    given = "--max_depth 2 --eta 0.3 --rounds 10 --folds 2 --nthread 1 --_tuning_objective_metric auc_pr"
    command = [sys.executable, "-I", str(tuning_job.SCRIPT), *given.split()]
    done = subprocess.run(
        command, env={"SM_CHANNEL_TRAIN": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=True
    )

    found = re.search(tuning_job.METRIC_REGEX, done.stdout)
    assert found is not None
    assert 0.9 < float(found[1]) <= 1


async def test_a_service_asks_the_endpoint(moto: str, cloud: Cloud, model_dir: Path, tmp_path: Path) -> None:
    """The service's own client over HTTP; what moto answers with is what the container has said."""
    model, features = Model(model_dir), some_features(12, seed=4)
    done = in_container(unpack(pack_model(model_dir).content, tmp_path), write_question(features))
    let_answer(moto, done.stdout, "<html>")
    streams = [f"web-1:nvme{number}n1" for number in range(12)]
    metrics = Metrics()
    settings = ServiceSettings(aws_endpoint_url=moto)
    async with open_sagemaker(
        settings, metrics, lambda: 0.0, endpoint=contract.RISK_ENDPOINT, version=model.card.version
    ) as remote:
        scored = await Canary(LocalScorer(model), remote, lambda: 100, metrics).predict(streams, features)
        assert scored.scored_by == ("sagemaker",) * 12
        np.testing.assert_allclose(scored.raw.margin, model.predict(features).margin, rtol=0, atol=1e-6)

        async with Shadow(LocalScorer(model), remote, lambda: 100, metrics) as shadow:
            assert (await shadow.predict(streams, features)).scored_by == ("local",) * 12
            await wait_until(lambda: metrics.registry.get_sample_value("iops_shadow_compared_total") == 12)
        assert metrics.registry.get_sample_value("iops_shadow_margin_difference_bucket", {"le": "1e-05"}) == 12

        with pytest.raises(ScorerUnavailable, match="garbled"):
            await remote.predict(features[:5])
