"""Which stream a host's device is, and which devices are whole disks, by their names alone."""

import re
from typing import Final

# Memory, files, removable media, and what only stands on other disks (dm, md). mmcblk0boot0 and rpmb are firmware;
# nvme0c1n1 is one path of nvme0n1. The agent leaves out the same.
NOT_A_DISK: Final = re.compile(
    r"(loop|ram|zram|dm-|md|sr|scd|fd|nbd|drbd|bcache)\d|mmcblk\d+(boot|rpmb)|nvme\d+c\d+n\d+"
)
PARTITION: Final = re.compile(r"([hsv]d|xvd|dasd)[a-z]+\d+|(nvme\d+n|mmcblk|pmem|rbd)\d+p\d+")
PORT: Final = re.compile(r":\d+$")
NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9._@+=-]")
HOST_LIMIT: Final = 120  # characters; host, colon and device stay under a stream id's 200
DEVICE_LIMIT: Final = 70


def is_whole_disk(device: str) -> bool:
    """Whether a device's name is that of a whole disk.

    >>> [name for name in ("sda", "sda1", "nvme0n1", "nvme0n1p2", "loop7", "dm-0") if is_whole_disk(name)]
    ['sda', 'nvme0n1']
    """
    return bool(device) and not NOT_A_DISK.match(device) and not PARTITION.fullmatch(device)


def stream_of(host: str, device: str) -> str:
    """The stream of a device, in the letters that a stream id may have.

    >>> stream_of("web-1", "nvme0n1"), stream_of("_db 1", "cciss/c0d0")
    ('web-1:nvme0n1', 'db-1:cciss-c0d0')
    """
    return f"{_clean(host, HOST_LIMIT)}:{_clean(device, DEVICE_LIMIT)}"


def instance_to_host(instance: str) -> str:
    """The host of a scraped address.

    >>> instance_to_host("web-1:9100"), instance_to_host("[2001:db8::1]:9100"), instance_to_host("http://web-1:9100/m")
    ('web-1', '2001:db8::1', 'web-1')
    """
    address = instance.rpartition("://")[2].partition("/")[0]
    return PORT.sub("", address).strip("[]")


def _clean(name: str, limit: int) -> str:
    return NOT_IN_AN_ID.sub("-", name).lstrip("._@+=-")[:limit] or "unnamed"
