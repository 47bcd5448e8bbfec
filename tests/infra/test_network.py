"""Who can connect to whom, and how each choice of egress gets out."""

import pytest

from infra.balancer import Balancer
from infra.config import Config
from infra.network import Network
from tests.infra.declared import Stack, declare
from tests.infra.placed import EGRESSES, PROD, declare_services

INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
SUBNET = "aws:ec2/subnet:Subnet"


def a_network(egress: str) -> Stack:
    return declare(lambda: Network(Config(egress=egress)).vpc_id)  # type: ignore[arg-type]


@pytest.mark.parametrize("egress", EGRESSES)
def test_tasks_take_connections_of_the_balancer_only(egress: str) -> None:
    stack = a_network(egress)

    rules = [rule.inputs for rule in stack.all(INGRESS) if rule.inputs["securityGroupId"] != "balancer-id"]

    assert [rule["securityGroupId"] for rule in rules] == ["ingest-id", "insights-id", "alerts-id"]
    for rule in rules:
        assert rule["referencedSecurityGroupId"] == "balancer-id"
        assert (rule["ipProtocol"], rule["fromPort"], rule["toPort"]) == ("tcp", 8000, 8000)
        assert "cidrIpv4" not in rule
        assert "cidrIpv6" not in rule


@pytest.mark.parametrize("egress", EGRESSES)
def test_no_rule_has_a_range_of_ports_or_every_protocol(egress: str) -> None:
    stack = a_network(egress)
    rules = [*stack.all(INGRESS), *stack.all(EGRESS)]

    assert {(rule.inputs["ipProtocol"], rule.inputs["fromPort"]) for rule in rules} == {
        ("tcp", 80),
        ("tcp", 443),
        ("tcp", 8000),
    }
    assert all(rule.inputs["fromPort"] == rule.inputs["toPort"] for rule in rules)


def test_tasks_open_https_only() -> None:
    rules = [rule.inputs for rule in a_network("ipv6").all(EGRESS) if rule.inputs["securityGroupId"] != "balancer-id"]

    assert {rule["fromPort"] for rule in rules} == {443}


def test_the_balancer_takes_everybody_on_the_two_ports_of_the_web() -> None:
    stack = declare(lambda: Network(PROD).vpc_id)

    rules = [rule.inputs for rule in stack.all(INGRESS) if rule.inputs["securityGroupId"] == "balancer-id"]

    assert {(rule["fromPort"], rule.get("cidrIpv4") or rule["cidrIpv6"]) for rule in rules} == {
        (443, "0.0.0.0/0"),
        (443, "::/0"),
        (80, "0.0.0.0/0"),
        (80, "::/0"),
    }


def test_the_default_group_lets_nothing_in_or_out() -> None:
    default = a_network("ipv6").one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs

    assert (default["ingress"], default["egress"]) == ([], [])


@pytest.mark.parametrize("egress", EGRESSES)
def test_the_network_is_dual_stack_in_two_zones(egress: str) -> None:
    stack = a_network(egress)

    assert stack.one("aws:ec2/vpc:Vpc").inputs["assignGeneratedIpv6CidrBlock"] is True
    public = [subnet.inputs for subnet in stack.all(SUBNET) if subnet.name.startswith("public")]
    assert [subnet["availabilityZone"] for subnet in public] == ["us-east-1a", "us-east-1b"]
    assert all(subnet["cidrBlock"] and subnet["ipv6CidrBlock"] for subnet in public)
    blocks = [subnet.inputs["ipv6CidrBlock"] for subnet in stack.all(SUBNET)]
    assert len(set(blocks)) == len(blocks)


@pytest.mark.parametrize("egress", EGRESSES)
def test_dynamodb_and_s3_have_free_gateway_endpoints_in_every_route_table(egress: str) -> None:
    stack = a_network(egress)
    tables = [f"{table.name}-id" for table in stack.all("aws:ec2/routeTable:RouteTable")]

    endpoints = [endpoint.inputs for endpoint in stack.all("aws:ec2/vpcEndpoint:VpcEndpoint")]

    assert [endpoint["serviceName"].rpartition(".")[2] for endpoint in endpoints] == ["dynamodb", "s3"]
    assert all(endpoint["vpcEndpointType"] == "Gateway" for endpoint in endpoints)
    assert all(endpoint["routeTableIds"] == tables for endpoint in endpoints)


def test_ipv6_gives_one_address_to_insights_and_no_ipv4_to_the_others() -> None:
    stack = declare_services(Config(egress="ipv6"))

    assert _public_addresses(stack) == {"ingest": False, "insights": True, "alerts": False}
    tasks = [subnet.inputs for subnet in stack.all(SUBNET) if subnet.name.startswith("tasks")]
    assert all(subnet["ipv6Native"] and "cidrBlock" not in subnet for subnet in tasks)
    assert stack.result["subnets"]["insights"] == stack.result["public"]
    assert stack.result["subnets"]["ingest"] == ["tasks-0-id", "tasks-1-id"]
    routes = stack.one("aws:ec2/routeTable:RouteTable", "tasks").inputs["routes"]
    assert [(route.get("ipv6CidrBlock"), route.get("egressOnlyGatewayId")) for route in routes] == [
        ("::/0", "only-out-id")
    ]
    assert stack.all("aws:ec2/natGateway:NatGateway") == []


def test_public_ipv4_gives_each_task_an_address_and_needs_no_gateway() -> None:
    stack = declare_services(Config(egress="public-ipv4"))

    assert _public_addresses(stack) == {"ingest": True, "insights": True, "alerts": True}
    assert stack.all("aws:ec2/natGateway:NatGateway") == []
    assert stack.all("aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway") == []


def test_nat_gives_no_task_an_address() -> None:
    stack = declare_services(Config(egress="nat"))

    assert _public_addresses(stack) == {"ingest": False, "insights": False, "alerts": False}
    assert stack.one("aws:ec2/natGateway:NatGateway").inputs["subnetId"] == "public-0-id"
    routes = stack.one("aws:ec2/routeTable:RouteTable", "tasks").inputs["routes"]
    assert {"cidrBlock": "0.0.0.0/0", "natGatewayId": "nat-id"} in routes
    assert not any("gatewayId" in route for route in routes)


def test_no_subnet_gives_addresses_by_itself() -> None:
    for egress in EGRESSES:
        assert not any(subnet.inputs["mapPublicIpOnLaunch"] for subnet in a_network(egress).all(SUBNET))


def _public_addresses(stack: Stack) -> dict[str, bool]:
    return {
        service.name: service.inputs["networkConfiguration"]["assignPublicIp"]
        for service in stack.all("aws:ecs/service:Service")
    }


def test_what_has_a_public_address_waits_for_the_internet_gateway() -> None:
    """AWS refuses a balancer or a NAT gateway in a network without one."""

    def program() -> object:
        network = Network(Config(egress="nat"))
        return Balancer(Config(egress="nat"), network).dns_name

    stack = declare(program)

    for kind in ("aws:lb/loadBalancer:LoadBalancer", "aws:ec2/natGateway:NatGateway", "aws:ec2/eip:Eip"):
        assert "internet" in stack.one(kind).waits_for
