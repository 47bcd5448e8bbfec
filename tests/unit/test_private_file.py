"""Files with a secret: who else can read one is told, and none is made that others can read."""

from pathlib import Path

import pytest

from iops.errors import UnusableFile
from iops.private_file import read_private, write_private


def test_what_was_written_is_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, "iops_a_b")

    assert read_private(path) == "iops_a_b"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, "first")

    with pytest.raises(UnusableFile, match="is there already"):
        write_private(path, "second")
    assert read_private(path) == "first"


def test_a_link_is_not_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnusableFile):
        write_private(tmp_path / "key", "x")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_reach_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_private(path, "hidden")
    path.chmod(mode)

    with pytest.raises(UnusableFile, match=f"chmod 600 {path}") as refused:
        read_private(path)
    assert "hidden" not in refused.value.detail


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\x1b[31m", b"\xff\xfe", b"x" * 20_000], ids=len)
def test_what_is_no_single_line_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    write_private(path, "")
    path.write_bytes(content)

    with pytest.raises(UnusableFile, match="no key or token"):
        read_private(path)


def test_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UnusableFile):
            read_private(path)
