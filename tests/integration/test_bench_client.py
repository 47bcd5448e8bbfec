"""The load client over a socket: what it counts, when it comes again, and from when it measures."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count, islice

from bench.load import Client, Request, post

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(replies: Iterator[bytes | None], *, delay_s: float = 0) -> AsyncIterator[int]:
    """A server that answers each request with the next reply, and for None hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(delay_s)
                reply = next(replies)
                if reply is None:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def numbered() -> Iterator[Request]:
    return (Request(post("/metrics", b""), tag) for tag in count())


def forever(reply: bytes, *first: bytes | None) -> Iterator[bytes | None]:
    yield from first
    while True:
        yield reply


async def test_an_open_loop_sends_its_number_whatever_the_answers() -> None:
    async with serving(forever(ACCEPTED)) as port, Client(port, connections=2) as client:
        tally = await client.open_loop(numbered(), rate=500, duration_s=0.1)

    assert sorted(map(int, map(str, tally.acknowledged))) == list(range(50))
    assert dict(tally.answered) == {202: 50}


async def test_latency_begins_when_a_request_was_meant_to_be_sent() -> None:
    """One connection, 20 ms an answer, a request every millisecond: the last waits for all before it."""
    async with serving(forever(ACCEPTED), delay_s=0.02) as port, Client(port, connections=1) as client:
        tally = await client.open_loop(numbered(), rate=1_000, duration_s=0.01)

    assert len(tally.latencies_s) == 10
    assert max(tally.latencies_s) > 0.19


async def test_a_busy_server_and_a_broken_connection_are_asked_again() -> None:
    async with serving(forever(ACCEPTED, BUSY, None)) as port, Client(port, connections=1) as client:
        tally = await client.open_loop(numbered(), rate=100, duration_s=0.03)

    assert sorted(map(int, map(str, tally.acknowledged))) == [0, 1, 2]
    assert dict(tally.answered) == {503: 1, 0: 1, 202: 3}
    assert tally.unanswered == 0


async def test_a_refused_request_is_not_sent_again() -> None:
    async with serving(forever(ACCEPTED, REFUSED)) as port, Client(port, connections=1) as client:
        tally = await client.open_loop(numbered(), rate=100, duration_s=0.02)

    assert (tally.refused, tally.acknowledged) == ([0], [1])


async def test_a_closed_loop_ends_with_its_requests() -> None:
    async with serving(forever(ACCEPTED)) as port, Client(port, connections=3) as client:
        tally = await client.closed_loop(islice(numbered(), 10), duration_s=20)

    assert tally.succeeded == 10
    assert tally.elapsed_s < 10
