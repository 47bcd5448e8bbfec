"""What every test needs: logging that is as it was."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How quickly examples are made is the machine's, not the test's: beside other work it fails at random.
settings.register_profile("shared machine", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("shared machine")


def _configure_uncached(configure: Callable[..., None] = structlog.configure, **settings: Any) -> None:
    """A program keeps its loggers once it has used them; here the next test has another program, or captures logs."""
    configure(**settings | {"cache_logger_on_first_use": False})


# Not a fixture: tests that are made from the services' routes make services before the first fixture.
structlog.configure = _configure_uncached  # type: ignore[assignment]


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
