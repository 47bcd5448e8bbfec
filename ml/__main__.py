"""The command line of the model's making: `python -m ml STEP --help` says what a step does."""

import sys
from collections.abc import Sequence
from typing import Final

import typer
from rich.console import Console

from iops.model import UnfitModel
from ml.deploy import deploy, pack
from ml.evaluate import evaluate
from ml.export import export
from ml.make import train
from ml.score import score
from ml.source import UnreadableData
from ml.tune import tune
from ml.tuning_job import TuningFailed
from ml.windows import simulate

SENTENCE_CHARACTERS: Final = 500  # XGBoost adds its stack

app = typer.Typer(no_args_is_help=True, add_completion=False)
for step in (simulate, export, tune, train, evaluate, score, pack, deploy):
    app.command()(step)


@app.callback()
def main() -> None:
    """How the risk model is made.

    simulate or export labelled windows, tune, train, evaluate beside the baselines, score real telemetry, pack, deploy
    to SageMaker.
    """


def run(arguments: Sequence[str] | None = None) -> None:
    """What is not as it should be is said in a sentence; exit code 1."""
    try:
        app(arguments, prog_name="python -m ml")
    except (UnreadableData, UnfitModel, TuningFailed) as error:
        sentence = " ".join(str(error).split())[:SENTENCE_CHARACTERS]
        Console(stderr=True, soft_wrap=True).print(sentence, style="red", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    run()
