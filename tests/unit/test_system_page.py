"""The page of the system: what is wrong first, with its section of the runbook, and no word of others as markup."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from iops.auth import Caller
from iops.model import CARD_FILE, Card
from services.insights import queues, system, verdict
from services.insights.app import create_app
from services.insights.card import view_model
from services.insights.settings import MODEL_DIR
from services.insights.system import Bureau
from tests.unit.builders import AT, EVERYBODY, a_pulse
from tests.unit.tenants import GateFor
from tests.unit.test_get_system import MINUTE, WEB, WELL, Office

RUNBOOK: Final = Path(__file__).parents[2] / "docs" / "runbook.md"
HOSTILE: Final = "<script>alert(1)</script>\"'>"
MODEL: Final = view_model(Card.model_validate_json((MODEL_DIR / CARD_FILE).read_bytes()))


@pytest.fixture
def app() -> httpx.ASGITransport:
    return httpx.ASGITransport(create_app())


async def page(transport: httpx.ASGITransport, office: Office, caller: Caller = EVERYBODY) -> str:
    state = transport.app.state  # type: ignore[attr-defined]
    state.gate, state.system = GateFor(caller), Bureau(office.survey, MODEL)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/ui/system")
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_where_nothing_is_wrong_the_page_says_so_first(app: httpx.ASGITransport) -> None:
    text = await page(app, Office(*WELL))

    assert "All well." in text
    assert '<p class="problem">' not in text
    for said in ("b023dd8ba9b0", "0.442 (0.294-0.588)", "robust z, 24 h", "20 samples/s"):
        assert said in text


async def test_a_trouble_stands_before_everything_with_its_section(app: httpx.ASGITransport) -> None:
    ingest, insights, _ = WELL
    text = await page(app, Office(ingest, insights, a_pulse("alerts", at=AT - 3 * MINUTE)))

    said = "alerts has not been heard of for 3 min: nobody is told of anything"
    assert text.index(said) < text.index("unhealthy-targets") < text.index("<h2>Services")


async def test_names_of_others_are_text(app: httpx.ASGITransport) -> None:
    ingest, _, alerts = WELL
    hostile = a_pulse(
        "insights",
        replica=HOSTILE,
        version=HOSTILE,
        failed={HOSTILE: HOSTILE},
        by_name={"drift": {HOSTILE: 1.0}, "open_breakers": {HOSTILE: 1.0}},
    )
    letters = {"delivery_wait_s": {HOSTILE: 999.0}, "dead_letters": {HOSTILE: 1.0}}
    text = await page(app, Office(ingest, hostile, alerts.model_copy(update={"by_name": letters})))

    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert not re.search(r"=\"[^\"]*<script>", text)


async def test_who_sees_some_streams_is_told_why_there_is_no_money(app: httpx.ASGITransport) -> None:
    office = Office(*WELL)
    await office.spend(0.9)

    text = await page(app, office, WEB)

    assert "It is of all streams, and you see some of them." in text
    assert "samples/s" not in text
    assert "llm-budget" not in text


async def test_a_table_that_is_away_is_said_on_the_page_too(app: httpx.ASGITransport) -> None:
    office = Office(*WELL)
    office.fake.is_away = True

    text = await page(app, office)

    assert text.index("The table does not answer") < text.index("Nobody can say")


def test_every_section_that_a_trouble_names_is_in_the_runbook() -> None:
    sources = "".join(inspect.getsource(module) for module in (queues, system, verdict))
    named = {*re.findall(r'section="([^"]+)"', sources), *(section for section, _, _ in queues.LETTERS.values())}
    watched = [each for each in vars(queues).values() if isinstance(each, queues._Watched)]
    named |= {each.section for each in watched} | {"Deliveries that wait"}

    headings = set(re.findall(r"^##+ (.+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert len(named) >= 14
    assert named <= headings
