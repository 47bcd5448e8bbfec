"""Starts programs in order, watches them, and ends them in reverse."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import httpx

from local.errors import ChildDied, StateDirUnusable, StopRequested

ROOT: Final = Path(__file__).parents[1]  # where `services` and `agent` can be imported
LAUNCHER: Final = Path(__file__).with_name("launch.py")
POLL_S: Final = 0.05
PROBE_TIMEOUT_S: Final = 2.0  # a service whose readiness asks AWS may take a moment
LOG_TAIL_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Child:
    """A program to run; `ready_url` answers 200 when it is ready, None means that running is ready enough."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready_url: str | None = None
    ready_deadline_s: float = 30.0
    stop_deadline_s: float = 10.0
    kept_open: tuple[int, ...] = ()  # descriptors that it inherits


class Supervisor:
    """A context: what was started in it is ended when it is left. Its methods block; call them from one thread."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: list[tuple[Child, subprocess.Popen[bytes]]] = []
        self._is_stop_requested = False  # an Event would wait for its own lock, where the signal comes while it is held

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """The process of each running program; it leads a process group of its own."""
        return {child.name: process.pid for child, process in self._running}

    def request_stop(self) -> None:
        """Ends `start` and `watch` with StopRequested; safe in a signal handler."""
        self._is_stop_requested = True

    def start(self, child: Child) -> None:
        """Starts `child` and waits until it is ready.

        Raises ChildDied when it, or any other, ends meanwhile, and when it is not ready in time.
        """
        self._raise_if_over()
        self._running.append((child, self._spawn(child)))
        deadline = time.monotonic() + child.ready_deadline_s
        with httpx.Client(trust_env=False, timeout=PROBE_TIMEOUT_S) as client:
            while not _is_ready(child, client):
                self._raise_if_over()
                if time.monotonic() > deadline:
                    raise ChildDied(self._obituary(child, f"was not ready after {child.ready_deadline_s:g} s"))
                time.sleep(POLL_S)
        self._raise_if_over()  # what answered may have been another program on its port

    def watch(self) -> None:
        """Returns never: StopRequested when asked to stop, ChildDied when a child ends."""
        while True:
            self._raise_if_over()
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Ends all, last started first: SIGTERM, and SIGKILL for what does not follow in time."""
        while self._running:
            child, process = self._running.pop()
            _end(process, child.stop_deadline_s)

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()))
        with self._open_log(child) as log:
            return subprocess.Popen(  # noqa: S603 -- our own commands, no shell
                (*launcher, *child.command),
                cwd=ROOT,
                env=dict(child.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C reaches only the supervisor, which knows the order
                pass_fds=child.kept_open,
            )

    def _open_log(self, child: Child) -> BinaryIO:
        path = self._log_path(child)
        try:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.replace(path.with_suffix(".log.1"))  # the last run's end is worth keeping
            return path.open("wb")
        except OSError as error:
            raise StateDirUnusable(f"{path} cannot be written ({error.strerror})") from error

    def _raise_if_over(self) -> None:
        if self._is_stop_requested:
            raise StopRequested
        for child, process in self._running:
            if (code := process.poll()) is not None:
                raise ChildDied(self._obituary(child, f"ended ({_exit_code_to_text(code)})"))

    def _obituary(self, child: Child, what: str) -> str:
        path = self._log_path(child)
        return f"{child.name} {what}; the end of {path}:\n{_tail(path)}"

    def _log_path(self, child: Child) -> Path:
        return self._log_dir / f"{child.name}.log"


def _is_ready(child: Child, client: httpx.Client) -> bool:
    if child.ready_url is None:
        return True
    try:
        return client.get(child.ready_url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _end(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(deadline_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as log:
        return "".join(f"  | {line.rstrip()}\n" for line in deque(log, maxlen=LOG_TAIL_LINES)) or "  | (empty)\n"


def _exit_code_to_text(code: int) -> str:
    """What a shell user would say of a return code.

    >>> _exit_code_to_text(3), _exit_code_to_text(-9)
    ('exit code 3', 'killed by SIGKILL')
    """
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
