"""The first API keys of a table: an agent's, that of whoever works in this folder, and one for Grafana."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from iops import contract, items
from iops.audit import Deed, DeedKind
from iops.auth import Role
from iops.errors import Conflict, Unavailable, UnusableFile
from iops.keys import ApiKey, RandomBytes, digest_of, keep, key_id_of, new_key, new_key_id
from iops.peppers import Peppers
from iops.private_file import read_private, write_private
from iops.secrets import FileSource, SecretUnread, parse_document
from iops.table import Table, readable
from iops.witness import deed_beside
from local.errors import SetupFailed

MAKER = "iops up"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where they lie."""

    agent: Path
    operator: Path
    viewer: Path | None = None  # what Grafana reads with; None where none runs


async def read_peppers(path: Path) -> Peppers:
    """Those of the secrets file. Raises SetupFailed."""
    try:
        return parse_document(await FileSource(path, contract.PEPPER_SECRETS).read(), Peppers)
    except SecretUnread as error:
        raise SetupFailed(error.detail) from error


async def make_keys(
    table: Table, peppers: Peppers, files: KeyFiles, now: datetime, random_bytes: RandomBytes, *, maker: str = MAKER
) -> None:
    """Makes each that is not there, or that the table does not know any more. Raises SetupFailed."""
    wanted = [(files.agent, "local-agent", Role.AGENT), (files.operator, "local-operator", Role.ADMIN)]
    if files.viewer:
        wanted.append((files.viewer, "local-viewer", Role.VIEWER))
    try:
        for path, name, role in wanted:
            if await _holds(table, peppers, path, role, now=now):
                continue
            path.unlink(missing_ok=True)
            key_id = new_key_id(random_bytes)
            key = new_key(key_id, random_bytes)
            kept = keep(key.encode(), peppers.current)
            row = ApiKey(key_id=key_id, name=name, role=role, secrets=(kept,), created_at=now, created_by=maker)
            write_private(path, key)  # first: a row without its file would be a key that nobody has
            await table.transact([{"Put": items.api_key_put(row, replaces=None)}, {"Put": items.deed_put(_deed(row))}])
    except (UnusableFile, Unavailable, Conflict) as error:
        raise SetupFailed(error.detail) from error


async def _holds(table: Table, peppers: Peppers, path: Path, role: Role, *, now: datetime) -> bool:
    """Whether the key of the file is good. Raises UnusableFile: who else could read it, nobody knows."""
    key = _read(path)
    key_id = key_id_of(key)
    row = await table.get(items.api_key_key(key_id)) if key_id else None
    for kept in readable([row] if row else [], items.item_to_api_key):
        digests = [
            (digest_of(key, pepper), bytes.fromhex(secret.digest))
            for secret in kept.held(now)
            if (pepper := peppers.of(secret.pepper_id))
        ]
        return kept.role is role and any(hmac.compare_digest(ours, theirs) for ours, theirs in digests)
    return False


def _read(path: Path) -> bytes:
    return read_private(path).encode() if path.exists() else b""


def _deed(key: ApiKey) -> Deed:
    detail = {"name": key.name, "role": key.role, "streams": " ".join(key.streams)}
    return deed_beside(key.created_by, DeedKind.KEY_CREATED, about=key.key_id, now=key.created_at, detail=detail)
