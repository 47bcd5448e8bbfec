"""What operators switch while services run: one small JSON document, in SSM or in a file, read again and again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import aiohttp
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iops import contract
from iops.aws import open_client
from iops.observability import Metrics
from iops.settings import ServiceSettings

log = structlog.get_logger()

SIZE_LIMIT_BYTES: Final = 8 * 1024  # SSM's limit for the largest kind of parameter
READ_TIMEOUT_S: Final = 10.0  # of a whole answer; the client's own time-out is of each part of it
HISTORY_PAGES: Final = 4  # of SSM, of up to 50 versions
SHOWN: Final = 5  # of what is wrong with a document
SHOWN_CHARS: Final = 40  # of a field's name, which anybody may have written


class Flags(BaseModel):
    """The defaults are what is safe where nobody has decided: no model is asked, no endpoint, and nothing is spent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    ai_enabled: bool = Field(default=False, description="language models may be asked at all")
    llm_percent: float = Field(default=100, ge=0, le=100, description="share of the streams they may be asked about")
    sagemaker_percent: float = Field(default=0, ge=0, le=100, description="share of the streams the endpoint scores")
    llm_daily_usd: float = Field(default=1, ge=0, description="what they may cost a day, all replicas together")
    llm_sets_risk: bool = Field(default=False, description="a language model's risk counts, not only its words")


