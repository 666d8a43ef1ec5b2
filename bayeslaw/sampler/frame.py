"""The affine frame of the sampler: axes in which the curvature at the mode is about the identity."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from bayeslaw.base.words import place
from bayeslaw.declare.populations import typical
from bayeslaw.errors import LawError
from bayeslaw.sampler.axes import Axes
from bayeslaw.sampler.compiled import COORDINATES, FRAME, FROM_FRAME, evaluate
from bayeslaw.sampler.conditionals import Conditionals
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.determined import determined
from bayeslaw.sampler.differences import curvature, scales
from bayeslaw.sampler.least_squares import Estimate
from bayeslaw.sampler.parameters import LEVEL, LOG_LEVEL, Parameters
from bayeslaw.sampler.table import Tables
from bayeslaw.sampler.weights import Weights, learned

__all__ = ["Frame", "conditionals", "first_guess"]

EM_ROUNDS, ROUNDS_OF_MISFIT = 2, 8
"""Rounds of expectation and maximisation for noise, spreads and locations; with the slopes of a misfit, at most."""

STILL = 0.02
"""Largest change of the logarithm of a scale in the last round."""

FAR = 10.0
"""Factor from the reference run beyond which a column is named where the law has no loss above 0."""

NONE = np.empty(0, int)


@dataclass(frozen=True)
class Frame:
    """Coordinates, and an affine frame around the mode whose unit is about one posterior standard deviation."""

    coordinates: Coordinates
    center: np.ndarray
    axes: Axes

    @classmethod
    def at_mode(cls, density: Density, estimate: Estimate) -> "Frame":
        """Return the frame at the mode, which is found from a least-squares estimate."""
        v = first_guess(density, estimate)
        with np.errstate(invalid="ignore", divide="ignore"):
            _, residual = density.residuals(density.parameters.natural(v)[0])
        if not np.isfinite(residual).all():
            raise _without_a_loss(density)
        v = _mode(density, v)
        sets = conditionals(density, v)
        weights = Weights.near(density, v) if len(density.weights) else Weights()
        coordinates = Coordinates(density, sets, weights) if sets else determined(density, v)
        return cls.around(coordinates, coordinates.inverse(v))

    @classmethod
    def around(cls, coordinates: Coordinates, center: np.ndarray) -> "Frame":
        """Return the frame around a point."""
        matrix, scale = _curvature(coordinates, center)
        return cls(coordinates, center, Axes.whitening(matrix, scale, coordinates.of_groups, coordinates.of_weights))

    @cached_property
    def tables(self) -> Tables:
        """The tables of the compiled density."""
        return Tables({**self.coordinates.arrays, "center": self.center, **self.axes.arrays})

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log density and gradient at a point of the frame."""
        return evaluate(q, self.tables[FRAME])

    def parameters(self, q: np.ndarray) -> np.ndarray:
        """Return the parameter vector at a point of the frame."""
        return evaluate(q, self.tables[FROM_FRAME])[1]


def _without_a_loss(density: Density) -> LawError:
    """Return the error where the law has no loss above 0 at the start, as its priors are for other runs."""
    reference, reached = density.model.reference, {}
    for column, value in reference.items():
        largest = abs(density.design.rows[column]).max().item() if column in density.design.rows else 0.0
        if largest > FAR * value or 0 < largest * FAR < value:
            reached[column] = round(largest, -math.floor(math.log10(largest)))
    told = place({c: reference[c] for c in reached or reference})
    return LawError(
        f"the law has no loss above 0 at the start: its priors are for runs near {told}; state a reference run like "
        f"yours, reference={reached or reference}, or other priors"
    )


