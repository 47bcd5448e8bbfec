"""What stands in for AWS in these tests: ministack with a mailbox, DynamoDB Local, and a wire that can be cut."""

import asyncio
import gc
import os
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3  # type: ignore[import-untyped]
import httpx
import pytest

from bench.processes import free_port, table_double, url_of
from iops import contract
from iops.flags import Flags
from local import ministack, resources
from local.errors import InstallFailed
from local.supervisor import Child, Supervisor
from local.up import MINISTACK_VENV, Plan, children_environment, make_plan
from tests.secret_documents import write_secrets

LIMIT_S: Final = 20.0  # of any wait: far beyond what these need, so that a busy machine does not fail them
DYNAMODB_IMAGE: Final = "amazon/dynamodb-local:latest"
DYNAMODB_PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class Cloud:
    """ministack and the mailbox that is subscribed in it."""

    plan: Plan
    environment: Mapping[str, str]  # of a program that is to use it

    @property
    def endpoint_url(self) -> str:
        return self.plan.internal_url("ministack")

    def mails(self) -> list[str]:
        """The mails, as they lie there."""
        return [path.read_text() for path in self.plan.mail_dir.glob("*.eml")]

    async def empty(self) -> None:
        """As new: nothing but the resources of the contract."""
        tables = await self.call("dynamodb", "list_tables")
        if contract.TABLE_NAME in tables["TableNames"]:
            await self.call("dynamodb", "delete_table", TableName=contract.TABLE_NAME)
        await self.call("dynamodb", "create_table", **contract.table_schema())
        for name in (contract.SCORING_QUEUE, contract.SCORING_DEAD_LETTERS):
            await self._renew_queue(name)
        flags = Flags().model_dump_json()
        await self.call("ssm", "put_parameter", Name=contract.FLAGS_PARAMETER, Value=flags, Overwrite=True)
        for path in self.plan.mail_dir.glob("*.eml"):
            path.unlink()

    async def _renew_queue(self, name: str) -> None:
        """A queue of its own for each test: a poll whose caller has left still takes a message, for its 10 s."""
        url = self.queue_url(name)
        asked = ["VisibilityTimeout", "RedrivePolicy"]
        reply = await self.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=asked)
        await self.call("sqs", "delete_queue", QueueUrl=url)
        await self.call("sqs", "create_queue", QueueName=name, Attributes=reply["Attributes"])

    def queue_url(self, name: str) -> str:
        return f"{self.endpoint_url}/{resources.ACCOUNT_ID}/{name}"

    async def call(self, service: str, operation: str, **parameters: Any) -> Any:
        """One call of AWS's API, past our own code."""
        client = plain_client(service, self.endpoint_url)
        return await asyncio.to_thread(getattr(client, operation), **parameters)


@cache
def plain_client(service: str, endpoint_url: str) -> Any:
    """Made once, because that takes 0.1 s; it may be called from any thread."""
    return boto3.Session(
        aws_access_key_id=resources.ACCESS_KEY,
        aws_secret_access_key=resources.ACCESS_KEY,
        region_name=resources.REGION,
    ).client(service, endpoint_url=endpoint_url)


@contextmanager
def running_cloud(state_dir: Path) -> Iterator[Cloud]:
    """ministack and a mailbox on free ports; skips where ministack cannot be installed."""
    try:
        program = ministack.install(MINISTACK_VENV, say=print)
    except InstallFailed as error:
        pytest.skip(f"ministack is not here: {str(error).splitlines()[0]}")
    plan = make_plan(state_dir, 0)
    environment = children_environment(plan, {"PATH": os.environ["PATH"]}) | {"IOPS_AUTH": "off"}
    write_secrets(plan.secrets_file)
    with Supervisor(plan.log_dir) as supervisor:
        port = plan.internal_ports["ministack"]
        supervisor.start(ministack.describe(program, port=port, state_dir=state_dir / "state", environment=environment))
        mailbox = web_child("mailbox", "local.mailbox:create_app", plan.internal_ports["mailbox"], environment)
        supervisor.start(mailbox)
        cloud = Cloud(plan, environment)
        mail_url = f"{plan.internal_url('mailbox')}/sns"
        asyncio.run(resources.create_resources(cloud.endpoint_url, mail_url=mail_url))
        yield cloud


