"""The line for CloudWatch: it fits the specification, says what Prometheus says, and costs nine metrics."""

import asyncio
import json
import logging
import math
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import pytest

from iops import contract
from iops.emf import READ, Numbers, Telling, telling
from iops.flags import FlagReader, Flags
from iops.observability import Metrics, configure_logging
from iops.settings import ServiceSettings
from tests.unit.builders import AT
from tests.unit.virtual_time import cancelled, in_virtual_time

ROOT_DIR: Final = Path(__file__).parents[2]

# The essentials of AWS's "Specification: Embedded metric format".
DIRECTIVE: Final = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "additionalProperties": False,
    "properties": {
        "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^(?!AWS/)"},
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 30,
                "items": {"type": "string", "minLength": 1, "maxLength": 250},
            },
        },
        "Metrics": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["Name"],
                "additionalProperties": False,
                "properties": {
                    "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                    "Unit": {"enum": ["Seconds", "Milliseconds", "Bytes", "Percent", "Count", "None"]},
                    "StorageResolution": {"enum": [1, 60]},
                },
            },
        },
    },
}
ROOT: Final = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE},
            },
        }
    },
}


def check(line: dict[str, Any]) -> dict[str, float]:
    """The line's metrics; fails where CloudWatch would make none of it."""
    jsonschema.validate(line, ROOT)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)
    metrics = {each["Name"]: line[each["Name"]] for each in directive["Metrics"]}
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in metrics.values())
    return metrics


def an_insights_registry() -> Metrics:
    metrics = Metrics()
    scored = metrics.counter("iops_streams_scored", "", "scorer")
    scored.labels("local").inc(90)
    scored.labels("rules").inc(10)
    metrics.counter("iops_scorer_fallbacks", "", "reason").labels("throttled").inc(4)
    metrics.counter("iops_model_failures", "").inc(1)
    asked = metrics.counter("iops_explanations", "", "by", "reason")
    asked.labels("bedrock", "answered").inc(3)
    asked.labels("bedrock", "throttled").inc(1)
    asked.labels("template", "fallback").inc(1)
    calls = metrics.counter("iops_explainer_calls", "", "provider", "outcome")
    calls.labels("bedrock", "throttled").inc(7)
    calls.labels("openai", "throttled").inc(2)
    metrics.gauge("iops_llm_today_usd", "").set(0.25)
    FlagReader(_NoFlags(), metrics, interval_s=30)
    metrics.gauge("iops_silent_hosts", "").set(2)
    return metrics


class _NoFlags:
    name = "none"

    async def read(self) -> bytes:
        raise AssertionError

    async def changed_by(self, flags: Flags) -> str | None:
        raise AssertionError


def test_there_are_fewer_than_ten_metrics_and_each_can_be_read() -> None:
    named = [name for of_service in contract.CUSTOM_METRICS.values() for name in of_service]

    assert len(named) == 9
    assert sorted(named) == sorted(READ)


def test_the_line_fits_the_specification_and_says_what_prometheus_says() -> None:
    line = Telling("insights", an_insights_registry(), lambda: AT).line()

    assert check(line) == {
        "ScorerFallbackRatio": 0.05,
        "ExplainerFallbackRatio": 0.25,
        "BedrockThrottles": 7,
        "LlmBudgetRatio": 0.25,
        "SilentAgents": 2,
    }
    assert (line["Service"], line["_aws"]["Timestamp"]) == ("insights", round(AT.timestamp() * 1000))


def test_what_only_grows_is_told_as_its_growth() -> None:
    metrics = Metrics()
    stored = metrics.counter("iops_samples_stored", "")
    lines = Telling("ingest", metrics, lambda: AT)
    stored.inc(60)
    told = [check(lines.line())]
    stored.inc(40)
    told += [check(lines.line()), check(lines.line())]

    assert told == [{"StoredSamples": 60}, {"StoredSamples": 40}, {"StoredSamples": 0}]


