"""Whose a directory is; every lock ends with its holder, also with one that was killed."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from local.errors import AlreadyRunning, StateDirUnusable

SAVING_LIMIT_S: Final = 30.0  # for a ministack whose supervisor was killed
POLL_S: Final = 0.1


@contextmanager
def lock_directory(state_dir: Path) -> Iterator[None]:
    """Makes `state_dir` this process's. Raises AlreadyRunning when it is another's."""
    with usable(state_dir):
        state_dir.mkdir(parents=True, exist_ok=True)
        file = (state_dir / "up.lock").open("a+")
    with file:
        if not _take(file):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise AlreadyRunning(
                f"process {holder} already runs on {state_dir}; end it, or choose another state directory"
            )
        with usable(state_dir):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


@contextmanager
def lock_state(state_dir: Path, *, say: Callable[[str], None]) -> Iterator[int]:
    """A descriptor for ministack to inherit: after `up` was killed, the lock lasts until ministack has saved.

    Waits for that. Raises AlreadyRunning when it takes too long.
    """
    with usable(state_dir):
        file = (state_dir / "state.lock").open("w")
    with file:
        if not _take(file):
            say("the last run was killed and is still saving; waiting for it")
            _wait_for(file, state_dir)
        yield file.fileno()


@contextmanager
def usable(state_dir: Path) -> Iterator[None]:
    """Raises StateDirUnusable for what the file system refuses."""
    try:
        yield
    except OSError as error:
        raise StateDirUnusable(
            f"{state_dir} cannot be used ({error.strerror}); choose another with --state-dir"
        ) from error


def _wait_for(file: TextIO, state_dir: Path) -> None:
    deadline = time.monotonic() + SAVING_LIMIT_S
    while not _take(file):
        if time.monotonic() > deadline:
            raise AlreadyRunning(f"the last run's ministack still holds {state_dir} after {SAVING_LIMIT_S:g} s; end it")
        time.sleep(POLL_S)


def _take(file: TextIO) -> bool:
    """Takes the lock; False when another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
