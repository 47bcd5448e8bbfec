"""The alerts service's routes on a table in memory, with alerts in it that were opened as the product opens them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from iops import items
from iops.alert import Alert
from iops.insight import Insight
from services.alerts import episode
from services.alerts.docket import Docket
from services.alerts.routes import Alerts
from tests.unit.builders import AT, an_insight, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.routed import an_app

TARGETS = ["bus"]


class Desk:
    """Where a person deals with alerts; its clock stands at `now`."""

    def __init__(self) -> None:
        self.table = FakeTable()
        self.at(AT)
        transport = httpx.ASGITransport(an_app())
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False)

    def at(self, now: datetime) -> None:
        self.now = now
        an_app().state.alerts = Alerts(self.table.table(), clock_at(now), TARGETS)

    def later(self, **span: float) -> None:
        self.at(self.now + timedelta(**span))

    async def open(self, *insights: Insight) -> list[Alert]:
        """The alerts of these insights, told on one page."""
        docket = Docket(self.table.table(), TARGETS, now=self.now)
        opened = []
        for insight in insights:
            step = episode.take(insight, None, silenced_until=None, now=self.now)
            assert step is not None
            await docket.take(step)
            opened.append(step.alert)
        await docket.commit()
        return opened

    async def open_one(self, stream_id: str = "web-1:sda", **fields: Any) -> str:
        (alert,) = await self.open(an_insight(stream_id, created_at=self.now, **fields))
        return alert.alert_id

    async def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.client.request(method, path, json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, status: int = 200) -> Any:
        return await self.ask("GET", path, status)

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        return await self.ask("POST", path, status, **body)

    async def states(self) -> dict[str, str]:
        return {each["stream_id"]: each["state"] for each in (await self.get("/alerts"))["items"]}

    def reminders(self) -> Sequence[str]:
        """When a page or an alert is looked at again."""
        return [row["entity_id"]["S"].partition("#")[0] for row in self.table.of_type("due")]

    def events(self) -> list[str]:
        """The kinds of the events that are on their way."""
        return [items.item_to_event(row).kind for row in self.table.of_type("delivery")]
