"""The commands of the next run, one for each question."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from bayeslaw.cli import options
from bayeslaw.cli.deciding import keyword, question, question_options
from bayeslaw.cli.mistakes import OnceEach
from bayeslaw.cli.printing import caution
from bayeslaw.decisions import DECISIONS
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.quantity import Quantity

__all__ = ["commands_of", "questions"]

GRID = Annotated[
    Path | None,
    typer.Option(
        "--candidates",
        metavar="GRID.csv",
        help="Runs that could be made, one row each; 'run' names one to continue.  [default: the settings of the runs "
        "and a step beyond]",
    ),
]
BUDGET = Annotated[
    float | None, typer.Option("--budget", help="What the batch may cost, in FLOPs or the unit of --cost.")
]
BATCH = Annotated[int, typer.Option("--batch", help="Runs to choose, 1 to 8.")]
COST = Annotated[
    str | None, typer.Option("--cost", metavar="COLUMN", help="The column of costs.  [default: 6 N D FLOPs]")
]
LEAST = Annotated[float | None, typer.Option("--at-least", help="The smallest narrowing that is worth a run.")]
SEED = Annotated[int, typer.Option("--seed", help="Seed of the simulated errors.")]

SHOWN = 12
"""Candidates that are printed, the best ones."""


def loss(
    fit: Any,
    *,
    N: Any = None,
    D: Any = None,
    U: Any = None,
    domain_share: Any = None,
    domain: Any = None,
    labels: Any = None,
) -> Quantity:
    """Return the loss at given sizes, tokens and shares."""
    return predict(fit, **options.given(N=N, D=D, U=U, domain_share=domain_share, domain=domain), **(labels or {}))


def commands_of(make: Callable[[Callable[..., Any], str], Callable[..., None]]) -> dict[str, Any]:
    """Return the command that is made for every question, by its name."""
    app = typer.Typer(rich_markup_mode=None)
    for ask, example in [*((d.ask, d.example) for d in DECISIONS.values()), (loss, "--N 7e9 --D 1e11")]:
        app.command(ask.__name__.replace("_", "-"), cls=OnceEach)(make(ask, example))
    return dict(typer.main.get_group(app).commands)


def questions() -> dict[str, Any]:
    """Return a command for every question, by its name."""
    return commands_of(_command)


def _command(ask: Callable[..., Any], example: str) -> Callable[..., None]:
    parameters = question_options(ask)
    parameters += [keyword("grid", GRID, None), keyword("budget", BUDGET, None), keyword("batch", BATCH, 1)]
    parameters += [keyword("cost", COST, None), keyword("least", LEAST, None), keyword("seed", SEED, 0)]
    parameters += [keyword("prob", options.Prob, None), keyword("as_json", options.AsJson, False)]
    parameters.insert(0, keyword("context", typer.Context))

    def command(
        context: typer.Context,
        grid: Path | None,
        budget: float | None,
        batch: int,
        cost: str | None,
        least: float | None,
        seed: int,
        prob: float | None,
        as_json: bool,
        **given: Any,
    ) -> None:
        asked = question(given)
        found = options.load_fit(context.obj).next_runs(
            partial(ask, **asked),
            candidates=grid,
            budget=budget,
            batch=batch,
            cost=cost,
            at_least=least,
            seed=seed,
            prob=options.probability(prob),
        )
        caution(found.cautions)
        typer.echo(json.dumps(found.as_json()) if as_json else replace(found, cautions=()).text(SHOWN))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    name = ask.__name__.replace("_", "-")
    command.__doc__ = (
        f"Find the run that narrows the answer to {name} most for its cost.\n\n"
        f"Example: bayeslaw next fit.nc {name} {example} --candidates grid.csv --budget 1e21"
    )
    return command
