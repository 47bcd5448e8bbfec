"""Every name and number that two programs must spell alike."""

from collections.abc import Mapping
from typing import Any, Final, Literal

# The table.
TABLE_NAME: Final = "iops-dashboard-metrics"
PARTITION_KEY: Final = "entity_id"
SORT_KEY: Final = "entity_type"
TIME_KEY: Final = "timestamp"  # epoch ms; an item without it is in no index
STREAM_KEY: Final = "stream_id"  # only insights and alerts carry it beside TIME_KEY
TTL_ATTRIBUTE: Final = "ttl"  # epoch seconds
ENTITY_TYPE_INDEX: Final = "EntityTypeIndex"
STREAM_INDEX: Final = "StreamIndex"

# Queues, bus and topic.
SCORING_QUEUE: Final = "iops-dashboard-scoring"
SCORING_DEAD_LETTERS: Final = "iops-dashboard-scoring-dead-letters"
RULE_DEAD_LETTERS: Final = "iops-dashboard-rule-dead-letters"
SUBSCRIPTION_DEAD_LETTERS: Final = "iops-dashboard-subscription-dead-letters"
CANARY_QUEUE: Final = "iops-dashboard-canary"  # subscribed to the topic, so that the daily canary is seen to arrive
SCORING_RECEIVE_LIMIT: Final = 5  # receives of one message before it is a dead letter
SCORING_VISIBILITY_S: Final = 60  # a group is scored in well under a second; the rest is slack for retries
EVENT_BUS: Final = "iops-dashboard-alerts"
EVENT_RULE: Final = "iops-dashboard-high-risk"
ALERT_TOPIC: Final = "iops-dashboard-high-risk-alerts"  # what disks do
OPERATIONS_TOPIC: Final = "iops-dashboard-operations"  # what the system itself does: CloudWatch's alarms

# The SageMaker endpoint that `ml deploy` makes and the insights service may ask.
RISK_ENDPOINT: Final = "iops-dashboard-risk"

# What CloudWatch is told beside AWS's own numbers, by service: $0.30 a month each, and ten are one too many.
MetricUnit = Literal["Count", "Seconds", "None"]  # None: a share, 0-1
METRICS_NAMESPACE: Final = "IopsDashboard"
METRICS_DIMENSION: Final = "Service"
CUSTOM_METRICS: Final[Mapping[str, Mapping[str, MetricUnit]]] = {
    "ingest": {"StoredSamples": "Count", "SecretAgeSeconds": "Seconds"},
    "insights": {
        "ScorerFallbackRatio": "None",
        "ExplainerFallbackRatio": "None",
        "BedrockThrottles": "Count",
        "LlmBudgetRatio": "None",
        "SilentAgents": "Count",
    },
    "alerts": {"OutboxAgeSeconds": "Seconds", "CanaryAgeSeconds": "Seconds"},
}

# The JSON document in SSM that operators change while services run.
FLAGS_PARAMETER: Final = "/iops-dashboard/flags"

# Secrets: JSON documents in Secrets Manager, or one file with all of them under these names.
PEPPER_SECRETS: Final = "iops-dashboard/peppers"  # read by all three services
INSIGHTS_SECRETS: Final = "iops-dashboard/insights"
ALERTS_SECRETS: Final = "iops-dashboard/alerts"

# The score that reaches people, and the one that is worth an insight.
PAGE_RISK_SCORE: Final = 80
INSIGHT_RISK_SCORE: Final = 60

# What POST /metrics takes.
BATCH_SAMPLES_LIMIT: Final = 1_000
REQUEST_BATCHES_LIMIT: Final = 1_000
BODY_LIMIT_BYTES: Final = 1024 * 1024
UNPACKED_LIMIT_BYTES: Final = 8 * 1024 * 1024
SAMPLE_AGE_LIMIT_S: Final = 7 * 24 * 3600
SAMPLE_AHEAD_LIMIT_S: Final = 5 * 60

# Retention.
CHUNK_TTL_S: Final = SAMPLE_AGE_LIMIT_S + 24 * 3600  # a day more, so that what is accepted is kept
ROLLUP_TTL_S: Final = 90 * 24 * 3600
INSIGHT_TTL_S: Final = 90 * 24 * 3600
ALERT_TTL_S: Final = 90 * 24 * 3600  # after it is resolved
AUDIT_TTL_S: Final = 365 * 24 * 3600
COST_TTL_S: Final = 400 * 24 * 3600  # so that a month stands beside the same one a year before

# Which service answers which path, in the order the load balancer asks. `*` is any text. None is nobody: 404.
PATH_RULES: Final[tuple[tuple[str, str | None], ...]] = (
    ("/internal/*", None),
    ("/metrics", "ingest"),
    ("/v1/metrics", "ingest"),
    ("/api/v1/write", "ingest"),
    ("/alerts", "alerts"),
    ("/alerts/*", "alerts"),
    ("/*", "insights"),
)


def service_for_path(path: str) -> str | None:
    """The service that answers `path` behind the load balancer; None where nobody does.

    >>> service_for_path("/metrics"), service_for_path("/streams"), service_for_path("/internal/metrics")
    ('ingest', 'insights', None)
    """
    for pattern, service in PATH_RULES:
        if path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1])):
            return service
    return None


def table_schema(*, has_stream: bool = True) -> dict[str, Any]:
    """The table as CreateTable takes it; TTL is set apart, as AWS wants it.

    `has_stream=False` is for DynamoDB Local, which streams cost 6/7 of its write speed.
    """
    indexes = [
        {
            "IndexName": name,
            "KeySchema": [
                {"AttributeName": key, "KeyType": "HASH"},
                {"AttributeName": TIME_KEY, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for name, key in ((ENTITY_TYPE_INDEX, SORT_KEY), (STREAM_INDEX, STREAM_KEY))
    ]
    schema: dict[str, Any] = {
        "TableName": TABLE_NAME,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": SORT_KEY, "AttributeType": "S"},
            {"AttributeName": TIME_KEY, "AttributeType": "N"},
            {"AttributeName": STREAM_KEY, "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
            {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": indexes,
    }
    if has_stream:
        schema["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    return schema
