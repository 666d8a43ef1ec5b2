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

STEP = 1e-7
"""Of differences, from which slopes are taken."""

TOLERANCE, MOST_STEPS = 1e-8, 100
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

    def coefficients(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays of vectors (vector, entry), with a last dim of vectors."""
        parts = np.split(vectors.T, np.cumsum([v.size for v in self.best.values()])[:-1])
        return {
            k: (np.exp(np.clip(part, -FAR, FAR)) if self.positive[k] else part).reshape(*v.shape[:-1], -1)
            for (k, v), part in zip(self.best.items(), parts, strict=True)
        }

    def inputs(self, rows: Design) -> list[np.ndarray]:
        """Return what the law takes at the rows of a design."""
        given = self.model.law.inputs(self.design.with_evals(rows.rows), self.model.reference)
        return [_plain(x) for x in given.values()]

    @cached_property
    def own_inputs(self) -> list[np.ndarray]:
        """What the law takes at the rows of the fit."""
        return self.inputs(self.design)

    def predict(self, vectors: np.ndarray, rows: Design) -> np.ndarray:
        """Return log losses (measurement, vector) at the rows of a design."""
        inputs = self.own_inputs if rows is self.design else self.inputs(rows)
        with np.errstate(all="ignore"):
            loss = np.log(self.model.law.function(*inputs, **self.coefficients(vectors)))
        every = np.broadcast_to(loss, (len(rows.evals), rows.rows.sizes["row"], len(vectors)))
        return np.nan_to_num(every[rows.cells["eval"], rows.cells["row"]], nan=-FAR, posinf=FAR, neginf=-FAR)

    def refit(self, cells: np.ndarray) -> np.ndarray:
        """Return the vector of the best fit to some measurements, which may be named more than once."""
        steps = STEP * np.eye(len(self.start))

        def missed(vector: np.ndarray) -> np.ndarray:
            errors: np.ndarray = self.design.log_loss - self.predict(vector[None], self.design)[:, 0]
            return errors[cells]

        def slopes(vector: np.ndarray) -> np.ndarray:
            near = self.predict(np.vstack([vector, vector + steps]), self.design)
            found: np.ndarray = (near[:, :1] - near[:, 1:]) / STEP
            return found[cells]

        end: Any = {"ftol": TOLERANCE, "xtol": TOLERANCE, "max_nfev": MOST_STEPS}
        found = least_squares(missed, self.start, jac=slopes, loss="huber", f_scale=HUBER_DELTA, **end)
        return np.asarray(found.x)

    def refits(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return vectors (refit, entry) fitted to as many runs, drawn with replacement."""
        run = self.design.rows["run"].values[self.design.cells["row"]]
        of_run = [np.flatnonzero(run == label) for label in np.unique(run)]
        drawn = rng.integers(len(of_run), size=(number, len(of_run)))
        return np.array([self.refit(np.concatenate([of_run[k] for k in runs])) for runs in drawn])


def _plain(values: xr.DataArray) -> np.ndarray:
    """Return an array of dims: those of the law's own, validation set, row, and one for vectors."""
    own = [d for d in values.dims if d not in ("eval", "row")]
    wanted = [*own, "eval", "row"]
    values = values.expand_dims([d for d in wanted if d not in values.dims])
    return np.asarray(values.transpose(*wanted).values)[..., None]
