"""One alert's life, each rule by itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from iops.alert import Alert, AlertState, alert_id_of
from iops.errors import InvalidInput
from iops.insight import PredictionType
from services.alerts import episode
from services.alerts.episode import Step, Wish
from tests.unit.builders import AT, DISK, an_alert, an_insight

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def take(risk_score: float, before: Alert | None = None, *, now: datetime = AT, **fields: Any) -> Step | None:
    silenced_until = fields.pop("silenced_until", None)
    usual: dict[str, Any] = {"insight_id": "02", "risk_score": risk_score}
    return episode.take(an_insight(**usual | fields), before, silenced_until=silenced_until, now=now)


def recover(alert: Alert, *, now: datetime) -> Alert:
    step = episode.take_recovery(an_insight(insight_id="09", risk_score=10.0), alert, now=now)
    assert step is not None
    assert step.wish is Wish.NOTHING
    return step.alert


def a_told(**fields: Any) -> Alert:
    return an_alert(DISK, **{"page_id": "p", "told_at": AT, "peak_risk_score": 90.0} | fields)


def a_resolved(**fields: Any) -> Alert:
    return a_told(**{"state": AlertState.RESOLVED, "resolved_at": AT, "page_id": None, "version": 7} | fields)


@pytest.mark.parametrize("risk_score", [80, 80.5, 100])
def test_80_that_is_confirmed_opens_an_episode_and_people_are_told(risk_score: float) -> None:
    step = take(risk_score)

    assert step is not None
    assert (step.wish, step.change.what, step.change.by, step.alert.version) == (Wish.TELL, "opened", "scorer", 1)
    assert (step.alert.state, step.alert.opened_by, step.alert.opened_at) == (AlertState.FIRING, "02", AT)
    assert step.alert.peak_risk_score == risk_score
    assert step.alert.alert_id == alert_id_of(DISK, PredictionType.STALL) == "94c4e332f71c5c2a"


@pytest.mark.parametrize("before", [None, a_resolved()])
@pytest.mark.parametrize(("risk_score", "is_confirmed"), [(79.9, True), (60, True), (80, False), (99, False)])
def test_less_or_one_scoring_alone_opens_none(risk_score: float, is_confirmed: bool, before: Alert | None) -> None:
    assert take(risk_score, before, is_confirmed=is_confirmed, now=AT + MINUTE) is None


@pytest.mark.parametrize(("risk_score", "is_confirmed"), [(60, True), (95, False)])
def test_what_is_open_is_updated_by_less_and_tells_nobody(risk_score: float, is_confirmed: bool) -> None:
    step = take(risk_score, a_told(version=3), is_confirmed=is_confirmed, title="worse", now=AT + MINUTE)

    assert step is not None
    assert (step.wish, step.change.what, step.alert.version) == (Wish.NOTHING, "updated", 4)
    assert (step.alert.title, step.alert.opened_by, step.alert.page_id) == ("worse", "01", "p")
    assert step.alert.peak_risk_score == max(90, risk_score)


def test_the_same_insight_once_more_changes_nothing_and_another_risk_of_it_does() -> None:
    assert take(90, a_told(insight_id="02")) is None
    assert take(70, a_told(insight_id="02")) is not None


def test_it_ends_after_ten_minutes_below_60_and_not_before() -> None:
    calm = recover(a_told(), now=AT + HOUR)

    assert calm.is_active
    assert episode.due_at(calm) == AT + HOUR + 10 * MINUTE
    assert episode.pass_time(calm, now=AT + HOUR + 10 * MINUTE - timedelta(seconds=1)) is None
    step = episode.pass_time(calm, now=AT + HOUR + 10 * MINUTE)
    assert step is not None
    assert (step.wish, step.change.what, step.change.by) == (Wish.END, "resolved", "time")
    assert (step.alert.state, step.alert.resolved_at) == (AlertState.RESOLVED, AT + HOUR + 10 * MINUTE)
    assert episode.due_at(step.alert) is None


def test_a_second_recovery_does_not_begin_the_ten_minutes_anew() -> None:
    calm = recover(a_told(), now=AT)

    assert episode.take_recovery(an_insight(risk_score=0.0), calm, now=AT + MINUTE) is None
    assert episode.take_recovery(an_insight(risk_score=0.0), a_resolved(), now=AT + MINUTE) is None


def test_60_again_within_the_ten_minutes_keeps_it_open() -> None:
    step = take(60, recover(a_told(), now=AT), now=AT + 9 * MINUTE)

    assert step is not None
    assert (step.change.what, step.wish, step.alert.recovering_since) == ("worse_again", Wish.NOTHING, None)
    assert episode.due_at(step.alert) is None


def test_it_fires_five_minutes_at_least() -> None:
    calm = a_told(recovering_since=AT - HOUR)  # by a clock that jumped

    assert episode.pass_time(calm, now=AT + 4 * MINUTE) is None
    assert episode.pass_time(calm, now=AT + 5 * MINUTE) is not None


def test_what_recovers_in_the_instant_it_opened_is_told_all_the_same() -> None:
    step = take(85)
    assert step is not None
    calm = recover(step.alert, now=AT)  # the service was behind: it met both in one pass, before it told anybody

    told = episode.pass_time(calm, now=AT)

    assert episode.due_at(calm) == AT
    assert told is not None
    assert (told.wish, told.change.what) == (Wish.TELL, "told")
    ended = episode.pass_time(calm.model_copy(update={"page_id": "p", "told_at": AT}), now=AT + 10 * MINUTE)
    assert ended is not None
    assert ended.wish is Wish.END


def test_what_comes_back_within_30_minutes_is_the_same_episode() -> None:
    step = take(85, a_resolved(told_at=AT - HOUR, opened_at=AT - HOUR, reopened=1), now=AT + 29 * MINUTE)

    assert step is not None
    assert (step.change.what, step.wish) == ("reopened", Wish.TELL)
    alert = step.alert
    assert (alert.opened_at, alert.opened_by, alert.reopened, alert.version) == (AT - HOUR, "01", 2, 8)
    assert (alert.peak_risk_score, alert.resolved_at) == (90, None)


def test_after_30_minutes_it_is_another() -> None:
    step = take(85, a_resolved(told_at=AT + 29 * MINUTE), now=AT + 30 * MINUTE)

    assert step is not None
    assert (step.change.what, step.wish, step.alert.reopened) == ("opened", Wish.TELL, 0)
    assert (step.alert.opened_at, step.alert.opened_by, step.alert.version) == (AT + 30 * MINUTE, "02", 8)


def test_a_flapping_alert_is_told_every_30_minutes_at_most_and_then_if_it_still_fires() -> None:
    step = take(85, a_resolved(told_at=AT), now=AT + 12 * MINUTE)
    assert step is not None
    assert (step.wish, episode.due_at(step.alert)) == (Wish.NOTHING, AT + 30 * MINUTE)
    assert episode.pass_time(step.alert, now=AT + 29 * MINUTE) is None
    calm = recover(step.alert, now=AT + 25 * MINUTE)
    assert episode.pass_time(calm, now=AT + 31 * MINUTE) is None, "it is about to end"

    told = episode.pass_time(step.alert, now=AT + 30 * MINUTE)

    assert told is not None
    assert (told.wish, told.change.what) == (Wish.TELL, "told")


def test_under_a_silence_it_opens_and_nobody_hears_of_it_until_that_is_over() -> None:
    step = take(85, silenced_until=AT + HOUR)
    assert step is not None
    assert (step.wish, step.alert.state, episode.due_at(step.alert)) == (Wish.NOTHING, AlertState.SILENCED, AT + HOUR)
    assert episode.pass_time(step.alert, now=AT + HOUR - MINUTE) is None

    over = episode.pass_time(step.alert, now=AT + HOUR)

    assert over is not None
    assert (over.wish, over.change.what, over.alert.state) == (Wish.TELL, "unsilenced", AlertState.FIRING)


def test_a_silence_that_ends_while_it_is_calm_tells_only_when_it_gets_worse() -> None:
    step = take(85, silenced_until=AT + HOUR)
    assert step is not None
    over = episode.pass_time(recover(step.alert, now=AT + 55 * MINUTE), now=AT + HOUR)
    assert over is not None
    assert over.wish is Wish.NOTHING

    worse = take(70, over.alert, insight_id="03", now=AT + 61 * MINUTE)

    assert worse is not None
    told = episode.pass_time(worse.alert, now=AT + 61 * MINUTE)
    assert told is not None
    assert told.wish is Wish.TELL


def test_a_silence_ends_before_the_half_hour_and_people_wait_for_that_too() -> None:
    step = take(85, a_resolved(told_at=AT), silenced_until=AT + 20 * MINUTE, now=AT + 12 * MINUTE)
    assert step is not None
    over = episode.pass_time(step.alert, now=AT + 20 * MINUTE)

    assert over is not None
    assert (over.wish, episode.due_at(over.alert)) == (Wish.NOTHING, AT + 30 * MINUTE)


def test_an_acknowledged_alert_is_told_no_more_and_ends_by_itself() -> None:
    step = episode.acknowledge(a_told(), by="ann", reason="mine", now=AT + MINUTE)

    assert step is not None
    assert (step.wish, step.alert.state, step.alert.handled_by) == (Wish.HANDLE, AlertState.ACKNOWLEDGED, "ann")
    assert (step.change.by, step.change.reason) == ("ann", "mine")
    assert episode.due_at(step.alert) is None
    assert episode.acknowledge(step.alert, by="bob", reason=None, now=AT) is None
    ended = episode.pass_time(recover(step.alert, now=AT + MINUTE), now=AT + 11 * MINUTE)
    assert ended is not None
    assert (ended.wish, ended.alert.handled_by) == (Wish.END, "ann")


def test_a_silenced_alert_that_was_told_is_reminded_of_when_the_silence_ends() -> None:
    step = episode.silence(a_told(), until=AT + HOUR, by="ann", reason=None, now=AT)
    assert step is not None
    assert (step.wish, step.alert.state) == (Wish.HANDLE, AlertState.SILENCED)
    assert episode.silence(step.alert, until=AT + MINUTE, by="bob", reason=None, now=AT) is None

    over = episode.pass_time(step.alert, now=AT + HOUR)

    assert over is not None
    assert (over.wish, over.alert.silenced_until) == (Wish.REMIND, None)


def test_a_silence_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidInput):
        episode.silence(a_told(), until=AT, by="ann", reason=None, now=AT)


def test_a_person_resolves_it_at_once_and_nothing_can_be_done_about_it_then() -> None:
    step = episode.resolve(a_told(), by="ann", reason="replaced", now=AT + MINUTE)

    assert step is not None
    assert (step.wish, step.alert.state, step.alert.handled_by) == (Wish.END, AlertState.RESOLVED, "ann")
    assert episode.resolve(step.alert, by="bob", reason=None, now=AT + MINUTE) is None
    with pytest.raises(InvalidInput):
        episode.acknowledge(step.alert, by="bob", reason=None, now=AT + MINUTE)
    with pytest.raises(InvalidInput):
        episode.silence(step.alert, until=AT + HOUR, by="bob", reason=None, now=AT + MINUTE)


def test_a_clock_that_jumps_back_an_hour_and_forth_again_ends_nothing_early() -> None:
    calm = recover(a_told(updated_at=AT), now=AT - HOUR)

    assert episode.due_at(calm) == AT + 10 * MINUTE
    assert calm.updated_at == AT
    for minutes in (-60, -50, -1, 0, 9):
        assert episode.pass_time(calm, now=AT + minutes * MINUTE) is None
    assert episode.pass_time(calm, now=AT + 10 * MINUTE) is not None


def test_a_clock_that_jumps_back_an_hour_tells_nothing_twice() -> None:
    step = take(85, a_resolved(told_at=AT), now=AT - HOUR)

    assert step is not None
    assert (step.change.what, step.wish) == ("reopened", Wish.NOTHING)
    assert episode.pass_time(step.alert, now=AT + 29 * MINUTE) is None
    assert episode.pass_time(step.alert, now=AT + 30 * MINUTE) is not None


@pytest.mark.parametrize("alert", [a_told(state="silenced", silenced_until=AT), a_told(page_id=None)])
def test_a_later_silence_takes_over_from_one_that_ends_and_from_a_telling_that_is_due(alert: Alert) -> None:
    step = episode.pass_time(alert, silenced_until=AT + HOUR, now=AT + 30 * MINUTE)

    assert step is not None
    assert (step.wish, step.change.what, step.alert.state) == (Wish.NOTHING, "silenced", AlertState.SILENCED)
    assert episode.due_at(step.alert) == AT + HOUR
