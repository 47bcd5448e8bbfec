"""The rotation of the pepper in the stand-in's Secrets Manager: each step as Secrets Manager calls it."""

import asyncio
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.rotation.handler import add_pepper, rotate
from infra.secrets import HANDLER
from iops.contract import PEPPER_SECRETS
from iops.observability import Metrics
from iops.peppers import Peppers
from iops.secrets import open_secret
from iops.settings import ServiceSettings
from local import resources
from tests.integration.stand_ins import Cloud, plain_client
from tests.unit.test_peppers import counting_bytes

NOW = datetime(2026, 11, 23, tzinfo=UTC)
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


@pytest.fixture
def manager(cloud: Cloud) -> Iterator[Any]:
    """With the secret as Pulumi makes it: it has no version."""
    client = plain_client("secretsmanager", cloud.endpoint_url)
    if PEPPER_SECRETS in [each["Name"] for each in client.list_secrets()["SecretList"]]:
        client.delete_secret(SecretId=PEPPER_SECRETS, ForceDeleteWithoutRecovery=True)
    client.create_secret(Name=PEPPER_SECRETS)
    yield client
    client.delete_secret(SecretId=PEPPER_SECRETS, ForceDeleteWithoutRecovery=True)


def begun() -> str:
    """The token of a rotation that has begun."""
    return str(uuid.uuid4())


def run(manager: Any, token: str, random_bytes: Callable[[int], bytes], *, twice: bool = False) -> None:
    view = PendingVersion(manager, token)
    for step in STEPS:
        for _ in range(2 if twice else 1):
            event = {"SecretId": PEPPER_SECRETS, "ClientRequestToken": token, "Step": step}
            rotate(view, event, now=NOW, random_bytes=random_bytes)


class PendingVersion:
    """The stand-in with a version that is pending and has no value yet, as RotateSecret leaves it."""

    def __init__(self, manager: Any, token: str) -> None:
        self._manager, self._token = manager, token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def describe_secret(self, **which: str) -> Any:
        described = self._manager.describe_secret(**which)
        stages = described.get("VersionIdsToStages", {})
        return {"VersionIdsToStages": {self._token: ["AWSPENDING"]} | stages}


def current(manager: Any) -> Any:
    reply = manager.get_secret_value(SecretId=PEPPER_SECRETS, VersionStage="AWSCURRENT")
    return json.loads(reply["SecretString"])["peppers"]


def test_the_first_rotation_makes_the_first_pepper(manager: Any) -> None:
    run(manager, begun(), counting_bytes())

    assert [each["id"] for each in current(manager)] == ["2026-11-010101"]


def test_every_rotation_adds_one_and_three_stay(manager: Any) -> None:
    random_bytes = counting_bytes()
    for _ in range(4):
        run(manager, begun(), random_bytes)

    assert [each["id"] for each in current(manager)] == ["2026-11-030303", "2026-11-050505", "2026-11-070707"]


def test_steps_that_come_twice_rotate_once(manager: Any) -> None:
    run(manager, begun(), counting_bytes(), twice=True)

    assert [each["id"] for each in current(manager)] == ["2026-11-010101"]


def test_services_go_on_reading_the_old_ones_until_the_last_step(manager: Any) -> None:
    random_bytes = counting_bytes()
    run(manager, begun(), random_bytes)
    before = current(manager)
    token = begun()
    for step in STEPS[:-1]:
        event = {"SecretId": PEPPER_SECRETS, "ClientRequestToken": token, "Step": step}
        rotate(PendingVersion(manager, token), event, now=NOW, random_bytes=random_bytes)

    assert current(manager) == before


def test_the_one_file_does_it_alone_as_in_lambda(manager: Any, cloud: Cloud, tmp_path: Path) -> None:
    shutil.copy(HANDLER, tmp_path / "handler.py")
    token = begun()
    first = json.dumps(add_pepper(None, now=NOW, random_bytes=counting_bytes()))
    manager.put_secret_value(
        SecretId=PEPPER_SECRETS, ClientRequestToken=token, SecretString=first, VersionStages=["AWSPENDING"]
    )
    steps = [{"SecretId": PEPPER_SECRETS, "ClientRequestToken": token, "Step": step} for step in STEPS]
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import handler; [handler.handle(e, None) for e in {steps}]"
    )

    subprocess.run(
        [sys.executable, "-I", "-c", program],
        check=True,
        timeout=30,
        cwd=tmp_path,
        env={**cloud.environment, "AWS_ENDPOINT_URL": cloud.endpoint_url, "AWS_DEFAULT_REGION": resources.REGION},
    )

    assert [each["id"] for each in current(manager)] == ["2026-11-010101"]


async def test_a_service_reads_what_was_rotated(manager: Any, cloud: Cloud) -> None:
    random_bytes = counting_bytes()
    for _ in range(2):
        await asyncio.to_thread(run, manager, begun(), random_bytes)
    settings = ServiceSettings(aws_endpoint_url=cloud.endpoint_url)

    async with open_secret(settings, PEPPER_SECRETS, Peppers, Metrics()) as secret:
        assert secret.current.current.id == "2026-11-030303"
        assert secret.current.of("2026-11-010101") is not None
