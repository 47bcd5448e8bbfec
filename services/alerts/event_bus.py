"""The event bus as a target: whoever has a rule there hears of every event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iops.bus import SEND_LIMIT, EventBus
from iops.events import mail_lines
from services.alerts.entry import notice_to_entry
from services.alerts.notice import Notice


class BusTarget:
    """EventBridge."""

    name: Final = "bus"
    limit: Final = SEND_LIMIT

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        """Each entry by itself: of ten the bus may take seven. Raises BusUnavailable."""
        return await self._bus.put([notice_to_entry(notice) for notice in notices])

    def words(self, notice: Notice) -> tuple[str, ...]:
        """The mail's lines: the bus hands them to the topic as they are."""
        return mail_lines(notice_to_entry(notice))
