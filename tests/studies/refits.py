"""Least squares of a law by hand, fast enough to refit it to hundreds of tables drawn with replacement."""

from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from bayeslaw.sampler.least_squares import HUBER_DELTA
from bayeslaw.spec.design import Design
from bayeslaw.workflow import Fit

__all__ = ["LeastSquares"]

FAR = 30.0
"""Beyond it a coefficient on the log scale is held: far outside any law, and finite."""

TOLERANCE, MOST_STEPS = 1e-6, 60
"""Where a refit ends: at a relative change so small, or after so many steps; it starts from the optimum of all runs."""


class LeastSquares:
    """The Huber loss of the papers, on log losses, over coefficients in one vector, positive ones on the log scale.

    Parameters
    ----------
    fit : Fit
        By maximum likelihood, to all runs: refits start from it.
    """

    def __init__(self, fit: Fit) -> None:
        self.model, self.design = fit.model, fit.model.design
        best = fit.posterior.isel(chain=0, draw=0, drop=True)
        self.best = {k: _plain(best[k]) for k in self.model.law.coefficients}
        self.positive = {k: p.distribution != "Normal" for k, p in self.model.coefficient_priors.items()}

    @cached_property
    def start(self) -> np.ndarray:
        """The vector of the coefficients of the fit."""
        return np.concatenate([(np.log(v) if self.positive[k] else v).ravel() for k, v in self.best.items()])

    def coefficients(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays of a vector."""
        parts = np.split(theta, np.cumsum([v.size for v in self.best.values()])[:-1])
        return {
            k: (np.exp(np.clip(part, -FAR, FAR)) if self.positive[k] else part).reshape(v.shape)
            for (k, v), part in zip(self.best.items(), parts, strict=True)
        }

    def inputs(self, rows: Design) -> list[np.ndarray]:
        """Return what the law takes at the rows of a design."""
        given = self.model.law.inputs(self.design.with_evals(rows.rows), self.model.reference)
        return [_plain(x) for x in given.values()]

    def log_losses(self, theta: np.ndarray, inputs: list[np.ndarray], rows: Design) -> np.ndarray:
        """Return the log law of every measurement of a design."""
        with np.errstate(all="ignore"):
            loss = np.log(self.model.law.function(*inputs, **self.coefficients(theta)))
        every = np.broadcast_to(loss, (len(rows.evals), rows.rows.sizes["row"]))
        return np.nan_to_num(every[rows.cells["eval"], rows.cells["row"]], nan=-FAR, posinf=FAR, neginf=-FAR)

    @cached_property
    def _own(self) -> list[np.ndarray]:
        return self.inputs(self.design)

    def refit(self, cells: np.ndarray) -> np.ndarray:
        """Return the vector of the best fit to some measurements, which may be named more than once."""

        def missed(theta: np.ndarray) -> np.ndarray:
            errors: np.ndarray = self.design.log_loss - self.log_losses(theta, self._own, self.design)
            return errors[cells]

        end: Any = {"ftol": TOLERANCE, "xtol": TOLERANCE, "max_nfev": MOST_STEPS}
        found = least_squares(missed, self.start, loss="huber", f_scale=HUBER_DELTA, **end)
        return np.asarray(found.x)

    def refits(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return vectors (refit, coefficient) fitted to as many runs, drawn with replacement."""
        run = self.design.rows["run"].values[self.design.cells["row"]]
        of_run = [np.flatnonzero(run == label) for label in np.unique(run)]
        drawn = rng.integers(len(of_run), size=(number, len(of_run)))
        return np.array([self.refit(np.concatenate([of_run[k] for k in runs])) for runs in drawn])

    def predict(self, refits: np.ndarray, rows: Design) -> np.ndarray:
        """Return log losses (measurement, refit) at the rows of a design."""
        inputs = self.inputs(rows)
        return np.array([self.log_losses(theta, inputs, rows) for theta in refits]).T


def _plain(values: xr.DataArray) -> np.ndarray:
    """Return an array of dims: those of the law's own, validation set, row."""
    own = [d for d in values.dims if d not in ("eval", "row")]
    wanted = [*own, "eval", "row"]
    values = values.expand_dims([d for d in wanted if d not in values.dims])
    return np.asarray(values.transpose(*wanted).values)
