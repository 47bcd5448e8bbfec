"""A server that speaks Converse of the Bedrock runtime, as well or as badly as a scenario says.

It checks each request against botocore's own model of the service and against what the real models refuse, since our
client validates nothing; what is wrong gets the error that Bedrock gives. It records every call and counts how many
are under way.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from typing import Any, Final

import botocore.session
import uvicorn
from botocore.model import StructureShape
from botocore.validate import ParamValidator
from starlette.types import Receive, Scope, Send

from tests.doubles.scenario import Call, Delivery, Reply, Scenario, error

HOST: Final = "127.0.0.1"
CALLS_LIMIT: Final = 10_000  # kept; a test that needs more counts
CONVERSE: Final = re.compile(r"/model/([^/]+)/converse")
REGION_PREFIX: Final = re.compile(r"(us|eu|apac|jp|au|global)\.")
ENDED: Final = "claude-3-5-haiku"
REFUSES_SAMPLING: Final = re.compile(r"claude-(haiku|sonnet)-5-5$")
REFUSES_FORCED_TOOL: Final = re.compile(r"claude-sonnet-5-5$")


class Bedrock:
    """The ASGI app, and what a test may ask of it afterwards."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.url = ""
        self._open: set[int] = set()
        self._numbers = count(1)
        self.start_over(scenario)

    @property
    def under_way(self) -> int:
        """Calls whose answer is not complete and whose caller still waits."""
        return len(self._open)

    def start_over(self, scenario: Scenario | None = None) -> None:
        """Forgets what was; without a scenario the model is well."""
        self.scenario = Scenario() if scenario is None else scenario  # may be replaced at any time
        self.calls: deque[Call] = deque(maxlen=CALLS_LIMIT)
        self.most_under_way = self.under_way
        self.abandoned = 0  # calls whose caller left first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        number = next(self._numbers)
        self._open.add(number)
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            reply = self._reply_to(scope, await _read(receive))
            await self._deliver(reply, number, receive, send)
        finally:
            self._open.discard(number)

    def _reply_to(self, scope: Scope, body: bytes) -> Reply:
        named = CONVERSE.fullmatch(scope["path"])
        if named is None or scope["method"] != "POST":
            return error(404, "UnknownOperationException", "The double knows nothing but Converse.")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        try:
            call = Call(named[1], json.loads(body), headers)
        except ValueError:
            return error(400, "SerializationException", "The body is not JSON.")
        self.calls.append(call)
        return refusal(call) or self.scenario.reply_to(call)

    async def _deliver(self, reply: Reply, number: int, receive: Receive, send: Send) -> None:
        left = asyncio.create_task(_wait_until_left(receive))
        sent = asyncio.create_task(self._send(reply, number, send))
        try:
            await asyncio.wait({left, sent}, return_when=asyncio.FIRST_COMPLETED)
            self.abandoned += not sent.done()
        finally:
            left.cancel()
            sent.cancel()
            await asyncio.wait({left, sent})
        if not sent.cancelled():
            sent.result()

    async def _send(self, reply: Reply, number: int, send: Send) -> None:
        if reply.delivery is Delivery.NEVER:
            await asyncio.Event().wait()
        await asyncio.sleep(reply.pause_s)
        await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply, number)})
        if reply.delivery is Delivery.CUT:
            await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
            return  # uvicorn breaks the connection of an app that ends before its body
        *pieces, last = _pieces(reply)
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(reply.pause_s)
        self._open.discard(number)  # before its caller can know, who may call again at once
        await send({"type": "http.response.body", "body": last})


def refusal(call: Call) -> Reply | None:
    """What Bedrock says before a model sees the request; None where nothing is wrong with it."""
    model_id = call.model_id
    if problem := _check_shape(model_id, call.body):
        return error(400, "ValidationException", problem)
    if ENDED in model_id:
        return error(404, "ResourceNotFoundException", "This model version has reached the end of its life.")
    if not REGION_PREFIX.match(model_id):
        on_demand = f"Invocation of model ID {model_id} with on-demand throughput isn't supported."
        return error(400, "ValidationException", f"{on_demand} Retry with an inference profile that contains it.")
    if REFUSES_SAMPLING.search(model_id) and {"temperature", "topP"} & set(call.inference_config):
        return error(400, "ValidationException", "The model does not support sampling parameters.")
    if REFUSES_FORCED_TOOL.search(model_id) and set(call.tool_config.get("toolChoice", {})) & {"any", "tool"}:
        return error(400, "ValidationException", "The model does not support a forced tool choice.")
    return None


@asynccontextmanager
async def running_bedrock(scenario: Scenario | None = None) -> AsyncIterator[Bedrock]:
    """The double in a uvicorn of its own, on a free port of this machine."""
    bedrock = Bedrock(scenario)
    async with serving(bedrock):
        yield bedrock


@asynccontextmanager
async def serving(double: Bedrock) -> AsyncIterator[None]:
    """A double, or one made of it, while it can be reached at its `url`."""
    config = uvicorn.Config(
        double, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1, server_header=False
    )
    server = uvicorn.Server(config)
    with socket.create_server((HOST, 0)) as listener:  # it listens from here on, so nobody has to wait for uvicorn
        double.url = f"http://{HOST}:{listener.getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


@cache
def _converse_shape() -> StructureShape:
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    shape = service.operation_model("Converse").input_shape
    assert isinstance(shape, StructureShape)
    return shape


def _check_shape(model_id: str, body: Any) -> str | None:
    if not isinstance(body, dict) or "messages" not in body:  # the SDK's model lets messages be away, Bedrock does not
        return "The messages are missing."
    report = ParamValidator().validate({"modelId": model_id, **body}, _converse_shape())
    return str(report.generate_report()) if report.has_errors() else None


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _wait_until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(reply: Reply, number: int) -> list[tuple[bytes, bytes]]:
    named: Mapping[str, str] = {
        "content-type": "application/json",
        "content-length": str(len(reply.body)),
        "x-amzn-requestid": f"00000000-0000-4000-8000-{number:012}",
        **reply.headers,
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]


def _pieces(reply: Reply) -> list[bytes]:
    if reply.delivery is not Delivery.DRIP:
        return [reply.body]
    size = max(1, -(-len(reply.body) // reply.pieces))
    return [reply.body[first : first + size] for first in range(0, len(reply.body), size)]
