"""The `iops` command: what can be said on the command line, and nothing else.

Each command imports what it needs itself, so that `iops --help` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.alerts import app as alerts_app
from cli.cost.command import app as cost_app
from cli.keys import app as keys_app
from cli.options import LOCAL_URL, Json, Limit, Url, ask, end
from iops.contract import BATCH_SAMPLES_LIMIT

EPILOG = (
    "Exit codes: 0 done; 1 failed, or nothing was found; 2 wrong usage; 3 the server does not answer. "
    "IOPS_URL sets --url, IOPS_API_KEY or IOPS_API_KEY_FILE say who asks; else `iops login` does, or the key that "
    "`iops up` made for itself. With --json standard output is one JSON document and nothing else."
)

app = typer.Typer(
    help="Know which disk is about to hurt you, why, and what to do.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where it answers, on 127.0.0.1; 0: any.")] = 8080,
    state_dir: Annotated[Path, typer.Option(help="What it keeps: the table, mails, logs.")] = Path(".local"),
    no_agent: Annotated[bool, typer.Option("--no-agent", help="Do not watch this machine's own disks.")] = False,
) -> None:
    """Run the whole product on this machine until Ctrl-C."""
    from local.up import UpOptions
    from local.up import up as run_up

    raise typer.Exit(run_up(UpOptions(state_dir=state_dir, port=port, agent=not no_agent)))


@app.command()
def agent(
    url: Url = LOCAL_URL,
    interval: Annotated[float | None, typer.Option(help="Seconds between two readings. Default 2.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, max=BATCH_SAMPLES_LIMIT, help="Samples a request. Default 30.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Only this device; may be repeated. Default: every whole disk.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The streams' name before the colon. Default: this host's.")] = None,
    peer_group: Annotated[str | None, typer.Option(help="Streams that should behave alike. Default: the host.")] = None,
    provisioned_iops: Annotated[float | None, typer.Option(help="What each of these volumes may do.")] = None,
    spool: Annotated[Path | None, typer.Option(help="Directory for what waits while the server is away.")] = None,
    out: Annotated[Path | None, typer.Option(help="Append batches to this file instead of sending them.")] = None,
) -> None:
    """Read this machine's disks and send what they do, until Ctrl-C or SIGTERM."""
    from cli.agent import run_agent

    given = {
        "url": url,
        "interval_s": interval,
        "batch_samples": batch,
        "devices": tuple(device) if device else None,
        "host": host,
        "peer_group": peer_group,
        "provisioned_iops": provisioned_iops,
        "spool_dir": spool,
        "out": out,
    }
    end(lambda: run_agent({name: value for name, value in given.items() if value is not None}))


