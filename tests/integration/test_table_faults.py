"""A table that is slow, throttles and leaves items over, as DynamoDB may: what was promised to be stored is."""

import time
from pathlib import Path

from iops import items
from iops.settings import ServiceSettings
from iops.table import open_table
from tests.integration.stand_ins import running_table_double


async def test_what_a_throttled_table_leaves_over_is_sent_again_until_all_is_stored(tmp_path: Path) -> None:
    rows = [items.member_item("web-1", f"web-1:disk{number:02}") for number in range(25)]
    faults = ("--unprocessed-ratio", "0.5", "--throttle-ratio", "0.3")
    with running_table_double(tmp_path, *faults) as url:
        async with open_table(ServiceSettings(aws_endpoint_url=url)) as table:
            for _ in range(3):
                await table.put_all(rows, deadline_s=20)
            stored = await table.query(items.members_query("web-1"))

    assert len(stored) == 25


async def test_a_slow_table_answers_late(tmp_path: Path) -> None:
    with running_table_double(tmp_path, "--latency-ms", "50") as url:
        async with open_table(ServiceSettings(aws_endpoint_url=url)) as table:
            begin_s = time.perf_counter()
            await table.check()

    assert time.perf_counter() - begin_s >= 0.05
