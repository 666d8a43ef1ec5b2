"""What laws miss: smooth random functions of the log loss along the scales of a law.

log loss = log law + g_N(log10 N) + g_D(log10 D) + g_share(share) + g_N,D + g_share,D + error. Each g of one scale has
the covariance of a Matern 3/2 process whose slope has the standard deviation ``misfit_<scale>_slope``. It has no level
and no slope over the measured levels, which are the law's, so that it bends within the runs and grows away from them.
The product of tokens and another scale has no level over either: the loss may fall more or less with tokens at some
sizes or shares than the law has it. Without that of sizes, a run effect takes the difference for luck. Along training
curves the forward area S1 takes the place of tokens, and the annealed rate that of sizes: a decay may gain more, or
less, the longer the training before it.

A process is a sum of basis functions with standard normal weights: the columns of a pivoted Cholesky factor of its
covariance. The first pivots are measured levels; only their weights meet the measurements and are sampled. Those of the
other pivots, between and beyond the levels, are drawn from their prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import solve_triangular

from bayeslaw.base.arguments import checked_fields
from bayeslaw.base.words import Described
from bayeslaw.declare.priors import Prior, describe, positive
from bayeslaw.errors import unknown_name

__all__ = ["SCALES", "Misfit", "Process"]

REACH = 4.0
"""Decades, or units, beyond the measured levels up to which a process has functions of its own; then it is straight."""

POINTS = 300
"""Candidates for pivots between and beyond the levels."""

MOST_PIVOTS, MOST_LEVELS = 60, 600
"""Functions of a factor, and levels over which they have no level and no slope; of more, so many are taken evenly."""

PEAK = "peak"
"""The column of the highest rate of a run, in which annealed rates are counted."""

JITTER = 1e-10
"""Added to the variance of pivots, so that their covariance has a Cholesky factor."""


@dataclass(frozen=True)
class _Scale:
    """How a column is laid out for a process: its logarithm to base 10 or itself, and the length of the process.

    A `relative` column is counted in the highest peak rate of the runs; where it is not known, in the reference run's.
    """

    log: bool
    length: float
    ends: tuple[float, float] | None = None
    relative: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.log10(np.maximum(values, 1e-300)) if self.log else np.asarray(values, float)

    def grid(self, levels: np.ndarray) -> np.ndarray:
        """Return candidates for pivots."""
        low, high = self.ends or (levels.min() - REACH, levels.max() + REACH)
        return np.linspace(min(low, levels.min()), max(high, levels.max()), POINTS)


DECADES, SHARES, RATES = _Scale(True, 2.0), _Scale(False, 0.5, (0.0, 1.0)), _Scale(False, 3.0, relative=True)
SCALES = (
    dict.fromkeys(("N", "D", "S1"), DECADES)
    | dict.fromkeys(("domain_share", "duration"), SHARES)
    | dict.fromkeys(("annealed", "annealed_power"), RATES)
)
"""The columns of laws that have a process."""

PRODUCTS = {
    "domain_share_D": ("domain_share", "D"),
    "N_D": ("N", "D"),
    "annealed_S1": ("annealed", "S1"),
    "annealed_power_S1": ("annealed_power", "S1"),
}
"""Processes of two columns; the slope is that along the second, which other values of the first have not."""

SLOPES = {
    "N": positive(0.03, spread=0.6),
    "D": positive(0.025, spread=0.6),
    "S1": positive(0.006, spread=0.6),
    "domain_share": positive(0.02, spread=0.6),
    "duration": positive(0.02, spread=0.6),
    "domain_share_D": positive(0.02, spread=0.6),
    "N_D": positive(0.05, spread=0.6),
    **dict.fromkeys(("annealed", "annealed_power"), positive(0.02, spread=0.6)),
    **dict.fromkeys(("annealed_S1", "annealed_power_S1"), positive(0.015, spread=0.6)),
}
"""Priors of the standard deviation of the slope: change of the log loss per factor of ten, or per unit.

