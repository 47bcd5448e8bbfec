"""The formulas say the same of one number as of a whole array."""

import math

import numpy as np
import pytest

from ml.queueing import Limits, Load, allowed_s, credits_after, flow, with_sequential_reads

RATES = np.array([1.0, 50.0, 99.0, 400.0])


def a_flow(rate_s: float, cap_iops: float = math.inf) -> tuple[float, float]:
    made = flow(Load(rate_s, 0.0, 4096.0, 4096.0, 10.0, 10.0), Limits(1, 32, 1.0, math.inf, cap_iops))
    return made.let_through_ratio, made.wait_ms


def test_an_array_flows_as_its_numbers_do() -> None:
    zeros = np.zeros(4)
    load = Load(RATES, zeros, zeros + 4096, zeros + 4096, zeros + 10, zeros + 10)

    made = flow(load, Limits(1, 32, 1.0, zeros + math.inf, zeros + math.inf))

    pairs = list(zip(made.let_through_ratio.tolist(), made.wait_ms.tolist(), strict=True))
    assert pairs == [pytest.approx(a_flow(rate)) for rate in RATES.tolist()]


def test_a_full_disk_lets_through_what_it_can_and_holds_as_many_as_the_host_keeps_open() -> None:
    let_through, wait_ms = a_flow(400.0)

    assert let_through == 0.25
    assert wait_ms == pytest.approx(310.0)  # 32 open, 100 a second come back: 320 ms, of which 10 are service


def test_a_throttle_holds_back_what_is_over_it() -> None:
    assert a_flow(50.0, cap_iops=40.0)[0] == 0.8
    assert a_flow(50.0, cap_iops=60.0)[0] == 1.0


def test_a_backup_takes_only_what_others_leave() -> None:
    busy = Load(60.0, 0.0, 4096.0, 4096.0, 10.0, 10.0)

    made = with_sequential_reads(busy, share=0.8, big_ms=20.0, big_bytes=1e6, lanes=1, throughput_bytes_s=1e9)

    assert made.reads_s == pytest.approx(70.0)
    assert made.busy_lanes == pytest.approx(0.8)


def test_credits_run_out_and_come_back() -> None:
    left, allowed = 60_000.0, []
    for asked_s in [1000.0] * 5 + [100.0] * 5:
        now = allowed_s(left, earned_s=300.0, burst_s=3000.0, interval_s=60.0)
        allowed.append(round(now))
        left = credits_after(left, earned=18_000.0, spent=60 * min(asked_s, now), bucket=60_000.0)

    assert allowed == [1300, 600, 300, 300, 300, 300, 500, 700, 900, 1100]
