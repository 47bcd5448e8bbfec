"""What the world connects to: one load balancer that leads each path to its service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import SERVICES, Config
from infra.network import SERVICE_PORT, Network
from iops.contract import PATH_RULES

TLS_POLICY: Final = "ELBSecurityPolicy-TLS13-1-2-2021-06"  # 1.2 and 1.3, forward secrecy only
IDLE_TIMEOUT_S: Final = (
    60  # services keep connections longer (infra.service.KEEP_ALIVE_S): who closes first risks a 502
)
DEREGISTRATION_S: Final = 20  # the longest answer is insights' 20 s to analyse a stream; then connections are cut
SLOW_START_S: Final = 30
RATE_LIMIT: Final = 2_000  # requests of one address in 5 minutes; an agent sends 5 a stream
ACCESS_LOG_DAYS: Final = 14
NOT_FOUND: Final = {"content_type": "text/plain", "message_body": "Nobody answers here.", "status_code": "404"}


class Balancer(pulumi.ComponentResource):
    """$16.43 a month, $5.84 a unit of load, and two public IPv4 addresses, $7.30."""

    def __init__(self, config: Config, network: Network, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:balancer:Balancer", "balancer", None, opts)
        if config.is_prod and not config.certificate_arn:
            raise ValueError("certificate_arn: prod speaks HTTPS only")
        self._config = config
        self._child = pulumi.ResourceOptions(parent=self)
        logs, policy = self._access_logs() if config.has_access_logs else (None, ())
        balancer = aws.lb.LoadBalancer(
            "balancer",
            name=f"iops-dashboard-{config.environment}",
            load_balancer_type="application",
            ip_address_type="dualstack",
            security_groups=[network.balancer_security_group_id],
            subnets=network.public_subnet_ids,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            xff_header_processing_mode="append",
            idle_timeout=IDLE_TIMEOUT_S,
            enable_deletion_protection=config.is_kept,
            access_logs=logs,
            # AWS refuses one that faces the internet while the VPC has no gateway, which no argument here names.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[network, *policy]),
        )
        self.target_groups = {name: self._target_group(name, network) for name in SERVICES}
        self.listener = self._listen(balancer)
        for priority, (pattern, service) in enumerate(PATH_RULES, start=1):
            self._lead(priority, pattern, service)
        if config.has_waf:
            self._limit_rates(balancer)

        self.arn_suffix = balancer.arn_suffix
        self.dns_name = balancer.dns_name
        scheme = "https" if config.certificate_arn else "http"
        self.url: pulumi.Output[str] = (
            pulumi.Output.from_input(config.public_url)
            if config.public_url
            else pulumi.Output.concat(f"{scheme}://", balancer.dns_name)
        )
        self.register_outputs({"url": self.url})

    def _target_group(self, name: str, network: Network) -> aws.lb.TargetGroup:
        # Named by Pulumi: what changes its address family is replaced, and two cannot have one name.
        return aws.lb.TargetGroup(
            name,
            vpc_id=network.vpc_id,
            target_type="ip",
            ip_address_type="ipv6" if network.is_ipv6_only(name) else "ipv4",
            port=SERVICE_PORT,
            protocol="HTTP",
            load_balancing_algorithm_type="round_robin",  # least outstanding requests is refused beside slow start
            slow_start=SLOW_START_S,
            deregistration_delay=DEREGISTRATION_S,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                path="/health/ready",
                matcher="200",
                interval=10,
                timeout=5,
                healthy_threshold=2,
                unhealthy_threshold=3,  # 30 s: a table that is away for a moment takes nobody out
            ),
            opts=self._child,
        )

    def _listen(self, balancer: aws.lb.LoadBalancer) -> aws.lb.Listener:
        """What no rule fits is nobody's: 404. Plain HTTP is led to HTTPS where there is a certificate."""
        if self._config.certificate_arn is None:
            return self._listener(balancer, "http", port=80)
        aws.lb.Listener(
            "redirect",
            load_balancer_arn=balancer.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=aws.lb.ListenerDefaultActionRedirectArgs(
                        port="443",
                        protocol="HTTPS",
                        status_code="HTTP_301",
                    ),
                )
            ],
            opts=self._child,
        )
        return self._listener(balancer, "https", port=443)

    def _listener(self, balancer: aws.lb.LoadBalancer, name: str, *, port: int) -> aws.lb.Listener:
        is_secure = name == "https"
        return aws.lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=port,
            protocol=name.upper(),
            certificate_arn=self._config.certificate_arn if is_secure else None,
            ssl_policy=TLS_POLICY if is_secure else None,
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="fixed-response",
                    fixed_response=aws.lb.ListenerDefaultActionFixedResponseArgs(**NOT_FOUND),
                )
            ],
            opts=self._child,
        )

    def _lead(self, priority: int, pattern: str, service: str | None) -> None:
        action = (
            aws.lb.ListenerRuleActionArgs(
                type="fixed-response",
                fixed_response=aws.lb.ListenerRuleActionFixedResponseArgs(**NOT_FOUND),
            )
            if service is None
            else aws.lb.ListenerRuleActionArgs(type="forward", target_group_arn=self.target_groups[service].arn)
        )
        aws.lb.ListenerRule(
            f"path-{priority}",
            listener_arn=self.listener.arn,
            priority=priority,
            conditions=[
                aws.lb.ListenerRuleConditionArgs(
                    path_pattern=aws.lb.ListenerRuleConditionPathPatternArgs(values=[pattern])
                )
            ],
            actions=[action],
            opts=self._child,
        )

    def _access_logs(self) -> tuple[aws.lb.LoadBalancerAccessLogsArgs, Sequence[pulumi.Resource]]:
        """Every request a line, for the balancer knows no sampling: at 2,000 a second gigabytes a day."""
        bucket = aws.s3.Bucket("access-logs", force_destroy=not self._config.is_kept, opts=self._child)
        aws.s3.BucketPublicAccessBlock(
            "access-logs",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child,
        )
        aws.s3.BucketLifecycleConfiguration(
            "access-logs",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="forget",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=ACCESS_LOG_DAYS),
                )
            ],
            opts=self._child,
        )
        account = aws.get_caller_identity(opts=pulumi.InvokeOptions(parent=self)).account_id
        writes = {
            "Effect": "Allow",
            "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": pulumi.Output.concat(bucket.arn, f"/AWSLogs/{account}/*"),
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }
        document = pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [writes]})
        policy = aws.s3.BucketPolicy("access-logs", bucket=bucket.id, policy=document, opts=self._child)
        return aws.lb.LoadBalancerAccessLogsArgs(bucket=bucket.bucket, enabled=True), [policy]

    def _limit_rates(self, balancer: aws.lb.LoadBalancer) -> None:
        """$5 a month, $1 for its rule, $0.60 a million requests."""
        seen = aws.wafv2.WebAclVisibilityConfigArgs(
            cloudwatch_metrics_enabled=True, metric_name="iops-dashboard", sampled_requests_enabled=False
        )
        rate = aws.wafv2.WebAclRuleStatementRateBasedStatementArgs(
            limit=RATE_LIMIT, aggregate_key_type="IP", evaluation_window_sec=300
        )
        acl = aws.wafv2.WebAcl(
            "rates",
            name=f"iops-dashboard-{self._config.environment}",
            scope="REGIONAL",
            default_action=aws.wafv2.WebAclDefaultActionArgs(allow=aws.wafv2.WebAclDefaultActionAllowArgs()),
            rules=[
                aws.wafv2.WebAclRuleArgs(
                    name="rate-of-an-address",
                    priority=1,
                    action=aws.wafv2.WebAclRuleActionArgs(block=aws.wafv2.WebAclRuleActionBlockArgs()),
                    statement=aws.wafv2.WebAclRuleStatementArgs(rate_based_statement=rate),
                    visibility_config=aws.wafv2.WebAclRuleVisibilityConfigArgs(
                        cloudwatch_metrics_enabled=True, metric_name="rates", sampled_requests_enabled=False
                    ),
                )
            ],
            visibility_config=seen,
            opts=self._child,
        )
        aws.wafv2.WebAclAssociation("rates", resource_arn=balancer.arn, web_acl_arn=acl.arn, opts=self._child)
