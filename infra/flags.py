"""The flags: a document that operators change while services run, so Pulumi makes it once and lets it be."""

from __future__ import annotations

import json
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import Config
from iops import contract

# What is safe where nobody has decided: iops.flags.Flags' defaults, all of them, so that an operator sees their names.
FIRST: Final = {
    "ai_enabled": False,
    "llm_percent": 100.0,
    "sagemaker_percent": 0.0,
    "llm_daily_usd": 1.0,
    "llm_sets_risk": False,
}


class Flags(pulumi.ComponentResource):
    """A standard parameter of SSM: it costs nothing, and keeps its last 100 versions with who wrote them."""

    parameter_arn: pulumi.Output[str]

    def __init__(self, _: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:flags:Flags", "flags", None, opts)
        parameter = aws.ssm.Parameter(
            "flags",
            name=contract.FLAGS_PARAMETER,
            type="String",
            insecure_value=json.dumps(FIRST),  # no secret: a preview may show it
            description="Read every 30 s by the insights service; Pulumi never changes the value",
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["value", "insecureValue"]),
        )
        self.parameter_arn = parameter.arn
        self.register_outputs({"parameter_arn": self.parameter_arn})
