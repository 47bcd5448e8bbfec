"""POST /v1/metrics and POST /api/v1/write as their senders see them."""

import asyncio
import gzip
import json
import random
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from iops import items
from services.ingest import doors
from tests.unit.builders import AT_MS, DISK, examples
from tests.unit.door_bodies import HEADERS, disk_series, packed, write_request
from tests.unit.fakes import aws_error
from tests.unit.opened_doors import JSON, PROTOBUF, SECONDS, Service, a_write, an_export, an_export_in_json


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    async with service.opened():
        yield service


async def test_what_prometheus_sends_lies_in_the_table_with_its_stream(service: Service) -> None:
    answer = await service.write(a_write())

    assert (answer.status_code, answer.content) == (204, b"")
    assert service.instants() == [AT_MS + 1_000, AT_MS + 2_000, AT_MS + 3_000]
    assert {("group#web-1", f"member#{DISK}"), (DISK, "stream")} <= set(service.table.rows)
    assert await service.metric('iops_door_values_total{door="remote_write"} 36.0')


async def test_the_same_remote_write_request_twice_stores_nothing_twice(service: Service) -> None:
    for _ in range(2):
        assert (await service.write(a_write())).status_code == 204

    assert len(service.instants()) == 3


async def test_series_of_one_disk_may_come_in_several_requests(service: Service) -> None:
    series = disk_series(*SECONDS)
    for part in (series[:4], series[4:]):
        assert (await service.write(packed(write_request(part)))).status_code == 204

    assert len(service.instants()) == 3


async def test_protobuf_and_json_are_stored_alike(service: Service) -> None:
    assert (await service.export(an_export(host="web-1"), PROTOBUF)).status_code == 200
    assert (await service.export(an_export_in_json(host="web-2"), JSON)).status_code == 200

    assert service.instants() == service.instants("web-2:nvme0n1") != []


async def test_otlp_may_be_gzipped(service: Service) -> None:
    for content, headers in ((an_export(), PROTOBUF), (an_export_in_json(host="web-2"), JSON)):
        answer = await service.export(gzip.compress(content), headers | {"content-encoding": "gzip"})
        assert answer.status_code == 200

    assert service.instants() == service.instants("web-2:nvme0n1") != []


async def test_success_is_an_empty_response_of_the_requests_type(service: Service) -> None:
    binary = await service.export(an_export(), PROTOBUF)
    text = await service.export(an_export_in_json(), JSON | {"content-type": "application/json; charset=utf-8"})

    assert (binary.headers["content-type"], binary.content) == ("application/x-protobuf", b"")
    assert (text.headers["content-type"], text.json()) == ("application/json", {})


async def test_points_that_cannot_be_used_are_a_partial_success(service: Service) -> None:
    binary = await service.export(an_export(temporality=1), PROTOBUF)
    text = await service.export(an_export_in_json(temporality=1), JSON)

    partial = ExportMetricsServiceResponse.FromString(binary.content).partial_success
    assert (partial.rejected_data_points, partial.error_message) == (36, "left out: not_cumulative: 36")
    assert text.json() == {
        "partialSuccess": {"rejectedDataPoints": "36", "errorMessage": "left out: not_cumulative: 36"}
    }
    assert await service.metric('iops_door_dropped_total{door="otlp",reason="not_cumulative"} 72.0')


@pytest.mark.parametrize("door", ["otlp", "remote_write"])
async def test_a_table_that_is_away_is_a_503_and_the_retry_stores_every_sample_once(
    service: Service, door: str
) -> None:
    async def send(first: int, last: int) -> httpx.Response:
        if door == "otlp":
            return await service.export(an_export(first, last), PROTOBUF)
        return await service.write(a_write(first, last))

    await send(0, 1)
    service.table.failures["BatchWriteItem"].extend([aws_error("ThrottlingException")] * 1_000)
    answer = await send(1, 4)

    assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (503, True)
    assert b"table_unavailable" in answer.content
    service.table.failures.clear()
    assert (await send(1, 4)).status_code in (200, 204)
    assert len(service.instants()) == 3


async def test_a_refusal_of_otlp_is_a_status_of_the_requests_type(service: Service) -> None:
    text = await service.export(b"{", JSON)
    binary = await service.export(b"\0", PROTOBUF)

    assert (text.status_code, text.json()["code"]) == (400, 3)
    assert text.json()["message"].startswith("malformed_body: ")
    assert (binary.status_code, binary.headers["content-type"]) == (400, "application/x-protobuf")
    assert binary.content.startswith(b"\x08\x03\x12")


