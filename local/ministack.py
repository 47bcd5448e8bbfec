"""ministack, the stand-in for AWS: installed into an environment of its own, run on 127.0.0.1.

Of its own because it pins another botocore than the services use. What it does not do, seen in 1.5.33: it gives up
after one failed delivery (EventBridge's and SNS's dead letter queues are accepted and stay empty), it never throttles,
it reads a whole partition for each Query, and it saves its state only when it is asked to end.
"""

import fcntl
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.errors import CannotRun, InstallFailed, NotSaved, StateDamaged, StopRequested
from local.supervisor import ROOT, Child, Supervisor

REQUIREMENTS: Final = ROOT / "requirements" / "ministack.txt"
INSTALL_TIMEOUT_S: Final = 600
STOP_DEADLINE_S: Final = 60.0  # it writes all state then: 30,000 chunks of 1 KB took 3 s


def install(venv_dir: Path, requirements: Path = REQUIREMENTS, *, say: Callable[[str], None]) -> Path:
    """The ministack program in `venv_dir`, installed there when it is not, or when `requirements` changed.

    About 20 s the first time. Raises InstallFailed.
    """
    with _locked(venv_dir):
        return _install(venv_dir, requirements, say=say)


def check_state(state_dir: Path) -> None:
    """Raises StateDamaged for a file that ministack would take for an empty one, and overwrite at its end.

    It reads all of them: 0.4 s for 150 MB.
    """
    for path in sorted(state_dir.glob("*.json")):
        try:
            json.loads(path.read_bytes())
        except (ValueError, OSError) as error:
            raise StateDamaged(
                f"{path} is damaged ({error}); move it away to start without what it held, "
                "or bring back a copy; nothing was changed"
            ) from error


@contextmanager
def saving(state_dir: Path, supervisor: Supervisor) -> Iterator[None]:
    """Ends everything with what is inside; raises NotSaved where ministack has then not written the table."""
    before_ns = _saved_at_ns(state_dir)
    try:
        yield
    except (CannotRun, StopRequested) as error:
        supervisor.stop()
        if _saved_at_ns(state_dir) == before_ns:
            raise NotSaved(
                f"what came since the start was not saved in {state_dir}; ministack.log may say why\n{error}".rstrip()
            ) from error
        raise


def describe(program: Path, *, port: int, state_dir: Path, environment: Mapping[str, str]) -> Child:
    """ministack as a child of a supervisor; it keeps its state in `state_dir` between runs."""
    temporary_dir = state_dir / "tmp"
    temporary_dir.mkdir(parents=True, exist_ok=True)
    settings = {
        "BIND_HOST": "127.0.0.1",  # it binds every interface unless told
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "MINISTACK_HOST": "127.0.0.1",  # the host in queue and subscription URLs; `localhost` may be ::1
        "PERSIST_STATE": "1",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(state_dir),
        "TMPDIR": str(temporary_dir),  # its pid file
    }
    return Child(
        name="ministack",
        command=(str(program),),
        environment={**environment, **settings},
        ready_url=f"http://127.0.0.1:{port}/_ministack/ready",
        stop_deadline_s=STOP_DEADLINE_S,
    )


def _saved_at_ns(state_dir: Path) -> int | None:
    path = state_dir / "dynamodb.json"
    return path.stat().st_mtime_ns if path.exists() else None


def _install(venv_dir: Path, requirements: Path, *, say: Callable[[str], None]) -> Path:
    program = venv_dir / "bin" / "ministack"
    stamp_path = venv_dir / "installed-from"
    stamp = f"{_digest(requirements)} {platform.python_version()} {venv_dir}"  # an environment cannot be moved
    if program.exists() and stamp_path.exists() and stamp_path.read_text() == stamp:
        return program
    say("installing ministack, the stand-in for AWS (once, about 20 s)")
    _run(sys.executable, "-m", "venv", "--clear", str(venv_dir))
    python = str(venv_dir / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes", "-r", str(requirements))
    stamp_path.write_text(stamp)  # last, so that half an installation is made again
    return program


@contextmanager
def _locked(venv_dir: Path) -> Iterator[None]:
    """One at a time: two that install at once would clear each other's half."""
    try:
        venv_dir.parent.mkdir(parents=True, exist_ok=True)
        lock = venv_dir.with_suffix(".lock").open("w")
    except OSError as error:
        raise InstallFailed(f"ministack cannot be installed at {venv_dir} ({error.strerror})") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(requirements: Path) -> str:
    try:
        content = requirements.read_bytes()
    except FileNotFoundError as error:
        raise InstallFailed(f"{requirements} is missing; run `up` from a clone of the repository") from error
    return hashlib.sha256(content).hexdigest()


def _run(*command: str) -> None:
    try:
        subprocess.run(  # noqa: S603 -- our own commands, no shell
            command,
            check=True,
            env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        output = getattr(error, "stdout", None) or str(error)
        lines = "\n".join(f"  | {line}" for line in str(output).splitlines()[-20:])
        raise InstallFailed(
            f"ministack could not be installed; does the package registry answer?\n  {' '.join(command)}\n{lines}"
        ) from error
