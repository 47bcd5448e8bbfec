"""An endpoint is made, changed and taken away; what is there already is left alone, and a failure says why."""

import io
import re
import tarfile
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from iops.model import Model
from ml import endpoint
from ml.archive import Archive, pack, pack_model
from ml.deploy import deploy
from ml.endpoint import Cloud, DeployFailed, Plan, RealTime, Serverless
from ml.image import UnknownRegion, xgboost_image
from tests.unit.fakes import aws_error
from tests.unit.tiny_model import write_model

ROLE = "arn:aws:iam::000000000000:role/sagemaker"


class FakeSageMaker:
    """SageMaker's control plane; an endpoint takes two looks to settle, in what `outcomes` says (else InService)."""

    def __init__(self) -> None:
        self.models: dict[str, Any] = {}
        self.configs: dict[str, Any] = {}
        self.endpoint: dict[str, Any] | None = None
        self.outcomes: deque[str] = deque()
        self.calls: list[str] = []
        self._looks = 0

    def describe_model(self, *, ModelName: str) -> Any:  # noqa: N803
        return self._found(self.models, ModelName)

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> Any:  # noqa: N803
        return self._found(self.configs, EndpointConfigName)

    def create_model(self, **model: Any) -> None:
        self.calls.append("create_model")
        self.models[model["ModelName"]] = model

    def create_endpoint_config(self, **config: Any) -> None:
        self.calls.append("create_endpoint_config")
        self.configs[config["EndpointConfigName"]] = config

    def create_endpoint(self, *, EndpointName: str, EndpointConfigName: str, Tags: Any) -> None:  # noqa: N803
        self.calls.append("create_endpoint")
        self._begin(EndpointName, EndpointConfigName, "Creating")

    def update_endpoint(self, *, EndpointName: str, EndpointConfigName: str) -> None:  # noqa: N803
        self.calls.append("update_endpoint")
        self._begin(EndpointName, EndpointConfigName, "Updating")

    def describe_endpoint(self, *, EndpointName: str) -> Any:  # noqa: N803
        if self.endpoint is None:
            raise self._missing(EndpointName)
        self._looks += 1
        if self._looks > 2:
            outcome = self.outcomes.popleft() if self.outcomes else "InService"
            if self.endpoint["EndpointStatus"] != "InService":
                self.endpoint["EndpointStatus"] = outcome
        return dict(self.endpoint)

    def _begin(self, name: str, config: str, status: str) -> None:
        self._looks = 0
        self.endpoint = {"EndpointName": name, "EndpointConfigName": config, "EndpointStatus": status}

    def _found(self, known: dict[str, Any], name: str) -> Any:
        if name not in known:
            raise self._missing(name)
        return known[name]

    @staticmethod
    def _missing(name: str) -> Exception:
        error = aws_error("ValidationException")
        error.response["Error"]["Message"] = f'Could not find "{name}".'
        return error


class FakeS3:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def head_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        if f"{Bucket}/{Key}" not in self.objects:
            raise aws_error("404", status=404)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[f"{Bucket}/{Key}"] = Body


class FakeScaling:
    def __init__(self) -> None:
        self.targets: dict[str, Any] = {}
        self.policies: list[Any] = []

    def describe_scalable_targets(self, *, ServiceNamespace: str, ResourceIds: list[str]) -> Any:  # noqa: N803
        return {"ScalableTargets": [self.targets[key] for key in ResourceIds if key in self.targets]}

    def register_scalable_target(self, **target: Any) -> None:
        self.targets[target["ResourceId"]] = target

    def deregister_scalable_target(self, **target: Any) -> None:
        del self.targets[target["ResourceId"]]

    def put_scaling_policy(self, **policy: Any) -> None:
        self.policies.append(policy)


class FakeCloud:
    """The three, and a clock that goes on only by sleeping."""

    def __init__(self) -> None:
        self.s3, self.sagemaker, self.scaling, self.at_s = FakeS3(), FakeSageMaker(), FakeScaling(), 0.0
        self.cloud = Cloud(self.s3, self.sagemaker, self.scaling, sleep=self._sleep, now_s=lambda: self.at_s)

    def _sleep(self, seconds: float) -> None:
        self.at_s += seconds


def a_plan(content: bytes = b"trees", capacity: Serverless | RealTime | None = None) -> Plan:
    return Plan("risk", Archive("v1", content), "image:3.2-0", ROLE, "bucket", capacity or Serverless())


def apply(plan: Plan, fake: FakeCloud, *, deadline_s: float = 600) -> None:
    endpoint.apply(plan, fake.cloud, deadline_s=deadline_s)


def test_a_model_is_uploaded_and_served() -> None:
    fake = FakeCloud()
    apply(a_plan(), fake)

    assert fake.sagemaker.calls == ["create_model", "create_endpoint_config", "create_endpoint"]
    ((key, content),) = fake.s3.objects.items()
    assert re.fullmatch(r"bucket/models/v1-[0-9a-f]{12}/model\.tar\.gz", key)
    assert content == b"trees"
    (model,) = fake.sagemaker.models.values()
    assert model["PrimaryContainer"] == {
        "Image": "image:3.2-0",
        "ModelDataUrl": f"s3://{key}",
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        },
    }
    (config,) = fake.sagemaker.configs.values()
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert fake.at_s == 20  # two looks, 10 s apart


