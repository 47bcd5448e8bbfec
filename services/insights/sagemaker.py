"""The trees behind a SageMaker endpoint: one long-lived client, one attempt, and an answer that is checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, Final

import aiohttp
import numpy as np
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from numpy.typing import NDArray

from iops.aws import open_client
from iops.features import FEATURE_SET_ID, NAMES
from iops.observability import Metrics
from iops.risk import KINDS, Raw
from iops.settings import ServiceSettings
from services.insights.scorers import Features, Reason, ScorerUnavailable

JSON: Final = "application/json"
ROWS_LIMIT: Final = 1_000  # of one request: 0.5 MB there and 0.8 MB back; a serverless endpoint takes 4
DEADLINE_S: Final = 2.0  # of one request; a warm endpoint needs 0.1, a cold one longer than anybody should wait
FAILURES_LIMIT: Final = 3  # in a row, then the endpoint rests: a group that waits for the deadline is late
REST_S: Final = 30.0
THROTTLED_CODES: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})


class SageMakerScorer:
    """Asks the endpoint. What it says counts only if it is of these features and, where asked, of this very model."""

    def __init__(
        self, client: Any, metrics: Metrics, now_s: Callable[[], float], *, endpoint: str, version: str | None
    ) -> None:
        """`version` is the model's here, whose calibration reads the answers; None takes any, to compare with."""
        self._client = client
        self._now_s = now_s
        self._endpoint = endpoint
        self._version = version
        self._failures = 0
        self._resting_until_s = -np.inf
        self._answer_s = metrics.histogram("iops_sagemaker_seconds", "Seconds of a request to the endpoint", "outcome")

    async def predict(self, features: Features) -> Raw:
        """What the endpoint's trees say. Raises ScorerUnavailable."""
        parts = [await self._ask(features[first : first + ROWS_LIMIT]) for first in range(0, len(features), ROWS_LIMIT)]
        if len(parts) == 1:
            return parts[0]
        return Raw(*(np.concatenate([getattr(part, name) for part in parts]) for name in Raw.__slots__))

    def why_not(self) -> str | None:
        """It rests, and for how long."""
        left_s = self._resting_until_s - self._now_s()
        return f"it failed {self._failures} times in a row and rests for {ceil(left_s)} s" if left_s > 0 else None

    async def _ask(self, features: Features) -> Raw:
        begin_s = self._now_s()
        if begin_s < self._resting_until_s:
            raise ScorerUnavailable("resting", f"{self._endpoint} failed {self._failures} times in a row")
        try:
            raw = read_answer(await self._invoke(write_question(features)), len(features), version=self._version)
        except ScorerUnavailable as error:
            self._failures += 1
            if self._failures >= FAILURES_LIMIT:
                self._resting_until_s = self._now_s() + REST_S
            self._answer_s.labels(error.reason).observe(self._now_s() - begin_s)
            raise
        self._failures = 0
        self._answer_s.labels("answered").observe(self._now_s() - begin_s)
        return raw

    async def _invoke(self, question: bytes) -> bytes:
        try:
            async with asyncio.timeout(DEADLINE_S):
                reply = await self._client.invoke_endpoint(
                    EndpointName=self._endpoint, Body=question, ContentType=JSON, Accept=JSON
                )
                async with reply["Body"] as body:
                    answer: bytes = await body.read()
                    return answer
        except ClientError as error:
            code = error.response["Error"]["Code"]
            reason: Reason = "throttled" if code in THROTTLED_CODES else "refused"
            raise ScorerUnavailable(reason, f"{self._endpoint}: {code}") from error
        except (TimeoutError, ConnectTimeoutError, ReadTimeoutError) as error:
            raise ScorerUnavailable("timed_out", f"{self._endpoint} in {DEADLINE_S:g} s") from error
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise ScorerUnavailable("unreachable", f"{self._endpoint}: {type(error).__name__}") from error


@asynccontextmanager
async def open_sagemaker(
    settings: ServiceSettings,
    metrics: Metrics,
    now_s: Callable[[], float],
    *,
    endpoint: str,
    version: str | None,
) -> AsyncIterator[SageMakerScorer]:
    """A scorer whose client lives as long as the context."""
    async with open_client("sagemaker-runtime", settings) as client:
        yield SageMakerScorer(client, metrics, now_s, endpoint=endpoint, version=version)


def write_question(features: Features) -> bytes:
    """[disk, feature] as the container's script reads it; null where a feature is not known."""
    rows = [[None if value != value else value for value in row] for row in features.tolist()]
    return json.dumps({"feature_set_id": FEATURE_SET_ID, "features": rows}, allow_nan=False).encode()


def read_answer(answer: bytes, disks: int, *, version: str | None) -> Raw:
    """The script's answer for so many disks. Raises ScorerUnavailable."""
    try:
        said = json.loads(answer)
        if said["feature_set_id"] != FEATURE_SET_ID:
            raise ScorerUnavailable("other_model", f"made for features {said['feature_set_id']!r:.40}")
        if version is not None and said["model_version"] != version:
            raise ScorerUnavailable("other_model", f"version {said['model_version']!r:.40}, not {version}")
        return Raw(
            margin=_numbers(said["margin"], disks),
            kinds=_numbers(said["kinds"], disks, len(KINDS)),
            severity=_numbers(said["severity"], disks),
            contributions=_numbers(said["contributions"], disks, len(NAMES)),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ScorerUnavailable("garbled", f"{type(error).__name__} in an answer of {len(answer)} bytes") from error


def _numbers(said: object, *shape: int) -> NDArray[np.float64]:
    numbers = np.array(said, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.shape} instead of {shape}, or not finite")
    return numbers
