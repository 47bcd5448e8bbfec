"""The page of an insight as a person reads it: the sentence, what to do, the proof, and who said so."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.auth import Caller, Role
from iops.insight import Earlier, Fact, Insight, ModelCall, Neighbour, Opinion, PredictionType, Verdict
from tests.unit.builders import AT, AT_MS, EVERYBODY, a_window, an_insight
from tests.unit.page_reader import Page
from tests.unit.tenants import WEB, House

VIEWER = Caller("a viewer", Role.VIEWER)
STREAM = "web-1:sda"
HOSTILE = '"><script>alert(1)</script>\u202e\x1b[2J'


@pytest.fixture
def house() -> House:
    return House()


async def page_of(house: House, insight: Insight, *, caller: Caller = EVERYBODY, status: int = 200) -> Page:
    house.table.add(items.insight_item(insight))
    answer = await house.ask("GET", f"/ui/insights/{insight.insight_id}", caller=caller)
    assert answer.status_code == status, answer.text
    page = Page(answer.text)
    page.assert_runs_only_ours()
    return page


async def with_stream(house: House) -> None:
    await house.add_stream(STREAM)
    await house.watch.fleet.look_once()


async def said_of(house: House, **fields: Any) -> str:
    return (await page_of(house, an_insight(STREAM, **fields))).said


async def test_it_says_what_was_found_what_to_do_and_what_proves_it_in_this_order(house: House) -> None:
    fact = Fact(name="await_ms", value=22.2, unit="ms", baseline=0.75, peers=0.8, sentence="await 22.2 ms over 60 s")

    said = await said_of(house, facts=(fact,))

    parts = ("web-1:sda has stalled", "Requests are in flight", "What to do Look for a lost path. Move the workload.")
    table = "await 22.2 ms over 60 s await ms 22.2 ms 0.75 ms 0.8 ms"
    places = [said.index(part) for part in (*parts, table, "2026-11-23 01:50:00 UTC to 2026-11-23 02:00:00 UTC")]
    assert places == sorted(places)


async def test_a_ratio_is_written_as_its_sentence_says_it(house: House) -> None:
    fact = Fact(name="peer_ratio_median", value=0.835, unit="ln ratio", sentence="its await was 2.3 times its peers'")

    said = await said_of(house, facts=(fact,))

    assert "its await was 2.3 times its peers' peer ratio median 2.3 times - -" in said


async def test_the_chart_shows_exactly_the_window_that_was_judged(house: House) -> None:
    await with_stream(house)
    inside = a_window(300, end=AT, interval_s=2.0, read_await_ms=2.5)
    outside = a_window(30, end=AT - timedelta(minutes=20), interval_s=2.0, read_await_ms=400.0)
    house.table.add(*items.chunk_items(STREAM, inside), *items.chunk_items(STREAM, outside))

    page = await page_of(house, an_insight(STREAM))

    assert "Latency lowest 2.5 ms, median 2.5 ms, highest 2.5 ms, newest 2.5 ms" in page.said
    chart = json.loads(page.data)["chart"]
    assert AT_MS / 1000 - 610 <= chart["from"] <= AT_MS / 1000 - 600
    assert AT_MS / 1000 <= chart["to"] <= AT_MS / 1000 + 10


async def test_samples_that_are_gone_or_damaged_hide_no_word(house: House) -> None:
    unknown = await said_of(house)
    await with_stream(house)
    gone = await said_of(house)
    (chunk,) = items.chunk_items(STREAM, a_window(30, end=AT - timedelta(minutes=1)))
    house.table.add(chunk | {"data": {"B": b"damaged"}})
    damaged = await said_of(house)

    for said in (unknown, gone, damaged):
        assert "The samples of that window are gone, or cannot be read now." in said
        assert "nothing completed for 20 s" in said


async def test_it_says_who_scored_and_explained_it_and_who_was_asked_in_vain(house: House) -> None:
    said = await said_of(
        house,
        scored_by="local",
        asked_before=("sagemaker: timed_out",),
        explained_by="bedrock",
        explainers_asked=("openai: throttled",),
        call=ModelCall(model_id="haiku", tokens_in=1_200, tokens_out=250, cost_usd=0.0027, latency_ms=1_850),
    )

    assert "Scored by local, confidence 90 % asked before, in vain: sagemaker: timed_out" in said
    assert "Explained by bedrock (haiku) asked before, in vain: openai: throttled" in said
    assert "1,200 tokens in, 250 out, $0.0027, 1,850 ms" in said


async def test_what_no_model_was_asked_says_so(house: House) -> None:
    said = await said_of(house)

    assert "The language model was not asked, and cost nothing Its own opinion none" in said


@pytest.mark.parametrize(("is_disputed", "word"), [(True, "disputed"), (False, "not disputed")])
async def test_an_opinion_of_the_model_stands_beside_the_score(house: House, is_disputed: bool, word: str) -> None:
    opinion = Opinion(prediction_type=PredictionType.ANOMALY, risk_score=40, confidence=0.7)

    said = await said_of(house, opinion=opinion, is_disputed=is_disputed)

    assert f"Its own opinion risk 40 of 100, anomaly, confidence 70 % : {word}" in said.replace("%:", "% :")
    assert ("Disputed. The language model would say risk 40 of 100" in said) == is_disputed


async def test_neighbours_and_what_was_told_before_are_named(house: House) -> None:
    ill = Neighbour(stream_id="web-1:sdb", risk_score=91, prediction_type=PredictionType.IO_ERRORS)
    earlier = Earlier(
        insight_id="01E",
        created_at=AT - timedelta(days=2),
        risk_score=84,
        verdict=Verdict.WRONG_CAUSE,
        prediction_type=PredictionType.ANOMALY,
        text="a rebuild",
    )
    page = await page_of(house, an_insight(STREAM, peers=5, neighbours=(ill,), earlier=earlier))

    assert "Ill at the same time, of 5 peers: web-1:sdb (I/O errors, risk 91)" in page.said
    assert "An operator said: wrong cause , it was anomaly: a rebuild." in page.said
    assert {"/ui/insights/01E", "/ui/streams/web-1%3Asdb"} <= set(page.links)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"is_hard_rule": True}, "a hard rule, which no model may outvote"),
        ({"warming_up": True}, "warming up: less than 3 h of history"),
        ({"is_confirmed": False}, "not confirmed by a second scoring: nobody is alerted"),
        ({"is_asked_for": True}, "a person asked: nobody is alerted"),
    ],
)
async def test_what_a_reader_must_know_of_it_is_said_plainly(house: House, field: dict[str, Any], words: str) -> None:
    assert words in await said_of(house, **field)


async def test_what_people_said_is_listed_and_the_last_word_holds(house: House) -> None:
    things = await house.move_in("web-1")
    path = f"/insights/{things.insight_id}/feedback"
    await house.ask("POST", path, body={"verdict": "confirm"})
    body = {"verdict": "wrong_cause", "prediction_type": "anomaly", "text": "a rebuild"}
    await house.ask("POST", path, body=body)

    answer = await house.ask("GET", f"/ui/insights/{things.insight_id}")
    page = Page(answer.text)

    assert "confirm by web team" in page.said
    assert "wrong cause , it was anomaly by web team: a rebuild this one holds" in page.said
    assert f"/ui/alerts/{things.alert_id}" in page.links
    assert page.forms == [path] * 3


async def test_who_may_not_answer_and_what_takes_no_answer_has_no_form(house: House) -> None:
    insight = an_insight(STREAM)

    assert (await page_of(house, insight, caller=VIEWER)).forms == []
    assert (await page_of(house, an_insight(STREAM, risk_score=20))).forms == []
    assert len((await page_of(house, insight)).forms) == 3


async def test_an_insight_of_others_is_not_there(house: House) -> None:
    page = await page_of(house, an_insight("db-1:sda"), caller=WEB, status=404)

    assert "There is no such thing" in page.said
    assert "db-1" not in page.said


async def test_words_of_others_in_an_insight_run_nothing(house: House) -> None:
    fact = Fact(name=HOSTILE, value=1, unit=HOSTILE, sentence=HOSTILE)
    words = {"title": HOSTILE, "explanation": HOSTILE, "recommendations": (HOSTILE,), "scored_by": HOSTILE}
    asked = {"explained_by": HOSTILE, "asked_before": (HOSTILE,), "explainers_asked": (HOSTILE,), "facts": (fact,)}

    page = await page_of(house, an_insight(STREAM, **words, **asked))

    assert "<script>alert(1)</script>" in page.said, "as text"
    assert not any(bad in "".join(page.texts) for bad in ("\u202e", "\x1b"))
