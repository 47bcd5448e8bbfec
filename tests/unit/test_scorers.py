"""Who answers for the model: the canary's share, the fall back and its reason, and the shadow that nobody waits for."""

import asyncio
import json
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from iops.features import FEATURE_SET_ID, NAMES
from iops.observability import Metrics
from iops.risk import KINDS, Raw
from services.insights import sagemaker
from services.insights import shadow as shadow_module
from services.insights.sagemaker import SageMakerScorer
from services.insights.scorers import Canary, Features, ScorerUnavailable, in_share
from services.insights.shadow import Shadow
from tests.unit.fakes import aws_error
from tests.unit.virtual_time import in_virtual_time

STREAMS = tuple(f"web-{number}:sda" for number in range(40))


def a_raw(margin: Sequence[float], *, kind: int = 0) -> Raw:
    disks = len(margin)
    kinds = np.zeros((disks, len(KINDS)))
    kinds[:, kind] = 1
    return Raw(np.array(margin, float), kinds, np.zeros(disks), np.zeros((disks, len(NAMES))))


def some_features(disks: int) -> Features:
    """The first feature is the disk's number, the last is not known."""
    features = np.zeros((disks, len(NAMES)), np.float32)
    features[:, 0], features[:, -1] = np.arange(disks), np.nan
    return features


class FakeLocal:
    """Says of each disk the number in its first feature."""

    def __init__(self) -> None:
        self.disks: list[int] = []

    async def predict(self, features: Features) -> Raw:
        self.disks.append(len(features))
        return a_raw(features[:, 0].tolist())


class FakeBody:
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def read(self) -> bytes:
        return self._content


class FakeRuntime:
    """SageMaker's runtime: 100 more than the first feature, or what a test makes of the answer."""

    def __init__(self, change: Callable[[dict[str, Any]], Any] = lambda answer: answer) -> None:
        self.change = change
        self.failure: Exception | None = None
        self.delay_s = 0.01
        self.asked: list[int] = []

    async def invoke_endpoint(self, *, EndpointName: str, Body: bytes, ContentType: str, Accept: str) -> Any:  # noqa: N803
        assert (EndpointName, ContentType, Accept) == ("risk", "application/json", "application/json")
        question = json.loads(Body)
        assert question["feature_set_id"] == FEATURE_SET_ID
        rows = question["features"]
        assert all(row[-1] is None for row in rows)
        self.asked.append(len(rows))
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        raw = a_raw([row[0] + 100 for row in rows], kind=2)
        answer = {"model_version": "v1", "feature_set_id": FEATURE_SET_ID}
        answer |= {name: getattr(raw, name).tolist() for name in Raw.__slots__}
        changed = self.change(answer)
        return {"Body": FakeBody(changed if isinstance(changed, bytes) else json.dumps(changed).encode())}


def a_scorer(runtime: FakeRuntime, metrics: Metrics | None = None, *, version: str | None = "v1") -> SageMakerScorer:
    now_s = asyncio.get_running_loop().time
    return SageMakerScorer(runtime, metrics or Metrics(), now_s, endpoint="risk", version=version)


async def reason_of(scorer: SageMakerScorer, disks: int = 3) -> str:
    with pytest.raises(ScorerUnavailable) as caught:
        await scorer.predict(some_features(disks))
    return caught.value.reason


@in_virtual_time
async def test_the_endpoints_answer_is_read_as_the_trees_own() -> None:
    raw = await a_scorer(FakeRuntime()).predict(some_features(2))
    assert raw.margin.tolist() == [100, 101]
    assert raw.kinds.shape == (2, 8)
    assert raw.contributions.shape == (2, 25)


@in_virtual_time
async def test_many_disks_are_asked_for_in_parts() -> None:
    runtime = FakeRuntime()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sagemaker, "ROWS_LIMIT", 10)
        raw = await a_scorer(runtime).predict(some_features(25))
    assert runtime.asked == [10, 10, 5]
    assert raw.margin.tolist() == [100 + number for number in range(25)]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (aws_error("ThrottlingException"), "throttled"),
        (aws_error("ModelError", status=424), "refused"),
        (aws_error("ValidationError"), "refused"),
        (ReadTimeoutError(endpoint_url="http://fake"), "timed_out"),
        (EndpointConnectionError(endpoint_url="http://fake"), "unreachable"),
        (ConnectionResetError(), "unreachable"),
    ],
)
@in_virtual_time
async def test_a_failure_has_a_reason(failure: Exception, reason: str) -> None:
    runtime = FakeRuntime()
    runtime.failure = failure
    assert await reason_of(a_scorer(runtime)) == reason


