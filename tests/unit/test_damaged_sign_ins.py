"""Rows of keys, links and machines that are damaged: they hold for nobody, and break nothing."""

from typing import Any

import pytest

from iops import items
from iops.auth import Role
from services.insights.session.mint import hash_of
from tests.unit.desks import OURS, Front

CODE = "A" * 43


def damage(front: Front, key: dict[str, Any], document: str) -> None:
    front.table.add({**key, "doc": {"S": document}})


@pytest.mark.parametrize("document", ["", "{}", "nonsense"])
async def test_a_damaged_link_signs_nobody_in(document: str) -> None:
    front = Front()
    damage(front, items.link_key(hash_of(CODE)), document)
    answer = await front.browser().post("/session/open", json={"code": CODE}, headers=OURS)

    assert answer.status_code == 400


async def test_a_damaged_machine_waits_no_more() -> None:
    front = Front()
    begun = (await front.browser().post("/session/device", json={"name": "laptop"})).json()
    code = begun["user_code"].replace("-", "")
    damage(front, items.device_key(code), "nonsense")
    asked = await front.browser().post("/session/device/token", json={"device_code": begun["device_code"]})
    looked = await front.holder().post("/session/device/look", data={"code": code}, headers=OURS)

    assert (asked.status_code, looked.status_code) == (400, 404)


async def test_a_browser_signs_out_of_a_damaged_key() -> None:
    front = Front()
    key = front.ring.add(Role.VIEWER)
    damage(front, items.api_key_key(key[5:21]), "nonsense")
    browser = front.browser(Cookie=f"__Host-iops_session={key}")

    assert (await browser.post("/session/sign-out", headers=OURS)).status_code == 200


async def test_a_use_beyond_all_calendars_is_a_damaged_row() -> None:
    front = Front()
    key = front.ring.add(Role.VIEWER)
    row = front.table.rows[f"apikey#{key[5:21]}", "apikey"]
    front.table.add({**row, "last_used": {"N": "1e100"}})

    assert (await front.browser(**{"X-API-Key": key}).get("/whoami")).status_code == 401
