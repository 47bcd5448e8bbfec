"""The doors with the clients they are for: OpenTelemetry's exporter, and Prometheus scraping node_exporter."""

import asyncio
import math
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from iops.telemetry import Window, merge_windows
from local.supervisor import Child, Supervisor
from tests.integration.door import Door, everything, open_door, stored
from tests.integration.stand_ins import LIMIT_S, Cloud, wait_until

STREAM: Final = "web-1:nvme0n1"
SCRAPE_CONFIG: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{exporter}"], labels: {{nodename: web-1}}}}]
remote_write:
  - url: http://127.0.0.1:{door}/api/v1/write
    write_relabel_configs: [{{source_labels: [__name__], regex: "{kept}", action: keep}}]
    queue_config: {{batch_send_deadline: 1s, max_samples_per_send: {at_once}, min_backoff: 50ms}}
"""


@pytest.fixture
async def door(cloud: Cloud) -> AsyncIterator[Door]:
    async with open_door(cloud, store_deadline_s=5, store_wait_s=8, body_timeout_s=5) as opened:
        yield opened


@dataclass(slots=True)
class Disk:
    """A disk that does 100 reads of 4 KiB in 50 ms and 25 writes in 100 ms whenever it is told to."""

    rounds: int = 1

    def line(self, device: str) -> str:
        """As /proc/diskstats shows it."""
        n = self.rounds
        reads, writes = f"{100 * n} 0 {800 * n} {50 * n}", f"{25 * n} 0 {200 * n} {100 * n}"
        return f" 259 0 {device} {reads} {writes} 2 {80 * n} {150 * n} 0 0 0 0 0 0\n"


def assert_is_the_disk(window: Window) -> None:
    """Each interval is one of whole rounds, none is lost, and the latencies are the disk's."""
    assert {value for value in window["read_await_ms"] if not math.isnan(value)} == {0.5}
    assert {value for value in window["write_await_ms"] if not math.isnan(value)} == {4.0}
    assert set(window["in_flight"]) == {2.0}
    reads = [rate * length for rate, length in zip(window["read_iops"], window["interval_s"], strict=True)]
    assert all(math.isclose(made, round(made / 100) * 100, abs_tol=1) for made in reads)
    for (before, after), length in zip(pairwise(window.at_ms), window["interval_s"][1:], strict=True):
        assert (after - before) / 1000 == pytest.approx(length)


async def whole(cloud: Cloud, stream_id: str = STREAM) -> Window:
    return merge_windows(await stored(cloud, stream_id))


# --- OpenTelemetry


@contextmanager
def exporting(url: str, disk: Disk, devices: Iterable[str]) -> Iterator[Any]:
    """A meter provider with the hostmetrics receiver's disk metrics; `force_flush` sends what the disk shows."""
    exporter = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.metric_exporter", reason="the OTLP exporter is not installed"
    )
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    sends = exporter.OTLPMetricExporter(endpoint=f"{url}/v1/metrics", timeout=LIMIT_S)
    reader = PeriodicExportingMetricReader(sends, export_interval_millis=math.inf)
    provider = MeterProvider([reader], resource=Resource({"host.name": "web-1"}), shutdown_on_exit=False)
    meter = provider.get_meter("disks")

    def both(read: float, write: float) -> Any:
        return lambda _: [
            Observation(disk.rounds * value, {"device": device, "direction": direction})
            for device in devices
            for direction, value in (("read", read), ("write", write))
        ]

    def one(value: float) -> Any:
        return lambda _: [Observation(disk.rounds * value, {"device": device}) for device in devices]

    def pending(_: Any) -> list[Observation]:
        return [Observation(2, {"device": device}) for device in devices]

    meter.create_observable_counter("system.disk.operations", [both(100, 25)], unit="{operation}")
    meter.create_observable_counter("system.disk.io", [both(409_600, 102_400)], unit="By")
    meter.create_observable_counter("system.disk.operation_time", [both(0.05, 0.1)], unit="s")
    meter.create_observable_counter("system.disk.io_time", [one(0.08)], unit="s")
    meter.create_observable_counter("system.disk.weighted_io_time", [one(0.15)], unit="s")
    meter.create_observable_up_down_counter("system.disk.pending_operations", [pending], unit="{operation}")
    meter.create_counter("http.server.requests").add(1)
    try:
        yield provider
    finally:
        provider.shutdown()


async def test_the_opentelemetry_exporter_is_understood(door: Door, cloud: Cloud) -> None:
    disk = Disk()
    with exporting(str(door.client.base_url).rstrip("/"), disk, ["nvme0n1", "nvme1n1", "nvme0n1p1"]) as provider:
        for rounds in range(1, 5):
            disk.rounds = rounds
            assert await asyncio.to_thread(provider.force_flush)

    for device in ("nvme0n1", "nvme1n1"):
        window = await whole(cloud, f"web-1:{device}")
        assert len(window) >= 3
        assert_is_the_disk(window)
    assert {row["entity_id"]["S"] for row in await everything(cloud) if row["entity_type"]["S"] == "stream"} == {
        "web-1:nvme0n1",
        "web-1:nvme1n1",
    }
    counted = (await door.client.get("/internal/metrics")).text
    assert 'iops_door_ignored_total{door="otlp",name="http.server.requests"}' in counted
    assert 'iops_door_dropped_total{door="otlp",reason="not_a_disk"}' in counted