def web_child(name: str, factory: str, port: int, environment: Mapping[str, str]) -> Child:
    """An app as a process of its own."""
    command = (sys.executable, "-m", "uvicorn", factory, "--factory", "--host", "127.0.0.1", "--port", str(port))
    return Child(name, command, environment, ready_url=f"http://127.0.0.1:{port}/health/ready")


@contextmanager
def running_dynamodb_local() -> Iterator[str]:
    """DynamoDB Local in a container; skips where Docker does not answer or has no such image."""
    # Ryuk, which clears up after a test run that was killed, is one more image to pull. Docker on this machine answers
    # on its own port; a network between containers need not be reachable from here.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    if os.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
        os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    reason = ""
    with ExitStack() as started:
        # Where Docker is not there, its client leaves a socket to the garbage collector.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                container = DockerContainer(DYNAMODB_IMAGE).with_command("-jar DynamoDBLocal.jar -inMemory -sharedDb")
                container.ports[f"{DYNAMODB_PORT}/tcp"] = ("127.0.0.1",)  # type: ignore[assignment]
                started.callback(container.stop)
                container.waiting_for(HttpWaitStrategy(DYNAMODB_PORT).for_status_code(400).with_startup_timeout(60))
                container.start()
            except (DockerException, TimeoutError) as error:
                reason = str(error)
            gc.collect()
        if reason:
            pytest.skip(f"DynamoDB Local is not here, because Docker cannot start {DYNAMODB_IMAGE}: {reason}")
        yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(DYNAMODB_PORT)}"


@contextmanager
def running_table_double(log_dir: Path, *options: str) -> Iterator[str]:
    """The double that the bench measures against, held to the contract of the real ones."""
    with Supervisor(log_dir) as supervisor:
        port = free_port()
        supervisor.start(table_double(port, *options))
        yield url_of(port)


@dataclass(slots=True)
class Wire:
    """A TCP proxy between a program and its cloud."""

    url: str = ""
    is_cut: bool = False  # nothing gets through, and what is connected breaks
    is_deaf: bool = False  # requests get through, answers do not: the connection breaks instead
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Break it."""
        self.is_cut = True
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        """As if nothing had been."""
        self.is_cut = self.is_deaf = False

    async def carry(self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], host: str, port: int) -> None:
        """One connection, both ways, until an end closes."""
        if self.is_cut:
            client[1].transport.abort()
            return
        server = await asyncio.open_connection(host, port)
        ends = {client[1], server[1]}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(client[0], server[1]))
                both.create_task(self._pump(server[0], client[1], is_answer=True))
        finally:
            self._open -= ends
            for writer in ends:
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool = False) -> None:
        try:
            while data := await source.read(65_536):
                if is_answer and self.is_deaf:
                    break
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        for writer in tuple(self._open):  # one end is gone, so the connection is
            if writer is sink:
                writer.transport.abort()


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """A wire to `url` on a free port."""
    target = httpx.URL(url)
    assert target.port is not None
    host, port = target.host, target.port
    wire = Wire()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.carry((reader, writer), host, port)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield wire
        wire.cut()


async def wait_until(is_reached: Callable[[], bool | Awaitable[bool]], *, limit_s: float = LIMIT_S) -> None:
    """For what tells nobody when it changes: a folder, a log, a table."""
    async with asyncio.timeout(limit_s):
        while True:
            answer = is_reached()
            if answer is True or (isinstance(answer, Awaitable) and await answer):
                return
            await asyncio.sleep(0.01)


def block_until(is_reached: Callable[[], bool], *, limit_s: float = LIMIT_S) -> None:
    """The same where there is no event loop."""
    deadline = time.monotonic() + limit_s
    while not is_reached():
        assert time.monotonic() < deadline, f"not reached after {limit_s:g} s"
        time.sleep(0.01)
