"""The command line of the model's making."""

import typer

from ml.windows import simulate

app = typer.Typer(no_args_is_help=True)
app.command()(simulate)


@app.callback()
def main() -> None:
    """How the model is made."""


if __name__ == "__main__":
    app(prog_name="python -m ml")