@in_virtual_time
async def test_an_endpoint_that_hangs_is_given_up_after_2_s() -> None:
    runtime = FakeRuntime()
    runtime.delay_s = 60
    begin_s = asyncio.get_running_loop().time()
    assert await reason_of(a_scorer(runtime)) == "timed_out"
    assert asyncio.get_running_loop().time() - begin_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: b"<html>",
        lambda answer: b"\xff\xfe",
        lambda answer: b"[" * 100_000,
        lambda answer: [],
        lambda answer: None,
        lambda answer: {name: part for name, part in answer.items() if name != "severity"},
        lambda answer: answer | {"margin": answer["margin"][:-1]},
        lambda answer: answer | {"margin": [[value] for value in answer["margin"]]},
        lambda answer: answer | {"kinds": [row[:-1] for row in answer["kinds"]]},
        lambda answer: answer | {"contributions": [[0.0] * 25, [0.0] * 24, [0.0] * 25]},
        lambda answer: answer | {"severity": [0.0, None, 0.0]},
        lambda answer: answer | {"severity": [0.0, float("inf"), 0.0]},
        lambda answer: answer | {"margin": ["low", "high", "low"]},
    ],
)
@in_virtual_time
async def test_an_answer_that_is_not_of_the_contract_is_garbled(change: Callable[[dict[str, Any]], Any]) -> None:
    assert await reason_of(a_scorer(FakeRuntime(change))) == "garbled"


@in_virtual_time
async def test_other_features_and_another_model_are_refused() -> None:
    other_features = FakeRuntime(lambda answer: answer | {"feature_set_id": "00000000"})
    other_version = FakeRuntime(lambda answer: answer | {"model_version": "v2"})
    assert await reason_of(a_scorer(other_features, version=None)) == "other_model"
    assert await reason_of(a_scorer(other_version)) == "other_model"
    assert (await a_scorer(other_version, version=None).predict(some_features(1))).margin.tolist() == [100]


@in_virtual_time
async def test_an_endpoint_that_failed_3_times_rests_for_30_s() -> None:
    runtime = FakeRuntime()
    scorer = a_scorer(runtime)
    runtime.failure = aws_error("ThrottlingException")
    assert [await reason_of(scorer) for _ in range(5)] == ["throttled"] * 3 + ["resting"] * 2
    assert len(runtime.asked) == 3

    await asyncio.sleep(31)
    assert [await reason_of(scorer) for _ in range(2)] == ["throttled", "resting"]  # one attempt, and it rests again

    await asyncio.sleep(31)
    runtime.failure = None
    assert (await scorer.predict(some_features(1))).margin.tolist() == [100]
    runtime.failure = aws_error("ThrottlingException")
    assert await reason_of(scorer) == "throttled"  # it counts from 0 again


@in_virtual_time
async def test_half_of_a_group_is_scored_by_the_canary() -> None:
    local, runtime = FakeLocal(), FakeRuntime()
    canary = Canary(local, a_scorer(runtime), lambda: 50, Metrics())

    scored = await canary.predict(STREAMS, some_features(40))

    chosen = in_share(STREAMS, 50)
    assert 10 < chosen.sum() < 30
    assert (runtime.asked, local.disks) == ([int(chosen.sum())], [int((~chosen).sum())])
    assert scored.raw.margin.tolist() == [number + 100 * int(chosen[number]) for number in range(40)]
    assert scored.raw.kinds.argmax(axis=1).tolist() == [2 * int(is_chosen) for is_chosen in chosen]
    assert scored.scored_by == tuple("sagemaker" if is_chosen else "local" for is_chosen in chosen)
    assert scored.fell_back_from == (None,) * 40


@pytest.mark.parametrize(("percent", "by"), [(0, "local"), (100, "sagemaker")])
@in_virtual_time
async def test_none_or_all_may_be_in_the_canary(percent: float, by: str) -> None:
    local, runtime = FakeLocal(), FakeRuntime()
    scored = await Canary(local, a_scorer(runtime), lambda: percent, Metrics()).predict(STREAMS, some_features(40))
    assert scored.scored_by == (by,) * 40
    assert (runtime.asked, local.disks) == (([], [40]) if by == "local" else ([40], []))


