"""The function that rotates the pepper, step by step, beside what the services take a rotation to be."""

import ast
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.rotation.handler import KEPT, RotationRefused, add_pepper, check, rotate
from infra.secrets import HANDLER
from iops import peppers
from iops.peppers import Peppers
from tests.unit.test_peppers import counting_bytes

NOW = datetime(2026, 11, 23, tzinfo=UTC)
IN_LAMBDA = {"boto3", "botocore"}


def test_a_rotation_is_what_the_services_take_it_for() -> None:
    ours, theirs = counting_bytes(), counting_bytes()
    document = add_pepper(None, now=NOW, random_bytes=ours)
    expected = peppers.first_peppers(NOW, theirs)
    for _ in range(KEPT + 1):
        assert document == expected.reveal()
        document = add_pepper(document, now=NOW, random_bytes=ours)
        expected = peppers.add_pepper(expected, NOW, theirs)

    assert len(document["peppers"]) == KEPT == peppers.KEPT == 3
    assert Peppers.model_validate_json(json.dumps(document)) == expected


def test_the_function_needs_nothing_that_lambda_has_not() -> None:
    imported = set()
    for node in ast.walk(ast.parse(HANDLER.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])

    assert imported - sys.stdlib_module_names - IN_LAMBDA == set()


def grown(times: int) -> dict[str, Any]:
    random_bytes = counting_bytes()
    document = None
    for _ in range(times):
        document = add_pepper(document, now=NOW, random_bytes=random_bytes)
    assert document is not None
    return document


def test_a_version_that_services_can_use_passes() -> None:
    check(grown(1), None)
    check(grown(2), grown(1))
    check(grown(5), grown(4))


@pytest.mark.parametrize(
    ("after", "before", "reason"),
    [
        (None, grown(1), "no value"),
        ({"peppers": []}, None, "no list of peppers"),
        ({"peppers": grown(1)["peppers"] * 2}, grown(1), "an id of its own"),
        ({"peppers": [{"id": "2026-11-aaaaaa", "value": "c2hvcnQ="}]}, None, "no list of peppers"),
        ({"peppers": [{"id": "NOT AN ID", "value": grown(1)["peppers"][0]["value"]}]}, None, "no list of peppers"),
        ({"peppers": [grown(1)["peppers"][0] | {"note": "x"}]}, None, "no list of peppers"),
        (grown(1), grown(2), "does not keep the last peppers"),
    ],
)
def test_a_version_that_services_cannot_use_is_refused(after: Any, before: Any, reason: str) -> None:
    with pytest.raises(RotationRefused, match=reason):
        check(after, before)


class FakeManager:
    """Secrets Manager with one secret."""

    def __init__(self, text: str | None, stages: dict[str, list[str]]) -> None:
        self.text, self.stages = text, stages
        self.exceptions = self

    ResourceNotFoundException = KeyError

    def describe_secret(self, SecretId: str) -> Any:  # noqa: N803 - AWS's name
        return {"VersionIdsToStages": self.stages}

    def get_secret_value(self, VersionStage: str, **_: Any) -> Any:  # noqa: N803
        if VersionStage == "AWSPENDING" or self.text is None:
            raise KeyError
        return {"SecretString": self.text}


def step(name: str) -> dict[str, str]:
    return {"SecretId": "iops-dashboard/peppers", "ClientRequestToken": "new", "Step": name}


@pytest.mark.parametrize("name", ["createSecret", "setSecret", "testSecret", "finishSecret"])
def test_a_call_that_no_rotation_makes_is_refused(name: str) -> None:
    manager = FakeManager(None, {"old": ["AWSCURRENT"]})

    with pytest.raises(RotationRefused, match="not one that is being rotated to"):
        rotate(manager, step(name), now=NOW, random_bytes=counting_bytes())


def test_a_step_that_is_none_is_refused() -> None:
    with pytest.raises(RotationRefused, match="no such step"):
        rotate(FakeManager(None, {"new": ["AWSPENDING"]}), step("guess"), now=NOW, random_bytes=counting_bytes())


def test_a_document_that_somebody_broke_is_not_quoted() -> None:
    manager = FakeManager('{"peppers": "hunter2"', {"old": ["AWSCURRENT"], "new": ["AWSPENDING"]})

    with pytest.raises(RotationRefused) as caught:
        rotate(manager, step("createSecret"), now=NOW, random_bytes=counting_bytes())
    assert "hunter2" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"
