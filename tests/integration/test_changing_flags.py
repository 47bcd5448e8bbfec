"""Flags that change while the service runs, in a file and in the stand-in's SSM."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from iops.bus import ScoringQueue
from iops.contract import FLAGS_PARAMETER
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from local import resources
from local.up import write_default_flags
from tests.integration.stand_ins import LIMIT_S, Cloud, wait_until
from tests.integration.test_insights import ask, insights_service, wait_for_messages
from tests.integration.test_model import DISKS, store_a_host

# A moment between two reads, and long for each call: a busy machine takes more than a second to connect, which counts
# as a turn that the flags were away, or puts a scoring off, which is then done again.
BUSY: dict[str, Any] = {"flags_interval_s": 0.02, "aws_timeout_s": LIMIT_S}


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


async def number(client: httpx.AsyncClient, name: str) -> float:
    """One of the service's own numbers, of all labels where it names none; 0 where it has not come up."""
    lines = (await client.get("/internal/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def wait_for(client: httpx.AsyncClient, name: str, least: float) -> None:
    async def is_reached() -> bool:
        return await number(client, name) >= least

    await wait_until(is_reached)


async def test_the_file_moves_the_canary_while_the_service_runs(
    cloud: Cloud, table: Table, queue: ScoringQueue, tmp_path: Path
) -> None:
    path, since = tmp_path / "flags.json", await store_a_host(table, slowdown=1.0)
    write_default_flags(path)
    fell_back = "iops_scorer_fallbacks_total"  # the stand-in has no SageMaker
    share, refused = 'iops_flag{flag="sagemaker_percent"}', 'iops_flags_unread_total{reason="refused"}'
    async with insights_service(cloud.endpoint_url, flags_file=path, sagemaker_endpoint="risk", **BUSY) as client:
        await ask(queue, since=since)
        await wait_for_messages(client, 1)
        assert await number(client, fell_back) == 0

        path.write_text('{"sagemaker_percent": 100}')
        await wait_for(client, share, 100)
        await ask(queue, since=since)
        await wait_for_messages(client, 2)
        assert await number(client, fell_back) == len(DISKS)

        before = await number(client, refused)
        path.write_text('{"sagemaker_percent": 0, "sagemaker_precent": 0}')
        await wait_for(client, refused, before + 2)
        assert await number(client, share) == 100
        path.unlink()
        await wait_for(client, 'iops_flags_unread_total{reason="away"}', 2)
        assert await number(client, share) == 100
        assert (await client.get("/health/ready")).status_code == 200


async def test_the_parameter_of_ssm_is_read_and_what_somebody_set_stays(cloud: Cloud) -> None:
    async with insights_service(cloud.endpoint_url, **BUSY) as client:
        assert await number(client, 'iops_flag{flag="ai_enabled"}') == 0
        value = json.dumps({"ai_enabled": True, "llm_daily_usd": 0.25})
        await cloud.call("ssm", "put_parameter", Name=FLAGS_PARAMETER, Value=value, Overwrite=True)
        await wait_for(client, 'iops_flag{flag="ai_enabled"}', 1)
        assert await number(client, 'iops_flag{flag="llm_daily_usd"}') == 0.25
        assert await number(client, 'iops_flags_unread_total{reason="away"}') == 0

    await resources.create_resources(cloud.endpoint_url, mail_url=None)
    kept = await cloud.call("ssm", "get_parameter", Name=FLAGS_PARAMETER)
    assert kept["Parameter"]["Value"] == value
