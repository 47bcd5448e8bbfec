"""docker-compose.yml as a person runs it: a mail comes, any container may die, and nothing acknowledged is lost."""

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from iops.clock import now
from iops.telemetry import Batch
from tests.integration.containers import Compose, compose, docker, running_containers, sending, tell
from tests.integration.examples import a_batch, some_samples
from tests.integration.stand_ins import wait_until

pytestmark = pytest.mark.slow

OURS: Final = ("ingest", "insights", "alerts", "mailbox", "agent", "aws")
MORTAL: Final = (*OURS, "nginx", "prometheus")  # not the table, which is in memory
MAIL_LIMIT_S: Final = 60.0  # a machine of two cores that runs ten containers
ENOUGH: Final = 3  # bodies of 200 samples acknowledged after a container is back


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    with running_containers(tmp_path_factory.mktemp("compose")) as running:
        yield running


def a_broken_host(name: str) -> str:
    """Four disks, and I/O errors of the first."""
    begin = now() - timedelta(seconds=60)
    disks = [some_samples(50, begin=begin) + some_samples(10, begin=begin + timedelta(seconds=50), io_errors=5)]
    disks += [some_samples(60, begin=begin) for _ in range(3)]
    batches = [
        a_batch(f"{name}:sd{letter}", peer_group=name, samples=samples)
        for letter, samples in zip("abcd", disks, strict=True)
    ]
    return to_body(*batches)


def to_body(*batches: Batch) -> str:
    return json.dumps({"batches": [batch.model_dump(mode="json") for batch in batches]})


async def await_mail_of(stack: Compose, host: str) -> None:
    async with stack.client() as http:
        reply = await http.post("/metrics", content=a_broken_host(host))
    assert reply.status_code == 202, reply.text

    async def has_come() -> bool:
        return f"{host}:sda" in await asyncio.to_thread(stack.mails)

    await wait_until(has_come, limit_s=MAIL_LIMIT_S)


def test_no_container_is_root_or_can_write_to_its_root(stack: Compose) -> None:
    for service in stack.ids():
        said = stack.shell(service, "id -u; touch /here 2> /dev/null && echo writable || echo read-only")
        user_id, root = said.split()
        assert int(user_id) > 0, service
        assert root == "read-only", service


def test_an_image_of_a_service_keeps_its_size_and_shows_no_package_index(stack: Compose) -> None:
    for service, limit_mb in (("ingest", 250), ("insights", 400), ("alerts", 250)):
        image = f"{stack.name}-{service}"
        size_mb = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
        tell(f"{service}: {size_mb:.0f} MB")
        assert size_mb < limit_mb, service
        # The recipe of the base image is not ours to judge; what follows its command is.
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
        assert "index-url" not in history
        assert "pip.conf" not in history.partition('CMD ["python3"]')[0]


async def test_only_who_has_a_key_comes_in_and_the_agent_has_one(stack: Compose) -> None:
    async with stack.client() as http:
        refused = await http.get("/streams", headers={"X-API-Key": "iops_nobody_nothing"})
        inside = await http.get("/internal/metrics")

        async def has_a_disk() -> bool:
            listed = (await http.get("/streams")).json()["items"]
            return any(stream["peer_group"] == "this-machine" for stream in listed)

        await wait_until(has_a_disk, limit_s=MAIL_LIMIT_S)

    assert refused.status_code == 401
    assert inside.status_code == 404


async def test_grafanas_key_reads_and_does_no_more(stack: Compose, tmp_path: Path) -> None:
    compose(stack.name, "cp", "setup:/state/grafana/viewer.key", str(tmp_path / "viewer.key"))
    key = {"X-API-Key": (tmp_path / "viewer.key").read_text().strip()}

    async with stack.client() as http:
        read = await http.get("/streams", headers=key)
        acknowledged = await http.post("/alerts/nobody/acknowledge", headers=key)

    assert (read.status_code, acknowledged.status_code) == (200, 403)


async def test_a_fault_reaches_the_mailbox(stack: Compose) -> None:
    tell(f"memory, idle: {stack.memory()}")

    await await_mail_of(stack, "broken-1")


async def test_any_container_may_die_and_nothing_acknowledged_is_lost(stack: Compose) -> None:
    async with sending(stack) as senders:
        await senders.wait_for(ENOUGH)
        for service in MORTAL:
            docker("kill", stack.ids()[service])
            begun_at = now()
            await asyncio.to_thread(stack.up)
            tell(f"{service} was back after {(now() - begun_at).total_seconds():.1f} s")
            await senders.wait_for(ENOUGH)
        tell(f"memory, under load: {await asyncio.to_thread(stack.memory)}")
    tell(f"{senders.bodies} bodies acknowledged, {senders.refused} had to come again")

    async with stack.client() as reader:
        assert await senders.missing(reader) == []
    assert len(senders.acknowledged) == 200
    await await_mail_of(stack, "broken-2")


async def test_sigterm_lets_a_request_under_way_end(stack: Compose) -> None:
    body = to_body(a_batch("half-1:sda", samples=some_samples(60, begin=now() - timedelta(seconds=60)))).encode()
    head = f"POST /metrics HTTP/1.1\r\nHost: iops\r\nX-API-Key: {stack.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=15) as door:
        door.sendall(head.encode() + body[:100])
        await asyncio.sleep(1)  # nginx gives no sign that it has passed this on
        ingest = stack.ids()["ingest"]
        stopping = asyncio.create_task(asyncio.to_thread(docker, "stop", ingest))
        await wait_until(lambda: "Shutting down" in logs_of(ingest))
        door.sendall(body[100:])
        answer = await asyncio.to_thread(door.recv, 4096)
        await stopping

    assert answer.startswith(b"HTTP/1.1 202 "), answer
    assert stack.exit_code("ingest") == 0


def test_sigterm_ends_every_program_of_ours_with_zero(stack: Compose) -> None:
    stack.up()
    ids = stack.ids()

    docker("stop", *(ids[service] for service in OURS))

    assert {service: stack.exit_code(service) for service in OURS} == dict.fromkeys(OURS, 0)


def logs_of(container: str) -> str:
    done = subprocess.run(("docker", "logs", container), check=True, capture_output=True, text=True, timeout=10)
    return done.stdout + done.stderr
