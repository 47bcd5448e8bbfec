"""Files with one secret in them: read only where nobody else can read them, and made so from their first byte."""

import os
import stat
from pathlib import Path
from typing import Final

from iops.errors import UnusableFile

SIZE_LIMIT_BYTES: Final = 16 * 1024  # of a key, or of a token of people


def read_private(path: Path) -> str:
    """Its text without space around it. Raises UnusableFile, which says what to do and shows nothing of it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(descriptor))  # of the file that is open: nobody can put another in its place
            content = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from error
    text = content.decode("ascii", errors="replace").strip()
    if not text or len(content) > SIZE_LIMIT_BYTES or not text.isascii() or not text.isprintable():
        raise UnusableFile(f"{path} holds no key or token: one line, nothing else")
    return text


def write_private(path: Path, text: str) -> None:
    """A new file that only its owner can read. Raises UnusableFile where there is one already, or none can be made."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
    except FileExistsError as error:
        raise UnusableFile(f"{path} is there already; it stays as it is") from error
    except OSError as error:
        raise UnusableFile(f"{path} cannot be written: {error.strerror}") from error


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFile(f"{path} is no file")
    if status.st_uid not in (os.geteuid(), 0):
        raise UnusableFile(f"{path} is another user's: make it yours, then chmod 600 it")
    if status.st_mode & 0o077:
        raise UnusableFile(f"others can read {path}: chmod 600 {path}")
