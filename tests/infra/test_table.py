"""The table as it is declared, beside the one that a laptop makes."""

import asyncio
from typing import Any

import pytest

from infra.config import Config
from infra.table import Table
from iops import contract
from local import resources
from tests.infra.declared import Declared, declare

TYPE = "aws:dynamodb/table:Table"
PROVISIONED = Config(capacity_mode="provisioned", streams=200)


class FakeDynamoDb:
    """Takes what a laptop makes."""

    def __init__(self) -> None:
        self.created: dict[str, Any] = {}
        self.ttl: dict[str, Any] = {}
        self.exceptions = self

    ResourceInUseException = KeyError

    async def create_table(self, **schema: Any) -> None:
        self.created = schema

    async def update_time_to_live(self, **said: Any) -> None:
        self.ttl = said["TimeToLiveSpecification"]

    def get_waiter(self, _: str) -> "FakeDynamoDb":
        return self

    async def wait(self, **_: Any) -> None:
        return


def table_of(config: Config) -> Declared:
    return declare(lambda: Table(config).arn).one(TYPE)


def as_create_table(declared: Declared) -> dict[str, Any]:
    """What is declared, in the words of CreateTable."""
    inputs = declared.inputs

    def keys(holder: Any) -> list[dict[str, str]]:
        return [
            {"AttributeName": holder["hashKey"], "KeyType": "HASH"},
            {"AttributeName": holder["rangeKey"], "KeyType": "RANGE"},
        ]

    return {
        "TableName": inputs["name"],
        "BillingMode": inputs["billingMode"],
        "AttributeDefinitions": [
            {"AttributeName": each["name"], "AttributeType": each["type"]} for each in inputs["attributes"]
        ],
        "KeySchema": keys(inputs),
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index["name"],
                "KeySchema": keys(index),
                "Projection": {"ProjectionType": index["projectionType"]},
            }
            for index in inputs["globalSecondaryIndexes"]
        ],
        "StreamSpecification": {
            "StreamEnabled": inputs["streamEnabled"],
            "StreamViewType": inputs["streamViewType"],
        },
    }


def test_the_cloud_has_the_table_that_a_laptop_makes() -> None:
    laptop = FakeDynamoDb()
    asyncio.run(resources.create_table(laptop))

    declared = table_of(Config())

    assert as_create_table(declared) == laptop.created
    assert declared.inputs["ttl"] == {"enabled": True, "attributeName": laptop.ttl["AttributeName"]}


def test_what_was_stored_can_be_brought_back() -> None:
    declared = table_of(Config())

    assert declared.inputs["pointInTimeRecovery"] == {"enabled": True}
    assert declared.inputs["serverSideEncryption"] == {"enabled": True}


@pytest.mark.parametrize(("environment", "is_kept"), [("prod", True), ("dev", False)])
def test_prods_table_cannot_be_deleted(environment: Any, is_kept: bool) -> None:
    declared = table_of(Config(environment=environment))

    assert declared.inputs["deletionProtectionEnabled"] is is_kept
    assert declared.is_protected is is_kept


def test_on_demand_nothing_scales_and_nothing_is_provisioned() -> None:
    stack = declare(lambda: Table(Config()).arn)

    assert stack.all("aws:appautoscaling/target:Target") == []
    assert "readCapacity" not in stack.one(TYPE).inputs


def test_provisioned_the_table_and_both_indexes_scale() -> None:
    stack = declare(lambda: Table(PROVISIONED).arn)
    floors = {
        (target.inputs["resourceId"], target.inputs["scalableDimension"]): (
            target.inputs["minCapacity"],
            target.inputs["maxCapacity"],
        )
        for target in stack.all("aws:appautoscaling/target:Target")
    }
    table = "table/iops-dashboard-metrics"

    assert floors == {
        (table, "dynamodb:table:ReadCapacityUnits"): (10, 200),
        (table, "dynamodb:table:WriteCapacityUnits"): (8, 160),
        (f"{table}/index/EntityTypeIndex", "dynamodb:index:ReadCapacityUnits"): (5, 100),
        (f"{table}/index/EntityTypeIndex", "dynamodb:index:WriteCapacityUnits"): (5, 100),
        (f"{table}/index/StreamIndex", "dynamodb:index:ReadCapacityUnits"): (5, 100),
        (f"{table}/index/StreamIndex", "dynamodb:index:WriteCapacityUnits"): (5, 100),
    }
    assert len(stack.all("aws:appautoscaling/policy:Policy")) == 6


def test_what_autoscaling_changes_is_not_changed_back() -> None:
    declared = table_of(PROVISIONED)

    assert set(declared.ignored_changes) == {
        "readCapacity",
        "writeCapacity",
        "globalSecondaryIndexes[*].readCapacity",
        "globalSecondaryIndexes[*].writeCapacity",
    }
    assert table_of(Config()).ignored_changes == ()


def test_the_table_says_where_its_indexes_are() -> None:
    stack = declare(lambda: Table(Config()).index_arns)

    assert stack.result == [
        f"arn:aws:dynamodb:us-east-1:123456789012:table/{contract.TABLE_NAME}/index/{index}"
        for index in (contract.ENTITY_TYPE_INDEX, contract.STREAM_INDEX)
    ]
