"""The table: keys and indexes of the contract, kept safe, and paid by the request or by the hour."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.config import Config
from iops import contract

# Provisioned units a second: write units at $0.4745 a month, read units at $0.0949. For 200 streams the floor is 18
# writes and 20 reads, $10.44 a month; on demand they cost $1 to $6, so provisioned pays from some 1,000 streams on.
STREAM_WRITES: Final = 0.025  # of a stream: a chunk of 1 KB a minute, and its share of the hourly rows
TARGET_UTILIZATION_RATIO: Final = 0.7
TABLE_LEAST_WRITES: Final = 5
TABLE_READS: Final = 10  # windows read what is new, some 3 a second for 200 streams
INDEX_WRITES: Final = 5  # few rows are in an index, but one that throttles throttles the table
INDEX_READS: Final = 5  # the outbox is asked twice a second by each replica
HEADROOM: Final = 20  # times the floor: what a bill may grow to
SCALE_OUT_S: Final = 0
SCALE_IN_S: Final = 600  # four decreases are free of limits a day, then one an hour
CAPACITY_CHANGES: Final = (
    "readCapacity",
    "writeCapacity",
    "globalSecondaryIndexes[*].readCapacity",
    "globalSecondaryIndexes[*].writeCapacity",
)


class Table(pulumi.ComponentResource):
    """`iops-dashboard-metrics`. On demand it costs nothing when idle, but for storage above 25 GB ($0.25/GB).

    Recovery to any second of the last 35 days costs $0.20/GB: 200 streams hold some 2 GB.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    index_arns: pulumi.Output[list[str]]

    def __init__(self, config: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:table:Table", "table", None, opts)
        is_provisioned = config.capacity_mode == "provisioned"
        ignored = list(CAPACITY_CHANGES) if is_provisioned else None  # Application Auto Scaling's, not ours
        table = aws.dynamodb.Table(
            "metrics",
            **_schema(config),
            ttl={"enabled": True, "attribute_name": contract.TTL_ATTRIBUTE},
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=config.is_kept,
            server_side_encryption={"enabled": True},  # by the account's aws/dynamodb key, which is free itself
            opts=pulumi.ResourceOptions(parent=self, protect=config.is_kept, ignore_changes=ignored),
        )
        self.name = table.name
        self.arn = table.arn
        indexes = (contract.ENTITY_TYPE_INDEX, contract.STREAM_INDEX)
        self.index_arns = table.arn.apply(lambda arn: [f"{arn}/index/{index}" for index in indexes])
        if is_provisioned:
            for index in (None, *indexes):
                self._scale(table, index, config)
        self.register_outputs({"name": self.name, "arn": self.arn, "index_arns": self.index_arns})

    def _scale(self, table: aws.dynamodb.Table, index: str | None, config: Config) -> None:
        """Reads and writes of the table (None) or of one of its indexes."""
        path = f"/index/{index}" if index else ""
        for kind, floor in (("Read", least_reads(index)), ("Write", least_writes(index, config))):
            name = f"{index or 'table'}-{kind.lower()}s"
            target = aws.appautoscaling.Target(
                name,
                service_namespace="dynamodb",
                resource_id=table.name.apply(lambda table_name: f"table/{table_name}{path}"),
                scalable_dimension=f"dynamodb:{'index' if index else 'table'}:{kind}CapacityUnits",
                min_capacity=floor,
                max_capacity=HEADROOM * floor,
                opts=pulumi.ResourceOptions(parent=self),
            )
            aws.appautoscaling.Policy(
                name,
                policy_type="TargetTrackingScaling",
                service_namespace=target.service_namespace,
                resource_id=target.resource_id,
                scalable_dimension=target.scalable_dimension,
                target_tracking_scaling_policy_configuration={
                    "predefined_metric_specification": {"predefined_metric_type": f"DynamoDB{kind}CapacityUtilization"},
                    "target_value": 100 * TARGET_UTILIZATION_RATIO,
                    "scale_out_cooldown": SCALE_OUT_S,
                    "scale_in_cooldown": SCALE_IN_S,
                },
                opts=pulumi.ResourceOptions(parent=self),
            )


def least_writes(index: str | None, config: Config) -> int:
    """The floor of write units a second: of the table (None) it grows with the fleet.

    >>> least_writes(None, Config(streams=200)), least_writes(None, Config(streams=2_000))
    (8, 72)
    """
    if index is not None:
        return INDEX_WRITES
    return max(TABLE_LEAST_WRITES, ceil(config.streams * STREAM_WRITES / TARGET_UTILIZATION_RATIO))


def least_reads(index: str | None) -> int:
    """The floor of read units a second, of the table (None) or of an index."""
    return TABLE_READS if index is None else INDEX_READS


def _schema(config: Config) -> dict[str, Any]:
    """The contract's, in Pulumi's words."""
    schema = contract.table_schema()
    is_provisioned = config.capacity_mode == "provisioned"
    keys = {"hash_key": _key(schema, "HASH"), "range_key": _key(schema, "RANGE")}
    return {
        "name": schema["TableName"],
        "billing_mode": "PROVISIONED" if is_provisioned else schema["BillingMode"],
        "attributes": [
            {"name": each["AttributeName"], "type": each["AttributeType"]} for each in schema["AttributeDefinitions"]
        ],
        **keys,
        "global_secondary_indexes": [
            {
                "name": index["IndexName"],
                "hash_key": _key(index, "HASH"),
                "range_key": _key(index, "RANGE"),
                "projection_type": index["Projection"]["ProjectionType"],
                **(_capacity(index["IndexName"], config) if is_provisioned else {}),
            }
            for index in schema["GlobalSecondaryIndexes"]
        ],
        "stream_enabled": schema["StreamSpecification"]["StreamEnabled"],
        "stream_view_type": schema["StreamSpecification"]["StreamViewType"],
        **(_capacity(None, config) if is_provisioned else {}),
    }


def _key(schema: dict[str, Any], kind: str) -> str:
    return next(str(key["AttributeName"]) for key in schema["KeySchema"] if key["KeyType"] == kind)


def _capacity(index: str | None, config: Config) -> dict[str, int]:
    return {"read_capacity": least_reads(index), "write_capacity": least_writes(index, config)}
