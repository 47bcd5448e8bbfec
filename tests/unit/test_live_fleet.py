"""What simulated streams send: a past in bodies that fit, and a present with its own moments."""

import gzip
from datetime import timedelta

from cli.body import BODY_BYTES, history_bodies
from cli.live import LiveFleet
from ml.plan import Plan
from ml.simulate import Fleet
from tests.unit.demonstrated import NOW, a_stall

SMALL = Fleet(hosts=1, disks_per_host=6).streams


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
