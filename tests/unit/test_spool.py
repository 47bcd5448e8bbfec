"""The spool: what is put comes back in order, after a restart, within its limit."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from agent.spool import Spool

LIMIT_BYTES = 1_000_000


def a_body(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def drain(spool: Spool) -> list[str]:
    texts = []
    while found := spool.oldest():
        name, body = found
        texts.append(gzip.decompress(body).decode())
        spool.remove(name)
    return texts


def a_spool(folder: Path, *texts: str, limit_bytes: int = LIMIT_BYTES) -> Spool:
    spool = Spool(folder, limit_bytes=limit_bytes)
    for text in texts:
        spool.put(a_body(text))
    return spool


def test_bodies_come_back_oldest_first_and_leave_nothing_behind(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "spool", "one", "two", "three")

    assert drain(spool) == ["one", "two", "three"]
    assert (len(spool), spool.size_bytes, list((tmp_path / "spool").iterdir())) == (0, 0, [])


def test_a_body_that_is_not_removed_stays_the_oldest(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, "one", "two")

    assert spool.oldest() == spool.oldest()


def test_bodies_survive_a_restart_and_new_ones_go_behind_them(tmp_path: Path) -> None:
    a_spool(tmp_path, *(f"before {number}" for number in range(11)))

    spool = a_spool(tmp_path, "after")

    assert drain(spool) == [*(f"before {number}" for number in range(11)), "after"]


def test_the_oldest_make_room_and_are_counted(tmp_path: Path) -> None:
    size_bytes = len(a_body("body 0"))

    spool = a_spool(tmp_path, *(f"body {number}" for number in range(5)), limit_bytes=3 * size_bytes)

    assert spool.dropped == 2
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 3 * size_bytes
    assert drain(spool) == ["body 2", "body 3", "body 4"]


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", a_body("one")[:-3], a_body("one")[:-8] + b"\0" * 8, b"{}"])
def test_a_damaged_body_is_counted_removed_and_passed_over(tmp_path: Path, damage: bytes) -> None:
    a_spool(tmp_path, "one", "two")
    min(tmp_path.iterdir()).write_bytes(damage)

    spool = Spool(tmp_path, limit_bytes=LIMIT_BYTES)

    assert drain(spool) == ["two"]
    assert spool.damaged == 1
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "000000000007-1.json.gz.part").write_bytes(a_body("half")[:10])

    spool = Spool(tmp_path, limit_bytes=LIMIT_BYTES)

    assert (len(spool), list(tmp_path.iterdir())) == (0, [])


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "old.json.gz").write_text("mine too")

    spool = Spool(tmp_path, limit_bytes=LIMIT_BYTES)

    assert len(spool) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_somebody_removed_is_passed_over(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, "one", "two")
    min(tmp_path.iterdir()).unlink()

    assert drain(spool) == ["two"]


def test_a_disk_that_takes_nothing_is_an_error_and_keeps_no_half(tmp_path: Path) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file where the folder should be")
    spool = Spool(in_the_way, limit_bytes=LIMIT_BYTES)

    with pytest.raises(OSError, match="spool"):
        spool.put(a_body("one"))

    assert len(spool) == 0
