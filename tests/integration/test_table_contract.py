"""The table as DynamoDB Local, ministack and the bench's double understand it: the same requests, the same answers."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from iops import contract, items
from iops.clock import to_epoch_ms
from iops.errors import TableUnavailable
from iops.items import Item
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from iops.telemetry import Batch, Sample, merge_windows, window_from_samples
from tests.integration.examples import AT, a_batch, a_sample, some_samples
from tests.integration.stand_ins import wire_to

DISK = "web-1:nvme0n1"
AT_MS = to_epoch_ms(AT)

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # a client takes 0.2 s to make: one for all tests
    pytest.mark.parametrize("table_url", ["dynamodb-local", "ministack", "double"], indirect=True, scope="module"),
]


async def store(table: Table, samples: tuple[Sample, ...], *, stream_id: str = DISK) -> None:
    rows = items.chunk_items(stream_id, window_from_samples(samples))
    await table.put_all(rows, deadline_s=5)


async def read(table: Table, request: Item) -> list[int]:
    """The instants of the samples of a query's chunks, as they come."""
    return [at_ms for row in await table.query(request) for at_ms in items.item_to_window(row).at_ms]


async def see(table: Table, batch: Batch, *, now_ms: int = AT_MS) -> Item:
    return await table.update(items.stream_seen_update(batch, now_ms=now_ms))


async def scan(dynamodb: Any, index: str | None = None) -> list[tuple[str, str]]:
    request = {"TableName": contract.TABLE_NAME} | ({"IndexName": index} if index else {})
    rows = (await dynamodb.scan(**request))["Items"]
    return sorted((row["entity_id"]["S"], row["entity_type"]["S"]) for row in rows)


async def test_the_table_is_that_of_the_contract(dynamodb: Any) -> None:
    table = (await dynamodb.describe_table(TableName=contract.TABLE_NAME))["Table"]
    ttl = (await dynamodb.describe_time_to_live(TableName=contract.TABLE_NAME))["TimeToLiveDescription"]

    def keys(schema: list[dict[str, str]]) -> list[tuple[str, str]]:
        return [(key["AttributeName"], key["KeyType"]) for key in schema]

    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert keys(table["KeySchema"]) == [("entity_id", "HASH"), ("entity_type", "RANGE")]
    assert {name: keys(index["KeySchema"]) for name, index in indexes.items()} == {
        "EntityTypeIndex": [("entity_type", "HASH"), ("timestamp", "RANGE")],
        "StreamIndex": [("stream_id", "HASH"), ("timestamp", "RANGE")],
    }
    assert {index["Projection"]["ProjectionType"] for index in indexes.values()} == {"ALL"}
    assert {row["AttributeName"]: row["AttributeType"] for row in table["AttributeDefinitions"]} == {
        "entity_id": "S", "entity_type": "S", "timestamp": "N", "stream_id": "S",
    }  # fmt: skip
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "ttl")


async def test_samples_come_back_as_they_were_sent(table: Table) -> None:
    sent = (a_sample(), a_sample(at=AT + timedelta(seconds=1), read_iops=0.0, read_await_ms=None, io_errors=3))
    await store(table, sent)

    rows = await table.query(items.chunks_query(DISK, from_ms=AT_MS, to_ms=AT_MS + 1_000))

    window = merge_windows([items.item_to_window(row) for row in rows])
    again = window_from_samples(sent)
    assert window.at_ms == again.at_ms
    assert window["write_await_ms"].tolist() == [0.92, 0.92]
    assert [value == value for value in window["read_await_ms"]] == [True, False]
    assert window["io_errors"][1] == 3


