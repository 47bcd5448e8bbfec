"""Bodies that wait on disk for a server that is away: bounded, oldest dropped first, oldest sent first."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Final

SUFFIX: Final = ".json.gz"
UNFINISHED: Final = ".part"


class Spool:
    """A folder with one file per body. Every call touches the disk, so call from a thread, one at a time."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.dropped = 0  # bodies that made room for newer ones
        self.damaged = 0  # files that could not be read back
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._sizes = _find_bodies(folder)  # by file name, oldest first
        self._next = 1 + max((_sequence(name) for name in self._sizes), default=0)

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """What all bodies take together."""
        return sum(self._sizes.values())

    def put(self, body: bytes) -> None:
        """Keep a body, dropping the oldest where there is no room. Raises OSError when the disk will not take it."""
        name = f"{self._next:012d}-{os.getpid()}{SUFFIX}"  # the pid keeps two agents from overwriting one another
        self._make_room(len(body))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self._folder / f"{name}{UNFINISHED}"
        try:
            with unfinished.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._folder / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._next += 1
        self._sizes[name] = len(body)

    def oldest(self) -> tuple[str, bytes] | None:
        """The name and body of the oldest readable file; damaged ones before it are counted and removed."""
        while self._sizes:
            name = next(iter(self._sizes))
            body = _read_body(self._folder / name)
            if body is not None:
                return name, body
            self.damaged += 1
            self.remove(name)
        return None

    def remove(self, name: str) -> None:
        """Forget a body that was sent or refused."""
        self._sizes.pop(name, None)
        (self._folder / name).unlink(missing_ok=True)

    def _make_room(self, needed_bytes: int) -> None:
        while self._sizes and self.size_bytes + needed_bytes > self._limit_bytes:
            self.remove(next(iter(self._sizes)))
            self.dropped += 1


def _find_bodies(folder: Path) -> dict[str, int]:
    """Sizes by name, in the order they were written; what a crash left unfinished is removed."""
    if not folder.is_dir():
        return {}
    for path in folder.glob(f"*{SUFFIX}{UNFINISHED}"):
        path.unlink(missing_ok=True)
    paths = [path for path in folder.glob(f"*{SUFFIX}") if path.is_file() and path.name.split("-")[0].isdecimal()]
    return {path.name: path.stat().st_size for path in sorted(paths, key=lambda path: path.name)}


def _sequence(name: str) -> int:
    return int(name.split("-")[0])


def _read_body(path: Path) -> bytes | None:
    """A file's bytes if they are a whole gzip member (its checksum says so), else None."""
    try:
        body = path.read_bytes()
        gzip.decompress(body)
    except (OSError, EOFError, zlib.error):  # a gzip.BadGzipFile is an OSError
        return None
    return body or None
