"""What may stand in requirements/*.txt: versions with hashes, and no address."""

from pathlib import Path

import pytest

from tests.pins import FOLDER, Pin, pins_of

HASH = "0" * 63
WHEEL, SOURCE = f"{HASH}1", f"{HASH}2"
INDEX = "--extra-" + "index-url https://example.org/"  # in two parts: no file here may name an index


def test_a_pin_is_read_with_every_hash_and_who_wants_it() -> None:
    text = f"""\
cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\
    --hash=sha256:{WHEEL} \\
    --hash=sha256:{SOURCE}
    # via
    #   -c requirements/dev.txt
    #   cryptography
    #   iops-dashboard (pyproject.toml:ingest)
idna==3.20 \\
    --hash=sha256:{WHEEL}
    # via httpx
"""
    assert pins_of(text) == [
        Pin("cffi", "2.1.1", (WHEEL, SOURCE), ("cryptography", "iops-dashboard")),
        Pin("idna", "3.20", (WHEEL,), ("httpx",)),
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_one_version_with_hashes_and_no_address(path: Path) -> None:
    text = path.read_text()

    assert pins_of(text)
    assert "://" not in text


@pytest.mark.parametrize(
    "line",
    [
        "idna==3.20",
        f"idna>=3.20 --hash=sha256:{WHEEL}",
        f"idna==3.* --hash=sha256:{WHEEL}",
        f"idna==3.20 --hash=md5:{WHEEL}",
        f"idna==3.20 --hash=sha256:{WHEEL} {INDEX}",
        f"idna @ https://example.org/idna.whl --hash=sha256:{WHEEL}",
        f"idna @ git+https://example.org/idna --hash=sha256:{WHEEL}",
        f"./idna.whl --hash=sha256:{WHEEL}",
        INDEX,
        "-e git+https://example.org/idna#egg=idna",
        "-r more.txt",
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        pins_of(f"anyio==4.16.0 --hash=sha256:{WHEEL}\n{line}\n")
