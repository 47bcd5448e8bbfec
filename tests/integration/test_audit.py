"""The audit on its whole way: in the transactions of both tables, out of the route, and of flags in a file and SSM."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from iops import items
from iops.audit import Deed, DeedKind
from iops.auth import Role
from iops.clock import now
from iops.contract import FLAGS_PARAMETER
from iops.errors import Conflict
from iops.flags import Flags
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.insights import flag_watch
from tests.integration.examples import AT, EVERYBODY, an_insight
from tests.integration.stand_ins import Cloud, wait_until
from tests.integration.test_insights import DISK, insights_service


def a_deed(deed_id: str = "d", **fields: Any) -> Deed:
    usual: dict[str, Any] = {"at": AT, "kind": DeedKind.KEY_REVOKED, "about": "k", "by": "ann", "role": Role.ADMIN}
    return Deed(deed_id=deed_id, **usual | {"address": None, "request_id": None} | fields)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_deed_fills_the_largest_transaction_and_is_refused_with_it(table: Table) -> None:
    others: list[items.Item] = [{"Put": {"Item": items.due_item(f"alert#{number}", AT)}} for number in range(99)]
    await table.transact([*others, {"Put": items.deed_put(a_deed())}])

    with pytest.raises(Conflict):
        await table.transact([{"Put": {"Item": items.due_item("alert#x", AT)}}, {"Put": items.deed_put(a_deed())}])

    assert await table.get(items.due_key("alert#x")) is None
    assert await table.get(items.due_key("alert#98")) is not None


@pytest.mark.asyncio(loop_scope="module")
async def test_deeds_are_found_by_kind_thing_and_name(table: Table) -> None:
    for number, by in enumerate(("ann", "bob", "ann")):
        deed = a_deed(f"{number}", at=AT + timedelta(seconds=number), by=by)
        await table.transact([{"Put": items.deed_put(deed)}])
    await table.transact([{"Put": items.seen_flags_put("{}", version=1)}])

    where = items.deeds_where(kind="key_revoked", about="k", by="ann")
    rows, _ = await table.list_page("audit", caller=EVERYBODY, limit=9, cursor=None, where=where)

    assert [items.item_to_deed(row).deed_id for row in rows] == ["2", "0"]


@pytest.mark.asyncio(loop_scope="module")
async def test_of_two_that_saw_the_same_flags_one_goes_on(table: Table) -> None:
    for version in (1, 2):
        await table.transact([{"Put": items.seen_flags_put("{}", version=version)}])

    with pytest.raises(Conflict):
        await table.transact([{"Put": items.seen_flags_put("{}", version=2)}])


async def deeds(client: httpx.AsyncClient, **params: Any) -> list[Any]:
    answer = await client.get("/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["items"]
    return found


async def wait_for_deeds(client: httpx.AsyncClient, count: int) -> list[Any]:
    async def is_there() -> bool:
        return len(await deeds(client)) >= count

    await wait_until(is_there)
    return await deeds(client)


async def test_feedback_that_was_posted_twice_is_one_deed(settings: ServiceSettings) -> None:
    assert settings.aws_endpoint_url is not None
    insight = an_insight(DISK, created_at=now())
    async with open_table(settings) as table:
        await table.put(items.insight_item(insight))

    async with insights_service(settings.aws_endpoint_url) as client:
        for _ in range(2):
            await client.post(f"/insights/{insight.insight_id}/feedback", json={"verdict": "confirm"})
        (deed,) = await deeds(client, about=insight.insight_id)

    assert (deed["kind"], deed["detail"]["verdict"], deed["role"]) == ("feedback_given", "confirm", "admin")


async def test_flags_that_changed_in_ssm_and_between_two_runs_are_deeds(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flag_watch, "INTERVAL_S", 0.02)

    async def set_flags(**flags: Any) -> None:
        value = json.dumps(flags)
        await cloud.call("ssm", "put_parameter", Name=FLAGS_PARAMETER, Value=value, Overwrite=True)

    async with insights_service(cloud.endpoint_url, flags_interval_s=0.02) as client:
        await wait_for_seen_flags(cloud)
        await set_flags(ai_enabled=True)
        (deed,) = await wait_for_deeds(client, 1)
    assert (deed["kind"], deed["detail"]) == ("flags_changed", {"ai_enabled": "false -> true"})
    assert deed["by"].startswith("arn:aws:")

    await set_flags(ai_enabled=True, llm_daily_usd=3)
    async with insights_service(cloud.endpoint_url, flags_interval_s=0.02) as client:
        newest, _ = await wait_for_deeds(client, 2)
    assert newest["detail"] == {"llm_daily_usd": "1 -> 3"}


async def test_flags_that_changed_in_a_file_are_a_deed_of_whoever_did(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flag_watch, "INTERVAL_S", 0.02)
    path = tmp_path / "flags.json"
    path.write_text(Flags().model_dump_json())

    async with insights_service(cloud.endpoint_url, flags_file=path, flags_interval_s=0.02) as client:
        await wait_for_seen_flags(cloud)
        path.write_text('{"llm_sets_risk": true}')
        (deed,) = await wait_for_deeds(client, 1)

    assert (deed["by"], deed["detail"]) == (f"whoever changed {path}"[:200], {"llm_sets_risk": "false -> true"})


async def wait_for_seen_flags(cloud: Cloud) -> None:
    async with open_table(ServiceSettings(aws_endpoint_url=cloud.endpoint_url)) as table:

        async def is_there() -> bool:
            return await table.get(items.SEEN_FLAGS_KEY) is not None

        await wait_until(is_there)
