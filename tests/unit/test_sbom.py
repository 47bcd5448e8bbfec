"""What an SBOM lists, and that it is valid, the same each time, and holds no address."""

import json
import re
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.pins import FOLDER
from tests.sbom import PROGRAMS, document_of


def read(program: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(document_of(program))
    return document


def test_the_sbom_of_ingest_lists_exactly_its_pins_with_their_hashes() -> None:
    text = (FOLDER / "ingest.txt").read_text()
    pinned = {}
    for block in re.split(r"\n(?=\w)", text):  # another reading of the file than the one under test
        name, version = re.match(r"([\w.-]+)==(\S+)", block).groups()  # type: ignore[union-attr]
        pinned[f"pkg:pypi/{name}@{version}"] = set(re.findall(r"sha256:(\w+)", block))

    listed = {part["purl"]: {each["content"] for each in part["hashes"]} for part in read("ingest")["components"]}

    assert len(pinned) == text.count("==") - text.count("== ") > 40
    assert listed == pinned


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_sbom_is_valid_and_without_an_address(program: str) -> None:
    document = document_of(program)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    assert re.findall(r"\w+://[^\"]+", document) == ["http://cyclonedx.org/schema/bom-1.6.schema.json"]


def test_an_sbom_is_the_same_each_time() -> None:
    assert document_of("agent") == document_of("agent")


def test_licences_and_the_graph_are_told() -> None:
    document = read("agent")
    licences = {part["name"]: part.get("licenses") for part in document["components"]}
    wanted = {each["ref"].split("@")[0]: each.get("dependsOn", []) for each in document["dependencies"]}

    assert licences["httpx"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert {part.split("@")[0] for part in wanted["pkg:pypi/httpx"]} == {
        "pkg:pypi/anyio",
        "pkg:pypi/certifi",
        "pkg:pypi/httpcore",
        "pkg:pypi/idna",
    }
    assert "pkg:pypi/pydantic" in {part.split("@")[0] for part in wanted["agent"]}


def test_what_pages_load_is_listed_and_what_only_their_tests_use_is_not() -> None:
    parts = {part["purl"] for part in json.loads(document_of("insights"))["components"]}

    assert {purl.partition("@")[0] for purl in parts if purl.startswith("pkg:npm/")} == {
        "pkg:npm/htmx.org",
        "pkg:npm/uplot",
    }
