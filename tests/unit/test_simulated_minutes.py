"""Simulated days: the physics holds, the label is what was injected, and nothing but that."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from iops.minutes import AWAIT, SERIES
from iops.risk import KINDS
from ml.device import GP2, GP3, HDD, NVME, DeviceClass
from ml.episodes import BENIGN, EVENTS, KIND_OF, Episode, Event, episodes_of, suits
from ml.minutes import Simulated, simulate, simulate_host, simulated_hosts
from ml.traffic import CLASSES, Character, character_of

MINUTES = 360
FIRST, LAST = 120, 240  # of an episode
VICTIM = 1


@cache
def a_character(device: DeviceClass = NVME) -> Character:
    drawn = (character_of(np.random.default_rng((1, seed))) for seed in range(1000))
    return replace(
        next(host for host in drawn if host.device is device and host.disks < 9 and not host.is_quiet.any()),
        open_limit=32.0,
        has_p99=True,
        knows_trouble=True,
        counts_errors=device.counts_errors,
        has_only_await=False,
        loses_minutes=False,
    )


def an_episode(event: Event, *disks: int) -> Episode:
    strength = np.zeros(MINUTES)
    strength[FIRST:LAST] = 1
    return Episode(event, np.array(disks or [VICTIM], np.intp), FIRST, LAST, strength)


def a_host(*episodes: Episode, device: DeviceClass = NVME, minutes: int = MINUTES) -> Simulated:
    return simulate(a_character(device), episodes, minutes, np.random.default_rng(3))


def device_for(event: Event) -> DeviceClass:
    return next(device for device in (NVME, GP3, GP2) if suits(event, device))


def series(simulated: Simulated, name: str) -> NDArray[np.float32]:
    return simulated.host.values[..., SERIES.index(name)]


def during(values: NDArray[np.float32]) -> float:
    return float(np.nanmedian(values[FIRST:LAST, VICTIM]))


def test_the_same_seed_makes_the_same_hosts() -> None:
    few = list(simulated_hosts(seed=5, hosts=2, minutes=300))
    more = list(simulated_hosts(seed=5, hosts=3, minutes=300))

    for one, two in zip(few, more, strict=False):
        np.testing.assert_array_equal(one.values, two.values)
        np.testing.assert_array_equal(one.severity, two.severity)
    assert [host.name for host in more] == ["simulated-5-0", "simulated-5-1", "simulated-5-2"]
    assert not np.array_equal(simulate_host(seed=6, index=0, minutes=300).host.values, few[0].values)


def test_queue_depth_follows_from_rate_and_latency() -> None:
    host = a_host(an_episode(Event.FAIL_SLOW, 0))

    rate = series(host, "read_iops") + series(host, "write_iops")

    np.testing.assert_allclose(series(host, "queue_depth"), rate * series(host, "await_ms") / 1000, rtol=1e-4)


@pytest.mark.parametrize("event", [each for each in KIND_OF if each not in (Event.STALL, Event.BURST_CREDITS)])
def test_a_fault_is_felt_by_its_disk_and_ends(event: Event) -> None:
    device = device_for(event)

    hurt = series(a_host(an_episode(event), device=device), "await_ms")

    usual = series(a_host(device=device), "await_ms")
    assert during(hurt) > 1.03 * during(usual)
    assert np.nanmedian(hurt[LAST:, VICTIM]) == pytest.approx(np.nanmedian(usual[LAST:, VICTIM]), rel=0.1)
    assert np.nanmedian(hurt[:, VICTIM + 1]) == pytest.approx(np.nanmedian(usual[:, VICTIM + 1]), rel=0.1)


@pytest.mark.parametrize("event", [each for each in KIND_OF if each is not Event.BURST_CREDITS])
def test_the_label_is_where_the_fault_was_injected(event: Event) -> None:
    made = a_host(an_episode(event), device=device_for(event))

    expected = np.zeros_like(made.host.incident)
    expected[FIRST:LAST, VICTIM] = 1
    np.testing.assert_array_equal(made.host.incident, expected)
    assert {KINDS[kind] for kind in made.host.kind[made.host.incident == 1]} == {KIND_OF[event]}
    assert (made.host.kind[made.host.incident == 0] == -1).all()
    assert (made.host.severity[made.host.incident == 1] >= 0).all()
    assert (made.host.severity[made.host.incident == 0] == 0).all()


@pytest.mark.parametrize("event", BENIGN)
def test_a_benign_event_has_no_label(event: Event) -> None:
    made = a_host(an_episode(event))

    assert not made.host.incident.any()
    assert not made.host.severity.any()
    assert (made.event == EVENTS.index(event)).any()


def test_a_label_does_not_depend_on_what_was_measured() -> None:
    episode = an_episode(Event.FAIL_SLOW)
    noisy, calm = (
        simulate(replace(a_character(), demand_noise=noise), [episode], MINUTES, np.random.default_rng(seed))
        for noise, seed in ((0.4, 1), (0.02, 2))
    )

    assert not np.array_equal(noisy.host.values, calm.host.values)
    np.testing.assert_array_equal(noisy.host.incident, calm.host.incident)


def test_severity_is_the_excess_that_callers_feel() -> None:
    made, usual = a_host(an_episode(Event.FAIL_SLOW)), a_host()

    excess = np.log(during(series(made, "await_ms")) / during(series(usual, "await_ms")))

    assert during(made.host.severity) == pytest.approx(excess, abs=0.1)


def test_a_neighbour_hurts_all_that_share_the_device() -> None:
    made = a_host(an_episode(Event.NOISY_NEIGHBOUR, 0, 1, 2))

    assert made.host.incident[FIRST].tolist()[:4] == [1, 1, 1, 0]
    assert (np.median(made.host.severity[FIRST:LAST, :3], axis=0) > 0.15).all()


def test_burst_credits_run_out_and_come_back() -> None:
    strength = np.zeros(3000)
    strength[60:2000] = 1
    made = a_host(Episode(Event.BURST_CREDITS, np.array([VICTIM]), 60, 2000, strength), device=GP2, minutes=3000)

    rate = (series(made, "read_iops") + series(made, "write_iops"))[:, VICTIM]
    labelled = np.flatnonzero(made.host.incident[:, VICTIM])
    assert rate[60:80].mean() > 1.15 * 450  # bursting, and nobody hurt
    assert labelled[0] > 80
    assert rate[labelled].mean() == pytest.approx(450, rel=0.02)
    assert labelled[-1] == 1999
    assert made.host.severity[labelled, VICTIM].min() > 1
    assert not made.host.incident[:, VICTIM - 1].any()


def test_nothing_is_null_where_requests_completed() -> None:
    made = a_host(an_episode(Event.STALL, 0))

    rate = series(made, "read_iops") + series(made, "write_iops")
    assert (rate[FIRST:LAST, 0] == 0).any()
    np.testing.assert_array_equal(np.isfinite(series(made, "await_ms")), rate > 0)
    np.testing.assert_array_equal(np.isfinite(series(made, "latency_p99_ms")), rate > 0)
    assert np.isfinite(np.delete(made.host.values, [SERIES.index("service_ms"), AWAIT, 8], axis=-1)).all()


def test_a_reboot_leaves_a_gap() -> None:
    made = a_host(an_episode(Event.REBOOT, *range(a_character().disks)))

    assert 2 <= MINUTES - len(made.host.minute) <= 10
    assert FIRST not in (made.host.minute - made.host.minute[0])


def test_drawn_hosts_are_of_every_class_and_within_their_limits() -> None:
    hosts = [simulate_host(seed=11, index=index, minutes=60) for index in range(25)]

    assert {made.character.device.volume_type for made in hosts} == {device.volume_type for device in CLASSES}
    assert {len(made.host.disks) for made in hosts} <= set(range(4, 25))
    for made in hosts:
        values = made.host.values
        assert not np.isinf(values).any()
        assert not (values < 0).any()
        assert (np.nan_to_num(series(made, "utilization_ratio")) <= 1).all()


def test_faults_are_of_every_kind_that_suits_a_device_and_spare_some_hosts() -> None:
    character, rng = a_character(HDD), np.random.default_rng(1)

    drawn = [episodes_of(character, 100, rng) for _ in range(100)]

    faults = [[each.event for each in episodes if each.is_fault] for episodes in drawn]
    assert {event for each in faults for event in each} == {event for event in KIND_OF if suits(event, HDD)}
    assert 0.15 < np.mean([not each for each in faults]) < 0.35
    for episodes in drawn:
        hurt = [disk for each in episodes if each.is_fault for disk in each.disks.tolist()]
        assert len(hurt) == len(set(hurt))
