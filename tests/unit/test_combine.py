"""Who is right of the two: the rules of what they know for certain, the model of the rest."""

from typing import Any

import pytest

from iops.insight import Fact, Finding, PredictionType
from services.insights.combine import combine

OURS = Fact(name="rule", value=1, unit="", sentence="a rule says so")
THEIRS = Fact(name="model", value=1, unit="", sentence="the model says so")


def by_rules(risk_score: float, kind: PredictionType | None, **fields: Any) -> Finding:
    return Finding(risk_score=risk_score, prediction_type=kind, facts=(OURS,), **fields)


def by_model(risk_score: float, **fields: Any) -> Finding:
    kind = PredictionType.ANOMALY if risk_score else None
    return Finding(risk_score=risk_score, prediction_type=kind, facts=(THEIRS,), scored_by="local", **fields)


@pytest.mark.parametrize("kind", [PredictionType.STALL, PredictionType.IO_ERRORS])
def test_no_model_outvotes_a_hard_rule(kind: PredictionType) -> None:
    rules = by_rules(92.0, kind, is_hard_rule=True)
    assert combine(rules, by_model(0.0)) == rules
    assert combine(rules, by_model(100.0)) == rules


@pytest.mark.parametrize("risk_score", [0.0, 85.0])
def test_a_stream_without_history_belongs_to_the_rules(risk_score: float) -> None:
    rules = by_rules(risk_score, PredictionType.FAIL_SLOW if risk_score else None, warming_up=True)
    assert combine(rules, by_model(100.0)) == rules


@pytest.mark.parametrize("kind", [PredictionType.FAIL_SLOW, PredictionType.THROUGHPUT_THROTTLING])
def test_what_is_measured_from_outside_stands_where_the_model_is_less_sure(kind: PredictionType) -> None:
    rules = by_rules(90.0, kind)
    assert combine(rules, by_model(70.0)) == rules
    assert combine(rules, by_model(0.0)) == rules


def test_a_surer_model_keeps_the_name_and_the_facts_of_what_was_measured() -> None:
    found = combine(by_rules(70.0, PredictionType.FAIL_SLOW), by_model(95.0, confidence=0.8))

    assert (found.risk_score, found.prediction_type, found.facts) == (95.0, PredictionType.FAIL_SLOW, (OURS,))
    assert (found.scored_by, found.confidence) == ("local", 0.8)


@pytest.mark.parametrize(
    "rules",
    [
        by_rules(0.0, None),
        by_rules(98.0, PredictionType.PERFORMANCE_DEGRADATION),
        by_rules(79.0, PredictionType.LATENCY_SPIKE),
        by_rules(55.0, PredictionType.RESOURCE_SATURATION),
        by_rules(55.0, PredictionType.THROUGHPUT_THROTTLING),  # at its limit, and nobody waits for it
        by_rules(59.9, PredictionType.FAIL_SLOW),
    ],
)
@pytest.mark.parametrize("risk_score", [0.0, 85.0])
def test_all_else_is_the_models(rules: Finding, risk_score: float) -> None:
    assert combine(rules, by_model(risk_score)) == by_model(risk_score)


@pytest.mark.parametrize(
    "rules",
    [
        by_rules(92.0, PredictionType.STALL, is_hard_rule=True),
        by_rules(0.0, None, warming_up=True),
        by_rules(90.0, PredictionType.FAIL_SLOW),
        by_rules(0.0, None),
    ],
)
def test_who_did_not_answer_is_told_whoever_is_right(rules: Finding) -> None:
    found = combine(rules, by_model(70.0, asked_before=("sagemaker: timed_out",)))
    assert found.asked_before == ("sagemaker: timed_out",)
