"""A target that says when to come again is left alone until then."""

from __future__ import annotations

from collections.abc import Sequence

from iops import items
from iops.clock import to_epoch_ms
from iops.errors import Unavailable
from iops.observability import Metrics
from services.alerts.deliver import Courier, CourierMetrics
from services.alerts.notice import Notice
from tests.integration.examples import AT
from tests.unit.fakes import FakeTable
from tests.unit.notices import a_notice


class Resting:
    """Asks for ten minutes."""

    name = "team"
    limit = 1

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        raise Unavailable("webhook team: it answered 429", retry_after_s=600)

    def words(self, notice: Notice) -> tuple[str, ...]:
        return ()


async def test_a_refused_event_waits_as_long_as_its_target_asked() -> None:
    table = FakeTable()
    table.add(items.delivery_item(a_notice().event, "team", not_before=AT))
    courier = Courier(
        table.table(),
        Resting(),
        lambda: AT,
        CourierMetrics(Metrics()),
        owner="a",
        poll_s=1,
        lease_s=30,
        public_url="http://x",
    )

    assert not await courier.deliver_once()

    row = table.rows["event#01J", "delivery#team"]
    assert (int(row["timestamp"]["N"]), row["attempts"]) == (to_epoch_ms(AT) + 600_000, {"N": "1"})
