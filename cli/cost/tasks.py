"""What ECS services cost: their tasks by size, processor and capacity provider, and a public address each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cli.cost.line import Line, idle
from cli.cost.prices import MONTH_H, Price, PriceList

if TYPE_CHECKING:
    from infra.declared import Declared

SERVICE: Final = "aws:ecs/service:Service"
DEFINITION: Final = "aws:ecs/taskDefinition:TaskDefinition"
SERVICES: Final = ("ingest", "insights", "alerts")
UNITS_PER_VCPU: Final = 1024
MIB_PER_GB: Final = 1024
X86_VCPU: Final = 0.25  # the size whose price the list has
X86_GB: Final = 0.5


def counts(services: Sequence[Declared]) -> Mapping[str, float]:
    """Of each service: how many tasks run when nothing is scaled out."""
    found = dict.fromkeys(SERVICES, 0.0)
    for each in services:
        found[name_of(each)] += int(each.inputs.get("desiredCount", 1))
    return found


def name_of(service: Declared) -> str:
    """The program that it runs."""
    named = f"{service.name} {service.inputs.get('name', '')}"
    return next(name for name in SERVICES if name in named)


def task_lines(services: Sequence[Declared], definitions: Sequence[Declared], prices: PriceList) -> Iterator[Line]:
    """A line for each service, and one for the addresses of those that have public ones."""
    families = {each.inputs["family"]: each.inputs for each in definitions}
    addresses = 0
    for each in services:
        name, count = name_of(each), int(each.inputs.get("desiredCount", 1))
        task = families[each.inputs["taskDefinition"].rpartition("/")[2].partition(":")[0]]
        is_spot = _is_spot(each.inputs)
        price, how = _task_price(task, prices)
        usd, note = (price * prices["fargate_spot"].usd, "Spot, -70 %") if is_spot else (price, "on demand")
        monthly = Price(usd, "month", prices["fargate_arm_vcpu"].page)
        yield idle("tasks", name, monthly, count, how=f"{count} of {how}, {note}")
        network = each.inputs.get("networkConfiguration") or {}
        addresses += count if network.get("assignPublicIp") else 0
    if addresses:
        yield idle("network", "public IPv4 of tasks", prices["public_ipv4"], addresses)


def _task_price(task: Mapping[str, Any], prices: PriceList) -> tuple[float, str]:
    """Dollars a month on demand."""
    vcpu, gb = int(task["cpu"]) / UNITS_PER_VCPU, int(task["memory"]) / MIB_PER_GB
    if (task.get("runtimePlatform") or {}).get("cpuArchitecture") == "ARM64":
        hourly = vcpu * prices["fargate_arm_vcpu"].usd + gb * prices["fargate_arm_gb"].usd
        return hourly * MONTH_H, f"{vcpu:g} vCPU and {gb:g} GB of ARM, 730 h"
    if (vcpu, gb) != (X86_VCPU, X86_GB):
        raise ValueError(f"x86 of {vcpu:g} vCPU and {gb:g} GB: prices.toml knows {X86_VCPU} and {X86_GB} only")
    return prices["fargate_x86_task"].usd, f"{vcpu:g} vCPU and {gb:g} GB of x86, 730 h"


def _is_spot(inputs: Mapping[str, Any]) -> bool:
    strategies = inputs.get("capacityProviderStrategies") or ()
    return any(each["capacityProvider"] == "FARGATE_SPOT" and each.get("weight", 1) for each in strategies)
