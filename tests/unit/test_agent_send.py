"""The sender: what each answer means, and that a body is sent, spooled or counted, never forgotten."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from agent.body import Body
from agent.send import Sender, read_reply
from agent.spool import Spool

NOW = datetime(2026, 11, 23, 2, 39, tzinfo=UTC)


class NoJitter(random.Random):
    """Waits that are over at once."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


class Server:
    """Answers with the given statuses in order, then with 202; remembers what it took."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[str] = []
        self.taken: list[str] = []
        self.on_request: Callable[[], None] = lambda: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        text = gzip.decompress(request.content).decode()
        self.asked.append(text)
        self.on_request()
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 0:
            raise httpx.ConnectError("nobody listens")
        if status == 202:
            self.taken.append(text)
        return httpx.Response(status, json={"detail": "batches[0].samples[3].at: is next week"})


def a_body(text: str) -> Body:
    return Body(gzip.compress(text.encode(), mtime=0), batches=1, samples=1)


def a_sender(server: Server, folder: Path) -> Sender:
    client = httpx.AsyncClient(base_url="http://iops.test", transport=httpx.MockTransport(server))
    return Sender(client, Spool(folder, limit_bytes=10_000), rng=NoJitter(), clock=lambda: NOW)


async def send_until(server: Server, sender: Sender, *, requests: int) -> None:
    """Run the sender and tell it to finish once the server was asked that often."""

    def finish_when_asked() -> None:
        if len(server.asked) == requests:
            sender.finish(1.0)

    server.on_request = finish_when_asked
    await sender.run()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(202, "accepted"), (200, "accepted"), (400, "refused"), (413, "refused"), (422, "refused"), (401, "denied"),
     (403, "denied"), (404, "denied"), (301, "denied"), (408, "unanswered"), (429, "unanswered"), (500, "unanswered"),
     (503, "unanswered")],
)  # fmt: skip
def test_each_status_says_what_becomes_of_the_body(status: int, outcome: str) -> None:
    assert read_reply(httpx.Response(status), clock=lambda: NOW).outcome == outcome


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [("7", 7.0), ("Mon, 23 Nov 2026 02:39:30 GMT", 30.0), ("Mon, 23 Nov 2026 02:00:00 GMT", 0.0), ("soon", 0.0),
     ("-5", 0.0), ("", 0.0), ("9" * 400, 600.0), ("²", 0.0)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, wait_s: float) -> None:
    response = httpx.Response(503, headers=[(b"Retry-After", text.encode())])

    assert read_reply(response, clock=lambda: NOW).retry_after_s == wait_s


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"null", b'{"detail": null}', b"\xff\xfe"])
def test_an_answer_that_is_no_problem_document_is_still_read(content: bytes) -> None:
    assert read_reply(httpx.Response(422, content=content), clock=lambda: NOW).detail == "Unprocessable Entity"


def test_a_long_detail_is_cut() -> None:
    reply = read_reply(httpx.Response(422, json={"detail": "x" * 100_000}), clock=lambda: NOW)

    assert len(reply.detail) == 300


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
async def test_a_body_that_was_not_answered_is_sent_again_with_the_same_bytes(tmp_path: Path, status: int) -> None:
    server = Server(status, status)
    sender = a_sender(server, tmp_path)
    sender.offer([a_body("one")])

    await send_until(server, sender, requests=3)

    assert server.asked == ["one", "one", "one"]
    assert len(Spool(tmp_path, limit_bytes=10_000)) == 0


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_body_is_dropped_counted_and_logged_with_the_servers_words(tmp_path: Path, status: int) -> None:
    server = Server(status)
    sender = a_sender(server, tmp_path)
    sender.offer([a_body("bad"), a_body("good")])

    with capture_logs() as logs:
        await send_until(server, sender, requests=2)

    assert (server.asked, server.taken, sender.refused) == (["bad", "good"], ["good"], 1)
    [refusal] = [line for line in logs if line["event"] == "batches_refused"]
    assert (refusal["status"], refusal["detail"]) == (status, "batches[0].samples[3].at: is next week")


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_body_that_was_denied_is_kept(tmp_path: Path, status: int) -> None:
    server = Server(status)
    sender = a_sender(server, tmp_path)
    sender.offer([a_body("one")])

    await send_until(server, sender, requests=1)

    # The last thing a sender does is one more try.
    assert server.taken == ["one"]


async def test_a_spooled_and_a_fresh_body_take_turns(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=10_000)
    for text in ("old 1", "old 2", "old 3"):
        spool.put(a_body(text).content)
    server = Server()
    sender = a_sender(server, tmp_path)
    sender.offer([a_body("new 1"), a_body("new 2")])

    await send_until(server, sender, requests=5)

    assert server.taken == ["old 1", "new 1", "old 2", "new 2", "old 3"]


async def test_what_cannot_be_sent_at_the_end_waits_on_disk_for_the_next_start(tmp_path: Path) -> None:
    server = Server(*[503] * 100)
    sender = a_sender(server, tmp_path)
    sender.offer([a_body("one"), a_body("two")])
    await send_until(server, sender, requests=1)

    server.statuses = []
    await send_until(server, a_sender(server, tmp_path), requests=len(server.asked) + 2)

    assert server.taken == ["one", "two"]


async def test_a_damaged_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=10_000)
    spool.put(b"not gzip")
    spool.put(a_body("whole").content)
    server = Server()

    with capture_logs() as logs:
        await send_until(server, a_sender(server, tmp_path), requests=1)

    assert server.taken == ["whole"]
    assert [line["damaged_bodies"] for line in logs if line["event"] == "spool_damaged"] == [1]


async def test_what_made_room_in_the_spool_is_counted(tmp_path: Path) -> None:
    server = Server(*[503] * 100)
    sender = a_sender(server, tmp_path)
    noise = random.Random(1)
    sender.offer([a_body(noise.randbytes(4_000).hex()) for _ in range(4)])  # two of them fit into 10,000 bytes

    with capture_logs() as logs:
        await send_until(server, sender, requests=1)

    assert [line["dropped_bodies"] for line in logs if line["event"] == "spool_trimmed"] == [2]


async def test_a_disk_that_takes_nothing_leaves_bodies_in_memory_until_the_server_is_back(tmp_path: Path) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file where the folder should be")
    server = Server(503, 503)
    sender = a_sender(server, in_the_way)
    sender.offer([a_body("one"), a_body("two")])

    await send_until(server, sender, requests=4)

    assert (server.taken, sender.lost) == (["one", "two"], 0)


async def test_what_neither_server_nor_disk_takes_is_said_to_be_lost(tmp_path: Path) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file where the folder should be")
    server = Server(*[503] * 100)
    sender = a_sender(server, in_the_way)
    sender.offer([a_body("one"), a_body("two")])

    with capture_logs() as logs:
        await send_until(server, sender, requests=1)

    assert sender.lost == 2
    assert [line["lost_bodies"] for line in logs if line["event"] == "batches_lost"] == [2]
