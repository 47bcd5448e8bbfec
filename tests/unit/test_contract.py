"""Names and numbers that programs share: that they fit one another."""

import pytest

from iops import contract
from iops.contract import service_for_path, table_schema


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/metrics", "ingest"),
        ("/v1/metrics", "ingest"),
        ("/api/v1/write", "ingest"),
        ("/alerts", "alerts"),
        ("/alerts/0123", "alerts"),
        ("/alertsx", "insights"),
        ("/", "insights"),
        ("/streams", "insights"),
        ("/insights/recent", "insights"),
        ("/health/live", "insights"),
        ("/metrics/x", "insights"),
        ("/internal/metrics", None),
        ("/internal/", None),
    ],
)
def test_the_load_balancer_sends_a_path_to_its_service(path: str, service: str | None) -> None:
    assert service_for_path(path) == service


def test_every_key_of_the_table_and_its_indexes_is_declared_and_none_else() -> None:
    schema = table_schema()
    keys = [schema["KeySchema"], *(index["KeySchema"] for index in schema["GlobalSecondaryIndexes"])]

    used = {key["AttributeName"] for part in keys for key in part}
    assert used == {attribute["AttributeName"] for attribute in schema["AttributeDefinitions"]}
    assert [index["IndexName"] for index in schema["GlobalSecondaryIndexes"]] == ["EntityTypeIndex", "StreamIndex"]
    assert schema["BillingMode"] == "PAY_PER_REQUEST"


def test_the_table_has_a_stream_unless_it_is_asked_not_to() -> None:
    assert table_schema()["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert "StreamSpecification" not in table_schema(has_stream=False)


def test_a_schema_is_its_callers_own() -> None:
    table_schema()["KeySchema"].clear()

    assert table_schema()["KeySchema"]


def test_a_sample_that_may_be_sent_is_kept_at_least_as_long() -> None:
    assert contract.CHUNK_TTL_S >= contract.SAMPLE_AGE_LIMIT_S


def test_what_pages_is_an_insight() -> None:
    assert contract.INSIGHT_RISK_SCORE < contract.PAGE_RISK_SCORE
