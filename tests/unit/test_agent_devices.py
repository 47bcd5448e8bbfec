"""Which devices are watched, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from agent.devices import choose_devices, name_to_id
from iops.telemetry import StreamId

ALL = [
    *("sda", "sda1", "vda", "vda1", "xvda1", "nvme0n1", "nvme0n1p1", "nvme0c1n1", "cciss/c0d0"),
    *("mmcblk0", "mmcblk0p1", "mmcblk0boot0", "loop0", "ram0", "zram0", "dm-0", "md0", "sr0", "fd0", "nbd0"),
]


@pytest.fixture
def sys_root(tmp_path: Path) -> Path:
    """A machine of which `xvda1` is a whole disk, as on an old EC2 instance."""
    parts = {"sda1", "vda1", "nvme0n1p1", "mmcblk0p1"}
    for name in set(ALL) - parts:
        (tmp_path / "block" / name.replace("/", "!")).mkdir(parents=True)
    return tmp_path


def test_whole_real_disks_are_watched(sys_root: Path) -> None:
    chosen = choose_devices(ALL, asked=(), sys_root=sys_root)

    assert chosen == {"sda", "vda", "xvda1", "nvme0n1", "mmcblk0", "cciss/c0d0"}


def test_without_sys_partitions_are_told_by_their_names(tmp_path: Path) -> None:
    chosen = choose_devices(ALL, asked=(), sys_root=tmp_path / "absent")

    assert chosen == {"sda", "vda", "nvme0n1", "mmcblk0", "cciss/c0d0"}


def test_what_is_asked_for_is_watched_whatever_it_is(sys_root: Path) -> None:
    assert choose_devices(ALL, asked=("loop0", "/dev/dm-0", "absent"), sys_root=sys_root) == {"loop0", "dm-0"}


def test_hosts_of_other_alphabets_stay_apart() -> None:
    assert name_to_id("東京") != name_to_id("大阪")
    assert name_to_id("größe") != name_to_id("grüße")


@pytest.mark.parametrize("name", ["cciss/c0d0", "web 1", "-", "", "ä", "ä" * 500, "\udcff", "x" * 500, "a#b\n"])
def test_any_name_becomes_a_valid_part_of_a_stream_id(name: str) -> None:
    TypeAdapter(StreamId).validate_python(f"{name_to_id(name)}:vda")
