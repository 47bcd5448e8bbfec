"""What a program tells of itself: one canonical log line per request or loop turn, and numbers for Prometheus."""

import logging
import sys
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from iops.redact import Redactor

# Seconds. From a request on a warm service to the longest deadline there is.
LATENCY_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)

# The request that is being answered; every line that is logged meanwhile has it. structlog's own way to bind a name
# copies all that is bound, and costs ten times as much.
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)

# One a process, as logging is; it learns secrets while the program runs.
_REDACTOR: Final = Redactor()


def configure_logging(program: str, *, level: int = logging.INFO, secrets: Iterable[str] = ()) -> None:
    """JSON lines on standard error, each with the program's name; the standard library's loggers join in.

    `secrets` are values that no line may show; what looks like a secret is hidden without being named here.
    """
    _REDACTOR.hide(secrets)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _REDACTOR,
        structlog.processors.JSONRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    uvicorn = logging.getLogger("uvicorn")  # it has a handler of its own, and logs what an application raised
    uvicorn.handlers, uvicorn.propagate = [], True
    for noisy in ("httpx", "httpcore", "botocore", "aiobotocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(program=program)


def hide_in_logs(values: Iterable[str]) -> None:
    """From the next line on; what was hidden before stays so."""
    _REDACTOR.hide(values)


def _add_request_id(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        line["request_id"] = request_id
    return line


class Metrics:
    """A program's own registry, so that two programs in one process (tests) never share a number."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self.counter("iops_requests", "HTTP requests answered", "method", "route", "status")
        self.request_s = self.histogram("iops_request_seconds", "Seconds to answer an HTTP request", "route")
        self.secrets_unread = self.counter(
            "iops_secrets_unread", "Turns that had to keep the last good secret", "secret", "reason"
        )
        self.secret_age_s = self.gauge("iops_secret_age_seconds", "Since the secret was last read well", "secret")

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """A number that only grows; Prometheus shows it as `<name>_total`."""
        return Counter(name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        """A number that goes up and down."""
        return Gauge(name, documentation, labels, registry=self.registry)

    def histogram(
        self, name: str, documentation: str, *labels: str, buckets: Sequence[float] = LATENCY_BUCKETS_S
    ) -> Histogram:
        """Seconds, in buckets from 2 ms to 20 s; or what else has `buckets`."""
        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)

    def expose(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)
