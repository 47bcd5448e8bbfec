"""What every service's door does, whatever is behind it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
import structlog
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, FastAPI, Query, Request
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs

from iops.errors import InvalidInput, NotFound, Problem, TableUnavailable
from iops.gate import PUBLIC
from iops.observability import Metrics, configure_logging
from iops.request_line import note
from iops.settings import ServiceSettings
from iops.web import Health, create_service, running
from tests.unit.fakes import aws_error

router = APIRouter(dependencies=[PUBLIC])


@router.get("/things/{thing}")
async def read_thing(request: Request, thing: str, limit: Annotated[int, Query(ge=1)] = 1) -> dict[str, int]:
    note(request, thing=thing)
    return {"limit": limit}


FAILURES: dict[str, Exception] = {
    "missing": NotFound("there is no thing"),
    "away": TableUnavailable("the table is away", retry_after_s=7),
    "invalid": InvalidInput([Problem("samples[0].at", "is bad"), Problem("host", "is unknown")], total=5),
    "broken": RuntimeError("password=hunter2"),
    "aws": aws_error("AccessDeniedException"),
    "left": ClientDisconnect(),
}


@router.post("/fail/{name}")
async def fail(name: str) -> None:
    raise FAILURES[name]


@router.get("/wrong")
async def answer_wrongly() -> int:
    answer: Any = "hunter2"
    return answer  # type: ignore[no-any-return]


class Door:
    """A service of these routes and a client before it."""

    def __init__(self) -> None:
        self.metrics, self.health = Metrics(), Health()
        self.loop_ends = asyncio.Event()
        self.app = create_service(
            "test",
            routers=[router],
            lifespan=self._lifespan,
            metrics=self.metrics,
            health=self.health,
            settings=ServiceSettings(),
        )
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with running(self.health, counting=self._loop()):
            yield

    async def _loop(self) -> None:
        await self.loop_ends.wait()
        raise ZeroDivisionError("hunter2")


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with LifespanManager(door.app), door.client:
        yield door


async def problem(door: Door, method: str, path: str, status: int, **request: Any) -> dict[str, Any]:
    """The error's body, after what must hold for each."""
    response = await door.client.request(method, path, **request)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == f"urn:iops-dashboard:{body['code']}"
    assert {"type", "title", "status", "code", "detail"} <= body.keys()
    assert "hunter2" not in response.text
    return body


async def test_a_path_nobody_has_is_a_problem(door: Door) -> None:
    assert (await problem(door, "GET", "/nothing", 404))["code"] == "not_found"


async def test_a_method_a_path_does_not_know_is_a_problem_that_says_which_it_knows(door: Door) -> None:
    assert (await problem(door, "DELETE", "/things/1", 405))["code"] == "method_not_allowed"
    assert (await door.client.delete("/things/1")).headers["allow"] == "GET"


async def test_a_parameter_out_of_range_is_a_400_that_names_it(door: Door) -> None:
    body = await problem(door, "GET", "/things/1?limit=0", 400)

    assert body["code"] == "invalid_query"
    assert body["errors"] == [{"field": "limit", "message": "Input should be greater than or equal to 1"}]


async def test_an_expected_failure_says_what_it_is(door: Door) -> None:
    assert (await problem(door, "POST", "/fail/missing", 404))["detail"] == "there is no thing"


async def test_an_invalid_input_lists_its_problems(door: Door) -> None:
    body = await problem(door, "POST", "/fail/invalid", 422)

    assert body["detail"] == "samples[0].at: is bad (and 4 more)"
    assert [error["field"] for error in body["errors"]] == ["samples[0].at", "host"]


async def test_what_is_away_asks_to_come_again(door: Door) -> None:
    await problem(door, "POST", "/fail/away", 503)

    assert (await door.client.post("/fail/away")).headers["retry-after"] == "7"


@pytest.mark.parametrize(("method", "path"), [("POST", "/fail/broken"), ("POST", "/fail/aws"), ("GET", "/wrong")])
async def test_what_nobody_expected_is_a_bare_500(door: Door, method: str, path: str) -> None:
    with capture_logs() as lines:
        body = await problem(door, method, path, 500)

    assert body["code"] == "internal"
    assert [line["event"] for line in lines] == ["request_failed", "request_answered"]


async def test_a_sender_that_left_is_no_failure_of_ours(door: Door) -> None:
    with capture_logs() as lines, pytest.raises(AssertionError):  # httpx's transport: no answer was started
        await door.client.post("/fail/left")

    assert [(line["event"], line["status"]) for line in lines] == [("request_answered", 499)]


