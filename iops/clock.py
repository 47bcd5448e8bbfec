"""What time it is, passed in wherever it matters."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]  # the present instant, aware, in UTC


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def to_epoch_ms(at: datetime) -> int:
    """Milliseconds since 1970.

    >>> to_epoch_ms(datetime(2026, 11, 23, 2, 39, tzinfo=UTC))
    1795401540000
    """
    return round(at.timestamp() * 1000)


def from_epoch_ms(ms: float) -> datetime:
    """The instant of a count of milliseconds since 1970, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
