"""The door for what operators say of an insight."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from iops.errors import BodyTooLarge, Conflict, InvalidInput, NotFound, Problem, SlowBody, TableUnavailable
from iops.insight import Feedback, PredictionType, Verdict
from iops.problems import error_responses
from iops.web import note
from services.insights.hear import Said, hear
from services.insights.routes import Service

router = APIRouter(tags=["insights"])

TEXT_LIMIT: Final = 1_000  # characters
BODY_LIMIT_BYTES: Final = 16 * 1024  # 1,000 characters are 12,000 bytes where each is escaped
BODY_TIMEOUT_S: Final = 10.0
KEY_LIMIT: Final = 255  # characters


class FeedbackBody(BaseModel):
    """What an operator says of an insight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    text: str | None = Field(default=None, max_length=TEXT_LIMIT, description="why, for a person")
    prediction_type: PredictionType | None = Field(
        default=None, description="what it was instead; only with `wrong_cause`"
    )

    @field_validator("text")
    @classmethod
    def _harmless(cls, text: str | None) -> str | None:
        """Without control and bidirectional characters; nothing where nothing is left."""
        kept = "".join(character for character in text or "" if character.isprintable() or character == "\n")
        return kept.strip() or None

    @model_validator(mode="after")
    def _only_a_wrong_cause_has_another(self) -> FeedbackBody:
        if self.prediction_type is not None and self.verdict is not Verdict.WRONG_CAUSE:
            raise ValueError("prediction_type goes with wrong_cause only")
        return self


SCHEMA: Final = FeedbackBody.model_json_schema(ref_template="#/components/schemas/{model}")


@router.post(
    "/insights/{insight_id}/feedback",
    status_code=201,
    responses=error_responses(NotFound, SlowBody, Conflict, BodyTooLarge, InvalidInput, TableUnavailable),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {k: v for k, v in SCHEMA.items() if k != "$defs"}}},
        }
    },
)
async def post_feedback(
    request: Request,
    service: Service,
    insight_id: Annotated[str, Path(max_length=64)],
    idempotency_key: Annotated[
        str | None, Header(max_length=KEY_LIMIT, description="the same key again is stored once")
    ] = None,
) -> Feedback:
    """Says that an insight was right, was nothing, or named the wrong cause; the last word holds, and training reads
    it. `dismiss` quiets the same prediction type of the stream until `quiet_until`: no new insight below a risk of 95,
    but for a hard rule; another verdict ends that. The same again without a key is stored once too."""
    body = _parse(await _read(request))
    said = Said(
        verdict=body.verdict,
        text=body.text,
        prediction_type=body.prediction_type,
        given_by=request.client.host if request.client else "unknown",
        request_key=idempotency_key or None,
    )
    feedback = await hear(service.table, insight_id, said, clock=service.clock, quiet=service.dismissal_quiet)
    note(request, insight_id=feedback.insight_id, feedback_id=feedback.feedback_id, verdict=str(feedback.verdict))
    return feedback


async def _read(request: Request) -> bytes:
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


def _parse(body: bytes) -> FeedbackBody:
    try:
        return FeedbackBody.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInput(
            [Problem(".".join(map(str, found["loc"]))[:80] or "body", found["msg"]) for found in problems[:20]],
            total=len(problems),
        ) from error
