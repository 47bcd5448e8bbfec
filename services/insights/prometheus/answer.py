"""Answers and errors in the shape that Prometheus's clients read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Final

import numpy as np
from fastapi import Response
from fastapi.responses import StreamingResponse

from iops.errors import IopsError, Unavailable
from services.insights.prometheus.matrix import Labels, Matrix
from services.insights.prometheus.times import Steps

JSON: Final = "application/json"
PIECE_BYTES: Final = 64 * 1024


def success(data: str, warnings: Sequence[str] = ()) -> Response:
    """`data` is JSON already. It goes out in pieces: megabytes packed at once would hold up everybody."""
    warned = f',"warnings":{json.dumps(list(warnings))}' if warnings else ""
    body = f'{{"status":"success","data":{data}{warned}}}'.encode()
    if len(body) <= PIECE_BYTES:
        return Response(body, media_type=JSON)
    return StreamingResponse(_pieces(body), media_type=JSON)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
        await asyncio.sleep(0)


def failure(error: IopsError) -> Response:
    """An expected failure: bad_data of a query that cannot be read, execution of one that is not served."""
    kinds = {422: "execution", 503: "unavailable"}
    return _failure(error.status, kinds.get(error.status, "bad_data"), error.told, error)


def too_late(limit_s: float) -> Response:
    """As Prometheus says it."""
    return _failure(503, "timeout", f"query: it was not done after {limit_s:g} s; select fewer streams or less time")


def _failure(status: int, kind: str, detail: str, error: IopsError | None = None) -> Response:
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    body = {"status": "error", "errorType": kind, "error": detail}
    return Response(json.dumps(body), status, headers, JSON)


def vector(found: Matrix | float, at_ms: int) -> str:
    """What a query comes to at one instant."""
    if isinstance(found, float):
        return _result("scalar", _pair(at_ms, found))
    rows = zip(found.labels, found.values[:, 0].tolist(), strict=True)
    made = (f'{{"metric":{_json(labels)},"value":{_pair(at_ms, value)}}}' for labels, value in rows)
    return _result("vector", f"[{','.join(made)}]")


def matrix(found: Matrix | float, steps: Steps) -> str:
    """What a query comes to at each instant, by labels; a number is a series without labels."""
    at_ms = steps.at_ms
    if isinstance(found, float):
        found = Matrix([{}], np.full((1, len(at_ms)), found))
    instants = [_seconds(at) for at in at_ms.tolist()]
    order = sorted(range(len(found.labels)), key=lambda row: sorted(found.labels[row].items()))
    made = (_row(found.labels[row], instants, found.values[row].tolist()) for row in order)
    return _result("matrix", f"[{','.join(made)}]")


def _row(labels: Labels, instants: Sequence[str], values: Sequence[float]) -> str:
    pairs = (f'[{at},"{_text(value)}"]' for at, value in zip(instants, values, strict=True) if value == value)
    return f'{{"metric":{_json(labels)},"values":[{",".join(pairs)}]}}'


def _json(labels: Labels) -> str:
    return json.dumps(labels, separators=(",", ":"))


def _result(kind: str, result: str) -> str:
    return f'{{"resultType":"{kind}","result":{result}}}'


def _pair(at_ms: int, value: float) -> str:
    return f'[{_seconds(at_ms)},"{_text(value)}"]'


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03}" if at_ms % 1000 else str(at_ms // 1000)


def _text(value: float) -> str:
    """As Go reads it.

    >>> _text(5.0), _text(0.1), _text(float("inf")), _text(1e300)
    ('5', '0.1', '+Inf', '1e+300')
    """
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if value != value else repr(value).removesuffix(".0")
