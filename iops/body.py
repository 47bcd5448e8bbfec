"""Small JSON bodies that people's programs send: bounded, in time, and refused with a sentence for each field."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from iops.errors import BodyTooLarge, InvalidInput, Problem, SlowBody

WORDS_LIMIT: Final = 1_000  # characters
BODY_LIMIT_BYTES: Final = 16 * 1024  # 1,000 characters are 12,000 bytes where each is escaped
BODY_TIMEOUT_S: Final = 10.0
PROBLEMS_SHOWN: Final = 20

Body = TypeVar("Body", bound=BaseModel)


def harmless(text: str) -> str:
    """Without control and bidirectional characters, and without space around it.

    >>> harmless(" a\\x1b[31mb\\u202e\\nc ")
    'a[31mb\\nc'
    """
    return "".join(character for character in text if character.isprintable() or character == "\n").strip()


def harmless_or_none(text: str | None) -> str | None:
    """The same; None where nothing is left."""
    return harmless(text or "") or None


OptionalWords = Annotated[str | None, Field(max_length=WORDS_LIMIT), AfterValidator(harmless_or_none)]


async def read_body(request: Request, model: type[Body], *, or_none: bool = False) -> Body:
    """The body as `model` says; `or_none`: no body is an empty object. Raises BodyTooLarge, SlowBody, InvalidInput."""
    body = await read_bytes(request)
    try:
        return model.model_validate_json(body or b"{}" if or_none else body, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInput(
            [
                Problem(".".join(map(str, found["loc"]))[:80] or "body", found["msg"])
                for found in problems[:PROBLEMS_SHOWN]
            ],
            total=len(problems),
        ) from error


def body_schema(model: type[BaseModel], *, is_required: bool = True) -> dict[str, Any]:
    """What a route's OpenAPI says of a body that it reads by itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    content = {"application/json": {"schema": {name: part for name, part in schema.items() if name != "$defs"}}}
    return {"requestBody": {"required": is_required, "content": content}}


async def read_bytes(request: Request) -> bytes:
    """A small body as it came. Raises BodyTooLarge, SlowBody."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_LIMIT_BYTES:
                    raise BodyTooLarge(f"the body is larger than {BODY_LIMIT_BYTES} bytes")
    except TimeoutError as error:
        raise SlowBody(f"the body was not complete after {BODY_TIMEOUT_S:g} s; nothing of it is stored") from error
    return bytes(body)
