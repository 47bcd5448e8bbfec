"""The stack: what its file says, what it gave out, what ran before; and `pulumi` on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from cli.deploy.runner import Finished, Runner
from infra.config import SERVICES, BadConfig, Config, checked

PROJECT: Final = "iops-dashboard"
READ_TIMEOUT_S: Final = 120.0
PREVIEW_TIMEOUT_S: Final = 15 * 60.0
UP_TIMEOUT_S: Final = 60 * 60.0  # an endpoint of SageMaker or a user pool's domain takes its time
HISTORY_PAGE: Final = 50  # updates that a rollback looks back on
Tags = Mapping[str, str]  # of images, by service


class StackFails(Exception):
    """Pulumi, or the stack's file, is not as it has to be; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack of infra/. Its own file is only read: what a deployment adds goes into a copy in .local/."""

    name: str
    root: Path
    run: Runner

    @property
    def file(self) -> Path:
        """What people write and commit."""
        return self.root / "infra" / f"Pulumi.{self.name}.yaml"

    @property
    def folder(self) -> Path:
        """What stays on this machine: the copy, and the keys."""
        return self.root / ".local" / self.name

    def document(self) -> dict[str, Any]:
        """The file. Raises StackFails."""
        try:
            found = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise StackFails(f"{self.file} cannot be read: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
            raise StackFails(f"{self.file} has no `config`")
        return found

    def config(self) -> Config:
        """What the file says, checked as `pulumi up` will check it. Raises StackFails."""
        given: dict[str, Any] = self.document()["config"]
        own = {name.partition(":")[2]: value for name, value in given.items() if name.startswith(f"{PROJECT}:")}
        own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
        try:
            return checked(Config(**own, region=str(given.get("aws:region", ""))))
        except (BadConfig, TypeError) as error:
            raise StackFails(f"{self.file.name}: {error}") from error

    def told(self, *, tags: Tags | None, has_services: bool = True) -> Path:
        """A copy of its file that says which images run. `pulumi config set` would change the committed one."""
        document = self.document()
        document["config"][f"{PROJECT}:has_services"] = has_services
        if tags:
            document["config"][f"{PROJECT}:image_tags"] = dict(tags)
        self.folder.mkdir(parents=True, exist_ok=True)
        copy = self.folder / self.file.name
        copy.write_text(yaml.safe_dump(document), encoding="utf-8")
        return copy

    def outputs(self) -> dict[str, Any]:
        """What the last `up` gave out; empty where there was none. Raises StackFails."""
        found = self._read("stack", "output", "--json")
        return found if isinstance(found, dict) else {}

    def tags_before(self, now: Tags) -> Tags | None:
        """The images of the newest good update that ran others than `now`. Raises StackFails."""
        updates = self._read("stack", "history", "--json", "--page-size", str(HISTORY_PAGE))
        return next((tags for tags in _tags_of(updates) if tags != dict(now)), None)

    def preview(self, config_file: Path) -> Finished:
        """Shows what an `up` would change."""
        command = self._command("preview", "--diff", "--config-file", str(config_file))
        return self.run(command, timeout_s=PREVIEW_TIMEOUT_S, is_shown=True)

    def up(self, config_file: Path) -> None:
        """Makes the account what the program says. Raises StackFails."""
        command = self._command("up", "--yes", "--skip-preview", "--config-file", str(config_file))
        ended = self.run(command, timeout_s=UP_TIMEOUT_S, is_shown=True)
        if not ended.is_good:
            raise StackFails(
                f"pulumi up failed ({ended.reason}); what it says above is the cause, and it may be repeated"
            )

    def _read(self, *words: str) -> Any:
        ended = self.run(self._command(*words), timeout_s=READ_TIMEOUT_S)
        if not ended.is_good:
            raise StackFails(f"pulumi {' '.join(words[:2])} failed: {ended.reason}")
        try:
            return json.loads(ended.out)
        except ValueError as error:
            raise StackFails(f"pulumi {' '.join(words[:2])} answered no JSON: {error}") from error

    def _command(self, *words: str) -> list[str]:
        return ["pulumi", *words, "--stack", self.name, "--cwd", str(self.root / "infra"), "--non-interactive"]


def _tags_of(updates: object) -> Iterator[dict[str, str]]:
    """Of each good update that had all services, newest first."""
    for update in updates if isinstance(updates, list) else []:
        if update.get("kind") != "update" or update.get("result") != "succeeded":
            continue
        entry = (update.get("config") or {}).get(f"{PROJECT}:image_tags") or {}
        value = entry.get("objectValue") or json.loads(entry.get("value") or "{}")
        if isinstance(value, dict) and set(value) == set(SERVICES):
            yield {str(name): str(tag) for name, tag in value.items()}
