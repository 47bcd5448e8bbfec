"""How a service runs: what its container may do, how a new image comes, how many tasks there are."""

import dataclasses
import json
from typing import Any

import pytest
from cfnlint.api import lint

from infra.balancer import IDLE_TIMEOUT_S
from infra.config import SERVICES, Config
from iops.contract import SCORING_QUEUE
from iops.serve import GRACEFUL_SHUTDOWN_S
from tests.infra.declared import Declared, Stack
from tests.infra.placed import EGRESSES, PROD, declare_services

TASK = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE = "aws:ecs/service:Service"


def a_container(stack: Stack, name: str) -> dict[str, Any]:
    (container,) = stack.one(TASK, name).json("containerDefinitions")
    assert isinstance(container, dict)
    return container


def environment_of(stack: Stack, name: str) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in a_container(stack, name)["environment"]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_change_nothing_and_is_nobody(name: str) -> None:
    container = a_container(declare_services(PROD), name)

    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == "10001:10001"
    assert container["privileged"] is False
    assert container["linuxParameters"] == {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}}
    assert container["portMappings"] == [{"containerPort": 8000, "hostPort": 8000, "protocol": "tcp"}]
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"
    assert container["logConfiguration"]["options"]["awslogs-group"] == f"/iops-dashboard/prod/{name}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_task_runs_on_arm_with_roles_of_its_own(name: str) -> None:
    task = declare_services(PROD).one(TASK, name).inputs

    assert task["runtimePlatform"] == {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}
    assert (task["cpu"], task["memory"], task["networkMode"]) == ("256", "512", "awsvpc")
    assert task["taskRoleArn"].endswith(f"role/{name}")
    assert task["executionRoleArn"].endswith("role/execution")


def test_insights_has_more_memory_for_more_streams() -> None:
    stack = declare_services(dataclasses.replace(PROD, streams=1_000))

    assert {task.name: task.inputs["memory"] for task in stack.all(TASK)} == {
        "ingest": "512",
        "insights": "1024",
        "alerts": "512",
    }


def test_a_task_is_given_longer_to_end_than_it_drains() -> None:
    stop_timeout_s = a_container(declare_services(Config()), "ingest")["stopTimeout"]

    assert GRACEFUL_SHUTDOWN_S < stop_timeout_s <= 120


def test_a_task_keeps_idle_connections_longer_than_the_balancer() -> None:
    kept_s = int(environment_of(declare_services(Config()), "ingest")["IOPS_KEEP_ALIVE_S"])

    assert kept_s > IDLE_TIMEOUT_S


def test_a_secret_in_the_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="IOPS_OPENAI_API_KEY looks like a secret"):
        declare_services(Config(), environment={"IOPS_OPENAI_API_KEY": "sk-1"})


def test_a_container_is_told_whom_to_believe_and_no_secret() -> None:
    told = environment_of(declare_services(Config(), environment={"IOPS_ISSUER": "https://id.example.com"}), "ingest")

    assert told["IOPS_TRUSTED_PROXIES"] == (
        "10.20.0.0/20,10.20.16.0/20,2600:1f18:1234:5600::/64,2600:1f18:1234:5601::/64"
    )
    assert told["IOPS_ISSUER"] == "https://id.example.com"
    assert "secrets" not in a_container(declare_services(Config()), "ingest")


def test_tasks_without_ipv4_listen_on_ipv6_and_ask_dual_stack_endpoints() -> None:
    stack = declare_services(Config(egress="ipv6"))
    ingest, insights = environment_of(stack, "ingest"), environment_of(stack, "insights")

    assert (ingest["IOPS_LISTEN_HOST"], ingest["AWS_USE_DUALSTACK_ENDPOINT"]) == ("::", "true")
    assert "http://[::1]:8000/" in a_container(stack, "ingest")["healthCheck"]["command"][3]
    assert insights["IOPS_LISTEN_HOST"] == "0.0.0.0"  # its address is IPv4
    assert "AWS_USE_DUALSTACK_ENDPOINT" not in insights  # Bedrock has none


