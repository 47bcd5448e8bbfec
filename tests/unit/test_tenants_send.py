"""What a sender of some streams gets into the table of others: nothing, by no door."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from iops import web
from iops.auth import Caller, Role
from tests.unit.builders import DISK
from tests.unit.door_bodies import disk_series, otlp_request, packed, write_request
from tests.unit.opened_doors import JSON, PROTOBUF, SECONDS, Service
from tests.unit.tenants import GateFor
from tests.unit.test_post_metrics import Door, a_body

FOREIGN = "db-1:nvme0n1"
AGENT = Caller("web agents", Role.AGENT, ("web-*",))


@pytest.fixture(autouse=True)
def _an_agent_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "OpenGate", lambda: GateFor(AGENT))


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with door.opened():
        yield door


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    async with service.opened():
        yield service


def both_hosts() -> Any:
    """One export of an own disk and a foreign one."""
    request = otlp_request(*SECONDS)
    request.MergeFrom(otlp_request(*SECONDS, host="db-1"))
    return request


@pytest.mark.parametrize(
    "body",
    [
        a_body(stream_id=FOREIGN),
        a_body(peer_group="db-1"),
        {"batches": [a_body(), a_body(stream_id=FOREIGN)]},
        {"batches": [a_body(), a_body(stream_id="web-2:sda", peer_group="db-1")]},
    ],
    ids=["a stream", "a group", "a stream among own ones", "a group among own ones"],
)
async def test_a_body_with_something_foreign_is_refused_whole(door: Door, body: Any) -> None:
    answer = await door.post(body)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "web-*" in answer.json()["detail"] or "web agents" in answer.json()["detail"]
    assert (door.table.rows, door.queue.sent) == ({}, [])


@pytest.mark.parametrize("group", ["web-1", "web-raid"])
async def test_an_own_stream_joins_its_hosts_group_and_one_whose_name_is_own(door: Door, group: str) -> None:
    assert (await door.post(a_body(peer_group=group))).status_code == 202


async def test_of_an_export_of_many_hosts_the_own_are_stored_and_the_others_counted(service: Service) -> None:
    request = both_hosts()
    binary = await service.export(request.SerializeToString(), PROTOBUF)
    text = await service.export(json_format.MessageToJson(request).encode(), JSON)

    partial = ExportMetricsServiceResponse.FromString(binary.content).partial_success
    assert (binary.status_code, partial.rejected_data_points, partial.error_message) == (
        200,
        36,
        "left out: not_yours: 36",
    )
    assert (text.status_code, text.json()["partialSuccess"]["rejectedDataPoints"]) == (200, "36")
    assert (len(service.instants(DISK)), service.instants(FOREIGN)) == (3, [])
    assert not [key for key in service.table.rows if "db-1" in "".join(key)]
    assert await service.metric('iops_door_dropped_total{door="otlp",reason="not_yours"} 72.0')


async def test_of_a_write_of_many_hosts_the_own_are_stored_and_the_others_counted(service: Service) -> None:
    series = [*disk_series(*SECONDS), *disk_series(*SECONDS, instance="db-1:9100")]

    assert (await service.write(packed(write_request(series)))).status_code == 204

    assert len(service.instants(DISK)) == 3
    assert not [key for key in service.table.rows if "db-1" in "".join(key)]
    assert await service.metric('iops_door_dropped_total{door="remote_write",reason="not_yours"} 36.0')


async def test_a_request_of_nothing_but_foreign_hosts_is_refused_in_the_doors_own_words(service: Service) -> None:
    request = otlp_request(*SECONDS, host="db-1")
    binary = await service.export(request.SerializeToString(), PROTOBUF)
    text = await service.export(json_format.MessageToJson(request).encode(), JSON)
    write = await service.write(packed(write_request(disk_series(*SECONDS, instance="db-1:9100"))))

    assert (binary.status_code, binary.headers["content-type"]) == (403, "application/x-protobuf")
    assert b"forbidden: web agents may send web-*" in binary.content
    assert (text.status_code, text.json()["message"].split(":")[0]) == (403, "forbidden")
    assert (write.status_code, write.headers["content-type"]) == (403, "application/problem+json")
    assert service.table.rows == {}
