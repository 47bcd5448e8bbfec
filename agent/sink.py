"""Where batches go: to the server, or into a file as a recording."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from agent.body import pack_bodies
from agent.send import Sender
from iops.errors import NotFound
from iops.telemetry import Batch

FINISH_LIMIT_S: Final = 3.0  # for the last requests, once told to stop


class Sink(Protocol):
    """Where batches go. Neither method waits for a disk or a network."""

    def take(self, batches: Sequence[Batch]) -> None:
        """Accept batches."""

    def finish(self) -> None:
        """Let `run` end once what was taken is safe."""

    async def run(self) -> None:
        """Move what was taken, until finished."""


class ServerSink:
    """Batches to the server, or to the spool while it is away."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def take(self, batches: Sequence[Batch]) -> None:
        self._sender.offer(pack_bodies(batches))

    def finish(self) -> None:
        self._sender.finish(FINISH_LIMIT_S)

    async def run(self) -> None:
        await self._sender.run()


class FileSink:
    """Batches as JSON lines in a file: a recording."""

    def __init__(self, path: Path) -> None:
        try:
            path.touch()  # a path that cannot be written is said now, not after the first batch
        except OSError as error:
            raise NotFound(f"{path} cannot be written: {error.strerror}") from error
        self._path = path
        self._queue: asyncio.Queue[Sequence[Batch] | None] = asyncio.Queue()

    def take(self, batches: Sequence[Batch]) -> None:
        self._queue.put_nowait(batches)

    def finish(self) -> None:
        self._queue.put_nowait(None)

    async def run(self) -> None:
        while (batches := await self._queue.get()) is not None:
            await asyncio.to_thread(self._append, "".join(f"{batch.model_dump_json()}\n" for batch in batches))

    def _append(self, lines: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(lines)
