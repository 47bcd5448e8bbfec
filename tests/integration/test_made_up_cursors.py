"""A cursor that nobody was given shows no row of another kind, in both tables."""

from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest

from iops import items
from iops.auth import Caller, Role
from iops.clock import to_epoch_ms
from iops.errors import InvalidCursor
from iops.table import Table
from tests.integration.examples import AT, an_alert, an_insight
from tests.unit.keyrings import a_key

ADMIN = Caller("ann", Role.ADMIN)
pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


def made_up(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("kind", ["stream", "insight", "alert", "silence"])
async def test_a_cursor_at_a_row_of_another_kind_shows_only_rows_of_its_list(table: Table, kind: str) -> None:
    _, key = a_key(Role.ADMIN, created_at=AT)
    await table.transact([{"Put": items.api_key_put(key, replaces=None)}, {"Put": items.alert_put(an_alert())}])
    await table.put(items.insight_item(an_insight("web-1:sda", created_at=AT)))
    later_ms = to_epoch_ms(AT + timedelta(days=1))

    for entity_id in (f"apikey#{key.key_id}", "web-1:sda", "~", "\x00", "\U0001f4a3" * 256):
        for at_ms in (later_ms, to_epoch_ms(AT), 0):
            rows, _ = await table.list_page(kind, limit=200, caller=ADMIN, cursor=made_up(f"{at_ms} {entity_id}"))
            assert {row["entity_type"]["S"] for row in rows} <= {kind}, entity_id


TEXTS = ("1", "1 ", "-1 a", "1e9 a", "x a", f"{10**13} a", "9" * 1_400 + " a", "1 " + "a" * 1_025)


@pytest.mark.parametrize("cursor", ["", "=", "\x00", "é", "A" * 2_000, *map(made_up, TEXTS)])
async def test_what_is_no_cursor_is_refused(table: Table, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await table.list_page("stream", limit=1, caller=ADMIN, cursor=cursor)
