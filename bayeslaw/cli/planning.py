"""The commands of a first design before any run, one for each question."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bayeslaw.base.files import check_writable
from bayeslaw.base.words import counted
from bayeslaw.cli import options
from bayeslaw.cli.deciding import keyword, question, question_options
from bayeslaw.cli.next_runs import commands_of
from bayeslaw.cli.printing import write_csv

__all__ = ["questions"]

BUDGET = Annotated[float, typer.Option("--budget", help="FLOPs, tokens of a law without sizes, or a number of runs.")]
SOURCES = Annotated[
    list[str] | None, typer.Option("--source", metavar="SOURCE", help="A source of a mixture; once for each.")
]
TABLES = Annotated[int, typer.Option("--simulations", help="Simulated tables of each design.")]
OUTPUT = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="RUNS.csv", help="Write the runs of the best design there.")
]


def questions() -> dict[str, Any]:
    """Return a command for every question, by its name."""
    return commands_of(_command)


def _command(ask: Callable[..., Any], example: str) -> Callable[..., None]:
    parameters = [keyword("context", typer.Context), *question_options(ask), keyword("budget", BUDGET)]
    parameters += [keyword("prior", options.Priors, None), keyword("reference", options.References, None)]
    parameters += [keyword("source", SOURCES, None), keyword("simulations", TABLES, 8), keyword("output", OUTPUT, None)]
    parameters += [keyword("seed", options.Seed, 1), keyword("prob", options.Prob, None)]
    parameters.append(keyword("as_json", options.AsJson, False))

    def command(
        context: typer.Context,
        budget: float,
        prior: list[str] | None,
        reference: list[str] | None,
        source: list[str] | None,
        simulations: int,
        output: Path | None,
        seed: int,
        prob: float | None,
        as_json: bool,
        **given: Any,
    ) -> None:
        from bayeslaw.validation.first_design import plan

        if output is not None:
            check_writable(output)
        found = plan(
            options.law_named(context.obj),
            ask.__name__.replace("_", "-"),
            budget,
            priors={k: options.read_prior(v) for k, v in options.pairs(prior, "--prior", "alpha=0.35:0.3").items()},
            reference=options.numbers(reference, "--reference", "N=2e5"),
            sources=source or (),
            simulations=simulations,
            seed=seed,
            prob=options.probability(prob),
            **question(given),
        )
        rows = found.designs[found.best]
        if output is not None:
            write_csv(rows, output)
        typer.echo(json.dumps(found.as_json()) if as_json else repr(found))
        if output is not None and not as_json:
            typer.echo(f"{output}: {counted(len(rows), 'row')} of {found.best!r}, with losses to fill in")

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    name = ask.__name__.replace("_", "-")
    command.__doc__ = (
        f"Compare first designs of a study that asks for {name}, before any run.\n\n"
        f"Example: bayeslaw plan LAW {name} {example} --budget 1e21 -o runs.csv"
    )
    return command
