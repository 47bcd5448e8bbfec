"""The keys that `iops login` was given, one for each server, where only their owner can read them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cli.credentials import KEPT, kept_for, origin_of
from cli.outcome import Refused
from cli.settings import CliSettings
from iops.errors import UnusableFile
from iops.private_file import read_private, write_private


def kept(url: str) -> str | None:
    """The key for `url`; None where there is none. Raises Refused for a file that cannot be used."""
    try:
        return kept_for(origin_of(url), _path())
    except UnusableFile as error:
        raise Refused(error.detail) from error


def keep(url: str, key: str) -> None:
    """Remembers the key, instead of one that was there. Raises Refused."""
    _write({**_read(), origin_of(url): key})


def forget(url: str) -> None:
    """It is as if there never was one. Raises Refused."""
    _write({origin: key for origin, key in _read().items() if origin != origin_of(url)})


def _read() -> dict[str, str]:
    path = _path()
    if not path.exists():
        return {}
    try:
        found: object = json.loads(read_private(path))
    except ValueError:
        return {}  # nobody can use what is broken
    except UnusableFile as error:
        raise Refused(error.detail) from error
    return (
        {str(origin): key for origin, key in found.items() if isinstance(key, str)} if isinstance(found, dict) else {}
    )


def _write(kept_keys: dict[str, str]) -> None:
    """Whole or not at all: a reader never meets half a file."""
    path = _path()
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)  # of a process of this number that died half-way
        write_private(fresh, json.dumps(kept_keys))
        fresh.replace(path)
    except UnusableFile as error:
        raise Refused(error.detail) from error
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}") from error


def _path() -> Path:
    return CliSettings().config_dir / KEPT
