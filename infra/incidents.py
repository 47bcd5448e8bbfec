"""What is worth a mail to whoever runs the system. Each has its section in docs/runbook.md.

Numbers of ours come through the log a minute or two late, so one late point never decides. Where no data means that
nothing happened, it is `notBreaching`; where it means that nobody looks any more, `breaching`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from infra.config import SERVICES
from infra.metric import Metric, Watched, of_balancer, of_index, of_ours, of_queue, of_table, of_targets, of_tasks
from iops import contract

Missing = Literal["breaching", "notBreaching"]

FEW_REQUESTS: Final = 100  # in 5 minutes; 200 streams make 1,000, and one bad answer among few is no ratio
SCORING_AGE_S: Final = 3 * contract.SCORING_VISIBILITY_S  # two tries failed; at the intended load it is 15 s
CANARY_AGE_S: Final = 26 * 3600  # one a day, and two hours
SECRET_AGE_S: Final = 300  # read every 60 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Red while the number is above `above` in `points` of `of` periods."""

    name: str
    section: str  # the heading in docs/runbook.md
    meaning: str
    metrics: Mapping[str, Metric]  # by their name in the expression
    expression: str = ""  # empty: the one metric itself
    above: float
    period_s: int
    points: int
    of: int
    missing: Missing


def incidents(watched: Watched) -> tuple[Incident, ...]:
    """All of them."""
    return (
        *_of_balancer(watched),
        *(incident for service in SERVICES for incident in _of_service(watched, service)),
        *_of_table(),
        *_of_queues(),
        *_of_insights(watched),
        *_of_alerts(),
        _one(
            "secret-age",
            "ingest has not read the peppers of API keys for five minutes; a rotated one would lock agents out.",
            of_ours("ingest", "SecretAgeSeconds"),
            above=SECRET_AGE_S,
            period_s=60,
            points=5,
        ),
    )


def _of_balancer(watched: Watched) -> Iterator[Incident]:
    errors = "FILL(by_services, 0) + FILL(by_balancer, 0)"
    yield Incident(
        name="balancer-errors",
        section="balancer-errors",
        meaning="More than 5 % of all answers are 5xx.",
        metrics={
            "by_services": of_balancer(watched, "HTTPCode_Target_5XX_Count"),
            "by_balancer": of_balancer(watched, "HTTPCode_ELB_5XX_Count"),
            "requests": of_balancer(watched, "RequestCount"),
        },
        expression=f"IF(requests >= {FEW_REQUESTS}, ({errors}) / requests, 0)",
        above=0.05,
        period_s=300,
        points=2,  # a deployment's or a Spot task's end fits into one
        of=3,
        missing="notBreaching",  # nobody asked
    )
    yield _one(
        "ingest-latency",
        "One POST in a hundred takes more than a second; agents give up after ten.",
        of_targets(watched, "ingest", "TargetResponseTime", "p99"),  # insights may take 20 s by design
        above=1.0,
    )


def _of_service(watched: Watched, service: str) -> Iterator[Incident]:
    yield _one(
        "unhealthy-targets",
        f"A task of {service} fails its health checks, or {service} has no task.",
        of_targets(watched, service, "UnHealthyHostCount", "Maximum"),
        about=service,
        above=0,
        period_s=60,
        points=8,  # a Spot task's successor takes two minutes to come and one to be healthy
        missing="breaching",  # the balancer tells nothing of a group without targets
    )
    yield _one(
        "task-cpu",
        f"{service} uses more than 85 % of its CPU; requests wait, and scaling does not help.",
        of_tasks(watched, service, "CPUUtilization", "Average"),
        about=service,
        above=85,
        points=3,  # scaling out takes five minutes
    )
    yield _one(
        "task-memory",
        f"A task of {service} uses more than 90 % of its memory; at 100 % it is killed.",
        of_tasks(watched, service, "MemoryUtilization", "Maximum"),
        about=service,
        above=90,
        points=2,
    )


