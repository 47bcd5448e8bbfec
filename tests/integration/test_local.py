"""The stand-in for AWS really runs: resources, the rule's boundary, the mail, and what a restart keeps."""

import asyncio
import email
import fcntl
import json
import socket
import sys
import time
from collections.abc import Iterator
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from iops import contract
from iops.alert import Event, EventKind
from iops.clock import now
from iops.events import Mail, make_entry
from iops.flags import Flags, parse_flags
from local import ministack, resources
from local.errors import InstallFailed
from local.supervisor import Child, Supervisor
from local.up import MINISTACK_VENV, Plan, UpOptions, children_environment, make_plan, up, write_default_flags

DELIVERY_DEADLINE_S = 10


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return ministack.install(MINISTACK_VENV, say=print)
    except InstallFailed as error:
        pytest.skip(str(error).splitlines()[0])


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(tmp_path, 0)


@pytest.fixture
def aws(program: Path, plan: Plan) -> Iterator[Plan]:
    """ministack and the mail sink, with their resources."""
    with Supervisor(plan.log_dir) as supervisor:
        start_aws(supervisor, program, plan)
        yield plan


def start_aws(supervisor: Supervisor, program: Path, plan: Plan) -> None:
    environment = children_environment(plan, {})
    port = plan.internal_ports["ministack"]
    state_dir = plan.state_dir / "aws-state"
    supervisor.start(ministack.describe(program, port=port, state_dir=state_dir, environment=environment))
    mailbox = plan.internal_url("mailbox")
    command = (sys.executable, "-m", "uvicorn", "local.mailbox:create_app", "--factory")
    address = ("--host", "127.0.0.1", "--port", str(plan.internal_ports["mailbox"]))
    supervisor.start(Child("mailbox", (*command, *address), environment, f"{mailbox}/health/ready"))
    asyncio.run(resources.create_resources(plan.internal_url("ministack"), mail_url=f"{mailbox}/sns"))


def publish(plan: Plan, *, risk_score: float, title: str, source: str = "iops.insights") -> None:
    """An insight's event as far as the rule and the mail read it."""
    event = Event(event_id="01", kind=EventKind.OPENED, at=now())
    mail = Mail([title, f"Risk: {risk_score:g} of 100", "8 requests wait", plan.url], {"risk_score": risk_score})
    entry = make_entry(event, {"risk_score": risk_score}, mail) | {"Source": source}
    reply = call(plan, "events", "put_events", Entries=[entry])
    assert reply["FailedEntryCount"] == 0


def call(plan: Plan, service: str, operation: str, **parameters: Any) -> Any:
    async def ask() -> Any:
        async with resources.open_client(service, plan.internal_url("ministack")) as client:
            return await getattr(client, operation)(**parameters)

    return asyncio.run(ask())


def wait_for_mails(plan: Plan, count: int) -> list[str]:
    """The texts of the mails, once there are `count`."""
    deadline = time.monotonic() + DELIVERY_DEADLINE_S
    while len(paths := sorted(plan.mail_dir.glob("*.eml"))) < count:
        assert time.monotonic() < deadline, f"{len(paths)} of {count} mails after {DELIVERY_DEADLINE_S} s"
        time.sleep(0.02)
    return [email.message_from_bytes(path.read_bytes(), policy=default).get_content() for path in paths]


def test_only_a_risk_of_80_reaches_the_mailbox(aws: Plan) -> None:
    publish(aws, risk_score=79, title="seventy-nine")
    publish(aws, risk_score=79.99, title="nearly eighty")
    publish(aws, risk_score=100, title="somebody else's", source="somebody.else")
    publish(aws, risk_score=80, title="eighty")
    publish(aws, risk_score=100, title="the last")

    texts = "\n".join(wait_for_mails(aws, 2))

    assert "eighty" in texts
    assert "Risk: 80 of 100" in texts
    assert "the last" in texts
    assert "nine" not in texts
    assert "nearly" not in texts
    assert "somebody" not in texts


def test_resources_can_be_created_again_over_what_is_there(aws: Plan) -> None:
    mail_url = f"{aws.internal_url('mailbox')}/sns"

    asyncio.run(resources.create_resources(aws.internal_url("ministack"), mail_url=mail_url))

    publish(aws, risk_score=90, title="once")
    assert len(wait_for_mails(aws, 1)) == 1
    topic = resources.arn("sns", contract.ALERT_TOPIC)
    subscriptions = call(aws, "sns", "list_subscriptions_by_topic", TopicArn=topic)["Subscriptions"]
    canary_queue = resources.arn("sqs", contract.CANARY_QUEUE)
    assert [subscription["Endpoint"] for subscription in subscriptions] == [mail_url, canary_queue]


