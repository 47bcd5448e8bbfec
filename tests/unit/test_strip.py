"""The strip above the fleet: its numbers, and an outage that is ours and not the agents'."""

from __future__ import annotations

import pytest

from iops import items
from iops.auth import Caller
from iops.flags import Flags
from iops.insight import PredictionType
from services.insights.fleet import Fleet
from services.insights.silence import ALL_HOSTS
from services.insights.strip import Strip, StripNumbers
from tests.unit.builders import AT, EVERYBODY, a_pulse, an_alert, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.speaking import Speaker, speaking
from tests.unit.tenants import House
from tests.unit.test_get_system import MINUTE, WEB, WELL, Office
from tests.unit.test_tiers import a_board


async def read_strip(office: Office, caller: Caller, fake: FakeTable | None = None) -> StripNumbers:
    """Beside a fleet that was read before."""
    fleet = Fleet((fake or FakeTable()).table(), clock_at())
    await fleet.look_once()
    return await Strip(office.survey, fleet).read(caller)


async def test_the_strip_says_what_stands_above_the_fleet() -> None:
    flags = Flags(ai_enabled=True, sagemaker_percent=5)
    office = Office(*WELL, board=a_board(*speaking(Speaker()), flags=flags, why_no_endpoint=lambda: None))
    await office.spend(0.2)

    strip = await read_strip(office, EVERYBODY)

    assert (strip.samples_per_s, strip.spend_today_usd, strip.budget_usd) == (20, 0.2, 1.0)
    assert (strip.scoring, strip.explaining) == ("local", "bedrock")
    hidden = await read_strip(office, WEB)
    assert (hidden.samples_per_s, hidden.spend_today_usd, hidden.budget_usd) == (None, None, None)
    assert (hidden.scoring, hidden.explaining) == ("local", "bedrock")


async def test_a_strip_over_a_table_that_is_away_says_that_it_does_not_know() -> None:
    office = Office(*WELL)
    office.fake.is_away = True

    strip = await read_strip(office, EVERYBODY)

    assert (strip.samples_per_s, strip.spend_today_usd, strip.scoring) == (None, None, "local")
    assert strip.outage == "The table does not answer: what is shown is from before"


async def test_an_ingest_that_is_gone_is_named_as_the_reason_of_silence() -> None:
    _, insights, alerts = WELL

    strip = await read_strip(Office(a_pulse("ingest", at=AT - 3 * MINUTE), insights, alerts), WEB)

    assert strip.outage == "ingest has not been heard of for 3 min: samples may not be taken, and agents keep them"


async def test_that_most_hosts_are_silent_is_told_who_sees_all() -> None:
    fake = FakeTable()
    outage = an_alert(ALL_HOSTS, prediction_type=PredictionType.AGENT_SILENT)
    fake.add(items.alert_put(outage)["Item"])

    assert (await read_strip(Office(*WELL), EVERYBODY)).outage is None
    assert (await read_strip(Office(*WELL), WEB, fake)).outage is None
    assert (await read_strip(Office(*WELL), EVERYBODY, fake)).outage == (
        "Nothing arrives from most hosts: look at ingest and the way to it, not at the disks"
    )


async def test_an_outage_is_over_when_hosts_speak_again() -> None:
    fake = FakeTable()
    over = an_alert(ALL_HOSTS, prediction_type=PredictionType.AGENT_SILENT, recovering_since=AT)
    fake.add(items.alert_put(over)["Item"])

    assert (await read_strip(Office(*WELL), EVERYBODY, fake)).outage is None


async def test_pages_lead_to_the_system_where_nothing_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    await house.move_in("web-1")
    await house.watch.fleet.look_once()
    well = (await house.ask("GET", "/")).text

    async def lost(_: Caller) -> StripNumbers:
        return StripNumbers(None, None, None, "local", "template", outage="ingest is gone")

    monkeypatch.setattr(house.watch, "strip", lost)
    fleet, stream = [(await house.ask("GET", path)).text for path in ("/", "/ui/streams/web-1:sda")]

    assert "not known" not in well
    assert "<dt>Silent</dt><dd>not known</dd>" in fleet
    for page in (fleet, stream):
        assert 'ingest is gone. <a href="/ui/system">' in page
