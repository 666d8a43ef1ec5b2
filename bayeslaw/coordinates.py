"""The coordinates in which the sampler moves: what the data see, instead of the coefficients.

The amplitudes of a law (E, A, B, C, ...) enter it linearly and trade against its exponents along curved ridges. The
sampler moves in

- the mean loss over the design, instead of the additive level;
- the log of the drop of each term across the design, instead of its amplitude;
- their deviations from what data, priors and noise expect of them together (`bayeslaw.conditionals`), instead of these.

The posterior is the model's own: its density at the mapped values, with the Jacobian added.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit

from bayeslaw.blocks import Block
from bayeslaw.conditionals import Conditionals
from bayeslaw.density import Density

__all__ = ["Coordinates"]

LEVELS = (0.0, 0.5, 1.0)
"""Quantiles of a covariate over which terms are averaged and between which they drop."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The map between a density's parameters and straighter coordinates, and the density in them.

    Parameters
    ----------
    density : Density
        What is sampled.
    conditionals : tuple of Conditionals
        Coefficients that are moved by their deviations. Any numbers in them leave the posterior as it is.
    """

    density: Density
    conditionals: tuple[Conditionals, ...] = ()

    @cached_property
    def _levels(self) -> dict[str, np.ndarray]:
        """Low, middle and high level of each covariate as measured: (level, point); a single one for a group's own."""
        d, result = self.density.design, {}
        ev = self.density.labels["eval"]
        for name, value in self.density.model.law.inputs(d.rows, d.reference).items():
            if name in d.groups:
                result[name] = (d.groups[name] / d.reference[name])[self.density.labels[name]][None]
                continue
            x = value.broadcast_like(d.measured).transpose("row", "eval").values
            levels = [np.quantile(x[d.measured.values[:, e], e], LEVELS) for e in range(len(d.evals))]
            result[name] = np.array(levels).T[:, ev]
        return result

    @cached_property
    def amplitudes(self) -> dict[str, str]:
        """Positive coefficients in which the law is linear, with the covariate along which each is seen."""
        coefficients, parameters = self.density.model.law.coefficients.items(), self.density.parameters
        return {
            n: str(c.seen_along)
            for n, c in coefficients
            if c.seen_along not in (None, "level") and parameters[n].scale == "log"
        }

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """Amplitudes sampled by the drop of their term: those whose covariate varies within a group."""
        levels = self._levels
        return tuple(
            name
            for name, along in self.amplitudes.items()
            if len(levels[along]) > 1 and (levels[along][-1] > 1.05 * levels[along][0]).all()
        )

    @cached_property
    def level(self) -> str | None:
        """The coefficient sampled by the mean loss."""
        coefficients, parameters = self.density.model.law.coefficients.items(), self.density.parameters
        return next((n for n, c in coefficients if c.seen_along == "level" and parameters[n].scale != "log"), None)

    @cached_property
    def _units(self) -> Block:
        """Each term at unit amplitude, over the levels of all covariates; last what is in the law beside the terms."""
        d, names = self.density, list(self.density.model.law.coefficients)
        zero, one = d.size, d.size + 1
        entries = []
        for name in (*self.amplitudes, None):
            entry = d.entries(d.labels)
            for other in (*self.amplitudes, *([self.level] if self.level else [])):
                entry[names.index(other)] = one if other == name else zero
            entries.append(entry)
        covariates = []
        for number, levels in enumerate(self._levels.values()):
            shape = [1] * len(self._levels)
            shape[number] = len(levels)
            covariates.append(np.tile(levels, len(entries)).reshape(*shape, -1))
        return Block(tuple(covariates), np.concatenate(entries, axis=1))

    @cached_property
    def _contrasts(self) -> np.ndarray:
        """Weights (amplitude, cell) of a term's values in its drop: 0 where it is not sampled by its drop."""
        shape, axes = self._units.shape[:-1], list(self._levels)
        weights = np.zeros((len(self.amplitudes), *shape))
        for number, (name, along) in enumerate(self.amplitudes.items()):
            if name in self.dropped:
                at = np.moveaxis(weights[number], axes.index(along), 0)
                at[0], at[-1] = 1.0, -1.0
        return weights.reshape(len(self.amplitudes), int(np.prod(shape)))

    @cached_property
    def _plan(self) -> tuple[np.ndarray, ...]:
        """What the compiled maps need: where amplitudes and levels lie, over how many points, and the drops."""
        d, names = self.density, list(self.density.model.law.coefficients)
        entries = d.entries(d.labels)
        terms = np.array([entries[names.index(n)] for n in self.amplitudes], int)
        terms = terms.reshape(len(self.amplitudes), len(self.density.labels["eval"]))
        level = entries[names.index(self.level)] if self.level else np.empty(0, int)
        count = np.zeros(d.size)
        for owners in (*terms, level):
            np.add.at(count, owners, 1.0)
        return terms, level, 1 / np.maximum(count, 1.0), self._contrasts

    def _evaluate_units(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        c, chain = self.density.parameters.natural(v)
        unit, slopes = self._units.evaluate(self.density.model.law, np.append(c, (0.0, 1.0)))
        shape = (-1, len(self.amplitudes) + 1, len(self.density.labels["eval"]))
        return unit.reshape(shape), c, chain, slopes

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, tuple[Any, ...]]:
        """Return parameters, log Jacobian and what `backward` needs; NaN where the map has no value."""
        v, jacobian = u.copy(), 0.0
        natural = self.density.parameters.natural(u)
        for sets in self.conditionals:
            jacobian += sets.place(u, v, natural[0])
        unit, _, chain, slopes = self._evaluate_units(v)
        if not (math.isfinite(jacobian) and _place_terms(v, unit, *self._plan)):
            return v, math.nan, ()
        return v, jacobian, (natural, unit, slopes, chain)

    def backward(self, u: np.ndarray, v: np.ndarray, gradient: np.ndarray, memory: tuple[Any, ...]) -> np.ndarray:
        """Return the gradient in the coordinates, Jacobian included, from the gradient in the parameters."""
        natural, unit, slopes, chain = memory
        g, pull = gradient.copy(), np.zeros_like(unit)
        _pull_terms(g, v, unit, pull, *self._plan)
        self._units.pull_back(pull, slopes, chain, g)
        for sets in self.conditionals:
            sets.pull_back(g, u, *natural)
        return g

    def inverse(self, v: np.ndarray) -> np.ndarray:
        """Return the coordinates of a parameter vector."""
        unit, c, _, _ = self._evaluate_units(v)
        w = v.copy()
        _displace_terms(w, v, unit, *self._plan)
        u = w.copy()
        for sets in self.conditionals:
            sets.displace(w, u, c)
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


