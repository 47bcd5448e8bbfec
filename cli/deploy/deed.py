"""The three deeds in their order: preview, deploy, rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cli.deploy.account import Account, AccountSaysNo
from cli.deploy.checks import Asked, missing
from cli.deploy.first_keys import NoKeys
from cli.deploy.images import Builder, BuildFails
from cli.deploy.runner import Runner
from cli.deploy.stack import Stack, StackFails, Tags
from infra.config import SERVICES

STEADY_LIMIT_S: Final = 20 * 60.0  # three deployments at once, each with its deregistration delay
STEADY_POLL_S: Final = 10.0
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"
DONE, FAILURE, LACKING = 0, 1, 2  # exit codes


class Unsteady(Exception):
    """The services do not run what was deployed."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a deed needs; tests put their own in each place."""

    stack: Stack
    run: Runner
    account: Account | None
    model_id: str
    say: Callable[[str], None]
    sleep: Callable[[float], None]
    now: Callable[[], datetime]
    make_keys: Callable[[str, Path], Path]  # region, folder -> the admin key's file
    prove: Callable[[str, Path], int]  # url, the key's file -> exit code of `iops doctor --alert`


def carry_out(deed: Callable[[Desk, Account], int], desk: Desk, *, builds: bool) -> int:
    """Checks first; 2 where something is missing, 1 where a step failed."""
    lacking = missing(Asked(desk.stack, desk.run, desk.account, desk.model_id, builds=builds))
    if lacking or desk.account is None:
        desk.say(f"nothing was changed; {len(lacking)} missing:")
        for each in lacking:
            desk.say(f"  - {each}")
        return LACKING
    try:
        return deed(desk, desk.account)
    except (StackFails, BuildFails, AccountSaysNo, NoKeys, Unsteady) as error:
        desk.say(f"stopped: {error}")
        return FAILURE


def preview(desk: Desk, _account: Account) -> int:
    """Shows what an `up` with the images that run now would change."""
    outputs = desk.stack.outputs()
    tags = outputs.get("image_tags")
    if not outputs:
        desk.say("the account is empty: all of it would be new; the image tags are made up")
    told = desk.stack.told(tags=tags or dict.fromkeys(SERVICES, "first"))
    return DONE if desk.stack.preview(told).is_good else FAILURE


def deploy(desk: Desk, account: Account) -> int:
    """Images of this commit, everything they stand on, then the proof."""
    outputs = desk.stack.outputs()
    if not outputs.get("repositories"):
        desk.say("step 1 of 5: an empty account; everything but the services, which need images first")
        desk.stack.up(desk.stack.told(tags=None, has_services=False))
        outputs = desk.stack.outputs()
    builder = Builder(desk.run, account, desk.say)
    desk.say("step 2 of 5: images")
    tags = builder.push_all(_repositories(outputs), builder.tag(desk.now()))
    return _run(desk, account, tags)


def rollback(desk: Desk, account: Account) -> int:
    """The images of the update before; what infra/ declares stays as this commit has it."""
    outputs = desk.stack.outputs()
    running: Tags = outputs.get("image_tags") or {}
    tags = desk.stack.tags_before(running)
    if tags is None:
        raise StackFails(f"{desk.stack.name} has no earlier update with other images than {_shown(running)}")
    for service, repository in _repositories(outputs).items():
        if not account.has_image(repository.partition("/")[2], tags[service]):
            raise StackFails(f"{service}: {tags[service]} is no longer in ECR; check out that commit and `make deploy`")
    desk.say(f"from {_shown(running)} back to {_shown(tags)}")
    return _run(desk, account, tags)


def _run(desk: Desk, account: Account, tags: Tags) -> int:
    """From tags to a system that is seen to work."""
    desk.say(f"step 3 of 5: pulumi up with {_shown(tags)}")
    desk.stack.up(desk.stack.told(tags=tags))
    outputs = desk.stack.outputs()
    desk.say("step 4 of 5: waiting for the services; `iops-dashboard` in the ECS console shows the same")
    _wait_until_steady(desk, account, outputs, tags)
    url = str(outputs["url"])
    desk.say("step 5 of 5: one synthetic fault from POST to mail")
    key_file = desk.make_keys(desk.stack.config().region, desk.stack.folder)
    code = desk.prove(url, key_file)
    for topic_arn in outputs["topic_arns"]:
        for address in account.unconfirmed_mails(str(topic_arn)):
            desk.say(f"{address} hears nothing of {topic_arn} until its owner confirms the mail that AWS sent it")
    desk.say(f"{url}  (admin key: {key_file})")
    return code


def _wait_until_steady(desk: Desk, account: Account, outputs: Mapping[str, Any], tags: Tags) -> None:
    """Raises Unsteady. A circuit breaker that took an image back ends in COMPLETED too, but with the image before."""
    names: Mapping[str, str] = outputs["services"]
    waited_s = 0.0
    while True:
        rollouts = account.rollouts(str(outputs["cluster"]), list(names.values()))
        states = {service: rollouts.get(name, (FAILED, "none")) for service, name in names.items()}
        if failed := [
            service for service, (state, image) in states.items() if _has_failed(state, image, tags[service])
        ]:
            raise Unsteady(f"{', '.join(failed)}: ECS took the deployment back; its events and the log groups say why")
        if all(state == COMPLETED for state, _image in states.values()):
            return
        if waited_s >= STEADY_LIMIT_S:
            raise Unsteady(f"not steady after {STEADY_LIMIT_S / 60:g} minutes: {states}")
        desk.sleep(STEADY_POLL_S)
        waited_s += STEADY_POLL_S


def _has_failed(state: str, image: str, tag: str) -> bool:
    return state == FAILED or not image.endswith(f":{tag}")


def _repositories(outputs: Mapping[str, Any]) -> dict[str, str]:
    found = outputs.get("repositories")
    if not isinstance(found, dict) or set(found) != set(SERVICES):
        raise StackFails("the stack has no repositories yet; `make deploy` makes them")
    return {service: str(found[service]) for service in SERVICES}


def _shown(tags: Tags) -> str:
    return ", ".join(sorted(set(tags.values()))) or "no image"