BAD_WRITES = {
    "not packed": (write_request(disk_series(*SECONDS)), {}, 400),
    "cut": (a_write()[:-7], {}, 400),
    "nothing": (b"", {}, 400),
    "zeros": (packed(b"\0" * 1_000_000), {}, 400),
    "10 MB of zeros": (packed(b"\0" * 10_000_000), {}, 413),
    "2 MiB": (b"x" * 2 * 1024 * 1024, {}, 413),
    "gzip": (gzip.compress(write_request(disk_series(*SECONDS))), {"content_encoding": "gzip"}, 415),
    "remote-write 2.0": (
        a_write(), {"content_type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, 415,
    ),
    "JSON": (b"{}", {"content_type": "application/json"}, 415),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_WRITES)
async def test_a_bad_write_is_refused_and_the_door_stays_open(service: Service, case: str) -> None:
    content, headers, status = BAD_WRITES[case]

    assert (await service.write(content, **headers)).status_code == status
    assert service.table.rows == {}
    assert (await service.write(a_write())).status_code == 204


BAD_EXPORTS = {
    "10 MB of zeros": (gzip.compress(b"\0" * 10_000_000), PROTOBUF | {"content-encoding": "gzip"}, 413),
    "2 MiB": (b"x" * 2 * 1024 * 1024, PROTOBUF, 413),
    "text": (b"hello", {"content-type": "text/plain"}, 415),
    "no type": (an_export(), {}, 415),
    "brotli": (b"", PROTOBUF | {"content-encoding": "br"}, 415),
    "half a gzip": (gzip.compress(an_export())[:-9], PROTOBUF | {"content-encoding": "gzip"}, 400),
    "cut": (an_export()[:-7], PROTOBUF, 400),
    "cut JSON": (an_export_in_json()[:-7], JSON, 400),
    "deep JSON": (b'{"a":' + b"[" * 90_000, JSON, 400),
}


@pytest.mark.parametrize("case", BAD_EXPORTS)
async def test_a_bad_export_is_refused_and_the_door_stays_open(service: Service, case: str) -> None:
    content, headers, status = BAD_EXPORTS[case]

    assert (await service.export(content, headers)).status_code == status
    assert service.table.rows == {}
    assert (await service.export(an_export(), PROTOBUF)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/metrics", "/api/v1/write"])
async def test_a_body_that_stops_half_way_may_come_again(service: Service, path: str) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"\x0a"
        await asyncio.Event().wait()

    answer = await service.client.post(path, content=half(), headers=HEADERS if "write" in path else PROTOBUF)

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_names_that_are_none_of_ours_are_counted_up_to_a_limit(service: Service) -> None:
    labels = [{"__name__": f"metric_{number:03}" + "x" * 200} for number in range(doors.NAMES_LIMIT + 50)]

    assert (await service.write(packed(write_request([(label, []) for label in labels])))).status_code == 204

    lines = [line for line in (await service.client.get("/internal/metrics")).text.splitlines() if "_ignored_t" in line]
    assert len([line for line in lines if not line.startswith("#")]) == doors.NAMES_LIMIT + 1
    assert max(map(len, lines)) < 200


def mangled(content: bytes, dice: random.Random) -> bytes:
    """The same with a few bytes changed, cut, doubled or taken out."""
    mangled = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(mangled) + 1)
        match dice.randrange(4):
            case 0:
                mangled[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                mangled[at : at + dice.randint(1, 40)] = b""
            case 2:
                mangled[at:at] = dice.randbytes(dice.randint(1, 12))
            case _:
                mangled[at:at] = mangled[at : at + dice.randint(1, 40)]
    return bytes(mangled)


async def test_bytes_at_random_are_answered_and_never_break_a_door(service: Service) -> None:
    dice = random.Random(20_261_123)
    ends_at = time.monotonic() + 2.5
    for _ in range(examples(400)):
        answers = [
            await service.write(packed(mangled(write_request(disk_series(*SECONDS)), dice))),
            await service.write(mangled(a_write(), dice)),
            await service.export(mangled(an_export(), dice), PROTOBUF),
            await service.export(mangled(an_export_in_json(), dice), JSON),
        ]
        assert {answer.status_code for answer in answers} <= {200, 204, 400, 413}
        if time.monotonic() > ends_at:
            break

    for row in service.table.of_type("chunk"):
        assert len(items.item_to_window(row)) >= 1
    assert (await service.write(a_write(instance="web-9:9100"))).status_code == 204
    assert len(service.instants("web-9:nvme0n1")) == 3
    assert json.loads((await service.client.get("/health/ready")).content)["status"] == "ready"
