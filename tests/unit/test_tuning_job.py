"""The search as a tuning job: what is asked of SageMaker, what is believed of its answer, and the script it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import tuning_script
from ml.tuning_job import Best, Cloud, Order, TuningFailed, submit, wait_for_best, write_rows
from tests.unit.fakes import aws_error
from tests.unit.test_deploy import ROLE, FakeS3
from tests.unit.tiny_model import some_features

SEARCH = {"max_depth": (2, 6, False, True), "eta": (0.02, 0.3, True, False)}
ORDER = Order(SEARCH, {"rounds": 120, "folds": 5}, trials=50, image_uri="image", role_arn=ROLE, bucket="bucket")


class FakeTuning:
    """Ends after the third look, as `ended` says."""

    def __init__(self, **ended: Any) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.ended = ended
        self.looks = 0

    def create_hyper_parameter_tuning_job(self, **job: Any) -> None:
        if any(job["HyperParameterTuningJobName"] == known["HyperParameterTuningJobName"] for known in self.jobs):
            raise aws_error("ResourceInUse")
        self.jobs.append(job)

    def describe_hyper_parameter_tuning_job(self, *, HyperParameterTuningJobName: str) -> Any:  # noqa: N803
        self.looks += 1
        if self.looks < 3:
            return {"HyperParameterTuningJobStatus": "InProgress"}
        return {"HyperParameterTuningJobStatus": "Completed"} | self.ended


def a_cloud(tuning: FakeTuning) -> Cloud:
    at_s = [0.0]
    return Cloud(FakeS3(), tuning, sleep=lambda s: at_s.append(at_s[-1] + s), now_s=lambda: at_s[-1])


def a_best(**fields: Any) -> dict[str, Any]:
    metric = {"MetricName": "auc_pr", "Value": 0.41}
    parameters = {"max_depth": "3.0", "eta": "0.0834"}
    return {
        "BestTrainingJob": {
            "TrainingJobName": "iops-risk-7",
            "TunedHyperParameters": parameters,
            "FinalHyperParameterTuningJobObjectiveMetric": metric,
        }
        | fields
    }


def best_of(tuning: FakeTuning, *, deadline_s: float = 3_600) -> Best:
    return wait_for_best("job", SEARCH, a_cloud(tuning), deadline_s=deadline_s)


def test_the_search_is_submitted_once() -> None:
    tuning = FakeTuning()
    cloud = a_cloud(tuning)

    name = submit(ORDER, b"rows", cloud)
    assert submit(ORDER, b"rows", cloud) == name
    assert submit(ORDER, b"other rows", cloud) != name

    assert len(name) <= 32
    job = tuning.jobs[0]
    config, training = job["HyperParameterTuningJobConfig"], job["TrainingJobDefinition"]
    assert config["ParameterRanges"] == {
        "IntegerParameterRanges": [
            {"Name": "max_depth", "MinValue": "2", "MaxValue": "6", "ScalingType": "Linear"},
        ],
        "ContinuousParameterRanges": [
            {"Name": "eta", "MinValue": "0.02", "MaxValue": "0.3", "ScalingType": "Logarithmic"},
        ],
    }
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 5}
    assert training["StaticHyperParameters"] == {
        "rounds": "120",
        "folds": "5",
        "sagemaker_program": '"tuning_script.py"',
        "sagemaker_submit_directory": f'"s3://bucket/tuning/{name}/sourcedir.tar.gz"',
    }
    assert f"bucket/tuning/{name}/rows/rows.npz" in cloud.s3.objects


def test_the_best_candidate_is_read_back_as_numbers() -> None:
    assert best_of(FakeTuning(**a_best())) == Best({"max_depth": 3, "eta": 0.0834}, 0.41, "iops-risk-7")


@pytest.mark.parametrize(
    ("ended", "complaint"),
    [
        ({"HyperParameterTuningJobStatus": "Failed", "FailureReason": "no quota"}, "job is Failed: no quota"),
        ({}, "without a candidate that has a score"),
        (a_best(TunedHyperParameters={"depth": "3"}), r"searched \['depth'\], not \['eta', 'max_depth'\]"),
        (a_best(TunedHyperParameters={"max_depth": "three", "eta": "0.1"}), "a parameter that is no number"),
    ],
)
def test_a_search_without_a_usable_result_says_why(ended: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TuningFailed, match=complaint):
        best_of(FakeTuning(**ended))


def test_the_waiting_has_an_end() -> None:
    with pytest.raises(TuningFailed, match="job is InProgress still, at the deadline"):
        best_of(FakeTuning(**a_best()), deadline_s=20)


def test_average_precision_takes_equal_scores_together() -> None:
    truth = np.array([True, False, True, False])
    assert tuning_script.average_precision(truth, np.array([1.0, 1, 1, 1])) == 0.5
    assert tuning_script.average_precision(truth, np.array([4.0, 1, 3, 2])) == 1.0


def test_the_script_scores_a_candidate_on_hosts_it_never_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = some_features(600)
    incident = np.nan_to_num(features[:, 0]) > 1
    host = np.array([f"host-{number % 6}" for number in range(600)])
    is_judged = host != "host-5"  # the last is a simulated one
    weight = np.where(np.arange(600) % 3 == 0, 0.0, 1.0)  # and a third of the rows is judged only
    rows = write_rows(features, incident, weight=weight, host=host, is_judged=is_judged)
    (tmp_path / "rows.npz").write_bytes(rows)

    given = (
        "--max_depth 2 --eta 0.3 --rounds 5 --folds 2 --simulated_ratio 0.5 --nthread 1 --_tuning_objective_metric x"
    )
    tuning_script.main(given.split(), tmp_path)

    name, _, score = capsys.readouterr().out.strip().partition("=")
    assert name == "auc_pr"
    assert float(score) > 0.95
