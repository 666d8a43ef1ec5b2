"""Simulation-based calibration of a model's posteriors, on losses simulated from its prior.

Each simulation draws coefficients from the prior, simulates losses at the model's design and refits them. The rank of
the truth among independent posterior draws is then uniform for every quantity (Talts et al. 2018, arXiv:1804.06788).
Other ranks show an error in the law, density, error model or sampler.
"""

import html
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.drawing import drawn
from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.base.numbers import level, percent, short
from bayeslaw.base.words import counted
from bayeslaw.errors import ArgumentError, RangeError, shown
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.validation.refits import failure_note, file_of, finish, refit_settings
from bayeslaw.validation.simulation import RANKED_DRAWS, RANKED_ROWS, simulation, with_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["Calibration", "calibrate"]

MOST_R_HAT = 1.05
HUGE_LOSS = 1e6
"""A loss above any floor, in nats."""


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Ranks of the truth in posteriors of simulated losses.

    Attributes
    ----------
    model : Model
        The calibrated model.
    prob : float
        Probability of the intervals.
    rows : pandas.DataFrame
        One row per simulation and quantity: ``simulation``, ``quantity``, ``kind`` (coefficient, population, error,
        loss, likelihood or decision), ``true`` value, ``rank`` of the truth among 99 thinned draws, ``lower`` and
        ``upper`` end of the equal-tailed interval, ``covered``.
    fits : pandas.DataFrame
        One row per refit: ``simulation``, largest ``r_hat``, ``divergences``, smallest bulk ``ess`` of a quantity,
        ``seconds``. The ranks include all of them, unconverged ones too.
    failed : pandas.DataFrame
        One row per refit without a posterior: ``fold`` (``simulation 3``), ``error`` (its type) and ``reason``.
    """

    model: Specification
    prob: float
    rows: pd.DataFrame
    fits: pd.DataFrame
    failed: pd.DataFrame

    @cached_property
    def pit(self) -> xr.DataArray:
        """Ranks as numbers in (0, 1), spread evenly within each rank; dims quantity, simulation."""
        wide = self.rows.pivot(index="quantity", columns="simulation", values="rank")
        wide = wide.loc[self.rows["quantity"].unique()]
        within = np.random.default_rng(0).random(wide.shape)
        coords = {"quantity": wide.index.to_numpy(str), "simulation": wide.columns.to_numpy()}
        return xr.DataArray(
            (wide.to_numpy() + within) / (RANKED_DRAWS + 1), coords=coords, dims=list(coords), name="pit"
        )

    def summary(self) -> pd.DataFrame:
        """Return the calibration of each quantity.

        Columns: ``kind``; ``n`` simulations; ``coverage`` of the intervals and ``mc_error``, its standard deviation for
        exact intervals; ``p_uniform``, the p-value of a test that the ranks are uniform (ArviZ's ``uniformity_test``).
        """
        by = self.rows.groupby("quantity", sort=False)
        table = by.agg(kind=("kind", "first"), n=("covered", "size"), coverage=("covered", "mean"))
        table["mc_error"] = np.sqrt(self.prob * (1 - self.prob) / table["n"])
        table["p_uniform"] = self.pit.azstats.uniformity_test(dim="simulation")[0].values
        return table

    @property
    def diverged(self) -> int:
        """Number of refits with divergences."""
        return int((self.fits["divergences"] > 0).sum())

    @property
    def unmixed(self) -> int:
        """Number of refits with an R-hat above 1.05."""
        return int((self.fits["r_hat"] > MOST_R_HAT).sum())

    @property
    def dependent(self) -> int:
        """Number of refits with fewer than 99 effective draws of some quantity."""
        return int((self.fits["ess"] < RANKED_DRAWS).sum())

    def plot(self, axes: "Sequence[Axes] | None" = None) -> "Sequence[Axes]":
        """Draw it; see `bayeslaw.plots.plot_calibration`."""
        axes = drawn(self, axes=axes)
        return axes

    def _about(self) -> list[str]:
        table, n = self.summary(), len(self.fits)
        low, smallest = int((table["p_uniform"] < 0.05).sum()), float(table["p_uniform"].min())
        pooled = float(self.rows["covered"].mean())
        return [
            f"Calibration of {self.model.law.name}: {counted(n, 'simulation')}, {counted(len(table), 'quantity')}",
            f"{level(self.prob)} intervals hold the truth in {percent(pooled)} of all cases, by quantity in "
            f"{percent(table['coverage'].min())} to {percent(table['coverage'].max())} (Monte Carlo standard deviation "
            f"{percent(table['mc_error'].iloc[0])})",
            f"ranks: p below 0.05 for {low} of {len(table)} quantities, smallest {short(smallest, 2)}, times their "
            f"number {short(min(1.0, smallest * len(table)), 2)}",
            f"refits: {self.diverged} with divergences, {self.unmixed} with R-hat above {MOST_R_HAT}, "
            f"{self.dependent} with fewer than {RANKED_DRAWS} effective draws of some quantity; all count",
            *failure_note(self.failed, n),
        ]

    def __repr__(self) -> str:
        return "\n".join(self._about())

    def _repr_html_(self) -> str:
        first, *others = self._about()
        table = self.summary().to_html(border=0, float_format=short)
        return f"<p>{html.escape(first)}</p>{table}<p>{html.escape('; '.join(others))}</p>"


@checked
def calibrate(
    model: Specification,
    n: int = 100,
    *,
    draws: int = 300,
    chains: int = 2,
    seed: int = 0,
    prob: float = CI_PROB,
    fitted_noise: Noise | None = None,
    also: Callable[[Any], xr.Dataset] | None = None,
    folder: str | Path | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: bool = True,
    **settings: Any,
) -> Calibration:
    """Simulate losses from the model's prior, refit them, and rank the truth in every posterior.

    The rows of the model's table give the design; their losses are not used. A floor at the lowest loss is that of the
    simulated losses in each refit, and absent from the prior of the simulations. Ranked are coefficients, populations,
    errors, losses of the mean law at four rows of the design, and the joint log likelihood of the simulated losses,
    which shows errors that no single quantity shows (Modrák et al. 2023, arXiv:2211.02383). The likelihood is exact for
    the simulated errors, unless these are robust *and* correlated.

    Parameters
    ----------
    model : Model
        Law, design, pooling, priors, errors.
    n : int
        Number of simulations. With 100 the coverage of a quantity has a standard deviation of 3 percentage points.
    draws, chains, seed : int
        Of each refit, see `bayeslaw.Model.fit`. Each simulation depends on the seed and its number only, so that a
        larger n uses the finished ones of a folder.
    prob : float
        Probability of the equal-tailed intervals.
    fitted_noise : Noise, optional
        Errors of the refits, if they differ from those simulated, to measure the effect of wrong ones.
    also : callable, optional
        Takes a Fit and returns further quantities to rank, with dims chain and draw.
    folder, jobs, executor, progress
        As in `bayeslaw.evaluate`.
    **settings
        Others of `bayeslaw.Model.fit`: ``tune``, ``target_accept``.

    Returns
    -------
    Calibration

    Raises
    ------
    RangeError
        Settings cannot be used, or fewer than one prior draw in 10,000 has the required shape, as happens with many
        pooled coefficients; nothing is fitted.
    StoreError
        The folder cannot be used.
    RefitError
        A process was killed, the executor was lost, or every refit failed.
    """
    if n < 1:
        raise RangeError(f"n is {n}: give how many simulations, for example 100")
    levels(prob)  # an error here comes before any fit
    if also is not None and not hasattr(also, "__qualname__"):
        raise ArgumentError(f"also is {shown(also)}: give a function with a name, which identifies it in a folder")
    if draws * chains < RANKED_DRAWS:
        raise RangeError(f"{chains} x {draws} draws are too few for the rank of a truth: give at least {RANKED_DRAWS}")
    if settings.get("method", "nuts") != "nuts":
        raise RangeError("maximum likelihood has no posterior, and a truth has no rank without one: leave method= out")
    settings = refit_settings(jobs, executor, draws=draws, chains=chains, seed=seed, **settings)
    runs = model.runs.sorted_along(model.law.path)
    blank = replace(model, runs=with_losses(runs, np.full((len(runs), len(runs.evals)), HUGE_LOSS)))
    truths = prior_predictive(blank, draws=n, seed=seed).posterior
    names = {f"simulation {i + 1}": i for i in range(n)}
    recipe = settings | {"ranks": RANKED_DRAWS, "points": RANKED_ROWS, "fitted_noise": fitted_noise}
    recipe |= {"also": also and f"{also.__module__}.{also.__qualname__}"}
    files = {name: file_of(folder, name, blank, blank.design, prob, recipe) for name in names}
    tasks = {name: (blank, i, truths.isel(draw=[i]), prob, fitted_noise, also, settings) for name, i in names.items()}
    done, failed = finish(simulation, tasks, files, jobs=jobs, executor=executor, progress=progress)
    numbered = [(names[d["fold"]] + 1, d) for d in done]
    rows = pd.DataFrame([{"simulation": i, **row} for i, d in numbered for row in d["rows"]])
    rows["covered"] = rows["true"].between(rows["lower"], rows["upper"])
    fits = pd.DataFrame([{"simulation": i, **d["fit"]} for i, d in numbered])
    return Calibration(model, prob, rows, fits, failed)
