"""What kinds of disks there are."""

from dataclasses import dataclass
from typing import Final

from ml.queueing import service_ms

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class BurstCredits:
    """What a volume may do beyond what it earns; counted in requests, or in bytes where a volume is sold by them."""

    earned_s: float
    burst_s: float
    bucket: float
    are_bytes: bool


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
    credits: BurstCredits | None = None

    def service_ms(self, access_ms: float, size_bytes: float) -> float:
        """How long a lane is busy with one request."""
        return service_ms(access_ms, size_bytes, self.lane_bytes_s)

    def capacity_iops(self, service_ms: float, size_bytes: float) -> float:
        """The requests a second that lanes, throughput and provisioning let through."""
        limits = [1000 * self.lanes / service_ms, min(self.throughput_bytes_s, self.sustained_bytes_s) / size_bytes]
        return min(*limits, self.provisioned_iops or limits[0], self.sustained_iops or limits[0])

    @property
    def sustained_iops(self) -> float | None:
        """What credits in requests earn; None where a volume has no such credits."""
        return self.credits.earned_s if self.credits and not self.credits.are_bytes else None

    @property
    def sustained_bytes_s(self) -> float:
        """What can be moved for hours."""
        if self.credits is None:
            return self.throughput_bytes_s
        return self.credits.earned_s * (1 if self.credits.are_bytes else self.backup_bytes)


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
GP2: Final = DeviceClass(  # of 150 GiB: 3 IOPS a GiB, bursts to 3,000 while 5.4 million credits last
    volume_type="gp2",
    read_ms=0.80,
    write_ms=0.90,
    sequential_ms=0.80,
    variation=0.6,
    lane_bytes_s=120 * MIB,
    lanes=16,
    concurrency=64,
    throughput_bytes_s=128 * MIB,
    provisioned_iops=None,
    usual_iops=150,
    backup_bytes=256 * KIB,
    counts_errors=False,
    credits=BurstCredits(earned_s=450, burst_s=3_000, bucket=5.4e6, are_bytes=False),
)
ST1: Final = DeviceClass(  # of 1 TiB: earns 40 MiB/s, bursts to 250 MiB/s while 1 TiB of credits lasts
    volume_type="st1",
    read_ms=4.0,
    write_ms=3.0,
    sequential_ms=2.0,
    variation=0.7,
    lane_bytes_s=300 * MIB,
    lanes=4,
    concurrency=32,
    throughput_bytes_s=250 * MIB,
    provisioned_iops=None,
    usual_iops=25,
    backup_bytes=1024 * KIB,
    counts_errors=False,
    credits=BurstCredits(earned_s=40 * MIB, burst_s=250 * MIB, bucket=1024 * 1024 * MIB, are_bytes=True),
)
SAN: Final = DeviceClass(
    volume_type="san",
    read_ms=1.2,
    write_ms=0.5,  # into the array's mirrored memory
    sequential_ms=0.8,
    variation=1.2,  # a read from the array's memory or from a spindle
    lane_bytes_s=200 * MIB,
    lanes=8,
    concurrency=64,
    throughput_bytes_s=800 * MIB,
    provisioned_iops=None,
    usual_iops=400,
    backup_bytes=512 * KIB,
    counts_errors=True,
)
