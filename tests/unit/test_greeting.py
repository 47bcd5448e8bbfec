"""What `iops up` says to type next works where it listens."""

from pathlib import Path

import pytest

from local.up import Plan, greeting


@pytest.mark.parametrize(("port", "wanted"), [(8080, "{}`"), (8093, "{} --url http://127.0.0.1:8093`")])
@pytest.mark.parametrize("command", ["demo", "open"])
def test_each_command_is_told_where_to_go_unless_it_goes_there_anyway(command: str, port: int, wanted: str) -> None:
    assert wanted.format(command) in greeting(Plan(Path(".local"), port, {}))