Those of N, D, N_D and S1 lie near the slopes of whole public tables (`tests.studies.slopes`); those along the annealed
rate were chosen with the curves of `tests.studies.curves` in sight; others are not calibrated.
"""


@checked_fields
@dataclass(frozen=True, repr=False)
class Misfit(Described):
    """What a law misses along its scales; see `bayeslaw.Model`.

    Parameters
    ----------
    slopes : mapping, optional
        ``{scale: Prior}`` of the standard deviation of the slope of log loss, for the scales ``N``, ``D`` and ``S1``
        (per factor of ten), ``domain_share`` and ``duration`` (per unit), ``annealed`` and ``annealed_power`` (per
        peak rate of the runs), and ``N_D``, ``domain_share_D``, ``annealed_S1`` and ``annealed_power_S1`` (of the
        slope along tokens, or S1, that one size, share or annealed rate has and others have not).
    levels : mapping, optional
        ``{column: values}`` over which the processes have no level and no slope; by default those of the runs.
    """

    slopes: Mapping[str, Prior] = field(default_factory=lambda: dict(SLOPES))
    levels: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.slopes:
            if name not in SLOPES:
                raise unknown_name("scale of a misfit", name, SLOPES)

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        return "Misfit: slope of what the law misses", [(k, describe(p)) for k, p in self.slopes.items()]

    def over(self, rows: xr.Dataset) -> "Misfit":
        """Return the misfit over the levels of these rows, also for a model of other rows."""
        known = [c for c in (*SCALES, PEAK) if c in rows]
        return replace(self, levels={c: np.unique(rows[c].values) for c in known} | dict(self.levels))

    def processes(
        self, rows: xr.Dataset, columns: tuple[str, ...], reference: Mapping[str, float]
    ) -> dict[str, "Process"]:
        """Return the processes along the scales that a law's columns have, for the rows of a design."""
        found = {}
        for name in self.slopes:
            along = PRODUCTS.get(name, (name,))
            if set(along) <= set(columns):
                levels = {c: self.levels.get(c, np.unique(rows[c].values)) for c in along}
                units = {c: self._unit(rows, reference.get(c, np.nan)) if SCALES[c].relative else 1.0 for c in along}
                steep = along[-1]
                factors = tuple(
                    _Factor.of(c, x, units[c], alone=len(along) == 1, steep=c == steep) for c, x in levels.items()
                )
                if len(factors) == 1 or all(f.sampled for f in factors):
                    found[name] = Process(name, factors)
        return found

    def _unit(self, rows: xr.Dataset, otherwise: float) -> float:
        peaks = self.levels.get(PEAK, rows[PEAK].values if PEAK in rows else np.array([otherwise]))
        return float(np.max(peaks))


