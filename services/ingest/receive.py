"""A request's body, whole and unpacked, or a clear refusal; never more memory than the limits say."""

import asyncio
import zlib
from typing import Final

from starlette.requests import Request

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
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnknownEncoding("send the body plain or with Content-Encoding: gzip")
    body = await read_packed(request, timeout_s=timeout_s)
    return unpack_gzip(body) if encoding == "gzip" else body


async def read_packed(request: Request, *, timeout_s: float) -> bytes:
    """The body as it was sent. Raises SlowBody or BodyTooLarge; ClientDisconnect where the sender left."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_packed(request)
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


async def _read_packed(request: Request) -> bytes:
    too_large = BodyTooLarge(f"the body is larger than {BODY_LIMIT_BYTES} bytes; send smaller batches")
    if _declared_length(request) > BODY_LIMIT_BYTES and "expect" in request.headers:
        raise too_large  # the sender waits for our word before it sends
    body = bytearray()
    received = 0
    async for part in request.stream():
        received += len(part)
        if received <= BODY_LIMIT_BYTES:
            body += part
        elif received > DRAIN_LIMIT_BYTES:
            raise too_large
    if received > BODY_LIMIT_BYTES:
        raise too_large
    return bytes(body)


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    return int(declared) if len(declared) < 20 and declared.isascii() and declared.isdigit() else 0
