"""Where everything runs: two zones, and how tasks get out.

| egress | ingest, alerts | insights | a month, without traffic |
| --- | --- | --- | --- |
| ipv6 | IPv6 only, out through an egress-only gateway | one public IPv4: Bedrock has no IPv6 endpoint | $3.65 |
| public-ipv4 | a public IPv4 each | the same | $3.65 a task |
| nat | private, out through one NAT gateway | the same | $36.50 with the gateway's own address |

A public address lets nobody in: the tasks' groups take the balancer's connections only.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Network
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import SERVICES, Config

SERVICE_PORT: Final = 8000
VPC_CIDR: Final = "10.20.0.0/16"
PUBLIC_CIDRS: Final = ("10.20.0.0/20", "10.20.16.0/20")  # of the balancer, and of tasks with a public address
PRIVATE_CIDRS: Final = ("10.20.128.0/20", "10.20.144.0/20")
ANYWHERE: Final = ("0.0.0.0/0", "::/0")
IPV4_SERVICE: Final = "insights"  # what asks Bedrock


class Network(pulumi.ComponentResource):
    """A dual-stack VPC, its subnets and who may connect to whom."""

    def __init__(self, config: Config, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:network:Network", "network", None, opts)
        self._config = config
        self._child = pulumi.ResourceOptions(parent=self)
        self._vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=VPC_CIDR,
            assign_generated_ipv6_cidr_block=True,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            opts=self._child,
        )
        zones = aws.get_availability_zones(state="available", opts=pulumi.InvokeOptions(parent=self)).names[:2]
        self._public = [self._subnet("public", index, zone) for index, zone in enumerate(zones)]
        self._tasks = self._public
        self._internet = aws.ec2.InternetGateway("internet", vpc_id=self._vpc.id, opts=self._child)
        tables = [self._routes("public", self._public, self._to_internet())]
        if config.egress != "public-ipv4":
            self._tasks = [self._subnet("tasks", index, zone) for index, zone in enumerate(zones)]
            tables.append(self._routes("tasks", self._tasks, self._to_outside()))
        self._gateway_endpoints(tables)
        self._empty_default_group()
        balancer = self._balancer_group()
        groups = {name: self._task_group(name, balancer) for name in SERVICES}
        self._let_balancer_out(balancer, groups)

        self.vpc_id = self._vpc.id
        self.public_subnet_ids: pulumi.Output[list[str]] = pulumi.Output.all(*(each.id for each in self._public))
        self.balancer_security_group_id = balancer.id
        self.task_security_group_ids: dict[str, pulumi.Output[str]] = {name: group.id for name, group in groups.items()}
        # What X-Forwarded-For is believed from: where the balancer has its addresses.
        self.balancer_cidrs: pulumi.Output[list[str]] = pulumi.Output.all(
            *PUBLIC_CIDRS, *(each.ipv6_cidr_block.apply(str) for each in self._public)
        )
        self.register_outputs({"vpc_id": self.vpc_id})

    def task_subnet_ids(self, service: str) -> pulumi.Output[list[str]]:
        """Where a service's tasks are."""
        subnets = self._public if self.assign_public_ip(service) else self._tasks
        return pulumi.Output.all(*(subnet.id for subnet in subnets))

    def assign_public_ip(self, service: str) -> bool:
        """Whether its tasks have a public IPv4 address, $3.65 a month each."""
        return self._config.egress == "public-ipv4" or (self._config.egress == "ipv6" and service == IPV4_SERVICE)

    def is_ipv6_only(self, service: str) -> bool:
        """Whether its tasks have no IPv4 address at all."""
        return self._config.egress == "ipv6" and not self.assign_public_ip(service)

    def _subnet(self, kind: str, index: int, zone: str) -> aws.ec2.Subnet:
        """Public ones and those behind NAT are dual-stack.

        Of the `ipv6` egress they have no IPv4: Fargate itself takes its dual-stack endpoints (images, logs, secrets)
        only where a subnet has none.
        """
        is_native = kind == "tasks" and self._config.egress == "ipv6"
        cidrs = PUBLIC_CIDRS if kind == "public" else PRIVATE_CIDRS
        return aws.ec2.Subnet(
            f"{kind}-{index}",
            vpc_id=self._vpc.id,
            availability_zone=zone,
            cidr_block=None if is_native else cidrs[index],
            ipv6_cidr_block=self._vpc.ipv6_cidr_block.apply(_nth_64(index if kind == "public" else 8 + index)),
            ipv6_native=is_native,
            assign_ipv6_address_on_creation=True,
            enable_resource_name_dns_aaaa_record_on_launch=is_native,
            map_public_ip_on_launch=False,  # the service says which of its tasks gets one
            tags={"Name": f"iops-dashboard-{kind}-{index}"},
            opts=self._child,
        )

    def _to_internet(self) -> list[aws.ec2.RouteTableRouteArgs]:
        return [
            aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=self._internet.id),
            aws.ec2.RouteTableRouteArgs(ipv6_cidr_block="::/0", gateway_id=self._internet.id),
        ]

    def _to_outside(self) -> list[aws.ec2.RouteTableRouteArgs]:
        """From subnets that nobody outside can connect to."""
        only_out = aws.ec2.EgressOnlyInternetGateway("only-out", vpc_id=self._vpc.id, opts=self._child)
        routes = [aws.ec2.RouteTableRouteArgs(ipv6_cidr_block="::/0", egress_only_gateway_id=only_out.id)]
        if self._config.egress == "nat":
            # AWS refuses a public one while the VPC has no gateway, which no argument here names.
            reachable = pulumi.ResourceOptions(parent=self, depends_on=[self._internet])
            address = aws.ec2.Eip("nat", domain="vpc", opts=reachable)  # $3.65 a month
            nat = aws.ec2.NatGateway(  # $32.85 a month, $0.045/GB; one, so its zone's end is every task's
                "nat", allocation_id=address.id, subnet_id=self._public[0].id, opts=reachable
            )
            routes.append(aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", nat_gateway_id=nat.id))
        return routes

    def _routes(
        self, kind: str, subnets: list[aws.ec2.Subnet], routes: list[aws.ec2.RouteTableRouteArgs]
    ) -> aws.ec2.RouteTable:
        table = aws.ec2.RouteTable(kind, vpc_id=self._vpc.id, routes=routes, opts=self._child)
        for index, subnet in enumerate(subnets):
            aws.ec2.RouteTableAssociation(
                f"{kind}-{index}", route_table_id=table.id, subnet_id=subnet.id, opts=self._child
            )
        return table

    def _gateway_endpoints(self, tables: list[aws.ec2.RouteTable]) -> None:
        """DynamoDB and S3 (image layers) without NAT and its price per GB. Free."""
        for service in ("dynamodb", "s3"):
            aws.ec2.VpcEndpoint(
                service,
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{self._config.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables],
                opts=self._child,
            )

    def _empty_default_group(self) -> None:
        """What is made without a group gets this one: it lets nothing in or out."""
        aws.ec2.DefaultSecurityGroup("default", vpc_id=self._vpc.id, ingress=[], egress=[], opts=self._child)

    def _balancer_group(self) -> aws.ec2.SecurityGroup:
        group = self._group("balancer", "The load balancer, open to everybody")
        for port in (443, 80) if self._config.certificate_arn else (80,):
            for cidr in ANYWHERE:
                aws.vpc.SecurityGroupIngressRule(
                    f"balancer-{port}-{_family(cidr)}",
                    security_group_id=group.id,
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    cidr_ipv4=cidr if "." in cidr else None,
                    cidr_ipv6=cidr if ":" in cidr else None,
                    opts=self._child,
                )
        return group

    def _task_group(self, name: str, balancer: aws.ec2.SecurityGroup) -> aws.ec2.SecurityGroup:
        """Tasks take the balancer's connections, and open HTTPS to anywhere; the resolver of a VPC needs no rule."""
        group = self._group(name, f"Tasks of {name}, closed but for the load balancer")
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-balancer",
            security_group_id=group.id,
            referenced_security_group_id=balancer.id,
            ip_protocol="tcp",
            from_port=SERVICE_PORT,
            to_port=SERVICE_PORT,
            opts=self._child,
        )
        for cidr in ANYWHERE:
            aws.vpc.SecurityGroupEgressRule(
                f"{name}-https-{_family(cidr)}",
                security_group_id=group.id,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                cidr_ipv4=cidr if "." in cidr else None,
                cidr_ipv6=cidr if ":" in cidr else None,
                opts=self._child,
            )
        return group

    def _let_balancer_out(self, balancer: aws.ec2.SecurityGroup, groups: dict[str, aws.ec2.SecurityGroup]) -> None:
        for name, group in groups.items():
            aws.vpc.SecurityGroupEgressRule(
                f"balancer-to-{name}",
                security_group_id=balancer.id,
                referenced_security_group_id=group.id,
                ip_protocol="tcp",
                from_port=SERVICE_PORT,
                to_port=SERVICE_PORT,
                opts=self._child,
            )

    def _group(self, name: str, description: str) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            name,
            vpc_id=self._vpc.id,
            description=description,
            tags={"Name": f"iops-dashboard-{name}"},
            opts=self._child,
        )


def _nth_64(index: int) -> Callable[[str], str]:
    """The /64 of that number in a /56.

    >>> _nth_64(8)("2600:1f18:1234:5600::/56")
    '2600:1f18:1234:5608::/64'
    """

    def nth(block: str) -> str:
        return str(list(IPv6Network(block).subnets(new_prefix=64))[index])

    return nth


def _family(cidr: str) -> str:
    return "ipv6" if ":" in cidr else "ipv4"
