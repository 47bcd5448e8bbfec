"""The doors that agents already have: POST /v1/metrics (OTLP/HTTP) and POST /api/v1/write (Prometheus remote-write).

Both bring counters, which become samples here. Both kinds of sender drop what was answered with 429 or (OTLP) 500, so
whatever may succeed later is answered with 503.
"""

from collections.abc import Awaitable, Iterable
from typing import Final

from fastapi import APIRouter, Request, Response

from iops.auth import Caller
from iops.errors import IopsError, RateExceeded, SlowBody, Unavailable, UnknownEncoding
from iops.gate import Agent, address_of
from iops.observability import Metrics
from iops.problems import ERROR_RESPONSE
from iops.request_line import note
from iops.table import Table
from services.ingest.arrival import not_yours, store_arrivals
from services.ingest.otlp import OtlpProtobuf
from services.ingest.otlp_json import parse_json
from services.ingest.otlp_reply import JSON, PROTOBUF, accepted_response, refused_response
from services.ingest.readings import OTHER, Readings
from services.ingest.receive import read_body, read_packed
from services.ingest.remote_write import RemoteWrite, unpack_snappy
from services.ingest.routes import Ingest
from services.ingest.track import Tracker

router = APIRouter(tags=["ingest"])

NAMES_LIMIT: Final = 200  # label values of a counter; names are the senders' to choose
NAME_LIMIT: Final = 80  # characters
SLOW_BODY_RETRY_S: Final = 5


class Doors:
    """What the two routes work with; the lifespan makes it."""

    def __init__(self, ingest: Ingest, table: Table, metrics: Metrics) -> None:
        settings = ingest.settings
        self.ingest = ingest
        self.otlp = OtlpProtobuf()
        self.remote_write = RemoteWrite()
        self._tracker = Tracker(table, metrics, limit=settings.counter_streams_limit, wait_s=settings.store_wait_s)
        self._names: set[str] = set()
        self._values = metrics.counter("iops_door_values", "Values of disks that were read", "door")
        self._dropped = metrics.counter("iops_door_dropped", "Values of disks that were left out", "door", "reason")
        self._ignored = metrics.counter("iops_door_ignored", "Series or metrics that are none of ours", "door", "name")

    def readings(self) -> Readings:
        """An empty one, to be filled by a parser; raises QueueFull where what it would come to has no room."""
        self.ingest.commit.check_room()
        return Readings.at(self.ingest.clock())

    async def take(self, request: Request, caller: Caller, *, door: str, readings: Readings) -> None:
        """Stores the samples that the readings complete; raises Unavailable or Forbidden, and nothing was taken."""
        stream_ids = _own_streams(caller, readings)
        try:
            self.ingest.limits.take(address_of(request.scope), stream_ids)
        except RateExceeded as error:  # these senders drop what was answered with 429
            raise Unavailable(error.detail, retry_after_s=error.retry_after_s) from error
        async with self._tracker.taking(readings) as arrivals:
            samples = await store_arrivals(self.ingest, arrivals) if arrivals else 0
        self._values.labels(door).inc(readings.values)
        for reason, count in readings.dropped.items():
            self._dropped.labels(door, reason).inc(count)
        for name, count in readings.ignored.items():
            self._ignored.labels(door, self._countable(name)).inc(count)
        note(request, streams=len(stream_ids), values=readings.values, samples=samples)

    def _countable(self, name: str) -> str:
        name = name[:NAME_LIMIT]
        if name not in self._names:
            if len(self._names) >= NAMES_LIMIT:
                return OTHER
            self._names.add(name)
        return name


def _own_streams(caller: Caller, readings: Readings) -> list[str]:
    """The caller's streams; others are left out, since a sender of many hosts would else lose all of them.

    Raises Forbidden where none is the caller's.
    """
    stream_ids = readings.stream_ids()
    if caller.sees_all:
        return stream_ids
    own = [stream_id for stream_id in stream_ids if caller.may_see(stream_id)]
    if stream_ids and not own:
        raise not_yours(caller, stream_ids[0])
    readings.leave_out(set(stream_ids).difference(own))
    return own


