"""One finding of two: what the rules know for certain stands, the model decides the rest."""

from typing import Final

from iops.contract import INSIGHT_RISK_SCORE
from iops.insight import Finding, PredictionType

# Slowness that is measured against something outside of the disk's own past, its peers or the limit it was bought with:
# a rule that says so is right without a model.
MEASURED_OUTSIDE: Final = frozenset({PredictionType.FAIL_SLOW, PredictionType.THROUGHPUT_THROTTLING})


def combine(by_rules: Finding, by_model: Finding) -> Finding:
    """The finding that counts.

    Errors, stalls and streams without history belong to the rules; slowness beside peers, or at the limit, to whoever
    is surer; everything else to the model. Who was asked and did not answer is told whoever is right.
    """
    by_rules = by_rules.model_copy(update={"asked_before": by_model.asked_before})
    if by_rules.is_hard_rule or by_rules.warming_up:
        return by_rules
    is_outside = by_rules.prediction_type in MEASURED_OUTSIDE and by_rules.risk_score >= INSIGHT_RISK_SCORE
    if not is_outside:
        return by_model
    if by_rules.risk_score >= by_model.risk_score:
        return by_rules
    return by_model.model_copy(update={"prediction_type": by_rules.prediction_type, "facts": by_rules.facts})
