"""`iops keys`: the API keys of agents and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import LOCAL_URL, Json, Limit, Url, ask

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list, rotate and revoke API keys.",
    epilog="Exit codes: 0 done; 1 refused, also for who is no admin; 2 wrong usage; 3 the server does not answer.",
)

Role = Literal["agent", "viewer", "operator", "admin"]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `iops keys list` shows it.")]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the key into this new file, mode 600, and print it nowhere.")
]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="What uses it, for people.")],
    role: Annotated[Role, typer.Option(help="What it may: send telemetry, read, act, everything.")],
    streams: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="web-1:sda, or web-*; may be repeated. Default: all streams."),
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="DURATION", help="90d, 12h. Default: never.")] = None,
    out: Out = None,
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once; nobody keeps it."""
    from cli.key import Wish, create_key

    wish = Wish(name, role, tuple(streams or ()), expires)
    ask(lambda: create_key(url, wish, out=out, as_json=as_json, transport=ctx.obj))


@app.command("list")
def list_keys(ctx: typer.Context, url: Url = LOCAL_URL, limit: Limit = 200, as_json: Json = False) -> None:
    """The keys, newest first; also those that ended in the last year."""
    from cli.key import show_keys

    ask(lambda: show_keys(url, limit=limit, as_json=as_json, transport=ctx.obj))


@app.command()
def rotate(ctx: typer.Context, key_id: KeyId, out: Out = None, url: Url = LOCAL_URL, as_json: Json = False) -> None:
    """Give a key a new secret; the old one holds one more hour.

    Two hold at most: a second rotation within the hour ends the oldest at once.
    """
    from cli.key import rotate_key

    ask(lambda: rotate_key(url, key_id, out=out, as_json=as_json, transport=ctx.obj))


@app.command()
def revoke(ctx: typer.Context, key_id: KeyId, url: Url = LOCAL_URL, as_json: Json = False) -> None:
    """End a key: it holds nowhere after 60 seconds."""
    from cli.key import revoke_key

    ask(lambda: revoke_key(url, key_id, as_json=as_json, transport=ctx.obj))
