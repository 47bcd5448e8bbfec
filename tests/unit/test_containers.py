"""The files of the containers agree with the code: routes, addresses, privileges, what Prometheus and Grafana ask."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from iops.contract import PATH_RULES

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
GRAFANA: Final = ROOT / "local" / "grafana"
SOURCES: Final[dict[str, dict[str, Any]]] = {
    source["uid"]: source
    for source in yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
}


def route(pattern: str, service: str | None) -> tuple[str, str]:
    """A path rule as nginx's map says it."""
    if pattern == "/*":
        return "default", str(service)
    return (f"~^{pattern[:-1]}" if pattern.endswith("*") else pattern), service or '""'


def test_nginx_has_the_path_rules_of_the_load_balancer_in_their_order() -> None:
    text = (ROOT / "local" / "nginx.conf").read_text()
    block = text.partition("map $uri $service {")[2].partition("}")[0]

    routes = [tuple(line.strip().rstrip(";").split()) for line in block.strip().splitlines()]

    assert routes == [route(pattern, service) for pattern, service in PATH_RULES]


def test_nothing_listens_wider_than_this_machine() -> None:
    published = [port for container in CONTAINERS.values() for port in container.get("ports", [])]

    assert published
    assert all(re.match(r"^127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+$", port) for port in published)
    assert not [name for name, container in CONTAINERS.items() if container.get("network_mode")]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_no_privilege_and_a_read_only_root(name: str) -> None:
    container = CONTAINERS[name]

    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "restart"} & set(container)
    assert not [volume for volume in container.get("volumes", []) if volume.startswith(("/", "~"))]


@pytest.mark.parametrize("file", ["Dockerfile", "agent/Dockerfile", "local/ministack.Dockerfile"])
def test_an_image_of_ours_runs_as_a_numbered_nobody_with_pinned_packages(file: str) -> None:
    text = (ROOT / file).read_text()

    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "10001:10001"
    assert "STOPSIGNAL SIGTERM" in text
    assert re.findall(r"install (.+) -r /requirements.txt$", text, re.MULTILINE)
    assert all("--require-hashes" in line for line in text.splitlines() if " -r /requirements.txt" in line)
    assert not re.search(r"index-url|https?://(?!127\.0\.0\.1)", text)


def test_the_images_keep_what_botocore_knows_of_each_service_that_is_called() -> None:
    kept = re.search(r"grep -vE '/\(([a-z|-]+)\)\$'", (ROOT / "Dockerfile").read_text())
    sources = [path.read_text() for folder in ("iops", "services") for path in (ROOT / folder).rglob("*.py")]

    called = {name for source in sources for name in re.findall(r'open_client\(\s*"([a-z-]+)"', source)}

    assert kept is not None
    assert called <= set(kept[1].split("|"))


def test_the_services_come_up_as_strict_as_in_aws() -> None:
    for name in ("ingest", "insights", "alerts"):
        environment = CONTAINERS[name]["environment"]
        assert environment["IOPS_AUTH"] == "on"
        assert not {"IOPS_SECRETS_FILE", "IOPS_FLAGS_FILE", "IOPS_DOCS", "IOPS_TRUSTED_PROXIES"} & set(environment)


def test_prometheus_asks_each_service_at_its_own_door() -> None:
    job = yaml.safe_load((ROOT / "local" / "prometheus.yml").read_text())["scrape_configs"][0]

    assert job["metrics_path"] == "/internal/metrics"
    assert job["static_configs"] == [{"targets": ["ingest:8000", "insights:8000", "alerts:8000"]}]


def test_grafana_finds_its_dashboards_and_what_they_ask_by_default() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/iops.yml").read_text())["providers"][0]
    pages = [json.loads(path.read_text()) for path in (GRAFANA / "dashboards").iterdir()]
    asked = {page["templating"]["list"][0]["current"]["value"] for page in pages}

    assert f"./local/grafana/dashboards:{provider['options']['path']}:ro" in CONTAINERS["grafana"]["volumes"]
    assert {uid: source["url"] for uid, source in SOURCES.items()} == {
        "prometheus": "http://prometheus:9090",
        "iops": "http://insights:8000",
    }
    assert asked == set(SOURCES) | {"cloudwatch"}  # which is there where somebody has an account


def test_grafana_reads_with_a_key_of_its_own_and_shows_nothing_to_who_has_it_not() -> None:
    grafana, made = CONTAINERS["grafana"], CONTAINERS["setup"]["volumes"]

    assert SOURCES["iops"]["jsonData"]["httpHeaderName1"] == "X-API-Key"
    assert SOURCES["iops"]["secureJsonData"]["httpHeaderValue1"] == "$__file{/key/viewer.key}"
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/key/viewer.key"
    assert not [name for name in grafana["environment"] if "ANONYMOUS" in name]
    assert "grafana-key:/state/grafana" in made
    assert "grafana-key:/key:ro" in grafana["volumes"]
    assert [name for name, each in CONTAINERS.items() if "grafana-key" in str(each)] == ["setup", "grafana"]
    assert grafana["user"].partition(":")[0] == "10001"  # setup's, and only its owner can read a key
