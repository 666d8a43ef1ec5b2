"""Simulation-based calibration: whether a model's posteriors hold what they say, on data that it made itself.

Coefficients drawn from the prior, losses simulated from them at the model's own design, a posterior from those losses:
over many simulations the rank of the truth among independent posterior draws is uniform, whatever the quantity (Talts
et al. 2018, arXiv:1804.06788). Where it is not, law, density, error model or sampler disagree with one another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit

from bayeslaw.comparison import at_rows, log_likelihood, part
from bayeslaw.design import Design
from bayeslaw.errors import RangeError
from bayeslaw.evaluate import convergence
from bayeslaw.folds import file_of, finish, labels, settled
from bayeslaw.model import Model
from bayeslaw.quantity import CI_PROB
from bayeslaw.runs import Runs
from bayeslaw.words import place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayeslaw.fit import Fit

__all__ = ["Calibration", "calibrate"]

RANKS = 99
"""Posterior draws that a truth is ranked among; the others are thinned away, since neighbours are not independent."""

POINTS = 4
"""Rows of the design at which predicted losses are ranked, per validation set."""

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
        loss or likelihood), ``true`` value, ``rank`` of the truth among `RANKS` thinned draws, ``lower`` and ``upper``
        end of the equal-tailed interval, ``covered``.
    fits : pandas.DataFrame
        One row per refit: ``simulation``, largest ``r_hat``, ``divergences``, smallest bulk ``ess`` of a quantity,
        ``seconds``. None is left out of the ranks, however it went.
    """

    model: Model
    prob: float
    rows: pd.DataFrame
    fits: pd.DataFrame

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
        """Plot how far the ranks are from uniform: share of ranks below, minus what it would be, a line per quantity.

        The grey band holds the whole line of a calibrated quantity with probability 89 %; of many lines some leave it.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, optional
            One for each kind of quantity, in the order of `rows`; new ones by default.
        """
        kinds = self.rows.groupby("kind", sort=False)["quantity"].unique()
        if axes is None:
            import matplotlib.pyplot as plt

            size = (2.6 * len(kinds), 2.6)
            axes = plt.subplots(1, len(kinds), figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
        for ax, (kind, quantities) in zip(axes, kinds.items(), strict=True):
            for quantity in quantities:
                x, share, low, high = ecdf_pit(self.pit.sel(quantity=quantity).values, CI_PROB, n_simulations=1000)
                ax.plot(x, share - x, lw=0.8)
            ax.fill_between(x, low - x, high - x, color="0.85", zorder=0)
            ax.set(title=f"{kind} ({len(quantities)})", xlabel="rank / number of draws")
            ax.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("share below, minus uniform")
        return axes

    def _about(self) -> list[str]:
        table, n = self.summary(), len(self.fits)
        low, smallest = int((table["p_uniform"] < 0.05).sum()), float(table["p_uniform"].min())
        pooled = float(self.rows["covered"].mean())
        return [
            f"Calibration of {self.model.law.name}: {n} simulation{'s' * (n > 1)}, {len(table)} quantities",
            f"{self.prob:.0%} intervals hold the truth in {pooled:.1%} of all cases, by quantity in "
            f"{table['coverage'].min():.1%} to {table['coverage'].max():.1%} (chance alone: standard deviation "
            f"{table['mc_error'].iloc[0]:.1%})",
            f"ranks: p below 0.05 for {low} of {len(table)} quantities, smallest {smallest:.2g}, times their number "
            f"{min(1.0, smallest * len(table)):.2g}",
            f"refits: {self.diverged} with divergences, {self.unmixed} with R-hat above {RHAT}, {self.dependent} with "
            f"fewer than {RANKS} effective draws of some quantity; all count",
        ]

    def __repr__(self) -> str:
        return "\n".join(self._about())

    def _repr_html_(self) -> str:
        first, *others = self._about()
        table = self.summary().to_html(border=0, float_format="{:.3g}".format)
        return f"<p>{first}</p>{table}<p>{'; '.join(others)}</p>"


def calibrate(
    model: Model,
    n: int = 100,
    *,
    draws: int = 300,
    chains: int = 2,
    seed: int = 0,
    prob: float = CI_PROB,
    folder: str | Path | None = None,
    jobs: int = 1,
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
        Of each refit, see `bayeslaw.fit.fit`; the seed is also that of the simulations, and each simulation depends on
        seed and number only, so that a larger n adds to what a folder holds.
    prob : float
        Probability of the equal-tailed intervals.
    folder : path, optional
        Where every finished refit is kept, a small JSON file each; those already there are not fitted again.
    jobs : int
        Refits at a time, in processes; -1: one per core. Inside ``joblib.parallel_config(backend="dask")`` they run on
        a Dask cluster.
    **settings
        Others of `bayeslaw.fit.fit`: ``tune``, ``target_accept``.

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
    """
    if n < 1:
        raise RangeError(f"n is {n}: give how many simulations, for example 100")
    if not 0 < prob < 1:
        raise RangeError(f"prob is {prob}: give a probability between 0 and 1, for example {CI_PROB}")
    if draws * chains < RANKS:
        raise RangeError(f"{chains} x {draws} draws are too few to rank a truth among: ask for {RANKS} at least")
    if settings.get("method", "nuts") != "nuts":
        raise RangeError("maximum likelihood has no posterior to rank the truth in: leave method= out")
    settings = settled(jobs, draws=draws, chains=chains, seed=seed, **settings)
    path = model.law.path
    by_run = ["run", path] if path in model.runs.table else ["run"]
    table = model.runs.table.sort_values(by_run, kind="stable").reset_index(drop=True)  # in the order of the design
    blank = replace(model, runs=_with_losses(model.runs, table, np.full((len(table), len(model.runs.evals)), VAST)))
    truths = blank.prior_predictive(draws=n, seed=seed).posterior
    names = {f"simulation {i + 1}": i for i in range(n)}
    recipe = settings | {"ranks": RANKS, "points": POINTS}
    files = {name: file_of(folder, name, blank, blank.design, prob, recipe) for name in names}
    tasks = {name: (blank, i, truths.isel(draw=[i]), prob, settings) for name, i in names.items()}
    done = finish(_simulation, tasks, files, jobs)
    rows = pd.concat([pd.DataFrame(d["rows"]).assign(simulation=i + 1) for i, d in enumerate(done)], ignore_index=True)
    rows["covered"] = (rows["lower"] <= rows["true"]) & (rows["true"] <= rows["upper"])
    rows = rows[["simulation", *rows.columns.drop("simulation")]]
    return Calibration(model, prob, rows, pd.DataFrame([{"simulation": i + 1, **d["fit"]} for i, d in enumerate(done)]))


def _with_losses(runs: Runs, table: pd.DataFrame, losses: np.ndarray) -> Runs:
    """Return runs with other losses (row, eval)."""
    return replace(runs, table=table.assign(**dict(zip(runs.loss_columns, losses.T, strict=True))))


def _simulation(
    label: str, blank: Model, number: int, truth: xr.Dataset, prob: float, settings: dict[str, Any]
) -> dict[str, Any]:
    """Simulate, refit and rank; plain numbers and texts, ready for a file."""
    from bayeslaw.fit import Fit

    true = Fit(blank, xr.DataTree.from_dict({"posterior": truth}))
    losses = _simulated(true, blank.design, np.random.default_rng([settings["seed"], number]))
    model = replace(blank, runs=_with_losses(blank.runs, blank.runs.table, losses))
    own_seed = int(np.random.SeedSequence([settings["seed"], number]).generate_state(1)[0])
    fit = model.fit(**{**settings, "seed": own_seed})
    found, expected = _quantities(fit), _quantities(replace(true, model=model))
    rows = []
    for (name, kind, of_truth), (_, _, sampled) in zip(_flat(expected, model), _flat(found, model), strict=True):
        value = float(of_truth[0])
        thinned = sampled[np.linspace(0, len(sampled) - 1, RANKS).round().astype(int)]
        lower, upper = np.quantile(sampled, [(1 - prob) / 2, (1 + prob) / 2])
        rank = int((thinned < value).sum())
        rows.append({"quantity": name, "kind": kind, "true": value, "rank": rank, "lower": lower, "upper": upper})
    ess = min(float(v.min()) for v in az.ess(found).data_vars.values())
    return {"fold": label, "rows": rows, "fit": {**convergence(fit), "ess": ess, "seconds": fit.seconds}}


def _simulated(true: "Fit", design: Design, rng: np.random.Generator) -> np.ndarray:
    """Return losses (row, eval) of a truth's own new runs, measured where the design's runs are."""
    losses = at_rows(true, design)
    run, path = design.rows["run"].values, true.model.law.path
    errors = []
    for label in dict.fromkeys(run):
        of_run = {"row": np.flatnonzero(run == label)}
        log_path = xr.ufuncs.log(design.rows[path].isel(of_run)) if path in design.rows else None
        errors.append(true.noise.sample(true.posterior, losses.isel(of_run), log_path, rng))
    new = losses * xr.ufuncs.exp(xr.concat(errors, "row"))
    result: np.ndarray = new.isel(chain=0, draw=0).transpose("row", "eval").values
    return result


def _quantities(fit: "Fit") -> xr.Dataset:
    """Return what is ranked, dims chain, draw and those of each quantity."""
    design = fit.model.design
    sampled = fit.posterior[[n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]]
    losses = at_rows(fit, _few(design))
    likelihood = log_likelihood(fit).sum("run")
    return sampled.assign(loss=losses.drop_vars("row", errors="ignore"), log_likelihood=likelihood)


def _few(design: Design) -> Design:
    """Return the rows at which losses are ranked."""
    number = np.arange(design.rows.sizes["row"])
    return part(design, np.isin(number, np.linspace(0, number[-1], POINTS).round()))


def _flat(quantities: xr.Dataset, model: Model) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, kind and draws of every number among the quantities."""
    few = labels(_few(model.design))
    few["run"] = np.array([str(r).removeprefix("run ") for r in few["run"]])
    where = [place(dict(zip(few, row, strict=True))) for row in zip(*few.values(), strict=True)]
    errors = model.noise.priors(len(model.design.evals))
    for name, values in quantities.data_vars.items():
        kind = (
            "coefficient"
            if name in model.law.coefficients
            else "error"
            if name in errors
            else {"loss": "loss", "log_likelihood": "likelihood"}.get(str(name), "population")
        )
        dims = [d for d in values.dims if d not in ("chain", "draw")]
        stacked = values.transpose("chain", "draw", *dims)
        for at in np.ndindex(*(values.sizes[d] for d in dims)):
            label = [where[i] if d == "row" else str(values[d].values[i]) for d, i in zip(dims, at, strict=True)]
            yield f"{name}[{', '.join(label)}]" if label else str(name), kind, stacked.values[..., *at].ravel()
