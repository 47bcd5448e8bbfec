"""The template's words for golden evidence, and the checks that they and a language model's have to pass."""

from datetime import timedelta
from typing import Any

import pytest

from bench.explain import CHECKS, Record, Told, lines_of, measure, problems_of, read_records, tell_by_template
from iops.insight import DISK_TROUBLES, Earlier, Evidence, Fact, Neighbour, PredictionType, Verdict
from services.insights.template import TEMPLATES, Explanation, explain, explain_recovery, shown
from tests.unit.builders import AT, DISK

RECORDS = read_records()
AWAIT = Fact(name="await_ms", value=8.1, unit="ms", sentence="await 8.10 ms over the last 60 s")
GOOD = Explanation(f"{DISK} is slow", "Its await is 8.1 ms.", ("Drain it.", "Replace it."))


def an_evidence(kind: PredictionType | None = PredictionType.FAIL_SLOW, **fields: Any) -> Evidence:
    usual: dict[str, Any] = {
        "stream_id": DISK,
        "peer_group": "web-1",
        "prediction_type": kind,
        "risk_score": 90.0 if kind else 0.0,
        "confidence": 0.9,
        "facts": (AWAIT,),
        "window_from": AT - timedelta(hours=1),
        "window_to": AT,
        "began_at": AT - timedelta(minutes=2),
        "is_hard_rule": False,
        "warming_up": False,
    }
    return Evidence(**usual | fields)


def neighbours(count: int) -> tuple[Neighbour, ...]:
    kind = PredictionType.FAIL_SLOW
    return tuple(
        Neighbour(stream_id=f"web-1:sd{each}", risk_score=85, prediction_type=kind) for each in "bcdef"[:count]
    )


def earlier(verdict: Verdict | None = None, text: str | None = None, kind: PredictionType | None = None) -> Earlier:
    return Earlier(
        insight_id="01",
        created_at=AT - timedelta(days=1),
        risk_score=84.5,
        verdict=verdict,
        text=text,
        prediction_type=kind,
    )


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_the_words_for_golden_evidence_pass_every_check(record: Record) -> None:
    words = explain(record.evidence)

    assert problems_of(record.evidence, words) == {}
    for fact in record.evidence.facts[:3]:
        assert fact.sentence in words.explanation
    assert explain(record.evidence) == words


def test_the_golden_evidence_has_every_type_and_every_verdict() -> None:
    evidences = [record.evidence for record in RECORDS]

    assert len(RECORDS) == 30
    assert {each.prediction_type for each in evidences} == {*DISK_TROUBLES, None}
    assert set(TEMPLATES) == {*PredictionType, None}
    assert {each.earlier.verdict for each in evidences if each.earlier} == {*Verdict, None}
    assert {len(each.neighbours) for each in evidences} >= {0, 1, 5}
    assert any(each.warming_up and each.prediction_type is PredictionType.FAIL_SLOW for each in evidences)
    assert any(each.prediction_type and each.risk_score < 60 for each in evidences)


@pytest.mark.parametrize(
    ("ill", "peers", "is_host"),
    [(1, 5, False), (2, 5, False), (3, 5, True), (1, 1, True), (5, 40, True), (2, None, True)],
)
def test_where_half_of_the_peers_are_ill_too_the_host_comes_first(ill: int, peers: int | None, is_host: bool) -> None:
    words = explain(an_evidence(neighbours=neighbours(ill), peers=peers))

    assert words.recommendations[0].startswith("Look at the host") is is_host


def test_a_throttled_volume_is_not_the_hosts_fault() -> None:
    words = explain(an_evidence(PredictionType.THROUGHPUT_THROTTLING, neighbours=neighbours(5), peers=5))

    assert words.recommendations[0].startswith("Raise the provisioned IOPS")
    assert (
        "All 5 of its peers are ill at the same time, the worst: web-1:sdb (fail slow, risk 85)." in words.explanation
    )


def test_more_ill_peers_than_are_named_are_counted_as_at_least_so_many() -> None:
    assert "At least 5 of its 40 peers are ill" in explain(an_evidence(neighbours=neighbours(5), peers=40)).explanation


def test_what_an_operator_said_is_quoted_short_and_without_tricks() -> None:
    words = explain(an_evidence(earlier=earlier(Verdict.DISMISS, 'It "is"\u202e\x1b[2J\nplanned.' + " x" * 500)))

    assert "at 2026-11-22" in words.explanation
    assert """was dismissed by an operator: "It 'is'[2J planned. x x""" in words.explanation
    assert words.explanation.isprintable()
    assert len(words.explanation) < 500
    assert words.recommendations[-1].startswith("Dismiss it again")


