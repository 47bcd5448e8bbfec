"""What infra tells a service is what that service reads, and it starts with it."""

from typing import Any

import pytest

from infra.config import SERVICES, Config
from infra.environment import Facts, variables
from iops.settings import ServiceSettings
from services.alerts.settings import AlertsSettings
from services.ingest.settings import IngestSettings
from services.insights.settings import InsightsSettings

SETTINGS: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "insights": InsightsSettings,
    "alerts": AlertsSettings,
}
FACTS = Facts(
    public_url="https://iops.example.com",
    proxies="10.0.0.0/16",
    issuer="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool",
    client_id="client",
    hosted_ui_url="https://iops.auth.us-east-1.amazoncognito.com",
    endpoint_name="iops-dashboard-risk",
)


def started(service: str, monkeypatch: pytest.MonkeyPatch, config: Config, facts: Facts = FACTS) -> Any:
    for name, value in variables(service, config, facts).items():
        assert isinstance(value, str)
        monkeypatch.setenv(name, value)
    return SETTINGS[service]()


@pytest.mark.parametrize("service", SERVICES)
def test_each_variable_is_one_that_the_service_reads(service: str) -> None:
    known = {f"IOPS_{name.upper()}" for name in SETTINGS[service].model_fields}

    assert set(variables(service, Config(), FACTS)) - known == set()


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_starts_with_what_it_is_told(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = started(service, monkeypatch, Config(region="eu-central-1"))

    assert (settings.listen_host, settings.listen_port, settings.auth) == ("0.0.0.0", 8000, "on")
    assert settings.aws_region == "eu-central-1"
    assert settings.trusted_proxies == ("10.0.0.0/16",)


def test_ingest_knows_no_people(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started("ingest", monkeypatch, Config()).issuer is None


def test_insights_is_told_who_signs_in_and_who_explains(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = started("insights", monkeypatch, Config())

    assert settings.client_ids == ("client",)
    assert settings.hosted_ui_url == "https://iops.auth.us-east-1.amazoncognito.com"
    assert (settings.explainers, settings.sagemaker_endpoint) == (("bedrock",), "iops-dashboard-risk")


def test_a_plain_stack_has_neither_pages_nor_models(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts("http://balancer", "10.0.0.0/16", FACTS.issuer, "client", None, None)

    settings = started("insights", monkeypatch, Config(has_bedrock=False), facts)

    assert (settings.hosted_ui_url, settings.explainers, settings.sagemaker_endpoint) == (None, (), None)
