"""What Grafana's dashboards ask is PromQL, and whom they ask has an answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest

from bench.processes import free_port, url_of
from iops.contract import ALERTS_SECRETS
from local.grafana.__main__ import FOLDER
from local.supervisor import Supervisor
from tests.integration.stand_ins import Cloud, web_child
from tests.openapi import SERVICES
from tests.secret_documents import write_secrets

METRIC: Final = re.compile(r"\biops_[a-z0-9_]+")
FAMILY: Final = re.compile(r"_(total|bucket)$")
FILLED: Final = {  # as Grafana fills them in
    "$__rate_interval": "1m0s",
    "$peer_group": r"web-1|db\\.2",
    "$min_risk": "60",
    "$stream": "web-1:sda",
}
ANSWER_LIMIT_S: Final = 30.0


def queries_of(name: str) -> list[str]:
    """What its panels ask, with every variable filled in."""
    rows = json.loads((FOLDER / f"{name}.json").read_text())["panels"]
    panels = [each for row in rows for each in (row, *row.get("panels", []))]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    for variable, value in FILLED.items():
        asked = [query.replace(variable, value) for query in asked]
    return asked


@pytest.fixture(scope="module")
def promtool() -> str:
    return shutil.which("promtool") or pytest.skip("no promtool here: it comes with Debian's prometheus")


@pytest.fixture(scope="module")
def urls(cloud_server: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Where the three listen; with a model and a webhook, so that there is every number that there can be."""
    folder = tmp_path_factory.mktemp("services")
    hook = {"webhooks": {"chat": {"url": "https://hooks.slack.com/services/nobody"}}}
    environment = {
        **cloud_server.environment,
        "IOPS_EXPLAINERS": "bedrock",
        "IOPS_SECRETS_FILE": str(write_secrets(folder / "secrets.json", {ALERTS_SECRETS: hook})),
        "IOPS_WEBHOOKS": '[{"name": "chat", "kind": "slack"}]',
        "IOPS_WEBHOOK_HOSTS": "hooks.slack.com",
    }
    with Supervisor(folder) as supervisor:
        ports = {name: free_port() for name in SERVICES}
        for name, port in ports.items():
            supervisor.start(web_child(name, f"services.{name}.app:create_app", port, environment))
        yield {name: url_of(port) for name, port in ports.items()}


def test_every_query_is_promql_without_a_variable_left(promtool: str, tmp_path: Path) -> None:
    queries = [query for name in ("fleet", "stream", "services") for query in queries_of(name)]
    rules = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.json"  # which is YAML too
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))

    done = subprocess.run(
        (promtool, "check", "rules", str(file)), capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=False
    )

    assert done.returncode == 0, done.stderr
    assert f"{len(queries)} rules found" in done.stdout


def test_the_services_tell_every_number_that_their_dashboard_asks_for(urls: Mapping[str, str]) -> None:
    asked = {FAMILY.sub("", metric) for query in queries_of("services") for metric in METRIC.findall(query)}
    told = "".join(httpx.get(f"{url}/internal/metrics", timeout=ANSWER_LIMIT_S).text for url in urls.values())
    families = {FAMILY.sub("", family) for family in re.findall(r"^# TYPE (\S+)", told, re.MULTILINE)}

    assert asked - families == set()
