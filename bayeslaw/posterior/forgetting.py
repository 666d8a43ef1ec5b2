"""How long a law of curves remembers falls of the learning rate: memories compared by schedules left out."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import sampler
from bayeslaw.base.arguments import checked
from bayeslaw.base.words import counted
from bayeslaw.errors import LawError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, part
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.areas import ANNEALED, at_memory, memories_of

__all__ = ["compare_memories", "remembers"]

ALL_RUNS = "all runs"
"""The part that is compared where none can be left out."""

MOST_FOLDS = 6
"""Refits for one memory; of more schedules several are left out at a time."""

LEAST_ANNEALED = 0.5
"""What the other runs have annealed at least, relative to the runs left out; with less they cannot teach it."""


def remembers(model: Specification) -> bool:
    """Return whether a law rests on areas with a memory, and its curves were read at several."""
    return not set(ANNEALED.values()).isdisjoint(model.law.columns) and bool(memories_of(model.runs))


@checked
def compare_memories(model: Specification) -> pd.DataFrame:
    """Compare memories of the annealing area by how well they predict schedules left out.

    Least squares, with the priors as residuals, without each schedule; its losses are predicted from the others. A
    schedule stays in where the others anneal less than half as much. Where fewer than two can be left out, all runs
    are fitted, and the errors are what the fit leaves over.

    Parameters
    ----------
    model : Model
        A law of training curves with its runs. They have their areas at `bayeslaw.tables.areas.MEMORIES` and at the
        memory they were read with.

    Returns
    -------
    DataFrame
        Mean absolute error (nats per token) by ``memory``: one column for each part left out, or "all runs", and their
        geometric ``mean``, which no single schedule unlike all others decides.

    Raises
    ------
    LawError
        The law has no memory, or the curves are those of an older version.

    Examples
    --------
    >>> best = compare_memories(model)["mean"].idxmin()  # doctest: +SKIP
    >>> runs = read_curves("log.csv", memory=best)  # doctest: +SKIP
    """
    if not remembers(model):
        raise LawError(
            f"the law {model.law.name} has no memory to compare: give a law with the areas of read_curves, such as "
            "lr_annealing, and read the curves again if they were kept by an older version"
        )
    runs = model.runs.sorted_along(model.law.path)
    folds = dict(_folds(replace(model, runs=runs)))
    if len(folds) < 2:
        folds = {ALL_RUNS: np.zeros(len(runs), bool)}
    found = {
        memory: {label: _error(replace(model, runs=at_memory(runs, memory)), out) for label, out in folds.items()}
        for memory in memories_of(runs)
    }
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("memory")
    return table.assign(mean=np.exp(np.log(table.to_numpy()).mean(axis=1)))


def _folds(model: Specification) -> Iterator[tuple[str, np.ndarray]]:
    """Yield parts of the rows that the others can teach to predict: their runs in words, and where they are."""
    table = model.runs.table
    known = [c for c in ("step", "warmup", "peak", *model.law.columns) if c in table]
    last = table.drop_duplicates("run", keep="last").set_index("run")[known]
    of_schedules = last[[c for c in known if c not in ("N", "domain_share")]].map("{:.6g}".format)
    number = of_schedules.groupby(list(of_schedules), sort=False).ngroup() % MOST_FOLDS
    annealed = [c for c in ANNEALED.values() if c in model.law.columns]
    for _, names in number.groupby(number).groups.items():
        out = table["run"].isin(names).to_numpy()
        rest, groups = table[~out], model.design.groups
        taught = rest[annealed].abs().max() >= LEAST_ANNEALED * table.loc[out, annealed].abs().max()
        if rest["run"].nunique() > 1 and taught.all() and all(table[g][out].isin(rest[g]).all() for g in groups):
            yield names[0] + (f" and {counted(len(names) - 1, 'run')} more" if len(names) > 1 else ""), out


def _error(model: Specification, out: np.ndarray) -> float:
    """Return the mean absolute error at the rows left out, or of the fit if there are none."""
    fitted = replace(model, runs=model.runs.select(~out))
    found = sampler.estimate(fitted, regularised=True, starts=1).coefficients.expand_dims(chain=[0], draw=[0])
    held = part(model.design, out if out.any() else ~out)
    loss = at_rows(Posterior(fitted, xr.DataTree.from_dict({"posterior": found})), held)
    return float(abs(loss - held.rows["loss"]).where(held.measured).mean())
