"""Writes down who did what, of a request or beside the services: for the programs that carry python-ulid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from fastapi import Request
from ulid import ULID

from iops.audit import Deed, DeedKind
from iops.auth import Caller
from iops.body import harmless
from iops.gate import address_of
from iops.observability import REQUEST_ID
from iops.redact import Redactor

NAME_LIMIT: Final = 200  # characters, as Deed has it
ADDRESS_LIMIT: Final = 64
DETAIL_LIMIT: Final = 300  # characters of each value; the whole text lies with what was changed

_redactor: Final = Redactor()


def deed_of(
    request: Request,
    caller: Caller,
    kind: DeedKind,
    *,
    about: str,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> Deed:
    """What the caller of a request does now; `detail` without what is None in it."""
    deed = deed_beside(caller.name, kind, about=about, now=now, detail=detail)
    address = _one_line(address_of(request.scope), limit=ADDRESS_LIMIT)
    return deed.model_copy(update={"role": caller.role, "address": address, "request_id": REQUEST_ID.get()})


def deed_beside(
    by: str, kind: DeedKind, *, about: str, now: datetime, detail: Mapping[str, object] | None = None
) -> Deed:
    """What somebody does without a request to a service. Ids of later deeds come later in the alphabet."""
    told = {
        name: _one_line(str(value), limit=DETAIL_LIMIT) for name, value in (detail or {}).items() if value is not None
    }
    return Deed(
        deed_id=str(ULID.from_datetime(now)),
        at=now,
        kind=kind,
        about=_one_line(about, limit=NAME_LIMIT),
        by=_one_line(by, limit=NAME_LIMIT),
        role=None,
        address=None,
        request_id=None,
        detail=told,
    )


def _one_line(text: str, *, limit: int) -> str:
    """Other people's words as a row of the audit may have them: printable, short, and no secret that looks like one.

    >>> _one_line("a\\x1b[31m\\nb\\u202e", limit=80)
    'a[31m b'
    """
    line = _redactor.text(" ".join(harmless(text).split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
