"""Every route says who may call it, lets just those in, and docs/security.md says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from iops.auth import Role
from tests.openapi import FOLDER, SERVICES
from tests.unit.behind_gates import guarded, operations

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "security.md"
CALLERS: Final = ("nobody", *Role)
ROW: Final = re.compile(r"^\| `([A-Z]+ /\S*)` \| (\w+) \| (.+) \|$", re.MULTILINE)
ANSWERS: Final = {
    "public": ("in", "in", "in", "in", "in"),
    "agent": ("401", "in", "403", "403", "in"),
    "viewer": ("401", "403", "in", "in", "in"),
    "operator": ("401", "403", "403", "in", "in"),
    "admin": ("401", "403", "403", "403", "in"),
}
OPERATIONS: Final = sorted(set(operations()))


def told() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The table of the document: what an operation needs, and what it answers nobody and each role."""
    return {name: (needs, tuple(answers.split(" | "))) for name, needs, answers in ROW.findall(DOCUMENT.read_text())}


def answer_of(response: httpx.Response) -> str:
    """As the table has it."""
    is_sent_to_sign_in = response.headers.get("location", "").startswith("/session/sign-in?")
    return str(response.status_code) if response.status_code in (401, 403) or is_sent_to_sign_in else "in"


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_of_the_committed_documents_says_its_role(service: str) -> None:
    document = json.loads((FOLDER / f"{service}.json").read_text())
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("x-role") in ("public", *Role), f"{method} {path}"
            assert bool(operation["security"]) == (operation["x-role"] != "public"), f"{method} {path}"


def test_the_table_has_every_route_and_no_other() -> None:
    asked = {f"{method} {path}": role for _, method, path, role in OPERATIONS}
    rows = [f"| `{name}` | {role} | {' | '.join(ANSWERS[role])} |" for name, role in sorted(asked.items())]
    listed = told()

    assert {name: needs for name, (needs, _) in listed.items()} == asked, "it should be\n" + "\n".join(rows)
    for name, (needs, answers) in listed.items():  # a page sends nobody to sign in, with a 303
        assert (answers[0].replace("303", "401"), *answers[1:]) == ANSWERS[needs], name


@pytest.mark.parametrize(("service", "method", "path"), [operation[:3] for operation in OPERATIONS])
async def test_each_caller_is_answered_as_the_table_says(service: str, method: str, path: str) -> None:
    guard, answers = guarded(service), []
    for caller in CALLERS:
        headers = [] if caller == "nobody" else [("x-api-key", guard.ring.add(Role(caller)))]
        before = guard.behind.calls
        response = await guard.ask(method, re.sub(r"\{\w+\}", "01JDABC", path), *headers, content=b"")
        answers.append(answer_of(response))
        assert response.status_code < 500, caller
        assert answers[-1] == "in" or guard.behind.calls == before, "something was done for who may not"

    assert tuple(answers) == told()[f"{method} {path}"][1]
