"""A row that a newer program wrote, as while versions change: who asks for it is told so, on a page in words."""

import json

import pytest

from tests.unit.builders import EVERYBODY
from tests.unit.tenants import House, Things

SHAPES = [
    ("GET", "/streams/{0.stream_id}"),
    ("GET", "/streams/{0.stream_id}/chart"),
    ("GET", "/insights/{0.insight_id}"),
    ("GET", "/alerts/{0.alert_id}"),
    ("POST", "/alerts/{0.alert_id}/acknowledge"),
]
PAGES = ["/ui/streams/{0.stream_id}", "/ui/insights/{0.insight_id}", "/ui/alerts/{0.alert_id}"]


async def a_tenant_of_tomorrow(house: House, *kinds: str) -> Things:
    """Its rows, or those of some kinds, have a trouble that is not known yet."""
    things = await house.move_in("web-1")
    for row in house.table.rows.values():
        if kinds and row["entity_type"]["S"] not in kinds:
            continue
        if row["entity_type"]["S"] == "stream":
            row["prediction_type"] = {"S": "cosmic_rays"}
        elif "doc" in row and "prediction_type" in row["doc"]["S"]:
            row["doc"] = {"S": json.dumps(json.loads(row["doc"]["S"]) | {"prediction_type": "cosmic_rays"})}
    await house.watch.fleet.look_once()
    return things


@pytest.mark.parametrize(("method", "path"), SHAPES)
async def test_a_program_is_told_which_row_cannot_be_read(method: str, path: str) -> None:
    house = House()
    things = await a_tenant_of_tomorrow(house)

    answer = await house.ask(method, path.format(things), caller=EVERYBODY)

    assert (answer.status_code, answer.json()["code"]) == (500, "damaged_row")
    assert "or of a newer version of this program" in answer.json()["detail"]


@pytest.mark.parametrize("path", PAGES)
async def test_a_person_reads_it_on_a_page(path: str) -> None:
    house = House()
    things = await a_tenant_of_tomorrow(house)

    answer = await house.ask("GET", path.format(things), caller=EVERYBODY)

    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "newer version of this program" in answer.text


async def test_an_insight_is_shown_without_its_stream() -> None:
    house = House()
    things = await a_tenant_of_tomorrow(house, "stream")

    answer = await house.ask("GET", f"/ui/insights/{things.insight_id}", caller=EVERYBODY)

    assert answer.status_code == 200
