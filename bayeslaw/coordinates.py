"""The coordinates in which the sampler moves: what the data see, instead of the coefficients.

The amplitudes of a law (E, A, B, C, ...) enter it linearly and trade against its exponents along curved ridges. The
sampler moves in

- the loss at an anchor run, instead of the additive level;
- the log of the drop of each term across the design, instead of its amplitude;
- the standardised deviation from the population, for a pooled coefficient that is neither;

and, in these straighter coordinates, along the principal axes of the curvature at the mode. The posterior is the
model's own: its density at the mapped values, with the Jacobian added.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from scipy.optimize import minimize

from bayeslaw.density import Density, Points, partials
from bayeslaw.least_squares import Estimate

__all__ = ["Coordinates", "Frame"]

type Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]

FLOOR = 1e-3
"""Smallest curvature that is believed at the mode: flatter directions are stretched no further."""


@dataclass(frozen=True)
class Drops:
    """Where the drop of an amplitude's term is read, for a coefficient's entries."""

    low: np.ndarray
    high: np.ndarray
    owner: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The map between a density's parameters and straighter coordinates, and the density in them."""

    density: Density

    @cached_property
    def _range(self) -> dict[str, tuple[float, float, float]]:
        """Lowest, middle and highest value of each covariate among the measurements."""
        points = self.density.measured
        result = {}
        for name, x in zip(self.density.model.law.covariates, points.covariates, strict=True):
            low, high = float(x.min()), float(x.max())
            result[name] = (low, math.sqrt(low * high) if low > 0 else (low + high) / 2, high)
        return result

    @cached_property
    def amplitudes(self) -> dict[str, str]:
        """Amplitudes sampled by their drop, with the covariate along which it is seen."""
        return {
            name: c.seen_along
            for name, c in self.density.model.law.coefficients.items()
            if c.seen_along not in (None, "level")
            and self.density.parameters[name].scale == "log"
            and c.seen_along not in self.density.design.groups
            and self._range[str(c.seen_along)][2] > self._range[str(c.seen_along)][0] * 1.05
        }

    @cached_property
    def level(self) -> str | None:
        """The coefficient sampled by the loss at the anchor run."""
        coefficients = self.density.model.law.coefficients.items()
        return next(
            (n for n, c in coefficients if c.seen_along == "level" and self.density.parameters[n].scale == "log"), None
        )

    @cached_property
    def standardised(self) -> tuple[str, ...]:
        """Pooled coefficients sampled as deviations from their population."""
        parameters = self.density.parameters
        pooled = (
            n for n in self.density.model.law.coefficients if f"{n}_mu" in parameters and f"{n}_sigma" in parameters
        )
        return tuple(n for n in pooled if n not in self.amplitudes and n != self.level)

    def _anchor(self, **at: int) -> Points:
        """Return the anchor run of every validation set and group: a covariate that is a group has its value."""
        design = self.density.design
        grid = {
            c: xr.DataArray(design.groups[c] / design.reference[c], dims=c)
            if c in design.groups
            else xr.DataArray(self._range[c][at.get(c, 1)])
            for c in self.density.model.law.covariates
        }
        return self.density.everywhere(grid)[0]

    @cached_property
    def _drops(self) -> tuple[Points, dict[str, Drops]] | None:
        """Every amplitude's term at amplitude 1 and no other, at both ends of its covariate."""
        names = list(self.density.model.law.coefficients)
        zero, one = self.density.size, self.density.size + 1
        points, found = None, {}
        for name, along in self.amplitudes.items():
            ends = self._anchor(**{along: 0}) + self._anchor(**{along: 2})
            entry = ends.entry.copy()
            owner = entry[names.index(name), : len(ends) // 2].copy()
            for other in [*self.amplitudes, *([self.level] if self.level else [])]:
                entry[names.index(other)] = zero
            entry[names.index(name)] = one
            start = 0 if points is None else len(points)
            half = np.arange(len(ends) // 2) + start
            counts = np.bincount(owner, minlength=self.density.size)
            found[name] = Drops(half, half + len(ends) // 2, owner, 1.0 / counts[owner])
            ends = Points(ends.covariates, entry)
            points = ends if points is None else points + ends
        return None if points is None else (points, found)

    @cached_property
    def _level_points(self) -> tuple[Points, np.ndarray, np.ndarray] | None:
        """The anchor run without the level: what lies above it."""
        if self.level is None:
            return None
        names = list(self.density.model.law.coefficients)
        low = {c: 0 for c in self.amplitudes.values() if c != "share"}
        points = self._anchor(**low)
        entry = points.entry.copy()
        owner = entry[names.index(self.level)].copy()
        entry[names.index(self.level)] = self.density.size
        counts = np.bincount(owner, minlength=self.density.size)
        return Points(points.covariates, entry), owner, 1.0 / counts[owner]

    def _evaluate(self, points: Points, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log law, its derivatives in the unconstrained coefficients, and their entries."""
        d = self.density
        blocks = [d.parameters[k] for k in d.model.law.coefficients]
        values = np.zeros(d.size + 2)
        values[d.size + 1] = 1.0
        values[d.coefficients] = np.concatenate([b.natural(v[b.place]) for b in blocks])
        at = values[points.entry]
        outputs = partials(d.model.law)(*points.covariates, *at)
        slopes = np.array([o * b.slope(a) for o, b, a in zip(outputs[1:], blocks, at, strict=True)])
        slopes[points.entry >= d.size] = 0.0
        return outputs[0], slopes, np.minimum(points.entry, d.size - 1)

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, tuple]:
        """Return parameters, log Jacobian and what `backward` needs; NaN where the map has no value."""
        d, v, jacobian = self.density, u.copy(), 0.0
        for name in self.standardised:
            block = d.parameters[name]
            mu, sigma = (d.parent(name, k, v)[0] for k in ("mu", "sigma"))
            v[block.place] = (mu + sigma * u[block.place].reshape(block.shape)).ravel()
            jacobian += float(np.broadcast_to(np.log(sigma), block.shape).sum())
        drop_memory, level_memory = None, None
        if self._drops:
            points, drops = self._drops
            log_term, slopes, entry = self._evaluate(points, v)
            term = np.exp(log_term)
            for name, at in drops.items():
                drop = term[at.low] - term[at.high]
                if not (drop > 0).all():
                    return v, math.nan, ()
                place = d.parameters[name].place
                v[place] -= np.bincount(at.owner, np.log(drop) * at.weight, minlength=d.size)[place]
            drop_memory = (term, slopes, entry)
        if self._level_points:
            points, owner, weight = self._level_points
            log_above, slopes, entry = self._evaluate(points, v)
            above = np.exp(log_above)
            place = d.parameters[str(self.level)].place
            floor = u[place] - np.bincount(owner, above * weight, minlength=d.size)[place]
            if not (floor > 0).all():
                return v, math.nan, ()
            v[place] = np.log(floor)
            jacobian -= float(v[place].sum())
            level_memory = (above, slopes, entry, floor)
        return v, jacobian, (drop_memory, level_memory)

    def backward(self, u: np.ndarray, v: np.ndarray, gradient: np.ndarray, memory: tuple) -> np.ndarray:
        """Return the gradient in the coordinates, Jacobian included, from the gradient in the parameters."""
        d, g = self.density, gradient.copy()
        drop_memory, level_memory = memory
        if self._level_points and level_memory:
            _, owner, weight = self._level_points
            above, slopes, entry, floor = level_memory
            place = d.parameters[str(self.level)].place
            g[place] = (g[place] - 1) / floor
            pull = -g[owner] * weight * above
            g += np.bincount(entry.ravel(), (slopes * pull).ravel(), minlength=d.size)
        if self._drops and drop_memory:
            term, slopes, entry = drop_memory
            pull = np.zeros(len(term))
            for at in self._drops[1].values():
                force = -g[at.owner] * at.weight / (term[at.low] - term[at.high])
                pull[at.low] += force * term[at.low]
                pull[at.high] -= force * term[at.high]
            g += np.bincount(entry.ravel(), (slopes * pull).ravel(), minlength=d.size)
        for name in self.standardised:
            block = d.parameters[name]
            mu, mu_block = d.parent(name, "mu", v)
            sigma, sigma_block = d.parent(name, "sigma", v)
            pull = g[block.place].reshape(block.shape)
            z = u[block.place].reshape(block.shape)
            for parent, amount in ((mu_block, pull), (sigma_block, pull * sigma * z + 1)):
                assert parent is not None
                extra = tuple(i for i, dim in enumerate(block.dims) if dim not in parent.dims)
                g[parent.place] += amount.sum(axis=extra).ravel()
            g[block.place] = (pull * sigma).ravel()
        return g

    def inverse(self, v: np.ndarray) -> np.ndarray:
        """Return the coordinates of a parameter vector."""
        d, u = self.density, v.copy()
        if self._drops:
            points, drops = self._drops
            term = np.exp(self._evaluate(points, v)[0])
            for name, at in drops.items():
                place = d.parameters[name].place
                log_drop = np.log(term[at.low] - term[at.high])
                u[place] += np.bincount(at.owner, log_drop * at.weight, minlength=d.size)[place]
        if self._level_points:
            points, owner, weight = self._level_points
            above = np.exp(self._evaluate(points, v)[0])
            place = d.parameters[str(self.level)].place
            u[place] = np.exp(v[place]) + np.bincount(owner, above * weight, minlength=d.size)[place]
        for name in self.standardised:
            block = d.parameters[name]
            mu, sigma = (d.parent(name, k, v)[0] for k in ("mu", "sigma"))
            u[block.place] = ((v[block.place].reshape(block.shape) - mu) / sigma).ravel()
        return u

    def __call__(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log density and gradient in the coordinates; minus infinity where the map has no value."""
        v, jacobian, memory = self.forward(u)
        if math.isnan(jacobian):
            return -math.inf, np.zeros_like(u)
        value, gradient = self.density(v)
        if not math.isfinite(value):
            return -math.inf, np.zeros_like(u)
        return value + jacobian, self.backward(u, v, gradient, memory)


@dataclass(frozen=True)
class Frame:
    """An affine frame around the mode: the sampler's unit cube is about one posterior standard deviation."""

    center: np.ndarray
    axes: np.ndarray

    @classmethod
    def at_mode(cls, coordinates: Coordinates, estimate: Estimate) -> "Frame":
        """Find the mode from a least-squares estimate, and the principal axes of the curvature there."""
        d = coordinates.density
        spreads = [p.place for n, p in d.parameters.items() if n.endswith("_sigma") and p.scale == "log"]

        def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = coordinates(u)
            if not math.isfinite(value):
                return 1e10, np.zeros_like(u)
            gradient = gradient.copy()
            for place in spreads:  # keeps the mode away from zero spread, where the density of a hierarchy is unbounded
                value += float(u[place].sum())
                gradient[place] += 1.0
            return -value, -gradient

        start = coordinates.inverse(first_guess(d, estimate))
        scale = _scale(objective, start)

        def scaled(q: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = objective(start + scale * q)
            return value, gradient * scale

        found = minimize(
            scaled, np.zeros_like(start), jac=True, method="L-BFGS-B", options={"maxiter": 300, "maxcor": 50}
        )
        mode = start + scale * found.x
        step = 1e-4 * scale
        columns = []
        for i in range(len(mode)):
            shift = np.zeros_like(mode)
            shift[i] = step[i]
            columns.append((objective(mode + shift)[1] - objective(mode - shift)[1]) / (2 * step[i]) * scale)
        curvature = np.array(columns) * scale[:, None]
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        widths = 1 / np.sqrt(np.maximum(np.abs(values), max(FLOOR, 1e-6 * values.max())))
        return cls(mode, scale[:, None] * vectors * widths)


def _scale(objective: Objective, start: np.ndarray) -> np.ndarray:
    """Rough scale of each coordinate from its own curvature."""
    scale = np.empty_like(start)
    for i in range(len(start)):
        shift = np.zeros_like(start)
        shift[i] = 1e-4
        second = (objective(start + shift)[1][i] - objective(start - shift)[1][i]) / 2e-4
        scale[i] = 1 / math.sqrt(max(abs(second), 0.1)) if math.isfinite(second) else 0.1
    return scale


def first_guess(density: Density, estimate: Estimate) -> np.ndarray:
    """Return a parameter vector near the posterior: least squares for the law, plausible values for the rest."""
    v = np.zeros(density.size)
    for name, block in density.parameters.items():
        if name in estimate.coefficients:
            value = estimate.coefficients[name].transpose(*block.dims).values.ravel()
            if block.scale == "interval":
                low, high = block.ends
                value = np.clip(value, low + 0.02 * (high - low), high - 0.02 * (high - low))
            v[block.place] = block.unconstrained(value)
        elif name == "sigma":
            v[block.place] = np.log(estimate.sigma.values)
        elif name == "correlation_length":
            v[block.place] = math.log(0.5)
    for name in density.model.law.coefficients:
        if f"{name}_mu" in density.parameters:
            block = density.parameters[name]
            between = density.model.law.coefficients[name].between
            x = v[block.place].reshape(block.shape)
            extra = tuple(i for i, dim in enumerate(block.dims) if dim not in density.parameters[f"{name}_mu"].dims)
            v[density.parameters[f"{name}_mu"].place] = x.mean(axis=extra).ravel()
            v[density.parameters[f"{name}_sigma"].place] = np.log(
                np.sqrt((x.var(axis=extra) + between**2 / 4) / 2)
            ).ravel()
    return v
