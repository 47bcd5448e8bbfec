"""What language models cost, as the service answers it and `iops cost` shows it, with the flag of the stand-in."""

from datetime import UTC, datetime

from iops import items
from iops.items import Settled
from iops.settings import ServiceSettings
from iops.table import open_table
from tests.integration.stand_ins import Cloud
from tests.integration.test_insights import insights_service


async def test_the_service_answers_with_what_is_stored_and_the_flags_budget(cloud: Cloud) -> None:
    now = datetime.now(UTC)
    settled = Settled(calls=1, nano=1_400_000, tokens_in=900, tokens_out=100)
    async with open_table(ServiceSettings(aws_endpoint_url=cloud.endpoint_url)) as table:
        await table.update(items.day_spent_update(now.date(), settled))
        await table.update(items.stream_spent_update(now.date(), "web-1:sda", settled))

    async with insights_service(cloud.endpoint_url) as client:
        answer = await client.get("/cost")

    assert answer.status_code == 200, answer.text
    cost = answer.json()
    assert (cost["today"]["usd"], cost["today"]["budget_usd"], cost["today"]["left_usd"]) == (0.0014, 1.0, 0.9986)
    assert [(stream["stream_id"], stream["usd"]) for stream in cost["streams"]] == [("web-1:sda", 0.0014)]
