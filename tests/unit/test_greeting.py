"""What `iops up` says to type next works where it listens."""

from pathlib import Path

import pytest

from local.up import Plan, greeting


@pytest.mark.parametrize(("port", "wanted"), [(8080, "demo` in"), (8093, "demo --url http://127.0.0.1:8093` in")])
def test_the_demo_is_told_where_to_go_unless_it_goes_there_anyway(port: int, wanted: str) -> None:
    assert wanted in greeting(Plan(Path(".local"), port, {}))
