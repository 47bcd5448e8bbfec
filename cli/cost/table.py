"""What the table costs: by use or by capacity, with what it stores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cli.cost.fleet import MILLION, Fleet, chunk_writes, reads, row_writes, stored_gb
from cli.cost.line import Line, Quantity, idle, use
from cli.cost.prices import MONTH_S, PriceList

if TYPE_CHECKING:
    from infra.declared import Declared

TARGET_RATIO: Final = 0.7  # of what is provisioned: where autoscaling keeps the average


def table_lines(
    table: Declared, targets: Sequence[Declared], fleet: Fleet, tasks: Mapping[str, float], prices: PriceList
) -> Iterator[Line]:
    """Writes, reads, storage and, where it is on, the backup of every second."""
    if table.inputs.get("billingMode") == "PROVISIONED":
        yield from _capacity(table, targets, fleet, tasks, prices)
    else:
        yield use("table", "writes of samples", prices["write_units"], chunk_writes(fleet))
        yield use("table", "other writes", prices["write_units"], _row_writes(fleet, tasks))
        yield use("table", "reads", prices["read_units"], _reads(fleet, tasks))
    yield use("table", "storage", prices["table_gb"], stored_gb(fleet))
    if (table.inputs.get("pointInTimeRecovery") or {}).get("enabled"):
        yield use("table", "backup of every second (PITR)", prices["pitr_gb"], stored_gb(fleet))


def _capacity(
    table: Declared, targets: Sequence[Declared], fleet: Fleet, tasks: Mapping[str, float], prices: PriceList
) -> Iterator[Line]:
    """The table has to take the fleet's average at 70 %; no index is below its own minimum, which is paid for too."""
    writes = (chunk_writes(fleet).amount + _row_writes(fleet, tasks).amount) * MILLION / MONTH_S
    used = {"write": writes, "read": _reads(fleet, tasks).amount * MILLION / MONTH_S}
    for kind, needed_per_s in used.items():
        needed = math.ceil(needed_per_s / TARGET_RATIO)
        least = _least(table.inputs, targets, kind)
        indexes = [_least(index, targets, kind, index["name"]) for index in table.inputs["globalSecondaryIndexes"]]
        units = max(least, needed) + sum(indexes)
        how = f"table {max(least, needed)} (at least {least}; {needed_per_s:.2f}/s at 70 %) + indexes {sum(indexes)}"
        yield idle("table", f"{kind} capacity", prices[f"{kind}_capacity"], units, how=how)


def _least(inputs: Mapping[str, Any], targets: Sequence[Declared], kind: str, index: str | None = None) -> int:
    """The autoscaling minimum, or what is provisioned where nothing scales it."""
    scope = f"dynamodb:{'index' if index else 'table'}:{kind.title()}CapacityUnits"
    for each in targets:
        resource_id = str(each.inputs["resourceId"])
        if each.inputs["scalableDimension"] == scope and (index is None or resource_id.endswith(f"/{index}")):
            return int(each.inputs["minCapacity"])
    return int(inputs.get(f"{kind}Capacity") or 0)


def _row_writes(fleet: Fleet, tasks: Mapping[str, float]) -> Quantity:
    return row_writes(fleet, ingest_tasks=tasks["ingest"], all_tasks=sum(tasks.values()))


def _reads(fleet: Fleet, tasks: Mapping[str, float]) -> Quantity:
    return reads(fleet, insights_tasks=tasks["insights"], alerts_tasks=tasks["alerts"])
