"""Flags, bucket and endpoint, as they are declared."""

from pathlib import Path
from typing import Any

import pytest

from infra.bucket import Bucket
from infra.config import BadConfig, Config
from infra.endpoint import IMAGE_TAG, PROGRAM, PROGRAM_DIRECTORY, VARIANT, Endpoint
from infra.flags import Flags
from iops import flags
from ml import archive, endpoint, image
from tests.infra.declared import ACCOUNT, REGION, Stack, declare

ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"


def test_the_first_flags_are_the_services_defaults() -> None:
    parameter = declare(lambda: Flags(Config()).parameter_arn).one("aws:ssm/parameter:Parameter")

    assert parameter.inputs["name"] == "/iops-dashboard/flags"
    assert parameter.json("insecureValue") == flags.Flags().model_dump()


def test_what_operators_set_is_never_set_back() -> None:
    parameter = declare(lambda: Flags(Config()).parameter_arn).one("aws:ssm/parameter:Parameter")

    assert set(parameter.ignored_changes) == {"value", "insecureValue"}


@pytest.fixture(scope="module")
def bucket() -> Stack:
    return declare(lambda: Bucket(Config(environment="prod")).name)


def test_the_bucket_is_private_encrypted_and_versioned(bucket: Stack) -> None:
    private = bucket.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    encrypted = bucket.one(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    ).inputs
    versioned = bucket.one("aws:s3/bucketVersioning:BucketVersioning").inputs

    assert [private[name] for name in private if name != "bucket"] == [True] * 4
    assert encrypted["rules"] == [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]
    assert versioned["versioningConfiguration"] == {"status": "Enabled"}
    assert bucket.result == f"iops-dashboard-prod-{ACCOUNT}-{REGION}"


def test_the_bucket_talks_tls_only(bucket: Stack) -> None:
    (statement,) = bucket.one("aws:s3/bucketPolicy:BucketPolicy").json("policy")["Statement"]

    arn = f"arn:aws:s3:::{bucket.result}"
    assert (statement["Effect"], statement["Resource"]) == ("Deny", [arn, f"{arn}/*"])
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_exports_end_and_models_stay(bucket: Stack) -> None:
    rules = bucket.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration").inputs["rules"]

    assert [(rule["filter"]["prefix"], rule["expiration"]["days"]) for rule in rules if "expiration" in rule] == [
        ("exports/", 90)
    ]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"a model")
    return path


def served(mode: Any, packed: Path) -> Stack:
    config = Config(sagemaker=mode)
    return declare(lambda: Endpoint(config, Bucket(config), archive=packed).name)


def test_without_the_flag_there_is_no_endpoint(packed: Path) -> None:
    stack = served("off", packed)

    assert stack.result is None
    assert [each.type for each in stack.resources if "sagemaker" in each.type] == []


def test_serverless_is_one_variant_that_scales_to_nothing(packed: Path) -> None:
    stack = served("serverless", packed)
    (variant,) = stack.one(CONFIGURATION).inputs["productionVariants"]

    assert stack.result == "iops-dashboard-risk"
    assert variant["serverlessConfig"] == {"memorySizeInMb": 2048, "maxConcurrency": 5}
    assert stack.all("aws:appautoscaling/target:Target") == []


def test_real_time_has_one_to_three_instances(packed: Path) -> None:
    stack = served("real-time", packed)
    (variant,) = stack.one(CONFIGURATION).inputs["productionVariants"]
    target = stack.one("aws:appautoscaling/target:Target").inputs

    assert (variant["instanceType"], variant["initialInstanceCount"]) == ("ml.m5.large", 1)
    assert (target["minCapacity"], target["maxCapacity"]) == (1, 3)
    assert target["resourceId"] == "endpoint/iops-dashboard-risk/variant/all"


def test_a_model_lies_under_the_name_of_its_content(packed: Path) -> None:
    stack = served("serverless", packed)

    assert stack.one("aws:s3/bucketObjectv2:BucketObjectv2").inputs["key"] == "models/97ff8a35544d/model.tar.gz"


def test_model_and_configuration_have_no_name_that_ml_deploy_takes_away(packed: Path) -> None:
    stack = served("serverless", packed)

    assert "name" not in stack.one("aws:sagemaker/model:Model").inputs  # Pulumi adds seven characters, ml deploy twelve
    assert "name" not in stack.one(CONFIGURATION).inputs


def test_an_archive_that_nobody_made_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="python -m ml pack"):
        served("serverless", tmp_path / "model.tar.gz")


def test_both_ways_to_an_endpoint_agree() -> None:
    assert (VARIANT, IMAGE_TAG) == (endpoint.VARIANT, image.TAG)
    assert (archive.SCRIPT.name, f"/opt/ml/model/{archive.SCRIPT_DIRECTORY}") == (PROGRAM, PROGRAM_DIRECTORY)
