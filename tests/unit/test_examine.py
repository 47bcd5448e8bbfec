"""What is known of a stream and its group when somebody asks, and who counts as a neighbour."""

from datetime import timedelta

from iops.insight import PredictionType
from tests.unit.builders import AT, a_window
from tests.unit.test_score import HANGS, MINUTE, Scene, a_host

SDA, SDB = "web-1:sda", "web-1:sdb"


async def test_a_stream_with_which_nothing_is_wrong_has_its_figures() -> None:
    scene = await a_host()

    examined = await scene.scorer.examine(await scene.stream(SDA))

    assert examined is not None
    finding = examined.findings[SDA]
    assert (finding.risk_score, finding.prediction_type) == (0, None)
    assert {fact.name for fact in finding.facts} >= {"await_ms", "iops"}
    assert len(examined.findings) == 4
    assert len(examined.window) > 60


async def test_looking_writes_nothing() -> None:
    scene = await a_host(**HANGS)
    await scene.scorer.examine(await scene.stream(SDB))  # which keeps the baselines
    rows = dict(scene.fake.rows)

    examined = await scene.scorer.examine(await scene.stream(SDA))

    assert examined is not None
    assert examined.findings[SDA].prediction_type is PredictionType.STALL
    assert scene.fake.rows == rows


async def test_members_that_are_stale_are_no_neighbours() -> None:
    scene = await a_host(**HANGS)  # sda hangs, and then its host sends nothing
    scene.now += timedelta(minutes=31)
    for name in ("sdb", "sdc"):
        scene.store(f"web-1:{name}", a_window(60, end=scene.now))

    examined = await scene.scorer.examine(await scene.stream(SDB))

    assert examined is not None
    assert sorted(examined.findings) == [SDB, "web-1:sdc"]


async def test_a_stream_that_sent_nothing_of_late_is_not_examined() -> None:
    scene = await a_host()
    scene.now += timedelta(minutes=31)

    assert await scene.scorer.examine(await scene.stream(SDA)) is None


async def test_what_came_since_is_examined_too() -> None:
    scene = await a_host()
    await scene.scorer.examine(await scene.stream(SDA))
    scene.now += MINUTE
    scene.store(SDA, a_window(60, end=scene.now, **HANGS))

    examined = await scene.scorer.examine(await scene.stream(SDA))

    assert examined is not None
    assert examined.findings[SDA].prediction_type is PredictionType.STALL


async def test_an_ill_peer_whose_batch_came_a_message_before_is_a_neighbour() -> None:
    scene = Scene()
    await scene.add_stream(SDA, last_minute=a_window(60, **HANGS))
    await scene.add_stream(SDB, last_minute=a_window(60, end=AT - MINUTE / 2, **HANGS))

    await scene.score(since=AT - MINUTE / 6)

    (insight,) = scene.insights()
    assert (insight.stream_id, insight.peers) == (SDA, 1)
    assert [(each.stream_id, each.prediction_type) for each in insight.neighbours] == [(SDB, PredictionType.STALL)]
