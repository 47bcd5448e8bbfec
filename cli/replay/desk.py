"""The episodes and pages that there would have been: the decisions of the alerts service, kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from iops.alert import Alert, EventKind, Page, alert_id_of, page_key_of
from iops.contract import INSIGHT_RISK_SCORE
from iops.insight import Insight, PredictionType
from services.alerts import episode, pages
from services.alerts.episode import Step, Wish
from services.alerts.pages import Told
from services.alerts.rules import Rules


@dataclass(slots=True)
class Fired:
    """One episode, from its opening to its end."""

    stream_id: str
    peer_group: str
    prediction_type: PredictionType
    opened_at: datetime
    peak_risk_score: float
    resolved_at: datetime | None = None  # None: it still fires
    reopened: int = 0
    told_by: str | None = None  # the stream whose page told of it; None: nobody was told


class Desk:
    """Takes insights in the order of time. Nobody acknowledges or silences anything here."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._alerts: dict[str, Alert] = {}
        self._pages: dict[str, Page] = {}
        self._newest: dict[str, str] = {}  # page key -> page id
        self._episodes: dict[str, Fired] = {}  # the newest of each alert
        self.fired: list[Fired] = []
        self.pages = 0
        self.reminders = 0

    def take(self, insight: Insight, *, now: datetime) -> None:
        """What `services.alerts.intake` makes of it; a silence or a person's deeds are not replayed."""
        if insight.risk_score < INSIGHT_RISK_SCORE:
            for kind in PredictionType:
                if alert := self._alerts.get(alert_id_of(insight.stream_id, kind)):
                    self._apply(episode.take_recovery(insight, alert, now=now), now)
            return
        assert insight.prediction_type is not None, "what is wrong has a type"
        before = self._alerts.get(alert_id_of(insight.stream_id, insight.prediction_type))
        self._apply(episode.take(insight, before, silenced_until=None, now=now, rules=self._rules), now)

    def pass_time(self, *, now: datetime) -> None:
        """Whatever time has changed by now, each at its own instant."""
        while (bell := min(self._bells(), default=None)) is not None and bell[0] <= now:
            at, entity_id = bell
            if alert := self._alerts.get(entity_id):
                step = episode.pass_time(alert, now=at, rules=self._rules)
                assert step is not None, "a timer that rings changes an alert"
                self._apply(step, at)
            else:
                told = pages.pass_time(self._pages[entity_id], now=at, rules=self._rules)
                assert told is not None, "a timer that rings changes a page"
                self._put_page(told)

    def _bells(self) -> list[tuple[datetime, str]]:
        bells = [(episode.due_at(alert, self._rules), alert.alert_id) for alert in self._alerts.values()]
        bells += [(pages.due_at(page, self._rules), page.page_id) for page in self._pages.values()]
        return [(at, entity_id) for at, entity_id in bells if at is not None]

    def _apply(self, step: Step | None, now: datetime) -> None:
        if step is None:
            return
        told = self._tell(step.alert, step.wish, now)
        alert = step.alert
        if told is not None:
            self._put_page(told)
            is_telling = step.wish in (Wish.TELL, Wish.REMIND)
            changes = {"page_id": told.page_id} | ({"told_at": now} if is_telling else {})
            alert = alert.model_copy(update=changes)
        self._alerts[alert.alert_id] = alert
        self._note(alert, step.change.what)

    def _tell(self, alert: Alert, wish: Wish, now: datetime) -> Told | None:
        if wish is Wish.TELL:
            newest = self._newest.get(page_key_of(alert.peer_group, alert.prediction_type))
            page = self._page_of_stream(alert, now) or self._pages.get(newest or "")
            return pages.tell(page, alert, now=now, rules=self._rules)
        page = self._pages.get(alert.page_id or "")
        return pages.end(page, alert, now=now) if page is not None and wish is Wish.END else None

    def _page_of_stream(self, alert: Alert, now: datetime) -> Page | None:
        """As services/alerts/docket.py has it: one disk, one mail."""
        others = (other for other in self._alerts.values() if other.stream_id == alert.stream_id and other.page_id)
        told_by = (self._pages.get(other.page_id or "") for other in others)
        joined = (page for page in told_by if page and pages.is_joined_by(page, now=now, rules=self._rules))
        return next(joined, None)

    def _put_page(self, told: Told) -> None:
        page = told.page
        assert page is not None, "what is told is told on a page"
        if page.is_open:
            self._pages[page.page_id] = page
        else:
            self._pages.pop(page.page_id, None)  # nothing joins or ends it any more
        if told.event is EventKind.OPENED:
            self._newest[page_key_of(page.peer_group, page.prediction_type)] = page.page_id
            self.pages += 1
        self.reminders += told.event is EventKind.REMINDER

    def _note(self, alert: Alert, what: str) -> None:
        if what == "opened":
            fired = Fired(alert.stream_id, alert.peer_group, alert.prediction_type, alert.opened_at, 0.0)
            self._episodes[alert.alert_id] = fired
            self.fired.append(fired)
        fired = self._episodes[alert.alert_id]
        fired.peak_risk_score = alert.peak_risk_score
        fired.resolved_at = alert.resolved_at
        fired.reopened = alert.reopened
        page = self._pages.get(alert.page_id or "")
        if page is not None and fired.told_by is None:
            fired.told_by = page.streams[0]
