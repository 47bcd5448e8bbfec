"""Paths, queries and headers made to lead elsewhere: nobody gets further, and nothing is a 500."""

from __future__ import annotations

import random
from typing import Final
from urllib.parse import unquote

import pytest
from starlette.types import Message

from iops.auth import Role
from services.alerts.routes import Alerts
from services.insights.routes import Insights
from tests.unit.behind_gates import MAKERS, Guarded, operations, service
from tests.unit.builders import clock_at
from tests.unit.keyrings import Ring, a_request

PUBLIC: Final = frozenset(path for _, _, path, role in operations() if role == "public")
SECRETS: Final = ("/streams", "/alerts", "/keys", "/metrics", "/streams/web-1:sda", "/alerts/dead-letters")
TWISTS: Final = (
    "/{}",
    "{}/",
    "{}//",
    "/.{}",
    "/..;{}",
    "/health/live/..{}",
    "/health/live/%2e%2e{}",
    "/health/live/..%2f..{}",
    "/health/live;{}",
    "/health/live%00{}",
    "/health/live%0d%0aX-API-Key:x{}",
    "/health/live?{}",
    "/health/live#{}",
    "\\{}",
    "/%5c{}",
    "{}%00",
    "{}%20",
    "{}%09",
    "{};a=b",
    "{}%23",
    "{}%3f",
    "{}.json",
    "{}/%2e",
    "{}/..",
    "/%c0%ae%c0%ae{}",
    "/%ef%bc%8f{}",
    "/%e2%80%8b{}",
    "http://127.0.0.1{}",
)
IDS: Final = (
    "%2e%2e",
    "..",
    ".",
    "%00",
    "a%00b",
    "a%2fb",
    "a%5cb",
    "%5c..%5c",
    "web-1%3asda%20",
    "%20web-1:sda",
    "w%d0%b5b-1:sda",  # a Cyrillic e
    "%ef%bd%97eb-1:sda",  # a wide w
    "web-1:sda%e2%80%8b",
    "web-1:sda%cc%81",
    "%c0%af",
    "%ed%a0%80",
    "%f8%88%80%80%80",
    "%ff",
    "%",
    "%zz",
    "a" * 200,
    "%f0%9f%92%a3" * 200,
    "a" * 60_000,
    "*",
    "'%20OR%201=1",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%3cscript%3e",
    "apikey%23aaaaaaaaaaaaaaaa",
)
QUERIES: Final = (
    "limit=1&limit=1000",
    "limit[]=1",
    "limit=1e3",
    "limit=%00",
    "limit=" + "9" * 5_000,
    "limit=-0",
    "limit=%d9%a1",
    "cursor=%00",
    "cursor=" + "A" * 60_000,
    "cursor=a&cursor=b",
    "cursor=%ff%fe",
    "cursor=OTk5IGFwaWtleSNh",
    "min_risk=nan",
    "min_risk=inf&min_risk=-inf",
    "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
    "from=9999-12-31T23:59:59-14:00",
    "to=0001-01-01T00:00:00%2B14:00",
    "from=1e999&to=-1e999",
    "state[$ne]=x",
    "a" * 60_000,
    "&" * 5_000,
    "%" * 500,
    "stream_id=" + "a" * 201,
    "stream_id=%00&peer_group=%00",
    "queue=../../etc",
)


def opened(name: str) -> Guarded:
    ring = Ring()
    table = ring.table.table()
    return Guarded(
        service(name),
        ring,
        {"alerts": Alerts(table, clock_at(), ("bus",)), "insights": Insights(table, clock_at())},
    )


async def ask(guard: Guarded, target: str, *headers: tuple[str, str], method: str = "GET") -> int:
    """The status of a target as a server hands it on: undone once from its percents, whatever it says."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = target.partition("?")
    scope = dict(a_request(*headers, method=method)) | {"raw_path": path.encode(), "query_string": query.encode()}
    await guard.app(scope | {"path": unquote(path)}, receive, send)
    status: int = sent[0]["status"]
    names = [name for name, _ in sent[0]["headers"]]
    assert b"x-content-type-options" in names
    assert b"location" not in names
    return status


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("twist", TWISTS)
async def test_no_twist_of_a_path_leads_past_the_gate(name: str, twist: str) -> None:
    guard = opened(name)
    for secret in SECRETS:
        for method in ("GET", "POST"):
            target = twist.format(secret)
            status = await ask(guard, target, method=method)
            is_public = unquote(target.partition("?")[0]) in PUBLIC
            assert status in (401, 404, 405) or is_public, (method, target, status)
    assert guard.behind.calls == 0


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "get", "G\x00T", ""])
async def test_no_other_method_leads_past_the_gate(method: str) -> None:
    for name, _, path, _ in operations():
        guard = opened(name)
        target = path.replace("{", "").replace("}", "")
        assert await ask(guard, target, method=method) in (401, 404, 405), (method, path)


@pytest.mark.parametrize("given", IDS, ids=range(len(IDS)))
async def test_a_strange_id_is_none_that_there_is(given: str) -> None:
    for name, method, path, _ in operations():
        if "{" not in path:
            continue
        guard = opened(name)
        key = ("x-api-key", guard.ring.add(Role.ADMIN))
        target = path.partition("{")[0] + given + path.partition("}")[2]
        assert await ask(guard, target, key, method=method) in (400, 404, 405, 422), (method, target)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
async def test_a_strange_query_is_refused_or_means_nothing(query: str) -> None:
    for name, method, path, role in operations():
        if method != "GET" or role == "public":
            continue
        guard = opened(name)
        key = ("x-api-key", guard.ring.add(Role.ADMIN))
        target = f"{path.replace('{', '').replace('}', '')}?{query}"
        assert await ask(guard, target, key) in (200, 400, 404, 422), target


async def test_headers_at_random_let_nobody_in_and_break_nothing() -> None:
    dice, names = random.Random(7), [b"x-api-key", b"authorization", b"cookie", b"origin", b"host", b"x-request-id"]
    names += [b"content-length", b"content-type", b"content-encoding", b"x-forwarded-for", b"range", b"expect"]
    words = [b"Bearer ", b"iops_", b"__Host-iops_session=", b"a" * 16, b"_", b"null", b"=", b";", b",", b" ", b"\0"]
    guards = [opened(name) for name in MAKERS]
    for number in range(1_500):
        guard, scope = dice.choice(guards), dict(a_request(method=dice.choice(["GET", "POST"]), address=str(number)))
        scope["headers"] = [
            (dice.choice(names), b"".join(dice.choices([*words, dice.randbytes(9)], k=dice.randrange(9))))
            for _ in range(dice.randrange(6))
        ]
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("a byte of the body was asked for")

        path = dice.choice(SECRETS)
        await guard.app(scope | {"path": path, "raw_path": path.encode(), "query_string": b""}, receive, send)
        assert sent[0]["status"] in (401, 403, 404, 405), scope["headers"]
