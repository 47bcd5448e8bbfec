"""Makes an image of each service and pushes it; its tag is the commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cli.deploy.account import Account
from cli.deploy.checks import PLATFORM
from cli.deploy.runner import Runner

COMMIT_CHARS: Final = 12
GIT_TIMEOUT_S: Final = 30.0
LOGIN_TIMEOUT_S: Final = 60.0
BUILD_TIMEOUT_S: Final = 30 * 60.0  # emulated ARM compiles nothing, but unpacks slowly


class BuildFails(Exception):
    """No image, and why."""


@dataclass(frozen=True, slots=True)
class Builder:
    """What it takes."""

    run: Runner
    account: Account
    say: Callable[[str], None]

    def tag(self, now: datetime) -> str:
        """The commit; where files differ from it, the time too, since a tag is pushed once. Raises BuildFails."""
        commit = self.run(["git", "rev-parse", f"--short={COMMIT_CHARS}", "HEAD"], timeout_s=GIT_TIMEOUT_S)
        state = self.run(["git", "status", "--porcelain"], timeout_s=GIT_TIMEOUT_S)
        for ended in (commit, state):
            if not ended.is_good:
                raise BuildFails(f"git: {ended.reason}")
        return commit.out.strip() + (f"-dirty-{now:%Y%m%dT%H%M%S}" if state.out.strip() else "")

    def push_all(self, repositories: Mapping[str, str], tag: str) -> dict[str, str]:
        """Makes what is not there yet; the tags by service. Raises BuildFails, AccountSaysNo."""
        self._sign_in()
        for service, repository in repositories.items():
            if self.account.has_image(repository.partition("/")[2], tag):
                self.say(f"{service}: {tag} is there already")
                continue
            self.say(f"{service}: building {tag} for {PLATFORM}")
            self._build(service, f"{repository}:{tag}")
        return dict.fromkeys(repositories, tag)

    def _sign_in(self) -> None:
        registry, password = self.account.registry_login()
        command = ["docker", "login", "--username", "AWS", "--password-stdin", registry]
        ended = self.run(command, timeout_s=LOGIN_TIMEOUT_S, given=password)
        if not ended.is_good:
            raise BuildFails(f"docker login {registry}: {ended.reason}")

    def _build(self, service: str, image: str) -> None:
        command = ["docker", "buildx", "build", "--platform", PLATFORM, "--build-arg", f"SERVICE={service}"]
        command += ["--build-arg", f"VERSION={image.rpartition(':')[2]}"]
        command += ["--provenance=false", "--tag", image, "--push", "."]  # attestations would be untagged images
        ended = self.run(command, timeout_s=BUILD_TIMEOUT_S, is_shown=True)
        if not ended.is_good:
            raise BuildFails(f"{service}: docker buildx build failed ({ended.reason}); what it says above is the cause")
