"""What a page weighs with everything that it loads: its files as a browser finds them, in tags and in modules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import httpx

LOADED: Final = re.compile(r'<(?:script|link|img)\b[^>]*?\b(?:src|href)="(/static/[^"]+)"')
IMPORTED: Final = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.{1,2}/[^"']+)["']""")
NAMED: Final = re.compile(r"""url\(["']?(?!data:)([^"')]+)["']?\)""")  # by a style sheet
FILES_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class File:
    """Bytes as they came over the wire, and unpacked."""

    path: str
    wire_bytes: int
    size_bytes: int


async def weigh_files(client: httpx.AsyncClient, page: str) -> list[File]:
    """The files that the HTML of a page loads, and those that these load. Raises httpx.HTTPStatusError."""
    waiting, seen = LOADED.findall(page), set[str]()
    files: list[File] = []
    while waiting and len(files) < FILES_LIMIT:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        reply = (await client.get(path)).raise_for_status()
        files.append(File(path, reply.num_bytes_downloaded, len(reply.content)))
        waiting += [urljoin(path, found) for found in named_in(path, reply.text)]
    return files


def named_in(path: str, text: str) -> list[str]:
    """What a module imports, or a style sheet names, as it says it.

    >>> named_in("/a.js", 'import { b } from "./b.js"; import("../c.js"); import "./d.js"')
    ['./b.js', '../c.js', './d.js']
    >>> named_in("/a.css", 'p { background: url(dots.svg) }')
    ['dots.svg']
    """
    return (NAMED if path.endswith(".css") else IMPORTED).findall(text)
