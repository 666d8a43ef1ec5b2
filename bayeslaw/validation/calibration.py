"""Simulation-based calibration: whether a model's posteriors hold what they say, on data that it made itself.

Coefficients drawn from the prior, losses simulated from them at the model's own design, a posterior from those losses:
over many simulations the rank of the truth among independent posterior draws is uniform, whatever the quantity (Talts
et al. 2018, arXiv:1804.06788). Where it is not, law, density, error model or sampler disagree with one another.
"""

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
from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.base.words import counted
from bayeslaw.errors import RangeError
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.posterior.quantity import drawn
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.validation.refits import failure_note, file_of, finish, refit_settings
from bayeslaw.validation.simulation import POINTS, RANKS, simulation, with_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["Calibration", "calibrate"]

RHAT = 1.05
VAST = 1e6
"""A loss above any floor, in nats."""


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Where the truth lay in posteriors of simulated losses.

    Attributes
    ----------
    model : Model
        What was calibrated.
    prob : float
        Probability of the intervals.
    rows : pandas.DataFrame
        One row per simulation and quantity: ``simulation``, ``quantity``, ``kind`` (coefficient, population, error,
        loss, likelihood or decision), ``true`` value, ``rank`` of the truth among `RANKS` thinned draws, ``lower`` and
        ``upper`` end of the equal-tailed interval, ``covered``.
    fits : pandas.DataFrame
        One row per refit: ``simulation``, largest ``r_hat``, ``divergences``, smallest bulk ``ess`` of a quantity,
        ``seconds``. None is left out of the ranks, however it went.
    failed : pandas.DataFrame
        One row per refit that came to no posterior: ``fold`` (``simulation 3``), ``error`` (its type) and ``reason``.
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
        return xr.DataArray((wide.to_numpy() + within) / (RANKS + 1), coords=coords, dims=list(coords), name="pit")

    def summary(self) -> pd.DataFrame:
        """Return how each quantity fared.

        Columns: ``kind``; ``n`` simulations; ``coverage`` of the intervals and ``mc_error``, the standard deviation
        that chance alone gives it where the intervals are right; ``p_uniform``, the p-value of a test that the ranks
        are uniform (ArviZ's ``uniformity_test``).
        """
        by = self.rows.groupby("quantity", sort=False)
        table = by.agg(kind=("kind", "first"), n=("covered", "size"), coverage=("covered", "mean"))
        table["mc_error"] = np.sqrt(self.prob * (1 - self.prob) / table["n"])
        table["p_uniform"] = self.pit.azstats.uniformity_test(dim="simulation")[0].values
        return table

    @property
    def diverged(self) -> int:
        """How many refits have divergences."""
        return int((self.fits["divergences"] > 0).sum())

    @property
    def unmixed(self) -> int:
        """How many refits have an R-hat above 1.05."""
        return int((self.fits["r_hat"] > RHAT).sum())

    @property
    def dependent(self) -> int:
        """How many refits have fewer effective draws of some quantity than its truth is ranked among."""
        return int((self.fits["ess"] < RANKS).sum())

    def plot(self, axes: "Sequence[Axes] | None" = None) -> "Sequence[Axes]":
        """Draw it; see `bayeslaw.plots.plot_calibration`."""
        axes = drawn(self, axes=axes)
        return axes

    def _about(self) -> list[str]:
        table, n = self.summary(), len(self.fits)
        low, smallest = int((table["p_uniform"] < 0.05).sum()), float(table["p_uniform"].min())
        pooled = float(self.rows["covered"].mean())
        return [
            f"Calibration of {self.model.law.name}: {counted(n, 'simulation')}, {len(table)} quantities",
            f"{self.prob:.0%} intervals hold the truth in {pooled:.1%} of all cases, by quantity in "
            f"{table['coverage'].min():.1%} to {table['coverage'].max():.1%} (chance alone: standard deviation "
            f"{table['mc_error'].iloc[0]:.1%})",
            f"ranks: p below 0.05 for {low} of {len(table)} quantities, smallest {smallest:.2g}, times their number "
            f"{min(1.0, smallest * len(table)):.2g}",
            f"refits: {self.diverged} with divergences, {self.unmixed} with R-hat above {RHAT}, {self.dependent} with "
            f"fewer than {RANKS} effective draws of some quantity; all count",
            *failure_note(self.failed, n),
        ]

    def __repr__(self) -> str:
        return "\n".join(self._about())

    def _repr_html_(self) -> str:
        first, *others = self._about()
        table = self.summary().to_html(border=0, float_format="{:.3g}".format)
        return f"<p>{first}</p>{table}<p>{'; '.join(others)}</p>"


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

    The rows of the model's table say where runs are measured; their losses are not used. A floor that a model takes
    from its lowest loss is that of the simulated losses in each refit, and absent from the prior that they come from.
    Ranked are coefficients, populations, errors, losses of the mean law at four rows of the design, and the joint
    log likelihood of the simulated losses, which sees errors that no single quantity shows (Modrák et al. 2023,
    arXiv:2211.02383). With robust *and* correlated errors the likelihood is an approximation to the errors simulated;
    with other errors it is exact.

    Parameters
    ----------
    model : Model
        Law, design, pooling, priors, errors.
    n : int
        Number of simulations. With 100 the coverage of a quantity is known to 3 percentage points.
    draws, chains, seed : int
        Of each refit, see `bayeslaw.Model.fit`; the seed is also that of the simulations, and each simulation
        depends on seed and number only, so that a larger n adds to what a folder holds.
    prob : float
        Probability of the equal-tailed intervals.
    fitted_noise : Noise, optional
        Errors that the refits assume instead of those simulated: what it costs to be wrong about them.
    also : callable, optional
        Takes a Fit and returns further numbers to rank, dims chain and draw: an answer, for example.
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
        Before anything is fitted: settings that cannot be used, or a prior whose shape too few draws have (fewer than
        one in 10,000, as happens with many pooled coefficients).
    StoreError
        The folder cannot be used.
    RefitError
        A process was killed, the executor was lost, or every refit failed.
    """
    if n < 1:
        raise RangeError(f"n is {n}: give how many simulations, for example 100")
    levels(prob)  # refused before anything is fitted
    if draws * chains < RANKS:
        raise RangeError(f"{chains} x {draws} draws are too few to rank a truth among: ask for {RANKS} at least")
    if settings.get("method", "nuts") != "nuts":
        raise RangeError("maximum likelihood has no posterior to rank the truth in: leave method= out")
    settings = refit_settings(jobs, executor, draws=draws, chains=chains, seed=seed, **settings)
    runs = model.runs.sorted_along(model.law.path)
    blank = replace(model, runs=with_losses(runs, np.full((len(runs), len(runs.evals)), VAST)))
    truths = prior_predictive(blank, draws=n, seed=seed).posterior
    names = {f"simulation {i + 1}": i for i in range(n)}
    recipe = settings | {"ranks": RANKS, "points": POINTS, "fitted_noise": fitted_noise}
    recipe |= {"also": also and f"{also.__module__}.{also.__qualname__}"}
    files = {name: file_of(folder, name, blank, blank.design, prob, recipe) for name in names}
    tasks = {name: (blank, i, truths.isel(draw=[i]), prob, fitted_noise, also, settings) for name, i in names.items()}
    done, failed = finish(simulation, tasks, files, jobs=jobs, executor=executor, progress=progress)
    numbers = [names[d["fold"]] + 1 for d in done]
    rows = pd.concat([pd.DataFrame(d["rows"]).assign(simulation=i) for i, d in zip(numbers, done, strict=True)])
    rows["covered"] = (rows["lower"] <= rows["true"]) & (rows["true"] <= rows["upper"])
    rows = rows[["simulation", *rows.columns.drop("simulation")]].reset_index(drop=True)
    fits = pd.DataFrame([{"simulation": i, **d["fit"]} for i, d in zip(numbers, done, strict=True)])
    return Calibration(model, prob, rows, fits, failed)
