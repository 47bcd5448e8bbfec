"""The command line of the model's making: `python -m ml STEP --help` says what a step does."""

import sys

import typer
from rich.console import Console

from iops.model import UnfitModel
from ml.deploy import deploy
from ml.evaluate import evaluate
from ml.export import export
from ml.make import train
from ml.score import score
from ml.source import UnreadableData
from ml.tune import tune
from ml.windows import simulate

app = typer.Typer(no_args_is_help=True, add_completion=False)
for step in (simulate, export, tune, train, evaluate, score, deploy):
    app.command()(step)


@app.callback()
def main() -> None:
    """How the risk model is made.

    simulate or export labelled windows, tune, train, evaluate beside the baselines, score real telemetry, deploy to
    SageMaker.
    """


if __name__ == "__main__":
    try:
        app(prog_name="python -m ml")
    except (UnreadableData, UnfitModel) as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}[/red]", str(error), markup=True, highlight=False)
        sys.exit(1)