def _of_table() -> Iterator[Incident]:
    # A burst on a new partition is throttled for moments, and all writers come again.
    for name, meaning, metrics in (
        (
            "table-throttles",
            "DynamoDB refuses reads or writes of the table; senders are asked to come again.",
            {"writes": of_table("WriteThrottleEvents"), "reads": of_table("ReadThrottleEvents")},
        ),
        (
            "index-throttles",
            "An index of the table cannot take its writes; soon the table refuses them too.",
            {
                "entity_types": of_index(contract.ENTITY_TYPE_INDEX, "WriteThrottleEvents"),
                "streams": of_index(contract.STREAM_INDEX, "WriteThrottleEvents"),
            },
        ),
    ):
        yield Incident(
            name=name,
            section=name,
            meaning=meaning,
            metrics=metrics,
            expression=" + ".join(f"FILL({each}, 0)" for each in metrics),
            above=25,  # one whole BatchWriteItem
            period_s=300,
            points=2,
            of=3,
            missing="notBreaching",  # DynamoDB tells throttles only while there are some
        )


def _of_queues() -> Iterator[Incident]:
    yield _one(
        "scoring-age",
        "Streams wait to be scored; what is wrong with disks is found late.",
        of_queue(contract.SCORING_QUEUE, "ApproximateAgeOfOldestMessage"),
        above=SCORING_AGE_S,
        period_s=60,
        points=5,
    )
    for name, meaning, queue in (
        ("scoring-dead-letters", "A peer group could not be scored in five tries.", contract.SCORING_DEAD_LETTERS),
        ("rule-dead-letters", "EventBridge could not hand an alert to SNS.", contract.RULE_DEAD_LETTERS),
        ("mail-dead-letters", "SNS could not deliver a mail.", contract.SUBSCRIPTION_DEAD_LETTERS),
    ):
        yield _one(
            name,
            meaning,
            of_queue(queue, "ApproximateNumberOfMessagesVisible"),
            above=0,
            points=1,  # it stays until somebody takes it
        )


def _of_insights(watched: Watched) -> Iterator[Incident]:
    yield _one(
        "scorer-fallbacks",
        "A tenth of the streams are scored by another scorer than they should be.",
        of_ours("insights", "ScorerFallbackRatio", "Average"),
        above=0.1,
    )
    yield _one(
        "explainer-fallbacks",
        "Half of the questions to language models end with the template's words.",
        of_ours("insights", "ExplainerFallbackRatio", "Average"),
        above=0.5,
        period_s=900,  # questions are rare
    )
    yield _one(
        "bedrock-throttles",
        "Bedrock refuses calls: the account's quota for the model is too small.",
        of_ours("insights", "BedrockThrottles", "Sum"),
        above=10,
    )
    yield _one(
        "llm-budget",
        "Language models have used 80 % of the day's money (flag llm_daily_usd); at 100 % the template words all.",
        of_ours("insights", "LlmBudgetRatio"),
        above=0.8,
        points=1,  # it falls only at midnight
    )
    yield _one(
        "silent-agents",
        "Several hosts send no samples at once; of one alone its alert tells.",
        of_ours("insights", "SilentAgents"),
        above=max(1, watched.config.streams // 100),
    )


def _of_alerts() -> Iterator[Incident]:
    yield _one(
        "outbox-age",
        "Insights wait for the alerts service; people hear of them late, or not at all.",
        of_ours("alerts", "OutboxAgeSeconds"),
        above=120,
        period_s=60,
        points=8,  # as for unhealthy targets
        missing="breaching",  # alerts does not run, or does not tell
    )
    yield _one(
        "canary-missing",
        "The daily test mail did not come back: nobody may be hearing of anything.",
        of_ours("alerts", "CanaryAgeSeconds"),
        above=CANARY_AGE_S,
        period_s=900,
        points=2,
        missing="breaching",  # nobody watches for it
    )


def _one(
    section: str,
    meaning: str,
    metric: Metric,
    *,
    above: float,
    period_s: int = 300,
    points: int = 3,
    about: str = "",
    missing: Missing = "notBreaching",
) -> Incident:
    """Of one metric, above in each of so many periods; in most cases for a quarter of an hour."""
    return Incident(
        name=f"{section}-{about}" if about else section,
        section=section,
        meaning=meaning,
        metrics={"number": metric},
        above=above,
        period_s=period_s,
        points=points,
        of=points,
        missing=missing,
    )
