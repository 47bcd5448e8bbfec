"""The bill's own watchman: AWS Budgets mails when the month costs more than it should."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import Config

SPENT_PERCENTS: Final = (50, 80, 100)
FORECAST_PERCENT: Final = 100
PROJECT: Final = "iops-dashboard"  # of the tag that every resource has, by its stack's configuration


class Budget(pulumi.ComponentResource):
    """Free, as it does nothing but mail. It mails by itself: its mailboxes need not confirm, as a topic's must.

    It counts what has the tags `project` and `environment` of its stack: two stacks of one account have a budget each.
    Somebody has to activate both once, in Billing, as cost allocation tags; before that, and for what AWS cannot tag,
    it counts nothing.
    """

    def __init__(self, config: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:budget:Budget", "budget", None, opts)
        actual = [_mail(config, percent, "ACTUAL") for percent in SPENT_PERCENTS]
        aws.budgets.Budget(
            "month",
            name=f"iops-dashboard-{config.environment}",
            budget_type="COST",
            limit_amount=f"{config.budget_usd:.2f}",
            limit_unit="USD",
            time_unit="MONTHLY",
            filter_expression=aws.budgets.BudgetFilterExpressionArgs(
                ands=[_tag("project", PROJECT), _tag("environment", config.environment)]
            ),
            metrics="UnblendedCost",  # what the invoice says
            # Budgets takes no notification without a reader.
            notifications=[*actual, _mail(config, FORECAST_PERCENT, "FORECASTED")] if config.alert_emails else [],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _tag(key: str, value: str) -> aws.budgets.BudgetFilterExpressionAndArgs:
    tags = aws.budgets.BudgetFilterExpressionAndTagsArgs(key=key, values=[value])
    return aws.budgets.BudgetFilterExpressionAndArgs(tags=tags)


def _mail(config: Config, percent: int, kind: str) -> aws.budgets.BudgetNotificationArgs:
    return aws.budgets.BudgetNotificationArgs(
        comparison_operator="GREATER_THAN",
        notification_type=kind,
        threshold=percent,
        threshold_type="PERCENTAGE",
        subscriber_email_addresses=list(config.alert_emails),
    )