@app.command()
def demo(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    streams: Annotated[int, typer.Option(min=1, max=1_200, help="Simulated streams, six a host.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed makes the same fleet and the same faults.")] = 7,
    duration: Annotated[float, typer.Option(min=2, max=86_400, help="Seconds to stay live.")] = 180,
    faults: Annotated[int, typer.Option(min=0, max=200, help="Faults, at most one a host.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Send SIMULATED streams with faults, and watch what is found.

    Everything it sends is made up and labelled source=simulated: a day of the past first, then the present. It exits
    with 0 when at least one fault was told.
    """
    from cli.demo import DemoOptions, Surroundings, run_demo

    options = DemoOptions(url=url, streams=streams, seed=seed, duration_s=duration, faults=faults, as_json=as_json)
    end(lambda: run_demo(options, Surroundings(transport=ctx.obj)))


@app.command()
def streams(ctx: typer.Context, url: Url = LOCAL_URL, limit: Limit = 200, as_json: Json = False) -> None:
    """The streams, the worst first."""
    from cli.lists import show_streams

    ask(lambda: show_streams(url, limit=limit, as_json=as_json, transport=ctx.obj))


@app.command()
def top(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    interval: Annotated[float, typer.Option(min=0.5, max=3_600, help="Seconds between two looks.")] = 2,
    group: Annotated[str, typer.Option(help="Only this peer group.")] = "",
    min_risk: Annotated[float, typer.Option(min=0, max=100, help="Only this risk and higher.")] = 0,
    text: Annotated[str, typer.Option(help="Only streams with this in their name or a label.")] = "",
    once: Annotated[bool, typer.Option("--once", help="One table, then end; so it is on a pipe.")] = False,
    as_json: Json = False,
) -> None:
    """The fleet, the worst first, live; q or Ctrl-C ends it, j and k or the arrows turn the page.

    Where the terminal is narrow, columns go in this order: peer group, the bar, MB/s, queue, the last hour, busy, IOPS,
    seen, await.
    """
    from cli.top.command import TopOptions, run_top
    from cli.top.fleet import Wanted

    wanted = Wanted(peer_group=group, text=text, min_risk=min_risk)
    options = TopOptions(url, wanted, interval_s=interval, is_once=once, as_json=as_json)
    end(lambda: run_top(options, transport=ctx.obj))


insights_app = typer.Typer(invoke_without_command=True)
app.add_typer(insights_app, name="insights")


@insights_app.callback()
def insights(ctx: typer.Context, url: Url = LOCAL_URL, limit: Limit = 20, as_json: Json = False) -> None:
    """The newest insights; `iops insights feedback` says what you think of one."""
    if ctx.invoked_subcommand is not None:
        return
    from cli.lists import show_insights

    ask(lambda: show_insights(url, limit=limit, as_json=as_json, transport=ctx.obj))


@insights_app.command()
def feedback(
    ctx: typer.Context,
    insight_id: Annotated[str, typer.Argument(metavar="ID", help="The insight's.")],
    confirm: Annotated[bool, typer.Option("--confirm", help="It was right.")] = False,
    dismiss: Annotated[
        bool, typer.Option("--dismiss", help="Nothing was wrong: the same is quiet for a while.")
    ] = False,
    wrong_cause: Annotated[bool, typer.Option("--wrong-cause", help="Something else was wrong.")] = False,
    text: Annotated[str | None, typer.Option(help="Why, in your own words; at most 1,000 characters.")] = None,
    cause: Annotated[
        str | None, typer.Option(metavar="TYPE", help="What it was, with --wrong-cause: fail_slow, stall, ...")
    ] = None,
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """Say of an insight that it was right, was nothing, or named the wrong cause; training reads it."""
    from cli.feedback import Word, give_feedback

    chosen = {"confirm": confirm, "dismiss": dismiss, "wrong_cause": wrong_cause}
    word = Word(insight_id, tuple(verdict for verdict, is_chosen in chosen.items() if is_chosen), text, cause)
    ask(lambda: give_feedback(url, word, as_json=as_json, transport=ctx.obj))


app.add_typer(alerts_app, name="alerts")
app.add_typer(keys_app, name="keys")
app.add_typer(cost_app, name="cost")


@app.command()
def audit(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    limit: Limit = 50,
    kind: Annotated[
        str | None, typer.Option(help="Only these: alert_silenced, key_revoked, flags_changed, ...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Who changed what in the last year, the newest first; for admins."""
    from cli.audit import show_audit

    ask(lambda: show_audit(url, kind=kind, limit=limit, as_json=as_json, transport=ctx.obj))


@app.command()
def login(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    name: Annotated[str | None, typer.Option(help="This machine, as you know it. Default: its host name.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only show where to type the code.")] = False,
) -> None:
    """Get a key of 12 hours for this machine, that somebody who is signed in approves in a browser."""
    from cli.login import Surroundings
    from cli.login import login as sign_in

    ask(lambda: sign_in(url, name=name, opens=not no_browser, around=Surroundings(transport=ctx.obj)))


@app.command()
def logout(ctx: typer.Context, url: Url = LOCAL_URL) -> None:
    """Revoke the key of `iops login` and forget it."""
    from cli.login import logout as sign_out

    ask(lambda: sign_out(url, transport=ctx.obj))


@app.command("open")
def open_(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    prints: Annotated[bool, typer.Option("--print", help="Print the link instead of opening a browser.")] = False,
) -> None:
    """Open the dashboard in a browser that is signed in as you, for 12 hours."""
    from cli.login import Surroundings, open_dashboard

    ask(lambda: open_dashboard(url, prints=prints, around=Surroundings(transport=ctx.obj)))


@app.command()
def doctor(
    ctx: typer.Context,
    url: Url = LOCAL_URL,
    alert: Annotated[
        bool, typer.Option("--alert", help="Send a synthetic fault and see that its alert is delivered: two mails.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what works, who would score and explain right now, and why the others would not."""
    from cli.doctor import examine, prove

    question = prove if alert else examine
    ask(lambda: question(url, as_json=as_json, transport=ctx.obj))


@app.command()
def analyse(
    ctx: typer.Context,
    stream_id: Annotated[str, typer.Argument(metavar="STREAM", help="As `iops streams` lists it.")],
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """Score one stream now and explain what is found; a language model is asked where one may be."""
    from cli.analyse import analyse_stream

    ask(lambda: analyse_stream(url, stream_id, as_json=as_json, transport=ctx.obj))


@app.command()
def replay(
    ctx: typer.Context,
    from_: Annotated[str, typer.Option("--from", metavar="WHEN", help="2026-11-23T02:39:00Z, or how long ago: 24h.")],
    to: Annotated[str | None, typer.Option("--to", metavar="WHEN", help="The same. Default: now.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="page_risk=85, confirmations=1, calm=20m, together=0, ...; repeatable."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A directory of `ml train`, or none: the rules alone. Default: the shipped one.")
    ] = None,
    stream: Annotated[list[str] | None, typer.Option(help="Only this stream; may be repeated.")] = None,
    peer_group: Annotated[list[str] | None, typer.Option(help="Only this peer group; may be repeated.")] = None,
    every: Annotated[int, typer.Option(min=1, max=3_600, help="Seconds between two scorings.")] = 10,
    url: Url = LOCAL_URL,
    as_json: Json = False,
) -> None:
    """Say what other thresholds, or another model, would have told people, and how that differs from what they heard.

    Stored samples go through scorer and episodes once more. It only reads: nothing is written, nobody is told.
    """
    from cli.replay.command import Asked, run_replay

    asked = Asked(from_, to, tuple(rule or ()), model, tuple(stream or ()), tuple(peer_group or ()), every)
    end(lambda: run_replay(url, asked, as_json=as_json, transport=ctx.obj))
