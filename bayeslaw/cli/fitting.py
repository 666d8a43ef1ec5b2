"""The command that fits a law to a table of runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

import bayeslaw as bl
from bayeslaw.base.files import replacing
from bayeslaw.cli.options import (
    Before,
    By,
    Chains,
    Columns,
    Draws,
    Losses,
    Outside,
    Priors,
    References,
    Robust,
    RunsFile,
    Seed,
    Warmup,
    given,
    law_named,
    numbers,
    pairs,
    read_before,
    read_prior,
)
from bayeslaw.cli.printing import print_checks
from bayeslaw.errors import RangeError
from bayeslaw.tables.scores import has_scores

__all__ = ["fit", "model_of"]


def fit(
    law: Annotated[str, typer.Argument(metavar="LAW", help="A name of `bayeslaw laws`.")],
    runs: RunsFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FIT.nc", help="Where the fit goes.")],
    columns: Columns = None,
    loss: Losses = None,
    by: By = None,
    prior: Priors = None,
    reference: References = None,
    seed: Seed = 1,
    draws: Draws = 1000,
    chains: Chains = 4,
    outside: Outside = False,
    robust: Robust = False,
    warmup: Warmup = None,
    before: Before = None,
) -> None:
    """Fit a law to a table of runs and keep the posterior; laws of curves read run, step, lr and losses.

    Example: bayeslaw fit dcpt runs.csv -o fit.nc --map N=params --by E=domain --prior alpha=0.35:0.3
    """
    model = model_of(law, runs, columns, loss, by, prior, reference, outside, robust, warmup, before)
    with replacing(output) as temporary:
        result = model.fit(draws=draws, chains=chains, seed=seed, progress=True)
        result.save(temporary)
    typer.echo(repr(model))
    typer.echo(result.summary().to_string(float_format="{:.4g}".format))
    print_checks(result)
    typer.echo(f"{output}: {chains} chains of {draws} draws in {result.seconds:.0f} s")


def model_of(
    law: str,
    runs: Path,
    columns: Iterable[str] | None,
    loss: Iterable[str] | None,
    by: Iterable[str] | None,
    prior: Iterable[str] | None,
    reference: Iterable[str] | None,
    outside: bool,
    robust: bool,
    warmup: int | None,
    before: str | None,
) -> bl.Model:
    """Return the model that the options of a command describe."""
    entry, curves = law_named(law), given(warmup=warmup, before=read_before(before))
    losses: dict[str, str] | str | None = pairs(loss, "--loss", "general=general_loss") or None
    named: dict[str, Any] = {"loss": losses, **pairs(columns, "--map", "N=params")}
    if curves and entry.kind != "schedule":
        raise RangeError(f"the law {law} has no schedule: leave --{' and --'.join(curves)} out")
    if entry.kind == "schedule":
        table = bl.read_curves(runs, **curves, **named)
    elif losses is None and has_scores(runs):
        table = bl.read_scores(runs, **{k: v for k, v in named.items() if k != "loss"})
    else:
        table = bl.read_runs(runs, **named)
    return bl.Model(
        entry,
        table,
        by=pairs(by, "--by", "E=domain"),
        priors={k: read_prior(v) for k, v in pairs(prior, "--prior", "alpha=0.35:0.3").items()},
        reference=numbers(reference, "--reference", "N=2e5"),
        noise=bl.Noise(robust=robust),
        outside="include" if outside else "exclude",
    )
