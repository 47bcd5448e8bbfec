"""Images, lines and the cluster: what is kept, and for how long."""

from infra.cluster import Cluster
from infra.config import Config
from infra.logs import Logs
from infra.registry import Registry
from tests.infra.declared import declare
from tests.infra.placed import PROD


def test_an_image_is_scanned_and_its_tag_cannot_be_moved() -> None:
    repositories = declare(lambda: list(Registry(PROD).repositories)).all("aws:ecr/repository:Repository")

    assert [each.inputs["name"] for each in repositories] == [
        "iops-dashboard-prod/ingest",
        "iops-dashboard-prod/insights",
        "iops-dashboard-prod/alerts",
    ]
    for each in repositories:
        assert each.inputs["imageTagMutability"] == "IMMUTABLE"
        assert each.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
        assert each.inputs["forceDelete"] is False


def test_ten_images_of_a_service_are_kept() -> None:
    policies = declare(lambda: list(Registry(PROD).repositories)).all("aws:ecr/lifecyclePolicy:LifecyclePolicy")

    assert len(policies) == 3
    for policy in policies:
        (rule,) = policy.json("policy")["rules"]
        assert rule["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}


def test_lines_are_forgotten_after_the_days_of_the_stack() -> None:
    groups = declare(lambda: list(Logs(Config(log_retention_days=30)).groups)).all("aws:cloudwatch/logGroup:LogGroup")

    assert {group.inputs["name"]: group.inputs["retentionInDays"] for group in groups} == {
        "/iops-dashboard/dev/ingest": 30,
        "/iops-dashboard/dev/insights": 30,
        "/iops-dashboard/dev/alerts": 30,
    }


def test_the_cluster_offers_spot_and_pays_for_no_insights() -> None:
    stack = declare(lambda: Cluster(Config()).name)

    assert stack.result == "iops-dashboard-dev"
    assert stack.one("aws:ecs/cluster:Cluster").inputs["settings"] == [
        {"name": "containerInsights", "value": "disabled"}
    ]
    providers = stack.one("aws:ecs/clusterCapacityProviders:ClusterCapacityProviders").inputs
    assert providers["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
