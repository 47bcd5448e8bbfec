"""What a command proves itself with, and to whom: an API key, or the token of a person who signed in.

The first there is of: IOPS_API_KEY; the file that IOPS_API_KEY_FILE names; what `iops login` kept for that origin; the
key that a running `iops up` made for its own. None of them is shown, and none is sent to another origin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import httpx

from cli.outcome import Refused
from cli.settings import CliSettings
from iops.errors import UnusableFile
from iops.private_file import read_private

KEY_BEGINNING: Final = "iops_"
KEPT: Final = "credentials.json"  # in the user's config directory: {origin: credential}
FACTS: Final = "up.json"  # of a running `iops up`, beside its key
OPERATOR_FILE: Final = "operator.token"
STATE_DIR: Final = ".local"
CLONE: Final = Path(__file__).parents[1]


def credential_for(url: str) -> str | None:
    """For requests to `url`; None where there is none. Raises Refused for a file that cannot be used."""
    settings = CliSettings()
    if settings.api_key is not None and settings.api_key.get_secret_value():
        return settings.api_key.get_secret_value().strip()
    origin = origin_of(url)
    try:
        if settings.api_key_file is not None:
            return read_private(settings.api_key_file)
        kept = kept_for(origin, settings.config_dir / KEPT)
        return kept or local_for(origin, dict.fromkeys((Path.cwd() / STATE_DIR, CLONE / STATE_DIR)))
    except UnusableFile as error:
        raise Refused(error.detail) from error


def kept_for(origin: str, path: Path) -> str | None:
    """What `iops login` kept for the origin."""
    if not path.exists():
        return None
    try:
        kept: object = json.loads(read_private(path))
    except ValueError:
        return None  # the next sign-in writes it anew
    found = kept.get(origin) if isinstance(kept, dict) else None
    return found if isinstance(found, str) and found else None


def local_for(origin: str, state_dirs: Iterable[Path]) -> str | None:
    """The key beside the up.json that announces the origin."""
    for state_dir in state_dirs:
        if _announced(state_dir / FACTS) == origin and (state_dir / OPERATOR_FILE).exists():
            return read_private(state_dir / OPERATOR_FILE)
    return None


def origin_of(url: str) -> str:
    """Scheme, host and port, as they are compared.

    >>> origin_of("HTTPS://Iops.example.com:443/keys"), origin_of("http://127.0.0.1:8080")
    ('https://iops.example.com', 'http://127.0.0.1:8080')
    """
    parsed = httpx.URL(url)
    again = httpx.URL(f"{parsed.scheme}://{parsed.netloc.decode()}")  # it knows 443 for https's own, not for HTTPS's
    return f"{again.scheme}://{again.netloc.decode()}"


def _announced(path: Path) -> str | None:
    try:
        facts: object = json.loads(path.read_text())
        url = facts.get("url") if isinstance(facts, dict) else None
        return origin_of(url) if isinstance(url, str) else None
    except (OSError, ValueError, httpx.InvalidURL):
        return None
