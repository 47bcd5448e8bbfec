"""What unit tests need beside what all need."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _no_key_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IOPS_API_KEY", "IOPS_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _plain_log_lines() -> None:
    """The traces of failures that tests provoke are not worth the second that painting them takes."""
    processors: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
    structlog.configure(processors=processors)
