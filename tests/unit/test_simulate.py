"""The simulated fleet: deterministic, shows its faults, and hides nothing that is not there."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

import pytest

from iops.telemetry import Batch, Sample
from ml.fault import Benign, BenignKind, Fault, FaultKind
from ml.plan import plan_events
from ml.simulate import Fleet, Stream, samples

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
FLEET = Fleet(seed=7)


def a_stream(volume_type: str) -> Stream:
    return next(s for s in FLEET.streams if s.device.volume_type == volume_type and not s.is_quiet)


def a_quiet_stream() -> Stream:
    return next(s for s in FLEET.streams if s.is_quiet)


def five_minutes(stream: Stream, fault: Fault | None = None, benign: Benign | None = None) -> list[Sample]:
    end_at = NOW + timedelta(minutes=5)
    return list(samples(stream, start_at=NOW, end_at=end_at, interval_s=2, fault=fault, benign=benign))


def a_fault(kind: FaultKind) -> Fault:
    return Fault(kind=kind, begins_at=NOW - timedelta(minutes=1))


def read_await_ms(taken: list[Sample]) -> float:
    return fmean(sample.read_await_ms for sample in taken if sample.read_await_ms is not None)


def a_traced_stream() -> Stream:
    return next(s for s in FLEET.streams if s.has_percentiles and not s.is_quiet)


def p99_ms(taken: list[Sample]) -> float:
    return median(sample.latency_p99_ms for sample in taken if sample.latency_p99_ms is not None)


def test_percentiles_are_measured_on_some_hosts_and_lie_above_the_mean() -> None:
    traced = five_minutes(a_traced_stream())

    assert {stream.peer_group for stream in FLEET.streams if stream.has_percentiles} == {"demo-03", "demo-08"}
    for sample in traced:
        assert sample.latency_p95_ms is not None
        assert sample.latency_p99_ms is not None
        assert sample.latency_p95_ms < sample.latency_p99_ms
    assert p99_ms(traced) > 2 * read_await_ms(traced)
    assert all(sample.latency_p99_ms is None for sample in five_minutes(a_stream("gp3")))


def test_a_slow_tail_is_in_the_percentile_and_hardly_in_the_mean() -> None:
    well, ill = (five_minutes(a_traced_stream(), fault) for fault in (None, a_fault(FaultKind.TAIL_LATENCY)))

    assert p99_ms(well) < 5
    assert p99_ms(ill) > 90
    assert read_await_ms(ill) < 5


def test_that_percentiles_are_measured_changes_nothing_else() -> None:
    stream = a_traced_stream()
    counted = five_minutes(replace(stream, has_percentiles=False))
    bare = {"latency_p95_ms": None, "latency_p99_ms": None}

    assert [sample.model_copy(update=bare) for sample in five_minutes(stream)] == counted


def test_the_same_request_twice_gives_the_same_samples() -> None:
    assert five_minutes(a_stream("gp3")) == five_minutes(a_stream("gp3"))


def test_a_part_of_a_period_has_the_samples_of_the_whole() -> None:
    whole = five_minutes(a_stream("nvme"))

    part = samples(
        a_stream("nvme"), start_at=NOW + timedelta(seconds=61), end_at=NOW + timedelta(seconds=71), interval_s=2
    )

    assert list(part) == whole[31:36]


def test_another_seed_makes_another_fleet() -> None:
    assert five_minutes(Fleet(seed=8).streams[0]) != five_minutes(FLEET.streams[0])


def test_instants_stand_on_a_grid_that_does_not_depend_on_the_start() -> None:
    start_at = NOW + timedelta(seconds=7)

    taken = list(samples(a_stream("hdd"), start_at=start_at, end_at=NOW + timedelta(minutes=2), interval_s=30))

    assert [sample.at.second for sample in taken] == [30, 0, 30]


def test_sixty_streams_of_ten_hosts_are_what_an_agent_may_send() -> None:
    assert len({stream.stream_id for stream in FLEET.streams}) == 60
    assert len({stream.peer_group for stream in FLEET.streams}) == 10
    for stream in FLEET.streams:
        first = next(samples(stream, start_at=NOW, end_at=NOW + timedelta(minutes=1), interval_s=30))
        Batch(
            stream_id=stream.stream_id,
            peer_group=stream.peer_group,
            labels=stream.labels,
            provisioned_iops=stream.provisioned_iops,
            samples=(first,),
        )


def test_an_interval_without_completions_has_no_await() -> None:
    idle = [s for s in five_minutes(a_quiet_stream()) if s.read_iops == 0 and s.write_iops == 0]

    assert idle
    assert {(s.read_await_ms, s.write_await_ms, s.queue_depth) for s in idle} == {(None, None, 0.0)}


def test_queue_depth_follows_from_rate_and_latency() -> None:
    for sample in five_minutes(a_stream("gp3"))[:20]:
        reads = sample.read_iops * (sample.read_await_ms or 0)
        writes = sample.write_iops * (sample.write_await_ms or 0)
        assert sample.queue_depth == pytest.approx((reads + writes) / 1000, abs=0.01)


@pytest.mark.parametrize("volume_type", ["nvme", "gp3", "hdd"])
def test_a_slow_disk_takes_at_least_four_times_as_long(volume_type: str) -> None:
    stream = a_stream(volume_type)

    slow = five_minutes(stream, a_fault(FaultKind.FAIL_SLOW))

    assert read_await_ms(slow) > 4 * read_await_ms(five_minutes(stream))


def test_a_tail_of_two_percent_shows_in_the_mean() -> None:
    slow = five_minutes(a_stream("nvme"), a_fault(FaultKind.TAIL_LATENCY))

    assert read_await_ms(slow) - read_await_ms(five_minutes(a_stream("nvme"))) == pytest.approx(2.0, abs=0.4)


def test_a_capped_volume_is_flat_at_its_provisioned_rate_and_queues() -> None:
    capped = five_minutes(a_stream("gp3"), a_fault(FaultKind.IOPS_CAP))

    rates = [sample.read_iops + sample.write_iops for sample in capped]
    assert min(rates) > 0.95 * 3000
    assert max(rates) < 3000 * 1.001
    assert median(sample.queue_depth for sample in capped) > 50


def test_a_stalled_disk_has_requests_in_flight_and_completes_none() -> None:
    for sample in five_minutes(a_quiet_stream(), a_fault(FaultKind.STALL)):
        assert sample.in_flight > 0
        assert (sample.read_iops, sample.write_iops, sample.read_await_ms) == (0, 0, None)


def test_errors_are_counted_where_they_can_be_measured() -> None:
    failing = five_minutes(a_stream("nvme"), a_fault(FaultKind.IO_ERRORS))

    assert sum(sample.io_errors or 0 for sample in failing) > 100
    assert {sample.io_errors for sample in five_minutes(a_stream("nvme"))} == {0}
    assert {sample.io_errors for sample in five_minutes(a_stream("gp3"))} == {None}


def test_nothing_happens_before_a_fault_begins_and_it_grows_from_there() -> None:
    fault = Fault(kind=FaultKind.FAIL_SLOW, begins_at=NOW + timedelta(minutes=2), ramp_s=60)

    hurt, healthy = five_minutes(a_stream("nvme"), fault), five_minutes(a_stream("nvme"))

    assert hurt[:61] == healthy[:61]
    assert read_await_ms(hurt[65:75]) < read_await_ms(hurt[100:110])


def test_a_fault_that_ends_leaves_no_trace() -> None:
    fault = Fault(kind=FaultKind.STALL, begins_at=NOW, ends_at=NOW + timedelta(minutes=1))

    assert five_minutes(a_stream("hdd"), fault)[31:] == five_minutes(a_stream("hdd"))[31:]


def test_a_backup_reads_large_blocks_and_keeps_the_disk_busy() -> None:
    busy = five_minutes(a_stream("gp3"), benign=Benign(kind=BenignKind.BACKUP, begins_at=NOW))[10:]

    usual = five_minutes(a_stream("gp3"))
    assert median(s.utilization_ratio for s in busy) > 0.9
    assert median(s.read_bytes_s for s in busy) > 5 * median(s.read_bytes_s for s in usual)


def test_a_burst_of_demand_leaves_latency_alone() -> None:
    busy = five_minutes(a_stream("nvme"), benign=Benign(kind=BenignKind.BURST, begins_at=NOW))[10:]

    usual = five_minutes(a_stream("nvme"))
    assert median(s.read_iops for s in busy) > 1.8 * median(s.read_iops for s in usual)
    assert read_await_ms(busy) < 1.2 * read_await_ms(usual)


def test_the_usual_plan_has_ten_faults_on_ten_hosts_and_three_benign_events() -> None:
    plan = plan_events(FLEET.streams, seed=7, faults=10, begins_at=NOW, spread_s=20)

    assert Counter(fault.kind.value for fault in plan.faults.values()) == {
        "fail_slow": 3,
        "iops_cap": 2,
        "stall": 2,
        "io_errors": 2,
        "tail_latency": 1,
    }
    assert len({stream_id.partition(":")[0] for stream_id in plan.faults}) == 10
    assert {event.kind for event in plan.benign.values()} == set(BenignKind)
    assert not plan.benign.keys() & plan.faults.keys()
    assert max(fault.begins_at for fault in plan.faults.values()) == NOW + timedelta(seconds=20)


@pytest.mark.parametrize("hosts", [1, 2, 3])
def test_a_small_fleet_has_a_fault_on_every_host(hosts: int) -> None:
    plan = plan_events(Fleet(hosts=hosts, disks_per_host=3).streams, seed=7, faults=10, begins_at=NOW, spread_s=20)

    assert len(plan.faults) == hosts


def test_a_throughput_cap_lets_only_so_many_bytes_through() -> None:
    capped = five_minutes(a_stream("gp3"), a_fault(FaultKind.THROUGHPUT_CAP))

    usual = five_minutes(a_stream("gp3"))
    moved, asked = (median(s.read_bytes_s + s.write_bytes_s for s in taken) for taken in (capped, usual))
    assert moved < 0.9 * asked
    assert read_await_ms(capped) > 10 * read_await_ms(usual)


def test_a_neighbour_that_takes_two_thirds_makes_requests_three_times_as_long() -> None:
    hurt = five_minutes(a_stream("nvme"), a_fault(FaultKind.NOISY_NEIGHBOUR))

    assert read_await_ms(hurt) == pytest.approx(3.1 * read_await_ms(five_minutes(a_stream("nvme"))), rel=0.1)


@pytest.mark.parametrize("volume_type", ["nvme", "hdd"])
def test_an_overloaded_disk_is_busy_all_the_time_with_all_that_its_host_keeps_open(volume_type: str) -> None:
    stream = a_stream(volume_type)

    full = five_minutes(stream, a_fault(FaultKind.OVERLOAD))

    assert median(s.queue_depth for s in full) > 0.8 * stream.device.concurrency
    assert min(s.utilization_ratio for s in full) > 0.99


def test_faults_beyond_the_tenth_are_of_further_kinds() -> None:
    plan = plan_events(Fleet(hosts=20).streams, seed=7, faults=12, begins_at=NOW, spread_s=20)

    kinds = {fault.kind for fault in plan.faults.values()}
    assert kinds == set(FaultKind) - {FaultKind.NOISY_NEIGHBOUR}
