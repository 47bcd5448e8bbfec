"""What requirements/*.txt pin: a name, one version, the hashes of every file of it, and who wants it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

FOLDER: Final = Path(__file__).parents[1] / "requirements"
PROJECT: Final = "iops-dashboard"
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")
_VERSION: Final = re.compile(r"==[^*,]+")


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    hashes: tuple[str, ...]  # SHA-256, one per wheel or source archive
    wanted_by: tuple[str, ...]  # names of other pins, and PROJECT's where it asks for it itself

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def pins_of(text: str) -> list[Pin]:
    """The pins of one file, in its order; a ValueError names the first line that is anything else."""
    blocks = re.findall(r"^\S.*(?:\n[ \t]+.*)*", text, re.MULTILINE)
    return [_pin(block) for block in blocks if not block.startswith("#")]


def pins_of_file(program: str) -> list[Pin]:
    return pins_of((FOLDER / f"{program}.txt").read_text())


def _pin(block: str) -> Pin:
    lines = block.splitlines()
    said = " ".join(line.rstrip("\\ ") for line in lines if not line.lstrip().startswith("#"))
    if not (hashes := tuple(_HASH.findall(said))):
        raise ValueError(f"{lines[0]!r} has no hash")
    requirement = Requirement(_HASH.sub("", said).strip())  # InvalidRequirement is a ValueError: an option, a path
    if requirement.url:
        raise ValueError(f"{lines[0]!r} comes from an address")
    if not _VERSION.fullmatch(str(requirement.specifier)):
        raise ValueError(f"{lines[0]!r} is not one version")
    comments = " ".join(line.lstrip(" #") for line in lines[1:] if line.lstrip().startswith("#"))
    wanted_by = re.sub(r"^via|-[cr] \S+|\(\S+\)", " ", comments).split()
    return Pin(requirement.name, str(requirement.specifier)[2:], hashes, tuple(wanted_by))
