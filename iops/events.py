"""An insight on the event bus: the entry, the rule that reaches people, and the text they get."""

import json
import re
from typing import Any, Final

from iops import contract
from iops.alert import Event
from iops.clock import to_epoch_ms
from iops.insight import Insight
from iops.telemetry import instant_to_text

SOURCE: Final = "iops.insights"
DETAIL_TYPE: Final = "Insight"
CANARY_DETAIL_TYPE: Final = "Canary"
CANARY_TITLE: Final = re.compile(r"Canary \d{4}-\d\d-\d\d: alerting works")
MAIL_FACTS: Final = 3


def insight_to_entry(insight: Insight, *, alert_url: str) -> dict[str, Any]:
    """The PutEvents entry of an insight; `alert_url` is where a person reads on.

    `detail` is the insight itself plus `mail`, the single lines that the rule's input transformer places.
    """
    detail = insight.model_dump(mode="json") | {"mail": _mail_lines(insight, alert_url)}
    return {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail, separators=(",", ":"), allow_nan=False),
        "EventBusName": contract.EVENT_BUS,
        "Time": insight.created_at,
    }


def canary_to_entry(event: Event, *, url: str) -> dict[str, Any]:
    """The PutEvents entry of the daily canary, which the one rule lets through as if it were an alert."""
    lines = {
        "title": f"Canary {event.at:%Y-%m-%d}: alerting works. Nothing is wrong, and there is nothing to do.",
        "risk": f"{contract.PAGE_RISK_SCORE} (canary; no disk has it)",
        "where": "no stream: this mail is sent once a day through the whole path of an alert",
        "since": instant_to_text(to_epoch_ms(event.at)),
        **dict.fromkeys((f"fact_{number}" for number in range(1, MAIL_FACTS + 1)), "-"),
        "next_step": "None. On a day without this mail look at the alerts service and the dead letters.",
        "url": url,
    }
    detail = {"event_id": event.event_id, "risk_score": contract.PAGE_RISK_SCORE, "mail": lines}
    return {
        "Source": SOURCE,
        "DetailType": CANARY_DETAIL_TYPE,
        "Detail": json.dumps(detail, separators=(",", ":"), allow_nan=False),
        "EventBusName": contract.EVENT_BUS,
        "Time": event.at,
    }


def is_canary(message: str) -> bool:
    """Whether what the topic delivered is a canary, in SNS's envelope or bare.

    A stream that is called like one deceives nobody: its mail, too, came all the way.
    """
    return CANARY_TITLE.search(message) is not None


def rule_pattern() -> dict[str, Any]:
    """Which events reach people."""
    return {
        "source": [SOURCE],
        "detail-type": [DETAIL_TYPE, CANARY_DETAIL_TYPE],
        "detail": {"risk_score": [{"numeric": [">=", contract.PAGE_RISK_SCORE]}]},
    }


def mail_transformer() -> dict[str, Any]:
    """The rule target's input transformer: a short text for a person.

    EventBridge takes several lines only as quoted strings and escapes nothing, so each line is one quoted string and
    `_mail_lines` leaves neither quotes nor backslashes in what it places there.
    """
    lines = {
        "title": "<title>",
        "risk": "Risk: <risk> of 100",
        "where": "Where: <where>",
        "since": "Since: <since>",
        **{f"fact_{number}": f"<fact_{number}>" for number in range(1, MAIL_FACTS + 1)},
        "next_step": "Next step: <next_step>",
        "url": "<url>",
    }
    return {
        "InputPathsMap": {name: f"$.detail.mail.{name}" for name in lines},
        "InputTemplate": "\n".join(f'"{text}"' for text in lines.values()),
    }


def _mail_lines(insight: Insight, alert_url: str) -> dict[str, str]:
    facts = [fact.sentence for fact in insight.facts[:MAIL_FACTS]]
    facts += ["-"] * (MAIL_FACTS - len(facts))
    lines = {
        "title": insight.title,
        "risk": f"{insight.risk_score:g} ({insight.prediction_type})",
        "where": f"{insight.stream_id} in peer group {insight.peer_group}",
        "since": instant_to_text(to_epoch_ms(insight.began_at)),
        **{f"fact_{number}": sentence for number, sentence in enumerate(facts, start=1)},
        "next_step": insight.recommendations[0],
        "url": alert_url,
    }
    return {name: _one_quotable_line(text) for name, text in lines.items()}


def _one_quotable_line(text: str) -> str:
    """Printable text without what would break a quoted line, at most 400 characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.replace('"', "'").replace("\\", "/").replace("<", "(").replace(">", ")")[:400]
