"""A fitted model: draws, predictions, decisions, checks, and a file that holds all of it."""

import html
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import decisions, prediction
from bayeslaw.arguments import checked
from bayeslaw.bands import bands
from bayeslaw.model import Model
from bayeslaw.new_domain import new_domain
from bayeslaw.noise import Noise
from bayeslaw.quantity import CI_PROB, Quantity

if TYPE_CHECKING:
    from bayeslaw.checks import Checks

__all__ = ["Fit", "grid"]


@checked
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
            batch=bool(noise.batch) and "batch_effect" in known,
            size_exponent=noise.size_exponent if "size_exponent" in known else None,
        )

    @property
    def posterior(self) -> xr.Dataset:
        """Draws of every parameter."""
        return self.idata["posterior"].to_dataset()

    @checked
    def summary(self, prob: float = CI_PROB) -> pd.DataFrame:
        """Return mean, sd, interval, ESS and R-hat of every parameter."""
        table: pd.DataFrame = az.summary(self.idata, ci_prob=prob, ci_kind="eti")
        return table

    columns = prediction.columns
    coefficients = prediction.coefficients
    loss = prediction.loss
    bands = bands

    def error(self, seed: int = 0, columns: xr.Dataset | None = None) -> xr.DataArray:
        """Return one error of a new run per draw and validation set, on the log scale, of the sizes of the columns."""
        at = xr.Dataset() if columns is None else columns
        rng = np.random.default_rng([seed, 2])
        return prediction.errors(self, xr.zeros_like(self.posterior["sigma"]), at, rng)

    @checked
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

    critical_ratio = checked(decisions.critical_ratio)
    best_ratio = checked(decisions.best_ratio)
    allocation = checked(decisions.allocation)
    best_mixture = checked(decisions.best_mixture)
    equivalent_compute = checked(decisions.equivalent_compute)
    best_duration = checked(decisions.best_duration)
    curve = checked(decisions.curve)
    best_schedule = checked(decisions.best_schedule)
    turning_length = checked(decisions.turning_length)
    critical_point = checked(decisions.critical_point)
    new_domain = checked(new_domain)

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

    @checked
    def report(self, path: str | Path, **settings: Any) -> Path:
        """Write a report, Markdown with its figures beside it or one HTML file; see `bayeslaw.report`."""
        from bayeslaw.report import report

        return report(self, path, **settings)

    @checked
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

    def _title(self) -> str:
        sizes = self.idata["posterior"].sizes
        made = f"{sizes['chain']} x {sizes['draw']} draws"
        match self.settings.get("method"):
            case "mle":
                made = "maximum likelihood"
            case "prior":
                made += " of the prior"
            case "new domain":
                made += f", the domain {self.settings['domain']} added without a refit"
        return f"Fit of {self.model.law.name}: {made}, {self.seconds:.0f} s"

    def __repr__(self) -> str:
        lines = [self._title(), repr(self.model)]
        return "\n".join(lines if self.settings.get("method") == "prior" else [*lines, repr(self.checks())])

    def _repr_html_(self) -> str:
        checks = "" if self.settings.get("method") == "prior" else self.checks()._repr_html_()
        about = f"<p><b>{html.escape(self._title())}</b></p>{self.model._repr_html_()}"
        return f"{about}{checks}{self.summary().to_html(border=0)}"
