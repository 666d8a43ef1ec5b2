"""The command line: it parses options, calls the library and prints.

Results go to standard output. An error is one line on standard error with exit code 2, and nothing is written.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bayeslaw.base.version import VERSION
from bayeslaw.cli.catalogue import data, laws, suggest
from bayeslaw.cli.fitting import fit
from bayeslaw.cli.mistakes import OnceEach, OneLineErrors
from bayeslaw.cli.predicting import predict
from bayeslaw.cli.reporting import check, demo, explore, report
from bayeslaw.cli.scoring import compare, evaluate

__all__ = ["QUESTIONS", "app"]


QUESTIONS = {
    "critical-ratio": "The largest domain share at which a loss stays within a limit.",
    "smallest-replay": "The smallest general share at which the general loss stays within a limit.",
    "best-ratio": "The domain share with the smallest loss for so many domain tokens.",
    "allocation": "The model size and tokens with the smallest loss for a compute.",
    "tokens-for": "The smallest number of tokens at which a loss is reached.",
    "best-mixture": "The shares of the sources with the smallest loss.",
    "optimum-shift": "How far the best mixture moves from one size or number of tokens to another.",
    "equivalent-compute": "The factor of tokens that another mixture needs.",
    "best-duration": "The share of the training, at its end, with the smallest loss.",
    "best-schedule": "The loss at the end of each schedule, and the best one.",
    "turning-length": "The steps after which a loss falls again.",
    "critical-point": "The pre-training from which on a loss only rises.",
    "score": "The scores of benchmarks, through a second fit from loss to score.",
}
"""The decisions in a sentence, listed without importing what they compute with."""


class Decisions(TyperGroup):
    """The commands of the decisions, which are made of their functions when one is asked for."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name; see `typer.core.TyperGroup`."""
        self._make()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands; see `typer.core.TyperGroup`."""
        return list(QUESTIONS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands; see `typer.core.TyperGroup`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(QUESTIONS.items()))

    def _make(self) -> None:
        from bayeslaw.cli.deciding import commands

        if not self.commands:
            self.commands.update(commands())


app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    rich_markup_mode=None,
    help="Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure.",
)
decide = typer.Typer(cls=Decisions, rich_markup_mode=None, help="Answer a question, with a credible interval.")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bayeslaw {VERSION}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure."""


app.command(cls=OnceEach)(laws)
app.command(cls=OnceEach)(suggest)
app.command(cls=OnceEach)(data)
app.command(cls=OnceEach)(fit)
app.command(cls=OnceEach)(evaluate)
app.command(cls=OnceEach)(compare)
app.command(cls=OnceEach)(predict)
app.add_typer(decide, name="decide")
app.command(cls=OnceEach)(check)
app.command(cls=OnceEach)(report)
app.command(cls=OnceEach)(explore)
app.command(cls=OnceEach)(demo)
