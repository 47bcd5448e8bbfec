"""What every test needs: logging that is as it was."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def _loggers_follow_their_configuration() -> Iterator[None]:
    """A program keeps its loggers once it has used them; here the next test has another program, or captures logs."""
    configure = structlog.configure

    def configure_uncached(**settings: Any) -> None:
        configure(**settings | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobody_signs_in() -> Iterator[None]:
    """Tests that are not about keys and roles need none; everything here is on loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IOPS_AUTH", "off")
        yield


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
