"""Rows in which each replica of a service says that it is there and how it goes; in no index, and soon gone."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict

from iops import contract
from iops.clock import to_epoch_ms
from iops.items.rows import Item, key_of, number

PULSE_KEPT: Final = timedelta(hours=1)  # of a replica that ended without a word


class Pulse(BaseModel):
    """What one replica said of itself; what cannot be known is left out of its numbers."""

    model_config = ConfigDict(frozen=True)

    service: str
    replica: str
    version: str
    started_at: datetime
    at: datetime
    failed: Mapping[str, str]  # checks, and why; none where it is ready
    counted_s: float  # what the counts are of
    counts: Mapping[str, float]
    levels: Mapping[str, float]
    by_name: Mapping[str, Mapping[str, float]]


def pulse_key(service: str, replica: str) -> Item:
    """Where a replica's pulse lies: with those of its service, beside no stream, whatever streams are called."""
    return key_of(f"pulse#{service}", f"replica#{replica}")


def pulse_item(pulse: Pulse) -> Item:
    """The row, which takes the place of the one before."""
    ends_ms = to_epoch_ms(pulse.at + PULSE_KEPT)
    return pulse_key(pulse.service, pulse.replica) | {
        "doc": {"S": pulse.model_dump_json()},
        contract.TTL_ATTRIBUTE: number(ends_ms // 1000),
    }


def pulses_query(service: str) -> Item:
    """All replicas of a service, those that are gone too."""
    return {
        "KeyConditionExpression": "entity_id = :id",
        "ExpressionAttributeValues": {":id": {"S": f"pulse#{service}"}},
    }


def item_to_pulse(item: Item) -> Pulse:
    """A row of that query."""
    return Pulse.model_validate_json(item["doc"]["S"])
