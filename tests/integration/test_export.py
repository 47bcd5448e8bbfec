"""Minutes out of both tables into Parquet and back as labelled hosts; damage, a kill in the middle, s3://."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.insight import Feedback, PredictionType, Verdict
from iops.minutes import SERIES, minutes_of
from iops.risk import KINDS
from iops.rollup import roll_up
from iops.table import Table
from iops.telemetry import Window, window_from_samples
from local import resources
from ml.export import Outcome, Reader, export_table, open_reader
from ml.exported import Folder, exported_hosts
from ml.hosts import UNKNOWN, Host
from tests.integration.examples import AT, a_batch, an_insight, some_samples
from tests.integration.stand_ins import LIMIT_S, Cloud, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR: Final = timedelta(hours=1)
SINCE: Final = AT - 3 * HOUR  # 23:00 of the day before, so two days are touched
AT_MINUTE: Final = to_epoch_ms(AT) // 60_000
DISKS: Final = ("web-1:a", "web-1:b", "web-2:a")


def hour_before(hours: int) -> Window:
    """Two minutes of samples in the hour that ended so many hours before AT."""
    return window_from_samples(some_samples(120, begin=AT - (hours + 1) * HOUR, queue_depth=float(hours + 1)))


async def fill(table: Table, *disks: str) -> None:
    """Three hours, the oldest as a rollup only."""
    for disk in disks:
        await table.update(items.stream_seen_update(a_batch(disk), now_ms=to_epoch_ms(AT)))
        await table.update(items.rollup_update(disk, roll_up(hour_before(2))))
        rows = [row for hour in (1, 0) for row in items.chunk_items(disk, hour_before(hour))]
        await table.put_all(rows, deadline_s=5)


async def run(client: Any, folder: Path, *, workers: int = 4) -> Outcome:
    reader = Reader(client, workers=workers)
    return await export_table(reader, Folder(str(folder)), since=SINCE, until=AT, jobs_at_once=workers)


def host_of(folder: Path | str, name: str = "web-1") -> Host:
    return next(host for host in exported_hosts(str(folder)) if host.name == name)


async def test_what_was_stored_comes_back_as_minutes_of_hosts(table: Table, dynamodb: Any, tmp_path: Path) -> None:
    await fill(table, *DISKS)

    outcome = await run(dynamodb, tmp_path)

    assert (outcome.streams, outcome.written, outcome.skipped, outcome.damaged) == (3, 4, 0, set())
    assert [(host.name, host.disks) for host in exported_hosts(str(tmp_path))] == [
        ("web-1", ("web-1:a", "web-1:b")),
        ("web-2", ("web-2:a",)),
    ]
    host = host_of(tmp_path)
    # The sample at the full hour belongs to the minute before it; in a rollup, to the one that begins.
    assert (host.minute - AT_MINUTE).tolist() == [-180, -179, -121, -120, -119, -61, -60, -59]
    assert host.values[:, 0, 0].tolist() == [3.0, 3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    expected = minutes_of(hour_before(0), end_minute=AT_MINUTE - 58, count=2).astype(np.float32)
    assert np.array_equal(host.values[-2:, 1], expected, equal_nan=True)
    assert (host.incident == UNKNOWN).all()
    assert outcome.minutes == 3 * 8


async def test_what_cannot_be_read_is_counted_and_left_out(table: Table, dynamodb: Any, tmp_path: Path) -> None:
    await fill(table, DISKS[0])
    (row,) = items.chunk_items(DISKS[0], hour_before(1))
    row["data"]["B"] = row["data"]["B"][:-9] + b"123456789"
    await table.put(row)

    outcome = await run(dynamodb, tmp_path)

    assert outcome.damaged == {f"{DISKS[0]} {row['entity_type']['S']}"}
    assert (host_of(tmp_path).minute - AT_MINUTE).tolist() == [-180, -179, -61, -60, -59]


async def test_an_hour_that_expired_in_part_is_filled_up_from_its_rollup(
    table: Table, dynamodb: Any, tmp_path: Path
) -> None:
    await fill(table, DISKS[0])
    await table.update(items.rollup_update(DISKS[0], roll_up(hour_before(0))))
    (row,) = items.chunk_items(DISKS[0], hour_before(0))
    await table.delete(items.key_of(DISKS[0], row["entity_type"]["S"]))

    await run(dynamodb, tmp_path)

    host = host_of(tmp_path)
    assert (host.minute - AT_MINUTE).tolist()[-2:] == [-60, -59]
    assert host.values[-1, 0, SERIES.index("read_iops")] == 210.0


async def test_operators_words_are_labels(table: Table, dynamodb: Any, tmp_path: Path) -> None:
    await fill(table, *DISKS[:2])
    end = AT - HOUR + timedelta(minutes=2)
    window: dict[str, Any] = {"window_from": end - timedelta(minutes=3), "window_to": end}
    confirmed = an_insight(DISKS[0], began_at=end - timedelta(minutes=1), **window)
    dismissed = an_insight(DISKS[1], began_at=end - timedelta(minutes=1), **window)
    for insight in (confirmed, dismissed):
        await table.put(items.insight_item(insight))
    words = [
        Feedback(feedback_id="1", insight_id=confirmed.insight_id, verdict=Verdict.DISMISS, created_at=AT - HOUR),
        Feedback(feedback_id="2", insight_id=confirmed.insight_id, verdict=Verdict.CONFIRM, created_at=AT),
        Feedback(feedback_id="3", insight_id=dismissed.insight_id, verdict=Verdict.DISMISS, created_at=AT),
        Feedback(feedback_id="4", insight_id="gone", verdict=Verdict.CONFIRM, created_at=AT),
    ]
    await table.put_all([items.feedback_item(word) for word in words], deadline_s=5)

    outcome = await run(dynamodb, tmp_path)

    host = host_of(tmp_path)
    assert (outcome.labels, outcome.orphans) == (2, 1)
    assert host.incident[-3:, 0].tolist() == [UNKNOWN, UNKNOWN, 1]
    assert host.kind[-3:, 0].tolist() == [UNKNOWN, UNKNOWN, KINDS.index(PredictionType.STALL)]
    assert host.incident[-3:, 1].tolist() == [0, 0, 0]
    assert (host.incident[:-3] == UNKNOWN).all()


async def test_a_word_of_after_the_export_counts_without_reading_the_minutes_again(
    table: Table, dynamodb: Any, tmp_path: Path
) -> None:
    await fill(table, DISKS[0])
    await run(dynamodb, tmp_path)
    insight = an_insight(DISKS[0], window_from=SINCE, window_to=AT, began_at=SINCE)
    await table.put(items.insight_item(insight))
    word = Feedback(feedback_id="1", insight_id=insight.insight_id, verdict=Verdict.WRONG_CAUSE, created_at=AT)
    await table.put(items.feedback_item(word))

    outcome = await run(dynamodb, tmp_path)

    assert (outcome.written, outcome.skipped, outcome.labels) == (0, 2, 1)
    host = host_of(tmp_path)
    assert (host.incident == 1).all()
    assert (host.kind == UNKNOWN).all()


async def test_a_day_that_was_not_over_is_read_again(table: Table, dynamodb: Any, tmp_path: Path) -> None:
    await fill(table, DISKS[0])
    reader = Reader(dynamodb, workers=2)
    await export_table(reader, Folder(str(tmp_path)), since=SINCE, until=AT - HOUR, jobs_at_once=1)

    outcome = await run(dynamodb, tmp_path)

    assert (outcome.written, outcome.skipped) == (1, 1)
    assert (host_of(tmp_path).minute - AT_MINUTE).tolist()[-1] == -59


async def test_a_run_that_was_killed_is_taken_up_again(
    table: Table, dynamodb: Any, table_url: str, tmp_path: Path
) -> None:
    await fill(table, *(f"web-{host}:a" for host in range(60)))
    program = "import typer; from ml.export import export; typer.run(export)"
    command = ("--out", str(tmp_path), "--since", f"{SINCE:%Y-%m-%dT%H:%M:%S}", "--until", f"{AT:%Y-%m-%dT%H:%M:%S}")
    options = ("--from-table", "--workers", "1", "--endpoint-url", table_url, "--region", resources.REGION)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, *command, *options)
    await wait_until(lambda: len(files_of(tmp_path)) >= 3, limit_s=LIMIT_S)
    process.kill()
    await process.wait()
    before = {path: path.read_bytes() for path in files_of(tmp_path)}
    assert 3 <= len(before) < 120

    async with open_reader(endpoint_url=table_url, region=resources.REGION, workers=8) as reader:
        outcome = await export_table(reader, Folder(str(tmp_path)), since=SINCE, until=AT, jobs_at_once=8)

    assert (outcome.skipped, outcome.written) == (len(before), 120 - len(before))
    assert all(path.read_bytes() == content for path, content in before.items())
    assert [len(host.minute) for host in exported_hosts(str(tmp_path))] == [8] * 60
    assert files_of(tmp_path, "**/*.part") == []


def files_of(folder: Path, pattern: str = "minutes/*/*.parquet") -> list[Path]:
    return list(folder.glob(pattern))


async def test_a_group_whose_name_is_hostile_stays_in_its_folder(tmp_path: Path) -> None:
    minutes = np.ones((1, len(SERIES)))
    folder = Folder(str(tmp_path / "out"))
    folder.write(AT.date(), "../../../etc/a b", {"x": minutes}, from_minute=0, to_minute=1)

    assert [host.name for host in exported_hosts(str(tmp_path / "out"))] == ["../../../etc/a b"]
    assert files_of(tmp_path, "*") == [tmp_path / "out"]


async def test_a_folder_may_be_a_bucket(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    await cloud.call("s3", "create_bucket", Bucket="exports")
    endpoint = cloud.endpoint_url.replace("://", "%3A%2F%2F").replace(":", "%3A")
    address = f"s3://exports/run?region={resources.REGION}&endpoint_override={endpoint}"
    folder = Folder(address)
    minutes = np.arange(2.0 * len(SERIES)).reshape(2, -1)

    folder.write(AT.date(), "web-1", {"web-1:a": minutes}, from_minute=7, to_minute=9)

    assert folder.has(AT.date(), "web-1", from_minute=7, to_minute=9)
    assert not folder.has(AT.date(), "web-1", from_minute=7, to_minute=10)
    (host,) = exported_hosts(address)
    assert np.array_equal(host.values[:, 0], minutes.astype(np.float32))
