"""The coordinates in which the sampler moves: what the data see, instead of the coefficients.

The amplitudes of a law (E, A, B, C, ...) enter it linearly and trade against its exponents along curved ridges. The
sampler therefore moves in

- the loss at an anchor run, instead of the additive level;
- the log of the drop of each term across the design, instead of its amplitude;
- the standardised deviation from the population, for a pooled coefficient that is not an amplitude;

each centred and scaled by a least-squares fit. The joint prior and the posterior stay what the model says: its own
log density is evaluated at the mapped values, and the Jacobian is added. Centring values are data, so refits need no
compilation. The map is written once, for the graph and for the draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import xarray as xr
from pytensor.graph import rewrite_graph
from pytensor.graph.replace import graph_replace
from pytensor.xtensor import as_xtensor

from bayeslaw.design import Design
from bayeslaw.law import exp, log
from bayeslaw.least_squares import Estimate, is_positive, prior_location
from bayeslaw.model import Model

__all__ = ["Coordinates"]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The map between a model's parameters and the sampler's coordinates."""

    model: Model

    @cached_property
    def amplitudes(self) -> dict[str, str]:
        """Amplitudes that are sampled by their drop, with the covariate along which it is seen."""
        found = {}
        for name, c in self.model.law.coefficients.items():
            along = c.seen_along
            if along and along != "level" and is_positive(self.model, name) and len(self._range(along)) > 1:
                found[name] = along
        return found

    @cached_property
    def level(self) -> str | None:
        """The coefficient that is sampled by the loss at the anchor run."""
        names = [n for n, c in self.model.law.coefficients.items() if c.seen_along == "level" and is_positive(self.model, n)]
        return names[0] if names else None

    @cached_property
    def standardised(self) -> tuple[str, ...]:
        """Pooled coefficients that are sampled as deviations from their population."""
        return tuple(n for n in self.model.by if n not in self.amplitudes and n != self.level)

    def _range(self, covariate: str, design: Design | None = None) -> np.ndarray:
        d = design or self.model.design
        value, measured = xr.broadcast(self.model.law.inputs(d.rows, d.reference)[covariate], d.measured)
        seen = value.values[measured.values]
        return np.unique([seen.min(), seen.max()])

    def anchors(self, design: Design | None = None) -> dict[str, np.ndarray]:
        """Covariates of the anchor runs (data of the sampler): low, middle and high of each."""
        d = design or self.model.design
        result = {}
        for name, value in self.model.law.inputs(d.rows, d.reference).items():
            value, measured = xr.broadcast(value, d.measured)
            seen = value.values[measured.values]
            result[name] = np.array([seen.min(), np.sqrt(seen.min() * seen.max()), seen.max()])
        return result

    def _law(self, anchors: Mapping[str, Any], at: Mapping[str, int], coefficients: Mapping[str, Any]) -> Any:
        return self.model.law.function(*(anchors[c].isel(anchor=at.get(c, 1)) for c in self.model.law.covariates), **coefficients)

    def _terms(self, coefficients: Mapping[str, Any], anchors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Log drop of every amplitude's term at unit amplitude, and the term's unit value at the anchor run."""
        zero = {n: 0.0 for n in (*self.amplitudes, *([self.level] if self.level else []))}
        drops, at_anchor = {}, {}
        first = {c: 1 if c not in ("N", "D") else 0 for c in self.model.law.covariates}
        for name, along in self.amplitudes.items():
            unit = {**coefficients, **zero, name: 1.0}
            drops[name] = self._law(anchors, {along: 0}, unit) - self._law(anchors, {along: 2}, unit)
            at_anchor[name] = self._law(anchors, first, unit)
            if rest := self._rest(coefficients, anchors, first):
                drops[name], at_anchor[name] = drops[name], at_anchor[name] - rest
        return drops, at_anchor

    def _rest(self, coefficients: Mapping[str, Any], anchors: Mapping[str, Any], at: Mapping[str, int]) -> Any:
        """Terms that belong to no amplitude are left where they are."""
        return None

    def to_coefficients(self, u: Mapping[str, Any], anchors: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Map coordinates to unconstrained parameters; also the log Jacobian (a sum over everything but draws)."""
        model, v, jacobian = self.model, dict(u), []
        for name in self.standardised:
            spread = u[f"{name}_sigma"]
            v[name] = u[f"{name}_mu"] + exp(spread) * u[name]
            jacobian.append(spread + 0 * u[name])
        coefficients = {n: exp(v[n]) if is_positive(model, n) else v[n] for n in model.law.coefficients}
        drops, at_anchor = self._terms(coefficients, anchors)
        for name, drop in drops.items():
            v[name] = u[name] - _reduced(log(drop), u[name])
            coefficients[name] = exp(v[name])
        if self.level:
            above = sum(_reduced(coefficients[n] * at_anchor[n], u[self.level]) for n in drops)
            floor = u[self.level] - above
            v[self.level] = log(floor)
            jacobian.append(-v[self.level])
        return v, jacobian

    def from_coefficients(self, v: Mapping[str, xr.DataArray], anchors: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
        """Map unconstrained parameters to coordinates (named arrays)."""
        model, u = self.model, dict(v)
        coefficients = {n: exp(v[n]) if is_positive(model, n) else v[n] for n in model.law.coefficients}
        drops, at_anchor = self._terms(coefficients, anchors)
        for name, drop in drops.items():
            u[name] = v[name] + _reduced(log(drop), v[name])
        if self.level:
            above = sum(_reduced(coefficients[n] * at_anchor[n], v[self.level]) for n in drops)
            u[self.level] = coefficients[self.level] + above
        for name in self.standardised:
            u[name] = (v[name] - v[f"{name}_mu"]) / exp(v[f"{name}_sigma"])
        return u

    def data(self, estimate: Estimate, design: Design | None = None) -> dict[str, np.ndarray]:
        """Anchors, centres and scales: what of the coordinates depends on the data."""
        anchors = self.anchors(design)
        named = {k: xr.DataArray(a, dims="anchor") for k, a in anchors.items()}
        v, sd = self._guess(estimate)
        u = self.from_coefficients(v, named)
        scale = self._scales(estimate, v, named, sd)
        result = {f"anchor_{k}": a for k, a in anchors.items()}
        for name, value in self.model.pymc_model.rvs_to_values.items():
            key = name.name
            if key in u:
                dims = value.type.dims
                result[f"center_{key}"] = u[key].transpose(*dims).values
                result[f"scale_{key}"] = scale[key].transpose(*dims).values
        return result

    def _guess(self, estimate: Estimate) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
        """First values and scales of every parameter on its unconstrained scale."""
        model = self.model
        evals = xr.DataArray(np.zeros(len(model.design.evals)), dims="eval", coords={"eval": model.design.evals})
        v, sd = {}, {}
        for name in model.law.coefficients:
            c = estimate.coefficients[name]
            v[name] = log(c) if is_positive(model, name) else c
            if name in model.by:
                dim = model.by[name]
                between = model.law.coefficients[name].between
                n = v[name].sizes[dim]
                seen = v[name].std(dim)
                spread = ((seen**2 + 0.25 * between**2) / 2) ** 0.5
                v[f"{name}_mu"], v[f"{name}_sigma"] = v[name].mean(dim), log(spread)
                sd[f"{name}_mu"] = (spread**2 / n + 0.05**2) ** 0.5
                sd[f"{name}_sigma"] = evals + 1 / np.sqrt(2 * n)
        v["sigma"], sd["sigma"] = log(estimate.sigma), evals + 0.1
        point = model.pymc_model.initial_point()
        for rv in model.pymc_model.free_RVs:
            if rv.name not in v:
                value = model.pymc_model.rvs_to_values[rv]
                dims = value.type.dims
                v[rv.name] = xr.DataArray(np.asarray(point[value.name]), dims=dims, coords={d: model.pymc_model.coords[d] for d in dims})
                sd[rv.name] = xr.ones_like(v[rv.name]) * 0.5
        return v, sd

    def _scales(
        self,
        estimate: Estimate,
        v: Mapping[str, xr.DataArray],
        anchors: Mapping[str, xr.DataArray],
        sd: Mapping[str, xr.DataArray],
    ) -> dict[str, xr.DataArray]:
        """Approximate posterior standard deviations of the coordinates, by the delta method and by simulation."""
        rng = np.random.default_rng(0)
        draws = 200
        simulated = dict(v)
        for name in self.model.law.coefficients:
            simulated[name] = xr.concat([v[name]] * draws, "draw").copy()
        for number, (_, o) in enumerate(estimate.unconstrained.items()):
            values, vectors = np.linalg.eigh(o.covariance)
            root = vectors * np.sqrt(np.clip(values, 0, 4.0))
            step = 0.05 * rng.standard_normal((draws, len(o.theta))) @ root.T
            for name, place in o.layout.items():
                block = simulated[name].isel(eval=number)
                simulated[name][{"eval": number}] = block + step[:, place].reshape(block.shape)
        u = self.from_coefficients(simulated, anchors)
        scale = dict(sd)
        for name in self.model.law.coefficients:
            scale[name] = (u[name].std("draw") / 0.05).clip(1e-4, 2.0)
        return scale

    @cached_property
    def pymc_model(self) -> pm.Model:
        """The same model in the sampler's coordinates: flat variables and one log density."""
        clean = self.model.pymc_model
        values = {rv.name: clean.rvs_to_values[rv] for rv in clean.free_RVs}
        with pm.Model() as model:
            anchors = {c: _fixed(f"anchor_{c}", np.ones(3), ("anchor",)) for c in self.model.law.covariates}
            u = {}
            for name, value in values.items():
                dims, shape = value.type.dims, [len(clean.coords[d]) for d in value.type.dims]
                center = _fixed(f"center_{name}", np.zeros(shape), dims)
                scale = _fixed(f"scale_{name}", np.ones(shape), dims)
                u[name] = center + scale * as_xtensor(pm.Flat(f"q_{name}", shape=shape), dims=dims)
            v, jacobian = self.to_coefficients(u, anchors)
            mapped = {values[n]: v[n].transpose(*values[n].type.dims) for n in values}
            mapped |= {d: _fixed(d.name, d.get_value(), d.type.dims) for d in clean.data_vars}
            density = graph_replace(clean.logp(), mapped, strict=False) + sum(j.sum().values for j in jacobian)
            pm.Potential("posterior", rewrite_graph(density, include=("lower_xtensor",)))
        return model


def _fixed(name: str, values: np.ndarray, dims: tuple[str, ...]) -> Any:
    """A shared variable of fixed shape: a third of the code to compile, and its values can still be swapped."""
    return as_xtensor(pytensor.shared(values, name=name, shape=values.shape), dims=dims)


def _reduced(x: Any, like: Any) -> Any:
    """Average over the dims (draws aside) that `like` does not have."""
    extra = [d for d in x.dims if d not in like.dims and d not in ("chain", "draw")]
    return x.mean(extra) if extra else x