@dataclass(frozen=True, eq=False)
class _Factor:
    """Basis functions along one column.

    Attributes
    ----------
    unit : float
        What the values of the column are counted in.
    degree : int
        Of the polynomial over the levels that the process does not have.
    pivots : array
        Points of the scale; the first `sampled` are measured levels, and so are the next ones, `small`, whose own
        functions are too small to count. Those of the others vanish at the measured levels.
    """

    column: str
    unit: float
    levels: np.ndarray
    degree: int
    variance: float
    pivots: np.ndarray = field(default_factory=lambda: np.empty(0))
    sampled: int = 0
    small: int = 0

    @classmethod
    def of(cls, column: str, levels: np.ndarray, unit: float, *, alone: bool, steep: bool) -> "_Factor":
        """Return the factor for measured levels; those of a product lose the level only, and the first is not steep."""
        scale = SCALES[column]
        at = np.unique(scale(levels / unit))
        at = at[np.linspace(0, len(at) - 1, min(len(at), MOST_LEVELS)).round().astype(int)]
        plain = cls(column, unit, at, min(int(alone), len(at) - 1), scale.length**2 / 3 if steep else 1.0)
        within = plain._chosen(np.empty(0), at, 0.04 if alone else 0.15)
        settled = plain._chosen(within, at, 0.005 if alone else 0.02)
        beyond = plain._chosen(settled, scale.grid(at), 0.0, relative=0.15)
        return replace(plain, pivots=beyond, sampled=len(within), small=len(settled) - len(within))

    def _chosen(self, pivots: np.ndarray, among: np.ndarray, least: float, relative: float = 0.0) -> np.ndarray:
        """Return the pivots with those added at which most of the standard deviation is left, down to a limit."""
        variance = self._diagonal(among)
        while len(pivots) < MOST_PIVOTS:
            left = np.sqrt(np.maximum(variance - (self._basis(among, pivots) ** 2).sum(-1), 0))
            excess = left - np.maximum(least, relative * np.sqrt(np.maximum(variance, 1e-4)))
            if (best := int(excess.argmax())) < 0 or excess[best] <= 0:
                break
            pivots = np.append(pivots, among[best])
        return pivots

    @cached_property
    def _fitted(self) -> np.ndarray:
        return np.linalg.pinv(self._powers(self.levels))

    def _powers(self, at: np.ndarray) -> np.ndarray:
        return np.vander(at - self.levels.mean(), self.degree + 1, increasing=True)

    def _matern(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        far = np.sqrt(3) * np.abs(one[:, None] - other) / SCALES[self.column].length
        covariance: np.ndarray = self.variance * (1 + far) * np.exp(-far)
        return covariance

    def _covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the covariance of the process minus its least-squares polynomial over the levels."""
        line, other_line = self._powers(one) @ self._fitted, self._powers(other) @ self._fitted
        x = self.levels
        found: np.ndarray = (
            self._matern(one, other)
            - line @ self._matern(x, other)
            - self._matern(one, x) @ other_line.T
            + line @ self._matern(x, x) @ other_line.T
        )
        return found

    def _diagonal(self, at: np.ndarray) -> np.ndarray:
        line = self._powers(at) @ self._fitted
        cross = (line * self._matern(at, self.levels)).sum(1)
        within = ((line @ self._matern(self.levels, self.levels)) * line).sum(1)
        found: np.ndarray = self.variance - 2 * cross + within
        return found

    def _basis(self, at: np.ndarray, pivots: np.ndarray) -> np.ndarray:
        if not len(pivots):
            return np.zeros((len(at), 0))
        factor = np.linalg.cholesky(self._covariance(pivots, pivots) + JITTER * np.eye(len(pivots)))
        return np.asarray(solve_triangular(factor, self._covariance(pivots, at), lower=True).T)

    def basis(self, values: np.ndarray) -> np.ndarray:
        """Return the functions (..., pivot) at values of the column."""
        unique, place = np.unique(values, return_inverse=True)
        every = self._basis(SCALES[self.column](unique / self.unit), self.pivots)
        small = slice(self.sampled, self.sampled + self.small)
        return np.delete(every, small, axis=-1)[place.reshape(values.shape)]

    @property
    def features(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The knots, and two matrices that make the functions of simpler ones.

        The functions at a point are the first matrix (function, knot) times the Matern covariances of the point with
        the knots, plus the second (function, power) times the powers of its distance from the mean level.
        """
        x, pivots = self.levels, self.pivots
        line = self._powers(pivots) @ self._fitted
        of_knots = np.hstack([np.eye(len(pivots)), -line])
        of_powers = (line @ self._matern(x, x) - self._matern(pivots, x)) @ self._fitted.T
        factor = np.linalg.cholesky(self._covariance(pivots, pivots) + JITTER * np.eye(len(pivots)))
        both = solve_triangular(factor, np.hstack([of_knots, of_powers]), lower=True)
        both = np.delete(both, slice(self.sampled, self.sampled + self.small), axis=0)
        knots = np.concatenate([pivots, x])
        return knots, both[:, : len(knots)], both[:, len(knots) :]

    def __len__(self) -> int:
        return len(self.pivots) - self.small


@dataclass(frozen=True, eq=False)
class Process:
    """One smooth function of log loss, as basis functions with standard normal weights.

    Attributes
    ----------
    factors : tuple
        One per column; the functions of several columns are products.
    """

    name: str
    factors: tuple[_Factor, ...]

    @property
    def weights(self) -> str:
        """The name of its weights, in units of the slope."""
        return f"misfit_{self.name}"

    @property
    def slope(self) -> str:
        """The name of the standard deviation of its slope."""
        return f"{self.weights}_slope"

    @property
    def dim(self) -> str:
        """The dim of its basis functions."""
        return f"knot_{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns along which it lies."""
        return tuple(f.column for f in self.factors)

    @property
    def sampled(self) -> int:
        """Number of basis functions that meet the measurements; they come first."""
        return prod(f.sampled for f in self.factors)

    @cached_property
    def order(self) -> np.ndarray:
        """Products of basis functions, those of measured levels first."""
        sizes = [len(f) for f in self.factors]
        index = np.indices(sizes).reshape(len(sizes), -1)
        beyond = np.any([i >= f.sampled for i, f in zip(index, self.factors, strict=True)], axis=0)
        return np.argsort(beyond, kind="stable")

    def __len__(self) -> int:
        return len(self.order)

    def basis(self, columns: Mapping[Any, xr.DataArray]) -> xr.DataArray:
        """Return the basis functions at columns, with their dims and that of the process."""
        found = xr.DataArray(np.ones(1), dims=self.dim)
        for factor in self.factors:
            column = columns[factor.column]
            own = xr.DataArray(factor.basis(column.values.astype(float)), dims=(*column.dims, "__own"))
            own = own.assign_coords({d: column[d] for d in column.dims if d in column.coords})
            found = (found * own).stack(__both=(self.dim, "__own"), create_index=False).rename(__both=self.dim)
        return found.isel({self.dim: self.order})

    @property
    def prior(self) -> Prior:
        """The prior of its weights."""
        return Prior("Normal", mu=0.0, sigma=1.0, dims=("eval", self.dim))

    def value(self, parameters: Mapping[str, Any], basis: Any) -> Any:
        """Return the process where its basis functions have these values."""
        return parameters[self.slope] * (basis * parameters[self.weights]).sum(self.dim)
