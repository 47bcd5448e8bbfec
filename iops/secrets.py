"""What nobody else may know: JSON documents in Secrets Manager, or in one file on a laptop, read again and again."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import aiohttp
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from iops.aws import open_client
from iops.observability import Metrics, hide_in_logs
from iops.redact import secrets_in
from iops.secret_document import SecretDocument
from iops.settings import ServiceSettings

log = structlog.get_logger()

SIZE_LIMIT_BYTES: Final = 64 * 1024  # Secrets Manager's limit for a secret
READ_TIMEOUT_S: Final = 10.0  # of a whole answer; the client's own time-out is of each part of it
SHOWN: Final = 5  # of what is wrong with a document


Document = TypeVar("Document", bound=SecretDocument)


class SecretUnread(Exception):
    """A source that is away, or a document that is refused, and why; never with a value, nor with a cause that has."""

    def __init__(self, reason: Literal["away", "refused"], detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SecretSource(Protocol):
    """Where a document lies."""

    async def read(self) -> bytes:
        """As long as it may be and a little more. Raises SecretUnread."""
        ...


class ManagerSource:
    """A secret of Secrets Manager, in the version that is current.

    10,000 reads cost $0.05: a secret that one program reads every 60 s, $0.22 a month beside its own $0.40.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    async def read(self) -> bytes:
        """Raises SecretUnread."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                reply = await self._client.get_secret_value(SecretId=self._name, VersionStage="AWSCURRENT")
            value = reply.get("SecretString")
            if isinstance(value, str):
                return value.encode(errors="surrogatepass")  # JSON can say half a character; the parser refuses it
            failure = SecretUnread("refused", f"{self._name} in Secrets Manager has no text")
        except ClientError as error:
            failure = self._away(str(error.response["Error"]["Code"]))
        except (
            BotoCoreError,
            ResponseParserError,
            aiohttp.ClientError,
            OSError,
        ) as error:  # their texts may quote the answer
            failure = self._away(type(error).__name__)
        raise failure

    def _away(self, why: str) -> SecretUnread:
        return SecretUnread("away", f"{self._name} cannot be read from Secrets Manager ({why})")


class FileSource:
    """One document of a file that has several, by name, and that only its owner may read."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    async def read(self) -> bytes:
        """Raises SecretUnread. No time-out: where the disk hangs, one thread waits, and not one more each turn."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
            try:
                self._check(os.fstat(descriptor))
                content = os.read(descriptor, SIZE_LIMIT_BYTES + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SecretUnread("away", f"{self._path} cannot be read: {error.strerror}") from None
        return self._pick(content)

    def _check(self, status: os.stat_result) -> None:
        """Of the file that is open, so that nobody can put another in its place."""
        if not stat.S_ISREG(status.st_mode):
            raise SecretUnread("away", f"{self._path} is no file")
        if status.st_uid != os.geteuid():
            raise SecretUnread("refused", f"{self._path} is another user's: make it yours, then chmod 600 it")
        if status.st_mode & 0o077:
            raise SecretUnread("refused", f"others can read {self._path}: chmod 600 {self._path}")

    def _pick(self, content: bytes) -> bytes:
        if len(content) > SIZE_LIMIT_BYTES:
            raise SecretUnread("refused", f"{self._path} is longer than {SIZE_LIMIT_BYTES} bytes")
        try:
            documents = from_json(content)
        except ValueError as error:  # says the line and the column, and quotes nothing
            raise SecretUnread("refused", f"{self._path} is no JSON: {error}") from None
        if not isinstance(documents, dict) or self._name not in documents:
            raise SecretUnread("refused", f"{self._path} has no document {self._name}")
        return to_json(documents[self._name])


class Secret(Generic[Document]):
    """Holds the last good document; `current` is safe to ask at any time."""

    def __init__(
        self,
        name: str,
        first: Document,
        read: Callable[[], Awaitable[Document]],
        metrics: Metrics,
        *,
        interval_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` raises SecretUnread."""
        self.name = name
        self.current = first
        self._read = read
        self._interval_s = interval_s
        self._now_s = now_s
        self._read_at_s = now_s()
        self._trouble: str | None = None  # what was logged, and has not passed
        self._unread = metrics.secrets_unread
        metrics.secret_age_s.labels(name).set_function(lambda: self._now_s() - self._read_at_s)

    async def run(self) -> None:
        """Reads until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.read()

    async def read(self) -> None:
        """One turn. Whatever is wrong with the source, the last good document stays."""
        try:
            document = await self._read()
        except SecretUnread as error:
            self._keep(error)
        except Exception as error:  # noqa: BLE001 - a reader that dies makes every replica unready at once
            self._keep(SecretUnread("away", type(error).__name__))  # its text may quote what was read
        else:
            self._take(document)

    def _keep(self, error: SecretUnread) -> None:
        self._unread.labels(self.name, error.reason).inc()
        # How a source is away may vary from turn to turn and is one trouble; another mistake in a document is another.
        trouble = error.detail if error.reason == "refused" else error.reason
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("secret_kept", name=self.name, reason=error.reason, detail=error.detail)

    def _take(self, document: Document) -> None:
        if self._trouble is not None:
            log.info("secret_read", name=self.name)
        if document != self.current:
            log.info("secret_changed", name=self.name)
        self.current, self._trouble, self._read_at_s = document, None, self._now_s()


def parse_document(raw: bytes, model: type[Document], *, names: Collection[str] = ()) -> Document:
    """Raises SecretUnread, which names fields of the model and `names`, and nothing else of what was read."""
    if len(raw) > SIZE_LIMIT_BYTES:
        raise SecretUnread("refused", f"longer than {SIZE_LIMIT_BYTES} bytes")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        wrong = _what_is_wrong(error, {*_field_names(model), *names})
    raise SecretUnread("refused", wrong)  # not inside: the error it would hang on holds the document


@asynccontextmanager
async def open_secret(
    settings: ServiceSettings,
    name: str,
    model: type[Document],
    metrics: Metrics,
    *,
    problem: Callable[[Document], str | None] = lambda _: None,
    names: Collection[str] = (),
) -> AsyncIterator[Secret[Document]]:
    """The document `name`, read once; its `run` is for the service to run. Raises SecretUnread where that fails.

    `problem` says what else is wrong with a document, without a value; `names` are what a refusal may name of it.
    """
    async with AsyncExitStack() as clients:
        source: SecretSource
        if settings.secrets_file is not None:
            source = FileSource(settings.secrets_file, name)
        else:
            source = ManagerSource(await clients.enter_async_context(open_client("secretsmanager", settings)), name)

        async def read() -> Document:
            document = _checked(await source.read(), name, model, problem, names)
            hide_in_logs(secrets_in(document))  # each time: what is in force stays among the newest
            return document

        try:
            first = await read()
        except SecretUnread as error:
            # The trace comes anyway, and the sentence stands at its far end.
            log.error("secret_unread", name=name, reason=error.reason, detail=error.detail)  # noqa: TRY400
            raise
        log.info("secret_read", name=name)
        yield Secret(name, first, read, metrics, interval_s=settings.secrets_interval_s)


def _checked(
    raw: bytes, name: str, model: type[Document], problem: Callable[[Document], str | None], names: Collection[str]
) -> Document:
    try:
        document = parse_document(raw, model, names=names)
    except SecretUnread as error:
        raise SecretUnread(error.reason, f"the secret {name} cannot be used: {error.detail}") from None
    if wrong := problem(document):
        raise SecretUnread("refused", f"the secret {name} cannot be used: {wrong}")
    return document


def _field_names(model: type[BaseModel]) -> set[str]:
    schema = model.model_json_schema()
    return {name for part in (schema, *schema.get("$defs", {}).values()) for name in part.get("properties", ())}


def _what_is_wrong(error: ValidationError, known: Collection[str]) -> str:
    """A name that is not known may be a secret that slipped."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_sentence(problem["loc"], problem["msg"], known) for problem in problems[:SHOWN]]
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "; ".join([*told, *more])


def _sentence(where: tuple[int | str, ...], message: str, known: Collection[str]) -> str:
    path = ".".join(str(part) if isinstance(part, int) or part in known else "?" for part in where)
    return f"'{path}': {message}" if path else message
