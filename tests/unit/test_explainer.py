"""Who puts evidence into words, in which order, for how long, and what it cost."""

import asyncio

import pytest

from iops.flags import Flags
from iops.insight import Evidence
from iops.observability import Metrics
from services.insights.explainer import DEADLINE_S, Explainer
from tests.unit.evidences import AWAIT, evidence
from tests.unit.speaking import INVENTED, THROTTLED, WORDS, Speaker, speaking, tasks_left
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s
from tests.unit.words import WILLING, an_explainer

EVIDENCE = evidence()
EXACT = {**WORDS, "explanation": "Its await is 6.13 ms now, which is much more than its usual one."}


def one_that_asks(*speakers: Speaker, metrics: Metrics | None = None, flags: Flags = WILLING) -> Explainer:
    return an_explainer(*speaking(*speakers), metrics=metrics, flags=flags, now_s=now_s)


def nearly_the_same(**fields: float) -> Evidence:
    """What the cache takes for the same, with an await that a person would be told otherwise."""
    return evidence(AWAIT.model_copy(update={"value": 6.09, "sentence": "await 6.09 ms"}), *EVIDENCE.facts[1:])


@in_virtual_time
async def test_an_answer_comes_with_its_provider_and_its_bill() -> None:
    wording = await one_that_asks(Speaker()).explain(EVIDENCE)

    assert wording.answer is not None
    assert wording.answer.explanation == WORDS["explanation"]
    assert (wording.provider, wording.asked) == ("bedrock", ())
    call = wording.call
    assert call is not None
    assert (call.model_id, call.tokens_in, call.tokens_out) == ("bedrock-model", 1_200, 250)
    assert (call.cost_usd, call.latency_ms, call.is_cached) == (0.002, 500, False)


@in_virtual_time
async def test_the_same_evidence_again_is_answered_at_once_for_nothing() -> None:
    speaker = Speaker(EXACT)
    explainer = one_that_asks(speaker)
    await explainer.explain(EVIDENCE)

    again = await explainer.explain(EVIDENCE)

    assert again.answer is not None
    assert again.call is not None
    assert (again.call.is_cached, again.call.cost_usd, again.call.latency_ms) == (True, 0, 0)
    assert len(speaker.prompts) == 1


@in_virtual_time
async def test_a_kept_answer_with_other_figures_is_not_served() -> None:
    speaker = Speaker(EXACT, {**EXACT, "explanation": "Its await is 6.09 ms now, which is much."})
    explainer = one_that_asks(speaker)
    await explainer.explain(EVIDENCE)

    wording = await explainer.explain(nearly_the_same())

    assert wording.answer is not None
    assert "6.09 ms" in wording.answer.explanation
    assert wording.call is not None
    assert (wording.call.is_cached, wording.call.cost_usd) == (False, 0.002)


@in_virtual_time
async def test_an_answer_that_is_not_borne_out_is_asked_for_once_more_with_the_objection() -> None:
    speaker = Speaker(INVENTED, WORDS)

    wording = await one_that_asks(speaker).explain(EVIDENCE)

    assert wording.provider == "bedrock"
    assert ["4711" in prompt.user for prompt in speaker.prompts] == [False, True]
    assert wording.call is not None
    assert (wording.call.tokens_in, wording.call.tokens_out, wording.call.cost_usd) == (2_400, 500, 0.004)


@in_virtual_time
async def test_a_model_that_goes_on_inventing_is_refused_and_its_bill_is_kept() -> None:
    metrics, speaker = Metrics(), Speaker(INVENTED)

    wording = await one_that_asks(speaker, metrics=metrics).explain(EVIDENCE)

    assert (wording.answer, wording.provider, wording.asked) == (None, None, ("bedrock: objected",))
    assert wording.call is not None
    assert (wording.call.cost_usd, wording.call.is_cached) == (0.004, False)
    assert len(speaker.prompts) == 2
    assert metrics.registry.get_sample_value("iops_explainer_objections_total", {"provider": "bedrock"}) == 2


@in_virtual_time
async def test_the_next_model_answers_and_the_bill_is_of_all() -> None:
    first, second = Speaker(INVENTED), Speaker(name="openai")

    wording = await one_that_asks(first, second).explain(EVIDENCE)

    assert (wording.provider, wording.asked) == ("openai", ("bedrock: objected",))
    assert wording.call is not None
    assert (wording.call.model_id, wording.call.cost_usd) == ("openai-model", 0.006)