async def test_the_opentelemetry_exporter_sends_again_what_a_cut_wire_kept_from_the_table(
    door: Door, cloud: Cloud
) -> None:
    disk = Disk()
    with exporting(str(door.client.base_url).rstrip("/"), disk, ["nvme0n1"]) as provider:
        assert await asyncio.to_thread(provider.force_flush)
        disk.rounds = 2
        door.wire.cut()
        flush = asyncio.create_task(asyncio.to_thread(provider.force_flush))

        async def is_refused() -> bool:
            line = 'iops_requests_total{method="POST",route="/v1/metrics",status="503"}'
            return line in (await door.client.get("/internal/metrics")).text

        await wait_until(is_refused)
        door.wire.mend()
        assert await flush

    window = await whole(cloud)
    assert_is_the_disk(window)
    assert len(window) >= 1


# --- Prometheus


@dataclass(frozen=True, slots=True)
class Scraped:
    """Prometheus, and the file that node_exporter reads in place of the kernel's."""

    diskstats: Path
    disk: Disk
    supervisor: Supervisor
    prometheus: Child


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def programs() -> tuple[str, str]:
    found = shutil.which("prometheus"), shutil.which("prometheus-node-exporter")
    if None in found:
        pytest.skip("Debian's prometheus and prometheus-node-exporter are not installed")
    return str(found[0]), str(found[1])


@contextmanager
def scraping(programs: tuple[str, str], folder: Path, door: Door, **config: Any) -> Iterator[Scraped]:
    """Prometheus scraping node_exporter every second and writing to the door."""
    diskstats, disk = folder / "proc" / "diskstats", Disk()
    diskstats.parent.mkdir()
    show(diskstats, disk)
    ports = {"exporter": free_port(), "prometheus": free_port()}
    chosen = {"kept": "node_disk_.*", "at_once": 2_000, **config}
    (folder / "prometheus.yml").write_text(SCRAPE_CONFIG.format(door=door.port, exporter=ports["exporter"], **chosen))
    exporter = Child(
        "node-exporter",
        (programs[1], f"--path.procfs={diskstats.parent}", "--collector.disable-defaults", "--collector.diskstats",
         f"--web.listen-address=127.0.0.1:{ports['exporter']}"),
        {"PATH": os.environ["PATH"]},
        ready_url=f"http://127.0.0.1:{ports['exporter']}/metrics",
    )  # fmt: skip
    prometheus = Child(
        "prometheus",
        (programs[0], f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{ports['prometheus']}"),
        {"PATH": os.environ["PATH"]},
        ready_url=f"http://127.0.0.1:{ports['prometheus']}/-/ready",
    )  # fmt: skip
    with Supervisor(folder / "logs") as supervisor:
        supervisor.start(exporter)
        yield Scraped(diskstats, disk, supervisor, prometheus)


def show(diskstats: Path, disk: Disk) -> None:
    """What the kernel shows now: whole at once, as the kernel's file is."""
    written = diskstats.with_suffix(".new")
    written.write_text("".join(disk.line(device) for device in ("nvme0n1", "nvme0n1p1", "loop0")))
    written.replace(diskstats)


async def work(scraped: Scraped, cloud: Cloud, *, samples: int) -> Window:
    """Lets the disk work until that many samples of it are stored."""
    async with asyncio.timeout(2 * LIMIT_S):
        for rounds in count(scraped.disk.rounds + 1):
            window = await whole(cloud)
            if len(window) >= samples:
                return window
            scraped.disk.rounds = rounds
            show(scraped.diskstats, scraped.disk)
            await asyncio.sleep(0.1)
    raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [2_000, 5])
async def test_what_prometheus_scrapes_from_node_exporter_is_stored(
    programs: tuple[str, str], door: Door, cloud: Cloud, tmp_path: Path, at_once: int
) -> None:
    with scraping(programs, tmp_path, door, kept=".*", at_once=at_once) as scraped:
        await asyncio.to_thread(scraped.supervisor.start, scraped.prometheus)
        window = await work(scraped, cloud, samples=4)

    assert_is_the_disk(window)
    assert {row["entity_id"]["S"] for row in await everything(cloud) if row["entity_type"]["S"] == "stream"} == {STREAM}
    counted = (await door.client.get("/internal/metrics")).text
    assert 'iops_door_ignored_total{door="remote_write",name="up"}' in counted


@pytest.mark.slow
async def test_prometheus_sends_again_what_a_cut_wire_kept_from_the_table(
    programs: tuple[str, str], door: Door, cloud: Cloud, tmp_path: Path
) -> None:
    with scraping(programs, tmp_path, door) as scraped:
        await asyncio.to_thread(scraped.supervisor.start, scraped.prometheus)
        await work(scraped, cloud, samples=2)
        door.wire.cut()

        async def is_refused() -> bool:
            reply: httpx.Response = await door.client.get("/internal/metrics")
            return 'iops_requests_total{method="POST",route="/api/v1/write",status="503"}' in reply.text

        await wait_until(is_refused)
        door.wire.mend()
        window = await work(scraped, cloud, samples=6)

    assert_is_the_disk(window)
    assert max(window["interval_s"]) < 1.9, "an interval was lost"
