"""Every episode that is told is told to begin once and to end once, whatever crashes, fails or jumps in between."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog
import ulid

from iops import items
from iops.alert import Alert, AlertState, EventKind, Silence, SilenceScope
from iops.errors import BusUnavailable, IopsError
from iops.insight import PredictionType
from iops.table import Table
from services.alerts import episode
from services.alerts.docket import Docket
from services.alerts.notice import Notice
from tests.unit.builders import AT
from tests.unit.fakes import aws_error
from tests.unit.replicas import Replica, Scene
from tests.unit.virtual_time import in_virtual_time

STEPS = 500
SEEDS = range(20 if os.environ.get("IOPS_NIGHTLY") else 2)  # `make test-nightly`: 10,000 steps
STREAMS = [f"web-{number % 3}:sd{number}" for number in range(9)]
KINDS = [PredictionType.STALL, PredictionType.FAIL_SLOW]
SILENCED = "web-2"  # nobody is to hear of this peer group
CONFLICT = [{"Code": "ConditionalCheckFailed"}]


class Crash(BaseException):
    """The process is gone; nothing of it runs on."""


class World(Scene):
    """The scene with its faults, and with what is to be held against it in the end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.is_faulty = True
        self.counts: Counter[str] = Counter()
        self.true_now = AT
        self.told_at: defaultdict[str, list[datetime]] = defaultdict(list)  # of each alert, by the true time
        self.last_told_at: dict[str, datetime | None] = {}
        usual: dict[str, Any] = {
            "silence_id": "s",
            "begins_at": AT - timedelta(days=9_000),
            "reason": "",
            "created_by": "ann",
        }
        silence = Silence(scope=SilenceScope.PEER_GROUP, value=SILENCED, ends_at=AT + timedelta(days=9_000), **usual)
        self.fake.add(items.silence_item(silence))

    def pass_time(self, passed: timedelta) -> None:
        self.now += passed
        self.true_now += passed

    def notice(self, writes: Sequence[Any]) -> None:
        """A transaction took effect: when is each alert put on a page?"""
        for write in writes:
            item = write.get("Put", {}).get("Item", {})
            if item.get("entity_type", {}).get("S") == "alert":
                alert = items.item_to_alert(item)
                if alert.told_at not in (None, self.last_told_at.get(alert.alert_id)):
                    self.told_at[alert.alert_id].append(self.true_now)
                self.last_told_at[alert.alert_id] = alert.told_at


class FaultyClient:
    """One process's client: a call may fail, or the process die, before or after the call took effect."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_dead = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(**request: Any) -> Any:
            chance = self._world.random.random() if self._world.is_faulty else 1.0
            self._may_die(chance, 0.004)
            if chance < 0.03:
                self._fail(name, chance)
            result = await getattr(self._world.fake, name)(**request)
            if name == "transact_write_items":
                self._world.notice(request["TransactItems"])
            self._may_die(1 - chance, 0.004)
            if 0.97 < chance < 1 and name != "query":
                self._world.counts["answer lost"] += 1
                raise aws_error("InternalServerError", status=500)
            return result

        return call

    def _may_die(self, chance: float, below: float) -> None:
        self.is_dead |= 0 <= chance < below and self._world.is_faulty
        if self.is_dead:
            raise Crash

    def _fail(self, name: str, chance: float) -> None:
        self._world.counts["call failed"] += 1
        if name == "transact_write_items" and chance < 0.015:
            raise aws_error("TransactionCanceledException", CancellationReasons=CONFLICT)
        if chance < 0.022:
            raise aws_error("ThrottlingException")
        raise TimeoutError


class FaultyTarget:
    """One process's way to the bus, which may be away, take some entries, or take them and not say so."""

    name = "bus"
    limit = 10

    def __init__(self, world: World, client: FaultyClient) -> None:
        self._world = world
        self._client = client

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        chance = self._world.random.random() if self._world.is_faulty else 1.0
        await asyncio.sleep(0)
        self._client._may_die(chance, 0.02)
        if chance < 0.1:
            raise BusUnavailable("the bus is away")
        taken = [chance > 0.3 or self._world.random.random() < 0.7 for _ in notices]
        self._world.target.accepted += [notice for notice, is_taken in zip(notices, taken, strict=True) if is_taken]
        self._client._may_die(1 - chance, 0.02)
        if 0.9 < chance < 1:
            raise BusUnavailable("the answer was lost")
        return taken

    def words(self, notice: Notice) -> tuple[str, ...]:
        return (notice.event.kind,)


def a_replica(world: World) -> tuple[Replica, FaultyClient]:
    client = FaultyClient(world)
    wire: Any = client
    owner = f"{world.random.getrandbits(32):x}"
    return Replica(Table(wire), FaultyTarget(world, client), world, owner), client


async def one_pass(world: World) -> None:
    """Some loops of two processes at once; either may die, or be told to end."""
    for replica, client in await _race(world, [a_replica(world) for _ in range(2)]):
        client.is_dead = True
        del replica


async def _race(world: World, replicas: list[tuple[Replica, FaultyClient]]) -> list[tuple[Replica, FaultyClient]]:
    tasks = []
    for replica, _ in replicas:
        loops = [replica.intake.take_once, replica.timers.ring_once, replica.courier.deliver_once]
        tasks += [asyncio.create_task(_survive(world, loop)) for loop in world.random.sample(loops, 2)]
    if world.is_faulty and world.random.random() < 0.05:
        for _ in range(world.random.randrange(40)):
            await asyncio.sleep(0)
        world.counts["cancelled"] += 1
        tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return replicas


