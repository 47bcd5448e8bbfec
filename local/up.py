"""The whole system on one laptop: everything started in order, watched, and ended in reverse."""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import typer

from iops import clock
from iops.flags import Flags
from iops.table import Table
from local import ministack
from local.errors import CannotRun, PortTaken, StopRequested
from local.keys import KeyFiles, make_keys, read_peppers
from local.lock import lock_directory, lock_state, usable
from local.resources import ACCESS_KEY, REGION, create_resources, open_client
from local.secrets import make_secrets
from local.supervisor import ROOT, Child, Supervisor

SERVICES: Final = ("ingest", "insights", "alerts")
INTERNAL: Final = ("ministack", "mailbox", *SERVICES)  # each on a free port, known to nobody else
NOT_FOR_CHILDREN: Final = frozenset({"IOPS_OUT", "IOPS_API_KEY", "IOPS_API_KEY_FILE"})
DEFAULT_PORT: Final = 8080  # where the `iops` command looks, too
MINISTACK_VENV: Final = ROOT / ".local" / "ministack" / "venv"  # one for all state directories of this clone

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What a person may choose."""

    state_dir: Path = Path(".local")
    port: int = DEFAULT_PORT  # 0 is any free one
    agent: bool = True  # watch this machine's own disks


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything of one run listens and lies; paths are absolute, because the programs run elsewhere."""

    state_dir: Path
    port: int
    internal_ports: Mapping[str, int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mail_dir(self) -> Path:
        return self.state_dir / "mail"

    @property
    def flags_file(self) -> Path:
        """For a person to edit while everything runs."""
        return self.state_dir / "flags.json"

    @property
    def secrets_file(self) -> Path:
        """Mode 600; for a person to edit while everything runs."""
        return self.state_dir / "secrets.json"

    @property
    def key_files(self) -> KeyFiles:
        """Mode 600; what this machine's agent, and whoever works in this folder, prove themselves with."""
        return KeyFiles(agent=self.state_dir / "agent.key", operator=self.state_dir / "operator.token")

    @property
    def ministack_dir(self) -> Path:
        """What ministack keeps."""
        return self.state_dir / "ministack" / "state"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "logs"

    def internal_url(self, name: str) -> str:
        """Where a program other than the gateway listens."""
        return f"http://127.0.0.1:{self.internal_ports[name]}"


def up(options: UpOptions, *, say: Say = typer.echo) -> int:
    """Runs until Ctrl-C or SIGTERM (exit code 0), or until something that should run does not (1)."""
    state_dir = options.state_dir.resolve()
    try:
        with lock_directory(state_dir), lock_state(state_dir, say=say) as state_lock:
            plan = make_plan(state_dir, options.port)
            with usable(state_dir):
                plan.mail_dir.mkdir(exist_ok=True)
                plan.ministack_dir.mkdir(parents=True, exist_ok=True)
                write_default_flags(plan.flags_file)
                make_secrets(plan.secrets_file, clock.now(), secrets.token_bytes)
            ministack.check_state(plan.ministack_dir)
            program = ministack.install(MINISTACK_VENV, say=say)
            _run(plan, program, state_lock=state_lock, has_agent=options.agent and _has_diskstats(say), say=say)
    except CannotRun as error:
        typer.echo(f"iops up: {error}", err=True)
        return 1
    except (StopRequested, KeyboardInterrupt):
        say("stopped")
    return 0


def make_plan(state_dir: Path, port: int) -> Plan:
    """Chooses the ports. Raises PortTaken when `port` is."""
    with ExitStack() as held:  # all at once, so that no two are the same
        port = _bind(held, port)
        return Plan(state_dir, port, {name: _bind(held, 0) for name in INTERNAL})


def write_default_flags(path: Path) -> None:
    """Unless it is there: what somebody has set stays, right or wrong."""
    if path.exists():
        return
    draft = path.with_suffix(".json.part")
    draft.write_text(Flags().model_dump_json(indent=2) + "\n")
    draft.replace(path)


def greeting(plan: Plan) -> str:
    """Where everything is, and what to type next: as it works on this port."""
    iops = _shown(Path(sys.executable).with_name("iops"))
    there = "" if plan.port == DEFAULT_PORT else f" --url {plan.url}"
    return (
        f"ready: {plan.url}\n"
        f"  mail: {_shown(plan.mail_dir)}\n"
        f"  logs: {_shown(plan.log_dir)}\n"
        f"  flags: {_shown(plan.flags_file)}\n"
        f"  keys: {_shown(plan.key_files.agent)} sends, {_shown(plan.key_files.operator)} may all\n"
        f"  look: `{iops} open{there}` in a second terminal\n"
        f"  try `{iops} demo{there}` there too; Ctrl-C here ends all of it"
    )


def children_environment(plan: Plan, shell: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables without anything that could lead to a real AWS account, or through a proxy to ourselves.

    And without IOPS_OUT, which would make the agent write a file instead of sending, and without keys of another place.
    """
    kept = {
        name: value for name, value in shell.items() if not name.startswith("AWS_") and name not in NOT_FOR_CHILDREN
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",  # the last words of a program that died are in its log
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "IOPS_AWS_ENDPOINT_URL": plan.internal_url("ministack"),
        "IOPS_AWS_REGION": REGION,
        "IOPS_AUTH": "on",
        "IOPS_DOCS": "true",  # everything listens on 127.0.0.1
        "IOPS_FLAGS_FILE": str(plan.flags_file),
        "IOPS_SECRETS_FILE": str(plan.secrets_file),
        "IOPS_PUBLIC_URL": plan.url,
        "IOPS_URL": plan.url,
        "IOPS_SPOOL_DIR": str(plan.state_dir / "agent-spool"),
        "IOPS_LOCAL_AWS_ENDPOINT_URL": plan.internal_url("ministack"),
        "IOPS_LOCAL_MAIL_DIR": str(plan.mail_dir),
        **{f"IOPS_LOCAL_{name.upper()}_URL": plan.internal_url(name) for name in SERVICES},
    }


def _run(plan: Plan, program: Path, *, state_lock: int, has_agent: bool, say: Say) -> None:
    _facts_path(plan).unlink(missing_ok=True)  # a run that was killed left it
    supervisor = Supervisor(plan.log_dir)
    with _stopping_by_signal(supervisor), supervisor:
        for child in _children(plan, program, state_lock=state_lock, has_agent=has_agent):
            supervisor.start(child)
            if child.name == "mailbox":  # the services expect their resources, and the topic its subscriber
                asyncio.run(_furnish(plan))
            say(f"started {child.name}")
        with ministack.saving(plan.ministack_dir, supervisor), _announced(plan, supervisor.pids):
            say(greeting(plan))
            supervisor.watch()


async def _furnish(plan: Plan) -> None:
    await create_resources(plan.internal_url("ministack"), mail_url=_mail_url(plan))
    peppers = await read_peppers(plan.secrets_file)
    async with open_client("dynamodb", plan.internal_url("ministack")) as dynamodb:
        await make_keys(Table(dynamodb), peppers, plan.key_files, clock.now(), secrets.token_bytes)


def _children(plan: Plan, program: Path, *, state_lock: int, has_agent: bool) -> Iterator[Child]:
    environment = children_environment(plan, os.environ)
    port = plan.internal_ports["ministack"]
    cloud = ministack.describe(program, port=port, state_dir=plan.ministack_dir, environment=environment)
    yield replace(cloud, kept_open=(state_lock,))
    yield _web_child("mailbox", "local.mailbox:create_app", plan.internal_ports["mailbox"], environment)
    for name in SERVICES:
        yield _service_child(name, plan.internal_ports[name], environment)
    place = {"IOPS_LISTEN_HOST": "127.0.0.1", "IOPS_LISTEN_PORT": str(plan.port)}
    command = (sys.executable, "-m", "local.gateway")
    yield Child("gateway", command, {**environment, **place}, ready_url=f"{plan.url}/health/ready")
    if has_agent:
        key = {"IOPS_API_KEY_FILE": str(plan.key_files.agent)}
        yield Child("agent", (sys.executable, "-m", "agent"), environment | key)


def _service_child(name: str, port: int, environment: Mapping[str, str]) -> Child:
    # The gateway says who asks; it is the only one that knows the port.
    place = {"IOPS_LISTEN_HOST": "127.0.0.1", "IOPS_LISTEN_PORT": str(port), "IOPS_TRUSTED_PROXIES": "127.0.0.1"}
    command = (sys.executable, "-m", f"services.{name}")
    return Child(name, command, {**environment, **place}, ready_url=f"http://127.0.0.1:{port}/health/ready")


def _web_child(name: str, factory: str, port: int, environment: Mapping[str, str]) -> Child:
    command = (
        *(sys.executable, "-m", "uvicorn", factory, "--factory"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--no-access-log", "--no-server-header", "--no-use-colors"),
        *("--timeout-graceful-shutdown", "8"),  # below the supervisor's patience of 10 s
    )
    return Child(name, command, environment, ready_url=f"http://127.0.0.1:{port}/health/ready")


def _mail_url(plan: Plan) -> str:
    return f"{plan.internal_url('mailbox')}/sns"


def _has_diskstats(say: Say) -> bool:
    path = Path(os.environ.get("IOPS_PROC_ROOT", "/proc")) / "diskstats"
    if not path.is_file():
        say(f"this machine's own disks are not watched: there is no {path} (that needs Linux)")
    return path.is_file()


@contextmanager
def _stopping_by_signal(supervisor: Supervisor) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal ask for the end, however often, until everything has ended."""
    before = {
        number: signal.signal(number, lambda *_: supervisor.request_stop())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _announced(plan: Plan, pids: Mapping[str, int]) -> Iterator[None]:
    """`up.json` for other programs: it exists while everything is ready."""
    path = _facts_path(plan)
    facts = {
        "url": plan.url,
        "aws_endpoint_url": plan.internal_url("ministack"),
        "mail_dir": str(plan.mail_dir),
        "log_dir": str(plan.log_dir),
        "agent_key_file": str(plan.key_files.agent),
        "operator_token_file": str(plan.key_files.operator),
        "pid": os.getpid(),
        "pids": dict(pids),
    }
    draft = path.with_suffix(".json.part")
    draft.write_text(json.dumps(facts, indent=2) + "\n")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _shown(path: Path) -> Path:
    """As a person in this folder would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _facts_path(plan: Plan) -> Path:
    return plan.state_dir / "up.json"


def _bind(held: ExitStack, port: int) -> int:
    """The port, or any free one for 0, held until `held` ends."""
    listener = held.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does: a port in TIME_WAIT is free
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise PortTaken(f"127.0.0.1:{port} cannot be used ({error.strerror}); choose another with --port") from error
    bound: int = listener.getsockname()[1]
    return bound
