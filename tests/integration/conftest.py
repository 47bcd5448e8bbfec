"""The stand-ins, each started once for the whole run and emptied for each test."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from iops.bus import ScoringQueue, open_scoring_queue
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from local import resources
from tests.doubles.bedrock import Bedrock, running_bedrock
from tests.doubles.chat import Chat, running_chat
from tests.integration.stand_ins import Cloud, running_cloud, running_dynamodb_local, running_table_double


@pytest.fixture(scope="session", autouse=True)
def no_real_account() -> Iterator[None]:
    """The programs' own clients, in this process, reach nobody's AWS account."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, resources.ACCESS_KEY)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/dev/null")
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1")
        yield


@pytest.fixture(scope="session")
def cloud_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
async def cloud(cloud_server: Cloud) -> Cloud:
    await cloud_server.empty()
    return cloud_server


@pytest.fixture
def settings(cloud: Cloud) -> ServiceSettings:
    return ServiceSettings(aws_endpoint_url=cloud.endpoint_url)


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    with running_dynamodb_local() as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="session")
def table_double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_table_double(tmp_path_factory.mktemp("double")) as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="module", params=["dynamodb-local", "ministack"])
def table_url(request: pytest.FixtureRequest) -> str:
    if request.param == "ministack":
        url: str = request.getfixturevalue("cloud_server").endpoint_url
    elif request.param == "double":  # for modules that ask for it: it knows what ingest asks, and no more
        url = request.getfixturevalue("table_double")
    else:
        url = request.getfixturevalue("dynamodb_local")
    return url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain_client(table_url: str) -> AsyncIterator[Any]:
    async with resources.open_client("dynamodb", table_url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened_table(table_url: str) -> AsyncIterator[Table]:
    async with open_table(ServiceSettings(aws_endpoint_url=table_url)) as table:
        yield table


@pytest_asyncio.fixture(loop_scope="module")
async def dynamodb(plain_client: Any) -> Any:
    """A client past our own code; the table is empty."""
    for name in (await plain_client.list_tables())["TableNames"]:
        await plain_client.delete_table(TableName=name)
    await resources.create_table(plain_client, has_stream=False)
    return plain_client


@pytest.fixture
def table(opened_table: Table, dynamodb: Any) -> Table:
    return opened_table


@pytest.fixture
async def queue(settings: ServiceSettings) -> AsyncIterator[ScoringQueue]:
    async with open_scoring_queue(settings) as opened:
        yield opened


@pytest.fixture
async def bedrock() -> AsyncIterator[Bedrock]:
    async with running_bedrock() as double:
        yield double


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with running_chat() as double:
        yield double
