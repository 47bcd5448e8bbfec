"""How a program reaches AWS: explicit time-outs, none of the SDK's hidden retries, one name for each failure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from iops.errors import Conflict, IopsError, Unavailable
from iops.settings import ServiceSettings

Failure = TypeVar("Failure", bound=IopsError)

AWAY: Final = "what it stands on does not answer; come again"  # to callers; logs say which call and why
CONNECTIONS: Final = 64  # enough for the writers, the readers and the loops of one program

# What AWS answers when the same call may succeed a moment later.
PASSING_CODES: Final = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "ItemCollectionSizeLimitExceededException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ResourceNotFoundException",  # a table that is being made, or made again
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)

# Why a transaction will never succeed as it is.
LASTING_REASONS: Final = frozenset({"ValidationError", "ItemCollectionSizeLimitExceeded"})


def open_client(
    service: str,
    settings: ServiceSettings,
    *,
    endpoint_url: str | None = None,
    read_timeout_s: float | None = None,
) -> Any:
    """An async context manager that yields the client; open it once, in the lifespan.

    `endpoint_url` and `read_timeout_s` are for a service that has its own; None, those of the settings hold.
    Our own models validate what we send, so the SDK's parameter validation (a fifth of a call's CPU) is off.
    """
    config = AioConfig(
        connect_timeout=settings.aws_timeout_s,
        read_timeout=read_timeout_s or settings.aws_timeout_s,
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,
        retries={"total_max_attempts": 1},
    )
    session = aioboto3.Session(region_name=settings.aws_region)
    return session.client(service, endpoint_url=endpoint_url or settings.aws_endpoint_url, config=config)


@contextmanager
def naming_failures(unavailable: type[Unavailable], call: str) -> Iterator[None]:
    """Turns what the SDK raises into Conflict or `unavailable`; what is our own mistake passes as it is."""
    try:
        yield
    except ClientError as error:
        if is_condition_failure(error):
            conflict = Conflict(f"{call}: the condition does not hold")
            raise _told(conflict, "read it again, then decide again") from error
        if is_passing(error):
            raise _told(unavailable(f"{call} failed: {error.response['Error']['Code']}"), AWAY) from error
        raise
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _told(unavailable(f"{call} failed: {type(error).__name__}"), AWAY) from error


def _told(error: Failure, told: str) -> Failure:
    error.told = told
    return error


def is_condition_failure(error: ClientError) -> bool:
    """A conditional write, or one item of a transaction, found another state than it asked for."""
    code = error.response["Error"]["Code"]
    if code == "TransactionCanceledException":
        reasons: list[Any] = error.response.get("CancellationReasons", [])
        return any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)
    return code == "ConditionalCheckFailedException"


def is_passing(error: ClientError) -> bool:
    """The same call may succeed a moment later."""
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    code = error.response["Error"]["Code"]
    if code == "TransactionCanceledException":
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        return not reasons & LASTING_REASONS
    return code in PASSING_CODES or status >= 500
