"""Keys, peppers and rings as tests need them: made in order instead of at random, read from a fake table."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.types import Scope

from iops import items
from iops.auth import Role
from iops.gate import Gate, Nobody, Tokens
from iops.keyring import KeyRing
from iops.keys import ApiKey, keep, new_key, new_key_id
from iops.peppers import Pepper, PepperEntry, Peppers
from tests.unit.builders import AT
from tests.unit.fakes import FakeTable

OLD, NEW = Pepper("p-old", b"o" * 32), Pepper("p-new", b"n" * 32)


def peppers_of(*peppers: Pepper) -> Peppers:
    """The document that has them, the last one current."""
    values = [(each.id, urlsafe_b64encode(each.value).decode()) for each in peppers]
    return Peppers(peppers=tuple(PepperEntry(id=pepper_id, value=SecretStr(value)) for pepper_id, value in values))


class Numbered:
    """Bytes that differ each time and are the same in each run."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self, length: int) -> bytes:
        return next(self._numbers).to_bytes(length, "big")


random_bytes = Numbered()


def a_key(role: Role = Role.AGENT, *, pepper: Pepper = NEW, **fields: Any) -> tuple[str, ApiKey]:
    """A key and what is kept of it."""
    key_id = new_key_id(random_bytes)
    key = new_key(key_id, random_bytes)
    kept = {"key_id": key_id, "name": "web-fleet", "role": role, "secrets": (keep(key.encode(), pepper),)}
    return key, ApiKey(**kept | {"created_at": AT, "created_by": "ann"} | fields)


class Times:
    """A wall clock and a monotonic one that pass together, when a test says so."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return AT + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s


class Ring:
    """A KeyRing on a fake table, and a gate of it."""

    def __init__(
        self,
        *peppers: Pepper,
        table: FakeTable | None = None,
        people: Tokens | None = None,
        origin: str = "https://iops.example.com",
    ) -> None:
        self.table, self.times = table or FakeTable(), Times()
        self.peppers = peppers_of(*(peppers or (OLD, NEW)))
        times = self.times
        self.keys = KeyRing(self.table.table(), lambda: self.peppers, times.now, monotonic_s=times.monotonic_s)
        self.gate = Gate(self.keys, people or Nobody(), origin=origin, monotonic_s=times.monotonic_s)

    def add(self, role: Role = Role.AGENT, **fields: Any) -> str:
        """A key that is in the table."""
        key, kept = a_key(role, **fields)
        self.put(kept)
        return key

    def put(self, kept: ApiKey) -> None:
        self.table.add(items.api_key_put(kept, replaces=None)["Item"])

    def kept(self, key: str) -> ApiKey:
        """What the table has of it now."""
        row = items.api_key_key(key[5:21])
        return items.item_to_api_key(self.table.rows[row["entity_id"]["S"], row["entity_type"]["S"]])

    def pass_s(self, seconds: float) -> None:
        self.times.passed_s += seconds

    @property
    def reads(self) -> int:
        return self.table.calls.count("GetItem")


def a_request(
    *headers: tuple[str, str], method: str = "GET", address: str = "10.0.0.7", server: str = "127.0.0.1"
) -> Scope:
    """A request with these headers, names in lower case as ASGI has them."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "method": method, "headers": raw, "client": (address, 1), "server": (server, 80)}


def client_of(app: Any, key: str) -> httpx.AsyncClient:
    """A client that sends a key."""
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", trust_env=False, headers={"X-API-Key": key}
    )


def deeds_of(table: FakeTable) -> Sequence[Any]:
    """The audit rows, oldest first."""
    return [items.item_to_deed(row) for row in table.of_type("audit")]