def _mode(density: Density, v: np.ndarray) -> np.ndarray:
    """Return the mode given noise, spreads and locations of populations, and these by expectation and maximisation.

    The joint mode is no guide: the density is unbounded at a spread of 0, and for small tables, which a misfit follows
    closely, at a noise of 0 and at losses that err alike; and it is higher where all groups have gone along a ridge
    together, to where they differ least. Pooled levels count by their logarithms: the density of many levels is higher
    the smaller they are.
    """
    coordinates, parameters = Coordinates(density), density.parameters
    kind, pooled = coordinates.arrays["kind"], parameters.parents["mu"] >= 0
    table = Tables(coordinates.arrays | {"kind": np.where(pooled & (kind == LEVEL), LOG_LEVEL, kind)})
    scale = scales(coordinates, coordinates.inverse(v), coordinates.parts)
    locations, spreads = (np.unique(x[x >= 0]) for x in parameters.parents.values())
    scale[spreads] = scale[parameters["sigma"].place] = scale[density.weights[:, 2]] = 0.0
    if len(density.weights) and "eval_correlation" in parameters:
        scale[parameters["eval_correlation"].place] = 0.0
    of_locations = np.zeros_like(scale)
    of_locations[locations] = scale[locations]
    told = _told(density, v)
    for _ in range(ROUNDS_OF_MISFIT if len(density.weights) else EM_ROUNDS):
        v = _highest(coordinates, table, v, scale - of_locations, *_left_open(density, told[0]))
        if len(locations):
            v = _highest(coordinates, table, v, of_locations)
        told, before = _told(density, v), v
        v = _with_scales(density, v, *told)
        if abs(v - before).max() < STILL:
            break
    return v


def _highest(
    coordinates: Coordinates,
    table: Tables,
    v: np.ndarray,
    scale: np.ndarray,
    at: np.ndarray = NONE,
    power: float = 0.0,
) -> np.ndarray:
    """Return the mode of a table in the coordinates with a scale, times (1 - x) ** power of entries `at`."""
    start = coordinates.inverse(v)

    def minus(q: np.ndarray) -> tuple[float, np.ndarray]:
        u = start + scale * q
        value, gradient = evaluate(u, table[COORDINATES])
        value -= power * float(np.logaddexp(0.0, u[at]).sum())
        gradient[at] -= power * expit(u[at])
        return (-value, -gradient * scale) if math.isfinite(value) else (1e10, np.zeros_like(q))

    found = minimize(minus, np.zeros_like(v), jac=True, method="L-BFGS-B", options={"maxiter": 500, "maxcor": 50})
    return coordinates.forward(start + scale * found.x)[0]


