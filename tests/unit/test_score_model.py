"""Scoring with a model beside the rules: who is asked, what is written, and what happens when it breaks."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from iops import items, profile
from iops.errors import TableUnavailable
from iops.insight import PredictionType
from iops.observability import Metrics
from iops.profile import Profile
from services.insights.judge import ModelJudge
from services.insights.score import Scorer
from services.insights.scorers import Canary, Features, ScorerUnavailable
from services.insights.scorers import Scorer as AnyScorer
from services.insights.windows import Windows
from tests.unit.builders import AT, AT_MS, a_window
from tests.unit.fakes import aws_error
from tests.unit.models import SURE, FakeChain, a_judge
from tests.unit.test_score import HANGS, MINUTE, Scene
from tests.unit.words import a_teller

SICK = "web-1:sda"
DISKS = ("sda", "sdb", "sdc", "sdd")


class ModelScene(Scene):
    """Disks of one host, and a model that says what the test wants."""

    def __init__(self, chain: FakeChain | None = None) -> None:
        self.chain, self.metrics = chain or FakeChain(), Metrics()
        super().__init__()

    def another_scorer(self) -> Scorer:
        table, self.metrics = self.fake.table(), Metrics()
        windows = Windows(table, self.clock, self.metrics, limit=100)
        teller = a_teller(table, self.clock, self.metrics)
        return Scorer(table, windows, teller, self.clock, self.metrics, self.judge())

    def judge(self) -> ModelJudge:
        return a_judge(self.chain, self.metrics)

    def profile(self, stream_id: str) -> Profile:
        row = self.fake.rows[(stream_id, "baseline")]
        stored = items.item_to_profile(row)
        assert stored is not None
        return profile.decode(stored, key=stream_id)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def a_host(chain: FakeChain, **fields: Any) -> ModelScene:
    """Four disks, of which sda is what `fields` say in its last minute."""
    scene = ModelScene(chain)
    for name in DISKS:
        stream_id = f"web-1:{name}"
        await scene.add_stream(stream_id, last_minute=a_window(60, **fields) if stream_id == SICK else None)
    return scene


async def test_what_the_model_finds_becomes_an_insight_that_says_who_scored_it_and_why() -> None:
    scene = await a_host(FakeChain({SICK: SURE}), write_iops=50.0, write_await_ms=1.0)

    await scene.score()

    (insight,) = scene.insights()
    assert (insight.stream_id, insight.scored_by, insight.asked_before) == (SICK, "local", ())
    assert (insight.risk_score, insight.prediction_type) == (100.0, PredictionType.ANOMALY)
    assert "z_write_iops" in [fact.name for fact in insight.facts]
    assert any(fact.sentence.startswith("writes 16.7 IO/s over 3 min, ") for fact in insight.facts)
    assert scene.count("iops_streams_scored_total", scorer="local") == 4


async def test_what_the_model_finds_quiet_is_written_as_quiet() -> None:
    slow = {"read_await_ms": 8.0}
    ruled, judged = await a_host(FakeChain({}), **HANGS), await a_host(FakeChain({}))
    judged.store(SICK, a_window(60, end=AT, **slow))
    for scene in (ruled, judged):
        await scene.score()

    assert [insight.prediction_type for insight in ruled.insights()] == [PredictionType.STALL]
    assert [insight.scored_by for insight in ruled.insights()] == ["rules"]
    assert [insight.prediction_type for insight in judged.insights()] == [PredictionType.FAIL_SLOW], (
        "its peers prove it"
    )


async def test_two_kinds_of_devices_are_asked_about_apart() -> None:
    scene = ModelScene()
    for name in (*DISKS, "nvme0n1", "nvme1n1"):
        await scene.add_stream(f"web-1:{name}")

    await scene.score()

    assert sorted(sorted(group) for group in scene.chain.together) == [
        ["web-1:nvme0n1", "web-1:nvme1n1"],
        ["web-1:sda", "web-1:sdb", "web-1:sdc", "web-1:sdd"],
    ]


@pytest.mark.parametrize("failure", [ValueError("inf"), MemoryError(), KeyError("peers"), ZeroDivisionError()])
async def test_a_model_that_breaks_leaves_the_rules_and_says_so(failure: Exception) -> None:
    chain = FakeChain()
    chain.failure = failure
    scene = await a_host(chain, read_await_ms=8.0)

    with capture_logs() as lines:
        await scene.score()

    (insight,) = scene.insights()
    assert (insight.prediction_type, insight.scored_by) == (PredictionType.FAIL_SLOW, "rules")
    assert insight.asked_before == (f"model: {type(failure).__name__}",)
    assert scene.count("iops_model_failures_total") == 4
    assert [line["streams"] for line in lines if line["event"] == "model_broke"] == [4]


async def test_a_model_that_is_well_again_is_asked_again() -> None:
    chain = FakeChain({SICK: SURE})
    chain.failure = ValueError()
    scene = await a_host(chain)
    await scene.score()
    chain.failure = None

    await scene.score()

    assert [insight.scored_by for insight in scene.insights()] == ["local"]


async def test_a_margin_that_is_no_number_is_a_broken_model() -> None:
    scene = await a_host(FakeChain({SICK: float("nan")}), **HANGS)

    await scene.score()

    assert [insight.asked_before for insight in scene.insights()] == [("model: ValidationError",)]


class _Endpoint:
    """That never answers."""

    async def predict(self, features: Features) -> Any:
        raise ScorerUnavailable("timed_out", f"{len(features)} disks")


class _Trees:
    """The fake's answer, as the trees here give it."""

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain

    async def predict(self, features: Features) -> Any:
        return (await self._chain.predict([f"web-1:{name}" for name in DISKS], features)).raw


