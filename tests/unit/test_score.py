"""Scoring a peer group: who is judged beside whom, and what of it is written."""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.bus import ScoringRequest
from iops.clock import to_epoch_ms
from iops.errors import TableUnavailable
from iops.insight import Insight, PredictionType, Verdict
from iops.items import Item, Stream
from iops.observability import Metrics
from iops.telemetry import Window
from services.insights.hear import Said, hear
from services.insights.score import Scorer, device_kind
from services.insights.windows import Windows
from tests.unit.builders import AT, AT_MS, EVERYBODY, a_batch, a_deed, a_window
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.words import a_teller

MINUTE = timedelta(minutes=1)
HANGS: dict[str, Any] = {
    "read_iops": 0.0,
    "read_bytes_s": 0.0,
    "read_await_ms": None,
    "in_flight": 4,
    "utilization_ratio": 1.0,
}


class Scene:
    """Streams with four hours of history, a scorer, and a clock to turn."""

    def __init__(self) -> None:
        self.fake, self.now = FakeTable(), AT
        self.clock: Callable[[], datetime] = lambda: self.now
        self.scorer = self.another_scorer()

    def another_scorer(self) -> Scorer:
        table, metrics = self.fake.table(), Metrics()
        windows = Windows(table, self.clock, metrics, limit=100)
        return Scorer(table, windows, a_teller(table, self.clock, metrics), self.clock, metrics)

    async def add_stream(self, stream_id: str, *, last_minute: Window | None = None, **batch: Any) -> None:
        """A stream that ingest has seen, as slow in its last minute as it is told to be."""
        seen = a_batch(stream_id, **batch)
        await self.fake.table().update(items.stream_seen_update(seen, now_ms=AT_MS - 86_400_000))
        self.fake.add(items.member_item(seen.group, stream_id))
        self.store(stream_id, a_window(240, end=AT - MINUTE, interval_s=60.0))
        self.store(stream_id, last_minute or a_window(60))

    def store(self, stream_id: str, window: Window) -> None:
        self.fake.add(*items.chunk_items(stream_id, window))

    async def score(self, group: str = "web-1", *, since: datetime | None = None, by: Scorer | None = None) -> None:
        request = ScoringRequest(peer_group=group, since_ms=to_epoch_ms(since or self.now - MINUTE))
        await (by or self.scorer).score_group(request)

    async def stream(self, stream_id: str) -> Stream:
        row = await self.fake.table().get(items.key_of(stream_id, "stream"))
        assert row is not None
        return items.item_to_stream(row)

    def insights(self) -> list[Insight]:
        return sorted(map(items.item_to_insight, self.fake.of_type("insight")), key=lambda each: each.created_at)


async def a_host(*, sick: str = "web-1:sda", **fields: Any) -> Scene:
    """Four disks, of which one is what `fields` say in its last minute."""
    scene = Scene()
    for name in ("sda", "sdb", "sdc", "sdd"):
        stream_id = f"web-1:{name}"
        await scene.add_stream(stream_id, last_minute=a_window(60, **fields) if stream_id == sick else None)
    return scene


async def test_a_sick_disk_among_healthy_ones_becomes_one_insight_with_its_outbox_row() -> None:
    scene = await a_host(read_await_ms=8.0)

    await scene.score()

    (insight,) = scene.insights()
    assert (insight.stream_id, insight.prediction_type) == ("web-1:sda", PredictionType.FAIL_SLOW)
    assert insight.risk_score == 90
    assert [items.item_to_insight(row) for row in scene.fake.of_type("outbox")] == [insight]
    assert (await scene.stream("web-1:sda")).insight_id == insight.insight_id
    assert (await scene.stream("web-1:sdb")).risk_score == 0


async def test_the_same_message_again_writes_nothing_more() -> None:
    scene = await a_host(read_await_ms=8.0)
    await scene.score()
    rows = dict(scene.fake.rows)

    await scene.score()
    await scene.score(by=scene.another_scorer())

    assert scene.fake.rows == rows


async def test_two_scorers_at_once_write_one_insight() -> None:
    scene = await a_host(**HANGS)

    await asyncio.gather(scene.score(), scene.score(by=scene.another_scorer()))

    assert len(scene.insights()) == len(scene.fake.of_type("outbox")) == 1


async def test_a_group_is_scored_by_one_worker_at_a_time() -> None:
    scene = await a_host()
    at_once: list[int] = []
    under_way = 0
    score_group = scene.scorer._score_group

    async def counting(request: ScoringRequest) -> None:
        nonlocal under_way
        under_way += 1
        at_once.append(under_way)
        await score_group(request)
        under_way -= 1

    scene.scorer._score_group = counting  # type: ignore[method-assign]
    first, second = (asyncio.create_task(scene.score()) for _ in range(2))
    await first
    await asyncio.gather(second, scene.score())

    assert at_once == [1, 1, 1]
    assert not list(scene.scorer._groups), "groups that nobody scores take no memory"


