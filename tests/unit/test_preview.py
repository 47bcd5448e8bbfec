"""What `make preview` and `make deploy` say is missing: everything at once, each with its next step."""

from pathlib import Path

import pytest

from cli.deploy.deed import carry_out, deploy, preview
from cli.deploy.runner import NOT_THERE, TOO_LONG, Finished, runner_in
from tests.unit.deploying import CONFIG, FakeCloud, FakeRunner, Scene

AWAY = Finished(NOT_THERE, err="it is not installed")
PROD = {
    **CONFIG,
    "iops-dashboard:environment": "prod",
    "iops-dashboard:certificate_arn": "arn:aws:acm:us-east-1:1:certificate/1",
    "iops-dashboard:public_url": "https://iops.example.com",
}


def lacking(scene: Scene, *, builds: bool = True) -> str:
    """What was said; nothing may have been changed."""
    assert carry_out(deploy if builds else preview, scene.desk(), builds=builds) == 2
    assert scene.run.began("pulumi up", "docker login", "keys") == []
    return "\n".join(scene.said)


@pytest.mark.parametrize(
    ("command", "answer", "told"),
    [
        ("pulumi version", AWAY, "https://www.pulumi.com/docs/install/"),
        ("pulumi version", Finished(0, "v3.9.1"), "v3.9.1 is older than 3.200"),
        ("pulumi whoami", Finished(255, err="no credentials"), "`pulumi login`"),
        ("pulumi stack select", Finished(255, err="no stack"), "`pulumi stack init dev --cwd infra`"),
        ("docker version", AWAY, "https://docs.docker.com/engine/install/"),
        ("docker buildx inspect", AWAY, "docker buildx"),
        ("docker buildx inspect", Finished(0, "Platforms: linux/amd64"), "cannot build linux/arm64"),
        ("git status", Finished(128, err="not a git repository"), "has to be a clone"),
    ],
)
def test_a_program_that_is_not_there_or_not_ready_is_named(
    tmp_path: Path, command: str, answer: Finished, told: str
) -> None:
    assert told in lacking(Scene(tmp_path, run=FakeRunner({command: answer})))


@pytest.mark.parametrize(
    ("cloud", "told"),
    [
        (FakeCloud(has_credentials=False), "credentials: sts GetCallerIdentity"),
        (FakeCloud(agreement="NOT_AVAILABLE"), "bedrock: anthropic.claude: no agreement"),
        (FakeCloud(requests_a_minute=0), "Claude Haiku 4.5 may be asked 0 times a minute"),
        (FakeCloud(vcpus=1), "Fargate Spot has 1 vCPUs, 2 are needed"),
    ],
)
def test_what_the_account_lacks_is_named(tmp_path: Path, cloud: FakeCloud, told: str) -> None:
    assert told in lacking(Scene(tmp_path, cloud=cloud))


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, name="prod", config={"iops-dashboard:environment": "prod", "aws:region": "us-east-1"})
    scene.run.answers = dict.fromkeys(("pulumi", "docker", "git status"), AWAY)
    scene.cloud.has_credentials = False

    said = lacking(scene)

    wanted = ("pulumi:", "docker:", "git:", "credentials:", "certificate_arn:", "public_url:", "alert_emails:")
    assert [each for each in wanted if each not in said] == []


def test_a_certificate_that_is_not_issued_yet_is_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path, name="prod", config=PROD, cloud=FakeCloud(certificate="PENDING_VALIDATION"))

    assert "PENDING_VALIDATION, not ISSUED" in lacking(scene)


def test_prod_is_not_built_from_files_that_no_commit_has(tmp_path: Path) -> None:
    scene = Scene(tmp_path, name="prod", config=PROD, run=FakeRunner({"git status": Finished(0, " M iops/rules.py\n")}))

    assert "iops/rules.py differ from the commit" in lacking(scene)


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    assert "egres" in lacking(Scene(tmp_path, config={**CONFIG, "iops-dashboard:egres": "nat"}))


def test_an_endpoint_needs_the_model_packed(tmp_path: Path) -> None:
    config = {**CONFIG, "iops-dashboard:sagemaker": "serverless"}

    assert "`python -m ml pack` makes it" in lacking(Scene(tmp_path, config=config))


def test_without_bedrock_nothing_is_asked_of_it(tmp_path: Path) -> None:
    config = {**CONFIG, "iops-dashboard:has_bedrock": False}
    scene = Scene(tmp_path, config=config, cloud=FakeCloud(agreement="NOT_AVAILABLE", requests_a_minute=0))

    assert carry_out(preview, scene.desk(), builds=False) == 0


def test_a_preview_needs_no_docker_and_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, run=FakeRunner({"docker": AWAY}))

    assert carry_out(preview, scene.desk(), builds=False) == 0
    assert scene.run.began("pulumi preview", "pulumi up", "docker") == ["pulumi preview"]
    assert scene.told()["image_tags"] == {"ingest": "older", "insights": "older", "alerts": "older"}


def test_a_program_that_is_not_there_or_hangs_ends_like_in_a_shell(tmp_path: Path) -> None:
    run = runner_in(tmp_path)

    assert run(["no-such-program-here"], timeout_s=1).code == NOT_THERE
    assert run(["sleep", "5"], timeout_s=0.1).code == TOO_LONG
    assert run(["cat"], timeout_s=5, given="password").out == "password"
