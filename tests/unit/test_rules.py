"""What the rules say of windows whose numbers one can do in the head: 200 reads/s, 1 ms each, is usual."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iops.evidence import Subject
from iops.insight import Finding, PredictionType
from iops.rules import judge_group, risk_of_ratio
from iops.telemetry import Window, merge_windows, window_from_samples
from tests.unit.builders import AT, a_baseline, a_sample, a_window

MINUTE = timedelta(minutes=1)
IDLE: dict[str, Any] = {
    "read_iops": 0.0,
    "read_bytes_s": 0.0,
    "read_await_ms": None,
    "queue_depth": 0.0,
    "utilization_ratio": 0.0,
}
USUAL = a_baseline()


def judge(window: Window, *, peers: Sequence[Subject] = (), **subject: Any) -> Finding:
    subjects = {"it": Subject(window, **{"baseline": USUAL} | subject)}
    return judge_group(subjects | {f"peer-{number}": peer for number, peer in enumerate(peers)})["it"]


def three_peers(**fields: Any) -> list[Subject]:
    return [Subject(a_window(**fields), USUAL) for _ in range(3)]


def a_minute_with(fields: dict[str, Any], *, at: Sequence[int], **usual: Any) -> Window:
    """A minute of seconds, of which those at `at` have other fields."""
    return window_from_samples(
        a_sample(**{
            "read_iops": 200.0, "read_bytes_s": 819_200.0, "read_await_ms": 1.0,
            "write_iops": 0.0, "write_bytes_s": 0.0, "write_await_ms": None,
            **usual, **(fields if second in at else {}), "at": AT - timedelta(seconds=59 - second),
        })
        for second in range(60)
    )  # fmt: skip


def test_a_disk_as_always_has_no_finding() -> None:
    finding = judge(a_window())

    assert (finding.risk_score, finding.prediction_type, finding.warming_up) == (0, None, False)


@pytest.mark.parametrize(("ratio", "risk"), [(1.3, 0), (2, 45), (3, 65), (4, 80), (8, 90), (20, 98), (1e9, 98)])
def test_the_slower_the_riskier(ratio: float, risk: float) -> None:
    assert risk_of_ratio(ratio) == pytest.approx(risk)


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_risk_never_falls_as_a_disk_grows_slower(one: float, other: float) -> None:
    assert 0 <= risk_of_ratio(min(one, other)) <= risk_of_ratio(max(one, other)) <= 98


def test_a_disk_that_takes_8_times_as_long_pages_with_the_numbers_that_prove_it() -> None:
    finding = judge(a_window(read_await_ms=8.0))

    assert (finding.risk_score, finding.prediction_type) == (90, PredictionType.PERFORMANCE_DEGRADATION)
    fact = finding.facts[0]
    assert (fact.name, fact.value, fact.baseline, fact.unit) == ("await_ms", 8.0, 1.0, "ms")
    assert fact.sentence == "await 8.00 ms over the last 60 s, 8.00 times its 24 h median of 1.00 ms"
    assert finding.began_at == AT - MINUTE


def test_it_began_when_the_slow_samples_did() -> None:
    before = a_window(3_000, end=AT - timedelta(seconds=90))
    slow = a_window(90, read_await_ms=8.0)

    assert judge(merge_windows([before, slow])).began_at == AT - timedelta(seconds=90)


def test_beside_healthy_peers_it_is_this_disk_that_fails_slowly() -> None:
    finding = judge(a_window(read_await_ms=8.0), peers=three_peers())

    assert (finding.risk_score, finding.prediction_type) == (90, PredictionType.FAIL_SLOW)
    assert finding.facts[0].peers == 1.0
    assert "its peers' median await is 1.00 ms: it takes 8.00 times as long" in [
        fact.sentence for fact in finding.facts
    ]


def test_where_the_whole_host_is_slow_it_is_no_single_disk() -> None:
    finding = judge(a_window(read_await_ms=8.0), peers=three_peers(read_await_ms=8.0))

    assert (finding.risk_score, finding.prediction_type) == (90, PredictionType.PERFORMANCE_DEGRADATION)


def test_two_peers_are_too_few_to_blame_the_disk() -> None:
    finding = judge(a_window(read_await_ms=8.0), peers=three_peers()[:2])

    assert finding.prediction_type is PredictionType.PERFORMANCE_DEGRADATION


def test_peers_of_another_kind_say_nothing() -> None:
    peers = [Subject(peer.window, USUAL, device_kind="nvme") for peer in three_peers()]

    finding = judge(a_window(read_await_ms=8.0), peers=peers, device_kind="sd")

    assert finding.prediction_type is PredictionType.PERFORMANCE_DEGRADATION
    assert finding.facts[0].peers is None


def test_seconds_in_which_nothing_completed_change_no_verdict() -> None:
    window = a_minute_with(IDLE, at=range(0, 60, 3), read_await_ms=8.0)

    finding = judge(window, peers=three_peers())

    assert (finding.risk_score, finding.prediction_type) == (90, PredictionType.FAIL_SLOW)
    assert finding.facts[0].value == 8.0


@pytest.mark.parametrize(
    "harmless",
    [
        a_window(utilization_ratio=1.0),
        a_window(queue_depth=64.0, in_flight=64),
        a_window(utilization_ratio=1.0, queue_depth=64.0, read_iops=240.0, read_bytes_s=983_040.0),
        a_window(read_await_ms=1.25),
        a_window(read_await_ms=0.2),
        a_window(**IDLE),
        a_window(3_600, **IDLE),
        a_minute_with(IDLE | {"in_flight": 1, "utilization_ratio": 0.01}, at=[30], **IDLE),
        a_minute_with(IDLE | {"in_flight": 1, "utilization_ratio": 0.01}, at=[10, 30, 50], **IDLE),
        window_from_samples([]),
    ],
    ids=["busy", "deep queue", "busy and deep", "a little slower", "faster", "idle", "idle for an hour",
         "a request caught in flight", "three requests caught in flight", "no samples"],
)  # fmt: skip
def test_what_is_harmless_has_no_risk_at_all(harmless: Window) -> None:
    assert judge(harmless, peers=three_peers()).risk_score == 0


@pytest.mark.parametrize(
    ("explained", "kind"),
    [
        (a_window(read_await_ms=8.0, read_bytes_s=819_200.0 * 4), PredictionType.RESOURCE_SATURATION),
        (a_window(read_await_ms=8.0, read_iops=2_000.0, read_bytes_s=8_192_000.0), PredictionType.RESOURCE_SATURATION),
        (a_minute_with({"read_await_ms": 500.0}, at=[30]), PredictionType.LATENCY_SPIKE),
    ],
    ids=["a backup with requests 4 times as large", "10 times the demand", "one bad second"],
)
def test_what_has_a_reason_or_did_not_last_wakes_nobody(explained: Window, kind: PredictionType) -> None:
    finding = judge(explained, peers=three_peers())

    assert 0 < finding.risk_score < 80
    assert finding.prediction_type is kind


def test_what_demand_explains_is_not_even_an_insight() -> None:
    assert judge(a_window(read_await_ms=8.0, read_bytes_s=819_200.0 * 4)).risk_score == 55


def test_latency_that_the_day_knows_is_not_even_an_insight() -> None:
    nightly = a_window(60, end=AT - timedelta(hours=12), interval_s=60.0, read_await_ms=8.0)

    assert judge(a_window(read_await_ms=8.0), baseline=a_baseline(nightly)).risk_score <= 55


def test_demand_that_all_peers_have_excuses_no_disk_that_is_slower_than_they_are() -> None:
    busy: dict[str, Any] = {"read_iops": 900.0, "read_bytes_s": 3_686_400.0}
    peers = [Subject(a_window(**busy), a_baseline()) for _ in range(3)]

    alone = judge(a_window(read_await_ms=8.0, **busy), peers=[Subject(a_window(), a_baseline()) for _ in range(3)])
    beside = judge(a_window(read_await_ms=8.0, **busy), peers=peers)

    assert (alone.risk_score, alone.prediction_type) == (55, PredictionType.RESOURCE_SATURATION)
    assert (beside.risk_score, beside.prediction_type) == (90, PredictionType.FAIL_SLOW)


def test_a_slowness_nobody_can_feel_wakes_nobody() -> None:
    fast = a_baseline(read_await_ms=0.02)

    assert 60 <= judge(a_window(read_await_ms=0.16), baseline=fast).risk_score < 80


class TestThrottling:
    """Demand at the limit that was bought, and requests that wait because of it."""

    def test_at_the_limit_with_requests_waiting_it_pages(self) -> None:
        finding = judge(a_window(read_await_ms=4.0, read_iops=198.0), provisioned_iops=200.0)

        assert (finding.risk_score, finding.prediction_type) == (95, PredictionType.THROUGHPUT_THROTTLING)
        assert finding.facts[0].sentence == "198 IOPS, 99% of the provisioned 200"

    def test_at_the_limit_without_waiting_it_does_not(self) -> None:
        assert judge(a_window(), provisioned_iops=200.0).risk_score == 55

    def test_a_ramp_that_has_reached_the_limit_is_at_it(self) -> None:
        ramp = a_minute_with(
            {"read_iops": 150.0, "read_await_ms": 8.0}, at=range(20), read_iops=198.0, read_await_ms=8.0
        )

        assert judge(ramp, provisioned_iops=200.0).prediction_type is PredictionType.THROUGHPUT_THROTTLING

    def test_below_the_limit_it_is_another_matter(self) -> None:
        finding = judge(a_window(read_await_ms=4.0, read_iops=180.0), provisioned_iops=200.0)

        assert finding.prediction_type is PredictionType.PERFORMANCE_DEGRADATION

    def test_without_history_a_limit_does_not_hide_a_disk_that_is_slower_than_its_peers(self) -> None:
        peers = [Subject(a_window(900), None) for _ in range(3)]
        slow = a_window(900, read_await_ms=8.0, read_iops=198.0)

        finding = judge(slow, baseline=None, peers=peers, provisioned_iops=200.0)

        assert finding.prediction_type is PredictionType.FAIL_SLOW


class TestWarmingUp:
    """Below 3 h of history only rules and peers speak."""

    def test_its_own_two_hours_say_nothing(self) -> None:
        finding = judge(a_window(read_await_ms=8.0), baseline=a_baseline(hours=2))

        assert (finding.risk_score, finding.warming_up) == (0, True)

    def test_three_hours_do(self) -> None:
        assert judge(a_window(read_await_ms=8.0), baseline=a_baseline(hours=3)).warming_up is False

    def test_ten_minutes_beside_faster_peers_page(self) -> None:
        peers = [Subject(a_window(900), None) for _ in range(3)]

        finding = judge(a_window(900, read_await_ms=8.0), baseline=None, peers=peers)

        assert (finding.risk_score, finding.prediction_type) == (90, PredictionType.FAIL_SLOW)
        assert finding.warming_up

    def test_five_minutes_do_not(self) -> None:
        peers = [Subject(a_window(900), None) for _ in range(3)]

        assert judge(a_window(300, read_await_ms=8.0), baseline=None, peers=peers).risk_score == 0

    def test_an_hdd_beside_nvme_is_not_slow(self) -> None:
        nvme = [Subject(a_window(900, read_await_ms=0.1), None, device_kind="nvme") for _ in range(3)]

        finding = judge(a_window(900, read_await_ms=8.0), baseline=None, peers=nvme, device_kind="sd")

        assert (finding.risk_score, finding.warming_up) == (0, True)
