"""What kinds of disks there are, and how long a request waits and takes on one."""

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """Disks of one kind. `lanes` requests are served at the same time; the host keeps at most `concurrency` open."""

    volume_type: str
    read_ms: float  # of one access, before its bytes move
    write_ms: float
    sequential_ms: float
    variation: float  # coefficient of variation of a service time
    lane_bytes_s: float
    lanes: int
    concurrency: int
    throughput_bytes_s: float
    provisioned_iops: float | None
    usual_iops: float
    backup_bytes: int  # of one sequential request
    counts_errors: bool  # SMART or a kernel log tells of failed requests; a cloud volume has neither

    def service_ms(self, access_ms: float, size_bytes: float) -> float:
        """How long a lane is busy with one request."""
        return access_ms + 1000 * size_bytes / self.lane_bytes_s

    def capacity_iops(self, service_ms: float, size_bytes: float) -> float:
        """The requests a second that lanes, throughput and provisioning let through."""
        limits = [1000 * self.lanes / service_ms, self.throughput_bytes_s / size_bytes]
        return min(*limits, self.provisioned_iops or limits[0])


NVME: Final = DeviceClass(
    volume_type="nvme",
    read_ms=0.085,
    write_ms=0.030,
    sequential_ms=0.060,
    variation=0.7,
    lane_bytes_s=400 * MIB,
    lanes=8,
    concurrency=128,
    throughput_bytes_s=3_200 * MIB,
    provisioned_iops=None,
    usual_iops=1_500,
    backup_bytes=512 * KIB,
    counts_errors=True,
)
GP3: Final = DeviceClass(
    volume_type="gp3",
    read_ms=0.60,
    write_ms=0.80,
    sequential_ms=0.60,
    variation=0.5,
    lane_bytes_s=120 * MIB,
    lanes=16,
    concurrency=64,
    throughput_bytes_s=125 * MIB,
    provisioned_iops=3_000,
    usual_iops=800,
    backup_bytes=256 * KIB,  # EBS counts at most 256 KiB as one I/O
    counts_errors=False,
)
HDD: Final = DeviceClass(
    volume_type="hdd",
    read_ms=7.0,
    write_ms=4.0,
    sequential_ms=0.8,
    variation=0.6,
    lane_bytes_s=160 * MIB,
    lanes=1,
    concurrency=32,
    throughput_bytes_s=160 * MIB,
    provisioned_iops=None,
    usual_iops=30,
    backup_bytes=512 * KIB,
    counts_errors=True,
)


def wait_ms(arrivals_s: float, service_ms: float, *, lanes: int, variation: float) -> float:
    """The mean wait before service in an M/G/c queue, by Sakasegawa's approximation; infinite at full load.

    >>> wait_ms(100, 5.0, lanes=1, variation=1.0)
    5.0
    >>> wait_ms(200, 5.0, lanes=1, variation=1.0)
    inf
    """
    load = arrivals_s * service_ms / 1000 / lanes
    if load >= 1:
        return float("inf")
    crowding: float = load ** ((2 * (lanes + 1)) ** 0.5 - 1)
    return (1 + variation * variation) / 2 * crowding / (lanes * (1 - load)) * service_ms
