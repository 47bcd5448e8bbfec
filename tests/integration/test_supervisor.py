"""The supervisor, with real child processes that do little."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from local.errors import ChildDied, StopRequested
from local.supervisor import ROOT, Child, Supervisor


def a_child(name: str = "worker", script: str = "exec sleep 60", **fields: Any) -> Child:
    return Child(name, ("/bin/sh", "-c", script), {"PATH": os.environ["PATH"]}, **fields)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as supervisor:
        yield supervisor


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_dies_is_named_and_the_rest_end(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(a_child("table"))
        supervisor.start(a_child("ingest"))
        pids = supervisor.pids
        os.kill(pids["ingest"], signal.SIGKILL)
        with pytest.raises(ChildDied, match=r"^ingest ended \(killed by SIGKILL\)"):
            supervisor.watch()

    assert not any(is_running(pid) for pid in pids.values())


def test_a_child_that_dies_while_starting_is_named_with_its_last_words(supervisor: Supervisor) -> None:
    script = "for i in $(seq 30); do echo line $i; done; exit 3"

    with pytest.raises(ChildDied) as caught:
        supervisor.start(a_child("ingest", script, ready_url="http://127.0.0.1:1/"))

    text = str(caught.value)
    assert text.startswith("ingest ended (exit code 3)")
    assert "line 11\n" in text
    assert "line 10\n" not in text


def test_a_child_that_is_never_ready_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(ChildDied, match=r"worker was not ready after 0\.1 s"):
        supervisor.start(a_child(ready_url="http://127.0.0.1:1/", ready_deadline_s=0.1))


def test_an_earlier_child_that_dies_is_blamed_rather_than_the_one_that_waits_for_it(supervisor: Supervisor) -> None:
    supervisor.start(a_child("table"))
    os.kill(supervisor.pids["table"], signal.SIGTERM)

    with pytest.raises(ChildDied, match=r"^table ended \(killed by SIGTERM\)"):
        supervisor.start(a_child("ingest", ready_url="http://127.0.0.1:1/"))


def test_a_request_to_stop_ends_the_watch(supervisor: Supervisor) -> None:
    supervisor.start(a_child())
    threading.Timer(0.05, supervisor.request_stop).start()

    with pytest.raises(StopRequested):
        supervisor.watch()


def test_children_end_in_reverse_order_and_gracefully(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    with Supervisor(tmp_path) as supervisor:
        for name in ("first", "second"):
            script = f"trap 'echo {name} >> {ends}; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
            supervisor.start(a_child(name, script))
            wait_for_line(tmp_path / f"{name}.log", "ready")

    assert ends.read_text().split() == ["second", "first"]


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(a_child("deaf", "trap '' TERM; echo ready; sleep 60", stop_deadline_s=0.1))
        wait_for_line(tmp_path / "deaf.log", "ready")
        pid = supervisor.pids["deaf"]

    assert not is_running(pid)


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for number in (1, 2):
        with Supervisor(tmp_path) as supervisor:
            supervisor.start(a_child("worker", f"echo run {number}; exec sleep 60"))
            wait_for_line(tmp_path / "worker.log", f"run {number}")

    assert (tmp_path / "worker.log").read_text() == "run 2\n"
    assert (tmp_path / "worker.log.1").read_text() == "run 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from local.supervisor import Child, Supervisor
        supervisor = Supervisor(Path({str(tmp_path)!r}))
        supervisor.start(Child("worker", ("/bin/sh", "-c", "echo ready; exec sleep 60"), {{}}))
        print(supervisor.pids["worker"], flush=True)
        supervisor.watch()
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for_line(tmp_path / "worker.log", "ready")
        parent.kill()

    deadline = time.monotonic() + 5
    while is_running(pid) and not is_zombie(pid):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.01)


def is_zombie(pid: int) -> bool:
    """Dead, but nobody has asked for its exit code: an orphan in a container whose first process does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for_line(path: Path, line: str) -> None:
    deadline = time.monotonic() + 5
    while not path.exists() or line not in path.read_text().splitlines():
        assert time.monotonic() < deadline, f"{line!r} never came in {path}"
        time.sleep(0.01)


@pytest.mark.parametrize("line", range(0, 60, 4))
def test_a_signal_at_any_moment_ends_the_watch(supervisor: Supervisor, line: int) -> None:
    """A handler runs between two lines of what it interrupts, whatever that holds."""
    seen = 0

    def interrupt(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        seen += 1
        if seen >= line:
            sys.settrace(None)
            supervisor.request_stop()
        return interrupt

    def watch() -> None:
        sys.settrace(interrupt)
        with suppress(StopRequested):
            supervisor.watch()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    thread.join(timeout=10)

    assert not thread.is_alive()
