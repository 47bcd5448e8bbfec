"""What the AWS account answers: who asks, what it may use, and how what was deployed stands."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

CALL_TIMEOUT_S: Final = 15.0
ATTEMPTS: Final = 3
MAIN_DEPLOYMENT: Final = "PRIMARY"

Clients = Callable[[str], Any]  # by the name of a service of AWS


class AccountSaysNo(Exception):
    """A call that failed, and why."""


def open_clients(region: str) -> Clients:
    """Clients with the operator's own credentials."""
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config

    config = Config(
        connect_timeout=CALL_TIMEOUT_S, read_timeout=CALL_TIMEOUT_S, retries={"total_max_attempts": ATTEMPTS}
    )
    session = boto3.Session(region_name=region)
    return lambda service: session.client(service, config=config)


class Account:
    """Asks; changes nothing. Each method raises AccountSaysNo."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def caller(self) -> str:
        """The ARN of whoever's credentials these are."""
        with _saying("sts GetCallerIdentity"):
            return str(self._clients("sts").get_caller_identity()["Arn"])

    def model_name(self, model_id: str) -> str:
        """As quotas call it."""
        with _saying(f"bedrock GetFoundationModel {model_id}"):
            reply = self._clients("bedrock").get_foundation_model(modelIdentifier=model_id)
            return str(reply["modelDetails"]["modelName"])

    def model_obstacles(self, model_id: str) -> list[str]:
        """What stands between this account and the model."""
        with _saying(f"bedrock GetFoundationModelAvailability {model_id}"):
            reply = self._clients("bedrock").get_foundation_model_availability(modelId=model_id)
        found = {
            "no agreement": reply.get("agreementAvailability", {}).get("status"),
            "not authorised": reply.get("authorizationStatus"),
            "no entitlement": reply.get("entitlementAvailability"),
            "not in this region": reply.get("regionAvailability"),
        }
        return [what for what, state in found.items() if state not in ("AVAILABLE", "AUTHORIZED")]

    def quota(self, service: str, *words: str) -> float | None:
        """The largest quota whose name has all the words; None where there is none of that name."""
        with _saying(f"servicequotas ListServiceQuotas {service}"):
            pages = self._clients("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode=service)
            listed = [quota for page in pages for quota in page["Quotas"]]
        values = [float(each["Value"]) for each in listed if all(word in each["QuotaName"] for word in words)]
        return max(values, default=None)

    def certificate_state(self, arn: str) -> str:
        """ISSUED is the one that serves."""
        with _saying(f"acm DescribeCertificate {arn}"):
            reply = self._clients("acm").describe_certificate(CertificateArn=arn)
            return str(reply["Certificate"]["Status"])

    def registry_login(self) -> tuple[str, str]:
        """Where images are pushed, and the password of the user AWS."""
        with _saying("ecr GetAuthorizationToken"):
            found = self._clients("ecr").get_authorization_token()["authorizationData"][0]
        password = base64.b64decode(found["authorizationToken"]).decode().partition(":")[2]
        return str(found["proxyEndpoint"]).removeprefix("https://"), password

    def has_image(self, repository: str, tag: str) -> bool:
        """Whether the tag was pushed, and has not been tidied away."""
        try:
            with _saying(f"ecr DescribeImages {repository}:{tag}"):
                self._clients("ecr").describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
        except AccountSaysNo as error:
            if "ImageNotFoundException" in str(error):
                return False
            raise
        return True

    def rollouts(self, cluster: str, services: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """By service: COMPLETED, IN_PROGRESS or FAILED, and the image that its newest deployment runs."""
        with _saying(f"ecs DescribeServices {cluster}"):
            ecs = self._clients("ecs")
            found = ecs.describe_services(cluster=cluster, services=list(services))["services"]
            return {each["serviceName"]: self._rollout(ecs, each) for each in found}

    def unconfirmed_mails(self, topic_arn: str) -> list[str]:
        """Addresses whose owner has not clicked in AWS's mail yet, and so hear nothing."""
        with _saying(f"sns ListSubscriptionsByTopic {topic_arn}"):
            pages = self._clients("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
            listed = [each for page in pages for each in page["Subscriptions"]]
        return [str(each["Endpoint"]) for each in listed if each["SubscriptionArn"] == "PendingConfirmation"]

    def _rollout(self, ecs: Any, service: Mapping[str, Any]) -> tuple[str, str]:
        main = next(each for each in service["deployments"] if each["status"] == MAIN_DEPLOYMENT)
        definition = ecs.describe_task_definition(taskDefinition=main["taskDefinition"])["taskDefinition"]
        return str(main.get("rolloutState", "COMPLETED")), str(definition["containerDefinitions"][0]["image"])


@contextmanager
def _saying(call: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        raise AccountSaysNo(f"{call}: {told.get('Code')}: {told.get('Message', '')}") from error
    except BotoCoreError as error:
        raise AccountSaysNo(f"{call}: {error}") from error
