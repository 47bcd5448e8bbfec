"""What OTLP answers: an ExportMetricsServiceResponse, or a google.rpc.Status, in the content type of the request."""

import json

from fastapi import Response

from iops.errors import IopsError, Unavailable
from services.ingest.wire import write_bytes, write_varint

JSON, PROTOBUF = "application/json", "application/x-protobuf"
INVALID_ARGUMENT, UNAVAILABLE, INTERNAL = 3, 14, 13  # gRPC's codes
TEXT_LIMIT = 500  # characters of a message


def accepted_response(content_type: str, *, rejected: int, message: str) -> Response:
    """200, with a partial success where data points were rejected."""
    if content_type == JSON:
        partial = {"rejectedDataPoints": str(rejected), "errorMessage": message}
        return _response(200, json.dumps({"partialSuccess": partial} if rejected else {}).encode(), JSON)
    fields = b"\x08" + write_varint(rejected) + write_bytes(0x12, message.encode())
    return _response(200, write_bytes(0x0A, fields) if rejected else b"", PROTOBUF)


def refused_response(content_type: str, error: IopsError) -> Response:
    """The failure's own status. A sender repeats 503 after `Retry-After` and drops what got another."""
    code = UNAVAILABLE if isinstance(error, Unavailable) else INTERNAL if error.status >= 500 else INVALID_ARGUMENT
    message = f"{error.code}: {error.detail}"[:TEXT_LIMIT]
    if content_type == JSON:
        body = json.dumps({"code": code, "message": message}).encode()
    else:
        body = b"\x08" + write_varint(code) + write_bytes(0x12, message.encode())
    response = _response(error.status, body, content_type)
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _response(status: int, body: bytes, content_type: str) -> Response:
    return Response(body, status, media_type=content_type)
