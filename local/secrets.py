"""The secrets file of one laptop."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from iops import contract
from iops.peppers import first_peppers


def make_secrets(path: Path, now: datetime, random_bytes: Callable[[int], bytes]) -> None:
    """Unless it is there: a pepper, and the other documents empty. Only its owner can read it, from its first byte on.

    Written beside and then renamed, so that it is whole; the lock of the folder keeps a second writer away.
    """
    if os.path.lexists(path):
        return
    documents = {
        contract.PEPPER_SECRETS: first_peppers(now, random_bytes).reveal(),
        contract.INSIGHTS_SECRETS: {"openai_api_key": None},
        contract.ALERTS_SECRETS: {"webhooks": {}},
    }
    draft = path.with_suffix(".json.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(documents, indent=2) + "\n")
    draft.rename(path)
