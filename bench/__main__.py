"""`python -m bench`: what the product can do on this machine, measured. Figures on stdout, progress on stderr."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from services.insights.settings import InsightsSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

# Beside the repository, where there is one: it is not part of it.
RECORDING: Final = Path(__file__).parents[2] / "shared" / "data" / "fio"
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]


@app.callback()
def main() -> None:
    """Measure the product. Exit codes: 0 done; 1 something was lost or did not run; 2 wrong usage."""


@app.command()
def e2e(
    faults: Annotated[int, typer.Option(min=1, max=500, help="Faults, each in a peer group of its own.")] = 50,
    spread: Annotated[float, typer.Option(min=1, max=3_600, help="Seconds from the first fault to the last.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed makes the same disks, faults and moments.")] = 7,
    url: Annotated[str | None, typer.Option(help="A running `iops up`; by default it starts one of its own.")] = None,
    mail_dir: Annotated[Path | None, typer.Option(help="Where that one writes its mails.")] = None,
    as_json: Json = False,
) -> None:
    """From POST to mail: seconds from sending a fault's samples to the .eml file in the on-call person's mailbox."""
    from bench.e2e import Options, measure
    from bench.machine import machine
    from bench.report import print_report
    from bench.stack import StackFailed, started_stack
    from cli.outcome import CommandFailed

    if (url is None) != (mail_dir is None):
        raise typer.BadParameter("--url and --mail-dir go together")
    options = Options(faults=faults, spread_s=spread, seed=seed)
    try:
        if url is not None and mail_dir is not None:
            result = asyncio.run(measure(options, url, mail_dir))
        else:
            with started_stack() as stack:
                result = asyncio.run(measure(options, stack.url, stack.mail_dir, key=stack.key))
    except (StackFailed, CommandFailed) as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from error
    print_report(result, machine(), as_json=as_json)
    raise typer.Exit(1 if result.lost else 0)


@app.command()
def ingest(
    as_json: Json = False,
    out: Annotated[Path, typer.Option(help="Where ingest.json and ingest.png go.")] = Path(".local/bench"),
    seconds_steady: Annotated[float, typer.Option(min=1, max=600, help="At 2,000 requests/s.")] = 60,
    seconds_burst: Annotated[float, typer.Option(min=1, max=120, help="At 4,000 requests/s.")] = 10,
    seconds_overload: Annotated[float, typer.Option(min=1, max=60, help="At twice what a slow table takes.")] = 10,
    data: Annotated[Path, typer.Option(help="A recording to size chunks on; without it, simulated disks.")] = RECORDING,
) -> None:
    """Ingest against a table double: rates, latency, CPU, memory, bytes a sample, dollars a month; some 3 minutes."""
    import uvloop

    from bench.chart import draw
    from bench.ingest import BenchFailed, Options, measure
    from bench.machine import machine
    from bench.report import print_figures
    from local.errors import CannotRun

    options = Options(steady_s=seconds_steady, burst_s=seconds_burst, overload_s=seconds_overload, data_dir=data)
    try:
        result = uvloop.run(measure(options))
    except (BenchFailed, CannotRun) as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from error
    figures = {"bench": "ingest", **result.figures, "machine": machine()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "ingest.json").write_text(json.dumps(figures, indent=2) + "\n")
    draw(result, out / "ingest.png")
    print_figures(figures, as_json=as_json)
    raise typer.Exit(1 if result.has_losses else 0)


@app.command()
def auth(as_json: Json = False) -> None:
    """What keys cost: CPU of POST /metrics with IOPS_AUTH on and off, in turns (a minute)."""
    from bench.auth import measure
    from bench.machine import machine

    figures = {"machine": machine(), **asyncio.run(measure())}
    typer.echo(json.dumps(figures, indent=None if as_json else 2))


@app.command()
def peers(
    as_json: Json = False,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="At most, for each receiver and size.")] = 60,
) -> None:
    """The same samples by remote-write to Prometheus and to ingest: values for each second of CPU."""
    import uvloop

    from bench.machine import machine
    from bench.peers import measure
    from bench.report import print_figures
    from local.errors import CannotRun

    try:
        figures = {"bench": "peers", **uvloop.run(measure(seconds)), "machine": machine()}
    except CannotRun as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from error
    print_figures(figures, as_json=as_json)


@app.command()
def score(
    as_json: Json = False,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="For all group sizes together.")] = 9,
) -> None:
    """Streams scored per second on one core, from windows of samples to risk; how the time divides; the memory."""
    from bench.machine import machine
    from bench.report import print_figures
    from bench.score import measure

    figures = {"bench": "score", **measure(seconds=seconds), "machine": machine()}
    print_figures(figures, as_json=as_json)
    raise typer.Exit(0 if figures["is_reached"] else 1)


@app.command()
def pages(
    as_json: Json = False,
    streams: Annotated[int, typer.Option(min=10, max=100_000, help="Of a day each, some 130 rows.")] = 10_000,
) -> None:
    """The dashboard of a large fleet on DynamoDB Local (Docker): pages, data and news, each beside its limit."""
    from bench.machine import machine
    from bench.pages import measure
    from bench.report import print_figures
    from local.errors import CannotRun

    try:
        figures = {"bench": "pages", **measure(streams=streams), "machine": machine()}
    except CannotRun as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from error
    print_figures(figures, as_json=as_json)
    raise typer.Exit(0 if figures["is_reached"] else 1)


@app.command()
def explain(
    as_json: Json = False,
    provider: Annotated[
        Literal["template", "bedrock", "openai"], typer.Option(help="Who puts the evidence into words.")
    ] = "template",
    model: Annotated[str | None, typer.Option(help="Instead of the one that the environment names.")] = None,
    usd: Annotated[float, typer.Option(min=0, help="What all calls may cost together.")] = 1.0,
    records: Annotated[int, typer.Option(min=1, help="At most, in the order of the file.")] = 1_000,
    words: Annotated[bool, typer.Option("--words", help="Print the words themselves too.")] = False,
) -> None:
    """Check the words for the golden evidence: true numbers, strongest facts, one next step.

    A language model is asked as the service asks it, with the service's settings: IOPS_BEDROCK_MODEL, AWS credentials;
    IOPS_OPENAI_BASE_URL, IOPS_OPENAI_MODEL, IOPS_SECRETS_FILE.
    """
    from pydantic import ValidationError

    from bench.ask import settings_of
    from bench.explain import lines_of
    from iops.secrets import SecretUnread
    from services.insights.profiles import UnusableModel

    try:
        settings = None if provider == "template" else settings_of(provider, model)
        figures = asyncio.run(_explain(settings, usd, records, is_shown=words and not as_json))
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problem["msg"] for problem in error.errors())) from error
    except (UnusableModel, SecretUnread) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(json.dumps({"bench": "explain", **figures}) if as_json else "\n".join(lines_of(figures)))
    raise typer.Exit(1 if figures["failures"] else 0)


async def _explain(settings: InsightsSettings | None, usd: float, records: int, *, is_shown: bool) -> dict[str, Any]:
    import time
    from contextlib import AsyncExitStack

    from bench.ask import open_teller
    from bench.explain import Record, Told, measure, read_records, tell_by_template, words_of

    def show(record: Record, told: Told) -> None:
        if is_shown and told.words is not None:
            typer.echo("\n".join(words_of(record, told.words)) + "\n")

    async with AsyncExitStack() as clients:
        tell = (
            tell_by_template if settings is None else await clients.enter_async_context(open_teller(settings, usd=usd))
        )
        return await measure(read_records()[:records], tell, time.perf_counter, show=show)


if __name__ == "__main__":
    app(prog_name="python -m bench")
