"""Streams, insights, outbox and alerts in both tables: who may change what, and when."""

import asyncio
from typing import Any

import pytest

from iops import contract, items
from iops.clock import to_epoch_ms
from iops.errors import Conflict, TableUnavailable
from iops.insight import PredictionType
from iops.items import Item, Stream
from iops.table import Table
from iops.telemetry import Batch, window_from_samples
from tests.integration.examples import AT, a_batch, a_finding, an_alert, an_insight, some_samples

DISK = "web-1:nvme0n1"
AT_MS = to_epoch_ms(AT)

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


async def see(table: Table, batch: Batch, *, now_ms: int = AT_MS) -> Item:
    return await table.update(items.stream_seen_update(batch, now_ms=now_ms))


async def scan(dynamodb: Any, index: str | None = None) -> list[tuple[str, str]]:
    request = {"TableName": contract.TABLE_NAME} | ({"IndexName": index} if index else {})
    rows = (await dynamodb.scan(**request))["Items"]
    return sorted((row["entity_id"]["S"], row["entity_type"]["S"]) for row in rows)


async def stream_of(table: Table, stream_id: str = DISK) -> Stream:
    row = await table.get(items.key_of(stream_id, "stream"))
    assert row is not None
    return items.item_to_stream(row)


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


async def test_only_insights_and_alerts_are_listed_by_stream(table: Table, dynamodb: Any) -> None:
    await see(table, a_batch(DISK))
    await table.put(items.member_item("web-1", DISK))
    await table.put_all(items.chunk_items(DISK, window_from_samples(some_samples(30))), deadline_s=5)
    insight = an_insight(DISK)
    await table.put_all([items.insight_item(insight), items.outbox_item(insight)], deadline_s=5)
    await table.transact([{"Put": items.alert_put(an_alert(DISK))}])
    await table.transact([{"Put": items.alert_put(an_alert("web-2:sda"))}])

    by_stream = await scan(dynamodb, "StreamIndex")
    by_type = await scan(dynamodb, "EntityTypeIndex")

    assert [kind for _, kind in by_stream] == ["alert", "alert", "insight"]
    assert sorted(kind for _, kind in by_type) == ["alert", "alert", "insight", "outbox", "stream"]


async def test_a_second_outbox_row_is_written_only_while_its_insight_is_the_newest(table: Table) -> None:
    await see(table, a_batch(DISK))
    for insight in (older := an_insight(DISK), newer := an_insight(DISK)):
        update = items.stream_insight_update(await stream_of(table), a_finding(), insight)
        await table.transact([{"Put": {"Item": items.insight_item(insight)}}, {"Update": update}])

    for insight in (older, newer):
        told = {"Put": {"Item": items.outbox_item(insight, reworded_at=AT)}}
        writes = [{"Update": items.words_update(insight)}, told]
        check = {"ConditionCheck": items.newest_insight_check(insight)}
        if insight is older:
            with pytest.raises(Conflict):
                await table.transact([*writes, check])
        else:
            await table.transact([*writes, check])

    rows = await table.query(items.list_query("outbox", limit=10))
    assert [items.item_to_insight(row).insight_id for row in rows] == [newer.insight_id]
