"""How a risk went and when people were told: steps and episodes of a range."""

from datetime import timedelta
from typing import Any

from iops import items
from iops.alert import Alert, AlertState, Change, alert_id_of
from iops.insight import PredictionType
from services.insights.story import RiskStep, episodes_of, read_episodes, read_risk
from tests.unit.builders import AT, AT_MS, DISK, a_finding, an_alert
from tests.unit.fakes import FakeTable

AT_S = AT_MS // 1_000
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


async def risk(
    *kept: tuple[float, float], from_minute: float = 0, to_minute: float = 120, step_s: int = 10
) -> list[RiskStep]:
    """Of risks that were kept so many minutes after AT; the answer in minutes after AT."""
    fake = FakeTable()
    for minute, score in kept:
        await fake.table().update(items.risk_update(DISK, a_finding(score), now_ms=AT_MS + round(minute * MINUTE_MS)))
    from_ms, to_ms = (AT_MS + round(minute * MINUTE_MS) for minute in (from_minute, to_minute))
    found = await read_risk(fake.table(), DISK, from_ms=from_ms, to_ms=to_ms, step_ms=1_000 * step_s)
    return [((at - AT_S) // 60, score) for at, score in found]


async def test_a_risk_holds_until_the_next_and_one_from_before_begins_the_chart() -> None:
    assert await risk((-30, 5), (20, 61), (50, 83)) == [(0, 5), (20, 61), (50, 83)]


async def test_a_risk_that_nobody_said_again_for_75_minutes_is_not_known_any_more() -> None:
    assert await risk((-80, 5), (10, 61), to_minute=100) == [(10, 61), (85, None)]
    assert await risk((-74, 5), to_minute=100) == [(0, 5), (1, None)]


async def test_of_a_step_the_highest_and_the_last_are_left() -> None:
    assert await risk((1, 10), (2, 90), (3, 50), (4, 7), (15, 8), to_minute=60, step_s=600) == [
        (2, 90),
        (4, 7),
        (15, 8),
    ]


async def test_what_is_left_of_long_steps_leaves_no_gap_between_them() -> None:
    hourly = [(60.0 * hour, float(hour)) for hour in range(24)]

    found = await risk(*hourly, to_minute=24 * 60, step_s=6 * 3600)

    assert found == [(180, 3), (540, 9), (900, 15), (1260, 21), (1380, 23)]  # AT is 02:00


def change(what: str, *, minute: float, version: int = 1) -> Change:
    alert_id = alert_id_of(DISK, PredictionType.STALL)
    at = AT + timedelta(minutes=minute)
    return Change(alert_id=alert_id, version=version, at=at, what=what, by="scorer", risk_score=90)


def spans(alert: Alert, *changes: tuple[str, float]) -> list[tuple[int, int | None]]:
    """In minutes after AT, of the hour after AT."""
    made = [change(what, minute=minute) for what, minute in changes]
    found = episodes_of(alert, made, from_ms=AT_MS, to_ms=AT_MS + HOUR_MS)
    minutes = [
        [None if at is None else (at - AT_MS) // MINUTE_MS for at in (each.from_ms, each.to_ms)] for each in found
    ]
    return [(begin or 0, end) for begin, end in minutes]


FIRING = an_alert(DISK, alert_id=alert_id_of(DISK, PredictionType.STALL))
RESOLVED = FIRING.model_copy(update={"state": AlertState.RESOLVED, "resolved_at": AT})


def test_an_episode_lasts_from_its_opening_to_its_end_or_goes_on() -> None:
    assert spans(RESOLVED, ("opened", 10), ("updated", 12), ("resolved", 20)) == [(10, 20)]
    assert spans(FIRING, ("opened", 10), ("resolved", 20), ("reopened", 30), ("acknowledged", 31)) == [
        (10, 20),
        (30, None),
    ]


def test_an_episode_that_began_before_the_chart_begins_with_it() -> None:
    assert spans(RESOLVED, ("opened", -10), ("resolved", 20)) == [(0, 20)]
    assert spans(RESOLVED, ("updated", 5), ("resolved", 20)) == [(0, 20)], "its opening is not among what was read"
    assert spans(FIRING) == [(0, None)], "nothing happened to it in this hour"


def test_an_episode_of_another_time_is_not_there() -> None:
    assert spans(RESOLVED, ("opened", -30), ("resolved", -10)) == []
    assert spans(RESOLVED, ("opened", 70), ("resolved", 80)) == []
    assert spans(RESOLVED) == []


async def test_episodes_are_read_as_alerts_wrote_them_page_after_page() -> None:
    fake = FakeTable()
    fake.page_limit = 3
    fake.add(items.alert_put(FIRING)["Item"])
    what: list[Any] = ["opened", *["updated"] * 7, "resolved", "opened"]
    for version, each in enumerate(what):
        fake.add(items.change_put(change(each, minute=version, version=version))["Item"])

    found = await read_episodes(fake.table(), DISK, from_ms=AT_MS, to_ms=AT_MS + HOUR_MS)

    assert [(each.from_ms - AT_MS, each.to_ms) for each in found] == [(0, AT_MS + 8 * MINUTE_MS), (9 * MINUTE_MS, None)]
