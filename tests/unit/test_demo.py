"""The demonstration against a server double: the past, the present, and an honest summary."""

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from cli.body import BODY_BYTES, history_bodies
from cli.demo import DemoOptions, Surroundings, run_demo
from cli.live import LiveFleet
from cli.outcome import Outcome
from cli.server import Row
from cli.tally import Tally
from iops.telemetry import Batch
from ml.fault import Benign, BenignKind, Fault, FaultKind
from ml.plan import Plan, plan_events
from ml.simulate import Fleet

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SMALL = Fleet(hosts=1, disks_per_host=6).streams


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.now += timedelta(seconds=delay_s)


@dataclass
class Dashboard:
    """Keeps what is sent, and alerts on a stream once a stall or an error of it was seen."""

    time: Time
    stored: dict[str, list[Row]] = field(default_factory=dict)
    alerts: list[Row] = field(default_factory=list)
    latest: dict[str, str] = field(default_factory=dict)
    is_silent: bool = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/metrics":
            return self._store(json.loads(gzip.decompress(request.content))["batches"])
        if path.startswith("/streams/"):
            latest = self.latest.get(path.removeprefix("/streams/"))
            return httpx.Response(200, json={"latest": {"at": latest}}) if latest else httpx.Response(404, json={})
        return httpx.Response(200, json={"items": self.alerts if path == "/alerts" else [], "cursor": None})

    def _store(self, batches: list[Row]) -> httpx.Response:
        for body in batches:
            batch = Batch.model_validate_json(json.dumps(body))
            assert batch.labels["source"] == "simulated"
            self.stored.setdefault(batch.stream_id, []).extend(s.model_dump() for s in batch.samples)
            is_bad = any(s.io_errors or (s.in_flight and not s.read_iops + s.write_iops) for s in batch.samples)
            if is_bad and not self.is_silent:
                self.alerts.append(an_alert(batch.stream_id, opened_at=self.time()))
        return httpx.Response(202, json={"accepted": 1})


def an_alert(stream_id: str, *, opened_at: datetime, updated_at: datetime | None = None) -> Row:
    return {
        "alert_id": f"{stream_id}/stall",
        "stream_id": stream_id,
        "prediction_type": "stall",
        "state": "firing",
        "risk_score": 95.0,
        "opened_at": opened_at.isoformat(),
        "updated_at": (updated_at or opened_at).isoformat(),
        "title": "Stalled",
        "facts": [{"name": "in_flight", "value": 3.0, "sentence": "3 in flight, none completed."}],
    }


def a_tally(faults: dict[str, Fault], benign: dict[str, Benign] | None = None) -> Tally:
    return Tally(frozenset({"a:1", "a:2", "a:3"}), Plan(faults, benign or {}), NOW)


def a_stall(begins_at: datetime = NOW) -> Fault:
    return Fault(kind=FaultKind.STALL, begins_at=begins_at)


@pytest.fixture
def short_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.demo.HISTORY", timedelta(minutes=10))


def demonstrate(dashboard: Dashboard, *, streams: int = 12, faults: int = 2, as_json: bool = True) -> Outcome:
    options = DemoOptions(url="http://127.0.0.1:1", streams=streams, duration_s=40, faults=faults, as_json=as_json)
    time = dashboard.time
    return run_demo(options, Surroundings(time, time.sleep, httpx.MockTransport(dashboard)))


@pytest.mark.usefixtures("short_past")
def test_a_demonstration_finds_its_faults(capsys: pytest.CaptureFixture[str]) -> None:
    dashboard = Dashboard(Time())

    outcome = demonstrate(dashboard)

    summary = json.loads(capsys.readouterr().out)
    assert outcome is Outcome.OK
    assert (summary["simulated"], summary["streams"], len(summary["faults"])) == (True, 12, 2)
    assert summary["found"] >= 1
    assert summary["false_alerts"] == []


def test_a_demonstration_begins_with_a_day_of_the_past() -> None:
    dashboard = Dashboard(Time())

    demonstrate(dashboard, streams=1, faults=0)

    assert {name: len(samples) for name, samples in dashboard.stored.items()} == {"demo-01:nvme1n1": 2880 + 20}


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


@pytest.mark.usefixtures("short_past")
def test_a_second_demonstration_has_hosts_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    dashboard = Dashboard(Time())
    dashboard.latest = dict.fromkeys(("demo-01:nvme1n1", "demo2-01:nvme1n1"), NOW.isoformat())

    outcome = demonstrate(dashboard, as_json=False)

    assert outcome is Outcome.OK
    assert sorted(dashboard.stored) == sorted(f"demo3-{s.stream_id[5:]}" for s in Fleet().streams[:12])
    assert "this one's hosts are demo3-01 and on" in capsys.readouterr().out


