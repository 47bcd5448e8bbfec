"""A fleet of disks that does not exist: hosts of one device class each, every disk a little different."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ml.demand import Demand
from ml.device import GP3, HDD, KIB, NVME, DeviceClass

HOST_CLASSES: Final = (NVME, GP3, NVME, GP3, HDD)  # in turn; the disks of one host are alike
TRACED: Final = 2  # of those in turn: its host times every request; elsewhere there are only the kernel's counters
QUIET_RATIO: Final = 0.1  # of the disks have next to nothing to do
QUIET_IOPS: Final = (0.02, 0.5)
NATURAL_LOAD: Final = 0.75  # of the capacity, that demand without a fault never exceeds


@dataclass(frozen=True, slots=True)
class Stream:
    """One simulated disk."""

    stream_id: str
    peer_group: str
    labels: dict[str, str]
    provisioned_iops: float | None
    device: DeviceClass
    demand: Demand
    service_factor: float  # no two disks are quite alike
    is_quiet: bool
    seed: int
    has_percentiles: bool = False  # its latencies are measured one by one


@dataclass(frozen=True)
class Fleet:
    """Hosts with disks; the same arguments make the same fleet."""

    seed: int = 7
    hosts: int = 10
    disks_per_host: int = 6
    name: str = "demo"
    streams: tuple[Stream, ...] = field(init=False)

    def __post_init__(self) -> None:
        streams = [stream for host in range(self.hosts) for stream in self._host_streams(host)]
        object.__setattr__(self, "streams", tuple(streams))

    def _host_streams(self, index: int) -> Iterator[Stream]:
        host = f"{self.name}-{index + 1:02d}"
        rng = random.Random(f"{self.seed}/{host}")
        device = HOST_CLASSES[index % len(HOST_CLASSES)]
        amplitude, peak_at_s = rng.uniform(0.2, 0.5), rng.gauss(14, 2) * 3600
        usual_iops = device.usual_iops * rng.lognormvariate(0, 0.3)
        read_ratio = rng.uniform(0.4, 0.8)
        for disk in range(self.disks_per_host):
            service_factor = rng.lognormvariate(0, 0.06)
            is_quiet = rng.random() < QUIET_RATIO
            read_bytes, write_bytes = rng.choice((8, 16, 24)) * KIB, rng.choice((4, 8, 16)) * KIB
            mean_ms = max(
                device.service_ms(device.read_ms, read_bytes), device.service_ms(device.write_ms, write_bytes)
            )
            stream_id = f"{host}:{_device_name(device, disk)}"
            yield Stream(
                stream_id=stream_id,
                peer_group=host,
                labels={"source": "simulated", "volume_type": device.volume_type},
                provisioned_iops=device.provisioned_iops,
                device=device,
                demand=Demand(
                    key=f"{self.seed}/{stream_id}",
                    rhythm_key=f"{self.seed}/{host}",
                    usual_iops=rng.uniform(*QUIET_IOPS) if is_quiet else usual_iops * rng.lognormvariate(0, 0.15),
                    limit_iops=NATURAL_LOAD * device.capacity_iops(mean_ms, max(read_bytes, write_bytes)),
                    daily_amplitude=amplitude,
                    peak_at_s=peak_at_s,
                    read_ratio=read_ratio,
                    read_bytes=read_bytes,
                    write_bytes=write_bytes,
                ),
                service_factor=service_factor,
                is_quiet=is_quiet,
                seed=self.seed,
                has_percentiles=index % len(HOST_CLASSES) == TRACED,
            )


def _device_name(device: DeviceClass, index: int) -> str:
    return f"sd{chr(ord('a') + index)}" if device is HDD else f"nvme{index + 1}n1"