@pytest.mark.parametrize("path", ["/things/1", "/nothing", "/fail/missing", "/health/live", "/things/1?limit=0"])
async def test_every_answer_has_an_id_and_is_kept_from_caches_and_sniffers(door: Door, path: str) -> None:
    headers = (await door.client.get(path)).headers

    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["a", "Root=1-67891233-abcdef", "x.y_z-1", "a" * 64])
async def test_a_callers_request_id_is_kept_where_it_is_one(door: Door, given: str) -> None:
    well_formed = re.fullmatch("[A-Za-z0-9_.-]{1,64}", given)
    answered = (await door.client.get("/things/1", headers={"X-Request-Id": given})).headers["x-request-id"]

    assert (answered == given) is bool(well_formed)


@pytest.mark.parametrize("given", [b"", b"a" * 65, b"a b", b"<script>", b"a\xc3\xa9", b"a;b", b'"a"'])
async def test_a_malformed_request_id_is_replaced(door: Door, given: bytes) -> None:
    answered = (await door.client.get("/things/1", headers=[(b"x-request-id", given)])).headers["x-request-id"]

    assert re.fullmatch("[0-9a-f]{32}", answered)


async def test_a_request_is_one_line_with_its_facts(door: Door) -> None:
    with capture_logs() as lines:
        await door.client.get("/things/7%0Aforged")

    (line,) = lines
    assert (line["event"], line["status"], line["thing"]) == ("request_answered", 200, "7\nforged")
    assert line["duration_ms"] >= 0


async def test_routine_questions_leave_no_line_unless_the_answer_is_bad(door: Door) -> None:
    with capture_logs() as lines:
        for path in ("/health/live", "/health/ready", "/internal/metrics"):
            assert (await door.client.get(path)).status_code == 200
    assert lines == []


async def test_requests_are_counted_by_route_and_not_by_what_callers_invent(door: Door) -> None:
    for number in range(3):
        await door.client.get(f"/things/{number}")
        await door.client.get(f"/invented/{number}")

    text = (await door.client.get("/internal/metrics")).text
    assert 'iops_requests_total{method="GET",route="/things/{thing}",status="200"} 3.0' in text
    assert 'iops_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert "invented" not in text


@pytest.mark.parametrize("path", ["/internal/metrics", "/%69nternal/metrics"])
async def test_figures_are_for_nobody_who_came_through_a_load_balancer(door: Door, path: str) -> None:
    assert (await door.client.get(path)).status_code == 200
    response = await door.client.get(path, headers={"X-Forwarded-For": "203.0.113.7"})

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_ready_says_so_while_all_checks_hold(door: Door) -> None:
    response = await door.client.get("/health/ready")

    assert (response.status_code, response.json()) == (200, {"status": "ready", "failed": {}})


@pytest.mark.parametrize(
    "failure", [TableUnavailable("the table is CREATING"), aws_error("ResourceNotFoundException"), OSError("hunter2")]
)
async def test_ready_names_what_cannot_serve(door: Door, failure: Exception) -> None:
    async def check() -> None:
        raise failure

    door.health.checks["table"] = check
    response = await door.client.get("/health/ready")

    assert response.status_code == 503
    assert list(response.json()["failed"]) == ["table"]
    assert "hunter2" not in response.text


async def test_a_loop_that_ends_makes_the_service_unready_but_not_dead(door: Door) -> None:
    door.loop_ends.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    response = await door.client.get("/health/ready")
    assert (response.status_code, response.json()["failed"]) == (503, {"loops": "ended: counting"})
    assert (await door.client.get("/health/live")).status_code == 200


async def test_a_loop_that_failed_is_logged_when_it_fails() -> None:
    health = Health()

    async def fails() -> None:
        raise ZeroDivisionError

    with capture_logs() as lines:
        async with running(health, counting=fails()):
            for _ in range(3):
                await asyncio.sleep(0)
            assert [(line["event"], line["loop"]) for line in lines] == [("loop_failed", "counting")]


async def test_the_loops_end_with_the_service() -> None:
    ended = asyncio.Event()

    async def runs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(Health(), forever=runs()):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_every_line_of_a_request_has_its_id(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test")
    response = await door.client.post("/fail/broken")
    structlog.get_logger().info("between_requests")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    given = response.headers["x-request-id"]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("request_failed", given),
        ("request_answered", given),
        ("between_requests", None),
    ]