def test_the_cause_that_an_operator_found_the_last_time_is_looked_for_first() -> None:
    words = explain(an_evidence(earlier=earlier(Verdict.WRONG_CAUSE, kind=PredictionType.IO_ERRORS)))

    assert words.recommendations[0] == "Look for I/O errors first: an operator found it the last time."


def test_doubt_is_said() -> None:
    words = explain(an_evidence(confidence=0.21, warming_up=True))

    assert "Confidence is low (0.21)" in words.explanation
    assert "warming up" in words.explanation


def test_the_limit_is_named_where_demand_or_slowness_may_come_of_it() -> None:
    limit = "It is provisioned for 3000 IOPS."
    saturated = an_evidence(PredictionType.RESOURCE_SATURATION, provisioned_iops=3000.0)

    assert limit in explain(saturated).explanation
    assert limit not in explain(an_evidence(PredictionType.IO_ERRORS, provisioned_iops=3000.0)).explanation


def test_slow_without_trouble_is_not_called_fast() -> None:
    slow = AWAIT.model_copy(update={"baseline": 0.3})

    assert "It is slower than usual" in explain(an_evidence(None, facts=(slow,))).explanation
    assert "slower" not in explain(an_evidence(None)).explanation


def test_what_has_no_room_is_left_out_and_the_facts_stay() -> None:
    facts = tuple(AWAIT.model_copy(update={"sentence": f"{number} " + "x" * 190}) for number in range(3))
    words = explain(an_evidence(facts=facts, peers=5, earlier=earlier(Verdict.DISMISS, "y" * 200)))

    assert len(words.explanation) <= 700
    assert all(fact.sentence in words.explanation for fact in facts)


def test_a_recovery_names_what_has_ended() -> None:
    words = explain_recovery(an_evidence(PredictionType.IO_ERRORS, facts=()))

    assert words[:2] == (f"{DISK} has recovered", "What was reported as I/O errors is no longer seen.")


@pytest.mark.parametrize("name", ["\x00\u202e", " ", "\ud800", "a" * 10_000, "مرحبا", '"<b>\r\n'])
def test_any_name_makes_a_title_of_one_printable_line(name: str) -> None:
    assert shown(name)
    assert explain(an_evidence(stream_id=name)).title.isprintable()
    assert len(shown(name)) <= 80


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("names_stream", {"title": "A disk is slow"}),
        ("tells_facts", {"explanation": "Its await is high."}),
        ("tells_facts", {"explanation": "Its await is 8.1 B/s."}),
        ("invents_nothing", {"explanation": "Its await is 8.1 ms, and was 4242 ms."}),
        ("invents_nothing", {"recommendations": ("Drain it within 17 min.", "Replace it.")}),
        ("one_next_step", {"recommendations": ("Drain it. Replace it.", "Wait.")}),
        ("one_next_step", {"recommendations": ("Drain it.",)}),
        ("is_short", {"explanation": "Its await is 8.1 ms. " * 40}),
        ("is_printable", {"title": f"{DISK}\nis slow"}),
        ("is_printable", {"explanation": "Its await is 8.1 ms\u202e."}),
    ],
)
def test_each_check_finds_what_it_is_for(check: str, changes: dict[str, Any]) -> None:
    assert problems_of(an_evidence(), GOOD) == {}
    assert list(problems_of(an_evidence(), GOOD._replace(**changes))) == [check]


async def test_the_bench_counts_what_passed_and_says_what_failed() -> None:
    async def tell(evidence: Evidence) -> Told:
        if evidence.stream_id == "web-1:sdb":
            return Told(None, "objected: 4242 is not in the evidence", 900, 100, 0.001)
        return Told(GOOD._replace(title="A disk is slow"), None, 900, 100, 0.001)

    records = [Record("one", an_evidence()), Record("two", an_evidence(stream_id="web-1:sdb"))]
    figures = await measure(records, tell, lambda: 0.0)

    assert (figures["answered"], figures["tokens_in"], figures["cost_usd"]) == (1, 1_800, 0.002)
    assert figures["checks"]["names_stream"] == {"passed": 0, "failed": 1}
    assert figures["checks"]["tells_facts"] == {"passed": 1, "failed": 0}
    assert [failure["check"] for failure in figures["failures"]] == ["names_stream", "answered"]
    assert "FAILED two: answered: objected: 4242 is not in the evidence" in list(lines_of(figures))


async def test_the_template_passes_the_bench() -> None:
    figures = await measure(RECORDS, tell_by_template, lambda: 0.0)

    assert {check: figures["checks"][check]["passed"] for check in CHECKS} == dict.fromkeys(CHECKS, 30)
