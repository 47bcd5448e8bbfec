"""docs/architecture.md names only what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from iops import contract

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACT: Final = {value for value in vars(contract).values() if isinstance(value, str)}
COMMANDS: Final = ("make check", "iops alerts redrive", "PATH_RULES")
SETTINGS: Final = ("egress", "ipv6", "public-ipv4", "nat")


def routes() -> set[str]:
    """Every path of every service, with its method and without."""
    found = {pattern.removesuffix("/*") for pattern, _ in contract.PATH_RULES}
    for document in (ROOT / "docs" / "openapi").glob("*.json"):
        for path, methods in json.loads(document.read_text(encoding="utf-8"))["paths"].items():
            found |= {path, *(f"{method.upper()} {path}" for method in methods)}
    return found


def names() -> Iterator[str]:
    """What stands in backticks, and the names of ours in the drawing."""
    drawing = TEXT.split("```")[1]
    yield from re.findall(r"`([^`\n]+)`", TEXT.replace("```", ""))
    yield from re.findall(r"iops-dashboard-[a-z-]+[a-z]", TEXT)
    yield from re.findall(r"\b(?:services|iops|local|infra|agent)/[a-z_]*(?:\.py)?", TEXT)
    yield from re.findall(r"(?:POST|GET) /[a-z0-9/]+", drawing)
    yield from re.findall(r", (/[a-z/]+)", drawing)


def is_there(name: str, known: set[str]) -> bool:
    return (
        name in known
        or name in CONTRACT
        or name in COMMANDS
        or name in SETTINGS
        or ("/" in name or "." in name or name.isalpha())
        and (ROOT / name).exists()
    )


@pytest.mark.parametrize("name", sorted(set(names())))
def test_every_name_in_the_architecture_exists(name: str) -> None:
    known = routes() | {"/internal/metrics"}

    assert is_there(name, known), f"{name} is neither a file, a route, nor a name of the contract"


def test_every_queue_the_table_the_bus_and_the_topic_are_drawn() -> None:
    drawing = TEXT.split("```")[1]
    ours = {name for name in CONTRACT if name.startswith("iops-dashboard-")}

    assert {name for name in ours if name not in drawing} == set()


