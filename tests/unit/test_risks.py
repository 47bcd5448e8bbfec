"""The history of a stream's risk: one row an hour, one point each time that the stream's row changed."""

import re
from collections.abc import Iterable
from typing import Any

import pytest

from iops import items
from iops.insight import Finding, PredictionType
from iops.items import Item, Risk
from services.insights.record import Worth
from tests.unit.builders import AT, AT_MS, DISK, a_finding, a_stream, nothing_wrong
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.test_tell import Desk
from tests.unit.virtual_time import in_virtual_time

HOUR_MS = 3_600_000


async def kept(*found: tuple[int, Finding]) -> list[Item]:
    fake = FakeTable()
    for now_ms, finding in found:
        await fake.table().update(items.risk_update(DISK, finding, now_ms=now_ms))
    return fake.of_type("risk")


def risks_of(rows: Iterable[Item]) -> list[Risk]:
    return [risk for row in rows for risk in items.item_to_risks(row)]


async def test_the_risks_of_an_hour_are_one_row_that_comes_back_in_order() -> None:
    rows = await kept(
        (AT_MS + 60_000, a_finding(90)), (AT_MS + 1_234, nothing_wrong(12.34)), (AT_MS + 70_000, nothing_wrong())
    )

    assert len(rows) == 1
    assert risks_of(rows) == [
        Risk(AT_MS + 1_234, 12.3, PredictionType.PERFORMANCE_DEGRADATION),
        Risk(AT_MS + 60_000, 90.0, PredictionType.STALL),
        Risk(AT_MS + 70_000, 0.0, None),
    ]


async def test_a_row_is_kept_for_90_days_after_its_hour_and_is_in_no_index() -> None:
    (row,) = await kept((AT_MS + 5, a_finding(90)))

    assert row["entity_type"] == {"S": f"risk#{AT_MS}"}
    assert row["ttl"] == {"N": str((AT_MS + HOUR_MS) // 1000 + 90 * 24 * 3600)}
    assert not {"timestamp", "stream_id"} & row.keys()


async def test_what_is_kept_twice_is_there_once() -> None:
    assert len(risks_of(await kept(*[(AT_MS, a_finding(90))] * 2))) == 1


async def test_an_hour_of_24_risks_is_one_write_unit() -> None:
    longest = a_finding(100).model_copy(update={"prediction_type": PredictionType.PERFORMANCE_DEGRADATION})
    (row,) = await kept(*((AT_MS + 3_599_000 - index * 1_000, longest) for index in range(24)))

    size_bytes = sum(len(name) + len(re.sub("[{}':NSB ]", "", str(value))) for name, value in row.items())
    assert size_bytes < 1_024


async def test_a_query_finds_the_hours_it_touches() -> None:
    fake = FakeTable()
    for hour in range(4):
        await fake.table().update(items.risk_update(DISK, a_finding(hour), now_ms=AT_MS + hour * HOUR_MS))

    rows = await fake.table().query(items.risks_query(DISK, from_ms=AT_MS + HOUR_MS + 1, to_ms=AT_MS + 2 * HOUR_MS))

    assert [risk.risk_score for risk in risks_of(rows)] == [1, 2]


@in_virtual_time
async def test_each_change_of_the_streams_row_is_kept_and_nothing_else() -> None:
    desk = Desk()

    assert await desk.tell(nothing_wrong(4.9)) is Worth.NOTHING
    assert desk.fake.of_type("risk") == []
    assert await desk.tell(nothing_wrong(7)) is Worth.SCORE
    assert risks_of(desk.fake.of_type("risk")) == [Risk(AT_MS, 7.0, PredictionType.PERFORMANCE_DEGRADATION)]
    assert await desk.tell(a_finding(90)) is Worth.INSIGHT
    assert risks_of(desk.fake.of_type("risk")) == [Risk(AT_MS, 90.0, PredictionType.STALL)]


@in_virtual_time
async def test_a_quieted_trouble_is_kept_when_its_row_is_written() -> None:
    desk = Desk()

    quieted = a_stream(quiet_until={PredictionType.STALL: AT.replace(hour=3)})
    assert await desk.tell(a_finding(90), quieted) is Worth.QUIETED

    assert len(desk.fake.of_type("risk")) == 1


@in_virtual_time
async def test_a_lost_race_keeps_no_risk() -> None:
    desk = Desk()
    desk.fake.rows.clear()  # so that no condition holds

    await desk.tell(nothing_wrong(7))

    assert desk.fake.of_type("risk") == []


@in_virtual_time
async def test_a_risk_that_could_not_be_kept_is_counted_and_the_scoring_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    update = desk.fake.update_item

    async def refuse_risks(**request: Any) -> Item:
        if request["Key"]["entity_type"]["S"].startswith("risk#"):
            raise aws_error("ThrottlingException")
        return await update(**request)

    monkeypatch.setattr(desk.fake, "update_item", refuse_risks)

    assert await desk.tell(nothing_wrong(7)) is Worth.SCORE

    assert desk.fake.rows[DISK, "stream"]["risk_score"] == {"N": "7"}
    assert desk.number("iops_risk_points_lost_total") == 1