@njit(cache=True, nogil=True, error_model="numpy")
def _fall(unit, contrasts, a, p):  # type: ignore[no-untyped-def]
    fall = 0.0
    for m in range(len(unit)):
        fall += contrasts[a, m] * unit[m, a, p]
    return fall


@njit(cache=True, nogil=True, error_model="numpy")
def _above(v, unit, terms, p):  # type: ignore[no-untyped-def]
    """Mean over the design of what the law adds to its level."""
    above = 0.0
    for m in range(len(unit)):
        above += unit[m, -1, p]
        for a in range(len(terms)):
            above += math.exp(v[terms[a, p]]) * unit[m, a, p]
    return above / len(unit)


@njit(cache=True, nogil=True, error_model="numpy")
def _place_terms(v, unit, terms, level, weight, contrasts):  # type: ignore[no-untyped-def]
    """Log drops to log amplitudes, then the mean loss to the level; False where a term does not drop."""
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                fall = _fall(unit, contrasts, a, p)
                if not fall > 0:
                    return False
                v[terms[a, p]] -= weight[terms[a, p]] * math.log(fall)
    for p in range(len(level)):
        v[level[p]] -= weight[level[p]] * _above(v, unit, terms, p)
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _displace_terms(u, v, unit, terms, level, weight, contrasts):  # type: ignore[no-untyped-def]
    for p in range(len(level)):
        u[level[p]] += weight[level[p]] * _above(v, unit, terms, p)
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                u[terms[a, p]] += weight[terms[a, p]] * math.log(_fall(unit, contrasts, a, p))


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_terms(g, v, unit, pull, terms, level, weight, contrasts):  # type: ignore[no-untyped-def]
    cells = len(unit)
    for p in range(len(level)):
        force = -g[level[p]] * weight[level[p]] / cells
        for m in range(cells):
            pull[m, -1, p] += force
        for a in range(len(terms)):
            amplitude, total = math.exp(v[terms[a, p]]), 0.0
            for m in range(cells):
                pull[m, a, p] += force * amplitude
                total += unit[m, a, p]
            g[terms[a, p]] += force * amplitude * total
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                force = -g[terms[a, p]] * weight[terms[a, p]] / _fall(unit, contrasts, a, p)
                for m in range(cells):
                    pull[m, a, p] += force * contrasts[a, m]
