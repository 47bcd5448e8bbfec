"""Changed flags in the audit: once for all replicas, also after a night without any, and never for nothing."""

import asyncio
import json
from typing import Any

import pytest

from iops import items
from iops.audit import Deed
from iops.errors import Conflict, TableUnavailable
from iops.flags import FlagReader, ParameterSource
from iops.observability import Metrics
from services.insights.flag_watch import FlagWatch
from tests.unit.builders import clock_at
from tests.unit.fakes import FakeTable, aws_error

ANN, BOB = (f"arn:aws:iam::123456789012:user/{name}" for name in ("ann", "bob"))


class FakeParameters:
    """SSM's client: one parameter with its history, in pages of two."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        self.tells = True
        self.put(ANN)

    def put(self, by: str, **flags: Any) -> None:
        self.history.append({"Version": len(self.history) + 1, "Value": json.dumps(flags), "LastModifiedUser": by})

    async def get_parameter(self, *, Name: str) -> Any:  # noqa: N803
        await asyncio.sleep(0)
        return {"Parameter": self.history[-1]}

    async def get_parameter_history(self, *, Name: str, MaxResults: int, NextToken: str = "0") -> Any:  # noqa: N803
        if not self.tells:
            raise aws_error("AccessDeniedException")
        start = int(NextToken)
        page = self.history[start : start + 2]
        return {"Parameters": page, **({"NextToken": f"{start + 2}"} if start + 2 < len(self.history) else {})}


class Scene:
    """A table and a parameter, and replicas that come and go."""

    def __init__(self) -> None:
        self.table, self.parameters = FakeTable(), FakeParameters()

    async def replica(self) -> tuple[FlagReader, FlagWatch]:
        """One that has started."""
        reader = FlagReader(ParameterSource(self.parameters), Metrics(), interval_s=30)
        watch = FlagWatch(self.table.table(), reader, clock_at())
        await self.turn(reader, watch)
        return reader, watch

    async def turn(self, reader: FlagReader, watch: FlagWatch) -> None:
        await reader.read()
        await watch.look()

    def deeds(self) -> list[Deed]:
        rows = [row for row in self.table.of_type("audit") if row["entity_id"]["S"] != "audit#flags"]
        return [items.item_to_deed(row) for row in rows]


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_change_is_one_row_with_old_and_new_and_who(scene: Scene) -> None:
    replica = await scene.replica()
    scene.parameters.put(BOB, ai_enabled=True, llm_daily_usd=2.5)

    for _ in range(3):
        await scene.turn(*replica)

    (deed,) = scene.deeds()
    assert (deed.kind, deed.about, deed.by) == ("flags_changed", "ssm:/iops-dashboard/flags", BOB)
    assert deed.detail == {"ai_enabled": "false -> true", "llm_daily_usd": "1 -> 2.5"}
    assert (deed.role, deed.address, deed.request_id) == (None, None, None)


async def test_what_was_there_at_the_very_first_start_is_no_change(scene: Scene) -> None:
    scene.parameters.put(BOB, ai_enabled=True)

    await scene.replica()

    assert scene.deeds() == []


async def test_a_restart_is_no_change_and_a_change_while_none_ran_is_one(scene: Scene) -> None:
    for _ in range(2):
        await scene.replica()
    assert scene.deeds() == []
    scene.parameters.put(BOB, sagemaker_percent=5)

    for _ in range(2):
        await scene.replica()

    assert [deed.detail for deed in scene.deeds()] == [{"sagemaker_percent": "0 -> 5"}]


async def test_replicas_that_see_a_change_at_once_write_it_once(scene: Scene) -> None:
    replicas = [await scene.replica() for _ in range(5)]
    scene.parameters.put(BOB, ai_enabled=True)

    outcomes = await asyncio.gather(*(scene.turn(*replica) for replica in replicas), return_exceptions=True)
    for replica in replicas:
        await scene.turn(*replica)

    assert {type(outcome) for outcome in outcomes} <= {type(None), Conflict}
    assert len(scene.deeds()) == 1


async def test_a_replica_that_has_yet_to_read_the_change_does_not_write_it_back(scene: Scene) -> None:
    quick, slow = [await scene.replica() for _ in range(2)]
    scene.parameters.put(BOB, ai_enabled=True)
    await scene.turn(*quick)

    await slow[1].look()
    await scene.turn(*slow)

    assert len(scene.deeds()) == 1


async def test_there_and_back_is_two_rows(scene: Scene) -> None:
    replica = await scene.replica()
    for by, flags in ((BOB, {"ai_enabled": True}), (ANN, {})):
        scene.parameters.put(by, **flags)
        await scene.turn(*replica)

    assert [(deed.by, deed.detail["ai_enabled"]) for deed in scene.deeds()] == [
        (BOB, "false -> true"),
        (ANN, "true -> false"),
    ]


async def test_where_the_source_does_not_tell_who_the_row_says_so(scene: Scene) -> None:
    replica = await scene.replica()
    scene.parameters.tells = False
    scene.parameters.put(BOB, ai_enabled=True)

    await scene.turn(*replica)

    assert [deed.by for deed in scene.deeds()] == ["whoever changed ssm:/iops-dashboard/flags"]


async def test_a_document_that_is_refused_changes_nothing(scene: Scene) -> None:
    replica = await scene.replica()
    scene.parameters.put(BOB, ai_enabled="yes")

    await scene.turn(*replica)
    await scene.replica()

    assert scene.deeds() == []


async def test_a_row_that_could_not_be_stored_is_stored_later_and_nothing_is_half_done(scene: Scene) -> None:
    replica = await scene.replica()
    scene.parameters.put(BOB, ai_enabled=True)
    scene.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    with pytest.raises(TableUnavailable):
        await scene.turn(*replica)
    assert (scene.deeds(), replica[0].current.ai_enabled) == ([], True)
    await scene.turn(*replica)

    assert len(scene.deeds()) == 1


async def test_while_nothing_changes_the_table_is_not_asked(scene: Scene) -> None:
    replica = await scene.replica()
    asked = len(scene.table.calls)

    for _ in range(3):
        await scene.turn(*replica)

    assert len(scene.table.calls) == asked
