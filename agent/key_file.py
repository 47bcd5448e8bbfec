"""The agent's key from a file, read again when the server no longer takes it: a rotation needs no restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import structlog

from iops.errors import UnusableFile
from iops.private_file import read_private

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class KeyFile(httpx.Auth):
    """Sends the key, and after a 401 once more where the file has another one by then."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableFile."""
        self._path = path
        self._key = read_private(path)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """What httpx asks of an Auth."""
        request.headers["X-API-Key"] = self._key
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and await self._has_changed():
            request.headers["X-API-Key"] = self._key
            yield request

    async def _has_changed(self) -> bool:
        try:
            key = await asyncio.to_thread(read_private, self._path)
        except UnusableFile as error:
            log.warning("key_file_unusable", detail=error.detail)
            return False
        is_new, self._key = key != self._key, key
        if is_new:
            log.info("key_read_again", path=str(self._path))
        return is_new
