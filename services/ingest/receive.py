"""A request's body, whole and unpacked, or a clear refusal; never more memory than the limits say."""

import asyncio
import types
import zlib
from collections.abc import Coroutine, Generator
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from iops.contract import BODY_LIMIT_BYTES, UNPACKED_LIMIT_BYTES
from iops.errors import BodyTooLarge, MalformedBody, SlowBody, UnknownEncoding

DRAIN_LIMIT_BYTES: Final = 8 * BODY_LIMIT_BYTES  # read and dropped, so that a sender gets to read its 413
RATIO_LIMIT: Final = 200  # times its packed size; real telemetry packs 10 to 30 times, a bomb 1,000 times
RATIO_FREE_BYTES: Final = 1024 * 1024  # so much any body may unpack to
GZIP_WINDOW_BITS: Final = 31  # zlib's way to say gzip


async def read_body(request: Request, *, timeout_s: float) -> bytes:
    """The unpacked body.

    Raises SlowBody, BodyTooLarge, UnknownEncoding or MalformedBody; ClientDisconnect where the sender left.
    """
    encoding = (_header(request, b"content-encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnknownEncoding("send the body plain or with Content-Encoding: gzip")
    body = await read_packed(request, timeout_s=timeout_s)
    return unpack_gzip(body) if encoding == "gzip" else body


async def read_packed(request: Request, *, timeout_s: float) -> bytes:
    """The body as it was sent. Raises SlowBody or BodyTooLarge; ClientDisconnect where the sender left."""
    reading = _read_packed(request)
    try:
        waits_for = reading.send(None)
    except StopIteration as read:  # it was all there, as a small body is: a timer would cost as much as parsing it
        body: bytes = read.value
        return body
    try:
        async with asyncio.timeout(timeout_s):
            return await _go_on(reading, waits_for)
    except TimeoutError as error:
        raise SlowBody(f"the body was not complete after {timeout_s:g} s; nothing of it is stored") from error


def unpack_gzip(body: bytes) -> bytes:
    """The content of one gzip member of at most 8 MiB."""
    unpacker = zlib.decompressobj(GZIP_WINDOW_BITS)
    limit_bytes = min(UNPACKED_LIMIT_BYTES, max(RATIO_FREE_BYTES, RATIO_LIMIT * len(body)))
    try:
        content = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise MalformedBody("the body is not gzip, as its Content-Encoding says") from error
    if len(content) > limit_bytes:
        raise BodyTooLarge(f"{len(body)} bytes unpack to more than {limit_bytes}; send smaller batches of real samples")
    if not unpacker.eof:
        raise MalformedBody("the gzip body ends early")
    if unpacker.unused_data:
        raise MalformedBody("something follows the gzip body")
    return content


@types.coroutine
def _go_on(begun: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Awaits a coroutine that has begun and waits for something, which `await` would refuse."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - the cancellation is the coroutine's
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(sent)
        except StopIteration as end:
            body: bytes = end.value
            return body


async def _read_packed(request: Request) -> bytes:
    if _declared_length(request) > BODY_LIMIT_BYTES and _header(request, b"expect") is not None:
        raise _too_large()  # the sender waits for our word before it sends
    body = bytearray()
    received = 0
    is_more = True
    while is_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, is_more = message.get("body", b""), message.get("more_body", False)
        received += len(part)
        if received <= BODY_LIMIT_BYTES:
            body += part
        elif received > DRAIN_LIMIT_BYTES:
            break
    if received > BODY_LIMIT_BYTES:
        raise _too_large()
    return bytes(body)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {BODY_LIMIT_BYTES} bytes; send smaller batches")


def _declared_length(request: Request) -> int:
    declared = _header(request, b"content-length") or "0"
    return int(declared) if len(declared) < 20 and declared.isascii() and declared.isdigit() else 0


def _header(request: Request, wanted: bytes) -> str | None:
    """The first of that name, as `request.headers` would say; it costs a quarter."""
    for name, value in request.scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return None
