"""The commands that score predictions of held-out runs."""

import logging
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

import bayeslaw as bl
from bayeslaw.base.files import check_writable
from bayeslaw.base.numbers import short
from bayeslaw.cli import options
from bayeslaw.cli.fitting import model_of
from bayeslaw.cli.printing import note, write_csv
from bayeslaw.errors import MissingExtra, RangeError, RefitError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["compare", "evaluate"]


def evaluate(
    law: Annotated[
        str, Argument(metavar="FIT.nc | LAW", help="A fit whose model is refitted, or a name of `bayeslaw laws`.")
    ],
    runs: Annotated[Path | None, Argument(metavar="[RUNS.csv]", help="The measurements, if LAW is given.")] = None,
    splits: Annotated[
        str | None,
        Option(metavar="SPLITS", help="by:N, by:N,domain_share, largest:N, late:D:0.6, segments:D:3 or runs:5."),
    ] = None,
    by: Annotated[
        list[str] | None,
        Option(
            "--by",
            metavar="COLUMN",
            help="N: short for --splits by:N. With a LAW also E=domain: partial pooling of a coefficient.",
        ),
    ] = None,
    output: Annotated[
        Path | None, Option("-o", "--output", metavar="SCORES.csv", help="Write the scores of every fold there.")
    ] = None,
    folder: Annotated[
        Path | None, Option(metavar="DIR", help="Keep finished folds there, and do not fit them again.")
    ] = None,
    jobs: Annotated[int, Option(help="Folds fitted at a time; -1: one per core.")] = 1,
    dask: Annotated[
        str | None, Option(metavar="ADDRESS", help="tcp://127.0.0.1:8786: fit on the workers of a Dask scheduler.")
    ] = None,
    columns: options.Columns = None,
    loss: options.Losses = None,
    unit: options.Units = None,
    bytes_per_token: options.BytesPerToken = None,
    role: options.Roles = None,
    prior: options.Priors = None,
    reference: options.References = None,
    seed: Annotated[int | None, Option(help="Seed of the sampler.  [default: 1, or the fit's]")] = None,
    draws: Annotated[int | None, Option(min=10, help="Draws per chain.  [default: 500, or the fit's]")] = None,
    chains: Annotated[int | None, Option(min=1, help="Number of chains.  [default: 4, or the fit's]")] = None,
    outside: options.Outside = None,
    robust: options.Robust = False,
    misfit: options.Misfit = None,
    warmup: options.Warmup = None,
    before: options.Before = None,
    memory: options.Memory = None,
    prob: options.Prob = None,
) -> None:
    """Refit without each part of the runs and score the predictions of it; exit code 1 if a refit fails.

    Example: bayeslaw evaluate fit.nc --by N --folder folds -o scores.csv
    """
    held_out = [column for column in by or () if "=" not in column]
    pooled = [pair for pair in by or () if "=" in pair]
    if (splits is None) != bool(held_out):
        raise RangeError(
            "evaluate needs one choice of what to hold out: give --by N, or other splits such as --splits largest:N"
        )
    settings: dict[str, Any] = options.given(seed=seed, draws=draws, chains=chains)
    if law.endswith(".nc"):
        of_model: dict[str, Any] = {"--map": columns, "--loss": loss, "--role": role, "--by": pooled, "--prior": prior}
        of_model |= {
            "--reference": reference,
            "--outside": outside,
            "--robust": robust,
            "--misfit": misfit,
            "--law-alone": misfit is False,
            "--warmup": warmup,
        }
        of_model |= {"--before": before, "--memory": memory, "--unit": unit, "--bytes-per-token": bytes_per_token}
        of_model |= {"RUNS.csv": runs}
        if unwanted := [name for name, value in of_model.items() if value]:
            raise RangeError(f"{law} has its own runs and model: leave {' and '.join(unwanted)} out")
        result = options.load_fit(Path(law))
        model = result.model
        if result.settings.get("method", "nuts") in ("nuts", "mle"):  # refits know no other method
            settings = {**result.settings, **settings}
    elif runs is None:
        raise RangeError(
            f"the law {law} needs measurements: name their file, as in bayeslaw evaluate {law} runs.csv --by N"
        )
    else:
        units = options.read_units(unit, bytes_per_token)
        of_curves = (warmup, before, memory)
        more = (*of_curves, role, misfit)
        model = model_of(law, runs, columns, loss, units, pooled, prior, reference, outside, robust, *more)
    settings = {"seed": 1, **settings}
    asked = options.read_splits(splits or f"by:{','.join(held_out)}", settings["seed"])
    if output is not None:
        check_writable(output)
    with nullcontext() if dask is None else _client(dask) as client:
        executor = None if client is None else client.get_executor()
        found = bl.evaluate(
            model, asked, prob=options.probability(prob), folder=folder, jobs=jobs, executor=executor, **settings
        )
    if output is not None:
        write_csv(found.to_frame(), output)
    if runs is not None and model.runs.note:
        note(model.runs.note)
    typer.echo(repr(found))
    typer.echo(found.to_frame().to_string(index=False, float_format=short, na_rep="-"))
    for fold in found.failed.itertuples():
        typer.echo(f"FAIL  {fold.fold}: {fold.error}: {fold.reason}")
    if len(found.failed):
        raise typer.Exit(1)


def _client(address: str) -> "Client":
    """Connect to a Dask scheduler."""
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("dask", "Dask") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # the error below says it in one sentence
    try:
        client = Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError, TypeError) as e:
        raise RefitError(
            f"no scheduler answers at {address!r} ({e}): give the address that `dask scheduler` prints, for example "
            "tcp://127.0.0.1:8786"
        ) from None
    if not client.nthreads():
        note(f"the scheduler has no worker: start one with `dask worker {address} --nthreads 1`")
    return client


def compare(
    fits: Annotated[list[Path], Argument(metavar="FIT.nc FIT.nc ...", help="Fits of the same measurements.")],
) -> None:
    """Compare fits by how well they predict held-out runs; the best comes first.

    Example: bayeslaw compare pooled.nc by-domain.nc
    """
    named = options.load_fits(fits)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = bl.compare(named)
    typer.echo(found.to_string(float_format=short, na_rep="-"))
    for warning in caught:
        typer.echo(f"note: {warning.message}")
