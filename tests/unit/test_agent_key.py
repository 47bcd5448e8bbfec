"""The agent's key file: refused where others can read it, and read again when its key was rotated."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from agent.key_file import KeyFile
from agent.run import build_client
from agent.settings import AgentSettings
from iops.errors import UnusableFile
from iops.private_file import write_private


class Server:
    """Takes one key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.asked: list[tuple[str, bytes]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("X-API-Key", "")
        self.asked.append((key, request.content))
        return httpx.Response(202 if key == self.key else 401)

    def client(self, path: Path) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url="http://iops.test", transport=httpx.MockTransport(self), auth=KeyFile(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_private(tmp_path / "agent.key", "first")
    return tmp_path / "agent.key"


def change(path: Path, text: str, *, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


async def test_a_rotated_key_is_read_again_and_the_same_body_sent_with_it(path: Path) -> None:
    server = Server("first")
    async with server.client(path) as client:
        await client.post("/metrics", content=b"a")
        change(path, "second\n")
        await client.post("/metrics", content=b"b")
        server.key = "second"
        answer = await client.post("/metrics", content=b"c")
        await client.post("/metrics", content=b"d")

    assert answer.status_code == 202
    assert server.asked == [
        ("first", b"a"),
        ("first", b"b"),
        ("first", b"c"),
        ("second", b"c"),
        ("second", b"d"),
    ]


async def test_a_key_that_was_revoked_is_sent_once_each_time(path: Path) -> None:
    server = Server("another")
    async with server.client(path) as client:
        assert (await client.post("/metrics")).status_code == 401

    assert len(server.asked) == 1


async def test_a_file_that_others_can_read_by_then_is_not_used(path: Path) -> None:
    server = Server("second")
    async with server.client(path) as client:
        change(path, "second", mode=0o644)
        assert (await client.post("/metrics")).status_code == 401
        change(path, "second")
        assert (await client.post("/metrics")).status_code == 202


def test_an_agent_does_not_start_with_a_file_that_others_can_read(path: Path) -> None:
    path.chmod(0o640)

    with pytest.raises(UnusableFile, match="chmod 600"):
        build_client(AgentSettings(api_key_file=path))


async def test_a_key_that_is_given_itself_comes_before_a_file(tmp_path: Path) -> None:
    settings = AgentSettings(api_key=SecretStr("iops_a"), api_key_file=tmp_path / "nothing")

    async with build_client(settings) as client:
        assert client.headers["X-API-Key"] == "iops_a"
