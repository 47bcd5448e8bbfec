"""Secrets as tests need them: a file that services start with, and a holder that a test rotates."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from iops import contract
from iops.observability import Metrics
from iops.peppers import Peppers
from iops.secrets import Document, Secret

PEPPER_ID: Final = "2026-11-a1b2c3"
PEPPERS: Final = {"peppers": [{"id": PEPPER_ID, "value": "cGVwcGVy" * 5 + "cGU="}]}  # "pepperpepper..." of 32 bytes


def write_secrets(path: Path, documents: Mapping[str, Any] | None = None) -> Path:
    """A file with a pepper, no other secret but in these `documents` by their names; only its owner can read it."""
    draft = path.with_suffix(".part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({contract.PEPPER_SECRETS: PEPPERS, contract.INSIGHTS_SECRETS: {}} | dict(documents or {}), file)
    draft.replace(path)  # at once: services may be reading it
    return path


def the_peppers() -> Peppers:
    """Those of the file."""
    return Peppers.model_validate_json(json.dumps(PEPPERS))


def a_secret(document: Document) -> Secret[Document]:
    """Holds it; a test sets `current` where it rotates."""

    async def read() -> Document:
        return document

    return Secret("of-a-test", document, read, Metrics(), interval_s=60)
