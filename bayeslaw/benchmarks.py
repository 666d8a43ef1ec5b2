"""Benchmark scores as losses: error rates, and how exactly so many test items measure them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.noise import Noise
from bayeslaw.priors import Prior
from bayeslaw.runs import Runs, read_runs
from bayeslaw.tables import read_table

__all__ = ["binomial_noise", "has_scores", "read_scores"]

LUCK = 0.005
"""Relative error of an error rate that a run has by chance, beside that of its test items."""

SPREAD = 0.25
"""How well the sum of both is known: within a factor of exp(0.25), two times out of three."""


def has_scores(table: pd.DataFrame | str | Path) -> bool:
    """Return whether a table names scores (``<benchmark>_score``) and no loss."""
    columns = read_table(table).columns
    return bool(columns.str.endswith("_score").any() and not columns.str.endswith("loss").any())


def read_scores(
    table: pd.DataFrame | str | Path, *, score: Mapping[str, str] | None = None, full: float = 1.0, **columns: str
) -> Runs:
    """Read a table of benchmark scores; what is modelled is the error rate, 1 minus the score.

    Parameters
    ----------
    table : DataFrame or path
        One row per run.
    score : mapping, optional
        ``{benchmark: column}``; left out: every ``<benchmark>_score``.
    full : float
        The score of a model that makes no mistake: 1, or 100 where scores are percentages.
    **columns : str
        ``canonical=column in the table``, as in `bayeslaw.read_runs`, for example ``duration="window"``.

    Returns
    -------
    Runs
        Its validation sets are the benchmarks, their losses the error rates.

    Raises
    ------
    DataError
        There is no score, or one does not lie between 0 and `full`.
    RangeError
        `full` is not above 0.
    """
    if not 0 < full < np.inf:
        raise RangeError(f"full is {full}: give the score of a model that makes no mistake, 1 or 100")
    frame = read_table(table)
    named = dict(score or {c.removesuffix("_score"): c for c in frame.columns if c.endswith("_score")})
    if not named:
        known = ", ".join(frame.columns)
        raise DataError(f"no score column: name them with score={{'benchmark': 'its column'}} (columns: {known})")
    rates = {}
    for name, column in named.items():
        if column not in frame:
            raise DataError(f"score: {unknown_name('column', column, frame.columns)}")
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
        if (bad := ~((values > 0) & (values < full))).any():
            row = int(np.argmax(bad))
            percent = full == 1 and 1 < values[row] <= 100
            remedy = "divide percentages by 100, or give full=100" if percent else "correct it or leave the row out"
            raise DataError(
                f"{column} is {frame[column].iloc[row]} in row {row + 1}: a score lies above 0 and below {full:g}; "
                f"{remedy}"
            )
        rates[f"{name}_loss"] = 1 - values / full
    kept = frame.drop(columns=[c for c in {*named.values(), *rates} if c in frame])
    return read_runs(kept.assign(**rates), loss={name: f"{name}_loss" for name in named}, **columns)


def binomial_noise(runs: Runs, items: Mapping[str, int], *, luck: float = LUCK, spread: float = SPREAD) -> Noise:
    """Return the errors of scores on so many test items: the binomial one, known, and a little luck of every run.

    Parameters
    ----------
    runs : Runs
        What `read_scores` returned.
    items : mapping
        ``{benchmark: number of test items}``, for every benchmark.
    luck : float
        Relative error of an error rate that a run has by chance, for example by its initialisation.
    spread : float
        How well the sum of both is known beforehand (log scale).

    Returns
    -------
    Noise
        Errors independent between benchmarks, whose items differ. The standard deviation of each benchmark's log
        error rate has a prior around sqrt(s / (n (1 - s)) + luck^2), with s the mean score and n the items.

    Raises
    ------
    DataError
        A benchmark has no number of items, or one below 1.
    RangeError
        `luck` is below 0, or `spread` not above 0.
    """
    if not (luck >= 0 and spread > 0):
        raise RangeError(f"luck={luck} and spread={spread}: give a luck of at least 0 and a spread above 0")
    for name in runs.evals:
        if not items.get(name, 0) >= 1:
            raise DataError(f"how many items does {name} have? give items={{{name!r}: their number}}, at least 1")
    if unknown := [name for name in items if name not in runs.evals]:
        raise unknown_name("benchmark", unknown[0], runs.evals)
    rates = runs.table[runs.loss_columns].to_numpy()
    variance = ((1 - rates) / rates).mean(axis=0) / [items[name] for name in runs.evals]
    center = 0.5 * np.log(variance + luck**2)
    return Noise(joint=False, sigma=Prior("LogNormal", mu=center, sigma=np.full(len(center), spread)))
