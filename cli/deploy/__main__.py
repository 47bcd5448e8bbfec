"""What `make preview`, `make deploy` and `make rollback` run: python -m cli.deploy DEED --stack NAME."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Final

from cli.deploy import deed
from cli.deploy.account import Account, open_clients
from cli.deploy.first_keys import first_keys
from cli.deploy.runner import runner_in
from cli.deploy.stack import Stack, StackFails
from cli.outcome import CommandFailed
from cli.prove import prove_alert
from cli.server import Server
from iops.clock import now
from iops.private_file import read_private
from services.insights import profiles

ROOT: Final = Path(__file__).parents[2]
DEEDS: Final = {"preview": deed.preview, "deploy": deed.deploy, "rollback": deed.rollback}


def main() -> int:
    """0 done, 1 a step failed, 2 something is missing."""
    parser = argparse.ArgumentParser(prog="python -m cli.deploy", description=__doc__)
    parser.add_argument("deed", choices=DEEDS)
    parser.add_argument("--stack", default="dev", help="infra/Pulumi.<stack>.yaml")
    given = parser.parse_args()
    return deed.carry_out(DEEDS[given.deed], _desk(given.stack), builds=given.deed == "deploy")


def _desk(name: str) -> deed.Desk:
    run = runner_in(ROOT)
    stack = Stack(name, ROOT, run)
    return deed.Desk(
        stack=stack,
        run=run,
        account=_account(stack),
        model_id=profiles.PROFILES[profiles.DEFAULT].model_id,
        say=_say,
        sleep=time.sleep,
        now=now,
        make_keys=lambda region, folder: first_keys(region, folder).operator,
        prove=_prove,
    )


def _account(stack: Stack) -> Account | None:
    try:
        region = str(stack.document()["config"].get("aws:region", ""))
    except StackFails:
        return None
    return Account(open_clients(region)) if region else None


def _prove(url: str, key_file: Path) -> int:
    async def ask() -> int:
        async with Server(url, credential_for=lambda _url: read_private(key_file)) as server:
            return await prove_alert(server, now(), as_json=False)

    try:
        return asyncio.run(ask())
    except CommandFailed as failure:
        _say(f"the system is up, and the proof failed: {failure}")
        return deed.FAILURE


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
