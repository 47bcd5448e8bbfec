"""The doors that Prometheus's own clients and Grafana ask at: GET, or POST with a form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response

from iops.body import read_bytes
from iops.clock import to_epoch_ms
from iops.errors import BodyTooLarge, InvalidQuery, IopsError, SlowBody
from iops.gate import Viewer
from services.insights.prometheus import answer
from services.insights.prometheus.ask import ReadApi
from services.insights.prometheus.documented import ANSWERS, FORM, as_form, as_query
from services.insights.prometheus.series import HELP
from services.insights.prometheus.times import deadline_s, instant_ms, step_ms, steps_of

router = APIRouter(prefix="/api/v1", tags=["prometheus"], responses=ANSWERS)

FIELDS_LIMIT: Final = 100
INSTANT: Final = ("query", "time", "timeout")
RANGE: Final = ("query", "start", "end", "step", "timeout")
LISTS: Final = ("match[]", "limit")


class Asked(NamedTuple):
    """The parameters of a request, and who answers it."""

    api: ReadApi
    request: Request

    async def parameters(self) -> dict[str, list[str]]:
        """Those of the address and of a form. Raises InvalidQuery, BodyTooLarge, SlowBody."""
        pairs = list(self.request.query_params.multi_items())
        if self.request.method == "POST":
            kind = self.request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
            body = await read_bytes(self.request)
            if kind != FORM and body:
                raise InvalidQuery(f"the body: it has to be {FORM}")
            try:
                pairs += parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
            except ValueError as error:
                raise InvalidQuery(f"the body: it is no form of at most {FIELDS_LIMIT} fields in UTF-8") from error
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            found.setdefault(name, []).append(value)
        return found


async def _asked(request: Request) -> Asked:
    return Asked(request.app.state.prometheus, request)


Question = Annotated[Asked, Depends(_asked)]
Parameters = dict[str, list[str]]


@router.get("/query", openapi_extra=as_query(*INSTANT))
@router.post("/query", openapi_extra=as_form(*INSTANT))
async def query(asked: Question, caller: Viewer) -> Response:
    """A query at one instant."""

    async def found(parameters: Parameters) -> Response:
        time = _one(parameters, "time")
        at_ms = instant_ms("time", time) if time else to_epoch_ms(asked.api.clock())
        return answer.success(*await asked.api.instant(_needed(parameters, "query"), at_ms, caller))

    return await _answer(asked, found)


@router.get("/query_range", openapi_extra=as_query(*RANGE))
@router.post("/query_range", openapi_extra=as_form(*RANGE))
async def query_range(asked: Question, caller: Viewer) -> Response:
    """A query at each step of a range."""

    async def found(parameters: Parameters) -> Response:
        start, end = (instant_ms(name, _needed(parameters, name)) for name in ("start", "end"))
        steps = steps_of(start, end, step_ms(_needed(parameters, "step")))
        return answer.success(*await asked.api.range(_needed(parameters, "query"), steps, caller))

    return await _answer(asked, found)


@router.get("/series", openapi_extra=as_query(*LISTS, needed=("match[]",)))
@router.post("/series", openapi_extra=as_form(*LISTS, needed=("match[]",)))
async def series(asked: Question, caller: Viewer) -> Response:
    """The labels of series that there are now, whenever `start` and `end` are."""

    async def found(parameters: Parameters) -> Response:
        _needed(parameters, "match[]")
        return _listed(await asked.api.series(parameters["match[]"], caller), parameters)

    return await _answer(asked, found)


@router.get("/labels", openapi_extra=as_query(*LISTS))
@router.post("/labels", openapi_extra=as_form(*LISTS))
async def labels(asked: Question, caller: Viewer) -> Response:
    """What labels are called."""

    async def found(parameters: Parameters) -> Response:
        return _listed(await asked.api.names(parameters.get("match[]", []), caller), parameters)

    return await _answer(asked, found)


@router.get("/label/{name}/values", openapi_extra=as_query(*LISTS))
async def label_values(asked: Question, caller: Viewer, name: str) -> Response:
    """What a label is."""

    async def found(parameters: Parameters) -> Response:
        return _listed(await asked.api.values(name, parameters.get("match[]", []), caller), parameters)

    return await _answer(asked, found)


@router.get("/metadata")
async def metadata(_: Viewer) -> Response:
    """What each series is, in words."""
    told = {name: [{"type": "gauge", "help": said, "unit": ""}] for name, said in HELP.items()}
    return answer.success(json.dumps(told))


async def _answer(asked: Asked, found: Callable[[Parameters], Awaitable[Response]]) -> Response:
    """What is found in time, or what was wrong in Prometheus's shape; a body that is none is a problem as anywhere."""
    limit_s = None
    try:
        parameters = await asked.parameters()
        limit_s = deadline_s(_one(parameters, "timeout"))
        async with asyncio.timeout(limit_s):
            return await found(parameters)
    except (BodyTooLarge, SlowBody):
        raise
    except IopsError as error:
        return answer.failure(error)
    except TimeoutError:
        if limit_s is None:
            raise
        return answer.too_late(limit_s)


def _one(parameters: Parameters, name: str) -> str | None:
    return parameters.get(name, [None])[0]


def _needed(parameters: Parameters, name: str) -> str:
    value = _one(parameters, name)
    if not value:
        raise InvalidQuery(f"{name}: it is needed")
    return value


def _listed(found: list[Any], parameters: Parameters) -> Response:
    """At most as many as wanted; 0 is all."""
    said = _one(parameters, "limit") or "0"
    if not (said.isascii() and said.isdigit() and len(said) <= 9):
        raise InvalidQuery("limit: it has to be a number like 100")
    limit = int(said) or len(found)
    cut = [f"these are the first {limit:,} of {len(found):,}"] if limit < len(found) else []
    return answer.success(json.dumps(found[:limit]), cut)
