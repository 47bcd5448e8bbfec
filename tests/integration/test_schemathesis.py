"""Each service against its committed document: what that allows, what it forbids, and with a wrong key or none."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final, TypeVar

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from bench.processes import free_port, url_of
from iops import contract, items
from iops.auth import Role
from iops.clock import now
from iops.keys import ApiKey, keep, new_key, new_key_id
from local.supervisor import Supervisor
from tests.integration.stand_ins import Cloud, plain_client, web_child
from tests.openapi import FOLDER, SERVICES
from tests.secret_documents import the_peppers

Test = TypeVar("Test", bound=Callable[..., None])

SEED_SETTINGS: Final = settings(
    max_examples=15,  # of each operation, beside what its coverage of the schema adds; 40 s in all
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# A schema cannot say which cursors there are, that `from` lies before `to`, that of two fields one is needed, or which
# bytes are a protobuf in snappy.
REFUSED_FOR_SENSE: Final = ["400", "415", "422"]
NUMBERS: Final = count()

schemathesis.serializer.alias("application/x-protobuf", "application/octet-stream")


def each_operation_of(name: str) -> Callable[[Test], Test]:
    """Its requests carry our one key: of two credentials neither would be believed."""
    schema = schemathesis.openapi.from_path(str(FOLDER / f"{name}.json"))
    schema.config.generation.update(with_security_parameters=False)
    schema.config.checks.positive_data_acceptance.expected_statuses += REFUSED_FOR_SENSE
    parametrize: Callable[[Test], Test] = schema.parametrize()
    return parametrize


@pytest.fixture(scope="module")
def urls(cloud_server: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Where the three listen, each a process of its own."""
    environment = {**cloud_server.environment, "IOPS_AUTH": "on", "IOPS_CANARY": "false"}
    with Supervisor(tmp_path_factory.mktemp("services")) as supervisor:
        ports = {name: free_port() for name in SERVICES}
        for name, port in ports.items():
            supervisor.start(web_child(name, f"services.{name}.app:create_app", port, environment))
        yield {name: url_of(port) for name, port in ports.items()}


@pytest.fixture(scope="module")
def admin(cloud_server: Cloud) -> dict[str, str]:
    """A key that may all, in the table that the services read."""
    key_id = new_key_id(secrets.token_bytes)
    key = new_key(key_id, secrets.token_bytes)
    kept = ApiKey(
        key_id=key_id,
        name="schemathesis",
        role=Role.ADMIN,
        secrets=(keep(key.encode(), the_peppers().current),),
        created_at=now(),
        created_by="test",
    )
    client = plain_client("dynamodb", cloud_server.endpoint_url)
    client.put_item(TableName=contract.TABLE_NAME, **items.api_key_put(kept, replaces=None))
    return {"X-API-Key": key}


def check(case: Any, url: str, key: dict[str, str]) -> None:
    """From an address of its own, as a balancer names it, or the wrong keys of all would be too many of one address."""
    address = {"X-Forwarded-For": f"10.{next(NUMBERS) // 256}.{next(NUMBERS) % 256}.1"}
    case.call_and_validate(base_url=url, headers=key | address)


@each_operation_of("ingest")
@SEED_SETTINGS
def test_ingest_answers_as_its_document_says(case: Any, urls: Mapping[str, str], admin: dict[str, str]) -> None:
    check(case, urls["ingest"], admin)


@each_operation_of("insights")
@SEED_SETTINGS
def test_insights_answers_as_its_document_says(case: Any, urls: Mapping[str, str], admin: dict[str, str]) -> None:
    check(case, urls["insights"], admin)


@each_operation_of("alerts")
@SEED_SETTINGS
def test_alerts_answers_as_its_document_says(case: Any, urls: Mapping[str, str], admin: dict[str, str]) -> None:
    check(case, urls["alerts"], admin)
