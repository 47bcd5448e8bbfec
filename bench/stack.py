"""A whole stack of its own on free ports, in a directory that goes with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from iops.private_file import read_private

START_LIMIT_S: Final = 120.0  # ministack may have to be installed first
STOP_LIMIT_S: Final = 90.0
POLL_S: Final = 0.05
ROOT: Final = Path(__file__).parents[1]
UP: Final = """
import sys
from pathlib import Path
from local.up import UpOptions, up
sys.exit(up(UpOptions(state_dir=Path(sys.argv[1]), port=0, agent=False)))
"""


class StackFailed(Exception):
    """The stack did not start, or ended."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where it answers, where its mails lie, and what opens it."""

    url: str
    mail_dir: Path
    key: str = field(repr=False)  # of its operator


@contextmanager
def started_stack() -> Iterator[Stack]:
    """`iops up` without its agent, whose disks nobody asked about. Raises StackFailed."""
    with tempfile.TemporaryDirectory(prefix="iops-bench-") as directory:
        state_dir = Path(directory)
        log_path = state_dir / "up.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 -- our own program, no shell
                (sys.executable, "-c", UP, str(state_dir)), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            facts = _wait_for_facts(process, state_dir / "up.json", log_path)
            yield Stack(facts["url"], Path(facts["mail_dir"]), read_private(Path(facts["operator_token_file"])))
            if process.poll() is not None:
                raise StackFailed(f"the stack ended while it was measured: {_tail(log_path)}")
        finally:
            _stop(process)


def _wait_for_facts(process: subprocess.Popen[bytes], path: Path, log_path: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_LIMIT_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackFailed(f"the stack did not start: {_tail(log_path)}")
        time.sleep(POLL_S)
    facts: dict[str, str] = json.loads(path.read_text())
    return facts


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-2_000:]