async def test_a_range_is_answered_by_the_chunks_that_may_hold_it(table: Table) -> None:
    hours = [AT + timedelta(hours=hour, minutes=59) for hour in range(4)]
    for begin in hours:
        await store(table, some_samples(30, begin=begin))
    await store(table, some_samples(30, begin=hours[0]), stream_id="web-1:nvme0n2")

    from_ms, to_ms = to_epoch_ms(AT + timedelta(hours=1, minutes=30)), to_epoch_ms(hours[2] + timedelta(seconds=9))
    instants = await read(table, items.chunks_query(DISK, from_ms=from_ms, to_ms=to_ms))

    assert instants == sorted(instants)
    assert (instants[0], instants[-1]) == (to_epoch_ms(hours[1]), to_epoch_ms(hours[2]) + 29_000)
    assert len(instants) == 60


async def test_a_batch_over_the_hour_becomes_two_chunks_and_either_hour_finds_its_part(table: Table) -> None:
    begin = AT + timedelta(minutes=59, seconds=58)
    await store(table, some_samples(4, begin=begin))

    before = await read(table, items.chunks_query(DISK, from_ms=AT_MS, to_ms=to_epoch_ms(begin) + 1_000))
    after = await read(table, items.chunks_query(DISK, from_ms=AT_MS + 3_600_000, to_ms=AT_MS + 3_600_500))

    assert [len(before), len(after)] == [2, 2]
    assert after[0] == AT_MS + 3_600_000


async def test_newer_chunks_and_the_newest(table: Table) -> None:
    for minute in (2, 0, 1):
        await store(table, some_samples(2, begin=AT + timedelta(minutes=minute)))

    newer = await read(table, items.newer_chunks_query(DISK, from_ms=AT_MS + 60_000))
    newest, _ = await table.query_page(items.newest_chunk_query(DISK))

    assert newer == [AT_MS + 60_000, AT_MS + 61_000, AT_MS + 120_000, AT_MS + 121_000]
    assert [items.item_to_window(row).at_ms[0] for row in newest] == [AT_MS + 120_000]


async def test_other_rows_of_a_stream_are_no_chunks(table: Table) -> None:
    await see(table, a_batch(DISK))
    await table.put(items.member_item("web-1", DISK))
    await store(table, some_samples(1))

    assert await read(table, items.chunks_query(DISK, from_ms=0, to_ms=items.chunks.LAST_INSTANT_MS)) == [AT_MS]
    assert await read(table, items.newest_chunk_query(DISK)) == [AT_MS]


async def test_a_batch_sent_twice_is_stored_once(table: Table, dynamodb: Any) -> None:
    await store(table, some_samples(30))
    await store(table, some_samples(30))

    assert len(await scan(dynamodb)) == 1


async def test_25_chunks_of_more_than_16_kb_are_stored_whole(table: Table) -> None:
    noise = random.Random(7)
    rows = []
    for minute in range(25):
        samples = [
            a_sample(
                at=AT + timedelta(minutes=minute, milliseconds=100 * index),
                **{name: noise.uniform(0.01, 1e6) for name in ("read_iops", "write_iops", "queue_depth")},
                **{name: float(noise.randrange(10**12)) for name in ("read_bytes_s", "write_bytes_s")},
                **{name: noise.uniform(0.01, 3e6) for name in ("read_await_ms", "write_await_ms", "latency_p99_ms")},
                utilization_ratio=noise.random(),
            )
            for index in range(400)
        ]
        rows += items.chunk_items(DISK, window_from_samples(samples))
    assert len(rows) == 25
    assert min(len(row["data"]["B"]) for row in rows) > 16 * 1024

    await table.put_all(rows, deadline_s=10)

    found = await table.query(items.chunks_query(DISK, from_ms=AT_MS, to_ms=AT_MS + 3_600_000))
    assert [row["data"]["B"] for row in found] == [row["data"]["B"] for row in rows]


