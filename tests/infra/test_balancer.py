"""What the world connects to, and where each path leads."""

import dataclasses
import json

import pytest

from infra.balancer import Balancer
from infra.config import Config
from infra.network import Network
from iops.contract import PATH_RULES
from tests.infra.declared import Stack, declare
from tests.infra.placed import PROD

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"


def a_balancer(config: Config) -> Stack:
    def program() -> object:
        balancer = Balancer(config, Network(config))
        return {"url": balancer.url, "suffix": balancer.arn_suffix}

    return declare(program)


@pytest.mark.parametrize("config", [Config(), PROD])
def test_paths_lead_where_the_contract_says_in_its_order(config: Config) -> None:
    stack = a_balancer(config)
    services = {group.name: arn_of(group.name) for group in stack.all(GROUP)}

    rules = sorted(stack.all("aws:lb/listenerRule:ListenerRule"), key=lambda rule: int(rule.inputs["priority"]))
    led = []
    for rule in rules:
        (action,), (condition,) = rule.inputs["actions"], rule.inputs["conditions"]
        name = next((name for name, arn in services.items() if arn == action.get("targetGroupArn")), None)
        led.append((condition["pathPattern"]["values"][0], name))
        if name is None:
            assert action["fixedResponse"]["statusCode"] == "404"

    assert tuple(led) == PATH_RULES


def test_prod_speaks_tls_1_2_or_newer_and_leads_plain_http_to_it() -> None:
    stack = a_balancer(PROD)

    secure = stack.one(LISTENER, "https").inputs
    assert (secure["port"], secure["protocol"], secure["certificateArn"]) == (443, "HTTPS", PROD.certificate_arn)
    assert secure["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    plain = stack.one(LISTENER, "redirect").inputs
    assert plain["defaultActions"][0]["redirect"] == {"port": "443", "protocol": "HTTPS", "statusCode": "HTTP_301"}
    assert stack.result["url"].startswith("https://iops-dashboard-prod.")
    rules = stack.all("aws:lb/listenerRule:ListenerRule")
    assert {rule.inputs["listenerArn"].rpartition("/")[2] for rule in rules} == {"https"}


def test_prod_refuses_to_be_without_a_certificate() -> None:
    with pytest.raises(ValueError, match="certificate_arn"):
        a_balancer(dataclasses.replace(PROD, certificate_arn=None))


def test_a_path_that_no_rule_fits_is_a_404() -> None:
    default = a_balancer(Config()).one(LISTENER, "http").inputs["defaultActions"][0]

    assert default["fixedResponse"]["statusCode"] == "404"


def test_the_balancer_is_dual_stack_and_drops_broken_headers() -> None:
    balancer = a_balancer(PROD).one(BALANCER).inputs

    assert balancer["ipAddressType"] == "dualstack"
    assert balancer["dropInvalidHeaderFields"] is True
    assert balancer["subnets"] == ["public-0-id", "public-1-id"]
    assert balancer["enableDeletionProtection"] is True
    assert a_balancer(Config()).one(BALANCER).inputs["enableDeletionProtection"] is False


def test_a_target_is_asked_whether_it_is_ready_and_drained_before_it_goes() -> None:
    for group in a_balancer(Config()).all(GROUP):
        inputs = group.inputs
        assert (inputs["targetType"], inputs["port"]) == ("ip", 8000)
        assert inputs["healthCheck"]["path"] == "/health/ready"
        assert (inputs["slowStart"], inputs["deregistrationDelay"]) == (30, 20)
        assert inputs["loadBalancingAlgorithmType"] == "round_robin"  # slow start is refused beside another


def test_targets_without_ipv4_are_reached_by_ipv6() -> None:
    kinds = {group.name: group.inputs["ipAddressType"] for group in a_balancer(Config()).all(GROUP)}
    nat = {group.name: group.inputs["ipAddressType"] for group in a_balancer(Config(egress="nat")).all(GROUP)}

    assert kinds == {"ingest": "ipv6", "insights": "ipv4", "alerts": "ipv6"}
    assert nat == {"ingest": "ipv4", "insights": "ipv4", "alerts": "ipv4"}


def test_names_fit_into_the_32_characters_that_aws_takes() -> None:
    stack = a_balancer(PROD)

    assert len(stack.one(BALANCER).inputs["name"]) <= 32
    # Of ours none: what changes its address family is replaced, and two cannot have one name. Pulumi adds 7 characters.
    assert all("name" not in each.inputs and len(each.name) <= 25 for each in stack.all(GROUP))


def test_access_logs_and_rates_are_there_by_flag_only() -> None:
    stack = a_balancer(Config())
    assert not stack.one(BALANCER).inputs.get("accessLogs")
    assert stack.all("aws:wafv2/webAcl:WebAcl") == stack.all("aws:s3/bucket:Bucket") == []

    stack = a_balancer(Config(has_waf=True, has_access_logs=True))

    assert stack.one(BALANCER).inputs["accessLogs"] == {"bucket": "access-logs", "enabled": True}
    (rule,) = stack.one("aws:wafv2/webAcl:WebAcl").inputs["rules"]
    rate = rule["statement"]["rateBasedStatement"]
    assert (rate["limit"], rate["aggregateKeyType"], rate["evaluationWindowSec"]) == (2_000, "IP", 300)
    assert "block" in rule["action"]
    policy = json.loads(stack.one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"])
    assert policy["Statement"][0]["Resource"] == "arn:aws:s3:::access-logs/AWSLogs/123456789012/*"
    assert policy["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    block = stack.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    assert {value for name, value in block.items() if name != "bucket"} == {True}


def arn_of(name: str) -> str:
    return f"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}/73e2d6bc24d8a067"
