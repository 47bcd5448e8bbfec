"""What the OpenAPI document says of the read API: its parameters, as a query or a form, and the shape of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel

FORM: Final = "application/x-www-form-urlencoded"
TEXT: Final = {"type": "string"}
NEEDED: Final = {**TEXT, "minLength": 1}
# Name: what it is, whether it is needed, its schema.
PARAMETERS: Final[dict[str, tuple[str, bool, dict[str, Any]]]] = {
    "query": ("in PromQL, the subset of docs/read-api.md", True, NEEDED),
    "time": ("seconds since 1970 or RFC 3339; now where absent", False, TEXT),
    "start": ("seconds since 1970 or RFC 3339", True, NEEDED),
    "end": ("the same", True, NEEDED),
    "step": ("seconds, or a duration like 30s", True, NEEDED),
    "timeout": ("how long to wait, at most 10 s", False, TEXT),
    "match[]": (
        "a selector; given several times, series that fit one of them",
        False,
        NEEDED,
    ),
    "limit": ("of names, values or series; 0 is all", False, {"type": "string", "pattern": "^[0-9]{0,9}$"}),
}


class PrometheusAnswer(BaseModel):
    """What Prometheus's clients read."""

    status: Literal["success", "error"]
    data: Any = None
    warnings: list[str] | None = None
    errorType: str | None = None  # noqa: N815 - as they spell it
    error: str | None = None


SAID: Final = {
    200: "the answer, as Prometheus gives it",
    400: "bad_data: it cannot be read",
    422: "execution: it is not served, or asks for too much",
    503: "timeout, or unavailable",
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": said, "model": PrometheusAnswer} for status, said in SAID.items()
}


def as_query(*names: str, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Parameters of a GET; `needed` beside those that always are."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "description": said,
                "required": is_needed or name in needed,
                "schema": schema,
            }
            for name, (said, is_needed, schema) in _of(names)
        ]
    }


def as_form(*names: str, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The same in the body of a POST."""
    schema = {
        "type": "object",
        "properties": {name: {**schema, "description": said} for name, (said, _, schema) in _of(names)},
        "required": [name for name, (_, is_needed, _) in _of(names) if is_needed or name in needed],
    }
    return {"requestBody": {"content": {FORM: {"schema": schema}}}}


def _of(names: Sequence[str]) -> list[tuple[str, tuple[str, bool, dict[str, Any]]]]:
    return [(name, PARAMETERS[name]) for name in names]
