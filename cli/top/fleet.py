"""What the server says of the fleet in one look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from cli.outcome import Refused
from cli.screen import number, plain
from cli.server import Row, Server
from cli.top.rows import StreamRow, instant_of, number_of, part_of, read_stream

UNKNOWN: Final = "the server is older than this command: it knows no /fleet"
WHO: Final = {"scoring": "scored by", "explaining": "explained by"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams; empty and 0 mean any."""

    peer_group: str = ""
    text: str = ""
    min_risk: float = 0

    def path(self, *, page: int, limit: int) -> str:
        """Where the server answers that."""
        asked: dict[str, object] = {"page": page, "limit": limit}
        asked |= {"peer_group": self.peer_group} if self.peer_group else {}
        asked |= {"text": self.text} if self.text else {}
        asked |= {"min_risk": self.min_risk} if self.min_risk else {}
        return f"/fleet?{urlencode(asked)}"


@dataclass(frozen=True, slots=True)
class Look:
    """A page of the fleet, the worst first."""

    streams: Sequence[StreamRow]
    total: int  # streams that were asked for
    page: int
    pages: int
    strip: tuple[str, ...]  # the system in words: streams, alerts, money, who answers
    why_empty: str
    read_at: datetime  # as of when this is, on the server's clock
    heard_at: datetime  # when something of that instant came first, on ours: the two may differ


async def read_page(server: Server, wanted: Wanted, *, page: int, limit: int) -> Row:
    """The server's answer. Raises CommandFailed."""
    answer = await server.read(wanted.path(page=page, limit=limit))
    if answer is None:
        raise Refused(UNKNOWN)
    if not isinstance(answer.get("items"), list):
        raise Refused("/fleet answered something that is no list")
    return answer


def look_of(answer: Row, *, now: datetime, before: Look | None = None) -> Look:
    """What an answer says that came `now`, after `before`."""
    listed, read_at = answer["items"], instant_of(answer, "read_at") or now
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    counts, strip = part_of(answer, "counts"), part_of(answer, "strip")
    is_empty_fleet = number_of(counts, "streams") == 0
    return Look(
        streams=[read_stream(row, read_at) for row in rows],
        total=int(number_of(answer, "total") or len(rows)),
        page=int(number_of(answer, "page") or 1),
        pages=int(number_of(answer, "pages") or 1),
        strip=(*_counts(counts, strip), *_system(strip)),
        why_empty="No streams yet: `iops agent` or `iops demo` sends some"
        if is_empty_fleet
        else "No stream is like that",
        read_at=read_at,
        heard_at=before.heard_at if before is not None and before.read_at == read_at else now,
    )


def _counts(counts: Mapping[str, object], strip: Row) -> list[str]:
    """Where agents are not heard at all, how many are silent is not known."""
    known = {name: number_of(dict(counts), name) or 0 for name in counts if name != "silent" or not strip.get("outage")}
    said = [f"{number(known.get('streams', 0))} streams", f"{number(known.get('alerts', 0))} open alerts"]
    words = {"firing": "firing", "high": "high", "elevated": "elevated", "silent": "silent", "warming_up": "warming up"}
    return said + [f"{number(known[name])} {word}" for name, word in words.items() if known.get(name)]


def _system(strip: Row) -> list[str]:
    """What is known of samples, money and who answers."""
    said = [f"OUTAGE: {plain(strip['outage'])}"] if strip.get("outage") else []
    if strip.get("samples_per_s") is not None:
        said.append(f"{plain(strip['samples_per_s'])} samples/s")
    if strip.get("spend_today_usd") is not None:
        said.append(f"${plain(strip['spend_today_usd'])} of ${plain(strip.get('budget_usd'))} today")
    who = ((field, words) for field, words in WHO.items() if strip.get(field))
    return said + [f"{words} {plain(strip[field])}" for field, words in who]