async def test_an_illness_and_its_end_are_two_insights() -> None:
    scene = await a_host(**HANGS)
    await scene.score()
    scene.now += 15 * MINUTE
    for name in ("sda", "sdb", "sdc", "sdd"):
        scene.store(f"web-1:{name}", a_window(600, end=scene.now))

    await scene.score(since=scene.now - 10 * MINUTE)

    assert [(insight.prediction_type, insight.risk_score >= 60) for insight in scene.insights()] == [
        (PredictionType.STALL, True),
        (PredictionType.STALL, False),
    ]
    assert scene.insights()[1].title == "web-1:sda has recovered"


async def test_a_stream_without_news_is_a_peer_but_is_not_scored() -> None:
    scene = await a_host(read_await_ms=8.0)

    await scene.score(since=AT + MINUTE)

    assert scene.insights() == []
    assert (await scene.stream("web-1:sda")).risk_score is None


async def test_what_an_agent_kept_for_hours_says_nothing_of_now() -> None:
    scene = await a_host(**HANGS)
    scene.now += timedelta(hours=3)

    await scene.score(since=AT - MINUTE)

    assert scene.insights() == []


async def test_a_stream_that_moved_is_judged_in_its_new_group_only() -> None:
    scene = await a_host(read_await_ms=8.0)
    moved = a_batch("web-1:sda", peer_group="rack-7")
    await scene.fake.table().update(items.stream_seen_update(moved, now_ms=AT_MS))
    scene.fake.add(items.member_item("rack-7", "web-1:sda"))  # the old member row was never deleted

    await scene.score("web-1")
    assert scene.insights() == []

    await scene.score("rack-7")
    assert [insight.prediction_type for insight in scene.insights()] == [PredictionType.PERFORMANCE_DEGRADATION]


async def test_a_member_without_a_row_stops_nobody() -> None:
    scene = await a_host(**HANGS)
    scene.fake.add(items.member_item("web-1", "web-1:ghost"))

    await scene.score()

    assert len(scene.insights()) == 1


async def test_a_group_nobody_knows_is_scored_in_no_time() -> None:
    await Scene().score("nobody")


async def test_a_table_that_fails_half_way_leaves_whole_insights_and_the_rest_comes_later() -> None:
    scene = await a_host(**HANGS)
    scene.fake.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))
    with pytest.raises(TableUnavailable):
        await scene.score()
    assert scene.insights() == []

    await scene.score()
    assert len(scene.insights()) == len(scene.fake.of_type("outbox")) == 1


async def test_an_insight_another_scorer_wrote_is_a_lost_race_and_no_failure() -> None:
    scene = await a_host(**HANGS)
    lost: Item = {"CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed"}]}
    scene.fake.failures["TransactWriteItems"].append(aws_error("TransactionCanceledException", **lost))

    await scene.score()

    assert scene.insights() == []


@pytest.mark.parametrize(
    ("stream_id", "volume_type", "kind"),
    [
        ("web-1:nvme0n1", None, "nvme"),
        ("web-1:nvme10n2", None, "nvme"),
        ("web-1:sda", None, "sd"),
        ("web-1:sdaa", None, "sd"),
        ("web-1:vda", "gp3", "gp3"),
        ("web-1:dm-3", None, "dm"),
        ("web-1:md127", None, "md"),
    ],
)
def test_devices_of_one_driver_are_alike(stream_id: str, volume_type: str | None, kind: str) -> None:
    assert device_kind(stream_id, volume_type) == kind


@pytest.mark.parametrize(("one", "other"), [("vda", "vdb"), ("xvda", "xvdf"), ("hda", "hdb"), ("mmcblk0", "mmcblk1")])
def test_two_disks_of_one_driver_are_peers_whatever_the_driver(one: str, other: str) -> None:
    assert device_kind(f"web-1:{one}", None) == device_kind(f"web-1:{other}", None)


async def dismiss(scene: Scene, insight: Insight) -> None:
    said = Said(Verdict.DISMISS, None, None, given_by="10.0.0.1", request_key=None, witness=lambda *_: a_deed())
    await hear(
        scene.fake.table(), insight.insight_id, said, caller=EVERYBODY, clock=scene.clock, quiet=timedelta(hours=24)
    )


async def test_a_dismissed_trouble_is_scored_and_not_told() -> None:
    scene = await a_host(read_await_ms=8.0)
    await scene.score()
    (insight,) = scene.insights()
    await dismiss(scene, insight)
    row = await scene.stream("web-1:sda")
    scene.fake.rows["web-1:sda", "stream"]["insight_risk_score"] = {"N": "0"}  # it had recovered in between
    scene.fake.rows["web-1:sda", "stream"]["risk_score"] = {"N": "0"}

    await scene.score(by=scene.another_scorer())

    assert row.is_quiet(insight.prediction_type, AT)
    assert scene.insights() == [insight]
    assert (await scene.stream("web-1:sda")).risk_score == 90


async def test_a_scorer_that_remembers_the_stream_from_before_the_dismissal_does_not_tell_it() -> None:
    scene = await a_host(read_await_ms=8.0)
    other = scene.another_scorer()
    await scene.score(by=other)
    (insight,) = scene.insights()
    remembering = scene.another_scorer()
    stream = dataclasses.replace(await scene.stream("web-1:sda"), insight_risk_score=0.0)
    remembering._streams["web-1:sda"] = (stream, AT_MS)
    await dismiss(scene, insight)

    await scene.score(by=remembering)

    assert scene.insights() == [insight]
