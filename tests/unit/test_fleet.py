"""The fleet: the worst first, found by what one knows of a stream."""

from datetime import timedelta

from iops import items
from iops.alert import AlertState
from iops.auth import Caller, Role
from iops.insight import PredictionType
from services.insights.fleet import Fleet, State, Wanted, sort_fleet
from services.insights.silence import ALL_HOSTS
from tests.unit.builders import AT, EVERYBODY, a_batch, a_stream, an_alert
from tests.unit.fakes import FakeTable

ANY = Wanted()


def test_the_worst_is_first_and_of_equals_the_one_that_fires() -> None:
    streams = [
        a_stream("a:sda", risk_score=10),
        a_stream("b:sda", risk_score=90),
        a_stream("c:sda", risk_score=90),
        a_stream("d:sda", risk_score=None),
        a_stream("e:sda", risk_score=0),
    ]
    found = sort_fleet(streams, [an_alert("c:sda")])

    assert [seen.stream.stream_id for seen in found] == ["c:sda", "b:sda", "a:sda", "e:sda", "d:sda"]


def test_of_several_alerts_the_one_that_fires_stands_beside_its_stream() -> None:
    taken = an_alert(
        "a:sda", prediction_type=PredictionType.STALL, state=AlertState.ACKNOWLEDGED, risk_score=99, alert_id="1"
    )
    firing = an_alert("a:sda", prediction_type=PredictionType.FAIL_SLOW, risk_score=81, alert_id="2")
    (seen,) = sort_fleet([a_stream("a:sda")], [taken, firing])

    assert seen.alert is firing
    assert State.FIRING in seen.states


def test_all_disks_of_a_silent_host_are_silent() -> None:
    streams = [a_stream("a:sda"), a_stream("a:sdb"), a_stream("b:sda")]
    one = sort_fleet(streams, [an_alert("a", prediction_type=PredictionType.AGENT_SILENT)])

    assert {seen.stream.stream_id for seen in one if seen.is_silent(None)} == {"a:sda", "a:sdb"}


def test_no_agent_is_called_silent_where_it_is_we_who_hear_nothing() -> None:
    every = an_alert(ALL_HOSTS, prediction_type=PredictionType.AGENT_SILENT)
    (seen,) = sort_fleet([a_stream("a:sda")], [every])

    assert not seen.is_silent(None)
    assert State.SILENT not in seen.states


def test_a_disk_that_sent_since_is_not_silent() -> None:
    (seen,) = sort_fleet(
        [a_stream("a:sda")], [an_alert("a", prediction_type=PredictionType.AGENT_SILENT, updated_at=AT)]
    )

    assert seen.is_silent(AT - timedelta(minutes=5))
    assert not seen.is_silent(AT + timedelta(seconds=1))


def test_a_host_that_spoke_again_is_silent_no_more_although_its_alert_is_open() -> None:
    spoke = an_alert("a", prediction_type=PredictionType.AGENT_SILENT, recovering_since=AT)
    (seen,) = sort_fleet([a_stream("a:sda")], [spoke])

    assert State.SILENT not in seen.states


async def a_fleet() -> Fleet:
    """web-1 with two disks, db-1 with one that is ill."""
    fake = FakeTable()
    now_ms = round(AT.timestamp() * 1000)
    for stream_id, labels in (("web-1:sda", {"rack": "A7"}), ("web-1:sdb", {}), ("db-1:sda", {"volume_type": "gp3"})):
        batch = a_batch(stream_id, peer_group=stream_id.partition(":")[0], labels=labels)
        await fake.table().update(items.stream_seen_update(batch, now_ms=now_ms))
    fake.rows["db-1:sda", "stream"]["risk_score"] = {"N": "91"}
    fleet = Fleet(fake.table(), lambda: AT)
    await fleet.look_once()
    return fleet


async def found(wanted: Wanted, caller: Caller = EVERYBODY) -> list[str]:
    return [seen.stream.stream_id for seen in (await a_fleet()).view(wanted, caller).found]


async def test_streams_are_found_by_text_label_group_risk_and_state() -> None:
    assert await found(ANY) == ["db-1:sda", "web-1:sda", "web-1:sdb"]
    assert await found(Wanted(text=" SDB ")) == ["web-1:sdb"]
    assert await found(Wanted(text="rack=a7")) == ["web-1:sda"]
    assert await found(Wanted(peer_group="web-1")) == ["web-1:sda", "web-1:sdb"]
    assert await found(Wanted(peer_group="web")) == []
    assert await found(Wanted(min_risk=80)) == ["db-1:sda"]
    assert await found(Wanted(state=State.HIGH)) == ["db-1:sda"]
    assert await found(Wanted(state=State.ELEVATED)) == []
    assert await found(Wanted(state=State.WARMING_UP, peer_group="db-1")) == ["db-1:sda"]


async def test_a_caller_finds_and_counts_their_own_streams_only() -> None:
    web = Caller("web team", Role.VIEWER, ("web-*",))
    view = (await a_fleet()).view(ANY, web)

    assert [seen.stream.stream_id for seen in view.found] == ["web-1:sda", "web-1:sdb"]
    assert (view.counts["streams"], view.counts["high"], list(view.peer_groups)) == (2, 0, ["web-1"])