async def test_a_query_goes_on_after_the_first_megabyte(table: Table) -> None:
    rows = [
        items.key_of(DISK, f"chunk#{AT_MS + second:013d}#0") | {"data": {"B": b"x" * 90_000}} for second in range(30)
    ]
    for first in range(0, 30, 5):
        await table.put_all(rows[first : first + 5], deadline_s=5)

    request = items.chunks_query(DISK, from_ms=AT_MS, to_ms=AT_MS + 30)
    page, start = await table.query_page(request)

    assert len(page) < 30
    assert start is not None
    assert len(await table.query(request)) == 30


async def test_a_chunk_says_when_it_may_go(table: Table) -> None:
    await store(table, some_samples(30))

    rows, _ = await table.query_page(items.newest_chunk_query(DISK))

    assert rows[0]["ttl"] == {"N": str(AT_MS // 1000 + 29 + 8 * 24 * 3600)}


async def test_the_members_of_a_group_are_its_streams_only(table: Table) -> None:
    for group, stream_id in (("web-1", "web-1:sda"), ("web-1", "web-1:sdb"), ("web-10", "web-10:sda")):
        await table.put(items.member_item(group, stream_id))

    rows = await table.query(items.members_query("web-1"))

    assert [items.item_to_member(row) for row in rows] == ["web-1:sda", "web-1:sdb"]


async def test_a_stream_seen_for_the_first_time_was_nothing_before(table: Table) -> None:
    assert await see(table, a_batch(DISK)) == {}
    row = await table.get(items.key_of(DISK, "stream"))
    assert row is not None
    stream = items.item_to_stream(row)
    assert (stream.first_seen_at, stream.is_warming_up, stream.risk_score) == (AT, True, None)


async def test_a_stream_seen_again_keeps_its_first_instant_and_tells_what_it_was(table: Table) -> None:
    await see(table, a_batch(DISK, peer_group="rack-1", provisioned_iops=3000.0))

    before = await see(table, a_batch(DISK, peer_group="rack-2"), now_ms=AT_MS + 60_000)

    row = await table.get(items.key_of(DISK, "stream"))
    assert row is not None
    stream = items.item_to_stream(row)
    assert (before["peer_group"], before["provisioned_iops"]) == ({"S": "rack-1"}, {"N": "3000"})
    assert (stream.first_seen_at, stream.peer_group, stream.provisioned_iops) == (AT, "rack-2", None)
    assert row["timestamp"] == {"N": str(AT_MS + 60_000)}


async def test_deleting_what_is_not_there_is_no_error(table: Table) -> None:
    await table.delete(items.key_of("nobody", "stream"))
    assert await table.get(items.key_of("nobody", "stream")) is None


async def test_a_table_that_is_away_is_named_and_found_again(table: Table, table_url: str) -> None:
    async with wire_to(table_url) as wire, open_table(ServiceSettings(aws_endpoint_url=wire.url)) as far:
        await far.check()
        wire.cut()
        with pytest.raises(TableUnavailable, match="GetItem failed"):
            await far.get(items.key_of(DISK, "stream"))
        with pytest.raises(TableUnavailable, match="BatchWriteItem failed"):
            await far.put_all([items.member_item("web-1", DISK)], deadline_s=0.3)
        wire.mend()
        await far.put_all([items.member_item("web-1", DISK)], deadline_s=5)
    assert len(await table.query(items.members_query("web-1"))) == 1


async def test_writes_are_repeated_within_their_deadline(table: Table, table_url: str) -> None:
    async with wire_to(table_url) as wire, open_table(ServiceSettings(aws_endpoint_url=wire.url)) as far:
        wire.cut()
        writing = asyncio.create_task(far.put_all([items.member_item("web-1", DISK)], deadline_s=10))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(writing), 0.2)
        wire.mend()
        await writing
    assert len(await table.query(items.members_query("web-1"))) == 1


async def test_a_table_that_nobody_created_is_not_ready(table: Table, dynamodb: Any) -> None:
    await dynamodb.delete_table(TableName=contract.TABLE_NAME)

    with pytest.raises(TableUnavailable):
        await table.check()
