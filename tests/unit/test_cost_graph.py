"""What resources cost, one hand-made resource at a time."""

from typing import Any

import pytest

from cli.cost.fleet import Fleet
from cli.cost.graph import Scene, UnpricedType, graph_cost
from cli.cost.line import Line
from cli.cost.prices import read_prices
from infra.declared import Declared

TASK: dict[str, Any] = {
    "family": "iops-ingest",
    "cpu": "256",
    "memory": "512",
    "runtimePlatform": {"cpuArchitecture": "ARM64"},
}
DEFINITION = "arn:aws:ecs:us-east-1:123456789012:task-definition/iops-ingest:1"


def a_resource(type_: str, name: str = "it", **inputs: Any) -> Declared:
    return Declared(type=type_, name=name, inputs=inputs, parent=None)


def a_service(**inputs: Any) -> tuple[Declared, Declared]:
    definition = a_resource("aws:ecs/taskDefinition:TaskDefinition", **TASK)
    given: dict[str, Any] = {"desiredCount": 1, "taskDefinition": DEFINITION} | inputs
    return definition, a_resource("aws:ecs/service:Service", "ingest", **given)


def bill(*resources: Declared, **fleet: Any) -> dict[str, float]:
    return {line.what: round(line.usd_month, 2) for line in lines(*resources, **fleet)}


def lines(*resources: Declared, **fleet: Any) -> list[Line]:
    return graph_cost(Scene(resources, Fleet(**fleet), read_prices()))


def test_a_quarter_of_an_arm_processor_costs_seven_dollars() -> None:
    assert bill(*a_service()) == {"ingest": 7.21}


def test_spot_costs_three_tenths_and_each_public_address_is_paid_for() -> None:
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    network = {"assignPublicIp": True}

    found = bill(*a_service(desiredCount=2, capacityProviderStrategies=spot, networkConfiguration=network))

    assert found == {"ingest": 4.33, "public IPv4 of tasks": 7.3}


def test_a_public_balancer_has_an_address_in_each_subnet() -> None:
    found = bill(a_resource("aws:lb/loadBalancer:LoadBalancer", subnets=["a", "b"]))

    assert (found["load balancer"], found["the balancer's public IPv4"]) == (16.43, 7.3)


def test_a_table_on_demand_costs_what_is_written_and_read() -> None:
    found = bill(a_resource("aws:dynamodb/table:Table", billingMode="PAY_PER_REQUEST"), *a_service())

    assert found["writes of samples"] == 1.19  # docs/performance.md measured $1.12
    assert found["storage"] == 0


def test_a_provisioned_table_pays_its_autoscaling_minimum_and_that_of_each_index() -> None:
    table = a_resource(
        "aws:dynamodb/table:Table",
        billingMode="PROVISIONED",
        writeCapacity=5,
        readCapacity=5,
        globalSecondaryIndexes=[{"name": "EntityTypeIndex", "writeCapacity": 2, "readCapacity": 3}],
    )
    least = a_resource(
        "aws:appautoscaling/target:Target",
        resourceId="table/iops",
        scalableDimension="dynamodb:table:WriteCapacityUnits",
        minCapacity=10,
    )

    found = bill(table, least, *a_service())

    assert (found["write capacity"], found["read capacity"]) == (5.69, 0.76)  # 12 x 0.4745, 8 x 0.0949


def test_interface_endpoints_cost_by_zone_and_gateways_nothing() -> None:
    type_ = "aws:ec2/vpcEndpoint:VpcEndpoint"

    assert bill(a_resource(type_, vpcEndpointType="Gateway")) == {}
    assert bill(a_resource(type_, vpcEndpointType="Interface", subnetIds=["a", "b"])) == {"interface endpoints": 14.6}


def test_an_alarm_pays_for_each_metric_it_reads_beyond_the_ten_that_are_free() -> None:
    metric = {"metric": {"namespace": "AWS/ApplicationELB", "metricName": "RequestCount"}}
    ratio = a_resource("aws:cloudwatch/metricAlarm:MetricAlarm", metricQueries=[metric, metric, {"expression": "a/b"}])
    plain = a_resource("aws:cloudwatch/metricAlarm:MetricAlarm", namespace="AWS/SQS", metricName="Age")

    (line,) = lines(*[ratio] * 5, plain)

    assert line.usd_month == pytest.approx(0.1)  # eleven
    assert line.allowance_usd == pytest.approx(1.0)


def test_logs_bring_the_nine_metrics_that_cloudwatch_makes_of_them() -> None:
    metrics = next(line for line in lines(a_resource("aws:cloudwatch/logGroup:LogGroup")) if "metrics" in line.what)

    assert metrics.usd_month == 0
    assert metrics.allowance_usd == pytest.approx(2.7)


def test_autoscaling_brings_alarms_of_its_own() -> None:
    policy = "aws:appautoscaling/policy:Policy"
    of_tasks = a_resource(policy, policyType="TargetTrackingScaling", serviceNamespace="ecs")
    of_table = a_resource(policy, policyType="TargetTrackingScaling", serviceNamespace="dynamodb")

    assert bill(of_tasks, of_table, a_resource(policy, policyType="StepScaling")) == {"alarms of autoscaling": 0.6}


def test_a_cluster_that_tells_of_every_container_has_no_price_yet() -> None:
    with pytest.raises(UnpricedType, match="Container Insights"):
        bill(a_resource("aws:ecs/cluster:Cluster", settings=[{"name": "containerInsights", "value": "enabled"}]))


def test_three_dashboards_are_free() -> None:
    board = a_resource("aws:cloudwatch/dashboard:Dashboard")

    assert bill(board, board, board) == {"dashboards": 0}
    assert bill(board, board, board, board) == {"dashboards": 3}


def test_a_serverless_endpoint_is_free_while_nobody_asks_and_an_instance_is_not() -> None:
    type_ = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
    instance = {"instanceType": "ml.m5.large", "initialInstanceCount": 1}

    assert bill(a_resource(type_, productionVariants=[{"serverlessConfig": {"maxConcurrency": 1}}])) == {}
    assert bill(a_resource(type_, productionVariants=[instance])) == {"SageMaker, real time": 83.95}


def test_a_firewall_costs_with_its_rules() -> None:
    found = bill(a_resource("aws:wafv2/webAcl:WebAcl", rules=[{"name": "rate"}]))

    assert (found["WAF"], found["WAF's rules"]) == (5, 1)


def test_a_resource_that_nobody_has_priced_is_refused() -> None:
    with pytest.raises(UnpricedType, match="aws:rds/instance:Instance"):
        bill(a_resource("aws:rds/instance:Instance"))


def test_components_of_our_own_cost_nothing() -> None:
    assert bill(a_resource("iops:network:Network")) == {}