@in_virtual_time
async def test_without_an_endpoint_all_is_scored_here_and_the_share_says_so() -> None:
    metrics, chosen = Metrics(), in_share(STREAMS, 30).tolist()
    scored = await Canary(FakeLocal(), None, lambda: 30, metrics).predict(STREAMS, some_features(40))
    assert set(scored.scored_by) == {"local"}
    assert [why == "sagemaker: not_configured" for why in scored.fell_back_from] == chosen
    counted = metrics.registry.get_sample_value("iops_scorer_fallbacks_total", {"reason": "not_configured"})
    assert counted == sum(chosen) > 0


@in_virtual_time
async def test_the_share_may_change_from_one_group_to_the_next() -> None:
    shares = iter([0.0, 100.0, 0.0])
    canary = Canary(FakeLocal(), a_scorer(FakeRuntime()), lambda: next(shares), Metrics())
    answers = [await canary.predict(STREAMS, some_features(40)) for _ in range(3)]
    assert [set(scored.scored_by) for scored in answers] == [{"local"}, {"sagemaker"}, {"local"}]


@in_virtual_time
async def test_where_the_endpoint_fails_the_trees_here_answer_and_say_why() -> None:
    local, runtime, metrics = FakeLocal(), FakeRuntime(), Metrics()
    runtime.failure = aws_error("ThrottlingException")

    scored = await Canary(local, a_scorer(runtime, metrics), lambda: 50, metrics).predict(STREAMS, some_features(40))

    chosen = in_share(STREAMS, 50)
    assert scored.raw.margin.tolist() == list(range(40))
    assert scored.scored_by == ("local",) * 40
    assert scored.fell_back_from == tuple("sagemaker: throttled" if is_chosen else None for is_chosen in chosen)
    labels = {"reason": "throttled"}
    assert metrics.registry.get_sample_value("iops_scorer_fallbacks_total", labels) == chosen.sum()


@in_virtual_time
async def test_a_shadow_serves_what_is_said_here_and_counts_what_differs() -> None:
    runtime, metrics = FakeRuntime(), Metrics()
    runtime.change = lambda answer: answer | {"margin": [*(value - 100 for value in answer["margin"][:-1]), 39.3]}
    async with Shadow(FakeLocal(), a_scorer(runtime, metrics), lambda: 100, metrics) as shadow:
        scored = await shadow.predict(STREAMS, some_features(40))
        assert runtime.asked == []  # nobody waited for it
        await asyncio.sleep(1)

    assert scored.raw.margin.tolist() == list(range(40))
    assert scored.scored_by == ("local",) * 40
    value = metrics.registry.get_sample_value
    assert value("iops_shadow_compared_total") == 40
    assert value("iops_shadow_kinds_differ_total") == 40
    assert value("iops_shadow_margin_difference_bucket", {"le": "0.25"}) == 39
    assert value("iops_shadow_margin_difference_bucket", {"le": "0.5"}) == 40


@in_virtual_time
async def test_a_shadow_that_cannot_follow_is_counted_and_delays_nobody() -> None:
    runtime, metrics = FakeRuntime(), Metrics()
    runtime.delay_s = 60
    async with Shadow(FakeLocal(), a_scorer(runtime, metrics), lambda: 100, metrics) as shadow:
        begin_s = asyncio.get_running_loop().time()
        for _ in range(shadow_module.COMPARISONS_LIMIT + 2):
            await shadow.predict(STREAMS, some_features(40))
        assert asyncio.get_running_loop().time() - begin_s < 1
        await asyncio.sleep(5)

    value = metrics.registry.get_sample_value
    assert value("iops_shadow_missed_total", {"reason": "busy"}) == 80
    assert value("iops_shadow_missed_total", {"reason": "timed_out"}) == 320
    assert value("iops_shadow_compared_total") == 0


@in_virtual_time
async def test_comparisons_end_with_the_shadow() -> None:
    runtime = FakeRuntime()
    runtime.delay_s = 60
    async with Shadow(FakeLocal(), a_scorer(runtime), lambda: 100, Metrics()) as shadow:
        await shadow.predict(STREAMS, some_features(40))
        await asyncio.sleep(0.5)
    assert len(asyncio.all_tasks()) == 1
