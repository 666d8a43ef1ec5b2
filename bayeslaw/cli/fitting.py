"""The command that fits a law to a table of runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import bayeslaw as bl
from bayeslaw.base.files import check_writable
from bayeslaw.base.numbers import short
from bayeslaw.base.words import counted
from bayeslaw.cli import options
from bayeslaw.cli.printing import print_checks
from bayeslaw.errors import LawError, RangeError

__all__ = ["fit", "model_of", "sampled"]


def fit(
    law: Annotated[str, typer.Argument(metavar="LAW", help="A name of `bayeslaw laws`.")],
    runs: options.RunsFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FIT.nc", help="The file to write the fit to.")],
    columns: options.Columns = None,
    loss: options.Losses = None,
    unit: options.Units = None,
    bytes_per_token: options.BytesPerToken = None,
    role: options.Roles = None,
    by: options.By = None,
    prior: options.Priors = None,
    reference: options.References = None,
    seed: options.Seed = 1,
    draws: options.Draws = 1000,
    chains: options.Chains = 4,
    outside: options.Outside = None,
    robust: options.Robust = False,
    misfit: options.Misfit = None,
    warmup: options.Warmup = None,
    before: options.Before = None,
    memory: options.Memory = None,
) -> None:
    """Fit a law to a table of runs and keep the posterior; laws of curves read run, step, lr and losses.

    Example: bayeslaw fit dcpt runs.csv -o fit.nc --map N=params --by E=domain --prior alpha=0.35:0.3
    """
    units = options.read_units(unit, bytes_per_token)
    model = model_of(
        law, runs, columns, loss, units, by, prior, reference, outside, robust, warmup, before, memory, role, misfit
    )
    result = sampled(model, output, draws=draws, chains=chains, seed=seed)
    typer.echo(repr(model))
    typer.echo(result.summary().to_string(float_format=short))
    print_checks(result)
    typer.echo(f"{output}: {counted(chains, 'chain')} of {counted(draws, 'draw')} in {short(result.seconds, 2)} s")


def sampled(model: "bl.Model", output: Path, *, draws: int, chains: int, seed: int) -> "bl.Fit":
    """Fit a model and save the fit, after it was seen that the file can be written and has room."""
    from bayeslaw.posterior.store import expected_size

    check_writable(output, expected_size(model, draws * chains))
    result = model.fit(draws=draws, chains=chains, seed=seed, progress=True)
    result.save(output)
    return result


def model_of(
    law: str,
    runs: Path,
    columns: Iterable[str] | None,
    loss: Iterable[str] | None,
    units: Mapping[str, Any],
    by: Iterable[str] | None,
    prior: Iterable[str] | None,
    reference: Iterable[str] | None,
    outside: bool | None,
    robust: bool,
    warmup: int | None,
    before: str | None,
    memory: float | None,
    role: Iterable[str] | None = None,
    misfit: bool | None = None,
) -> "bl.Model":
    """Return the model that the options of a command describe."""
    from bayeslaw.spec.misfit import SCALES
    from bayeslaw.tables.readers import read_for

    entry = options.law_named(law)
    curves = options.given(warmup=warmup, before=options.read_before(before), memory=memory)
    losses = options.pairs(loss, "--loss", "general=general_loss") or None
    if curves and entry.kind != "schedule":
        raise RangeError(f"the law {law} has no schedule: leave --{' and --'.join(curves)} out")
    names = options.pairs(columns, "--map", "N=params")
    table = read_for(entry.kind, runs, loss=losses, units=units, curves=curves, columns=names)
    model = bl.Model(
        entry,
        table,
        by=options.pairs(by, "--by", "E=domain"),
        roles=options.pairs(role, "--role", "pile=general"),
        priors={k: options.read_prior(v) for k, v in options.pairs(prior, "--prior", "alpha=0.35:0.3").items()},
        reference=options.numbers(reference, "--reference", "N=2e5"),
        noise=bl.Noise(robust=robust),
        misfit="scales" if misfit is None else bl.Misfit() if misfit else None,
        outside=None if outside is None else "include" if outside else "exclude",
    )
    if misfit and not model.processes:
        raise LawError(
            f"{law} has none of the scales of a misfit ({', '.join(SCALES)}): give --law-alone, or leave --misfit out"
        )
    return model
