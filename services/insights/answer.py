"""What a language model may say of a stream: its answer, checked against the evidence, or why it is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from iops.insight import DISK_TROUBLES, Evidence, PredictionType, RiskScore
from services.insights.figures import figures_of
from services.insights.names import names_of, plain, strange_names, without_names
from services.insights.providers import Reply

TOOL_NAME: Final = "explain_stream"
OBJECTIONS_LIMIT: Final = 6
OBJECTION_CHARS: Final = 240
NAMED_CHARS: Final = 40  # of a number or a name in an objection
RAW_CHARS: Final = 4_000  # longer text is refused as it is, unread
MARKUP: Final = re.compile(
    r"<[a-z/!?]|\]\(|```|\b[a-z][a-z0-9+.-]{0,20}://|\bwww\.|\b(?:java|vb)script:|\S@[\w-]+\.\w|\b[\w-]+\.[a-z]{2,12}/|\bdata:\w+/|&#?\w{1,8};",
    re.IGNORECASE,
)


class Objected(Exception):
    """An answer that is not shown to anybody; each sentence says what to mend."""

    def __init__(self, objections: tuple[str, ...]) -> None:
        kept = tuple(objection[:OBJECTION_CHARS] for objection in objections[:OBJECTIONS_LIMIT])
        super().__init__("; ".join(kept))
        self.objections = kept


def _of_a_disk(kind: PredictionType) -> PredictionType:
    if kind not in DISK_TROUBLES:
        raise ValueError(f"must be one of {', '.join(DISK_TROUBLES)}")
    return kind


def _clean(value: object) -> object:
    return plain(value, RAW_CHARS) if isinstance(value, str) and len(value) <= RAW_CHARS else value


DiskTrouble = Annotated[PredictionType, AfterValidator(_of_a_disk)]
Explanation = Annotated[str, BeforeValidator(_clean), Field(min_length=20, max_length=1_200)]
Recommendation = Annotated[str, BeforeValidator(_clean), Field(min_length=5, max_length=300)]


class Answer(BaseModel):
    """The input of the tool."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prediction_type: DiskTrouble = Field(strict=False)
    risk_score: RiskScore = Field(description="your own judgement, 0-100")
    explanation: Explanation = Field(description="plain text: what, since when, why")
    recommendations: tuple[Recommendation, ...] = Field(
        strict=False, min_length=2, max_length=4, description="next steps, the most useful first"
    )
    confidence: float = Field(ge=0, le=1)


def read_answer(reply: Reply, evidence: Evidence) -> Answer:
    """The answer, if every number and every stream in it is in the evidence. Raises Objected."""
    if reply.fault is not None:
        raise Objected((f"Call the tool {TOOL_NAME} exactly once; what came was: {plain(reply.fault, 100)}.",))
    answer = _parsed(reply.given)
    objections = objections_to(answer, evidence)
    if objections:
        raise Objected(tuple(objections))
    return answer


def objections_to(answer: Answer, evidence: Evidence) -> list[str]:
    """What the words say that the evidence does not bear out."""
    texts = (answer.explanation, *answer.recommendations)
    names, figures = names_of(evidence), figures_of(evidence)
    said = [without_names(text, names) for text in texts]
    found = ["Write plain text: no tags, links or addresses."] if any(map(MARKUP.search, texts)) else []
    streams = dict.fromkeys(name for text in said for name in strange_names(text, evidence))
    numbers = dict.fromkeys(number for text in said for number in figures.unknown(text))
    found += [f"{name[:NAMED_CHARS]!a} is no stream or device of the evidence; leave it out." for name in streams]
    found += [f"{number[:NAMED_CHARS]!a} is not in the evidence; leave it out or correct it." for number in numbers]
    return found


def _parsed(given: object) -> Answer:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise Objected((f"The input of {TOOL_NAME} must be one object with the fields of its schema.",))
    try:
        return Answer.model_validate({plain(name, NAMED_CHARS): value for name, value in given.items()})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise Objected(tuple(_sentence(problem["loc"], problem["msg"]) for problem in problems)) from error


def _sentence(where: tuple[int | str, ...], message: str) -> str:
    return f"{ascii('.'.join(map(str, where)))[:NAMED_CHARS]}: {message}."
