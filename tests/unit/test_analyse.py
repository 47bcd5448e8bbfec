"""A person asks about one stream: what is stored and told, and to whom it is not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from iops import items
from iops.insight import Insight
from iops.observability import Metrics
from services.insights import routes
from services.insights.analyse import ANALYSED_AT_ONCE, Analyst
from services.insights.calls import ResilientProvider
from services.insights.improve import Improver
from services.insights.tell import Teller
from tests.unit.builders import AT_MS, DISK, a_batch
from tests.unit.fakes import aws_error
from tests.unit.routed import an_app
from tests.unit.speaking import WORDS, Speaker, speaking
from tests.unit.test_score import HANGS, Scene, a_host
from tests.unit.words import an_explainer

SDA, SDB = "web-1:sda", "web-1:sdb"


class Desk:
    """The door on a host of four disks, of which sda is what a test says."""

    def __init__(self, scene: Scene, client: httpx.AsyncClient) -> None:
        self.scene, self.fake, self.client = scene, scene.fake, client
        self.work_with()

    def work_with(self, *providers: ResilientProvider, sets_risk: bool = False) -> None:
        table, clock, metrics = self.fake.table(), self.scene.clock, Metrics()
        explainer = an_explainer(*providers, metrics=metrics)
        improver = Improver(table, explainer, clock, metrics, sets_risk=lambda: sets_risk)
        teller = Teller(table, clock, metrics, improver)
        an_app().state.analyst = Analyst(
            table, self.scene.scorer, teller, explainer, clock=clock, sets_risk=lambda: sets_risk
        )
        an_app().state.insights = routes.Insights(table, clock)

    async def ask(self, stream_id: str = SDA, status: int = 201) -> Any:
        answer = await self.client.post(f"/streams/{stream_id}/insight")
        assert answer.status_code == status, answer.text
        return answer.json()


async def a_desk(client: httpx.AsyncClient, **fields: Any) -> Desk:
    return Desk(await a_host(**fields), client)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(an_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False) as client:
        yield client


async def test_an_unknown_stream_and_one_that_is_silent_are_404(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client)
    await desk.fake.table().update(items.stream_seen_update(a_batch(DISK), now_ms=AT_MS))

    assert "was ever received" in (await desk.ask("nobody:sda", 404))["detail"]
    assert "nothing in the last half hour" in (await desk.ask(DISK, 404))["detail"]


async def test_nothing_wrong_has_figures_and_no_prediction_type(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client)

    told = await desk.ask(SDB)

    assert (told["prediction_type"], told["risk_score"], told["is_asked_for"]) == (None, 0, True)
    assert {fact["name"] for fact in told["facts"]} >= {"await_ms", "iops"}
    assert (told["explained_by"], told["peers"]) == ("template", 3)
    assert told["title"]
    assert told["explanation"]


async def test_an_ill_stream_is_stored_for_whoever_looks_and_nobody_is_alerted(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client, **HANGS)
    row = dict(desk.fake.rows[SDA, "stream"])

    told = await desk.ask()

    (stored,) = desk.fake.of_type("insight")
    assert items.item_to_insight(stored) == Insight.model_validate(told)
    assert (told["prediction_type"], told["risk_score"] >= 60, told["is_asked_for"]) == ("stall", True, True)
    assert desk.fake.of_type("outbox") == []
    assert desk.fake.rows[SDA, "stream"] == row


async def test_a_question_does_not_take_the_news_from_the_next_scoring(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client, **HANGS)
    await desk.ask()

    await desk.scene.score()

    assert sorted(each.is_asked_for for each in desk.scene.insights()) == [False, True]
    assert len(desk.fake.of_type("outbox")) == 1


async def test_an_ill_neighbour_is_told(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client, **HANGS)

    assert [each["stream_id"] for each in (await desk.ask(SDB))["neighbours"]] == [SDA]


async def test_a_models_words_are_in_the_answer_and_its_risk_counts_where_it_may(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client, read_await_ms=8.0)
    desk.work_with(*speaking(Speaker({**WORDS, "risk_score": 30}, takes_s=0)), sets_risk=True)

    told = await desk.ask()

    assert (told["explained_by"], told["explanation"]) == ("bedrock", WORDS["explanation"])
    assert (told["risk_score"], told["is_disputed"]) == (30, True)
    assert desk.fake.of_type("outbox") == []


@pytest.mark.parametrize("stream_id", [SDA, SDB])
@pytest.mark.parametrize("verdict", ["confirm", "dismiss", "wrong_cause"])
async def test_feedback_on_it_is_taken_also_where_nothing_was_wrong(
    client: httpx.AsyncClient, stream_id: str, verdict: str
) -> None:
    desk = await a_desk(client, **HANGS)
    told = await desk.ask(stream_id)

    answer = await client.post(f"/insights/{told['insight_id']}/feedback", json={"verdict": verdict})

    assert answer.status_code == 201, answer.text
    assert (answer.json()["quiet_until"] is not None) == (verdict == "dismiss" and stream_id == SDA)


async def test_a_table_that_fails_is_a_503_and_stores_nothing(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client)
    await desk.ask(SDB)
    desk.fake.failures["PutItem"].append(aws_error("ThrottlingException"))

    assert (await desk.ask(SDA, 503))["code"] == "table_unavailable"
    assert len(desk.fake.of_type("insight")) == 1


async def test_more_than_may_ask_at_once_are_told_to_come_again(client: httpx.AsyncClient) -> None:
    desk = await a_desk(client)

    answers = await asyncio.gather(*(client.post(f"/streams/{SDA}/insight") for _ in range(ANALYSED_AT_ONCE + 8)))

    assert sorted({answer.status_code for answer in answers}) == [201, 503]
    assert sum(answer.status_code == 201 for answer in answers) == ANALYSED_AT_ONCE
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    assert len(desk.fake.of_type("insight")) == ANALYSED_AT_ONCE
