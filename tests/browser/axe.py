"""What axe-core, the common judge of accessibility, finds in a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

SCRIPT: Final = Path("services/insights/pages/node_modules/axe-core/axe.min.js")
RUN: Final = """async () => (await axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] })).violations"""
GRAVE: Final = ("serious", "critical")


def violations(page: Page) -> list[str]:
    """Each grave one with the rule, what it says, and the elements. The script is evaluated: no policy stands in the
    way of a debugger."""
    page.evaluate(_script())
    found: list[dict[str, Any]] = page.evaluate(RUN)
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: " + "; ".join(_where(node) for node in each["nodes"][:5])
        for each in found
        if each["impact"] in GRAVE
    ]


def _where(node: dict[str, Any]) -> str:
    return f"{node['target'][0]} {node['failureSummary'].splitlines()[-1].strip()}"


@cache
def _script() -> str:
    path = Path(__file__).parents[2] / SCRIPT
    if not path.exists():
        pytest.skip(f"axe-core is not here ({SCRIPT}): make setup, with npm")
    return path.read_text()
