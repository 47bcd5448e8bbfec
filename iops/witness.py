"""Writes down who did what, of a request: for the programs that carry python-ulid."""

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


def new_deed_id(now: datetime) -> str:
    """Ids of later deeds come later in the alphabet."""
    return str(ULID.from_datetime(now))


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
    told = {
        name: one_line(str(value), limit=DETAIL_LIMIT) for name, value in (detail or {}).items() if value is not None
    }
    return Deed(
        deed_id=new_deed_id(now),
        at=now,
        kind=kind,
        about=one_line(about, limit=NAME_LIMIT),
        by=one_line(caller.name, limit=NAME_LIMIT),
        role=caller.role,
        address=one_line(address_of(request.scope), limit=ADDRESS_LIMIT),
        request_id=REQUEST_ID.get(),
        detail=told,
    )


def one_line(text: str, *, limit: int) -> str:
    """Other people's words as a row of the audit may have them: printable, short, and no secret that looks like one.

    >>> one_line("a\\x1b[31m\\nb\\u202e", limit=80)
    'a[31m b'
    """
    line = _redactor.text(" ".join(harmless(text).split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