class FlagsUnread(Exception):
    """A source that is away, or a document that is refused, and why."""

    def __init__(self, reason: Literal["away", "refused"], detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class FlagSource(Protocol):
    """Where the document lies."""

    @property
    def name(self) -> str:
        """As a log line should call it."""
        ...

    async def read(self) -> bytes:
        """The document, as long as it may be and one byte more. Raises FlagsUnread."""
        ...

    async def changed_by(self, flags: Flags) -> str | None:
        """Who made it say that; None where the source does not tell."""
        ...


class ParameterSource:
    """The parameter of SSM that the contract names."""

    name = f"ssm:{contract.FLAGS_PARAMETER}"

    def __init__(self, client: Any) -> None:
        self._client = client

    async def read(self) -> bytes:
        """Raises FlagsUnread."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                reply = await self._client.get_parameter(Name=contract.FLAGS_PARAMETER)
            value: str = reply["Parameter"]["Value"]
            return value.encode(errors="surrogatepass")  # JSON can say half a character; the parser refuses it
        except ClientError as error:
            raise FlagsUnread("away", str(error.response["Error"]["Code"])) from error
        except (BotoCoreError, aiohttp.ClientError, OSError, KeyError) as error:
            raise FlagsUnread("away", type(error).__name__) from error

    async def changed_by(self, flags: Flags) -> str | None:
        """The ARN of whoever wrote the newest version that says so; it needs ssm:GetParameterHistory."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                versions = await self._history()
        except (BotoCoreError, ClientError, aiohttp.ClientError, OSError, LookupError, TypeError) as error:
            log.warning("flags_history_unread", source=self.name, reason=type(error).__name__)
            return None
        for version in sorted(versions, key=lambda each: -int(each.get("Version", 0))):
            try:
                says_so = parse_flags(str(version.get("Value")).encode(errors="surrogatepass")) == flags
            except FlagsUnread:
                continue
            if says_so:
                return str(version.get("LastModifiedUser") or "") or None
        return None

    async def _history(self) -> list[Any]:
        """Up to 100 versions, which is all that SSM keeps; oldest first."""
        versions: list[Any] = []
        start: dict[str, str] = {}
        for _ in range(HISTORY_PAGES):
            reply = await self._client.get_parameter_history(Name=contract.FLAGS_PARAMETER, MaxResults=50, **start)
            versions += reply["Parameters"]
            if not reply.get("NextToken"):
                break
            start = {"NextToken": reply["NextToken"]}
        return versions


class FileSource:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    async def read(self) -> bytes:
        """Raises FlagsUnread. No time-out: where the disk hangs, one thread waits, and not one more each turn."""
        return await asyncio.to_thread(self._read)

    async def changed_by(self, _: Flags) -> str | None:
        """A file does not tell."""
        return None

    def _read(self) -> bytes:
        if not self._path.is_file():  # opening a pipe would wait for its writer, and hold a thread
            raise FlagsUnread("away", "there is no such file")
        try:
            with self._path.open("rb") as file:
                return file.read(SIZE_LIMIT_BYTES + 1)
        except OSError as error:
            raise FlagsUnread("away", error.strerror or type(error).__name__) from error


class FlagReader:
    """Holds the last good flags; `current` is safe to ask at any time, also before the first read."""

    def __init__(self, source: FlagSource, metrics: Metrics, *, interval_s: float) -> None:
        self.current = Flags()
        self.source = source
        self._interval_s = interval_s
        self._has_read = False
        self._trouble: str | None = None  # what was logged, and has not passed
        self._unread = metrics.counter("iops_flags_unread", "Turns that had to keep the last good flags", "reason")
        self._values = metrics.gauge("iops_flag", "The flags in force; a switch is 0 or 1", "flag")
        self._show()

    async def run(self) -> None:
        """Reads until it is cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(self._interval_s)

    async def read(self) -> None:
        """One turn. Whatever is wrong with the source, the last good flags stay."""
        try:
            flags = parse_flags(await self.source.read())
        except FlagsUnread as error:
            self._keep(error)
        except Exception as error:  # noqa: BLE001 - a reader that dies makes every replica unready at once
            self._keep(FlagsUnread("away", type(error).__name__), cause=error)
        else:
            self._take(flags)

    def _keep(self, error: FlagsUnread, *, cause: Exception | None = None) -> None:
        self._unread.labels(error.reason).inc()
        # How a source is away may vary from turn to turn and is one trouble; another mistake in a document is another.
        trouble = str(error) if error.reason == "refused" else error.reason
        if trouble != self._trouble:
            self._trouble = trouble
            told = {"source": self.source.name, "reason": error.reason, "detail": error.detail}
            log.warning("flags_kept", **told, **self.current.model_dump(), exc_info=cause)

    def _take(self, flags: Flags) -> None:
        before, self.current = self.current, flags
        if self._trouble is not None or not self._has_read:
            log.info("flags_read", source=self.source.name, **flags.model_dump())
        self._has_read, self._trouble = True, None
        for flag, value in flags:
            if value != getattr(before, flag):
                log.info("flag_changed", flag=flag, old=getattr(before, flag), new=value)
        self._show()

    def _show(self) -> None:
        for flag, value in self.current:
            self._values.labels(flag).set(float(value))


def parse_flags(document: bytes) -> Flags:
    """A flag that the document leaves out has its default. Raises FlagsUnread.

    >>> parse_flags(b'{"sagemaker_percent": 5}').sagemaker_percent
    5.0
    """
    if len(document) > SIZE_LIMIT_BYTES:
        raise FlagsUnread("refused", f"longer than {SIZE_LIMIT_BYTES} bytes")
    try:
        return Flags.model_validate_json(document)
    except ValidationError as error:
        raise FlagsUnread("refused", _what_is_wrong(error)) from error


def _what_is_wrong(error: ValidationError) -> str:
    """Names the fields, never their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_sentence(problem["loc"], problem["type"], problem["msg"]) for problem in problems[:SHOWN]]
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "; ".join([*told, *more])


def _sentence(where: tuple[int | str, ...], kind: str, message: str) -> str:
    field = ascii(".".join(map(str, where))[:SHOWN_CHARS])
    if kind == "extra_forbidden":
        return f"{field} is not a flag; there are {', '.join(Flags.model_fields)}"
    return f"{field}: {message}" if where else message


@asynccontextmanager
async def open_flags(
    settings: ServiceSettings, metrics: Metrics, *, file: Path | None, interval_s: float
) -> AsyncIterator[FlagReader]:
    """A reader of `file`, or of SSM where that is None; its `run` is for the service to run."""
    if file is not None:
        yield FlagReader(FileSource(file), metrics, interval_s=interval_s)
        return
    async with open_client("ssm", settings) as client:
        yield FlagReader(ParameterSource(client), metrics, interval_s=interval_s)
