"""Least squares of a law on log losses: where sampling starts, and the maximum-likelihood fit of the papers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from bayeslaw.sampler.density import Density
from bayeslaw.spec.specification import Specification

__all__ = ["HUBER_DELTA", "Estimate", "estimate"]

HUBER_DELTA = 1e-3
"""Where the Huber loss on log loss turns linear; the value of arXiv:2203.15556 and arXiv:2406.01375."""

STEPS, LAST = 200, 1000
TOLERANCE = 1e-9
"""Steps of a descent at most, and of the one that follows from the best of them; the relative decrease of the cost at
which one ends."""

RIDGE = 1e-9
"""The least damping, relative to the prior's precision and to the data's: no matrix is singular where two coefficients
cannot be told apart."""


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
def estimate(model: Specification, *, regularised: bool, starts: int = 8, seed: int = 0) -> Estimate:
    """Fit the law's coefficients by multi-start least squares on log loss.

    Parameters
    ----------
    model : Specification
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
    theta = problem.least(guesses, np.full(problem.evals, 0.02))
    for _ in range(3):
        theta = problem.least([theta], np.maximum(problem.spread(theta), 1e-4))
    if not regularised:
        theta = problem.least([theta, *guesses[1:]], None)
    parameters, design = problem.density.parameters, model.design
    named = parameters.named(problem.vector(theta))
    coords = {"eval": design.evals, **design.groups, **design.over}
    coefficients = {k: (parameters[k].dims, named[k]) for k in model.law.coefficients}
    sigma = xr.DataArray(problem.spread(theta), dims="eval", coords={"eval": design.evals})
    return Estimate(xr.Dataset(coefficients, coords=coords), sigma)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Residuals of log losses in the coefficients, positive ones on the log scale.

    Coefficients that no measurement brings together (of other validation sets, of other groups) are problems of their
    own, solved side by side.
    """

    density: Density
    center: np.ndarray
    sd: np.ndarray
    log: np.ndarray
    cell: np.ndarray
    eval_of_row: np.ndarray
    part: np.ndarray
    part_of_row: np.ndarray

    @classmethod
    def of(cls, density: Density) -> "_Problem":
        parameters, design = density.parameters, density.design
        size = max(parameters[k].place.stop for k in density.model.law.coefficients)
        log = np.zeros(size, bool)
        for name in density.model.law.coefficients:
            log[parameters[name].place] = parameters[name].scale == "level"
        prior = parameters.draw(2000, np.random.default_rng(0))[:, :size]
        prior[:, log] = np.log(prior[:, log])
        block, cell = density.measured
        cell = cell[design.cells["row"], design.cells["eval"]]
        together = coo_array(
            (np.ones(block.entry.size), (block.entry.ravel(), np.tile(np.arange(block.shape[0]), len(block.entry)))),
            (size, block.shape[0]),
        )
        part = connected_components(together @ together.T, directed=False)[1]
        part_of_row = part[block.entry[0, cell // (len(block) // block.shape[0])]]
        center, sd = np.median(prior, axis=0), prior.std(axis=0)
        return cls(density, center, sd, log, cell, design.cells["eval"], part, part_of_row)

    @property
    def evals(self) -> int:
        return len(self.density.design.evals)

    @cached_property
    def known(self) -> np.ndarray:
        """The known error of measuring each."""
        design = self.density.design
        known: np.ndarray = design.known_error[design.cells["row"], design.cells["eval"]]
        return known

    @cached_property
    def parts(self) -> list[np.ndarray]:
        """Entries of the coefficients of each part."""
        return [np.flatnonzero(self.part == n) for n in range(self.part.max() + 1)]

    @cached_property
    def stacks(self) -> list[np.ndarray]:
        """Entries (part, entry) of the parts of each size."""
        sizes = np.bincount(self.part)
        return [np.array([self.parts[n] for n in np.flatnonzero(sizes == size)]) for size in np.unique(sizes)]

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where a row of the curvature of each entry's part starts, and the column of the entry there.

        The curvatures of the parts are one vector, in the order of `stacks`: between two parts there is none.
        """
        row, column, start = np.zeros(len(self.part), int), np.zeros(len(self.part), int), 0
        for entries in self.stacks:
            number, size = entries.shape
            row[entries] = start + size * np.arange(number * size).reshape(number, size)
            column[entries] = np.arange(size)
            start += number * size**2
        return row, column

    @cached_property
    def part_of_place(self) -> np.ndarray:
        """The part of every number of the curvatures."""
        return np.concatenate([np.repeat(self.part[entries[:, 0]], entries.shape[1] ** 2) for entries in self.stacks])

    @cached_property
    def labelled(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Entries (label, coefficient) that some points have in common, these points (label, point), and the places.

        Labels with equally many points are taken together.
        """
        entries, label = np.unique(self.density.measured[0].entry, axis=1, return_inverse=True)
        counts, by_label = np.bincount(label), np.argsort(label, kind="stable")
        first, (row, column), found = np.cumsum(counts) - counts, self.places, []
        for count in np.unique(counts):
            which = np.flatnonzero(counts == count)
            entry = entries.T[which]
            points = by_label[first[which][:, None] + np.arange(count)]
            found.append((entry, points, row[entry][:, :, None] + column[entry][:, None, :]))
        return found

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        guess: np.ndarray = self.center + 0.7 * self.sd * rng.standard_normal(len(self.center))
        return guess

    def vector(self, theta: np.ndarray) -> np.ndarray:
        """Return the parameter vector, with zeros beyond the coefficients."""
        v = np.zeros(self.density.size)
        v[: len(theta)] = np.where(self.log, np.exp(np.where(self.log, theta, 0.0)), theta)
        return v

    def spread(self, theta: np.ndarray) -> np.ndarray:
        """Return the root mean square of the residuals of each validation set, less what measuring is known to add."""
        squares = self._evaluate(theta)[0] ** 2 - self.known**2
        mean = [
            squares[self.eval_of_row == k].mean() if (self.eval_of_row == k).any() else 1e-4 for k in range(self.evals)
        ]
        return np.sqrt(np.maximum(mean, 1e-12))

    def _evaluate(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return log loss minus log law of every measurement; slopes of the log law, and the scale of each entry."""
        v = self.vector(theta)
        c, chain = self.density.parameters.natural(v)
        chain[: len(theta)][self.log] = v[: len(theta)][self.log]
        block = self.density.measured[0]
        with np.errstate(all="ignore"):
            loss, slopes = block.evaluate(self.density.model.law, c)
            residual = self.density.design.log_loss - np.log(loss[self.cell])
            slopes = np.nan_to_num(slopes / loss.reshape(slopes.shape[1:]), posinf=0.0, neginf=0.0)
        return np.nan_to_num(residual, nan=10.0, posinf=10.0, neginf=-10.0), slopes, chain

    def _terms(self, theta: np.ndarray, noise: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cost of each part, and gradient and Gauss-Newton curvatures in units of the prior's spread."""
        residual, slopes, chain = self._evaluate(theta)
        scale = HUBER_DELTA if noise is None else np.hypot(noise[self.eval_of_row], self.known)
        z = residual / scale
        if noise is None:
            size, away = np.abs(z), np.zeros_like(theta)
            weight = 1 / np.maximum(size, 1.0)
            cost = np.where(size < 1, 0.5 * z**2, size - 0.5)
        else:
            weight, cost, away = np.ones_like(z), 0.5 * z**2, (theta - self.center) / self.sd
        block = self.density.measured[0]

        def by_cell(x: np.ndarray) -> np.ndarray:
            return np.bincount(self.cell, x, minlength=len(block)).reshape(slopes.shape[1:])

        pull, hold, unit = by_cell(weight * z / scale), by_cell(weight / scale**2), self.sd * chain[: len(theta)]
        gradient, curvature = away.copy(), np.zeros(len(self.part_of_place))
        curvature[np.add(*self.places)] = noise is not None
        for entry, points, place in self.labelled:
            labels = len(entry)
            mine = np.moveaxis(slopes[:, points], 0, 1).reshape(*entry.shape, -1) * unit[entry][..., None]
            pulled = mine @ pull[points].reshape(labels, -1, 1)
            held = (mine * hold[points].reshape(labels, 1, -1)) @ mine.transpose(0, 2, 1)
            gradient -= np.bincount(entry.ravel(), pulled.ravel(), minlength=len(gradient))
            curvature += np.bincount(place.ravel(), held.ravel(), minlength=len(curvature))
        costs = np.bincount(self.part_of_row, cost, minlength=len(self.parts))
        return costs + 0.5 * np.bincount(self.part, away**2), gradient, curvature

    def least(self, guesses: list[np.ndarray], noise: np.ndarray | None) -> np.ndarray:
        """Return the best optimum of each part.

        With the noise (per validation set) given, priors count as residuals; without, the Huber loss is minimised.
        """
        best, least = np.zeros_like(self.center), np.full(len(self.parts), np.inf)
        for guess in guesses:
            theta, cost = self._descend(guess, noise, STEPS)
            better = cost < least
            best = np.where(better[self.part], theta, best)
            least = np.where(better, cost, least)
        return self._descend(best, noise, LAST)[0]

    def _descend(self, theta: np.ndarray, noise: np.ndarray | None, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the optimum near a guess and the cost of each part, by Levenberg's steps, damped part by part."""
        cost, gradient, curvature = self._terms(theta, noise)
        damping, active = np.ones(len(self.parts)), np.ones(len(self.parts), bool)
        for _ in range(steps):
            step = np.zeros_like(theta)
            for entries in self.stacks:
                own = entries[active[self.part[entries[:, 0]]]]
                matrix = curvature[self.places[0][own][:, :, None] + np.arange(own.shape[1])]
                diagonal = np.einsum("nii->ni", matrix)
                diagonal += damping[self.part[own]] + RIDGE * diagonal
                step[own] = -np.linalg.solve(matrix, gradient[own][..., None])[..., 0]
            trial = theta + self.sd * step
            with np.errstate(over="ignore", invalid="ignore"):  # a step too far costs no number, and is not taken
                new_cost, new_gradient, new_curvature = self._terms(trial, noise)
            better = active & (new_cost < cost)
            done = better & (cost - new_cost < TOLERANCE * (1 + cost)) | (damping > 1e12)
            moved = better[self.part]
            theta, gradient = np.where(moved, trial, theta), np.where(moved, new_gradient, gradient)
            curvature = np.where(better[self.part_of_place], new_curvature, curvature)
            cost = np.where(better, new_cost, cost)
            damping = np.where(better, np.maximum(damping / 5, RIDGE), np.where(active, damping * 4, damping))
            active &= ~done
            if not active.any():
                break
        return theta, cost
