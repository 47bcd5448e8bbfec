"""GET /tiers: who would answer now, why others would not, and how much a language model is for."""

from iops import items
from iops.flags import Flags
from iops.items import Stream
from iops.observability import Metrics
from services.insights.tell import Teller
from services.insights.tiers import Board
from tests.unit.builders import AT, AT_MS, DISK, a_batch, a_finding, a_window, clock_at, nothing_wrong
from tests.unit.fakes import FakeTable
from tests.unit.routed import an_app
from tests.unit.test_get_insights import Door, door
from tests.unit.words import a_teller

__all__ = ["door"]  # a fixture


async def no_problem() -> str | None:
    return None


def open_with(teller: Teller) -> None:
    an_app().state.tiers = Board(
        flags=Flags,
        model_version="1",
        why_no_endpoint=lambda: "no endpoint is set",
        providers=[],
        warnings={},
        why_no_money=no_problem,
        teller=teller,
    )


async def stored_stream(fake: FakeTable) -> Stream:
    row = await fake.table().get(items.key_of(DISK, "stream"))
    assert row is not None
    return items.item_to_stream(row)


async def test_without_settings_the_template_explains_and_the_others_say_why_not(door: Door) -> None:
    open_with(a_teller(door.table.table(), clock_at(AT), Metrics()))

    tiers = await door.get("/tiers")

    assert [(tier["name"], tier["answers"]) for tier in tiers["explaining"]] == [
        ("bedrock", False),
        ("openai", False),
        ("template", True),
    ]
    assert tiers["explaining"][0]["why_not"] == "IOPS_EXPLAINERS does not name it"
    assert (tiers["findings_ill"], tiers["findings_for_a_model"]) == (0, 0)


async def test_what_is_ill_counts_each_time_and_is_for_a_model_once(door: Door) -> None:
    teller = a_teller(door.table.table(), clock_at(AT), Metrics())
    open_with(teller)
    await door.table.table().update(items.stream_seen_update(a_batch(), now_ms=AT_MS))

    for finding in (nothing_wrong(), a_finding(70), a_finding(70), a_finding(71)):
        await teller.tell(await stored_stream(door.table), {DISK: finding}, a_window())

    tiers = await door.get("/tiers")
    assert (tiers["findings_ill"], tiers["findings_for_a_model"]) == (3, 1)
