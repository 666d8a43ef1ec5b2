"""The coordinates of the sampler, without the curved ridges between amplitudes and exponents.

The amplitudes of a law (E, A, B, C, ...) enter it linearly and are correlated with its exponents along curved ridges.
The sampler moves

- the mean loss over the design instead of the additive level;
- the log of the drop of each term across the design instead of its amplitude; where the design varies only between
  groups that share the amplitude, the log of the term in the group where it is largest;
- deviations from conditional means instead of pooled coefficients (`bayeslaw.sampler.conditionals`); the location of a
  population moves like the coefficients of a law at that location, its spread by what it does to the drop
  (`bayeslaw.sampler.spreads`).

The density in the coordinates is that of the model at the mapped values times the Jacobian.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bayeslaw.sampler.blocks import Block, block_arrays
from bayeslaw.sampler.compiled import COORDINATES, LIKELIHOOD, TO_PARAMETERS, evaluate
from bayeslaw.sampler.conditionals import Conditionals, family_arrays
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.maps import alone, displace_terms, log_falls
from bayeslaw.sampler.softened import Softened
from bayeslaw.sampler.splits import Splits
from bayeslaw.sampler.spreads import Spreads
from bayeslaw.sampler.table import Tables
from bayeslaw.sampler.weights import Weights
from bayeslaw.sampler.widths import Widths

__all__ = ["Coordinates"]

VARIES, QUANTILES = 1.05, (0.0, 0.5, 1.0)
"""Ratio of the ends of a covariate from which on it varies; its quantiles over which terms are averaged, and drop."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The map between parameters and coordinates, and the density in the coordinates.

    Parameters
    ----------
    density : Density
        The density in the parameters.
    conditionals : tuple of Conditionals
        Pooled coefficients that move by deviations.
    weights : Weights
        What the measurements say about the weights of the misfit.
    determined : tuple of array, optional
        The weights of cells in the mean loss, and (amplitude, cell) in the drops (`bayeslaw.sampler.determined`).
    splits, widths, softened : Splits, Widths, Softened
        Drops that move by their sum, coordinates that are as wide as the noise is large, logarithms without a wall.
    """

    density: Density
    conditionals: tuple[Conditionals, ...] = ()
    weights: Weights = Weights()
    determined: tuple[np.ndarray, np.ndarray] | None = None
    splits: Splits = Splits()
    widths: Widths = Widths()
    softened: Softened = Softened()

    @cached_property
    def _levels(self) -> dict[str, np.ndarray]:
        """Quantiles of each covariate as measured (level, point); one level for a covariate fixed within a group."""
        d, law, labels, result = self.density.design, self.density.model.law, self.density.labels, {}
        for name, value in law.inputs(d.rows, d.reference).items():
            if name in d.groups:
                result[name] = (d.groups[name] / d.reference[name])[labels[name]][None]
            elif (of := law.covariates[name].of or "") in d.groups:
                own = d.feature(name, {of: xr.DataArray(d.groups[of])})
                assert own is not None
                result[name] = (own.values / d.reference[name])[labels[of]][None]
            elif name not in law.vectors:
                result[name] = self._by_eval(value, lambda x: np.quantile(x, QUANTILES))
        return result

    def _by_eval(self, value: xr.DataArray, summary: Callable[[np.ndarray], Any]) -> np.ndarray:
        """Return a summary (summary, point) of a covariate in the rows where each validation set was measured.

        Where it was measured nowhere (outside the law's range, or not in this fold), all rows count.
        """
        measured = self.density.design.measured
        x = value.broadcast_like(measured).transpose("row", "eval").values
        found = [np.atleast_1d(summary(x[own | ~own.any(), e])) for e, own in enumerate(measured.values.T)]
        return np.array(found).T[:, self.density.labels["eval"]]

    @cached_property
    def amplitudes(self) -> dict[str, str]:
        """Positive coefficients in which the law is linear, with their covariates (`bayeslaw.declare.terms`)."""
        stated, parameters = self.density.model.terms.items(), self.density.parameters
        return {n: along for n, along in stated if along != "level" and parameters[n].scale == "log"}

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """Amplitudes moved by the drop of their term: those whose covariate varies within a group."""
        levels = {n: v for n, v in self._levels.items() if len(v) > 1 and (v[-1] > VARIES * v[0]).all()}
        return tuple(name for name, along in self.amplitudes.items() if along in levels)

    @cached_property
    def _lowest(self) -> dict[str, np.ndarray]:
        """Amplitudes moved by their term where their covariate is lowest, and the points where it is.

        Those whose covariate is fixed within a group, but varies between groups that share the amplitude.
        """
        entries, own, found = self._homes[0], len(self.density.labels["eval"]), {}
        for name, along in self.amplitudes.items():
            levels = self._levels.get(along, np.empty((0, own)))
            if len(levels) != 1:
                continue
            at = entries[self.density.flat.index(name)]
            value = np.resize(levels[0], len(at))
            low, high = np.full(self.density.size, np.inf), np.zeros(self.density.size)
            np.minimum.at(low, at, value)
            np.maximum.at(high, at, value)
            if (high > VARIES * low)[at[:own]].all():
                found[name] = value == low[at]
        return found

    @cached_property
    def level(self) -> str | None:
        """The coefficient moved by the mean loss."""
        stated, parameters = self.density.model.terms.items(), self.density.parameters
        return next((n for n, along in stated if along == "level" and parameters[n].scale != "log"), None)

    @cached_property
    def _locations(self) -> np.ndarray:
        """Entries of population locations on the log scale."""
        parameters = self.density.parameters
        logs = [block.entries for block in parameters.values() if block.prior.distribution == "LogNormal"]
        locations = parameters.parents["mu"][np.concatenate([np.empty(0, int), *logs])]
        return np.unique(locations[locations >= 0])

    @cached_property
    def _homes(self) -> tuple[np.ndarray, np.ndarray]:
        """Entries (coefficient, point) of every point's coefficients, and which of them the point moves.

        If there are populations, the points occur twice: with the coefficients of the groups, then with the locations
        of the populations in their place. The second ones move only the locations.
        """
        entries = self.density.entries(self.density.labels)
        location = self.density.parameters.parents["mu"][entries]
        if (location < 0).all():
            return entries, np.ones_like(entries, bool)
        homes = np.where(location >= 0, location, entries)
        return np.hstack([entries, homes]), np.hstack([np.ones_like(entries, bool), location >= 0])

    @cached_property
    def _covariates(self) -> dict[str, list[np.ndarray]]:
        """The levels (level, point) of every covariate over which terms are averaged, or its mean; one by label."""
        d, found = self.density, {}
        for name, value in d.model.law.inputs(d.design.rows, d.design.reference).items():
            own = self._levels.get(name)
            found[name] = [self._by_eval(x, np.mean) for x in d.by_label(value)] if own is None else [own]
        return found

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """The first of all points that are alike, and which of these every point is like.

        The locations of a population are one point for all groups whose covariates have the same levels.
        """
        homes, owned = self._homes
        copies = homes.shape[1] // len(self.density.labels["eval"])
        levels = [np.tile(x, copies) for arrays in self._covariates.values() for x in arrays]
        _, first, like = np.unique(np.vstack([homes, owned, *levels]), axis=1, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return first[order], np.argsort(order)[like.ravel()]

    @cached_property
    def units(self) -> Block:
        """The law with one term alone at unit amplitude, over the levels of all covariates; at the end with no term."""
        d, names, points = self.density, self.density.flat, self._distinct[0]
        zero, one = d.size, d.size + 1
        value_at = np.arange(d.size)
        value_at[self._locations] = d.size + 2 + np.arange(len(self._locations))
        entries = []
        for name in (*self.amplitudes, None):
            entry = value_at[self._homes[0][:, points]]
            for other in (*self.amplitudes, *([self.level] if self.level else [])):
                entry[names.index(other)] = one if other == name else zero
            entries.append(entry)
        covariates, at = [], points % len(d.labels["eval"])
        for number, arrays in enumerate(self._covariates.values()):
            for levels in arrays:
                shape = [1] * len(self._covariates)
                shape[number] = len(levels)
                covariates.append(np.tile(levels[:, at], len(entries)).reshape(*shape, -1))
        return Block(tuple(covariates), np.concatenate(entries, axis=1))

    @cached_property
    def contrasts(self) -> np.ndarray:
        """Weights (amplitude, cell) of a term's values in its drop or in the term; 0 for those that move by neither."""
        if self.determined:
            return self.determined[1]
        shape, axes = self.units.shape[1:], list(self.density.model.law.covariates)
        weights = np.zeros((len(self.amplitudes), *shape))
        for number, (name, along) in enumerate(self.amplitudes.items()):
            at = np.moveaxis(weights[number], axes.index(along), 0)
            if name in self.dropped:
                at[0], at[-1] = 1.0, -1.0
            elif name in self._lowest:
                at[0] = 1.0
        return weights.reshape(len(self.amplitudes), int(np.prod(shape)))

    @cached_property
    def plan(self) -> tuple[np.ndarray, ...]:
        """The arguments of the compiled maps.

        Entries of the amplitudes (amplitude, point) and of the level (point), each with the share of the point in the
        entry; the contrasts; the locations of levels on the log scale, and where these bend; the weights of the mean.
        """
        d, names = self.density, self.density.flat
        (homes, owned), (points, like) = self._homes, self._distinct
        owned = owned.copy()
        for name, lowest in self._lowest.items():
            owned[names.index(name)] &= lowest
        rows = [names.index(n) for n in (*self.amplitudes, *([self.level] if self.level else []))]
        count = np.zeros(d.size)
        for row in rows:
            np.add.at(count, homes[row], owned[row].astype(float))
        weight = np.where(owned, 1 / np.maximum(count[homes], 1.0), 0.0)
        weight = np.array([np.bincount(like, own) for own in weight])
        homes, size, k = homes[:, points], len(points), len(self.amplitudes)
        terms, term_weight = (x[rows[:k]].reshape(k, size) for x in (homes, weight))
        level, level_weight = (x[rows[k]] if self.level else x[0, :0] for x in (homes, weight))
        logs = np.intersect1d(level, self._locations)
        bend = np.full(len(logs), d.parameters[self.level].bend if self.level else 0.0)
        mean = self.determined[0] if self.determined else np.full(self.contrasts.shape[1], 1 / self.contrasts.shape[1])
        return terms, term_weight, level, level_weight, self.contrasts, logs, bend, mean

    @cached_property
    def of_groups(self) -> np.ndarray:
        """Which coordinates are of coefficients of some groups only; the others are shared."""
        d = self.density
        entry = d.entries(d.labels)
        groups = entry.shape[1] // len(d.design.evals)
        group = np.broadcast_to(np.arange(entry.shape[1]) % groups, entry.shape)
        once = np.unique(np.column_stack([entry.ravel(), group.ravel()]), axis=0)[:, 0]
        count = np.bincount(once, minlength=d.size)
        some: np.ndarray = (count > 0) & (count < groups)
        return some

    @property
    def of_weights(self) -> np.ndarray:
        """Which coordinates are of weights of a misfit that follow the law."""
        found = np.zeros(self.density.size, bool)
        found[[i for entries in self.weights.entries for i in entries[0]]] = True
        return found

    @cached_property
    def parts(self) -> np.ndarray:
        """The part of every coordinate, -1 of those that are shared: no two of different parts meet in the density.

        Coordinates of groups meet at the points of a group, in a run of several groups, in what moves with the terms of
        several groups (a level or an amplitude that these share), and in the deviations from one conditional mean. All
        meet in the weights of a misfit that follow the law.
        """
        if self.weights.entries:
            return np.full(self.density.size, -1)
        d, homes = self.density, self._homes[0][:, self._distinct[0]]
        terms, term_weight, level, level_weight, contrasts, *_ = self.plan
        entry = d.entries(d.labels)
        group = self._group_in_runs[np.arange(entry.shape[1]) % len(self._group_in_runs)]
        meet = [(entry, group), *((s.entry.T, np.arange(len(s.entry))) for s in self.conditionals)]
        exponents = homes[[name not in (*self.amplitudes, self.level) for name in d.flat]]
        moved = [(exponents, *ends) for ends in zip(terms, term_weight * contrasts.any(axis=1)[:, None], strict=True)]
        for entries, mover, weight in [*moved, (homes, level, level_weight)] if len(level) else moved:
            meet.append((entries[:, weight != 0], mover[weight != 0]))
        ends, start = [], d.size
        for entries, place in meet:
            pairs = np.column_stack([entries.ravel(), start + np.resize(place, entries.size)])
            ends.append(pairs[self.of_groups[pairs[:, 0]]])
            start += place.max(initial=-1) + 1
        one, other = np.concatenate(ends).T
        graph = coo_array((np.ones(len(one)), (one, other)), (start, start))
        label = connected_components(graph, directed=False)[1][: d.size]
        found = np.full(d.size, -1)
        found[self.of_groups] = np.unique(label[self.of_groups], return_inverse=True)[1]
        return found

    @cached_property
    def _group_in_runs(self) -> np.ndarray:
        """A number for every combination of groups, equal where a run was measured in both."""
        design = self.density.design
        sizes = [len(v) for v in design.groups.values()]
        groups, run = int(np.prod(sizes)), np.unique(design.rows["run"].values, return_inverse=True)[1]
        at = np.ravel_multi_index(tuple(design.positions()[g] for g in design.groups), sizes) if sizes else 0 * run
        size = groups + run.max() + 1
        found: np.ndarray = connected_components(coo_array((np.ones(len(run)), (at, groups + run)), (size, size)))[1]
        return found[:groups]

    def evaluate_units(self, v: np.ndarray) -> np.ndarray:
        """Return the values of the units at a parameter vector."""
        values = np.concatenate([self.density.parameters.natural(v)[0], (0.0, 1.0), np.exp(v[self._locations])])
        return self.units.evaluate(self.density.model.law, values)[0]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the compiled density (`bayeslaw.sampler.table`)."""
        d, law = self.density, self.density.model.law
        names = ("terms", "term_weight", "level", "level_weight", "contrasts", "logs", "log_bend", "mean")
        found = d.arrays | dict(zip(names, self.plan, strict=True)) | {"locations": self._locations}
        found |= block_arrays([*d.blocks, (law, self.units)]) | family_arrays(self.conditionals) | self._spreads.arrays
        return found | self.weights.arrays() | self.splits.arrays() | self.widths.arrays() | self.softened.arrays()

    @cached_property
    def _spreads(self) -> Spreads:
        """The spreads of the populations."""
        return Spreads.of(self.density.parameters, self.conditionals, self.plan[0][self.contrasts.any(axis=1)])

    @cached_property
    def _table(self) -> Tables:
        return Tables(self.arrays)

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float]:
        """Return parameters and log Jacobian (NaN where the map has no value)."""
        jacobian, v = evaluate(u, self._table[TO_PARAMETERS])
        return v, jacobian

    def inverse(self, v: np.ndarray) -> np.ndarray:
        """Return the coordinates of a parameter vector."""
        w, falls, unit = v.copy(), np.zeros_like(v), self.evaluate_units(v)
        alone(unit, self.plan[0])
        displace_terms(w, v, unit, *self.plan)
        log_falls(unit, *self.plan[:2], self.contrasts, falls)
        u, c = w.copy(), self.density.parameters.natural(v)[0]
        self._spreads.displace(v, u)
        for sets in self.conditionals:
            sets.displace(sets.straight(w, c, falls), u, c[sets.spread])
        self.weights.displace(self.density, v, u)
        for part in (self.splits, self.widths, self.softened):
            part.displace(u)
        return u

    def __call__(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log density and gradient in the coordinates; minus infinity where the map has no value."""
        return evaluate(u, self._table[COORDINATES])

    def likelihood(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log density and gradient with the likelihood in place of the posterior, the Jacobian included."""
        return evaluate(u, self._table[LIKELIHOOD])