def test_the_same_again_changes_nothing() -> None:
    fake = FakeCloud()
    apply(a_plan(), fake)
    fake.sagemaker.calls.clear()
    apply(a_plan(), fake)
    assert fake.sagemaker.calls == []


def test_another_model_takes_over_the_endpoint() -> None:
    fake = FakeCloud()
    apply(a_plan(), fake)
    fake.sagemaker.calls.clear()
    apply(a_plan(b"other trees"), fake)
    assert fake.sagemaker.calls == ["create_model", "create_endpoint_config", "update_endpoint"]
    assert len(fake.s3.objects) == 2


def test_real_time_scales_from_1_to_3_and_stops_doing_so_when_serverless_again() -> None:
    fake = FakeCloud()
    apply(a_plan(capacity=RealTime()), fake)
    (target,) = fake.scaling.targets.values()
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == ("endpoint/risk/variant/all", 1, 3)
    (policy,) = fake.scaling.policies
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 2_500

    apply(a_plan(), fake)
    assert fake.scaling.targets == {}
    assert fake.sagemaker.calls[-1] == "update_endpoint"


def test_an_endpoint_that_fails_is_told_with_its_reason() -> None:
    fake = FakeCloud()
    fake.sagemaker.outcomes.append("Failed")
    with pytest.raises(DeployFailed, match=r"risk is Failed \(no reason given\)"):
        apply(a_plan(), fake)
    fake.sagemaker.outcomes.extend(["Failed"] * 9)
    with pytest.raises(DeployFailed, match=r"risk is Failed .*; take it away with --delete first"):
        apply(a_plan(), fake)


def test_an_update_that_was_rolled_back_is_a_failure() -> None:
    fake = FakeCloud()
    apply(a_plan(), fake)
    old = fake.sagemaker.endpoint
    assert old is not None
    config = old["EndpointConfigName"]
    fake.sagemaker.update_endpoint = lambda **_: fake.sagemaker._begin("risk", config, "RollingBack")  # type: ignore[method-assign]
    with pytest.raises(DeployFailed, match=f"risk went back to {config}"):
        apply(a_plan(b"other trees"), fake)


def test_the_deadline_ends_the_waiting() -> None:
    fake = FakeCloud()
    fake.sagemaker.outcomes.extend(["Creating"] * 999)
    with pytest.raises(DeployFailed, match=r"risk is Creating .* still, at the deadline"):
        apply(a_plan(), fake, deadline_s=60)
    assert fake.at_s == 60


def test_an_archive_depends_on_names_and_contents_only() -> None:
    assert pack({"b": b"2", "a": b"1"}) == pack({"a": b"1", "b": b"2"})
    with tarfile.open(fileobj=io.BytesIO(pack({"code/x.py": b"1"}))) as archive:
        (entry,) = archive.getmembers()
    assert (entry.name, entry.mtime, entry.uid, entry.mode) == ("code/x.py", 0, 0, 0o644)


def test_a_model_is_packed_with_its_script_and_its_probe(tmp_path: Path) -> None:
    archive = pack_model(write_model(tmp_path))
    assert archive == pack_model(tmp_path)
    assert archive.model_version == Model(tmp_path).card.version
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as unpacked:
        names = unpacked.getnames()
    assert names == [
        "alone.ubj",
        "beside_peers.ubj",
        "code/inference.py",
        "kind.ubj",
        "model_card.json",
        "probe.json",
        "severity.ubj",
    ]


def test_the_registry_of_an_unknown_region_is_not_guessed() -> None:
    assert xgboost_image("us-east-1") == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    with pytest.raises(UnknownRegion, match="give --image-uri"):
        xgboost_image("mars-north-1")


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(deploy)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_a_dry_run_says_what_would_be(tmp_path: Path) -> None:
    write_model(tmp_path)
    given = ("--model", str(tmp_path), "--bucket", "b", "--role-arn", ROLE, "--dry-run")
    code, said = run(*given, "--real-time")
    assert code == 0
    assert f"model {Model(tmp_path).card.version}" in said
    assert "endpoint iops-dashboard-risk" in said
    assert "capacity RealTime(instance_type='ml.m5.large', min_instances=1, max_instances=3)" in said
    assert run("--delete", "--dry-run") == (
        0,
        "would take away iops-dashboard-risk, its configurations and its models\n",
    )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    given = ("--bucket", "b", "--role-arn", ROLE, "--dry-run")
    code, said = run("--model", str(tmp_path / "none"), *given)
    assert (code, "none" in said) == (1, True)
    assert run("--dry-run")[0] == 2
    assert run(*given, "--memory-mb", "1500")[0] == 2