def test_the_resources_are_those_of_the_contract(aws: Plan) -> None:
    table = call(aws, "dynamodb", "describe_table", TableName=contract.TABLE_NAME)["Table"]
    ttl = call(aws, "dynamodb", "describe_time_to_live", TableName=contract.TABLE_NAME)["TimeToLiveDescription"]
    url = call(aws, "sqs", "get_queue_url", QueueName=contract.SCORING_QUEUE)["QueueUrl"]
    queue = call(aws, "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
    targets = call(aws, "events", "list_targets_by_rule", Rule=contract.EVENT_RULE, EventBusName=contract.EVENT_BUS)[
        "Targets"
    ]

    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"EntityTypeIndex", "StreamIndex"}
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    assert queue["VisibilityTimeout"] == "60"
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"].endswith("iops-dashboard-scoring-dead-letters")
    assert targets[0]["DeadLetterConfig"]["Arn"].endswith("iops-dashboard-rule-dead-letters")


def test_state_survives_a_graceful_stop_and_the_mail_still_comes(program: Path, plan: Plan) -> None:
    item = {"entity_id": {"S": "web-1:nvme0n1"}, "entity_type": {"S": "stream"}, "data": {"B": b"\x00\xff"}}
    with Supervisor(plan.log_dir) as supervisor:
        start_aws(supervisor, program, plan)
        call(plan, "dynamodb", "put_item", TableName=contract.TABLE_NAME, Item=item)

    moved = make_plan(plan.state_dir, 0)  # the next run has other ports
    with Supervisor(moved.log_dir) as supervisor:
        start_aws(supervisor, program, moved)
        key = {name: item[name] for name in ("entity_id", "entity_type")}
        found = call(moved, "dynamodb", "get_item", TableName=contract.TABLE_NAME, Key=key)["Item"]
        url = call(moved, "sqs", "get_queue_url", QueueName=contract.SCORING_QUEUE)["QueueUrl"]
        call(moved, "sqs", "send_message", QueueUrl=url, MessageBody="{}")
        publish(moved, risk_score=95, title="after the restart")
        texts = wait_for_mails(moved, 1)

    assert found == item
    assert "after the restart" in texts[0]


def test_a_second_up_says_who_holds_the_state_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "up.lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        code = up(UpOptions(state_dir=tmp_path, port=0))

    assert code == 1
    assert f"process 4711 already runs on {tmp_path}" in capsys.readouterr().err


def test_a_damaged_table_is_named_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ministack" / "state" / "dynamodb.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"payload": {"tab')

    assert up(UpOptions(state_dir=tmp_path, port=0)) == 1

    assert capsys.readouterr().err.startswith(f"iops up: {path} is damaged")
    assert path.read_text() == '{"payload": {"tab'


def test_a_state_directory_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert up(UpOptions(state_dir=tmp_path / "file", port=0)) == 1

    assert capsys.readouterr().err.count("\n") == 1


def test_a_taken_port_says_how_to_choose_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = up(UpOptions(state_dir=tmp_path, port=port))

    assert code == 1
    assert f"127.0.0.1:{port} cannot be used" in (said := capsys.readouterr().err)
    assert "--port" in said


def test_an_installation_that_fails_names_the_registry(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"ministack @ file://{tmp_path}/missing.whl --hash=sha256:{'0' * 64}\n")

    with pytest.raises(InstallFailed, match="does the package registry answer"):
        ministack.install(tmp_path / "venv", requirements, say=print)


def test_nothing_of_the_shell_leads_the_programs_to_a_real_account(plan: Plan) -> None:
    shell = {
        "AWS_PROFILE": "prod",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL": "https://example.com",
        "PATH": "/bin",
        "IOPS_OUT": "recording.jsonl",
    }

    environment = children_environment(plan, shell)

    assert {name: value for name, value in environment.items() if name.startswith("AWS_")} == {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert environment["IOPS_AWS_ENDPOINT_URL"] == plan.internal_url("ministack")
    assert environment["PATH"] == "/bin"
    assert "IOPS_OUT" not in environment


def test_the_flags_file_is_made_with_the_defaults_and_what_somebody_set_stays(plan: Plan) -> None:
    write_default_flags(plan.flags_file)
    assert parse_flags(plan.flags_file.read_bytes()) == Flags()
    environment = children_environment(plan, {"IOPS_FLAGS_FILE": "x", "IOPS_SECRETS_FILE": "x"})
    assert environment["IOPS_FLAGS_FILE"] == str(plan.flags_file)
    assert environment["IOPS_SECRETS_FILE"] == str(plan.secrets_file)

    plan.flags_file.write_text('{"ai_enabled": tru')
    write_default_flags(plan.flags_file)
    assert plan.flags_file.read_text() == '{"ai_enabled": tru'


def test_a_profile_of_the_shell_does_not_stop_the_resources(aws: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")

    asyncio.run(resources.create_resources(aws.internal_url("ministack"), mail_url=None))
