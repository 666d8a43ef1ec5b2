"""A fitted model: draws, predictions, decisions, checks, and a file that holds all of it."""

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.density import Density
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.law import call_with
from bayeslaw.least_squares import estimate
from bayeslaw.mixtures import WEIGHT, as_weights
from bayeslaw.model import Model
from bayeslaw.noise import Noise
from bayeslaw.quantity import CI_PROB, Quantity, Ratio
from bayeslaw.runs import Runs

if TYPE_CHECKING:
    from bayeslaw.checks import Checks

__all__ = ["UNSEEN", "Fit", "fit", "grid", "prior_predictive"]

UNSEEN = "(unseen)"
"""The label of a group that was not fitted: its coefficients are drawn from the population."""


def grid(low: float, high: float, points: int = 101) -> np.ndarray:
    """Return evenly spaced values, both ends included."""
    return np.linspace(low, high, points)


@dataclass(frozen=True, eq=False)
class Fit:
    """A model and its posterior.

    Attributes
    ----------
    model : Model
        What was fitted.
    idata : xarray.DataTree
        Groups ``posterior`` (dims chain, draw, eval and groups) and ``sample_stats``.
    settings : dict
        How it was fitted.
    seconds : float
        Wall time, compilation included.
    """

    model: Model
    idata: xr.DataTree
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = float("nan")

    @property
    def evals(self) -> list[str]:
        """Names of the validation sets."""
        return self.model.design.evals

    @property
    def noise(self) -> Noise:
        """The error model of new runs: maximum likelihood knows only its spread, so errors are independent there."""
        noise, known = self.model.noise, self.posterior
        return replace(
            noise,
            correlated=bool(noise.correlated) and "run_weight" in known,
            joint=bool(noise.joint) and "eval_correlation" in known,
        )

    @property
    def posterior(self) -> xr.Dataset:
        """Draws of every parameter."""
        return self.idata["posterior"].to_dataset()

    def summary(self, prob: float = CI_PROB) -> pd.DataFrame:
        """Return mean, sd, interval, ESS and R-hat of every parameter."""
        table: pd.DataFrame = az.summary(self.idata, ci_prob=prob, ci_kind="eti")
        return table

    def columns(self, **given: Any) -> xr.Dataset:
        """Return covariates and labels as named arrays: scalars stay scalars, a 1-d array gets a dim of its own name.

        Raises
        ------
        UnknownName, DataError
            A name the fit does not know, or one it needs and did not get.
        """
        design = self.model.design
        labels = [c for c in ("domain", *design.groups) if c in design.rows]
        known = list(dict.fromkeys([*self.model.law.columns, *labels]))
        arrays: dict[str, xr.DataArray] = {}
        for name, value in given.items():
            if name not in known:
                raise unknown_name(f"column of a fit of {self.model.law.name}", name, known)
            if value is None:
                continue
            if name == WEIGHT:
                arrays[name] = as_weights(value, design.rows["source"].values)
            elif isinstance(value, xr.DataArray):
                arrays[name] = value
            else:
                a = np.asarray(value)
                if a.ndim > 1:
                    raise DataError(
                        f"{name} has {a.ndim} dimensions: give a number, a list, or a DataArray with named dims"
                    )
                arrays[name] = xr.DataArray(a, dims=(name,) * a.ndim, coords={name: a} if a.ndim else None)
        for name in known:
            if name in arrays:
                continue
            if (value := design.feature(name, arrays)) is not None:
                arrays[name] = value
                continue
            if name in self.model.law.columns:
                raise DataError(f"{name} is missing: {self.model.law.name} needs {', '.join(self.model.law.columns)}")
            if name in design.groups:
                if len(design.groups[name]) > 1:
                    raise DataError(f"{name} is missing: say which of {', '.join(map(str, design.groups[name]))}")
                arrays[name] = xr.DataArray(design.groups[name][0])
        for name in labels:
            if name in arrays and name not in self.model.law.columns:
                known_labels = [str(x) for x in np.unique(design.rows[name].values)]
                if design.rows[name].dtype.kind not in "fiub":  # a domain called 7 is no number
                    arrays[name] = arrays[name].astype(str)
                asked = arrays[name].values
                numbers = asked.dtype.kind in "iu" and design.rows[name].dtype.kind == "f"
                for label in np.unique(asked.astype(float) if numbers else asked):
                    if str(label) not in known_labels and label != UNSEEN:
                        raise unknown_name(f"{name} (bl.UNSEEN stands for a new one)", label, known_labels)
        return xr.Dataset(arrays)

    def coefficients(self, columns: xr.Dataset, seed: int = 0) -> dict[str, xr.DataArray]:
        """Return the coefficients that apply to those columns; an unseen group's are drawn from its population."""
        posterior, result = self.posterior, {}
        for name in self.model.law.coefficients:
            c = posterior[name]
            for dim in [d for d in c.dims if d in self.model.design.groups]:
                c = self._select(name, c, str(dim), columns[dim], seed)
            result[name] = c
        return result

    def _select(self, name: str, c: xr.DataArray, dim: str, labels: xr.DataArray, seed: int) -> xr.DataArray:
        known = self.model.design.groups[dim]
        wanted, place = np.unique(labels.values, return_inverse=True)
        parts = []
        for label in wanted:
            where = (
                np.flatnonzero(np.isclose(known, float(label), rtol=1e-6))
                if known.dtype.kind in "fiu"
                else np.flatnonzero(known == label)
            )
            if len(where):
                parts.append(c.isel({dim: int(where[0])}, drop=True))
                continue
            if name not in self.model.by:
                raise RangeError(
                    f"{name} is separate by {dim} and was not fitted at {dim} {label}: pool it with "
                    f"by={{{name!r}: {dim!r}}}"
                )
            mu, sigma = self.posterior[f"{name}_mu"], self.posterior[f"{name}_sigma"]
            number = list(self.model.law.coefficients).index(name)
            z = np.random.default_rng([seed, number, crc32(str(label).encode())]).standard_normal(mu.shape)
            drawn = mu + sigma * z
            parts.append(
                xr.ufuncs.exp(drawn) if self.model.coefficient_priors[name].distribution == "LogNormal" else drawn
            )
        if labels.ndim == 0:
            return parts[0]
        index = xr.DataArray(
            place.reshape(labels.shape),
            dims=labels.dims,
            coords={k: v for k, v in labels.coords.items() if k in labels.dims},
        )
        return xr.concat(parts, dim="__label").isel(__label=index)

    def loss(self, columns: xr.Dataset, new_run: bool = False, seed: int = 0) -> xr.DataArray:
        """Return losses (nats per token), dims chain, draw, eval and those of the columns.

        ``new_run`` adds the error of a run that was not measured; cells that differ only in tokens are checkpoints of
        one new run.
        """
        law = self.model.law
        full = columns.assign_coords(eval=self.evals)
        inputs = law.inputs(full, self.model.reference)
        loss: xr.DataArray = law(*inputs.values(), **self.coefficients(columns, seed))
        order = [d for d in ("chain", "draw", "eval") if d in loss.dims]
        loss = loss.transpose(*order, ...)
        if new_run:
            path = columns[law.path] if law.path in columns and columns[law.path].ndim == 1 else None
            rng = np.random.default_rng([seed, 1])
            log_path = xr.ufuncs.log(path) if path is not None else None
            loss = loss * xr.ufuncs.exp(self.noise.sample(self.posterior, loss, log_path, rng))
        return loss.rename("loss")

    def bands(self, columns: xr.Dataset, **settings: Any) -> pd.DataFrame:
        """Summarise predicted losses row by row, in pieces that fit into memory; see `bayeslaw.bands.bands`."""
        from bayeslaw.bands import bands

        return bands(self, columns, **settings)

    def error(self, seed: int = 0) -> xr.DataArray:
        """Return one error of a new run per draw and validation set, on the log scale."""
        return self.noise.sample(
            self.posterior, xr.zeros_like(self.posterior["sigma"]), None, np.random.default_rng([seed, 2])
        )

    def predict(self, *, new_run: bool = False, seed: int = 0, **columns: Any) -> Quantity:
        """Predict losses.

        Parameters
        ----------
        new_run : bool
            False: the mean law. True: a single new run, its error included.
        **columns
            The law's columns (``N`` in parameters, ``D`` in tokens, ``domain_share`` in [0, 1]) and labels of groups:
            numbers, 1-d arrays (each a dim of its own) or DataArrays with named dims.

        Returns
        -------
        Quantity
            Losses in nats per token, dims chain, draw, eval and those of the columns.
        """
        named = self.columns(**columns)
        what = "new run" if new_run else "mean law"
        inputs = {str(k): (v.item() if v.ndim == 0 else f"{v.size} values") for k, v in named.items()}
        return Quantity("loss", self.loss(named, new_run, seed), "nats per token", what, inputs)

    def critical_ratio(self, **question: Any) -> Ratio:
        """Return the largest domain share at which a loss stays within a limit; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import critical_ratio

        return critical_ratio(self, **question)

    def best_ratio(self, **question: Any) -> Any:
        """Return the best domain share for a fixed amount of domain data; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import best_ratio

        return best_ratio(self, **question)

    def allocation(self, **question: Any) -> Any:
        """Return the best model size and tokens for a compute budget; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import allocation

        return allocation(self, **question)

    def best_mixture(self, **question: Any) -> Any:
        """Return the best shares of many sources; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import best_mixture

        return best_mixture(self, **question)

    def equivalent_compute(self, **question: Any) -> Any:
        """Return how much longer another mixture would have to train; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import equivalent_compute

        return equivalent_compute(self, **question)

    def best_duration(self, **question: Any) -> Any:
        """Return the best length of an upsampling window at the end of training; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import best_duration

        return best_duration(self, **question)

    def curve(self, schedule: Any, **question: Any) -> Quantity:
        """Return the loss along a learning-rate schedule; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import curve

        return curve(self, schedule, **question)

    def best_schedule(self, candidates: Any, **question: Any) -> Any:
        """Return the losses at the end of schedules, and how probably each is best; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import best_schedule

        return best_schedule(self, candidates, **question)

    def turning_length(self, schedule: Any, **question: Any) -> Any:
        """Return the steps after which a loss that rose is back at its start; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import turning_length

        return turning_length(self, schedule, **question)

    def critical_point(self, **question: Any) -> Any:
        """Return the pre-training after which a loss that rises does not come back; see `bayeslaw.decisions`."""
        from bayeslaw.decisions import critical_point

        return critical_point(self, **question)

    def new_domain(self, early_runs: Runs, **settings: Any) -> "Fit":
        """Return the posterior with one more domain, without a refit; see `bayeslaw.new_domain`."""
        from bayeslaw.new_domain import new_domain

        return new_domain(self, early_runs, **settings)

    @cached_property
    def _checks(self) -> "Checks":
        from bayeslaw.checks import run_checks

        return run_checks(self)

    def checks(self, **planned: Any) -> "Checks":
        """Return what could be wrong, one sentence and a remedy each.

        With a prediction that is planned (``N=7e9, D=1e11``), also whether it lies too far beyond the runs.
        """
        from bayeslaw.checks import extrapolation

        if not planned:
            return self._checks
        return replace(self._checks, results=(*self._checks, extrapolation(self, **planned)))

    def report(self, path: str | Path, **settings: Any) -> Path:
        """Write a report, Markdown with its figures beside it or one HTML file; see `bayeslaw.report`."""
        from bayeslaw.report import report

        return report(self, path, **settings)

    def save(self, path: str | Path) -> Path:
        """Write draws, runs and recipe to one netCDF file; see `bayeslaw.load`."""
        from bayeslaw.store import save

        return save(self, path)

    def provenance(self) -> dict[str, str]:
        """Return what is needed to run it again: versions, data, settings."""
        packages = ("bayeslaw", "pymc", "nutpie", "arviz", "numpy", "scipy", "xarray")
        versions = {}
        for package in packages:
            try:
                versions[package] = version(package)
            except ImportError:
                import bayeslaw

                versions[package] = bayeslaw.__version__ if package == "bayeslaw" else "unknown"
        return {
            "law": f"{self.model.law.name} ({self.model.law.source})",
            "data": f"{len(self.model.runs)} rows, SHA-256 {self.model.runs.hash}",
            "reference": ", ".join(f"{k} {v:g}" for k, v in self.model.reference.items()),
            "pooling": ", ".join(f"{k} by {v}" for k, v in self.model.by.items()) or "none",
            "own priors": ", ".join(f"{k} = {p}" for k, p in self.model.priors.items()) or "none",
            "errors": self.model.describe_noise(),
            "shape prior, range": f"{self.model.monotone or 'none'}, {self.model.outside}",
            "settings": ", ".join(f"{k} {v}" for k, v in self.settings.items()),
            "seconds": f"{self.seconds:.1f}",
            "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
            "python": platform.python_version(),
        }

    def __repr__(self) -> str:
        sizes = self.idata["posterior"].sizes
        draws = (
            f"{sizes['chain']} x {sizes['draw']} draws"
            if self.settings.get("method") != "mle"
            else "maximum likelihood"
        )
        return f"Fit of {self.model.law.name}: {draws}, {self.seconds:.0f} s\n{self.model!r}\n{self.checks()!r}"

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>" + self.summary().to_html(border=0)


def fit(
    model: Model,
    *,
    draws: int = 1000,
    chains: int = 4,
    seed: int = 0,
    tune: int = 800,
    target_accept: float = 0.95,
    cores: int | None = None,
    method: Literal["nuts", "mle"] = "nuts",
    progress: bool = True,
) -> Fit:
    """Fit a model.

    Parameters
    ----------
    model : Model
        What to fit.
    draws, chains, tune : int
        Draws kept per chain, number of chains, and draws of warm-up.
    seed : int
        Same seed, versions and machine: same draws.
    target_accept : float
        Acceptance that the step size is adapted to.
    cores : int, optional
        Processes; all cores by default.
    method : {"nuts", "mle"}
        Posterior draws; or the papers' fit, one draw: multi-start least squares with the Huber loss on log loss.
    progress : bool
        Show a progress bar.
    """
    if method not in ("nuts", "mle"):
        raise unknown_name("method", method, ("nuts", "mle"))
    if min(draws, chains, tune) < 1:
        raise RangeError("draws, chains and tune are at least 1")
    start = time.perf_counter()
    if method == "mle":
        best = estimate(model, regularised=False, starts=12, seed=seed)
        posterior = best.coefficients.assign(sigma=best.sigma).expand_dims({"chain": [0], "draw": [0]})
        idata = xr.DataTree.from_dict({"posterior": posterior})
        return Fit(model, idata, {"method": "mle", "seed": seed}, time.perf_counter() - start)
    from bayeslaw.sampling import sample

    idata = sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        cores=cores or cpu_count() or 1,
        progress=progress,
    )
    posterior = idata["posterior"].to_dataset()
    idata["posterior"] = xr.DataTree(with_paper_units(model, posterior))
    settings = {
        "method": "nuts",
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "seed": seed,
        "target_accept": target_accept,
    }
    return Fit(model, idata, settings, time.perf_counter() - start)


def with_paper_units(model: Model, posterior: xr.Dataset) -> xr.Dataset:
    """Return draws with the coefficients as the law's paper writes them."""
    if model.law.paper_units is None:
        return posterior
    given = call_with(model.law.paper_units, {"reference": model.reference}, posterior)
    return posterior.assign({f"{k}_paper": v for k, v in given.items()})


def prior_predictive(model: Model, *, draws: int = 500, seed: int = 0) -> Fit:
    """Draw from the prior, shape prior included, as a Fit: its predictions are what the priors say before data.

    Raises
    ------
    RangeError
        Fewer than one in 10,000 independent draws has the shape asked for.
    """
    rng = np.random.default_rng(seed)
    density = Density(model)
    kept: list[np.ndarray] = []
    for _ in range(200):
        v = density.parameters.draw(2000, rng)
        kept += list(v[rng.random(len(v)) < density.shape_weight(v)])
        if len(kept) >= draws:
            break
    if len(kept) < draws:
        raise RangeError(
            f"only {len(kept)} of 400,000 prior draws have the shape that monotone={model.monotone!r} asks for: look "
            "at the unpooled model, change the priors or set monotone=None"
        )
    from bayeslaw.sampling import named

    index = {"chain": np.arange(1), "draw": np.arange(draws)}
    posterior = named(density, np.array(kept[:draws])[None], index)
    return Fit(
        model,
        xr.DataTree.from_dict({"posterior": with_paper_units(model, posterior)}),
        {"method": "prior", "seed": seed},
        0.0,
    )
