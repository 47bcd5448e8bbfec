"""How often `iops demo` would ask a language model."""

import pytest

from tests.demo_share import demonstrate, line_of

WANTED_RATIO = 0.40


@pytest.mark.slow
async def test_a_model_is_asked_for_less_than_40_percent_of_the_ill_findings_of_the_demo() -> None:
    teller = await demonstrate(7)

    print(line_of(7, teller))  # noqa: T201 - the share is what this is for
    assert teller.findings_ill > 100
    assert teller.findings_for_a_model / teller.findings_ill < WANTED_RATIO
