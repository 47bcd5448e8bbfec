"""`iops alerts`: what people were told of, and what they do about it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.options import LOCAL_URL, Json, Limit, Url, ask

app = typer.Typer(invoke_without_command=True)

State = Literal["firing", "acknowledged", "silenced", "resolved"]
AlertId = Annotated[str, typer.Argument(metavar="ID", help="The alert's.")]
Reason = Annotated[str | None, typer.Option(help="Why, in your own words; at most 1,000 characters.")]
For = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long: 30m, 2h, 7d; at most 30d.")]


@app.callback()
def alerts(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """The alerts that people were told; `iops alerts ack`, `silence` and `resolve` deal with one."""
    if ctx.invoked_subcommand is not None:
        return
    from cli.lists import show_alerts

    ask(lambda: show_alerts(url, state=state, limit=limit, as_json=as_json, transport=ctx.obj))


@app.command()
def show(ctx: typer.Context, alert_id: AlertId, url: Url = LOCAL_URL, as_json: Json = False) -> None:
    """One alert: what was found, what to do next, and its history."""
    from cli.alert import show_alert

    ask(lambda: show_alert(url, alert_id, as_json=as_json, transport=ctx.obj))


@app.command()
def ack(
    ctx: typer.Context, alert_id: AlertId, reason: Reason = None, url: Url = LOCAL_URL, as_json: Json = False
) -> None:
    """Say that you are at it: no more reminders."""
    from cli.alert import change_alert

    ask(lambda: change_alert(url, alert_id, "acknowledge", reason=reason, as_json=as_json, transport=ctx.obj))


@app.command()
def resolve(
    ctx: typer.Context, alert_id: AlertId, reason: Reason = None, url: Url = LOCAL_URL, as_json: Json = False
) -> None:
    """Say that it is over."""
    from cli.alert import change_alert

    ask(lambda: change_alert(url, alert_id, "resolve", reason=reason, as_json=as_json, transport=ctx.obj))


@app.command()
def silence(
    ctx: typer.Context,
    duration: For,
    reason: Annotated[str, typer.Option(help="Why, for the next person who wonders.")],
    alert_id: Annotated[str | None, typer.Argument(metavar="ID", help="One alert, or one of the options.")] = None,
    stream: Annotated[str | None, typer.Option(help="Everything of this stream.")] = None,
    peer_group: Annotated[str | None, typer.Option(help="Everything of this peer group.")] = None,
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="All of fail_slow, stall, ...")] = None,
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """Hear nothing of an alert, a stream, a peer group or a type for a while."""
    from cli.silence import Wanted, silence_it

    wanted = Wanted(alert_id, {"stream": stream, "peer_group": peer_group, "prediction_type": kind}, duration, reason)
    ask(lambda: silence_it(url, wanted, as_json=as_json, transport=ctx.obj))


@app.command()
def silences(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    ended: Annotated[bool, typer.Option("--ended", help="Those that ended in the last 90 days too.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """The silences that have not ended."""
    from cli.silence import show_silences

    ask(lambda: show_silences(url, ended=ended, limit=limit, as_json=as_json, transport=ctx.obj))


@app.command()
def unsilence(
    ctx: typer.Context,
    silence_id: Annotated[str, typer.Argument(metavar="SILENCE_ID", help="As `iops alerts silences` lists it.")],
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """End a silence now: what it silenced fires again."""
    from cli.silence import end_silence

    ask(lambda: end_silence(url, silence_id, as_json=as_json, transport=ctx.obj))


@app.command("redrive")
def redrive_alerts(
    ctx: typer.Context,
    queue: Annotated[
        Literal["scoring", "rule", "subscription"] | None, typer.Option(help="Which letters. Default: count all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Send them; otherwise they are only shown.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """Show what could not be delivered, and why; send it again with --yes."""
    from cli.redrive import Wish, redrive

    ask(lambda: redrive(url, Wish(queue, limit, sends=yes), as_json=as_json, transport=ctx.obj))
