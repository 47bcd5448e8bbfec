"""The keys that `iops up` makes: once, for their owner only, and anew where the table knows them no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from iops.auth import Role
from iops.private_file import read_private
from local.errors import SetupFailed
from local.keys import KeyFiles, make_keys, read_peppers
from tests.secret_documents import PEPPER_ID, write_secrets
from tests.unit.builders import AT
from tests.unit.fakes import FakeTable
from tests.unit.keyrings import Ring, deeds_of, peppers_of, random_bytes


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    return KeyFiles(agent=tmp_path / "agent.key", operator=tmp_path / "operator.token")


async def make(ring: Ring, files: KeyFiles) -> list[str]:
    await make_keys(ring.table.table(), ring.peppers, files, AT, random_bytes)
    return [read_private(path) for path in (files.agent, files.operator)]


async def test_the_agent_may_send_and_the_operator_may_all(files: KeyFiles) -> None:
    ring = Ring()
    callers = [await ring.keys.caller_of(key.encode()) for key in await make(ring, files)]

    assert [(caller.name.split(" (")[0], caller.role, caller.sees_all) for caller in callers] == [
        ("key local-agent", Role.AGENT, True),
        ("key local-operator", Role.ADMIN, True),
    ]
    assert {deed.by for deed in deeds_of(ring.table)} == {"iops up"}


async def test_grafana_may_read_and_no_more_where_it_runs(files: KeyFiles, tmp_path: Path) -> None:
    ring = Ring()
    viewer = tmp_path / "viewer.key"
    await make(ring, replace(files, viewer=viewer))

    caller = await ring.keys.caller_of(read_private(viewer).encode())

    assert (caller.role, caller.sees_all) == (Role.VIEWER, True)


async def test_keys_that_still_hold_are_used_again(files: KeyFiles) -> None:
    ring = Ring()

    assert await make(ring, files) == await make(ring, files)
    assert len(ring.table.of_type("apikey")) == 2


@pytest.mark.parametrize("loss", ["table", "pepper", "role", "nonsense"])
async def test_keys_that_do_not_hold_any_more_are_made_anew(files: KeyFiles, loss: str) -> None:
    ring = Ring()
    before = await make(ring, files)
    if loss == "table":
        ring.table.rows.clear()
    elif loss == "pepper":
        ring.peppers = peppers_of(ring.peppers.of("p-old") or ring.peppers.current)
    elif loss == "role":
        swap(files)
    else:
        for path in (files.agent, files.operator):
            overwrite(path, "nonsense")
    after = await make(ring, files)

    assert not set(before) & set(after)
    assert (await ring.keys.caller_of(after[0].encode())).role is Role.AGENT


def swap(files: KeyFiles) -> None:
    files.agent.rename(files.agent.with_suffix(".old"))
    files.operator.rename(files.agent)
    files.agent.with_suffix(".old").rename(files.operator)


def overwrite(path: Path, text: str) -> None:
    path.write_text(text)


async def test_a_file_that_others_can_read_stops_the_start(files: KeyFiles) -> None:
    ring = Ring()
    await make(ring, files)
    files.operator.chmod(0o644)

    with pytest.raises(SetupFailed, match="chmod 600"):
        await make(ring, files)


async def test_a_table_that_is_away_stops_the_start(files: KeyFiles) -> None:
    ring = Ring(table=FakeTable())
    ring.table.is_away = True

    with pytest.raises(SetupFailed):
        await make(ring, files)


async def test_the_peppers_are_those_of_the_secrets_file(tmp_path: Path) -> None:
    assert (await read_peppers(write_secrets(tmp_path / "secrets.json"))).current.id == PEPPER_ID
    with pytest.raises(SetupFailed):
        await read_peppers(tmp_path / "nothing")
