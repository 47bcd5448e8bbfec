"""The committed page has every setting, with what it says."""

import pytest

from tests.settings import DOCUMENT, PROGRAMS, document, own_fields


def test_the_committed_page_is_that_of_the_programs() -> None:
    assert DOCUMENT.read_text() == document(), "run `make settings` and commit it"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_says_what_it_is(program: str) -> None:
    silent = [name for name, field in own_fields(PROGRAMS[program]).items() if not field.description]

    assert silent == []
