"""What the cloud has besides programs, made in the stand-in: table, queues, bus, rule, topic, subscription, flags."""

import asyncio
import json
import os
from contextlib import suppress
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from iops import contract, events
from iops.flags import Flags
from local.errors import SetupFailed

REGION: Final = "us-east-1"
ACCOUNT_ID: Final = "000000000000"  # ministack's
ACCESS_KEY: Final = "local"  # for the id and for the secret; the stand-in believes anything
TARGET_ID: Final = "alert-topic"
# This shell's AWS profile and files, which may be of a real account, or name a profile that is not there.
IGNORED_VARIABLES: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
CALL_TIMEOUT_S: Final = 5.0
CANARY_RETENTION_S: Final = 24 * 3600  # nobody reads it while IOPS_CANARY is false
CONFIRMATION_TIMEOUT_S: Final = 10.0


def arn(service: str, name: str) -> str:
    """The ARN of a resource of ours in the stand-in.

    >>> arn("sns", "alerts")
    'arn:aws:sns:us-east-1:000000000000:alerts'
    """
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{name}"


async def create_resources(endpoint_url: str, *, mail_url: str | None, table_url: str | None = None) -> None:
    """Everything the services expect to find. Of the topic hear `mail_url` (if any) and the canary queue.

    `table_url` is a DynamoDB Local that has the table instead of the stand-in; there it has no stream.
    Safe to repeat on what an earlier run left. Raises SetupFailed.
    """
    try:
        async with open_client("dynamodb", table_url or endpoint_url) as dynamodb:
            await create_table(dynamodb, has_stream=table_url is None)
        async with open_client("sqs", endpoint_url) as sqs:
            await _create_queues(sqs)
        async with open_client("sns", endpoint_url) as sns:
            await sns.create_topic(Name=contract.ALERT_TOPIC)
            if mail_url is not None:
                await _subscribe_only(sns, mail_url)
            await sns.subscribe(
                TopicArn=arn("sns", contract.ALERT_TOPIC), Protocol="sqs", Endpoint=arn("sqs", contract.CANARY_QUEUE)
            )
        async with open_client("events", endpoint_url) as bus:
            await _create_bus(bus)
        async with open_client("ssm", endpoint_url) as ssm:
            await _create_flags(ssm)
    except (ClientError, BotoCoreError, TimeoutError) as error:
        raise SetupFailed(f"the resources in {endpoint_url} could not be created: {error!r}") from error


def open_client(service: str, endpoint_url: str) -> Any:
    """An async context manager that yields a client which can reach only `endpoint_url`."""
    config = AioConfig(
        connect_timeout=CALL_TIMEOUT_S, read_timeout=CALL_TIMEOUT_S, retries={"total_max_attempts": 1}, proxies={}
    )
    return AioSession(IGNORED_VARIABLES).create_client(
        service,
        region_name=REGION,
        endpoint_url=endpoint_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=ACCESS_KEY,
        config=config,
    )


async def create_table(dynamodb: Any, *, has_stream: bool = True) -> None:
    """The table of the contract with its TTL, unless it is there; `has_stream=False` for DynamoDB Local."""
    try:
        await dynamodb.create_table(**contract.table_schema(has_stream=has_stream))
    except dynamodb.exceptions.ResourceInUseException:
        return
    await dynamodb.get_waiter("table_exists").wait(
        TableName=contract.TABLE_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    await dynamodb.update_time_to_live(
        TableName=contract.TABLE_NAME,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": contract.TTL_ATTRIBUTE},
    )


async def _create_queues(sqs: Any) -> None:
    for name in (contract.SCORING_DEAD_LETTERS, contract.RULE_DEAD_LETTERS, contract.SUBSCRIPTION_DEAD_LETTERS):
        await sqs.create_queue(QueueName=name)
    canary_url = (await sqs.create_queue(QueueName=contract.CANARY_QUEUE))["QueueUrl"]
    kept = {"MessageRetentionPeriod": str(CANARY_RETENTION_S)}
    await sqs.set_queue_attributes(QueueUrl=canary_url, Attributes=kept)
    redrive = {
        "deadLetterTargetArn": arn("sqs", contract.SCORING_DEAD_LETTERS),
        "maxReceiveCount": contract.SCORING_RECEIVE_LIMIT,
    }
    attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": str(contract.SCORING_VISIBILITY_S)}
    # Created bare, then set: CreateQueue refuses a queue of an earlier run whose attributes differ.
    url = (await sqs.create_queue(QueueName=contract.SCORING_QUEUE))["QueueUrl"]
    await sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


async def _create_flags(ssm: Any) -> None:
    with suppress(ssm.exceptions.ParameterAlreadyExists):  # what somebody has set stays
        await ssm.put_parameter(Name=contract.FLAGS_PARAMETER, Type="String", Value=Flags().model_dump_json())


async def _create_bus(bus: Any) -> None:
    with suppress(bus.exceptions.ResourceAlreadyExistsException):
        await bus.create_event_bus(Name=contract.EVENT_BUS)
    await bus.put_rule(
        Name=contract.EVENT_RULE, EventBusName=contract.EVENT_BUS, EventPattern=json.dumps(events.rule_pattern())
    )
    target = {
        "Id": TARGET_ID,
        "Arn": arn("sns", contract.ALERT_TOPIC),
        "DeadLetterConfig": {"Arn": arn("sqs", contract.RULE_DEAD_LETTERS)},
        "InputTransformer": events.mail_transformer(),
    }
    reply = await bus.put_targets(Rule=contract.EVENT_RULE, EventBusName=contract.EVENT_BUS, Targets=[target])
    if reply["FailedEntryCount"]:
        raise SetupFailed(f"the rule {contract.EVENT_RULE} did not take its target: {reply['FailedEntries']}")


async def _subscribe_only(sns: Any, mail_url: str) -> None:
    """Makes `mail_url` a confirmed subscriber, and the only one.

    Earlier runs had other ports, and ministack neither repeats a confirmation nor gives up a pending subscription.
    """
    topic = arn("sns", contract.ALERT_TOPIC)
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    async for page in pages:
        for subscription in page["Subscriptions"]:
            await sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    redrive = {"deadLetterTargetArn": arn("sqs", contract.SUBSCRIPTION_DEAD_LETTERS)}
    await sns.subscribe(
        TopicArn=topic, Protocol="http", Endpoint=mail_url, Attributes={"RedrivePolicy": json.dumps(redrive)}
    )
    async with asyncio.timeout(CONFIRMATION_TIMEOUT_S):
        while not await _is_confirmed(sns, topic):  # noqa: ASYNC110 -- another program confirms
            await asyncio.sleep(0.05)


async def _is_confirmed(sns: Any, topic: str) -> bool:
    attributes = (await sns.get_topic_attributes(TopicArn=topic))["Attributes"]
    return int(attributes["SubscriptionsConfirmed"]) == 1
