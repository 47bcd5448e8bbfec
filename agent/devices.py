"""Which of the kernel's block devices are disks that somebody wants to watch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# Memory, files, removable media, and what only stands on other disks (dm, md): watched when asked for by name.
# mmcblk0boot0 and rpmb are firmware; nvme0c1n1 is one path of nvme0n1.
NOT_BY_DEFAULT: Final = re.compile(
    r"(loop|ram|zram|dm-|md|sr|scd|fd|nbd|drbd|bcache)\d|mmcblk\d+(boot|rpmb)|nvme\d+c\d+n\d+"
)
# Only where there is no /sys to ask: there, sda1 is a partition; with /sys, an old EC2's xvda1 is a disk.
PARTITION: Final = re.compile(r"([hsv]d|xvd|dasd)[a-z]+\d+|(nvme\d+n|mmcblk|pmem|rbd)\d+p\d+")
HOST_LIMIT: Final = 120  # characters; with a colon and a device name a stream id stays under its 200


def choose_devices(names: Iterable[str], *, asked: tuple[str, ...], sys_root: Path) -> frozenset[str]:
    """The devices to watch: those asked for, else every whole disk that is real."""
    if asked:
        return frozenset(names) & {name.removeprefix("/dev/") for name in asked}
    blocks = sys_root / "block"
    disks = {path.name for path in blocks.iterdir()} if blocks.is_dir() else None
    return frozenset(name for name in names if not NOT_BY_DEFAULT.match(name) and _is_whole(name, disks))


def name_to_id(name: str) -> str:
    """A host's or device's name in the letters that a stream id may have.

    >>> name_to_id("cciss/c0d0"), name_to_id("_db 1"), name_to_id("")
    ('cciss-c0d0', 'db-1', 'unnamed')
    >>> name_to_id("größe"), name_to_id("東京")
    ('gr--e-f35932de', '57bd8c1c')
    """
    if not name.isascii():  # two names of other alphabets would become one
        digest = hashlib.blake2s(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
        name = f"{name[: HOST_LIMIT - 9]}-{digest}"
    cleaned = re.sub(r"[^A-Za-z0-9._@+=-]", "-", name)
    return cleaned.lstrip("._@+=-")[:HOST_LIMIT] or "unnamed"


def _is_whole(name: str, disks: set[str] | None) -> bool:
    if disks is None:
        return not PARTITION.fullmatch(name)
    return name.replace("/", "!") in disks  # /sys cannot spell cciss/c0d0 otherwise
