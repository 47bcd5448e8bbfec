"""What Grafana's dashboards ask is PromQL, and whom they ask has an answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from bench.processes import free_port, url_of
from iops.clock import now
from iops.contract import ALERTS_SECRETS
from local.grafana.__main__ import FOLDER
from local.supervisor import Supervisor
from tests.integration.examples import a_batch, some_samples
from tests.integration.stand_ins import Cloud, block_until, web_child
from tests.openapi import SERVICES
from tests.secret_documents import write_secrets

METRIC: Final = re.compile(r"\biops_[a-z0-9_]+")
FAMILY: Final = re.compile(r"_(total|bucket)$")
FILLED: Final = {  # as Grafana fills them in: of several choices it makes a pattern, in which it escapes
    "$__rate_interval": "1m0s",
    "$peer_group": r"web-1|db\\.2",
    "$min_risk": "60",
    "$stream": "web-1:sda",
}
ANSWER_LIMIT_S: Final = 30.0
ALERT_LIMIT_S: Final = 60.0  # scored within 10 s, opened at once, seen within 2 s; on a machine that does much else


def targets_of(name: str) -> list[dict[str, Any]]:
    """What its panels ask, with every variable filled in."""
    rows = json.loads((FOLDER / f"{name}.json").read_text())["panels"]
    panels = [each for row in rows for each in (row, *row.get("panels", []))]
    return [target | {"expr": filled(target["expr"])} for panel in panels for target in panel.get("targets", [])]


def filled(query: str) -> str:
    for variable, value in FILLED.items():
        query = query.replace(variable, value)
    return query


OF_READ_API: Final = [target for name in ("fleet", "stream") for target in targets_of(name)]


@pytest.fixture(scope="module")
def promtool() -> str:
    return shutil.which("promtool") or pytest.skip("promtool is not here; Debian's package prometheus has it")


@pytest.fixture(scope="module")
def urls(cloud_server: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Where the three listen; with a model and a webhook, so that there is every number that there can be."""
    folder = tmp_path_factory.mktemp("services")
    nobody = {"webhooks": {"nobody": {"url": f"http://127.0.0.1:{free_port()}", "key": "k" * 16}}}
    environment = {
        **cloud_server.environment,
        "IOPS_EXPLAINERS": "bedrock",
        "IOPS_SECRETS_FILE": str(write_secrets(folder / "secrets.json", {ALERTS_SECRETS: nobody})),
        "IOPS_WEBHOOKS": '[{"name": "nobody", "kind": "generic"}]',
        "IOPS_WEBHOOK_HOSTS": "127.0.0.1",
        "IOPS_WEBHOOK_PRIVATE": "true",
    }
    with Supervisor(folder) as supervisor:
        ports = {name: free_port() for name in SERVICES}
        for name, port in ports.items():
            supervisor.start(web_child(name, f"services.{name}.app:create_app", port, environment))
        yield {name: url_of(port) for name, port in ports.items()}


@pytest.fixture(scope="module")
def read_api(urls: Mapping[str, str]) -> str:
    """Where insights knows a disk that measures all there is, and that an alert is open for."""
    samples = some_samples(60, begin=now() - timedelta(seconds=60), latency_p95_ms=1.0, latency_p99_ms=2.0, io_errors=5)
    body = a_batch("web-1:sda", samples=samples).model_dump_json()
    httpx.post(f"{urls['ingest']}/metrics", content=body, timeout=ANSWER_LIMIT_S).raise_for_status()
    question = {"query": 'count(iops_stream_alert{stream="web-1:sda"})'}

    def is_alert_seen() -> bool:
        reply = httpx.get(f"{urls['insights']}/api/v1/query", params=question, timeout=ANSWER_LIMIT_S)
        return bool(reply.raise_for_status().json()["data"]["result"])

    block_until(is_alert_seen, limit_s=ALERT_LIMIT_S)
    return urls["insights"]


def run(*command: str) -> str:
    """What it prints; fails with what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_every_query_is_promql_without_a_variable_left(promtool: str, tmp_path: Path) -> None:
    queries = [target["expr"] for target in (*OF_READ_API, *targets_of("services"))]
    rules = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.json"  # which is YAML too
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))

    assert f"{len(queries)} rules found" in run(promtool, "check", "rules", str(file))


@pytest.mark.parametrize("target", OF_READ_API, ids=lambda target: target["expr"])
def test_the_read_api_answers_every_panel(target: dict[str, Any], promtool: str, read_api: str) -> None:
    if target["instant"]:
        answer = run(promtool, "query", "instant", read_api, target["expr"])
    else:
        begin, end = ((now() - timedelta(minutes=ago)).timestamp() for ago in (3, 0))
        span = (f"--start={begin:.0f}", f"--end={end:.0f}", "--step=15s")
        answer = run(promtool, "query", "range", *span, read_api, target["expr"])

    assert answer.strip(), "no series"


@pytest.mark.parametrize(("label", "value"), [("peer_group", "web-1"), ("stream", "web-1:sda")])
def test_the_read_api_fills_the_variables(label: str, value: str, read_api: str) -> None:
    page = json.loads((FOLDER / ("fleet.json" if label == "peer_group" else "stream.json")).read_text())
    (asked,) = [variable["query"] for variable in page["templating"]["list"] if variable["name"] == label]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", asked)
    assert found

    selector = {"match[]": found[1], "start": str(now().timestamp() - 3600), "end": str(now().timestamp())}
    reply = httpx.get(f"{read_api}/api/v1/label/{found[2]}/values", params=selector, timeout=ANSWER_LIMIT_S)

    assert value in reply.raise_for_status().json()["data"]


def test_grafana_may_test_its_data_source(read_api: str) -> None:
    reply = httpx.post(f"{read_api}/api/v1/query", data={"query": "1+1", "time": "4"}, timeout=ANSWER_LIMIT_S)

    assert reply.raise_for_status().json()["data"] == {"resultType": "scalar", "result": [4, "2"]}


def test_the_services_tell_every_number_that_their_dashboard_asks_for(urls: Mapping[str, str]) -> None:
    asked = {FAMILY.sub("", metric) for target in targets_of("services") for metric in METRIC.findall(target["expr"])}
    told = "".join(httpx.get(f"{url}/internal/metrics", timeout=ANSWER_LIMIT_S).text for url in urls.values())
    families = {FAMILY.sub("", family) for family in re.findall(r"^# TYPE (\S+)", told, re.MULTILINE)}

    assert asked - families == set()
