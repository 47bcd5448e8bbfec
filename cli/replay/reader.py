"""What a replay reads of the server: streams, their samples, and the alerts that fired. It sends nothing but GETs."""

from __future__ import annotations

from array import array
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ValidationError

from cli.outcome import Refused
from cli.replay.options import Choice
from cli.replay.real import Real, episodes_of
from cli.server import Row, Server
from iops.alert import Alert, Change
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.insight import PredictionType
from iops.items import Stream
from iops.telemetry import CHANNELS, NAN, Window, merge_windows

POINTS_LIMIT: Final = 20_000  # of one answer
STREAMS_LIMIT: Final = 10_000
ALERTS_LIMIT: Final = 10_000


class _Quiet(BaseModel):
    prediction_type: PredictionType
    until: AwareDatetime


class _Listed(BaseModel):
    """A stream as the server lists it."""

    stream_id: str
    peer_group: str
    labels: dict[str, str]
    provisioned_iops: float | None
    first_seen_at: AwareDatetime
    quiet: list[_Quiet] = []


class Reader:
    """Whatever cannot be read is Refused with a sentence that names it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def groups(self, choice: Choice) -> dict[str, list[Stream]]:
        """The streams of each peer group of which some are asked for; the others are their peers."""
        rows = await self._server.read_items("/streams", limit=STREAMS_LIMIT)
        groups: dict[str, list[Stream]] = {}
        for stream in sorted(map(_stream, rows), key=lambda each: each.stream_id):
            groups.setdefault(stream.peer_group, []).append(stream)
        is_chosen = {group for group, streams in groups.items() if any(choice.has(s.stream_id, group) for s in streams)}
        return {group: groups[group] for group in sorted(is_chosen)}

    async def samples(self, stream_id: str, *, from_ms: int, to_ms: int) -> Window:
        """As they were sent, both ends included; at most 6 h, which is asked for in parts where that is too much."""
        page = await self._page(stream_id, from_ms, to_ms)
        if page.get("resolution_s") is not None:
            raise Refused(f"the samples of {stream_id} are not kept as they were sent any more; say a later --from")
        window, stored = _window(stream_id, page)
        if stored <= len(window) or from_ms >= to_ms:
            return window
        middle_ms = (from_ms + to_ms) // 2
        first = await self.samples(stream_id, from_ms=from_ms, to_ms=middle_ms)
        return merge_windows([first, await self.samples(stream_id, from_ms=middle_ms + 1, to_ms=to_ms)])

    async def minutes(self, stream_id: str, *, from_ms: int, to_ms: int) -> Window:
        """One-minute means of more than 6 h, both ends included."""
        return _window(stream_id, await self._page(stream_id, from_ms, to_ms))[0]

    async def fired(self, from_at: datetime, to_at: datetime, choice: Choice) -> list[Real]:
        """The episodes that fired at some time of the span, oldest first."""
        found: list[Real] = []
        for row in await self._server.read_items("/alerts", limit=ALERTS_LIMIT):
            alert = _alert(row)
            if alert.updated_at >= from_at and choice.has(alert.stream_id, alert.peer_group):
                whole = await self._server.read_patiently(f"/alerts/{quote(alert.alert_id, safe='')}")
                found += episodes_of(_alert(whole), _history(whole))
        overlapping = (each for each in found if each.opened_at <= to_at and (each.resolved_at or to_at) >= from_at)
        return sorted(overlapping, key=lambda each: (each.opened_at, each.stream_id))

    async def _page(self, stream_id: str, from_ms: int, to_ms: int) -> Row:
        span = {"from": from_epoch_ms(from_ms).isoformat(), "to": from_epoch_ms(to_ms).isoformat()}
        path = f"/streams/{quote(stream_id, safe='')}/samples"
        return await self._server.read_patiently(path, max_points=str(POINTS_LIMIT), **span)


def _stream(row: Row) -> Stream:
    try:
        listed = _Listed.model_validate(row)
    except ValidationError as error:
        raise Refused(f"/streams answered a stream that cannot be read: {error.errors()[0]['msg']}") from error
    return Stream(
        stream_id=listed.stream_id,
        peer_group=listed.peer_group,
        labels=listed.labels,
        provisioned_iops=listed.provisioned_iops,
        first_seen_at=listed.first_seen_at,
        quiet_until={quiet.prediction_type: quiet.until for quiet in listed.quiet},
    )


def _alert(row: Row) -> Alert:
    try:
        return Alert.model_validate(row)
    except ValidationError as error:
        raise Refused(f"/alerts answered an alert that cannot be read: {error.errors()[0]['msg']}") from error


def _history(row: Row) -> list[Change]:
    """Oldest first; empty where the server has none to tell."""
    lines = row.get("history")
    try:
        changes = [Change.model_validate(line) for line in lines] if isinstance(lines, list) else []
    except ValidationError as error:
        raise Refused(f"/alerts answered a history that cannot be read: {error.errors()[0]['msg']}") from error
    return sorted(changes, key=lambda change: change.version)


def _window(stream_id: str, page: Row) -> tuple[Window, int]:
    """The samples of an answer, and how many there are in its range."""
    rows, stored = page.get("items"), page.get("stored")
    if not isinstance(rows, list) or not isinstance(stored, int):
        raise Refused(f"the samples of {stream_id} are no list with a count")
    try:
        window = _columns(rows)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Refused(f"the samples of {stream_id} cannot be read ({type(error).__name__})") from error
    if any(before >= after for before, after in pairwise(window.at_ms)):
        raise Refused(f"the samples of {stream_id} are not in the order of time")
    return window, stored


def _columns(rows: list[Any]) -> Window:
    at_ms = array("q", (to_epoch_ms(datetime.fromisoformat(row["at"])) for row in rows))
    columns = {
        channel.name: array("d", (NAN if (value := row[channel.name]) is None else float(value) for row in rows))
        for channel in CHANNELS
    }
    return Window(at_ms, columns)
