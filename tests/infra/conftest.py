"""Infra's tests reach no cloud and ask for no credentials."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _outputs_are_no_strings() -> Iterator[None]:
    """An output in an f-string raises, instead of declaring something called `Calling __str__ on an Output...`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
        yield