def _told(density: Density, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `learned`, or zeros of a law without a misfit."""
    return learned(density, v) if len(density.weights) else (np.zeros(len(density.design.evals)), np.zeros_like(v))


def _left_open(density: Density, told: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the entry of the run weight, and the power of 1 minus it that the search for a mode misses.

    At a run weight of 1 no error is left to single measurements, so that a misfit that meets them all has a density
    without bound; integrated over what is fitted, it has none.
    """
    if not len(density.weights) or "run_weight" not in density.parameters:
        return NONE, 0.0
    return np.r_[density.parameters["run_weight"].place], 0.5 * float(told.sum())


def _with_scales(density: Density, v: np.ndarray, told: np.ndarray, spread_of_weights: np.ndarray) -> np.ndarray:
    """Return the vector with noise and spreads at their most probable values given the coefficients and `learned`."""
    parameters, c, v = density.parameters, density.parameters.natural(v)[0], v.copy()
    sets, x = conditionals(density, v), _on_population_scale(density, v)
    ev, residual = density.residuals(c)
    first = parameters["sigma"].place.start
    weight = 6 / (5 + (residual / c[first + ev]) ** 2) if density.model.noise.robust else np.ones_like(residual)
    variance, known = c[first + ev] ** 2, density.design.known_error[density.design.cells["row"], ev] ** 2
    share = variance / (variance + known)
    squared = weight * (residual**2 * share**2 + known * share)  # expected, without the known measurement error
    squares = {}
    for e, count in enumerate(np.bincount(ev, minlength=len(told))):
        squares[first + e] = list(squared[ev == e] + told[e] * c[first + e] ** 2 / max(count, 1))
    for s in sets:
        covariance = np.linalg.inv(s.precision + (s.slope.transpose(0, 2, 1) * c[s.spread] ** -2) @ s.slope)
        within = np.einsum("gri,gij,grj->gr", s.slope, covariance, s.slope)
        for at, square in zip(s.spread, ((x[s.entry] - c[s.location]) ** 2 + within).T, strict=True):
            squares.setdefault(int(at), []).extend(square)
    if density.model.noise.batch:
        effect, counts = density.batch(c), np.bincount(ev, minlength=len(density.design.evals))
        spread = parameters["batch_effect_sigma"].place.start
        for e, own in enumerate(effect):
            precision = c[spread + e] ** -2 + counts[e] / len(own) * c[first + e] ** -2
            squares[spread + e] = list(own**2 + 1 / precision)
    for start, knots, slope in density.weights:
        own = slice(start, start + knots)
        squares.setdefault(slope, []).extend(c[slope] ** 2 * (v[own] ** 2 + spread_of_weights[own]))
    for at, found in squares.items():
        v[at] = _most_probable(parameters, v, int(at), float(np.sum(found)), len(found))
    if len(density.weights) and "eval_correlation" in parameters:
        v[parameters["eval_correlation"].place] = _correlation(density, ev, residual / np.exp(v[first + ev]))
    return v


def _correlation(density: Density, ev: np.ndarray, z: np.ndarray) -> float:
    """Return the correlation between losses of a row, given standardised residuals; what these lack errs apart."""
    of_row = coo_array((z, (density.design.cells["row"], ev))).toarray()
    pairs = np.bincount(density.design.cells["row"])
    products = (of_row.sum(axis=1) ** 2 - (of_row**2).sum(axis=1)).sum() / (pairs * (pairs - 1)).sum()
    block = density.parameters["eval_correlation"]
    low, high = block.ends
    return float(block.unconstrained(np.clip(products, low + 0.02 * (high - low), high - 0.1 * (high - low))))


def _most_probable(parameters: Parameters, v: np.ndarray, at: int, total: float, count: int) -> float:
    """Return the log of a scale at its mode, given its prior and a sum of `count` squares."""

    def minus(x: float) -> float:
        moved = v.copy()
        moved[at] = x
        prior = parameters.log_prior(moved, *parameters.natural(moved), np.zeros_like(v))
        return count * x + 0.5 * total * math.exp(-2 * x) - prior

    return float(minimize_scalar(minus, bounds=(v[at] - 5, v[at] + 5), method="bounded").x)


def conditionals(density: Density, v: np.ndarray) -> tuple[Conditionals, ...]:
    """Return the conditional means of the pooled coefficients near the mode.

    No measurement depends on two groups, so the differences shift a coefficient in all groups at once. Slopes that are
    0 but for rounding are set to 0.
    """
    parameters, plain = density.parameters, Coordinates(density)
    c, u = parameters.natural(v)[0], plain.inverse(v)

    def shifted(entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = np.zeros(density.size)
        step[entries] = 1e-5
        above, below = u + step, u - step
        moved = _on_population_scale(density, plain.forward(above)[0])
        moved -= _on_population_scale(density, plain.forward(below)[0])
        moved = np.where(abs(moved) < 1e-13, 0.0, moved / 2e-5)
        return (plain.likelihood(below)[1] - plain.likelihood(above)[1]) / 2e-5, moved

    families = _families(density)
    used = np.bincount([i for _, location, _ in families for i in location], minlength=density.size)
    found = []
    for entry, location, spread in families:
        curvature, moved = (np.array(a) for a in zip(*map(shifted, entry.T), strict=True))
        precision, slope = curvature[:, entry].transpose(1, 0, 2), moved[:, entry].transpose(1, 2, 0)
        pulled = (slope.transpose(0, 2, 1) * c[spread] ** -2) @ slope
        constant = np.einsum("gij,gj->gi", pulled, u[entry] - u[location])
        prior = np.empty((0, 0))
        if (used[location] == 1).all():
            by_location = np.array([shifted(i)[1][location] for i in location]).T
            prior = by_location.T / parameters.prior_sd[location] ** 2 @ by_location
        precision = np.array([_positive(p) for p in precision])
        found.append(Conditionals(entry, location, spread, precision, slope, u[entry], constant, u[location], prior))
    return tuple(found)


def _on_population_scale(density: Density, v: np.ndarray) -> np.ndarray:
    """Return a vector with levels on the log scale of their priors."""
    x = v.copy()
    for block in density.parameters.values():
        if block.scale == "level":
            level = x[block.place] / block.bend
            x[block.place] = np.log(block.bend * np.maximum(level, 1.0)) + np.minimum(level - 1, 0.0)
    return x


def _families(density: Density) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the entries of each family of pooled coefficients: (group, coefficient), location and spread.

    Coefficients of a group belong together if some measurement depends on both; groups, if they share populations.
    """
    entry, parents = density.measured[0].entry, density.parameters.parents
    pooled = np.flatnonzero((parents["mu"] >= 0) & (parents["sigma"] >= 0))
    points = np.tile(np.arange(entry.shape[1]), len(entry))
    meets = coo_array((np.ones(entry.size), (entry.ravel(), points)), (density.size, entry.shape[1])).tocsr()[pooled]
    label = connected_components(meets @ meets.T, directed=False)[1] if len(pooled) else pooled
    families: dict[tuple[int, ...], list[np.ndarray]] = {}
    for n in np.unique(label):
        group = pooled[label == n]
        families.setdefault((*parents["mu"][group], *parents["sigma"][group]), []).append(group)
    return [(np.array(groups), *np.reshape(at, (2, -1))) for at, groups in families.items()]


def _positive(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix, symmetric and with negative eigenvalues at 0, scaled by its diagonal."""
    matrix = (matrix + matrix.T) / 2
    unit = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-12))
    values, vectors = np.linalg.eigh(matrix / unit / unit[:, None])
    positive: np.ndarray = (vectors * np.maximum(values, 0.0)) @ vectors.T * unit * unit[:, None]
    return positive