@in_virtual_time
async def test_words_at_hand_after_a_paid_refusal_are_not_called_free() -> None:
    first, second = Speaker(INVENTED), Speaker(name="openai")
    explainer = one_that_asks(first, second)
    await explainer.explain(EVIDENCE)

    wording = await explainer.explain(EVIDENCE)

    assert wording.call is not None
    assert (wording.call.cost_usd, wording.call.is_cached) == (0.004, False)


@in_virtual_time
async def test_reasons_stand_in_the_order_of_asking() -> None:
    metrics = Metrics()
    speakers = Speaker(name="openai", always=THROTTLED), Speaker(INVENTED)

    wording = await one_that_asks(*speakers, metrics=metrics).explain(EVIDENCE)

    assert wording.asked == ("openai: throttled", "bedrock: objected")
    asked = {("openai", "throttled"): 1, ("bedrock", "objected"): 1, ("template", "fallback"): 1}
    for (by, reason), count in asked.items():
        labels = {"by": by, "reason": reason}
        assert metrics.registry.get_sample_value("iops_explanations_total", labels) == count


@in_virtual_time
async def test_where_nobody_was_paid_there_is_no_bill() -> None:
    wording = await one_that_asks(Speaker(always=THROTTLED)).explain(EVIDENCE)

    assert (wording.answer, wording.call) == (None, None)


@in_virtual_time
async def test_one_that_hangs_takes_half_the_time_and_the_next_still_answers() -> None:
    hangs, answers = Speaker(takes_s=1_000), Speaker(name="openai", takes_s=8)
    began_s = now_s()

    wording = await one_that_asks(hangs, answers).explain(EVIDENCE)

    assert (wording.provider, wording.asked) == ("openai", ("bedrock: timed_out",))
    assert now_s() - began_s == pytest.approx(DEADLINE_S / 2 + 8)


@in_virtual_time
async def test_what_the_first_did_not_need_the_second_has() -> None:
    first, second = Speaker(always=THROTTLED, takes_s=1), Speaker(name="openai", takes_s=11.5)

    wording = await one_that_asks(first, second).explain(EVIDENCE)

    assert wording.provider == "openai"


@in_virtual_time
async def test_two_that_hang_are_over_at_the_deadline() -> None:
    began_s = now_s()

    wording = await one_that_asks(Speaker(takes_s=1_000), Speaker(name="openai", takes_s=1_000)).explain(EVIDENCE)

    assert wording.asked == ("bedrock: timed_out", "openai: timed_out")
    assert now_s() - began_s <= DEADLINE_S


@in_virtual_time
async def test_a_caller_that_goes_away_takes_its_call_along() -> None:
    speaker = Speaker(takes_s=1_000)
    (provider,) = speaking(speaker)
    async with provider:
        explainer = an_explainer(provider, now_s=now_s)
        caller = asyncio.create_task(explainer.explain(EVIDENCE))
        await asyncio.sleep(1)
        await cancelled(caller)

    assert caller.cancelled()
    assert (speaker.under_way, tasks_left()) == (0, 0)


@in_virtual_time
async def test_one_of_two_callers_that_goes_away_leaves_the_answer_to_the_other() -> None:
    speaker = Speaker()
    explainer = one_that_asks(speaker)
    first, second = (asyncio.create_task(explainer.explain(EVIDENCE)) for _ in range(2))
    await asyncio.sleep(0.1)
    await cancelled(first)

    assert (await second).provider == "bedrock"
    assert len(speaker.prompts) == 1


@pytest.mark.parametrize(
    ("flags", "reason"), [(Flags(), "disabled"), (Flags(ai_enabled=True, llm_percent=0), "not_in_share")]
)
@in_virtual_time
async def test_what_the_flags_forbid_is_said_of_each_model_and_nobody_is_asked(flags: Flags, reason: str) -> None:
    speakers = Speaker(), Speaker(name="openai")
    explainer = one_that_asks(*speakers, flags=flags)

    wording = await explainer.explain(EVIDENCE)

    assert wording.asked == (f"bedrock: {reason}", f"openai: {reason}")
    assert not explainer.may_ask(EVIDENCE.stream_id)
    assert [speaker.prompts for speaker in speakers] == [[], []]


@in_virtual_time
async def test_without_a_model_there_is_nothing_to_say() -> None:
    wording = await one_that_asks().explain(EVIDENCE)

    assert (wording.answer, wording.call, wording.asked) == (None, None, ())
