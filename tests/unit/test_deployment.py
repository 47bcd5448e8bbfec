"""`make deploy` and `make rollback`: which steps, in which order, and how each ends."""

import json
from pathlib import Path

from cli.deploy.deed import carry_out, deploy, rollback
from cli.deploy.runner import Finished
from tests.unit.builders import AT
from tests.unit.deploying import COMMIT, OUTPUTS, Scene

STEPS = ("pulumi up", "docker login", "docker buildx build", "keys", "prove")
SERVICES = ("ingest", "insights", "alerts")


def test_images_come_before_the_services_and_the_proof_last(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    assert carry_out(deploy, scene.desk(), builds=True) == 0
    assert scene.run.began(*STEPS) == ["docker login", *["docker buildx build"] * 3, "pulumi up", "keys", "prove"]
    assert scene.told()["image_tags"] == dict.fromkeys(SERVICES, COMMIT)
    assert scene.said[-1].startswith("http://balancer.example.com")


def test_an_empty_account_gets_everything_but_the_services_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path, outputs={})
    told: list[object] = []

    def first_up(_line: str) -> None:
        told.append(scene.told()["has_services"])
        scene.run.answers["pulumi stack output"] = Finished(0, json.dumps(OUTPUTS))

    scene.run.on_up = first_up

    assert carry_out(deploy, scene.desk(), builds=True) == 0
    assert told == [False, True]
    assert scene.run.began(*STEPS)[0] == "pulumi up"


def test_an_image_that_was_pushed_is_not_built_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cloud.pushed = {f"iops-dashboard-ingest:{COMMIT}"}

    assert carry_out(deploy, scene.desk(), builds=True) == 0
    assert len(scene.run.began("docker buildx build")) == 2


def test_files_beside_the_commit_give_an_image_of_their_own_in_dev(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.run.answers = {"git status": Finished(0, " M iops/rules.py\n")}
    scene.cloud.running = f"{COMMIT}-dirty-{AT:%Y%m%dT%H%M%S}"

    assert carry_out(deploy, scene.desk(), builds=True) == 0
    assert scene.told()["image_tags"]["ingest"] == f"{COMMIT}-dirty-{AT:%Y%m%dT%H%M%S}"


def test_the_committed_file_of_the_stack_is_never_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    desk = scene.desk()
    before = desk.stack.file.read_bytes()

    carry_out(deploy, desk, builds=True)

    assert desk.stack.file.read_bytes() == before


def test_a_build_that_fails_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.run.answers = {"docker buildx build": Finished(1)}

    assert carry_out(deploy, scene.desk(), builds=True) == 1
    assert scene.run.began("pulumi up", "keys", "prove") == []


def test_an_up_that_fails_is_not_proved(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.run.answers = {"pulumi up": Finished(255)}

    assert carry_out(deploy, scene.desk(), builds=True) == 1
    assert scene.run.began("keys", "prove") == []


def test_services_are_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cloud.rollouts = ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]

    assert carry_out(deploy, scene.desk(), builds=True) == 0
    assert scene.cloud.rollouts == ["COMPLETED"]


def test_a_deployment_that_ecs_took_back_is_a_failure_though_it_is_steady(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cloud.running = "older"

    assert carry_out(deploy, scene.desk(), builds=True) == 1
    assert "ECS took the deployment back" in scene.said[-1]


def test_services_that_never_get_steady_end_the_wait(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cloud.rollouts = ["IN_PROGRESS"]

    assert carry_out(deploy, scene.desk(), builds=True) == 1
    assert "not steady after 20 minutes" in scene.said[-1]


def test_a_proof_that_fails_is_the_exit_code(tmp_path: Path) -> None:
    assert carry_out(deploy, Scene(tmp_path, proof=1).desk(), builds=True) == 1


def test_whoever_has_not_confirmed_is_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cloud.unconfirmed = True

    carry_out(deploy, scene.desk(), builds=True)

    assert any("storage@example.com hears nothing of arn:aws:sns" in line for line in scene.said)


def an_update(tag: str, result: str = "succeeded") -> dict[str, object]:
    tags = dict.fromkeys(SERVICES, tag)
    return {"kind": "update", "result": result, "config": {"iops-dashboard:image_tags": {"objectValue": tags}}}


def test_a_rollback_runs_the_newest_good_images_that_are_others(tmp_path: Path) -> None:
    scene = Scene(tmp_path, history=[an_update("older"), an_update("bad", "failed"), an_update("good")])
    scene.cloud.pushed = {f"iops-dashboard-{service}:good" for service in SERVICES}
    scene.cloud.running = "good"

    assert carry_out(rollback, scene.desk(), builds=False) == 0
    assert scene.told()["image_tags"] == dict.fromkeys(SERVICES, "good")
    assert scene.run.began(*STEPS) == ["pulumi up", "keys", "prove"]


def test_a_rollback_without_an_update_before_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, history=[an_update("older")])

    assert carry_out(rollback, scene.desk(), builds=False) == 1
    assert scene.run.began("pulumi up") == []


def test_a_rollback_to_images_that_were_tidied_away_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, history=[an_update("older"), an_update("gone")])

    assert carry_out(rollback, scene.desk(), builds=False) == 1
    assert "gone is no longer in ECR" in scene.said[-1]
    assert scene.run.began("pulumi up") == []
