"""Bytes that nobody who means well would send, to all three services: bare problems, and the service goes on."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio
from fastapi import FastAPI

from iops.bus import ScoringQueue
from iops.settings import ServiceSettings
from iops.table import Table
from services.alerts.app import create_app as create_alerts
from services.alerts.settings import AlertsSettings
from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.insights.app import create_app as create_insights
from services.insights.settings import InsightsSettings
from tests.integration.door import a_batch
from tests.integration.served import Answer, answer_of, say, served
from tests.unit.fakes import FakeQueue, FakeTable

pytestmark = pytest.mark.asyncio(loop_scope="module")  # three services for all

AWAY = "http://127.0.0.1:1"  # nobody listens there, so the bus and what else there is are away
SERVICES: dict[str, tuple[Callable[..., FastAPI], type[ServiceSettings], str]] = {
    "ingest": (create_ingest, IngestSettings, "/metrics"),
    "insights": (create_insights, InsightsSettings, "/streams/a/insight"),
    "alerts": (create_alerts, AlertsSettings, "/alerts/a/silence"),
}
INTERNALS = re.compile(
    rb"traceback|\.py\b|site-packages|/home|/usr|/work|/tmp|boto|uvicorn|starlette|pydantic|dynamo|"
    rb"\b(Query|GetItem|PutItem|BatchWriteItem|DescribeTable|UpdateItem)\b|[a-z](Error|Exception)\b|object at 0x",
    re.IGNORECASE,
)
END = b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
LONG = b"a" * 10_000


def a_get(target: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + END


def with_headers(*lines: bytes, method: bytes = b"POST", target: bytes = b"/metrics", body: bytes = b"{}") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + END + body


HOSTILE = {
    "no such path": a_get(b"/nothing"),
    "a slash too many": a_get(b"/streams/"),
    "half a percent": a_get(b"/streams/%"),
    "bad percents": a_get(b"/streams/%zz%ff%fe"),
    "NUL, encoded": a_get(b"/streams/%00"),
    "NUL, bare": a_get(b"/streams/\x00"),
    "line breaks, encoded": a_get(b"/streams/a%0d%0aSet-Cookie:%20a"),
    "dots": a_get(b"/../../../../etc/passwd"),
    "dots, encoded": a_get(b"/streams/..%2f..%2fetc%2fpasswd"),
    "a surrogate": a_get(b"/streams/%ed%a0%80"),
    "bytes beyond ASCII": a_get("/streams/é".encode()),
    "a long path": a_get(b"/streams/" + LONG),
    "a long alert": a_get(b"/alerts/" + LONG),
    "a long insight": a_get(b"/insights/" + LONG),
    "a long query": a_get(b"/streams?limit=1&" + b"&".join(b"a=%d" % number for number in range(2_000))),
    "a bad limit": a_get(b"/streams?limit=%00&limit=1e400"),
    "a bad cursor": a_get(b"/alerts?cursor=%ff%fe&state=" + LONG[:99]),
    "a bad cursor of insights": a_get(b"/insights/recent?cursor=eyJhIjoxfQ&min_risk=nan"),
    "bad instants": a_get(b"/streams/a/samples?from=%00&to=9e99&max_points=-1"),
    "instants far off": a_get(b"/streams/a/samples?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z"),
    "a number of many digits": a_get(b"/streams?limit=" + b"9" * 5_000),
    "HTTP/1.0": b"GET /streams HTTP/1.0\r\n\r\n",
    "HTTP/0.9": b"GET /streams\r\n\r\n",
    "HTTP/2.0": a_get(b"/streams", b"2.0"),
    "HTTP/9.9": a_get(b"/streams", b"9.9"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "an absolute target": a_get(b"http://127.0.0.1/streams"),
    "somebody else's target": a_get(b"http://169.254.169.254/latest/meta-data"),
    "a target that is no URL": a_get(b"http://[::1"),
    "an authority": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + END,
    "a star": b"OPTIONS * HTTP/1.1\r\n" + END,
    "HEAD": b"HEAD /streams HTTP/1.1\r\n" + END,
    "OPTIONS": b"OPTIONS /streams HTTP/1.1\r\n" + END,
    "TRACE": b"TRACE /streams HTTP/1.1\r\n" + END,
    "DELETE": b"DELETE /streams HTTP/1.1\r\n" + END,
    "no such method": b"HACK /streams HTTP/1.1\r\n" + END,
    "no host": b"GET /streams HTTP/1.1\r\nConnection: close\r\n\r\n",
    "a host that is none": b"GET /streams HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /streams HTTP/1.1\r\nHost: b\r\n" + END,
    "a length that is none": with_headers(b"Content-Length: x"),
    "a negative length": with_headers(b"Content-Length: -1"),
    "a length beyond numbers": with_headers(b"Content-Length: " + b"9" * 40),
    "two lengths": with_headers(b"Content-Length: 2", b"Content-Length: 3"),
    "a length and chunks": with_headers(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
    "chunks that are none": with_headers(b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "an unknown transfer": with_headers(b"Transfer-Encoding: gzip, identity"),
    "a name with a blank": with_headers(b"Content-Length : 2"),
    "a folded header": with_headers(b"X-A: 1", b" 2", b"Content-Length: 2"),
    "a header without a colon": with_headers(b"Content-Length 2"),
    "a control character": with_headers(b"X-A: \x01\x7f", b"Content-Length: 2"),
    "a request id twice": with_headers(b"X-Request-Id: a\xff", b"X-Request-Id: b", b"Content-Length: 2"),
    "a key that is none": with_headers(b"X-API-Key: \xff\xfe", b"Authorization: Bearer", b"Content-Length: 2"),
    "an upgrade": with_headers(b"Connection: Upgrade", b"Upgrade: websocket", method=b"GET", target=b"/streams"),
    "an encoding that is none": with_headers(b"Content-Encoding: \x80", b"Content-Length: 2"),
    "a cookie that is none": with_headers(b"Cookie: =;;=\xff; a", method=b"GET", target=b"/streams", body=b""),
}
BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"a":' * 3_000,
    b'"\\ud800"',
    b"\xff\xfe",
    b'{"duration_s":1e999,"text":"\\u0000"}',
]


@dataclass(frozen=True, slots=True)
class Served:
    name: str
    port: int
    rows: FakeTable


@asynccontextmanager
async def fake_queue(*_: Any, **__: Any) -> AsyncIterator[ScoringQueue]:
    yield FakeQueue().queue()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVICES)
async def service(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    name: str = request.param
    create_app, settings_class, _ = SERVICES[name]
    rows = FakeTable()

    @asynccontextmanager
    async def fake_table(*_: Any, **__: Any) -> AsyncIterator[Table]:
        yield rows.table()

    settings = settings_class(aws_endpoint_url=AWAY, aws_timeout_s=0.5)
    with ExitStack() as patched:
        patched.enter_context(patch(f"services.{name}.app.open_table", fake_table))
        if name != "alerts":
            patched.enter_context(patch(f"services.{name}.app.open_scoring_queue", fake_queue))
        async with served(create_app(settings), settings) as port:
            yield Served(name, port, rows)


def assert_bare(answer: Answer, said: bytes) -> None:
    """Whatever was said, the answer gives nothing away and is what our errors are."""
    shown = b"\r\n".join([*(f"{name}: {value}".encode() for name, value in answer.headers.items()), answer.body])
    assert not INTERNALS.search(shown), (said[:200], answer)
    assert answer.status in {200, 202, 400, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 503}, (said[:200], answer)
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff", (said[:200], answer)
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json", (said[:200], answer)
        assert len(answer.body) < 5_000
        if answer.body:  # HEAD has none
            assert answer.json().keys() >= {"type", "title", "status", "code", "detail"}


async def assert_alive(port: int) -> None:
    assert answer_of(await say(port, a_get(b"/health/live"))).body == b'{"status":"alive"}'


async def test_hostile_requests_get_bare_problems(service: Served) -> None:
    port = service.port
    for name, said in HOSTILE.items():
        heard = await say(port, said, silence_s=1.0)
        assert heard or name in ("HTTP/0.9", "a length beyond numbers"), name
        if heard:
            assert_bare(answer_of(heard), said)
        await assert_alive(port)


async def test_hostile_bodies_get_bare_problems(service: Served) -> None:
    port, target = service.port, SERVICES[service.name][2].encode()
    for body in BODIES:
        said = with_headers(b"Content-Length: %d" % len(body), target=target, body=body)
        assert_bare(answer_of(await say(port, said)), said)
    await assert_alive(port)


async def test_a_table_that_is_away_is_not_named(service: Served) -> None:
    service.rows.is_away = True
    reads = [a_get(path) for path in (b"/streams", b"/alerts", b"/insights/recent", b"/streams/a", b"/alerts/a")]
    body = json.dumps(a_batch()).encode()
    answers = []
    for said in [*reads, with_headers(b"Content-Length: %d" % len(body), body=body)]:
        answers.append(answer_of(await say(service.port, said)))
        assert_bare(answers[-1], said)
    ready = answer_of(await say(service.port, a_get(b"/health/ready")))
    service.rows.is_away = False

    assert 503 in {answer.status for answer in answers}
    assert ready.json()["failed"] == {"table": "what it stands on does not answer; come again"}


async def test_requests_at_random_get_bare_problems(service: Served) -> None:
    port = service.port
    chance = random.Random(11)
    seeds = list(HOSTILE.values())

    async def try_one(said: bytes) -> None:
        heard = await say(port, said, silence_s=0.1)
        if heard.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in heard:
            assert_bare(answer_of(heard), said)
        else:  # it waits for more, or hung up without a word
            assert heard == b"" or heard.startswith(b"HTTP/1.1 100 "), (said[:200], heard[:200])

    for _ in range(10):
        async with asyncio.TaskGroup() as tries:
            for _ in range(40):
                tries.create_task(try_one(mangled(chance.choice(seeds), chance)))
    await assert_alive(port)


def mangled(said: bytes, chance: random.Random) -> bytes:
    """With up to eight bytes changed, lost, doubled or moved."""
    text = bytearray(said)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(min(len(text), 300))
        change = chance.randrange(4)
        if change == 0:
            text[place] = chance.randrange(256)
        elif change == 1:
            del text[place : place + chance.randint(1, 4)]
        elif change == 2:
            text[place:place] = text[place : place + chance.randint(1, 20)]
        else:
            text[place:place] = chance.choice([b"\r\n", b"\x00", b"%", b" ", b":", b"\xff", b"http://", b"//"])
        if not text:
            return said
    return bytes(text)