def test_images_come_by_the_dual_stack_registry_with_their_tags() -> None:
    stack = declare_services(Config(image_tags={"ingest": "4f2a91c"}))

    assert a_container(stack, "ingest")["image"] == (
        "123456789012.dkr-ecr.us-east-1.on.aws/iops-dashboard-dev/ingest:4f2a91c"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_that_does_not_come_up_is_taken_back(name: str) -> None:
    service = declare_services(PROD).one(SERVICE, name).inputs

    assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert service["alarms"] == {"enable": True, "rollback": True, "alarmNames": ["iops-dashboard-5xx"]}
    assert (service["deploymentMinimumHealthyPercent"], service["deploymentMaximumPercent"]) == (100, 200)
    assert service["availabilityZoneRebalancing"] == "ENABLED"


@pytest.mark.parametrize("config", [Config(), PROD])
def test_nobody_gets_a_shell(config: Config) -> None:
    """ECS cannot open one where the file system is read-only."""
    assert {each.inputs["enableExecuteCommand"] for each in declare_services(config).all(SERVICE)} == {False}


def test_ingest_is_on_demand_and_the_others_spot_unless_told() -> None:
    def providers(config: Config) -> dict[str, str]:
        services = declare_services(config).all(SERVICE)
        return {each.name: each.inputs["capacityProviderStrategies"][0]["capacityProvider"] for each in services}

    assert providers(PROD) == {"ingest": "FARGATE", "insights": "FARGATE_SPOT", "alerts": "FARGATE_SPOT"}
    assert set(providers(dataclasses.replace(PROD, spot_services=())).values()) == {"FARGATE"}


def test_ingest_scales_by_requests_and_insights_by_how_long_work_waits() -> None:
    stack = declare_services(PROD)
    tracked = {
        policy.name: policy.inputs["targetTrackingScalingPolicyConfiguration"]
        for policy in stack.all("aws:appautoscaling/policy:Policy")
    }

    assert set(tracked) == {"ingest", "insights"}
    assert tracked["ingest"]["predefinedMetricSpecification"] == {
        "predefinedMetricType": "ALBRequestCountPerTarget",
        "resourceLabel": "app/iops-dashboard-prod/50dc6c495c/targetgroup/ingest/73e2d6bc24d8a067",
    }
    metric = tracked["insights"]["customizedMetricSpecification"]
    assert (metric["namespace"], metric["metricName"]) == ("AWS/SQS", "ApproximateAgeOfOldestMessage")
    assert metric["dimensions"] == [{"name": "QueueName", "value": SCORING_QUEUE}]


def test_the_number_of_tasks_has_bounds_and_a_deployment_leaves_it() -> None:
    stack = declare_services(PROD)
    bounds = {
        target.name: (target.inputs["minCapacity"], target.inputs["maxCapacity"])
        for target in stack.all("aws:appautoscaling/target:Target")
    }

    assert bounds == {"ingest": (1, 4), "insights": (1, 3), "alerts": (1, 1)}
    assert all(service.ignored_changes == ("desiredCount",) for service in stack.all(SERVICE))
    resources = {target.inputs["resourceId"] for target in stack.all("aws:appautoscaling/target:Target")}
    assert "service/iops-dashboard-prod/ingest" in resources


@pytest.mark.parametrize("egress", EGRESSES)
def test_cloudformation_would_take_the_task_definitions(egress: str) -> None:
    stack = declare_services(dataclasses.replace(PROD, egress=egress))  # type: ignore[arg-type]

    assert [str(match) for match in lint(_template(stack.all(TASK)), regions=["us-east-1"])] == []


def test_a_task_definition_that_ecs_would_refuse_is_seen() -> None:
    task = declare_services(PROD).one(TASK, "ingest")
    wrong = dataclasses.replace(task, inputs={**task.inputs, "memory": "300"})

    assert lint(_template([wrong]), regions=["us-east-1"]) != []


def _template(tasks: list[Declared]) -> str:
    """The recorded task definitions in CloudFormation's words, which are ECS's with a capital."""
    resources = {}
    for task in tasks:
        properties = {_capital(key): value for key, value in task.inputs.items() if key in TAKEN}
        properties["RuntimePlatform"] = _capitals(task.inputs["runtimePlatform"])
        properties["ContainerDefinitions"] = _capitals(task.json("containerDefinitions"))
        resources[task.name] = {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})


TAKEN = {"cpu", "executionRoleArn", "family", "memory", "networkMode", "requiresCompatibilities", "taskRoleArn"}


def _capitals(value: object) -> object:
    """Keys of a log driver's options are the driver's own."""
    if isinstance(value, list):
        return [_capitals(each) for each in value]
    if isinstance(value, dict):
        return {_capital(key): each if key == "options" else _capitals(each) for key, each in value.items()}
    return value


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