def _openapi_body(description: str, content_types: Iterable[str]) -> dict[str, object]:
    binary = {"type": "string", "format": "binary"}
    content = {kind: {"schema": {"type": "object"} if kind == JSON else binary} for kind in content_types}
    return {"requestBody": {"required": True, "description": description, "content": content}}


# Its senders read a google.rpc.Status, in their own encoding; who may not send at all hears so before that is known.
OTLP_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "an error, as OTLP says it; of who may not send, as everywhere",
        "content": {**ERROR_RESPONSE["content"], JSON: {}, PROTOBUF: {}},
    }
}


@router.post(
    "/v1/metrics",
    response_class=Response,
    responses=OTLP_ERRORS,
    openapi_extra=_openapi_body(
        "An ExportMetricsServiceRequest. Content-Encoding: gzip is understood. 1 MiB packed, 8 MiB unpacked.",
        (PROTOBUF, JSON),
    ),
)
async def post_otlp(request: Request, caller: Agent) -> Response:
    """OTLP/HTTP: system.disk.* of the hostmetrics receiver becomes samples; other metrics are counted and dropped.

    200 only after the table has the samples. A partial success says how many data points of disks could not be used.
    """
    doors: Doors = request.app.state.doors
    content_type = _content_type(request)
    reply_type = JSON if content_type == JSON else PROTOBUF
    try:
        if content_type not in (JSON, PROTOBUF):
            raise UnknownEncoding(f"send {PROTOBUF} or {JSON}")
        body = await _read(read_body(request, timeout_s=doors.ingest.settings.body_timeout_s))
        readings = doors.readings()
        if content_type == JSON:
            parse_json(body, readings)
        else:
            doors.otlp.parse(body, readings)
        await doors.take(request, caller, door="otlp", readings=readings)
    except IopsError as error:
        error.forget_frames()
        return refused_response(reply_type, error)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(readings.dropped.items()))
    return accepted_response(reply_type, rejected=readings.rejected, message=f"left out: {reasons}")


@router.post(
    "/api/v1/write",
    status_code=204,
    openapi_extra=_openapi_body(
        "A WriteRequest of remote-write 1.0, in a snappy block. 1 MiB packed, 8 MiB unpacked.", (PROTOBUF,)
    ),
)
async def post_remote_write(request: Request, caller: Agent) -> Response:
    """Prometheus remote-write 1.0: node_disk_* of node_exporter becomes samples; the rest is counted and dropped.

    204 only after the table has the samples.
    """
    doors: Doors = request.app.state.doors
    _check_remote_write(request)
    packed = await _read(read_packed(request, timeout_s=doors.ingest.settings.body_timeout_s))
    readings = doors.readings()
    doors.remote_write.parse(unpack_snappy(packed), readings)
    await doors.take(request, caller, door="remote_write", readings=readings)
    return Response(status_code=204)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_remote_write(request: Request) -> None:
    """Raises UnknownEncoding for what is not remote-write 1.0; a sender of 2.0 then speaks 1.0."""
    if request.headers.get("content-encoding", "").strip().lower() != "snappy":
        raise UnknownEncoding("send Content-Encoding: snappy")
    is_second = "io.prometheus.write.v2" in request.headers.get("content-type", "")
    is_second = is_second or request.headers.get("x-prometheus-remote-write-version", "").startswith("2")
    if _content_type(request) != PROTOBUF or is_second:
        raise UnknownEncoding(f"send {PROTOBUF} of remote-write 1.0 (X-Prometheus-Remote-Write-Version: 0.1.0)")


async def _read(reading: Awaitable[bytes]) -> bytes:
    """The body; one that came too slowly may come again."""
    try:
        return await reading
    except SlowBody as error:
        raise Unavailable(error.detail, retry_after_s=SLOW_BODY_RETRY_S) from error
