"""A service as it is served: whom it believes, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from bench.processes import free_port
from iops.settings import ServiceSettings
from local.supervisor import Child, Supervisor
from tests.integration.served import answer_of, say, served
from tests.integration.stand_ins import block_until, running_table_double


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Says who asks, as a service sees it."""
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
        return
    body = f"{scope['client'][0]} {scope['scheme']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def ask_as(forwarded: str, *proxies: str) -> str:
    lines = "".join(f"X-Forwarded-For: {line}\r\n" for line in forwarded.split("|"))
    said = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    async with served(who, ServiceSettings(trusted_proxies=proxies)) as port:
        return answer_of(await say(port, said.encode())).body.decode()


@pytest.mark.parametrize("proxies", [(), ("10.0.0.1",), ("10.0.0.0/8", "::1")])
async def test_a_stranger_is_not_believed_who_it_speaks_for(proxies: tuple[str, ...]) -> None:
    assert await ask_as("203.0.113.9", *proxies) == "127.0.0.1 http"


@pytest.mark.parametrize("forwarded", ["6.6.6.6, 203.0.113.9", "6.6.6.6|203.0.113.9", "6.6.6.6, 203.0.113.9, 10.0.0.3"])
async def test_of_a_trusted_proxys_list_the_last_stranger_asks(forwarded: str) -> None:
    assert await ask_as(forwarded, "127.0.0.0/8", "10.0.0.3") == "203.0.113.9 https"


def test_sigterm_lets_a_request_end_and_a_program_end_well(tmp_path: Path) -> None:
    with running_table_double(tmp_path / "double") as table_url, Supervisor(tmp_path) as supervisor:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"], "IOPS_LISTEN_PORT": str(port), "IOPS_AWS_ENDPOINT_URL": table_url,
            "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "IOPS_AUTH": "off",
        }  # fmt: skip
        command = (sys.executable, "-m", "services.ingest")
        supervisor.start(Child("ingest", command, environment, f"http://127.0.0.1:{port}/health/ready"))
        status, code = asyncio.run(_end_between(port, supervisor.pids["ingest"]))
        log = tmp_path / "ingest.log"
        block_until(lambda: "Finished server process" in log.read_text())

    assert (status, code) == (422, "invalid_input")
    assert "Traceback" not in log.read_text()


async def _end_between(port: int, pid: int) -> tuple[int, str]:
    """A body's first half, SIGTERM, its second half; what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nnu")
    await writer.drain()
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(0.5)
    writer.write(b"ll")
    answer = answer_of(await reader.read())
    writer.close()
    return answer.status, json.loads(answer.body)["code"]
