"""Insights on a table with everything that DynamoDB can, each a process of its own: DynamoDB Local in a container."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiobotocore.credentials import AioCredentials

from bench import processes
from iops.dynamo import Dynamo
from iops.table import Table
from local import ministack, resources
from local.errors import CannotRun, SetupFailed
from local.supervisor import Child, Supervisor
from local.up import MINISTACK_VENV

IMAGE: Final = "amazon/dynamodb-local:latest"
IMAGE_PORT: Final = 8000
START_LIMIT_S: Final = 60.0
WRITE_LIMIT_S: Final = 20.0  # of one batch, beside others
DOCKER_LIMIT_S: Final = 20.0
POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class System:
    """What runs, and where: the table from the start, insights once it is asked for."""

    table_url: str
    supervisor: Supervisor = field(repr=False)
    aws_port: int

    def start_insights(self) -> tuple[str, int]:
        """Its address and its process; ready when its clients are open, not when it has read the fleet."""
        port = processes.free_port()
        settings = {
            "AWS_ENDPOINT_URL": processes.url_of(self.aws_port),
            "AWS_ENDPOINT_URL_DYNAMODB": self.table_url,
            "IOPS_AUTH": "off",
            "IOPS_LISTEN_PORT": str(port),
        }
        command = (sys.executable, "-m", "services.insights")
        # Not ready: that asks for DescribeTable, for which DynamoDB Local counts a million rows, and all others wait.
        ready_url = f"{processes.url_of(port)}/health/live"
        self.supervisor.start(Child("insights", command, processes.environment(settings), ready_url=ready_url))
        return processes.url_of(port), self.supervisor.pids["insights"]


@contextmanager
def running_table() -> Iterator[System]:
    """An empty table, and the rest of AWS in ministack. Raises CannotRun, also where Docker does not answer."""
    _check_docker()
    program = ministack.install(MINISTACK_VENV, say=lambda line: print(line, file=sys.stderr))
    with processes.supervised() as (supervisor, folder):
        table_port, aws_port = processes.free_port(), processes.free_port()
        supervisor.start(_table(table_port))
        supervisor.start(_aws(program, aws_port, folder))
        system = System(processes.url_of(table_port), supervisor, aws_port)
        asyncio.run(_create(system))
        yield system


@asynccontextmanager
async def opened(table_url: str) -> AsyncIterator[Table]:
    """The table, for who writes much; without an account."""
    timeout = aiohttp.ClientTimeout(total=WRITE_LIMIT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        resources.open_client("dynamodb", table_url) as client,
    ):
        credentials = AioCredentials(resources.ACCESS_KEY, resources.ACCESS_KEY)
        yield Table(client, Dynamo(session, credentials, endpoint_url=table_url, region=resources.REGION))


def _table(port: int) -> Child:
    published = f"{processes.HOST}:{port}:{IMAGE_PORT}"
    command = ("docker", "run", "--rm", "--publish", published, IMAGE, "-jar", "DynamoDBLocal.jar", "-inMemory")
    return Child("table", (*command, "-sharedDb"), processes.environment())


def _aws(program: Path, port: int, folder: Path) -> Child:
    return ministack.describe(program, port=port, state_dir=folder / "aws", environment=processes.environment())


async def _create(system: System) -> None:
    give_up_s = time.monotonic() + START_LIMIT_S
    while True:
        try:
            await resources.create_resources(
                processes.url_of(system.aws_port), mail_url=None, table_url=system.table_url
            )
        except SetupFailed:  # its container starts
            if time.monotonic() > give_up_s:
                raise
            await asyncio.sleep(POLL_S)
        else:
            return


def _check_docker() -> None:
    try:
        subprocess.run(("docker", "version"), capture_output=True, check=True, timeout=DOCKER_LIMIT_S)  # noqa: S607 -- found on the PATH
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotRun(f"DynamoDB Local needs Docker, which does not answer: {error}") from error