async def _survive(world: World, loop: Callable[[], Awaitable[Any]]) -> None:
    try:
        await loop()
    except IopsError:
        world.counts["pass put off"] += 1
    except Crash:
        world.counts["crash"] += 1


async def a_person_acts(world: World) -> None:
    firing = [alert for alert in world.alerts() if alert.is_active]
    if not firing:
        return
    alert, how = world.random.choice(firing), world.random.randrange(3)
    _, client = a_replica(world)
    wire: Any = client
    docket = Docket(Table(wire), ["bus"], now=world.now)
    try:
        before = await docket.alert(alert.alert_id)
        assert before is not None
        step = _deed(before, how, world.now)
        if step is not None:
            await docket.take(step)
            await docket.commit()
    except (IopsError, Crash):
        world.counts["deed failed"] += 1


def _deed(alert: Alert, how: int, now: datetime) -> episode.Step | None:
    if how == 0:
        return episode.acknowledge(alert, by="ann", reason=None, now=now)
    if how == 1:
        return episode.silence(alert, until=now + timedelta(hours=1), by="ann", reason=None, now=now)
    return episode.resolve(alert, by="ann", reason=None, now=now)


async def one_step(world: World) -> None:
    dice = world.random.random()
    if dice < 0.35:
        risk_score = world.random.choice([95.0, 85.0, 80.0, 70.0, 10.0, 0.0])
        is_confirmed = risk_score < 80 or world.random.random() < 0.7
        kind = world.random.choice(KINDS)
        world.emit(world.random.choice(STREAMS), risk_score, is_confirmed=is_confirmed, prediction_type=kind)
    elif dice < 0.38:
        await a_person_acts(world)
    elif dice < 0.39:
        world.now -= timedelta(hours=1)
        world.counts["clock jumped"] += 1
    else:
        await one_pass(world)
    world.pass_time(timedelta(seconds=world.random.choice([0, 0.3, 1, 5, 31, 90, 300])))


async def come_to_rest(world: World) -> None:
    """The faults are over, the streams recover, and time passes."""
    world.is_faulty = False
    while world.fake.of_type("outbox"):  # a clock that jumped back put what comes now before what waits
        await world.settle(seconds=1)
    for stream_id in STREAMS:
        world.emit(stream_id, 0.0)
    until = max([world.now, *(alert.updated_at for alert in world.alerts())]) + timedelta(hours=2)
    while world.now < until or world.left():
        assert world.now < until + timedelta(hours=2), f"never done: {world.left()}"
        await world.settle(minutes=3)


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_each_told_episode_begins_once_and_ends_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_lived_world(seed, monkeypatch)
    await come_to_rest(world)
    judge(world)


@in_virtual_time
async def test_a_world_follows_from_its_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, again, other = [await a_lived_world(seed, monkeypatch, steps=100) for seed in (1, 1, 2)]

    assert (one.fake.calls, one.fake.rows) == (again.fake.calls, again.fake.rows)
    assert one.fake.calls != other.fake.calls


async def a_lived_world(seed: int, monkeypatch: pytest.MonkeyPatch, *, steps: int = STEPS) -> World:
    """A world with its faults so far. Nothing of it is drawn or timed elsewhere, so that a seed can be looked at."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    dice = random.Random(seed)
    ids = ulid.ULIDGenerator(clock=lambda: 0, randomness=lambda _: dice.randbytes(10))
    monkeypatch.setattr("ulid.default_generator", ids)
    random.seed(seed)
    world = World(seed)
    for _ in range(steps):
        await one_step(world)
    return world


def judge(world: World) -> None:
    events = list({notice.event.event_id: notice.event for notice in world.target.accepted}.values())
    told = [(event.page_id, event.kind) for event in events if event.page_id]
    insights = Counter(event.insight_id for event in events if event.kind is EventKind.INSIGHT)
    assert set(insights.values()) == {1}, "two events of one insight"
    world.counts["repeated"] = len(world.target.accepted) - len(events)
    for page in world.pages():
        kinds = [kind for page_id, kind in told if page_id == page.page_id]
        assert (kinds[0], kinds[-1]) == (EventKind.OPENED, EventKind.RESOLVED), (page, kinds)
        assert set(kinds[1:-1]) <= {EventKind.REMINDER}, (page, kinds)
    assert {page_id for page_id, _ in told} == {page.page_id for page in world.pages()}
    assert {alert.state for alert in world.alerts()} == {AlertState.RESOLVED}
    assert all(alert.page_id is None for alert in world.alerts())
    _judge_silence(world)
    _judge_history(world)
    assert all(world.counts[name] for name in ("crash", "call failed", "answer lost", "pass put off", "cancelled"))
    print(dict(world.counts), len(world.pages()), "pages,", len(world.changes()), "changes")  # noqa: T201


def _judge_silence(world: World) -> None:
    assert not [page for page in world.pages() if page.peer_group == SILENCED]


def _judge_history(world: World) -> None:
    """No version is missing, and what opened aloud is on a page."""
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for change in world.changes():
        versions[change.alert_id].append(change.version)
    for alert in world.alerts():
        assert sorted(versions[alert.alert_id]) == list(range(1, alert.version + 1))
        story = sorted((each for each in world.changes() if each.alert_id == alert.alert_id), key=lambda it: it.version)
        is_aloud = alert.peer_group != SILENCED
        assert bool(world.told_at[alert.alert_id]) == is_aloud, story
        told = world.told_at[alert.alert_id]
        assert all(later - earlier >= timedelta(minutes=30) for earlier, later in pairwise(told))
