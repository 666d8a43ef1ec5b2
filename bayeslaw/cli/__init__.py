"""The command line: it parses options, calls the library and prints.

Results go to standard output. An error is one line on standard error with exit code 2, and nothing is written.
"""

from pathlib import Path
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
    "best-ratio": "The domain share with the smallest loss for a given number of domain tokens.",
    "allocation": "The model size and tokens with the smallest loss for a given compute.",
    "tokens-for": "The smallest number of tokens at which a loss is reached.",
    "best-mixture": "The shares of the sources with the smallest loss.",
    "optimum-shift": "How far the best mixture moves from one size or number of tokens to another.",
    "equivalent-compute": "The factor of tokens that another mixture needs.",
    "best-duration": "The length of upsampling, at the end of training, with the smallest loss.",
    "best-schedule": "The loss at the end of each schedule, and the best one.",
    "turning-length": "The number of steps after which a loss that rose is back at its start.",
    "critical-point": "The length of pre-training from which a loss that rises does not come back.",
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
        if not self.commands:
            self.commands.update(self._made())

    def _made(self) -> dict[str, Any]:
        from bayeslaw.cli.deciding import commands

        return commands()


class Questions(Decisions):
    """The commands of the next run, one for each decision and one for a loss."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands; see `typer.core.TyperGroup`."""
        return [*QUESTIONS, "loss"]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands; see `typer.core.TyperGroup`."""
        with formatter.section("Questions"):
            formatter.write_dl([*QUESTIONS.items(), ("loss", "The loss at given sizes, tokens and shares.")])

    def _made(self) -> dict[str, Any]:
        from bayeslaw.cli.next_runs import questions

        return questions()


class FirstQuestions(Questions):
    """The commands of a first design, for the same questions."""

    def _made(self) -> dict[str, Any]:
        from bayeslaw.cli.planning import questions

        return questions()


app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    rich_markup_mode=None,
    help="Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure.",
)
following = typer.Typer(cls=Questions, rich_markup_mode=None)
beginning = typer.Typer(cls=FirstQuestions, rich_markup_mode=None)
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


@following.callback()
def planned(
    context: typer.Context,
    fit_file: Annotated[Path, typer.Argument(metavar="FIT.nc", help="A fit that `bayeslaw fit` wrote.")],
) -> None:
    """Say which run to do next for a question, and when to stop.

    Example: bayeslaw next fit.nc critical-ratio --N 7e9 --D 1e11 --max-rise 0.01 --candidates grid.csv --budget 1e21
    """
    context.obj = fit_file


@beginning.callback()
def first(
    context: typer.Context,
    law: Annotated[str, typer.Argument(metavar="LAW", help="A name of `bayeslaw laws`.")],
) -> None:
    """Compare first designs before any run: the expected width of the answer after each, within a budget.

    Example: bayeslaw plan dcpt critical-ratio --N 1.8e9 --D 1e10 --max-rise 0.02 --budget 1e21
    """
    context.obj = law


app.command(cls=OnceEach)(laws)
app.command(cls=OnceEach)(suggest)
app.command(cls=OnceEach)(data)
app.command(cls=OnceEach)(fit)
app.command(cls=OnceEach)(evaluate)
app.command(cls=OnceEach)(compare)
app.command(cls=OnceEach)(predict)
app.add_typer(decide, name="decide")
app.add_typer(following, name="next")
app.add_typer(beginning, name="plan")
app.command(cls=OnceEach)(check)
app.command(cls=OnceEach)(report)
app.command(cls=OnceEach)(explore)
app.command(cls=OnceEach)(demo)
