"""Three services on one table, one of which is killed: /system says so in its time, and what that means."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from bench.processes import free_port
from tests.integration.door import open_door
from tests.integration.stand_ins import Cloud, wait_until
from tests.integration.test_insights import insights_service

LIMIT_S: Final = 60.0  # a machine that does much else
EVERY_S: Final = 0.2
HEARD_FOR: Final = timedelta(seconds=8)  # so that nobody waits for 90 s
ALERTS: Final = f"""
import iops.pulse
iops.pulse.EVERY_S = {EVERY_S}
import runpy
runpy.run_module("services.alerts", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iops.pulse.EVERY_S", EVERY_S)
    monkeypatch.setattr("services.insights.verdict.HEARD_FOR", HEARD_FOR)
    monkeypatch.setattr("services.insights.survey.GOOD_FOR_S", 0.0)
    monkeypatch.setattr("services.insights.survey.READ_TIMEOUT_S", LIMIT_S)


@asynccontextmanager
async def alerts_process(cloud: Cloud) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ALERTS),
        env={**cloud.environment, "IOPS_LISTEN_PORT": str(free_port())},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def whole_system(cloud: Cloud) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """Insights to ask, and the process of alerts, once all three are well."""
    async with (
        open_door(cloud),
        insights_service(cloud.endpoint_url) as client,
        alerts_process(cloud) as alerts,
    ):
        await wait_for(client, "All well")
        yield client, alerts


async def system(client: httpx.AsyncClient) -> Any:
    answer = await client.get("/system")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def wait_for(client: httpx.AsyncClient, says: str) -> Any:
    """What it says besides, when it says that."""
    found: Any = None

    async def is_said() -> bool:
        nonlocal found
        found = await system(client)
        return bool(found["says"].startswith(says))

    try:
        await wait_until(is_said, limit_s=LIMIT_S)
    except TimeoutError:
        pytest.fail(f"it says: {found['troubles'] if found else 'nothing'}")
    return found


async def test_a_service_that_is_killed_is_not_heard_of_and_the_others_are(cloud: Cloud) -> None:
    async with whole_system(cloud) as (client, alerts):
        alerts.kill()
        found = await wait_for(client, "alerts has not been heard of for")

        assert found["says"].endswith(": nobody is told of anything")
        assert {each["service"]: each["state"] for each in found["services"]} == {
            "alerts": "not_heard_of",
            "ingest": "ok",
            "insights": "ok",
        }
        page = (await client.get("/ui/system")).text
        assert page.index("nobody is told of anything") < page.index("unhealthy-targets") < page.index("Services")

        async with alerts_process(cloud):
            found = await wait_for(client, "All well")
            (replica,) = found["services"][0]["replicas"]
            assert replica["says"] == "ok"


async def test_a_service_that_ends_properly_leaves_no_row(cloud: Cloud) -> None:
    async with whole_system(cloud) as (client, alerts):
        alerts.send_signal(signal.SIGTERM)
        await alerts.wait()

        (found,) = (each for each in (await system(client))["services"] if each["service"] == "alerts")
        assert (found["replicas"], found["says"]) == ([], "not heard of for an hour or more")


async def test_what_waits_and_who_answers_come_from_the_services_themselves(cloud: Cloud) -> None:
    async with whole_system(cloud) as (client, _):
        found: Any = None

        async def is_all_told() -> bool:
            nonlocal found
            found = await system(client)
            *known, secrets = (queue["value"] for queue in found["queues"])  # without sign-in there are no secrets
            return len(known) == 9 and None not in known and secrets is None

        await wait_until(is_all_told, limit_s=LIMIT_S)

    names = [queue["name"] for queue in found["queues"]]
    assert (names[0], names[-2]) == ("Samples ahead of the table", "Since the last canary")
    assert (found["tiers"]["scoring"][1]["model"], found["money"]["today"]["usd"]) == (found["model"]["version"], 0)
