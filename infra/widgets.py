"""The parts of a CloudWatch dashboard: charts of metrics and texts, laid out from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pulumi

from infra.metric import Metric

COLUMNS: Final = 24  # of CloudWatch's grid
HEIGHT: Final = 6
PER_ROW: Final = 3
PERIOD_S: Final = 300

Widget = dict[str, Any]


def chart(
    title: str,
    metrics: Mapping[str, Metric],
    region: str,
    *,
    lines: Mapping[str, float] | None = None,
    expressions: Mapping[str, str] | None = None,
    period_s: int = PERIOD_S,
) -> Widget:
    """`metrics` by the words beside their line; `lines` are levels to compare with.

    With `expressions`, by their words, only those are drawn; in them the metrics are m1, m2 and so on.
    """
    shown: list[list[Any]] = [[{"expression": each, "label": label}] for label, each in (expressions or {}).items()]
    for number, (label, metric) in enumerate(metrics.items(), 1):
        told = {"id": f"m{number}", "label": label, "stat": metric.statistic, "visible": not expressions}
        shown.append([metric.namespace, metric.name, *_flat(metric.dimensions), told])
    properties: dict[str, Any] = {
        "title": title,
        "view": "timeSeries",
        "region": region,
        "period": period_s,
        "metrics": shown,
        "yAxis": {"left": {"min": 0}},
    }
    if lines:
        levels = [{"label": label, "value": value} for label, value in lines.items()]
        properties["annotations"] = {"horizontal": levels}
    return {"type": "metric", "properties": properties}


def text(markdown: str) -> Widget:
    """Words."""
    return {"type": "text", "properties": {"markdown": markdown}}


def states(title: str, alarm_arns: Sequence[pulumi.Input[str]]) -> Widget:
    """Which alarms are red."""
    return {"type": "alarm", "properties": {"title": title, "alarms": list(alarm_arns)}}


def laid_out(widgets: Sequence[Widget]) -> dict[str, Any]:
    """The dashboard's body: three in a row."""
    width = COLUMNS // PER_ROW
    placed = [
        {"x": index % PER_ROW * width, "y": index // PER_ROW * HEIGHT, "width": width, "height": HEIGHT} | widget
        for index, widget in enumerate(widgets)
    ]
    return {"start": "-PT6H", "widgets": placed}


def _flat(dimensions: Mapping[str, pulumi.Input[str]]) -> list[pulumi.Input[str]]:
    return [part for pair in dimensions.items() for part in pair]
