"""API keys, taken to the server: what it makes is shown once, or written where only its owner reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cli.duration import parse_duration_s
from cli.outcome import CommandFailed, Misused, Outcome, Refused
from cli.screen import complain, instant, plain, print_json, print_line, print_table
from cli.server import Row, Server, Transport
from iops.errors import UnusableFile
from iops.private_file import write_private


@dataclass(frozen=True, slots=True)
class Wish:
    """What was said on the command line."""

    name: str
    role: str
    streams: tuple[str, ...]
    expires: str | None


async def create_key(url: str, wish: Wish, *, out: Path | None, as_json: bool, transport: Transport | None) -> Outcome:
    """Makes it and shows it once; raises Misused where its file is there already, before anything is made."""
    body: Row = {"name": wish.name, "role": wish.role}
    if wish.streams:
        body["streams"] = list(wish.streams)
    if wish.expires is not None:
        body["expires_in_s"] = parse_duration_s(wish.expires)
    _check(out)
    async with Server(url, transport=transport) as server:
        made = await server.post_json("/keys", body)
    return _hand_over(made, out, as_json=as_json, but="")


async def rotate_key(url: str, key_id: str, *, out: Path | None, as_json: bool, transport: Transport | None) -> Outcome:
    """Gives it a new secret and shows that once."""
    _check(out)
    async with Server(url, transport=transport) as server:
        made = await server.post_json(f"/keys/{quote(key_id, safe='')}/rotate", {})
    return _hand_over(made, out, as_json=as_json, but="; the one before holds one more hour")


async def revoke_key(url: str, key_id: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Ends it and says so."""
    async with Server(url, transport=transport) as server:
        ended = await server.delete(f"/keys/{quote(key_id, safe='')}")
    if as_json:
        print_json(ended)
    else:
        at = instant(ended.get("revoked_at"))
        print_line(f"{_subject(ended)} is revoked since {at} UTC; it holds nowhere after 60 s")
    return Outcome.OK


async def show_keys(url: str, *, limit: int, as_json: bool, transport: Transport | None) -> Outcome:
    """The newest first."""
    async with Server(url, transport=transport) as server:
        keys = await server.read_items("/keys", limit=limit)
    if as_json:
        print_json({"items": keys})
        return Outcome.OK
    titles = ("id", "name", "role", "streams", "made by", "made (UTC)", "last used (UTC)", "state")
    print_table(titles, [_cells(key) for key in keys])
    return Outcome.OK


def _check(out: Path | None) -> None:
    if out is not None and (out.exists() or not out.parent.is_dir()):
        raise Misused(f"--out {out} must be a new file in a folder that is there")


def _hand_over(made: Row, out: Path | None, *, as_json: bool, but: str) -> Outcome:
    view, key = made.get("view"), made.get("key")
    if not isinstance(view, dict) or not isinstance(key, str) or plain(key) != key:
        raise Refused("the server answered something that is no key")
    if out is not None:
        _write(out, key, _subject(view))
        made = {"file": str(out), "view": view}
    if as_json:
        print_json(made)
    elif out is not None:
        print_line(f"{_subject(view)} is in {plain(out)}{but}")
    else:
        print_line(key)
        complain(f"{_subject(view)} is shown this once; keep it where only its holder reads it{but}")
    return Outcome.OK


def _write(out: Path, key: str, subject: str) -> None:
    try:
        write_private(out, key)
    except UnusableFile as error:
        raise CommandFailed(f"{error.detail}; nobody has the secret of {subject}: revoke it") from error


def _cells(key: Row) -> list[str]:
    streams = key.get("streams")
    patterns = " ".join(map(plain, streams)) if isinstance(streams, list) else "-"
    return [
        *(plain(key.get(field)) for field in ("key_id", "name", "role")),
        patterns,
        plain(key.get("created_by")),
        *(instant(key.get(field)) for field in ("created_at", "last_used_at")),
        _state(key),
    ]


def _state(key: Row) -> str:
    if key.get("revoked_at"):
        return f"revoked {instant(key['revoked_at'])}"
    secrets = key.get("secrets")
    held = [each for each in secrets if isinstance(each, dict)] if isinstance(secrets, list) else []
    parts = ["holds" if held else "expired"]
    if key.get("expires_at"):
        parts = [f"{'until' if held else 'expired'} {instant(key['expires_at'])}"]
    parts += [f"old secret until {instant(each['until'])}" for each in held if each.get("until")]
    return ", ".join(parts)


def _subject(view: Row) -> str:
    return f"key {plain(view.get('name'))} ({plain(view.get('key_id'))})"
