"""Protobuf's wire format, read by hand: a few tags are looked at, everything else is stepped over.

A generated parser builds an object for each of the ten labels of each series, every time; a walker that knows where a
series' labels end takes them as one key of a dictionary. A hostile message costs at most its field budget.
"""

from collections.abc import Iterator
from typing import Final

from iops.errors import BodyTooLarge, MalformedBody

FIELDS_LIMIT: Final = 250_000  # of one request, half a second of work; 8,000 data points not met before have half
VARINT_LIMIT_BYTES: Final = 10
VARINT, BYTES = 0, 2  # wire types; 3 and 4 are groups, which none of our messages has
FIXED_BYTES: Final = {1: 8, 5: 4}


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next byte is."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    for position in range(at, min(at + VARINT_LIMIT_BYTES, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + 1
        shift += 7
    raise MalformedBody("the protobuf has a varint without an end")


class Walker:
    """Walks the messages of one request; all of them together have at most `FIELDS_LIMIT` fields."""

    def __init__(self) -> None:
        self._left = FIELDS_LIMIT

    def read(self, data: bytes, at: int) -> tuple[int, int | bytes, int]:
        """The field at `at`: tag (number << 3 | wire type), value, and where the next one begins.

        The value is an int for a varint and bytes for all else. Raises MalformedBody or BodyTooLarge.
        """
        self._left -= 1
        if self._left < 0:
            raise BodyTooLarge("the message has too many fields; send smaller batches")
        tag, at = read_varint(data, at)
        kind = tag & 7
        if tag < 8:
            raise MalformedBody("the protobuf has a field of number 0")
        if kind == VARINT:
            value, at = read_varint(data, at)
            return tag, value, at
        if kind == BYTES:
            size, at = read_varint(data, at)
        elif kind in FIXED_BYTES:
            size = FIXED_BYTES[kind]
        else:
            raise MalformedBody(f"the protobuf has a field of wire type {kind}")
        if size > len(data) - at:
            raise MalformedBody("the protobuf ends early")
        return tag, data[at : at + size], at + size

    def fields(self, data: bytes) -> Iterator[tuple[int, int | bytes]]:
        """Every field's tag and value."""
        at, end = 0, len(data)
        while at < end:
            tag, value, at = self.read(data, at)
            yield tag, value


def to_signed(value: int) -> int:
    """A varint of an int64 as the number it means."""
    return value - (1 << 64) if value >> 63 else value


def write_varint(value: int) -> bytes:
    """A number as a varint.

    >>> write_varint(300).hex()
    'ac02'
    """
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def write_bytes(tag: int, value: bytes) -> bytes:
    """A field of bytes, of text or of a message."""
    return write_varint(tag) + write_varint(len(value)) + value
