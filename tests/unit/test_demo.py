"""The demonstration against a server double: the past, the present, and an honest summary."""

import gzip
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest

from cli.demo import DemoOptions, Surroundings, run_demo
from cli.outcome import Outcome
from cli.server import Row
from iops.telemetry import Batch
from ml.plan import plan_events
from ml.simulate import Fleet
from tests.unit.demonstrated import NOW, an_alert


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


def test_the_plan_of_sixty_streams_is_the_same_for_the_same_seed() -> None:
    streams = Fleet(seed=3).streams

    first = plan_events(streams, seed=3, faults=10, begins_at=NOW, spread_s=20)

    assert first == plan_events(streams, seed=3, faults=10, begins_at=NOW, spread_s=20)
    assert first != plan_events(streams, seed=4, faults=10, begins_at=NOW, spread_s=20)
