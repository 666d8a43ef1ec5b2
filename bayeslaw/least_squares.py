"""Least squares of a law on log losses: where sampling starts, and the maximum-likelihood fit of the papers."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from bayeslaw.density import Density
from bayeslaw.model import Model

__all__ = ["HUBER_DELTA", "Estimate", "estimate"]

HUBER_DELTA = 1e-3
"""Where the Huber loss on log loss turns linear; the value of arXiv:2203.15556 and arXiv:2406.01375."""


@dataclass(frozen=True)
class Estimate:
    """Coefficients at the optimum.

    Attributes
    ----------
    coefficients : xarray.Dataset
        Coefficients, with their dims.
    sigma : xarray.DataArray
        Root mean square of the residuals on the log scale, per validation set.
    """

    coefficients: xr.Dataset
    sigma: xr.DataArray


@threadpool_limits.wrap(limits=1, user_api="blas")  # threads cost more than these small matrices
def estimate(model: Model, *, regularised: bool, starts: int = 8, seed: int = 0) -> Estimate:
    """Fit the law's coefficients by multi-start least squares on log loss.

    Parameters
    ----------
    model : Model
        Coefficients that vary over a dimension get one value per label.
    regularised : bool
        Add the priors as residuals (groups around the population's prior): a first guess of the posterior. Otherwise
        the Huber loss of the papers, and no prior.
    starts, seed : int
        Number of starting points, drawn from the priors.
    """
    problem = _Problem.of(Density(model))
    rng = np.random.default_rng(seed)
    guesses = [problem.center, *(problem.draw(rng) for _ in range(starts - 1))]
    theta, sigma = problem.least(guesses, np.full(problem.evals, 0.02))
    for _ in range(3):
        theta, sigma = problem.least([theta], np.maximum(sigma, 1e-4))
    if not regularised:
        theta, sigma = problem.least([theta, *guesses[1:]], None)
    parameters, design = problem.density.parameters, model.design
    named = parameters.named(problem.vector(theta))
    coords = {"eval": design.evals, **design.groups, **design.over}
    coefficients = {k: (parameters[k].dims, named[k]) for k in model.law.coefficients}
    return Estimate(
        xr.Dataset(coefficients, coords=coords), xr.DataArray(sigma, dims="eval", coords={"eval": design.evals})
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """Residuals of log losses in the coefficients, positive ones on the log scale.

    Validation sets share no coefficient, so that each has an optimum of its own.
    """

    density: Density
    center: np.ndarray
    sd: np.ndarray
    log: np.ndarray
    cell: np.ndarray
    eval_of_row: np.ndarray
    eval_of_entry: np.ndarray

    @classmethod
    def of(cls, density: Density) -> "_Problem":
        parameters, design = density.parameters, density.design
        size = max(parameters[k].place.stop for k in density.model.law.coefficients)
        log, eval_of_entry = np.zeros(size, bool), np.zeros(size, int)
        for name in density.model.law.coefficients:
            block = parameters[name]
            log[block.place] = block.scale == "level"
            if "eval" in block.dims:
                eval_of_entry[block.place] = np.indices(block.shape)[block.dims.index("eval")].ravel()
        prior = parameters.draw(2000, np.random.default_rng(0))[:, :size]
        prior[:, log] = np.log(prior[:, log])
        row, ev = design.cells["row"], design.cells["eval"]
        cell = density.measured[1][row, ev]
        return cls(density, np.median(prior, axis=0), prior.std(axis=0), log, cell, ev, eval_of_entry)

    @property
    def evals(self) -> int:
        return len(self.density.design.evals)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        guess: np.ndarray = self.center + 0.7 * self.sd * rng.standard_normal(len(self.center))
        return guess

    def vector(self, theta: np.ndarray) -> np.ndarray:
        """Return the parameter vector, with zeros beyond the coefficients."""
        v = np.zeros(self.density.size)
        v[: len(theta)] = np.where(self.log, np.exp(np.where(self.log, theta, 0.0)), theta)
        return v

    def residuals(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log loss minus log law of every measurement, and its Jacobian."""
        v = self.vector(theta)
        c, chain = self.density.parameters.natural(v)
        chain[: len(theta)][self.log] = v[: len(theta)][self.log]
        block = self.density.measured[0]
        loss, slopes = block.evaluate(self.density.model.law, c)
        at = loss[self.cell]
        jacobian, rows = np.zeros((len(self.cell), len(theta))), np.arange(len(self.cell))
        for slope, entry in zip(slopes, block.entry, strict=True):
            column = entry[self.cell % block.shape[-1]]
            jacobian[rows, column] -= slope.ravel()[self.cell] / at * chain[column]
        residual = self.density.design.log_loss - np.log(at)
        return np.nan_to_num(residual, nan=10.0, posinf=10.0, neginf=-10.0), np.nan_to_num(jacobian)

    def least(self, guesses: list[np.ndarray], noise: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the best optimum of each validation set, and its residuals' root mean square.

        With the noise (per validation set) given, priors count as residuals; without, the Huber loss is minimised.
        """
        best, costs = np.zeros_like(self.center), np.full(self.evals, np.inf)
        sigma = np.zeros(self.evals)
        for guess in guesses:
            theta = self._solve(guess, noise)
            residual = self.residuals(theta)[0]
            for k in range(self.evals):
                mine, own = residual[self.eval_of_row == k], self.eval_of_entry == k
                if noise is None:
                    size = np.abs(mine)
                    cost = np.where(size < HUBER_DELTA, size**2, HUBER_DELTA * (2 * size - HUBER_DELTA)).sum()
                else:
                    cost = ((mine / noise[k]) ** 2).sum()
                    cost += (((theta - self.center) / self.sd)[own] ** 2).sum()
                if cost < costs[k]:
                    best[own], costs[k] = theta[own], cost
                    sigma[k] = max(float(np.sqrt(np.mean(mine**2))), 1e-6) if len(mine) else 0.01
        return best, sigma

    def _solve(self, guess: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Minimise by Gauss-Newton steps in a trust region, in units of the prior's spread."""
        scale = HUBER_DELTA if noise is None else noise[self.eval_of_row]
        prior = 0.0 if noise is None else 1.0

        def terms(q: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            theta = guess + self.sd * q
            residual, jacobian = self.residuals(theta)
            z, slope = residual / scale, jacobian * (self.sd / np.reshape(scale, (-1, 1)))
            weight = np.ones_like(z) if prior else 1 / np.maximum(np.abs(z), 1.0)
            cost = 0.5 * (z**2).sum() if prior else np.where(np.abs(z) < 1, 0.5 * z**2, np.abs(z) - 0.5).sum()
            away = (theta - self.center) / self.sd
            gradient = slope.T @ (weight * z) + prior * away
            return (
                cost + prior * 0.5 * (away**2).sum(),
                gradient,
                slope.T @ (weight[:, None] * slope) + prior * np.eye(len(q)),
            )

        last: dict[bytes, tuple[float, np.ndarray, np.ndarray]] = {}

        def at(q: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            if q.tobytes() not in last:
                last.clear()
                with np.errstate(all="ignore"):
                    last[q.tobytes()] = terms(q)
            return last[q.tobytes()]

        found = minimize(  # type: ignore[call-overload]
            lambda q: at(q)[0],
            np.zeros_like(guess),
            jac=lambda q: at(q)[1],
            hess=lambda q: at(q)[2],
            method="trust-exact",
            options={"maxiter": 200, "gtol": 1e-4},
        )
        theta: np.ndarray = guess + self.sd * found.x
        return theta
