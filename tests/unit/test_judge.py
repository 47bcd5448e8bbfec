"""What the model is asked about a group, and what is made of its answer."""

import math
import threading
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from iops import profile
from iops.evidence import Subject, view_of
from iops.features import state_of
from iops.insight import PredictionType
from iops.minutes import MINUTE_MS, minutes_of
from iops.profile import Profile
from iops.telemetry import Window, merge_windows
from services.insights import judge as judge_module
from services.insights.judge import DRIFT_EVERY, Candidate, Said
from services.insights.windows import Past
from tests.unit.builders import AT, AT_MS, a_baseline, a_window
from tests.unit.models import SURE, FakeChain, a_judge

MINUTE = timedelta(minutes=1)
END = AT_MS // MINUTE_MS
PEER_FEATURES = ("peer_ratio_median", "peer_ratio_p10", "peer_standing")


def a_profile() -> Profile:
    """Of a day of `a_window`'s minutes."""
    day = minutes_of(a_window(1_440, interval_s=60.0), end_minute=END, count=1_440)
    return profile.renewed(None, day, minute=END)


PROFILE = a_profile()
BASELINE = a_baseline()


def a_disk(name: str, window: Window | None = None, *, remembered: Profile | None = PROFILE) -> Candidate:
    """An hour of a sample in 10 s where no window is given."""
    window = an_hour() if window is None else window
    view = view_of(Subject(window, BASELINE))
    return Candidate(name, Past(window, BASELINE, remembered), view)


def an_hour(*, end: datetime = AT, await_ms: float = 1.0) -> Window:
    return a_window(360, end=end, interval_s=10.0, read_await_ms=await_ms)


async def asked_of(*disks: Candidate) -> dict[str, dict[str, float]]:
    """The features that a model is given of each disk."""
    chain = FakeChain()
    await a_judge(chain).judge(disks)
    return chain.asked


async def said_of(*disks: Candidate, kinds: tuple[PredictionType, ...] = ()) -> dict[str, Said]:
    """What a model says that is sure of all disks."""
    chain = FakeChain({disk.stream_id: SURE for disk in disks}, kinds)
    return await a_judge(chain).judge(disks)


def is_null(features: dict[str, float], *names: str) -> bool:
    return all(math.isnan(features[name]) for name in names)


async def test_disks_of_a_group_are_asked_about_together_and_are_peers() -> None:
    slow = a_disk("sda", an_hour(await_ms=4.0))
    chain = FakeChain()
    await a_judge(chain).judge([slow, *(a_disk(name) for name in ("sdb", "sdc", "sdd"))])

    assert chain.together == [["sda", "sdb", "sdc", "sdd"]]
    assert chain.asked["sda"]["peer_ratio_median"] == pytest.approx(math.log(4))
    assert chain.asked["sdb"]["peer_ratio_median"] == 0


async def test_a_group_of_one_has_no_peers() -> None:
    assert is_null((await asked_of(a_disk("sda")))["sda"], *PEER_FEATURES)


async def test_nobody_is_asked_about_nobody() -> None:
    chain = FakeChain()
    assert await a_judge(chain).judge([]) == {}
    assert await a_judge(chain).judge([a_disk("sda", remembered=None), a_disk("sdb", a_window(0))]) == {}
    assert chain.together == []


async def test_a_disk_without_a_profile_is_left_to_the_rules_and_stops_nobody() -> None:
    said = await said_of(a_disk("sda"), a_disk("sdb", remembered=None), a_disk("sdc", a_window(0)))
    assert list(said) == ["sda"]


async def test_a_constant_channel_is_usual_after_its_profile_was_read_back() -> None:
    window = a_window(360, interval_s=10.0, utilization_ratio=0.1, read_await_ms=0.3, read_iops=333.3)
    day = minutes_of(
        a_window(1_440, interval_s=60.0, utilization_ratio=0.1, read_await_ms=0.3, read_iops=333.3),
        end_minute=END,
        count=1_440,
    )
    kept = profile.decode(profile.encode(profile.renewed(None, day, minute=END)), key="sda")

    features = (await asked_of(a_disk("sda", window, remembered=kept)))["sda"]

    assert {features[name] for name in ("z_utilization_ratio", "z_await_ms", "z_read_iops", "mean_z_60_week")} == {0.0}


async def test_each_disk_is_judged_at_its_own_last_minute() -> None:
    behind = {"sdb": 1, "sdc": 4, "sdd": 20}
    disks = [a_disk(name, an_hour(end=AT - lag * MINUTE)) for name, lag in behind.items()]

    said = await said_of(a_disk("sda"), *disks)

    assert {name: END - 1 - each.minute for name, each in said.items()} == {"sda": 0, **behind}


async def test_a_disk_that_comes_later_than_its_peers_has_the_features_of_one_in_time() -> None:
    late = merge_windows([an_hour(end=AT - 3 * MINUTE), a_window(6, end=AT - 2 * MINUTE, read_await_ms=8.0)])
    peers = [an_hour(end=AT - 2 * MINUTE) for _ in range(3)]
    later = [merge_windows([peer, a_window(12, end=AT, interval_s=10.0, read_await_ms=99.0)]) for peer in peers]

    in_time = await asked_of(a_disk("sda", late), *(a_disk(f"sd{n}", peer) for n, peer in enumerate(peers)))
    behind = await asked_of(a_disk("sda", late), *(a_disk(f"sd{n}", peer) for n, peer in enumerate(later)))

    assert behind["sda"] == pytest.approx(in_time["sda"], nan_ok=True)


