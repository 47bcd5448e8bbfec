"""What was found out about a stream: scores, the facts that prove them, and insights."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

RiskScore = Annotated[float, Field(ge=0, le=100)]


def cut_risk(risk_score: float) -> int:
    """A risk as a whole number, never rounded up to one that reaches people.

    >>> cut_risk(79.9), cut_risk(80.0)
    (79, 80)
    """
    return int(risk_score)


class PredictionType(StrEnum):
    """What is wrong, in the field's own terms."""

    PERFORMANCE_DEGRADATION = "performance_degradation"
    LATENCY_SPIKE = "latency_spike"
    RESOURCE_SATURATION = "resource_saturation"
    THROUGHPUT_THROTTLING = "throughput_throttling"
    STALL = "stall"
    IO_ERRORS = "io_errors"
    FAIL_SLOW = "fail_slow"
    ANOMALY = "anomaly"
    AGENT_SILENT = "agent_silent"  # of a host, not of a disk: no scorer and no model finds it


DISK_TROUBLES: Final = tuple(kind for kind in PredictionType if kind is not PredictionType.AGENT_SILENT)


class Fact(BaseModel):
    """One piece of evidence: a number, what it usually is, what it is at the peers, and a sentence that says so."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float
    unit: str
    baseline: float | None = None  # median of the stream's last 24 h; None where there is no such history
    peers: float | None = None  # median of the peers over the same minutes; None below 3 peers
    sentence: str


class Finding(BaseModel):
    """What a scorer says of one stream now. `risk_score` is 0 and `prediction_type` None where nothing is wrong."""

    model_config = ConfigDict(frozen=True)

    risk_score: RiskScore
    prediction_type: PredictionType | None
    facts: tuple[Fact, ...] = ()  # the strongest first
    is_hard_rule: bool = False  # an I/O error or a stall: no model may outvote it
    warming_up: bool = False  # less than 3 h of history
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    began_at: AwareDatetime | None = None
    scored_by: str = "rules"  # or "local" (the model in the service), or "sagemaker"
    asked_before: tuple[str, ...] = ()  # who did not answer, and why: "sagemaker: timed_out"


class Verdict(StrEnum):
    """What an operator says of an insight."""

    CONFIRM = "confirm"
    DISMISS = "dismiss"
    WRONG_CAUSE = "wrong_cause"  # something was wrong, and it was something else


class Neighbour(BaseModel):
    """Another stream of the peer group that is ill at the same time."""

    model_config = ConfigDict(frozen=True)

    stream_id: str
    risk_score: RiskScore
    prediction_type: PredictionType


class Earlier(BaseModel):
    """The last insight of the same stream and type, and the last word of an operator on it."""

    model_config = ConfigDict(frozen=True)

    insight_id: str
    created_at: AwareDatetime
    risk_score: RiskScore
    verdict: Verdict | None = None  # None: nobody said anything
    prediction_type: PredictionType | None = None  # what it was instead, where a wrong cause has a name
    text: str | None = None


class Evidence(BaseModel):
    """What is known of one stream's state: the record that the template, a prompt, the dashboard and a mail render."""

    model_config = ConfigDict(frozen=True)

    stream_id: str
    peer_group: str
    labels: Mapping[str, str] = {}
    provisioned_iops: float | None = None
    prediction_type: PredictionType | None  # None where nothing is wrong, which only a person's question is told
    risk_score: RiskScore
    confidence: float
    facts: tuple[Fact, ...]  # the strongest first
    window_from: AwareDatetime
    window_to: AwareDatetime
    began_at: AwareDatetime
    is_hard_rule: bool
    warming_up: bool
    peers: int | None = None  # other streams of the group that were judged; None: written before they were counted
    neighbours: tuple[Neighbour, ...] = ()  # of those, the ill ones, the worst first; at most 5
    earlier: Earlier | None = None


class ModelCall(BaseModel):
    """What asking a language model took; all calls for one insight together."""

    model_config = ConfigDict(frozen=True)

    model_id: str
    tokens_in: int
    tokens_out: int
    cost_usd: float
    latency_ms: float
    is_cached: bool = False  # an answer to the same evidence was at hand, and this one cost nothing


class Opinion(BaseModel):
    """What a language model would have said in the scorer's place."""

    model_config = ConfigDict(frozen=True)

    prediction_type: PredictionType
    risk_score: RiskScore
    confidence: Annotated[float, Field(ge=0, le=1)]


class Insight(Evidence):
    """A scored, explained finding. Only its words change, once: where a model answers after the template did."""

    insight_id: str  # ULID
    created_at: AwareDatetime
    title: str  # one line, for a person
    explanation: str
    recommendations: tuple[str, ...]
    sequence: int = 0  # grows with each thing that the stream tells, whatever the clocks say
    is_asked_for: bool = False  # by a person; nobody is alerted of it
    is_confirmed: bool = True  # a hard rule, or two scorings in a row: what is 80 or more may be told
    scored_by: str
    asked_before: tuple[str, ...] = ()  # scorers that did not answer, and why
    explained_by: str  # "template", or the provider of a language model: "bedrock", "openai"
    explainers_asked: tuple[str, ...] = ()  # those that did not answer, and why: "bedrock: throttled"
    call: ModelCall | None = None
    opinion: Opinion | None = None
    is_disputed: bool = False  # the opinion's risk is more than 25 away from ours


class Feedback(BaseModel):
    """An operator's word on an insight; of several on one insight the last one holds."""

    model_config = ConfigDict(frozen=True)

    feedback_id: str  # ULID
    insight_id: str
    verdict: Verdict
    created_at: AwareDatetime
    text: str | None = None  # in the operator's own words
    prediction_type: PredictionType | None = None  # what it was instead, where a wrong cause has a name
    given_by: str = "unknown"  # the caller's address
    quiet_until: AwareDatetime | None = None  # dismissed: the same trouble of the stream is not told again before