def _curvature(coordinates: Coordinates, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvature in units of a scale, and the scale.

    With robust errors, coefficients have the expected curvature: outliers bend that of the density the wrong way.
    """
    density, parts = coordinates.density, coordinates.parts
    scale = scales(coordinates, at, parts)
    if not density.model.noise.robust:
        return curvature(coordinates, at, scale, parts), scale
    smooth = replace(coordinates, density=density.expected(coordinates.forward(at)[0]))
    errors = np.zeros(len(at), bool)
    for name in density.model.noise.priors(len(density.design.evals)):
        errors[density.parameters[name].place] = True
    scale = np.where(errors, scale, scales(smooth, at, parts))
    matrix, of_errors = (curvature(c, at, scale, parts) for c in (smooth, coordinates))
    matrix[errors] = matrix[:, errors] = 0.0
    matrix[np.ix_(errors, errors)] = of_errors[np.ix_(errors, errors)]
    return matrix, scale


def first_guess(density: Density, estimate: Estimate) -> np.ndarray:
    """Return a parameter vector near the posterior: coefficients by least squares, others at plausible values."""
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
        elif name == "batch_effect_sigma":
            v[block.place] = np.log(estimate.sigma.values / 2)
        elif name == "correlation_length":
            v[block.place] = math.log(0.5)
        elif name.startswith("misfit_") and name.endswith("_slope"):
            v[block.place] = block.prior.parameters["mu"]
    for name in density.model.law.coefficients:
        if f"{name}_mu" in density.parameters:
            block = density.parameters[name]
            between = typical(block.prior.parameters["sigma"])
            x = v[block.place].reshape(block.shape)
            if block.prior.distribution == "LogNormal":
                x = np.log(block.natural(x))
            location, spread = (density.parameters.parents[k][block.place] for k in ("mu", "sigma"))
            for mu, sd in dict.fromkeys(zip(location, spread, strict=True)):
                own = x.ravel()[location == mu]
                v[mu] = own.mean()
                if sd >= 0:
                    v[sd] = np.log((own.var() + between**2) / 2) / 2
    return v
