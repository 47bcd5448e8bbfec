"""Whose a state directory is, and for how long."""

import fcntl
import os
import signal
from pathlib import Path
from typing import TextIO

import pytest

from local import lock
from local.errors import AlreadyRunning, StateDirUnusable
from local.supervisor import Child, Supervisor


def taken(path: Path) -> TextIO:
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_a_state_that_is_still_being_saved_is_waited_for(tmp_path: Path) -> None:
    saver = taken(tmp_path / "state.lock")
    said = []

    def end_the_saver(text: str) -> None:
        said.append(text)
        saver.close()

    with lock.lock_state(tmp_path, say=end_the_saver):
        assert said == ["the last run was killed and is still saving; waiting for it"]


def test_a_state_that_is_never_given_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SAVING_LIMIT_S", 0.0)

    with (
        taken(tmp_path / "state.lock"),
        pytest.raises(AlreadyRunning, match=f"still holds {tmp_path}"),
        lock.lock_state(tmp_path, say=print),
    ):
        pass


def test_an_inherited_lock_ends_with_the_last_that_holds_it(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        with lock.lock_state(tmp_path, say=print) as descriptor:
            environment = {"PATH": os.environ["PATH"]}
            supervisor.start(Child("saver", ("sleep", "60"), environment, kept_open=(descriptor,)))
            supervisor.start(Child("other", ("sleep", "60"), environment))
        with (tmp_path / "state.lock").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(supervisor.pids["saver"], signal.SIGKILL)
        with lock.lock_state(tmp_path, say=print):
            os.kill(supervisor.pids["other"], 0)  # still there, and without the lock


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(StateDirUnusable, match=r"file cannot be used \(File exists\); choose another with --state-dir"),
        lock.lock_directory(tmp_path / "file"),
    ):
        pass