async def test_a_clock_that_is_5_minutes_fast_silences_no_peer() -> None:
    fast = a_disk("sda", an_hour(end=AT + 5 * MINUTE))
    peers = [a_disk(name) for name in ("sdb", "sdc", "sdd")]

    said = await said_of(fast, *peers)
    asked = await asked_of(fast, *peers)

    assert list(said) == ["sda", "sdb", "sdc", "sdd"]
    assert asked["sdb"]["peer_ratio_median"] == 0
    assert asked["sda"]["peer_ratio_median"] == 0  # of the 10 minutes that they share


async def test_a_disk_that_fell_silent_is_no_peer_any_more() -> None:
    silent = a_disk("sda", an_hour(end=AT - 30 * MINUTE))
    said = await said_of(silent, a_disk("sdb"))
    assert list(said) == ["sdb"]


@pytest.mark.parametrize(("seconds", "minute"), [(10, END - 1), (29, END - 1), (30, END), (60, END)])
async def test_a_minute_counts_once_half_of_it_is_covered(seconds: int, minute: int) -> None:
    window = merge_windows([an_hour(), a_window(seconds, end=AT + timedelta(seconds=seconds))])
    assert (await said_of(a_disk("sda", window)))["sda"].minute == minute


async def test_a_sample_of_a_whole_minute_counts_in_the_minute_in_which_it_ends() -> None:
    window = a_window(60, end=AT + timedelta(seconds=5), interval_s=60.0)
    assert (await said_of(a_disk("sda", window)))["sda"].minute == END


async def test_after_a_hole_the_rules_speak_until_half_a_minute_is_known() -> None:
    before = an_hour(end=AT - 10 * MINUTE)
    short, enough = (merge_windows([before, a_window(count, end=AT + timedelta(seconds=30))]) for count in (10, 30))
    assert await said_of(a_disk("sda", short)) == {}
    assert list(await said_of(a_disk("sda", enough))) == ["sda"]


async def test_a_risk_has_its_facts_its_probability_and_its_beginning() -> None:
    said = await said_of(a_disk("sda", an_hour(await_ms=8.0)))

    finding = said["sda"].finding
    assert (finding.risk_score, finding.prediction_type, finding.confidence) == (100.0, PredictionType.ANOMALY, 1.0)
    assert (finding.scored_by, finding.asked_before) == ("local", ())
    assert [fact.name for fact in finding.facts[:2]] == ["await_ms", "z_await_ms"]  # what a person feels comes first
    assert finding.facts[1].sentence.startswith("await 8.00 ms over 3 min, at least 30.0 times its spread above")
    assert {fact.name for fact in finding.facts} >= {"iops", "queue_depth"}
    assert finding.began_at == AT - 60 * MINUTE


async def test_what_is_quiet_is_nothing() -> None:
    chain = FakeChain()
    chain.fell_back_from = "sagemaker: resting"
    finding = (await a_judge(chain).judge([a_disk("sda")]))["sda"].finding
    assert (finding.risk_score, finding.prediction_type, finding.facts) == (0, None, ())
    assert (finding.scored_by, finding.asked_before) == ("local", ("sagemaker: resting",))


@pytest.mark.parametrize(
    ("likely", "peers", "told"),
    [
        (PredictionType.STALL, 3, PredictionType.ANOMALY),
        (PredictionType.IO_ERRORS, 3, PredictionType.ANOMALY),
        (PredictionType.THROUGHPUT_THROTTLING, 3, PredictionType.ANOMALY),
        (PredictionType.FAIL_SLOW, 3, PredictionType.FAIL_SLOW),
        (PredictionType.FAIL_SLOW, 2, PredictionType.ANOMALY),
        (PredictionType.RESOURCE_SATURATION, 0, PredictionType.RESOURCE_SATURATION),
    ],
)
async def test_a_kind_is_told_only_where_its_words_can_be_true(
    likely: PredictionType, peers: int, told: PredictionType
) -> None:
    disks = [a_disk("sda"), *(a_disk(f"peer{number}") for number in range(peers))]
    said = await said_of(*disks, kinds=(likely,))
    assert said["sda"].finding.prediction_type == told


async def test_a_disk_is_forgiven_half_of_what_it_usually_scores() -> None:
    restless = Profile(PROFILE.day, PROFILE.midnights, {0: {80: 400}})  # a level of 20
    scale = {"slope": 1.0, "intercept": 0.0, "knots": [[10.0, 0.0], [30.0, 100.0]]}
    scales = {"alone": scale, "beside_peers": scale, "usual_level": 0.0}
    chain = FakeChain({"calm": 32.0, "restless": 32.0})

    said = await a_judge(chain, scales=scales).judge([a_disk("calm"), a_disk("restless", remembered=restless)])

    page_score = 32 + 6 * math.log(0.3)
    assert said["calm"].page_score == said["restless"].page_score == pytest.approx(page_score)
    assert said["calm"].finding.risk_score == pytest.approx(5 * (page_score - 10), abs=0.1)
    assert said["restless"].finding.risk_score == 0  # 22 points of 40 that an insight would need


async def test_features_are_made_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def recording(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.get_ident())
        return state_of(*arguments, **options)

    monkeypatch.setattr(judge_module, "state_of", recording)
    await said_of(a_disk("sda"))

    assert len(threads) == 1
    assert threads != [threading.get_ident()]


async def test_the_rows_of_every_eighth_turn_are_watched_for_drift() -> None:
    judge = a_judge(FakeChain(), feature_quantiles={"z_await_ms": tuple(np.linspace(-1, 1, 9))})
    for _ in range(DRIFT_EVERY + 1):
        await judge.judge([a_disk("sda"), a_disk("sdb")])
    (counts,) = judge._drift._counts.values()
    assert counts.sum() == 2
