"""Prometheus's own client against a served insights: each example of docs/read-api.md has an answer."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest

from bench.processes import url_of
from iops import items
from iops.clock import now, to_epoch_ms
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.insights.app import create_app
from services.insights.settings import InsightsSettings
from tests.integration.examples import a_finding, some_samples
from tests.integration.served import served
from tests.integration.stand_ins import wait_until
from tests.integration.test_insights import store

DOCUMENT: Final = (Path(__file__).parents[2] / "docs" / "read-api.md").read_text()
PART: Final = DOCUMENT.partition("## The part of PromQL")[2].partition("\n`rate` is for counters")[0]
EXAMPLES: Final = [code.replace("\\|", "|") for code in re.findall(r"\| `([^`]*)` \|$", PART, re.MULTILINE)]
COMMANDS: Final = re.findall(r"^promtool (query .*)$", DOCUMENT, re.MULTILINE)
STREAMS: Final = ("web-1:sda", "web-1:nvme0n1", "web-2:sda")
LIMIT_S: Final = 30


async def fill(table: Table) -> None:
    """A few minutes of now and of an hour ago, and a risk."""
    for stream_id in STREAMS:
        for ago in (timedelta(hours=1, minutes=4), timedelta(minutes=4)):
            await store(table, some_samples(240, begin=now() - ago, io_errors=1), stream_id=stream_id)
        row = await table.get(items.key_of(stream_id, "stream"))
        assert row is not None
        scored = items.stream_scored_update(
            items.item_to_stream(row), a_finding(91.5), now_ms=to_epoch_ms(now()) - 60_000
        )
        await table.update(scored)


@pytest.fixture
async def url(settings: ServiceSettings) -> AsyncIterator[str]:
    """Where insights is served, which has seen the streams."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not here; Debian's package prometheus has it")
    async with open_table(settings) as table:
        await fill(table)
    insights = InsightsSettings(aws_endpoint_url=settings.aws_endpoint_url, aws_timeout_s=1)
    async with served(create_app(insights), insights) as port, httpx.AsyncClient(trust_env=False) as client:

        async def is_seen() -> bool:
            answer = await client.get(f"{url_of(port)}/api/v1/query", params={"query": "count(iops_stream_risk_score)"})
            return f'"{len(STREAMS)}"' in answer.text

        await wait_until(is_seen)
        yield url_of(port)


async def promtool(*arguments: str) -> tuple[int, str]:
    """What it ends with, and what it says."""
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(LIMIT_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_promtool_takes_every_example_of_the_document(url: str) -> None:
    assert len(EXAMPLES) == 11
    begin, end = (f"{to_epoch_ms(now()) // 1000 - ago_s}" for ago_s in (300, 0))
    for example in EXAMPLES:
        code, said = await promtool("query", "instant", url, example)
        assert (code, said.strip() != "") == (0, True), (example, said)
        code, said = await promtool("query", "range", f"--start={begin}", f"--end={end}", "--step=15s", url, example)
        assert (code, "@[" in said) == (0, True), (example, said)


async def test_promtool_takes_every_command_of_the_document(url: str) -> None:
    assert [command.split()[1] for command in COMMANDS] == ["instant", "range", "series", "labels"]
    for command in COMMANDS:
        code, said = await promtool(*shlex.split(command.replace("$URL", url)))
        assert code == 0, (command, said)
        assert "range" in command or "web-1:sda" in said, (command, said)


async def test_promtool_shows_why_a_query_is_refused(url: str) -> None:
    code, said = await promtool("query", "instant", url, "iops_stream_risk_score and iops_stream_alert")
    assert (code, "execution: query: `and` at 24 is not served" in said) == (1, True), said
    code, said = await promtool("query", "instant", url, "iops_stream_risk_score{")
    assert (code, "bad_data: query: the end at 24, where a label was expected" in said) == (1, True), said
