"""The search of `ml tune` as a SageMaker hyper-parameter tuning job: submit it, wait, read back the best candidate.

Script mode, not the built-in algorithm: that one judges by rows, and here a candidate is judged by hosts it never saw.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from botocore.exceptions import ClientError
from numpy.typing import NDArray

from ml.archive import pack
from ml.endpoint import TAGS
from ml.tuning_script import METRIC, ROWS_FILE

Search = Mapping[str, tuple[float, float, bool, bool]]  # name: low, high, is_log, is_int
Parameters = dict[str, float | int]

JOB_NAME: Final = "iops-risk"  # at most 32 characters with what follows
INSTANCE_TYPE: Final = "ml.m5.xlarge"  # $0.23 an hour
AT_ONCE: Final = 5  # candidates; more at once is sooner, but the search learns less from each
CANDIDATE_LIMIT_S: Final = 3_600
POLL_S: Final = 30.0
METRIC_REGEX: Final = f"{METRIC}=([0-9.]+)"  # found in the log of a candidate
SCRIPT: Final = Path(__file__).with_name("tuning_script.py")
PASSING: Final = frozenset({"InProgress", "Stopping", "Deleting"})


class TuningFailed(Exception):
    """A search without a result, and why."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is searched, and with what."""

    search: Search
    fixed: Mapping[str, float | int | str]  # parameters that all candidates share; `folds`, `rounds` if not searched
    trials: int
    image_uri: str
    role_arn: str
    bucket: str
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Best:
    """The best candidate."""

    parameters: Parameters
    auc_pr: float
    training_job: str


@dataclass(frozen=True, slots=True)
class Cloud:
    """The clients, and how time passes."""

    s3: Any
    sagemaker: Any
    sleep: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic


def write_rows(
    features: NDArray[np.float32],
    incident: NDArray[np.bool_],
    *,
    weight: NDArray[np.float64],
    host: NDArray[np.str_],
    is_judged: NDArray[np.bool_],
) -> bytes:
    """Rows as the script reads them. Those of judged hosts are split by host; others (simulated) are trained on only.

    A weight of 0 is of a row that is judged and never trained on.
    """
    file = io.BytesIO()
    np.savez_compressed(
        file, features=features, incident=incident, weight=weight, host=host.astype(np.str_), is_judged=is_judged
    )
    return file.getvalue()


def submit(order: Order, rows: bytes, cloud: Cloud) -> str:
    """Begins the search and returns its name; the same order on the same rows is the same job, begun once."""
    script = pack({SCRIPT.name: SCRIPT.read_bytes()})
    name = f"{JOB_NAME}-{hashlib.sha256(repr(order).encode() + rows + script).hexdigest()[:12]}"
    prefix = f"tuning/{name}"
    cloud.s3.put_object(Bucket=order.bucket, Key=f"{prefix}/rows/{ROWS_FILE}", Body=rows)
    cloud.s3.put_object(Bucket=order.bucket, Key=f"{prefix}/sourcedir.tar.gz", Body=script)
    try:
        cloud.sagemaker.create_hyper_parameter_tuning_job(**_request(order, name, f"s3://{order.bucket}/{prefix}"))
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ResourceInUse", "ResourceInUseException"}:
            raise
    return name


def wait_for_best(name: str, search: Search, cloud: Cloud, *, deadline_s: float) -> Best:
    """The best candidate once the search is over. Raises TuningFailed."""
    until_s = cloud.now_s() + deadline_s
    while True:
        job = cloud.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        status = job["HyperParameterTuningJobStatus"]
        if status not in PASSING:
            break
        if cloud.now_s() >= until_s:
            raise TuningFailed(f"{name} is {status} still, at the deadline; ask again later")
        cloud.sleep(POLL_S)
    if status not in {"Completed", "Stopped"}:
        raise TuningFailed(f"{name} is {status}: {job.get('FailureReason') or 'no reason given'}")
    return _read_best(name, search, job.get("BestTrainingJob"))


def _read_best(name: str, search: Search, job: Mapping[str, Any] | None) -> Best:
    if not job or "FinalHyperParameterTuningJobObjectiveMetric" not in job:
        raise TuningFailed(f"{name} ended without a candidate that has a score")
    said = job["TunedHyperParameters"]
    if set(said) != set(search):
        raise TuningFailed(f"{name} searched {sorted(said)}, not {sorted(search)}")
    try:
        # SageMaker writes every number as text, whole ones too as "3.0".
        parameters = {key: int(float(said[key])) if search[key][3] else float(said[key]) for key in search}
    except ValueError as error:
        raise TuningFailed(f"{name} names a parameter that is no number: {said}") from error
    metric = job["FinalHyperParameterTuningJobObjectiveMetric"]
    return Best(parameters, float(metric["Value"]), job["TrainingJobName"])


def _request(order: Order, name: str, prefix: str) -> dict[str, Any]:
    static = {
        **{key: str(value) for key, value in order.fixed.items()},
        "sagemaker_program": json.dumps(SCRIPT.name),  # the container reads these two as JSON
        "sagemaker_submit_directory": json.dumps(f"{prefix}/sourcedir.tar.gz"),
    }
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "RandomSeed": order.seed,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": METRIC},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": order.trials,
                "MaxParallelTrainingJobs": min(AT_ONCE, order.trials),
            },
            "ParameterRanges": _ranges(order.search),
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": static,
            "AlgorithmSpecification": {
                "TrainingImage": order.image_uri,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": METRIC, "Regex": METRIC_REGEX}],
            },
            "RoleArn": order.role_arn,
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{prefix}/rows/"}},
                }
            ],
            "OutputDataConfig": {"S3OutputPath": f"{prefix}/output"},
            "ResourceConfig": {"InstanceType": INSTANCE_TYPE, "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": CANDIDATE_LIMIT_S},
        },
        "Tags": list(TAGS),
    }


def _ranges(search: Search) -> dict[str, list[dict[str, str]]]:
    whole: list[dict[str, str]] = []
    real: list[dict[str, str]] = []
    for name, (low, high, is_log, is_int) in search.items():
        number = int if is_int else float
        scaling = "Logarithmic" if is_log else "Linear"
        found = {
            "Name": name,
            "MinValue": str(number(low)),
            "MaxValue": str(number(high)),
            "ScalingType": scaling,
        }
        (whole if is_int else real).append(found)
    return {"IntegerParameterRanges": whole, "ContinuousParameterRanges": real}