async def test_an_endpoint_that_does_not_answer_is_named_in_the_insight() -> None:
    scene = await a_host(FakeChain({SICK: SURE}))
    trees: AnyScorer = _Trees(scene.chain)
    canary = Canary(trees, _Endpoint(), lambda: 100, scene.metrics)
    scene.scorer._model = ModelJudge(canary, a_judge(scene.chain)._card, Metrics())

    await scene.score()

    (insight,) = scene.insights()
    assert (insight.scored_by, insight.asked_before) == ("local", ("sagemaker: timed_out",))


async def test_scores_are_remembered_and_a_restart_knows_them() -> None:
    scene = await a_host(FakeChain({SICK: 5.0}))
    for _ in range(3):
        await scene.score()
        scene.now += MINUTE
        for name in DISKS:
            scene.store(f"web-1:{name}", a_window(60, end=scene.now))
    scene.now += timedelta(hours=1)
    await scene.score(since=AT)

    (histogram,) = scene.profile(SICK).levels.values()
    assert sum(histogram.values()) == 3

    await scene.score(by=scene.another_scorer(), since=AT)
    assert scene.profile(SICK).levels == {AT_MS // 86_400_000: histogram}


async def test_a_stream_whose_batches_come_later_than_its_peers_keeps_its_model() -> None:
    """Else the rules' 0 would end in each other turn what the model found."""
    scene = await a_host(FakeChain({SICK: SURE}))
    await scene.score()
    scene.now += 3 * MINUTE
    for name in DISKS[1:]:
        scene.store(f"web-1:{name}", a_window(180, end=scene.now))

    await scene.score(since=AT - MINUTE)

    assert [insight.risk_score for insight in scene.insights()] == [100.0]
    assert (await scene.stream(SICK)).risk_score == 100.0


async def test_a_table_that_fails_is_no_broken_model() -> None:
    scene = await a_host(FakeChain({SICK: SURE}))
    scene.fake.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))
    with pytest.raises(TableUnavailable):
        await scene.score()
    assert scene.count("iops_model_failures_total") == 0
