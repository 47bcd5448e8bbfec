"""What has to be there before anything is changed; all that is missing is said at once, each with its next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cli.deploy.account import Account, AccountSaysNo
from cli.deploy.runner import Runner
from cli.deploy.stack import Stack, StackFails
from infra.config import Config
from infra.endpoint import ARCHIVE

PULUMI_LEAST: Final = (3, 200)  # of the SDK that requirements/infra.txt pins, or newer
PLATFORM: Final = "linux/arm64"  # Fargate on ARM costs a fifth less
TOOL_TIMEOUT_S: Final = 30.0
MODEL_ARCHIVE: Final = ARCHIVE.relative_to(ARCHIVE.parents[1])
VCPUS_LEAST: Final = 2.0  # three small tasks, and as many again while a deployment replaces them
REQUESTS_A_MINUTE_LEAST: Final = 5.0  # to the language model; a new account may have 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is about to happen, and what with."""

    stack: Stack
    run: Runner
    account: Account | None  # none where the stack's file has no region to ask in
    model_id: str
    builds: bool  # images are made, which a preview and a rollback do not do


def missing(asked: Asked) -> list[str]:
    """A sentence for each thing; empty where everything is there."""
    found = [*_pulumi(asked)]
    if asked.builds:
        found += [*_docker(asked.run), *_git(asked)]
    try:
        config = asked.stack.config()
    except StackFails as error:
        return [*found, *_credentials(asked.account), str(error)]
    return [*found, *_config(asked.stack, config), *_account(asked, config)]


def _pulumi(asked: Asked) -> Iterator[str]:
    version = asked.run(["pulumi", "version"], timeout_s=TOOL_TIMEOUT_S)
    numbers = re.match(r"v?(\d+)\.(\d+)", version.out.strip()) if version.is_good else None
    if numbers is None:
        yield f"pulumi: {version.reason}. Get it from https://www.pulumi.com/docs/install/, 3.200 or newer"
        return
    if tuple(map(int, numbers.groups())) < PULUMI_LEAST:
        yield f"pulumi: {version.out.strip()} is older than 3.200; see https://www.pulumi.com/docs/install/"
    who = asked.run(["pulumi", "whoami", "--non-interactive"], timeout_s=TOOL_TIMEOUT_S)
    if not who.is_good:
        yield "pulumi: it does not know where to keep the stack; `pulumi login`, or `pulumi login s3://BUCKET`"
        return
    name, folder = asked.stack.name, str(asked.stack.root / "infra")
    there = asked.run(
        ["pulumi", "stack", "select", name, "--cwd", folder, "--non-interactive"], timeout_s=TOOL_TIMEOUT_S
    )
    if not there.is_good:
        yield f"pulumi: there is no stack {name} ({there.reason}); make it with `pulumi stack init {name} --cwd infra`"


def _docker(run: Runner) -> Iterator[str]:
    docker = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_s=TOOL_TIMEOUT_S)
    if not docker.is_good:
        yield f"docker: {docker.reason}. Install it, start it: https://docs.docker.com/engine/install/"
        return
    buildx = run(["docker", "buildx", "inspect"], timeout_s=TOOL_TIMEOUT_S)
    if not buildx.is_good:
        yield f"docker buildx: {buildx.reason}. Install it: https://docs.docker.com/build/install-buildx/"
    elif PLATFORM not in buildx.out:
        yield f"docker buildx: it cannot build {PLATFORM}; run tonistiigi/binfmt, or build on an ARM machine"


def _git(asked: Asked) -> Iterator[str]:
    state = asked.run(["git", "status", "--porcelain"], timeout_s=TOOL_TIMEOUT_S)
    if not state.is_good:
        yield f"git: {state.reason}. An image is named by its commit, so this has to be a clone"
    elif state.out.strip() and asked.stack.name == "prod":
        files = ", ".join(line[3:] for line in state.out.splitlines()[:5])
        yield f"git: {files} differ from the commit that the image would be named by; commit or stash them"


def _config(stack: Stack, config: Config) -> Iterator[str]:
    if not config.alert_emails:  # prod is refused by checked() already
        yield "alert_emails: nobody would hear of alerts, nor see the proof; write one into the stack's file"
    if config.sagemaker != "off" and not (stack.root / MODEL_ARCHIVE).exists():
        yield f"sagemaker: {MODEL_ARCHIVE} is not there; `python -m ml pack` makes it"


def _credentials(account: Account | None) -> Iterator[str]:
    if account is None:
        yield "aws:region: the stack's file has none; write one, like us-east-1"
        return
    try:
        account.caller()
    except AccountSaysNo as error:
        yield f"credentials: {error}. `aws configure sso`, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"


def _account(asked: Asked, config: Config) -> Iterator[str]:
    """Nothing more is asked where nobody is known: each question would fail for the same reason."""
    nobody = [*_credentials(asked.account)]
    yield from nobody
    if nobody or asked.account is None:
        return
    yield from _certificate(asked.account, config)
    yield from _vcpus(asked.account, config)
    if config.has_bedrock:
        yield from _model(asked.account, asked.model_id)


def _certificate(account: Account, config: Config) -> Iterator[str]:
    if not config.certificate_arn:
        return
    try:
        state = account.certificate_state(config.certificate_arn)
    except AccountSaysNo as error:
        yield f"certificate_arn: {error}"
        return
    if state != "ISSUED":
        yield f"certificate_arn: it is {state}, not ISSUED; validate it in ACM (a DNS record, some minutes)"


def _vcpus(account: Account, config: Config) -> Iterator[str]:
    kinds = {"On-Demand"} | ({"Spot"} if config.spot_services else set())
    for kind in sorted(kinds):
        try:
            vcpus = account.quota("fargate", kind, "vCPU")
        except AccountSaysNo as error:
            yield f"quotas: {error}"
            continue
        if vcpus is not None and vcpus < VCPUS_LEAST:
            yield f"quotas: Fargate {kind} has {vcpus:g} vCPUs, {VCPUS_LEAST:g} are needed; ask in Service Quotas"


def _model(account: Account, model_id: str) -> Iterator[str]:
    way_out = "open it in the Bedrock console, or set iops-dashboard:has_bedrock to false: the template words then"
    try:
        if obstacles := account.model_obstacles(model_id):
            yield f"bedrock: {model_id}: {', '.join(obstacles)}; {way_out}"
        name = account.model_name(model_id)
        requests = account.quota("bedrock", name, "equests per minute")
    except AccountSaysNo as error:
        yield f"bedrock: {error}; {way_out}"
        return
    if requests is not None and requests < REQUESTS_A_MINUTE_LEAST:
        yield f"bedrock: {name} may be asked {requests:g} times a minute; ask for more in Service Quotas, or {way_out}"
