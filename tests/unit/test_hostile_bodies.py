"""Bodies made to break what reads them: nobody's is read before it is known whose it is, and none is a 500."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any, Final

import pytest
from starlette.types import Message

from iops.auth import Role
from services.alerts.routes import Alerts
from services.insights.routes import Insights
from tests.unit.behind_gates import Guarded, guarded, operations, service
from tests.unit.builders import clock_at
from tests.unit.keyrings import Ring, a_request

WRITES: Final = sorted({each for each in operations() if each[1] != "GET" and each[3] != "public"})
MIB: Final = 1024 * 1024


@pytest.mark.parametrize("credential", ["none", "unknown", "of another role", "forged session"])
@pytest.mark.parametrize(("name", "method", "path", "needs"), WRITES)
async def test_the_body_of_who_may_not_is_never_read(
    name: str, method: str, path: str, needs: str, credential: str
) -> None:
    guard = guarded(name)
    role = Role.AGENT if needs == Role.VIEWER else Role.VIEWER
    headers = {
        "none": [],
        "unknown": [("x-api-key", "iops_" + "a" * 16 + "_" + "A" * 43)],
        "of another role": [("x-api-key", guard.ring.add(role))],
        "forged session": [("cookie", "__Host-iops_session=x"), ("origin", "https://iops.example.com")],
    }[credential]
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a byte of the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = a_request(*headers, ("content-length", "1048576"), ("content-encoding", "gzip"), method=method)
    path = path.format_map({"alert_id": "a", "silence_id": "a", "stream_id": "a", "insight_id": "a", "key_id": "a"})
    await guard.app(dict(scope) | {"path": path, "raw_path": path.encode(), "query_string": b""}, receive, send)

    assert sent[0]["status"] == (403 if credential == "of another role" else 401)
    assert guard.behind.calls == 0


def nested(depth: int) -> bytes:
    return b'{"reason":' + b"[" * depth + b"]" * depth + b"}"


HOSTILE: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no object": b"[]",
    "null": b"null",
    "deep lists": nested(8_000),
    "deep objects": b'{"reason":' * 1_500 + b"1" + b"}" * 1_500,
    "names twice": b'{"reason":"a","reason":1,"duration_s":60,"duration_s":"x"}',
    "a huge number": b'{"duration_s":1e999,"reason":"x","verdict":1e999,"limit":1e999}',
    "a number of many digits": b'{"duration_s":' + b"9" * 5_000 + b',"reason":"x"}',
    "an exponent of many digits": b'{"duration_s":1e' + b"9" * 5_000 + b',"reason":"x"}',
    "not a number": b'{"duration_s":NaN,"reason":"x","expires_in_s":NaN}',
    "infinity": b'{"duration_s":Infinity,"reason":"x","expires_in_s":-Infinity}',
    "minus infinity": b'{"duration_s":-1e400,"reason":"x"}',
    "the last instant": b'{"until":"9999-12-31T23:59:59Z","reason":"x"}',
    "the first instant": b'{"until":"0001-01-01T00:00:00+23:59","begins_at":"0001-01-01T00:00:00+23:59","reason":"x"}',
    "an instant as a number": b'{"until":1e18,"reason":"x"}',
    "half a letter": b'{"reason":"\\ud800","text":"\\ud800","name":"\\ud800","value":"\\udfff"}',
    "bytes that are no text": b'{"reason":"\xff\xfe\xc0\xaf"}',
    "a letter too long": b'{"reason":"\xf8\x88\x80\x80\x80"}',
    "a NUL": b'{"reason":"a\\u0000b","scope":"stream","value":"a\\u0000","duration_s":60}',
    "ends early": b'{"reason":"',
    "something behind it": b'{"reason":"a"}{}',
    "a byte order mark": b'\xef\xbb\xbf{"reason":"a"}',
    "UTF-16": '{"reason":"a"}'.encode("utf-16"),
    "yes and no as numbers": b'{"queue":"rule","dry_run":0}',
    "yes and no as words": b'{"queue":"rule","dry_run":"no"}',
    "too long": b'{"reason":"' + b"a" * 20_000 + b'"}',
    "a pollution": b'{"__proto__":{"role":"admin"},"constructor":{},"reason":"a"}',
    "a name that is an attribute": b'{"model_config":{},"model_fields":{},"__class__":"x"}',
}
# The read API takes forms and answers as Prometheus does: test_read_api_limits.py.
SMALL: Final = [
    each[:3] for each in WRITES if each[0] != "ingest" and each[1] == "POST" and not each[2].startswith("/api/v1/")
]


def with_parts(name: str) -> Guarded:
    """With what routes answer from, on the table of the ring."""
    ring = Ring()
    table = ring.table.table()
    parts: dict[str, Any] = {"alerts": Alerts(table, clock_at(), ("bus",)), "insights": Insights(table, clock_at())}
    return Guarded(service(name), ring, parts)


@pytest.mark.parametrize("body", HOSTILE)
@pytest.mark.parametrize(("name", "method", "path"), SMALL)
async def test_a_hostile_body_is_refused_with_a_sentence(name: str, method: str, path: str, body: str) -> None:
    guard = with_parts(name)
    key = guard.ring.add(Role.ADMIN)
    before = dict(guard.ring.table.rows)

    response = await guard.ask(method, path, ("x-api-key", key), content=HOSTILE[body])

    assert response.status_code in (400, 404, 413, 422), response.text
    kinds = {"application/problem+json", *(["application/json"] if path.startswith("/api/v1/") else [])}
    assert response.headers["content-type"] in kinds, "Prometheus's clients read errors in their own shape"
    assert len(response.content) < 4_000
    assert guard.ring.table.rows.keys() == before.keys(), "something was stored"


# 404: unpacked once, and on its way to the parser, which is not there.
BOMBS: Final[dict[str, tuple[bytes, int]]] = {
    "1,000 : 1": (gzip.compress(bytes(128 * MIB), 9), 413),
    "in a bomb": (gzip.compress(gzip.compress(bytes(64 * MIB), 9), 9), 404),
    "of lists": (gzip.compress(b"[" * 7 * MIB, 9), 413),
    "two members": (gzip.compress(b"{}") * 2, 400),
    "a thousand members": (gzip.compress(b"") * 1_000, 400),
    "cut": (gzip.compress(b"{}" * 1_000)[:-9], 400),
    "a lie about its size": (gzip.compress(b"{}")[:-4] + b"\xff\xff\xff\x7f", 400),
    "a name without end": (b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 900_000, 400),
}
SPARE: Final = 4 * MIB  # above the 8 MiB that a body may unpack to, and its copy


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics"])
async def test_a_bomb_from_an_agent_is_refused_in_bounded_memory(path: str, bomb: str) -> None:
    guard = guarded("ingest")
    body, status = BOMBS[bomb]
    headers = [("x-api-key", guard.ring.add(Role.AGENT)), ("content-encoding", "gzip")]
    headers += [("content-type", "application/json")]

    tracemalloc.start()
    try:
        response = await guard.ask("POST", path, *headers, content=body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert response.status_code == status, response.text
    assert peak_bytes < 2 * 8 * MIB + SPARE
