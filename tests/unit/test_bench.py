"""What the benchmark says of what it saw."""

import gzip
import json
from datetime import timedelta
from pathlib import Path

import pytest

from bench import e2e
from bench.report import figures, print_report
from bench.scenario import DISKS, KINDS, make_cases
from iops.telemetry import Batch, window_from_samples
from ml.fault import FaultKind
from tests.unit.builders import AT


def test_the_same_seed_makes_the_same_faults_under_other_names() -> None:
    one, two = make_cases(9, seed=3, run="one"), make_cases(9, seed=3, run="two")

    assert [case.kind for case in one] == [case.kind for case in two]
    assert [case.victim.stream_id.removeprefix("one-") for case in one] == [
        case.victim.stream_id.removeprefix("two-") for case in two
    ]
    assert {kind: [case.kind for case in one].count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 3)


def test_every_fault_has_a_peer_group_of_its_own() -> None:
    cases = make_cases(20, seed=3, run="run")

    assert len({case.victim.peer_group for case in cases}) == 20
    assert {len({stream.stream_id for stream in case.streams}) for case in cases} == {DISKS}
    assert all(case.victim.device.counts_errors for case in cases if case.kind is FaultKind.IO_ERRORS)


def test_a_body_tells_the_last_minute_of_all_four_disks() -> None:
    case = make_cases(1, seed=3, run="run")[0]

    batches = json.loads(gzip.decompress(case.fault_body(AT).packed))["batches"]

    windows = [window_from_samples(Batch.model_validate_json(json.dumps(batch)).samples) for batch in batches]
    assert [len(window) for window in windows] == [30] * DISKS


def test_a_mail_too_few_is_lost_and_one_too_many_unexpected() -> None:
    cases = make_cases(3, seed=3, run="run")
    first, second, third = (case.victim.stream_id for case in cases)
    peer = next(stream.stream_id for stream in cases[0].streams if stream is not cases[0].victim)
    sent_at = {first: 10.0, second: 20.0, third: 30.0}

    result = e2e.judge(cases, sent_at, {first: [10.5, 12.0], second: [20.25], third: [], peer: [11.0]})

    assert (result.faults, result.lost, result.unexpected) == (3, 1, 2)
    assert sorted(second for seconds in result.seconds.values() for second in seconds) == [0.25, 0.5]


def test_mails_are_known_by_the_stream_whose_alert_they_open(tmp_path: Path) -> None:
    for name, event in (("one", "opened"), ("two", "resolved")):
        body = json.dumps(json.dumps({"event": event, "stream_id": f"web-{name}:sda"}))
        (tmp_path / f"{name}.eml").write_text(f'Subject: x\n\n"web has stalled"\n{body}\n')
    (tmp_path / "three.eml").write_text("Subject: another matter\n\nHello.\n")

    assert [stream_id for stream_id, _ in e2e.read_mails(tmp_path)] == ["web-one:sda"]


def test_what_follows_the_first_body_of_a_fault_begins_where_that_ended() -> None:
    case = make_cases(1, seed=3, run="run")[0]

    batches = json.loads(gzip.decompress(case.later_body(AT, AT + timedelta(seconds=10)).packed))["batches"]

    instants = [sample["at"] for batch in batches for sample in batch["samples"]]
    assert (len(instants), min(instants) >= AT.isoformat()[:19]) == (5 * DISKS, True)


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    result = e2e.Result(faults=2, lost=1, unexpected=0, seconds={"stall": [0.5]})

    print_report(result, {"cores": 2}, as_json=True)

    assert json.loads(capsys.readouterr().out) == {
        "bench": "e2e",
        "faults": 2,
        "lost": 1,
        "unexpected": 0,
        "post_to_mail": {"count": 1, "p50_s": 0.5, "p99_s": 0.5, "max_s": 0.5},
        "hard_rules": {"count": 1, "p50_s": 0.5, "p99_s": 0.5, "max_s": 0.5},
        "rest": {"count": 0, "p50_s": None, "p99_s": None, "max_s": None},
        "kinds": {"stall": {"count": 1, "p50_s": 0.5, "p99_s": 0.5, "max_s": 0.5}},
        "machine": {"cores": 2},
    }


def test_no_mails_have_no_quantiles() -> None:
    assert figures([]) == {"count": 0, "p50_s": None, "p99_s": None, "max_s": None}