@pytest.mark.usefixtures("short_past")
def test_a_demonstration_without_an_alert_fails_and_says_what_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    dashboard = Dashboard(Time(), is_silent=True)

    outcome = demonstrate(dashboard, as_json=False)

    text = capsys.readouterr().out
    assert outcome is Outcome.NOTHING
    assert text.startswith("SIMULATED telemetry of 12 streams")
    assert "Faults found: 0 of 2. Missed: demo-0" in text


def test_nothing_is_summarized_when_the_server_never_answered(capsys: pytest.CaptureFixture[str]) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    time = Time()
    options = DemoOptions(url="http://127.0.0.1:1", streams=6, as_json=True)

    outcome = run_demo(options, Surroundings(time, time.sleep, httpx.MockTransport(away)))

    assert outcome is Outcome.UNREACHABLE
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("short_past")
def test_a_refused_body_ends_the_demonstration_with_the_servers_reason(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404, json={})
        return httpx.Response(422, json={"detail": "batches[0]: no"})

    time = Time()
    options = DemoOptions(url="http://127.0.0.1:1", streams=6)

    outcome = run_demo(options, Surroundings(time, time.sleep, httpx.MockTransport(refuse)))

    assert outcome is Outcome.NOTHING
    assert capsys.readouterr().err == "iops: batches[0]: no\n"


@pytest.mark.usefixtures("short_past")
def test_an_interrupted_demonstration_still_tells_what_it_saw(capsys: pytest.CaptureFixture[str]) -> None:
    dashboard = Dashboard(Time())

    async def interrupted(delay_s: float) -> None:
        await dashboard.time.sleep(delay_s)
        if dashboard.time() > NOW + timedelta(seconds=36):
            raise KeyboardInterrupt

    options = DemoOptions(url="http://127.0.0.1:1", streams=12, faults=2, as_json=True)
    outcome = run_demo(options, Surroundings(dashboard.time, interrupted, httpx.MockTransport(dashboard)))

    assert outcome is Outcome.OK
    assert json.loads(capsys.readouterr().out)["found"] >= 1


def test_bodies_stay_within_what_the_server_takes() -> None:
    bodies = list(history_bodies([(s, NOW - timedelta(hours=6)) for s in SMALL * 2], end_at=NOW))

    assert sum(body.samples for body in bodies) == 12 * 720
    assert len(bodies) > 1
    assert max(len(body.packed) for body in bodies) < 1024 * 1024
    assert max(len(gzip.decompress(body.packed)) for body in bodies) < BODY_BYTES + 1024


def test_healthy_streams_send_thirty_samples_at_different_moments() -> None:
    live = LiveFleet(SMALL, Plan({}, {}), start_at=NOW, end_at=NOW + timedelta(minutes=5))

    moments: dict[str, list[int]] = {}
    counts: dict[str, list[int]] = {}
    while live.next_at < NOW + timedelta(minutes=5):
        second = round((live.next_at - NOW).total_seconds())
        for batch in live.advance(live.next_at):
            moments.setdefault(batch.stream_id, []).append(second)
            counts.setdefault(batch.stream_id, []).append(len(batch.samples))

    usual = [count for sent in counts.values() for count in sent[1:]]
    assert usual.count(30) > 0.8 * len(usual)  # a hiccup of a healthy disk may flush early
    assert len({sent[0] for sent in moments.values()}) == 6


def test_a_stalled_stream_sends_early_but_at_most_every_ten_seconds() -> None:
    stream_id = SMALL[1].stream_id
    plan = Plan({stream_id: a_stall(NOW + timedelta(seconds=20))}, {})
    live = LiveFleet(SMALL, plan, start_at=NOW, end_at=NOW + timedelta(minutes=1))

    seconds = []
    while live.next_at < NOW + timedelta(minutes=1):
        second = round((live.next_at - NOW).total_seconds())
        seconds += [second for batch in live.advance(live.next_at) if batch.stream_id == stream_id]

    assert [second for second in seconds if second > 20] == [22, 32, 42, 52]


def test_missed_instants_are_caught_up_and_the_rest_is_sent_at_the_end() -> None:
    live = LiveFleet(SMALL, Plan({}, {}), start_at=NOW, end_at=NOW + timedelta(minutes=2))

    caught_up = sum(len(batch.samples) for batch in live.advance(NOW + timedelta(minutes=10)))

    assert caught_up + sum(len(batch.samples) for batch in live.rest()) == 6 * 60


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


def test_the_plan_of_sixty_streams_is_the_same_for_the_same_seed() -> None:
    streams = Fleet(seed=3).streams

    first = plan_events(streams, seed=3, faults=10, begins_at=NOW, spread_s=20)

    assert first == plan_events(streams, seed=3, faults=10, begins_at=NOW, spread_s=20)
    assert first != plan_events(streams, seed=4, faults=10, begins_at=NOW, spread_s=20)
