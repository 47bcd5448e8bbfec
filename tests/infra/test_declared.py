"""The mocks that every other test here stands on."""

import pulumi
import pulumi_aws as aws
import pytest

from tests.infra.declared import declare


class Part(pulumi.ComponentResource):
    def __init__(self, name: str) -> None:
        super().__init__("iops:part:Part", name)
        self.bucket = aws.s3.Bucket(
            "models", bucket="iops-models", opts=pulumi.ResourceOptions(parent=self, protect=True)
        )
        self.topic = aws.sns.Topic("topic", name=self.bucket.arn, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


def test_every_resource_is_kept_with_its_inputs_and_its_parent() -> None:
    stack = declare(lambda: Part("part").topic.name)

    bucket = stack.one("aws:s3/bucket:Bucket")
    assert (bucket.name, bucket.inputs["bucket"], bucket.parent, bucket.is_protected) == (
        "models",
        "iops-models",
        "part",
        True,
    )
    assert stack.one("iops:part:Part").parent is None
    assert stack.one("aws:sns/topic:Topic", "topic").inputs["name"] == "arn:aws:s3:::iops-models"
    assert stack.result == "arn:aws:s3:::iops-models"


def test_two_stacks_know_nothing_of_each_other() -> None:
    first = declare(lambda: Part("a").bucket.id)
    second = declare(
        lambda: pulumi.Config("iops-dashboard").get("region"), config={"iops-dashboard:region": "eu-west-1"}
    )

    assert first.result == "models-id"
    assert second.result == "eu-west-1"
    assert second.resources == ()
    assert declare(lambda: pulumi.Config("iops-dashboard").get("region")).result is None


def test_an_output_in_an_f_string_raises() -> None:
    with pytest.raises(Exception, match="Calling __str__"):
        declare(lambda: f"{Part('part').bucket.arn}")


def test_what_a_program_raises_comes_out() -> None:
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        declare(fails)
