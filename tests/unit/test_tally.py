"""What a demonstration counts of the alerts that it sees, and says of them."""

from datetime import timedelta

import pytest

from cli.server import Row
from cli.tally import Tally
from ml.fault import Benign, BenignKind, Fault
from ml.plan import Plan
from tests.unit.demonstrated import NOW, a_stall, an_alert


def a_tally(faults: dict[str, Fault], benign: dict[str, Benign] | None = None) -> Tally:
    return Tally(frozenset({"a:1", "a:2", "a:3"}), Plan(faults, benign or {}), NOW)


def test_the_summary_says_how_often_a_model_would_have_been_asked_since_the_start() -> None:
    tally = a_tally({})

    for ill, for_a_model in ((10, 4), (100, 20), (350, 45)):
        tally.note_tiers({"findings_ill": ill, "findings_for_a_model": for_a_model})

    line = "A language model would have been asked about 12 % of 340 findings at risk 60 or more."
    assert tally.to_lines()[-1] == line
    assert (tally.to_row()["findings_ill"], tally.to_row()["findings_for_a_model"]) == (340, 41)


@pytest.mark.parametrize("tiers", [None, {}, {"findings_ill": "7", "findings_for_a_model": 1}])
def test_a_server_that_does_not_count_findings_leaves_the_line_out(tiers: Row | None) -> None:
    tally = a_tally({})

    tally.note_tiers(tiers)

    assert "language model" not in "".join(tally.to_lines())
    assert tally.to_row()["findings_ill"] is None


def test_counts_that_began_anew_say_nothing() -> None:
    tally = a_tally({})

    tally.note_tiers({"findings_ill": 100, "findings_for_a_model": 9})
    tally.note_tiers({"findings_ill": 3, "findings_for_a_model": 1})

    assert tally.counted is None


def test_an_alert_of_a_faulted_stream_counts_once_with_the_seconds_since_the_fault() -> None:
    tally = a_tally({"a:1": a_stall()})
    alert = an_alert("a:1", opened_at=NOW + timedelta(seconds=12))

    tally.note_alerts([alert], NOW + timedelta(seconds=14))
    tally.note_alerts([alert], NOW + timedelta(seconds=16))

    assert [(sighting.stream_id, sighting.after_s) for sighting in tally.sightings] == [("a:1", 14.0)]


def test_an_alert_without_a_fault_is_false_and_a_benign_event_was_not_left_alone() -> None:
    tally = a_tally({"a:1": a_stall()}, {"a:2": Benign(kind=BenignKind.BACKUP, begins_at=NOW)})

    tally.note_alerts([an_alert("a:2", opened_at=NOW + timedelta(seconds=5))], NOW + timedelta(seconds=6))

    row = tally.to_row()
    assert (row["found"], row["missed"]) == (0, 1)
    assert [sighting.stream_id for sighting in tally.false_alerts] == ["a:2"]
    assert row["benign"] == [{"stream_id": "a:2", "kind": "backup", "was_left_alone": False}]


def test_an_episode_of_an_earlier_run_speaks_only_when_it_is_updated() -> None:
    tally = a_tally({"a:1": a_stall(), "a:3": a_stall()})
    yesterday, later = NOW - timedelta(days=1), NOW + timedelta(seconds=9)
    old = [
        an_alert("a:1", opened_at=yesterday),
        an_alert("a:2", opened_at=yesterday, updated_at=later),
        an_alert("a:3", opened_at=yesterday, updated_at=later),
        an_alert("b:1", opened_at=later),
    ]

    assert [sighting.stream_id for sighting in tally.note_alerts(old, later)] == ["a:3"]


def test_an_alert_line_cannot_command_a_terminal() -> None:
    alert = {**an_alert("a:1", opened_at=NOW), "prediction_type": "stall\x1b[2J", "facts": []} | {"title": "x\ry"}

    lines = [sighting.to_line() for sighting in a_tally({"a:1": a_stall()}).note_alerts([alert], NOW)]

    assert lines == ["    +0 s  a:1  stall[2J  risk 95  x y"]


def test_an_alert_that_is_garbled_is_not_counted() -> None:
    tally = a_tally({"a:1": a_stall()})

    assert tally.note_alerts([{}, {"stream_id": "a:1", "opened_at": "soon"}], NOW) == []
