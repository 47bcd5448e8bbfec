"""The door for what operators say of an insight."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from iops.audit import Deed, DeedKind
from iops.auth import Caller
from iops.body import OptionalWords, body_schema, read_body
from iops.errors import BodyTooLarge, Conflict, InvalidInput, NotFound, SlowBody, TableUnavailable
from iops.gate import Operator
from iops.insight import Feedback, Insight, PredictionType, Verdict
from iops.problems import error_responses
from iops.request_line import note
from iops.witness import deed_of
from services.insights.hear import Said, Witness, hear
from services.insights.routes import Service

router = APIRouter(tags=["insights"])

KEY_LIMIT: Final = 255  # characters


class FeedbackBody(BaseModel):
    """What an operator says of an insight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    text: OptionalWords = Field(default=None, description="why, for a person")
    prediction_type: PredictionType | None = Field(
        default=None, description="what it was instead; only with `wrong_cause`"
    )

    @model_validator(mode="after")
    def _only_a_wrong_cause_has_another(self) -> FeedbackBody:
        if self.prediction_type is not None and self.verdict is not Verdict.WRONG_CAUSE:
            raise ValueError("prediction_type goes with wrong_cause only")
        return self


@router.post(
    "/insights/{insight_id}/feedback",
    status_code=201,
    responses=error_responses(NotFound, SlowBody, Conflict, BodyTooLarge, InvalidInput, TableUnavailable),
    openapi_extra=body_schema(FeedbackBody),
)
async def post_feedback(
    request: Request,
    service: Service,
    caller: Operator,
    insight_id: Annotated[str, Path(max_length=64)],
    idempotency_key: Annotated[
        str | None, Header(max_length=KEY_LIMIT, description="the same key again is stored once")
    ] = None,
) -> Feedback:
    """Says that an insight was right, was nothing, or named the wrong cause; the last word holds, and training reads
    it. `dismiss` quiets the same prediction type of the stream until `quiet_until`: no new insight below a risk of 95,
    but for a hard rule; another verdict ends that. The same again without a key is stored once too."""
    body = await read_body(request, FeedbackBody)
    said = Said(
        verdict=body.verdict,
        text=body.text,
        prediction_type=body.prediction_type,
        given_by=caller.name,
        request_key=idempotency_key or None,
        witness=_witness(request, caller),
    )
    feedback = await hear(
        service.table, insight_id, said, caller=caller, clock=service.clock, quiet=service.dismissal_quiet
    )
    note(request, insight_id=feedback.insight_id, feedback_id=feedback.feedback_id, verdict=str(feedback.verdict))
    return feedback


def _witness(request: Request, caller: Caller) -> Witness:
    def tell(insight: Insight, feedback: Feedback) -> Deed:
        told = {
            "stream_id": insight.stream_id,
            "verdict": feedback.verdict,
            "prediction_type": feedback.prediction_type,
            "text": feedback.text,
        }
        now, about = feedback.created_at, insight.insight_id
        return deed_of(request, caller, DeedKind.FEEDBACK_GIVEN, about=about, now=now, detail=told)

    return tell