def test_a_ratio_of_nothing_is_left_out() -> None:
    metrics = an_insights_registry()
    lines = Telling("insights", metrics, lambda: AT)
    lines.line()

    assert check(lines.line()) == {"BedrockThrottles": 0, "LlmBudgetRatio": 0.25, "SilentAgents": 2}


def test_what_nobody_has_looked_at_yet_is_left_out() -> None:
    metrics = Metrics()
    metrics.gauge("iops_canary_age_seconds", "").set(math.nan)

    assert Telling("alerts", metrics, lambda: AT).line() == {}


def test_of_several_secrets_the_oldest_counts() -> None:
    metrics = Metrics()
    metrics.secret_age_s.labels("iops-dashboard/peppers").set(400)
    metrics.secret_age_s.labels("iops-dashboard/other").set(20)

    assert check(Telling("ingest", metrics, lambda: AT).line())["SecretAgeSeconds"] == 400


@pytest.mark.parametrize("service", contract.CUSTOM_METRICS)
def test_the_log_leaves_the_line_as_cloudwatch_needs_it(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service)
    metrics = {"ingest": Metrics, "insights": an_insights_registry, "alerts": Metrics}[service]()
    metrics.secret_age_s.labels("iops-dashboard/peppers").set(30)
    if service == "alerts":
        metrics.gauge("iops_outbox_oldest_seconds", "").set(0.5)
        metrics.gauge("iops_canary_age_seconds", "").set(3_600)
    Telling(service, metrics, lambda: AT).tell()

    (written,) = capsys.readouterr().err.splitlines()
    line = json.loads(written)
    assert sorted(check(line)) == sorted(contract.CUSTOM_METRICS[service])
    assert (line["event"], line["program"]) == ("metrics_told", service)


def test_a_gauge_that_fails_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    configure_logging("ingest")
    logging.getLogger().addHandler(caplog.handler)
    metrics = Metrics()
    metrics.secret_age_s.labels("iops-dashboard/peppers").set_function(lambda: 1 / 0)
    Telling("ingest", metrics, lambda: AT).tell()

    assert "metrics_untold" in caplog.text


@in_virtual_time
async def test_a_line_is_written_each_minute_and_one_at_the_end() -> None:
    told: list[float] = []

    class Counted(Telling):
        def tell(self) -> None:
            told.append(asyncio.get_running_loop().time())

    began_s = asyncio.get_running_loop().time()
    writing = asyncio.create_task(Counted("ingest", Metrics(), lambda: AT).run())
    await asyncio.sleep(150)
    await cancelled(writing)

    assert [round(at_s - began_s) for at_s in told] == [60, 120, 150]


def test_nothing_is_written_unless_the_setting_asks_for_it() -> None:
    assert telling(ServiceSettings(), "ingest", Metrics(), lambda: AT) == {}


class Asked(Numbers):
    """Keeps the names it is asked for."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.names: set[str] = set()

    def grown(self, name: str, **labels: str) -> float:
        self.names.add(name)
        return 1.0

    highest = grown

    def each(self, name: str, by: str, **labels: str) -> dict[str, float]:
        self.names.add(name)
        return {}


def shown_by(service: str) -> str:
    """All code that may make a number of the service's."""
    files = [*(ROOT_DIR / "services" / service).rglob("*.py"), *(ROOT_DIR / "iops").glob("*.py")]
    return "".join(file.read_text() for file in files if file.name not in ("emf.py", "pulse.py"))


@pytest.mark.parametrize("service", contract.CUSTOM_METRICS)
def test_every_number_is_one_that_the_service_shows_to_prometheus(service: str) -> None:
    asked = Asked()
    for metric in contract.CUSTOM_METRICS[service]:
        READ[metric](asked)

    assert asked.names
    assert [name for name in asked.names if f'"{name}"' not in shown_by(service)] == []
