"""The few numbers that CloudWatch's alarms need, as a log line a minute in its embedded metric format.

No agent and no call: CloudWatch Logs makes metrics of any line that has `_aws`. They are read from the registry that
Prometheus scrapes; what only grows there is told here as what it grew since the line before.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

import structlog
from prometheus_client.samples import Sample

from iops import contract
from iops.clock import Clock, to_epoch_ms
from iops.observability import Metrics
from iops.settings import ServiceSettings

log = structlog.get_logger()

EVERY_S: Final = 60.0  # CloudWatch's own grain; a line of 500 bytes a minute is 22 MB a month and replica, a cent


class Numbers:
    """What a registry says now, and how much of it is new since the last look."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before: dict[tuple[str, str], float] = {}

    def grown(self, name: str, **labels: str) -> float:
        """By how much the counter grew, all its other labels together; asked once a line."""
        now = sum(self._values(f"{name}_total", labels))
        key = name, repr(sorted(labels.items()))
        grown = now - self._before.get(key, 0.0)
        self._before[key] = now
        return grown

    def highest(self, name: str, **labels: str) -> float:
        """Of the gauge's values; NaN where there is none yet."""
        return max(self._values(name, labels), default=math.nan)

    def each(self, name: str, by: str, **labels: str) -> dict[str, float]:
        """The gauge's values by one of its labels."""
        return {sample.labels[by]: sample.value for sample in self._samples(name, labels)}

    def _values(self, name: str, labels: Mapping[str, str]) -> Iterator[float]:
        return (sample.value for sample in self._samples(name, labels))

    def _samples(self, name: str, labels: Mapping[str, str]) -> Iterator[Sample]:
        for family in self._metrics.registry.restricted_registry([name]).collect():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    yield sample


def _scorer_fallback_ratio(numbers: Numbers) -> float:
    fallbacks = numbers.grown("iops_scorer_fallbacks") + numbers.grown("iops_model_failures")
    return _ratio(fallbacks, numbers.grown("iops_streams_scored"))


def _explainer_fallback_ratio(numbers: Numbers) -> float:
    fallbacks = numbers.grown("iops_explanations", reason="fallback")
    return _ratio(fallbacks, fallbacks + numbers.grown("iops_explanations", reason="answered"))


def _llm_budget_ratio(numbers: Numbers) -> float:
    return _ratio(numbers.highest("iops_llm_today_usd"), numbers.highest("iops_flag", flag="llm_daily_usd"))


def _ratio(part: float, whole: float) -> float:
    """NaN, which is not told, where nothing happened."""
    return part / whole if whole > 0 else math.nan


Read = Callable[[Numbers], float]

# As the contract names them.
READ: Final[Mapping[str, Read]] = {
    "StoredSamples": lambda numbers: numbers.grown("iops_samples_stored"),
    "SecretAgeSeconds": lambda numbers: numbers.highest("iops_secret_age_seconds"),
    "ScorerFallbackRatio": _scorer_fallback_ratio,
    "ExplainerFallbackRatio": _explainer_fallback_ratio,
    "BedrockThrottles": lambda numbers: numbers.grown("iops_explainer_calls", provider="bedrock", outcome="throttled"),
    "LlmBudgetRatio": _llm_budget_ratio,
    "SilentAgents": lambda numbers: numbers.highest("iops_silent_hosts"),
    "OutboxAgeSeconds": lambda numbers: numbers.highest("iops_outbox_oldest_seconds"),
    "CanaryAgeSeconds": lambda numbers: numbers.highest("iops_canary_age_seconds"),
}


class Telling:
    """The loop that writes the line of one service."""

    def __init__(self, service: str, metrics: Metrics, clock: Clock) -> None:
        self._service = service
        self._numbers = Numbers(metrics)
        self._clock = clock

    async def run(self) -> None:
        """A line a minute until it is cancelled, and one with what is left then."""
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                self.tell()
        finally:
            self.tell()

    def tell(self) -> None:
        """One line; without what cannot be known now."""
        try:
            line = self.line()
        except Exception:  # a gauge that fails must not make the service unready
            log.exception("metrics_untold")
            return
        if line:
            log.info("metrics_told", **line)

    def line(self) -> dict[str, Any]:
        """The fields, by CloudWatch's specification; empty where nothing can be known now."""
        units = contract.CUSTOM_METRICS[self._service]
        read = {name: READ[name](self._numbers) for name in units}
        values = {name: value for name, value in read.items() if math.isfinite(value)}
        if not values:
            return {}
        directive = {
            "Namespace": contract.METRICS_NAMESPACE,
            "Dimensions": [[contract.METRICS_DIMENSION]],
            "Metrics": [{"Name": name, "Unit": units[name]} for name in values],
        }
        about = {"Timestamp": to_epoch_ms(self._clock()), "CloudWatchMetrics": [directive]}
        return {"_aws": about, contract.METRICS_DIMENSION: self._service, **values}


def telling(
    settings: ServiceSettings, service: str, metrics: Metrics, clock: Clock
) -> dict[str, Coroutine[Any, Any, None]]:
    """The loop for a service to run, where `IOPS_EMF` asks for it."""
    return {"emf": Telling(service, metrics, clock).run()} if settings.emf else {}
