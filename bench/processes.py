"""The programs that a measurement starts: on free ports of 127.0.0.1, each a process of its own, ended with it."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local import resources
from local.supervisor import Child, Supervisor

HOST: Final = "127.0.0.1"
# 200 streams tell of 10 and 20 samples a second here, as a fleet of thousands would; the rate of one is not the matter.
UNLIMITED: Final = {"IOPS_STREAM_RATE": "100000", "IOPS_STREAM_BURST": "100000"}
PASSED_ON: Final = ("IOPS_STORE_LINGER_MS",)  # what is worth measuring in several values


@contextmanager
def supervised() -> Iterator[tuple[Supervisor, Path]]:
    """A supervisor, and a directory for logs and data that goes with it."""
    with tempfile.TemporaryDirectory(prefix="iops-bench-") as directory, Supervisor(Path(directory) / "logs") as ours:
        yield ours, Path(directory)


def free_port() -> int:
    """A port that nobody listens on, as of now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def url_of(port: int) -> str:
    """Where a program on `port` answers."""
    return f"http://{HOST}:{port}"


def table_double(port: int, *options: str) -> Child:
    """The table double."""
    command = (sys.executable, "-m", "bench.table_double", "--port", str(port), *options)
    return Child("table-double", command, environment(), ready_url=url_of(port))


def web(name: str, factory: str, port: int) -> Child:
    """An app in one uvicorn worker, on uvloop and httptools as a service is."""
    command = (
        *(sys.executable, "-m", "uvicorn", factory, "--factory"),
        *("--host", HOST, "--port", str(port), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--no-server-header", "--no-use-colors"),
    )
    return Child(name, command, environment(), ready_url=f"{url_of(port)}/health/ready")


def ingest(port: int, table_port: int, settings: Mapping[str, str] | None = None, *, name: str = "ingest") -> Child:
    """The ingest service on the table double, which takes more of a stream than any stream sends."""
    given = {"IOPS_AWS_ENDPOINT_URL": url_of(table_port), "IOPS_AUTH": "off", "IOPS_LISTEN_PORT": str(port)}
    command = (sys.executable, "-m", "services.ingest")
    seen = environment(given | UNLIMITED | passed_on() | dict(settings or {}))
    return Child(name, command, seen, ready_url=f"{url_of(port)}/health/ready")


def passed_on() -> dict[str, str]:
    """What ingest takes over from the environment of the measurement."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child sees: no account of AWS, no settings of the person who measures, and the settings given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "IOPS_"))}
    ours = {
        "AWS_ACCESS_KEY_ID": resources.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": resources.ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": HOST,
        "no_proxy": HOST,
    }
    return {**inherited, **ours, **(settings or {})}


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its threads have used, in user and kernel, in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu_s() -> float:
    """Seconds of CPU that all programs of this machine have used, and those that its host took away."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, _machine_counters())
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _machine_counters() -> list[str]:
    return Path("/proc/stat").read_text().splitlines()[0].split()[1:9]


def rss_bytes(pid: int) -> int:
    """The memory that a process holds."""
    return _status_bytes(pid, "VmRSS")


def peak_rss_bytes(pid: int) -> int:
    """The most memory that a process has held since it began."""
    return _status_bytes(pid, "VmHWM")


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
