"""What a look at each page reads, metered, and held against what `iops cost` takes it to cost."""

import asyncio
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from cli.cost import screens
from iops import items
from iops.items import Settled
from iops.telemetry import window_from_samples
from ml.simulate import Fleet as Simulated
from ml.simulate import samples
from tests.unit.builders import AT, EVERYBODY, a_baseline, an_alert, an_insight
from tests.unit.read_units import Meter
from tests.unit.speaking import Speaker, speaking
from tests.unit.tenants import House
from tests.unit.test_get_chart import score
from tests.unit.test_get_system import WELL, Office
from tests.unit.test_tiers import a_board

DISKS = ("web-1:sda", "web-1:sdb", "web-1:sdc", "web-1:sdd")
LONG = "What was found, in as many words as the demonstration's insights and alerts have. " * 16


async def a_house() -> House:
    """Four disks of a host that send 30 samples each five minutes, with what was said of them."""
    house = House()
    for disk, simulated in zip(DISKS, Simulated(seed=7, hosts=1, disks_per_host=4).streams, strict=True):
        await house.add_stream(disk)
        await score(house, disk)
        sent = list(samples(simulated, start_at=AT - timedelta(hours=1), end_at=AT, interval_s=10))
        for begin in range(0, len(sent), 30):
            house.table.add(*items.chunk_items(disk, window_from_samples(tuple(sent[begin : begin + 30]))))
        house.table.add(items.baseline_item(disk, a_baseline(), b"x" * 900))
    for number in range(20):
        at = AT - timedelta(hours=number)
        house.table.add(items.insight_item(an_insight(DISKS[0], created_at=at, explanation=LONG)))
        over = an_alert(f"web-{number}:sda", state="resolved", updated_at=at, resolved_at=at, explanation=LONG)
        house.table.add(items.alert_put(over)["Item"])
    await house.watch.fleet.look_once()
    return house


async def units_of(house: House, path: str, *, headers: dict[str, str] | None = None) -> float:
    meter = Meter(house.table)
    answer = await house.ask("GET", path, caller=EVERYBODY, headers=headers)
    assert answer.status_code == 200, answer.text
    await asyncio.sleep(0.1)  # what a page does not wait for
    return meter.units


async def test_a_streams_page_that_is_open_reads_what_is_priced() -> None:
    house = await a_house()
    await units_of(house, "/")  # its newest chunks are known
    page = await units_of(house, f"/ui/streams/{DISKS[0]}", headers={"HX-Target": "live"})
    newest = urlencode({"from": (AT - timedelta(minutes=7)).isoformat(), "step_s": 10})
    chart = await units_of(house, f"/streams/{DISKS[0]}/chart?{newest}")

    assert screens.STREAM_READ_UNITS - 1 <= page <= screens.STREAM_READ_UNITS
    assert screens.CHART_READ_UNITS - 1 <= chart <= screens.CHART_READ_UNITS


async def test_a_list_of_alerts_reads_what_is_priced() -> None:
    units = await units_of(await a_house(), "/ui/alerts")

    assert screens.ALERTS_READ_UNITS - 1 <= units <= screens.ALERTS_READ_UNITS


async def test_a_row_of_the_fleet_reads_what_is_priced() -> None:
    house = await a_house()
    await units_of(house, "/")
    house.scene.now = AT + timedelta(seconds=30)

    assert await units_of(house, "/") == len(DISKS) * screens.NEWEST_READ_UNITS


async def test_a_strip_reads_what_is_priced() -> None:
    office = Office(*WELL, board=a_board(*speaking(Speaker())))
    for day in range(30):
        spent = Settled(calls=2, nano=10**8, tokens_in=900, tokens_out=100)
        await office.fake.table().update(items.day_spent_update(AT.date().replace(day=day + 1), spent))
    meter = Meter(office.fake)
    await office.survey.read()

    assert meter.units + 1 == screens.STRIP_READ_UNITS, "the purse is asked too"


def test_a_wall_and_a_person_read_a_good_million_units_a_month() -> None:
    # 176 h x (180 x 25 + 360 x 3 + 60 x (1 + 3.5)) + 44 h x (720 x 5.5 + 180 x 17)
    assert screens.screen_reads(200) == pytest.approx(1_338_480)
