"""The table as DynamoDB Local and ministack understand it: the same requests, the same answers."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from iops import contract, items
from iops.clock import to_epoch_ms
from iops.errors import Conflict, InvalidCursor, TableUnavailable
from iops.insight import PredictionType
from iops.items import Item, Stream
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from iops.telemetry import Batch, Sample, merge_windows, window_from_samples
from local import resources
from tests.integration.examples import AT, a_batch, a_finding, a_sample, an_alert, an_insight, some_samples
from tests.integration.stand_ins import wire_to

DISK = "web-1:nvme0n1"
AT_MS = to_epoch_ms(AT)


pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


@pytest.fixture(scope="module", params=["dynamodb-local", "ministack"])
def endpoint_url(request: pytest.FixtureRequest) -> str:
    if request.param == "ministack":
        url: str = request.getfixturevalue("cloud_server").endpoint_url
    else:
        url = request.getfixturevalue("dynamodb_local")
    return url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain_client(endpoint_url: str) -> AsyncIterator[Any]:
    async with resources.open_client("dynamodb", endpoint_url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened_table(endpoint_url: str) -> AsyncIterator[Table]:
    async with open_table(ServiceSettings(aws_endpoint_url=endpoint_url)) as table:
        yield table


@pytest_asyncio.fixture(loop_scope="module")
async def dynamodb(plain_client: Any) -> Any:
    """A client past our own code; the table is empty."""
    for name in (await plain_client.list_tables())["TableNames"]:
        await plain_client.delete_table(TableName=name)
    await resources.create_table(plain_client, has_stream=False)
    return plain_client


@pytest.fixture
def table(opened_table: Table, dynamodb: Any) -> Table:
    return opened_table


async def store(table: Table, samples: tuple[Sample, ...], *, stream_id: str = DISK) -> None:
    rows = items.chunk_items(stream_id, window_from_samples(samples))
    await table.put_all(rows, deadline_s=5)


async def read(table: Table, request: Item) -> list[int]:
    """The instants of the samples of a query's chunks, as they come."""
    return [at_ms for row in await table.query(request) for at_ms in items.item_to_window(row).at_ms]


async def see(table: Table, batch: Batch, *, now_ms: int = AT_MS) -> Item:
    return await table.update(items.stream_seen_update(batch, now_ms=now_ms))


