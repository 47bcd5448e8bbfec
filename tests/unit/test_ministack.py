"""What is checked of ministack's state before and after a run, and how it is installed."""

import fcntl
from pathlib import Path

import pytest

from local import ministack
from local.errors import ChildDied, NotSaved, StateDamaged, StopRequested
from local.supervisor import Supervisor


def test_a_state_file_cut_in_half_is_named(tmp_path: Path) -> None:
    (tmp_path / "sqs.json").write_text('{"payload": {}}')
    (tmp_path / "dynamodb.json").write_text('{"payload": {"tables": {"a": ')

    with pytest.raises(StateDamaged, match=r"dynamodb\.json is damaged .* move it away"):
        ministack.check_state(tmp_path)


def test_whole_state_files_and_none_are_fine(tmp_path: Path) -> None:
    ministack.check_state(tmp_path / "absent")
    (tmp_path / "dynamodb.json").write_text("{}")
    ministack.check_state(tmp_path)


def test_a_stop_without_a_saved_table_is_said_with_what_else_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "dynamodb.json").write_text("{}")

    with (
        pytest.raises(NotSaved, match=r"was not saved in .*\nministack ended"),
        ministack.saving(tmp_path, Supervisor(tmp_path)),
    ):
        raise ChildDied("ministack ended")


def test_a_stop_after_which_the_table_is_saved_is_a_stop(tmp_path: Path) -> None:
    def stop() -> None:
        (tmp_path / "dynamodb.json").write_text("{}")
        raise StopRequested

    with pytest.raises(StopRequested), ministack.saving(tmp_path, Supervisor(tmp_path)):
        stop()


def test_only_one_installs_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.touch()

    def make(*command: str) -> None:
        (tmp_path / "venv").mkdir(exist_ok=True)
        with (tmp_path / "venv.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(ministack, "_run", make)

    ministack.install(tmp_path / "venv", requirements, say=print)
