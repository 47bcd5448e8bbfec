"""The committed stacks: what they say is read, and the program runs as Pulumi runs it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from cli.deploy.runner import runner_in
from cli.deploy.stack import Stack, StackFails
from infra.config import BadConfig, Config, checked

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((INFRA / f"Pulumi.{name}.yaml").read_text())
    return found["config"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_everything_of_a_stack_is_tagged_with_project_and_environment(name: str) -> None:
    tags = document(name)["aws:defaultTags"]["tags"]

    assert tags == {"project": "iops-dashboard", "environment": name}


def test_dev_can_be_had_as_it_is_committed() -> None:
    assert Stack("dev", ROOT, runner_in(ROOT)).config().environment == "dev"


def test_prod_says_at_once_all_that_a_person_has_to_write() -> None:
    with pytest.raises(StackFails) as refused:
        Stack("prod", ROOT, runner_in(ROOT)).config()

    assert all(name in str(refused.value) for name in ("certificate_arn", "public_url", "alert_emails"))


def test_a_certificate_needs_a_name_that_it_has() -> None:
    with pytest.raises(BadConfig, match="public_url"):
        checked(Config(certificate_arn="arn:aws:acm:us-east-1:1:certificate/1", public_url="http://iops.example.com"))


def test_the_folder_that_pulumi_puts_first_on_the_path_hides_no_module_of_python() -> None:
    # As Pulumi's language host does it: it runs the folder, and nothing of ours is loaded yet.
    code = f"import sys; sys.path.insert(0, {str(INFRA)!r}); import infra, secrets; secrets.token_bytes(1)"

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
