"""`python -m agent`: the agent with nothing but IOPS_* variables."""

import asyncio
import sys

import structlog
from pydantic import ValidationError

from agent.run import run
from agent.settings import AgentSettings
from iops.errors import IopsError


def main() -> None:
    """Run until SIGTERM or SIGINT; JSON lines on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    try:
        asyncio.run(run(AgentSettings()))
    except (ValidationError, IopsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