async def stream_of(table: Table, stream_id: str = DISK) -> Stream:
    row = await table.get(items.key_of(stream_id, "stream"))
    assert row is not None
    return items.item_to_stream(row)


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

    assert rows[0]["ttl"] == {"N": str(AT_MS // 1000 + 29 + 7 * 24 * 3600)}


async def test_being_seen_keeps_what_the_scorer_wrote_and_tells_the_old_group(table: Table) -> None:
    await see(table, a_batch(DISK, peer_group="rack-1", provisioned_iops=3000.0, labels={"zone": "a"}))
    insight = an_insight(DISK)
    await table.update(items.stream_insight_update(await stream_of(table), a_finding(90), insight))

    before = await see(table, a_batch(DISK, peer_group="rack-2"), now_ms=AT_MS + 60_000)

    stream = await stream_of(table)
    assert before["peer_group"] == {"S": "rack-1"}
    assert (stream.peer_group, stream.provisioned_iops, dict(stream.labels)) == ("rack-2", None, {})
    assert (stream.risk_score, stream.prediction_type, stream.version) == (90, PredictionType.STALL, 1)
    assert stream.insight_id == insight.insight_id


async def test_a_stream_seen_for_the_first_time_had_no_group(table: Table) -> None:
    assert await see(table, a_batch(DISK)) == {}
    stream = await stream_of(table)
    assert (stream.first_seen_at, stream.is_warming_up, stream.risk_score) == (AT, True, None)


async def test_a_score_is_not_written_for_a_stream_that_is_not_there(table: Table) -> None:
    nobody = Stream(DISK, "web-1", {}, None, AT)

    with pytest.raises(Conflict):
        await table.update(items.stream_scored_update(nobody, a_finding(70), now_ms=AT_MS))

    assert await table.get(items.key_of(DISK, "stream")) is None


async def test_a_score_without_a_finding_is_read_back_as_healthy(table: Table) -> None:
    await see(table, a_batch(DISK))
    quiet = a_finding(0).model_copy(update={"prediction_type": None})

    await table.update(items.stream_scored_update(await stream_of(table), quiet, now_ms=AT_MS + 5))

    stream = await stream_of(table)
    assert (stream.risk_score, stream.prediction_type, stream.version) == (0, None, 0)
    assert stream.is_warming_up is False


async def test_of_two_scorers_that_saw_the_same_one_writes_its_insight(table: Table, dynamodb: Any) -> None:
    await see(table, a_batch(DISK))
    for version in (0, 1):  # the first insight of a stream, and a later one
        stream = await stream_of(table)
        assert stream.version == version
        outcomes = await asyncio.gather(
            *(table.transact(_insight_writes(stream, an_insight(DISK))) for _ in range(2)), return_exceptions=True
        )
        # DynamoDB may also cancel the loser for being there at the same time: it may come again, and would lose.
        failed = [outcome for outcome in outcomes if outcome is not None]
        assert len(failed) == 1
        assert isinstance(failed[0], Conflict | TableUnavailable)

    kinds = [kind for _, kind in await scan(dynamodb)]
    assert (kinds.count("insight"), kinds.count("outbox")) == (2, 2)


def _insight_writes(stream: Stream, insight: Any) -> list[Item]:
    return [
        {"Put": {"Item": items.insight_item(insight)}},
        {"Put": {"Item": items.outbox_item(insight)}},
        {"Update": items.stream_insight_update(stream, a_finding(insight.risk_score), insight)},
    ]


async def test_a_transaction_whose_condition_fails_leaves_nothing(table: Table, dynamodb: Any) -> None:
    await see(table, a_batch(DISK))
    stale = await stream_of(table)
    await table.update(items.stream_insight_update(stale, a_finding(90), an_insight(DISK)))

    with pytest.raises(Conflict):
        await table.transact(_insight_writes(stale, an_insight(DISK)))

    assert await scan(dynamodb) == [(DISK, "stream")]


async def test_an_outbox_row_belongs_to_one_owner_until_its_lease_ends(table: Table) -> None:
    row = items.outbox_item(an_insight())
    key = items.key_of(row["entity_id"]["S"], "outbox")
    await table.put(row)

    async def claim(owner: str, now_ms: int) -> bool:
        try:
            await table.update(items.claim_update(key, owner=owner, now_ms=now_ms, lease_ms=30_000))
        except Conflict:
            return False
        return True

    assert await claim("one", 1_000_000)
    assert not await claim("two", 1_000_000)
    assert not await claim("two", 1_030_000)  # the lease's last millisecond
    assert await claim("one", 1_030_000)  # its owner may go on
    assert await claim("two", 1_060_001)
    assert not await claim("one", 1_060_002)
    await table.delete(key)
    assert not await claim("two", 1_060_003)  # a claim does not bring back what was handled


async def test_two_that_claim_at_once_do_not_both_get_it(table: Table) -> None:
    row = items.outbox_item(an_insight())
    key = items.key_of(row["entity_id"]["S"], "outbox")
    await table.put(row)

    claims = [items.claim_update(key, owner=str(owner), now_ms=1, lease_ms=30_000) for owner in range(8)]
    outcomes = await asyncio.gather(*(table.update(claim) for claim in claims), return_exceptions=True)

    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7


async def test_an_alert_changes_only_one_version_at_a_time(table: Table) -> None:
    first = an_alert()
    await table.transact([{"Put": items.alert_put(first)}])

    with pytest.raises(Conflict):
        await table.transact([{"Put": items.alert_put(first)}])
    with pytest.raises(Conflict):
        await table.transact([{"Put": items.alert_put(first.model_copy(update={"version": 3}))}])
    second = first.model_copy(update={"version": 2, "risk_score": 95.0, "resolved_at": AT})
    await table.transact([{"Put": items.alert_put(second)}])

    row = await table.get(items.key_of(f"alert#{first.alert_id}", "alert"))
    assert row is not None
    assert items.item_to_alert(row) == second
    assert row["ttl"] == {"N": str(AT_MS // 1000 + 90 * 24 * 3600)}


async def test_an_insight_comes_back_from_its_row_and_from_the_outbox(table: Table) -> None:
    insight = an_insight()
    await table.put_all([items.insight_item(insight), items.outbox_item(insight)], deadline_s=5)

    key = f"insight#{insight.insight_id}"
    rows = [await table.get(items.key_of(key, kind)) for kind in ("insight", "outbox")]

    assert [items.item_to_insight(row) for row in rows if row] == [insight, insight]


async def put_insights(table: Table, count: int, *, at: datetime = AT) -> list[str]:
    """Insights a second apart whose risk is 60, 61, ... 99, 60, ...; their ids, newest first."""
    made = [
        an_insight(f"web-{index}:sda", created_at=at + timedelta(seconds=index), risk_score=float(60 + index % 40))
        for index in range(count)
    ]
    rows = [items.insight_item(insight) for insight in made]
    for start in range(0, count, 25):
        await table.put_all(rows[start : start + 25], deadline_s=5)
    return [insight.insight_id for insight in reversed(made)]


async def test_a_list_is_newest_first_and_goes_on_from_its_cursor(table: Table) -> None:
    ids = await put_insights(table, 60)

    pages: list[list[str]] = []
    cursor = None
    while True:
        rows, cursor = await table.list_page("insight", limit=25, cursor=cursor)
        pages.append([items.item_to_insight(row).insight_id for row in rows])
        if cursor is None:
            break

    assert [len(page) for page in pages] == [25, 25, 10]
    assert [insight_id for page in pages for insight_id in page] == ids


async def test_a_filtered_list_fills_its_page_and_repeats_nothing(table: Table) -> None:
    await put_insights(table, 120)
    where = ("risk_score >= :min", {":min": {"N": "95"}})  # 5 of 40

    found: list[str] = []
    cursor = None
    for _ in range(50):
        rows, cursor = await table.list_page("insight", limit=4, cursor=cursor, where=where)
        found += [row["entity_id"]["S"] for row in rows]
        assert all(float(row["risk_score"]["N"]) >= 95 for row in rows)
        if cursor is None:
            break

    assert cursor is None
    assert len(found) == len(set(found)) == 15


async def test_a_list_by_state_uses_a_reserved_word(table: Table) -> None:
    for index, state in enumerate(("firing", "resolved", "firing")):
        await table.transact([{"Put": items.alert_put(an_alert(f"web-{index}:sda", state=state))}])

    rows, _ = await table.list_page(
        "alert", limit=10, cursor=None, where=("#state = :state", {":state": {"S": "firing"}})
    )

    assert {items.item_to_alert(row).stream_id for row in rows} == {"web-0:sda", "web-2:sda"}


async def test_rows_of_one_instant_are_all_listed(table: Table) -> None:
    made = [an_insight(f"web-{index}:sda") for index in range(5)]  # all at AT
    await table.put_all([items.insight_item(insight) for insight in made], deadline_s=5)

    found, cursor = await table.list_page("insight", limit=2, cursor=None)
    while cursor:
        rows, cursor = await table.list_page("insight", limit=2, cursor=cursor)
        found += rows

    assert {items.item_to_insight(row).insight_id for row in found} == {insight.insight_id for insight in made}
    assert len(found) == 5


async def test_a_cursor_of_a_row_that_is_gone_still_goes_on(table: Table) -> None:
    ids = await put_insights(table, 4)
    _, cursor = await table.list_page("insight", limit=2, cursor=None)
    await table.delete(items.key_of(f"insight#{ids[1]}", "insight"))

    rows, _ = await table.list_page("insight", limit=2, cursor=cursor)

    assert [items.item_to_insight(row).insight_id for row in rows] == ids[2:]


@pytest.mark.parametrize("cursor", ["nonsense", "", "MTc5NTM5OTIwMDAwMA==", "bm90YW51bWJlciB4"])
async def test_a_cursor_that_no_list_answered_is_refused(table: Table, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await table.list_page("insight", limit=2, cursor=cursor)


async def test_a_cursor_that_somebody_made_up_is_refused_or_harmless(table: Table) -> None:
    await put_insights(table, 2)
    for start in (
        items.key_of("x" * 1024, "insight") | {"timestamp": {"N": "9" * 15}},
        items.key_of("insight#0", "insight") | {"timestamp": {"N": "-5"}},
        items.key_of("insight#0", "insight") | {"timestamp": {"N": "9" * 40}},
    ):
        cursor = items.start_to_cursor(start)
        try:
            await table.list_page("insight", limit=2, cursor=cursor)
        except InvalidCursor:
            continue


async def test_only_insights_and_alerts_are_listed_by_stream(table: Table, dynamodb: Any) -> None:
    await see(table, a_batch(DISK))
    await table.put(items.member_item("web-1", DISK))
    await store(table, some_samples(30))
    insight = an_insight(DISK)
    await table.put_all([items.insight_item(insight), items.outbox_item(insight)], deadline_s=5)
    await table.transact([{"Put": items.alert_put(an_alert(DISK))}])
    await table.transact([{"Put": items.alert_put(an_alert("web-2:sda"))}])

    by_stream = await scan(dynamodb, "StreamIndex")
    by_type = await scan(dynamodb, "EntityTypeIndex")
    alerts = await table.query(items.alerts_of_stream_query(DISK))

    assert [kind for _, kind in by_stream] == ["alert", "alert", "insight"]
    assert sorted(kind for _, kind in by_type) == ["alert", "alert", "insight", "outbox", "stream"]
    assert [items.item_to_alert(row).stream_id for row in alerts] == [DISK]


async def test_the_outbox_is_read_oldest_first(table: Table) -> None:
    made = [an_insight(created_at=AT + timedelta(seconds=second)) for second in (2, 0, 1)]
    await table.put_all([items.outbox_item(insight) for insight in made], deadline_s=5)

    rows, _ = await table.query_page(items.list_query("outbox", limit=2, oldest_first=True))

    assert [items.item_to_insight(row).insight_id for row in rows] == [made[1].insight_id, made[2].insight_id]


async def test_the_members_of_a_group_are_its_streams_only(table: Table) -> None:
    for group, stream_id in (("web-1", "web-1:sda"), ("web-1", "web-1:sdb"), ("web-10", "web-10:sda")):
        await table.put(items.member_item(group, stream_id))

    rows = await table.query(items.members_query("web-1"))

    assert [items.item_to_member(row) for row in rows] == ["web-1:sda", "web-1:sdb"]


async def test_deleting_what_is_not_there_is_no_error(table: Table) -> None:
    await table.delete(items.key_of("nobody", "stream"))
    assert await table.get(items.key_of("nobody", "stream")) is None


async def test_a_table_that_is_away_is_named_and_found_again(table: Table, endpoint_url: str) -> None:
    async with wire_to(endpoint_url) as wire, open_table(ServiceSettings(aws_endpoint_url=wire.url)) as far:
        await far.check()
        wire.cut()
        with pytest.raises(TableUnavailable, match="GetItem failed"):
            await far.get(items.key_of(DISK, "stream"))
        with pytest.raises(TableUnavailable, match="BatchWriteItem failed"):
            await far.put_all([items.member_item("web-1", DISK)], deadline_s=0.3)
        wire.mend()
        await far.put_all([items.member_item("web-1", DISK)], deadline_s=5)
    assert len(await table.query(items.members_query("web-1"))) == 1


async def test_writes_are_repeated_within_their_deadline(table: Table, endpoint_url: str) -> None:
    async with wire_to(endpoint_url) as wire, open_table(ServiceSettings(aws_endpoint_url=wire.url)) as far:
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
