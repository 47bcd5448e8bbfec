"""What people see of the model's card, and that the card that ships says it."""

from iops.model import CARD_FILE, Card
from services.insights.card import view_model
from services.insights.settings import MODEL_DIR
from tests.unit.tiny_model import VERSION, a_card

AT_RISK = ("false_pages_a_day", "found_ratio")


def test_the_card_that_ships_says_what_the_model_is_worth_beside_what_needs_none() -> None:
    view = view_model(Card.model_validate_json((MODEL_DIR / CARD_FILE).read_bytes()))

    assert view.trained_on == "12 machines of the Server Machine Dataset and 20,000 simulated windows"
    assert [(each.data, each.baseline) for each in view.worth] == [
        ("incidents of server disks", "robust z, 24 h"),
        ("drives that turned slow", "10th percentile of that ratio"),
    ]
    assert [round(each.auc_pr.value, 3) for each in view.worth] == [0.442, 0.998]
    assert [round(each.baseline_auc_pr.value, 3) for each in view.worth] == [0.308, 0.977]
    assert [(each.risk_score, round(each.false_pages_a_day.value, 2)) for each in view.at_risk] == [
        (80, 0.11),
        (60, 0.5),
    ]
    assert [round(each.found_ratio.value, 2) for each in view.at_risk] == [0.46, 0.75]


def test_a_card_that_says_less_is_shown_with_its_version_only() -> None:
    view = view_model(Card.model_validate(a_card(facts={"metrics": {"disks": []}})))

    assert (view.version, view.trained_on, view.worth, view.at_risk) == (VERSION, None, [], [])
