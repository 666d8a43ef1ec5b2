"""The parameters of a model as one unconstrained vector: places, scales and prior density."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayeslaw.declare.populations import typical
from bayeslaw.declare.priors import BEND_SDS, Correlation, Prior
from bayeslaw.errors import LawError
from bayeslaw.sampler.stored import kept
from bayeslaw.spec.specification import Specification

__all__ = ["Parameter", "Parameters"]

SCALES = {
    **dict.fromkeys(("LogNormal", "HalfNormal", "Gamma", "Exponential"), "log"),
    "Normal": "identity",
    **dict.fromkeys(("Beta", "Uniform", "Correlation"), "interval"),
}

NORMAL, HALF_NORMAL, GAMMA, BETA, LEVEL, LOG_LEVEL = range(6)
"""Kinds of priors; the last two of log-normal levels, whose density is that of the level or that of its logarithm."""


@dataclass(frozen=True)
class Parameter:
    """One block of the parameter vector: a free variable of the PyMC model on its unconstrained scale.

    A level (the log-normal additive constant of a law) is not transformed: data determine the sum of the level and the
    other terms, which is far from linear in the logarithm of a small level. Below ``bend``, where the prior has a mass
    of 3e-5, the tangent of the logarithm replaces it.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    place: slice
    prior: Prior
    scale: str
    bend: float = 0.0

    @property
    def entries(self) -> np.ndarray:
        """Entries of the block in the parameter vector."""
        return np.arange(self.place.start, self.place.stop)

    @property
    def ends(self) -> tuple[float, float]:
        """The interval of a variable of the interval scale."""
        return self.prior.ends

    def natural(self, v: Any) -> Any:
        """Return natural from unconstrained values."""
        if self.scale == "log":
            return np.exp(np.minimum(v, 50.0))
        if self.scale == "interval":
            low, high = self.ends
            return low + (high - low) / (1 + np.exp(-v))
        return v

    def unconstrained(self, c: Any) -> Any:
        """Return unconstrained from natural values."""
        if self.scale == "log":
            return np.log(c)
        if self.scale == "interval":
            low, high = self.ends
            return np.log(c - low) - np.log(high - c)
        return c


@dataclass(frozen=True, eq=False)
class Parameters(Mapping[str, Parameter]):
    """The blocks of the parameter vector by name: coefficients, populations, errors.

    Raises
    ------
    LawError
        A prior has a distribution that is not supported.
    """

    model: Specification

    @cached_property
    def blocks(self) -> dict[str, Parameter]:
        """Every block by the name of its variable."""
        labels = self.model.coords
        found: dict[str, Prior] = {}
        for stated in (self.model.coefficient_priors, self.model.other_priors):
            found |= stated
            for name, prior in stated.items():
                found |= {f"{name}_{k}": p for k, p in prior.parameters.items() if isinstance(p, Prior)}
        blocks, start = {}, 0
        for name, prior in found.items():
            kind = "Correlation" if isinstance(prior, Correlation) else prior.distribution
            if kind not in SCALES or prior.transform is not None or not prior.centered:
                raise LawError(
                    f"cannot sample {name} with the prior {prior}: use one of {', '.join(SCALES)}, centred and without "
                    "a transform, or sample model.pymc_model with PyMC"
                )
            if name.endswith("_sigma") and SCALES[kind] != "log":
                raise LawError(
                    f"{name}, the spread of a population, has the prior {prior}: give a LogNormal, HalfNormal, Gamma "
                    "or Exponential prior"
                )
            dims = prior.own_dims
            shape = tuple(len(labels[d]) for d in dims)
            place = slice(start, start + math.prod(shape))
            is_level = self.model.terms.get(name) == "level"
            scale = ("level", _bend(prior)) if is_level and kind == "LogNormal" else (SCALES[kind],)
            blocks[name] = Parameter(name, dims, shape, place, prior, *scale)
            start = place.stop
        return blocks

    def __getitem__(self, name: str) -> Parameter:
        return self.blocks[name]

    def __iter__(self) -> Any:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    @cached_property
    def size(self) -> int:
        """Length of the vector."""
        return int(list(self.blocks.values())[-1].place.stop)

    @cached_property
    def _scales(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scale (0 identity, 1 log, 2 interval) and interval of every entry."""
        scale, low, high = np.zeros(self.size, int), np.zeros(self.size), np.ones(self.size)
        for block in self.values():
            scale[block.place] = {"log": 1, "interval": 2}.get(block.scale, 0)
            if block.scale == "interval":
                low[block.place], high[block.place] = block.ends
        return scale, low, high

    def natural(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return every entry on its natural scale, and its derivative in the unconstrained value."""
        c, slope = np.empty_like(v), np.empty_like(v)
        natural(v, *self._scales, c, slope)
        return c, slope

    @cached_property
    def parents(self) -> dict[str, np.ndarray]:
        """Entries of the location (``mu``) and spread (``sigma``) of every entry's population; -1 where fixed."""
        at = {k: np.full(self.size, -1) for k in ("mu", "sigma")}
        for name, block in self.items():
            for k in at:
                if isinstance(prior := block.prior.parameters.get(k), Prior):
                    parent = self[f"{name}_{k}"]
                    shape = [n if d in (prior.dims or ()) else 1 for d, n in zip(block.dims, block.shape, strict=True)]
                    entries = prior.along_dims(parent.entries.reshape(parent.shape)).reshape(shape)
                    at[k][block.place] = np.broadcast_to(entries, block.shape).ravel()
        return at

    @cached_property
    def _priors(self) -> tuple[np.ndarray, ...]:
        """Kind, two numbers, parents and bend of every entry's prior."""
        kind, a, b, bend = np.zeros(self.size, int), np.zeros(self.size), np.ones(self.size), np.zeros(self.size)
        for block in self.values():
            p, at = block.prior.parameters, block.place
            match block.prior.distribution:
                case "LogNormal" | "Normal" | "LogitNormal":
                    kind[at] = LEVEL if block.scale == "level" else NORMAL
                    bend[at] = block.bend
                    a[at], b[at] = (0.0 if isinstance(p[k], Prior) else p[k] for k in ("mu", "sigma"))
                case "HalfNormal":
                    kind[at], b[at] = HALF_NORMAL, p["sigma"]
                case "Gamma":
                    kind[at], a[at], b[at] = GAMMA, p["alpha"], p["beta"]
                case "Exponential":
                    kind[at], a[at], b[at] = GAMMA, 1.0, p.get("lam", 1.0)
                case _:
                    kind[at], a[at], b[at] = BETA, p.get("alpha", 1.0), p.get("beta", 1.0)
        return kind, a, b, self.parents["mu"], self.parents["sigma"], bend

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the compiled density (`bayeslaw.sampler.table`)."""
        names = ("scale", "low", "high", "kind", "a", "b", "mu_at", "sd_at", "bend")
        return dict(zip(names, (*self._scales, *self._priors), strict=True))

    @property
    def prior_sd(self) -> np.ndarray:
        """Standard deviation of every entry's normal prior, on its unconstrained scale."""
        sd: np.ndarray = self._priors[2]
        return sd

    def log_prior(self, v: np.ndarray, c: np.ndarray, slope: np.ndarray, gradient: np.ndarray) -> float:
        """Return the log prior density of a vector, its natural values and slopes; add its gradient."""
        return float(log_prior(v, c, slope, *self._priors, gradient))

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw unconstrained vectors (draw, parameter) from the priors."""
        v = np.zeros((draws, self.size))
        parents_first = sorted(self.items(), key=lambda item: not item[0].endswith(("_mu", "_sigma")))
        for _, block in parents_first:
            p, size = block.prior.parameters, (draws, len(block.entries))
            kind = block.prior.distribution
            if kind in ("LogNormal", "Normal", "LogitNormal"):
                mu, sd = (self._parent(block, k, v) for k in ("mu", "sigma"))
                x = mu + sd * rng.standard_normal(size)
                x = np.exp(x) if block.scale == "level" else x
            elif kind == "HalfNormal":
                x = np.log(np.abs(rng.standard_normal(size)) * p["sigma"])
            elif kind in ("Gamma", "Exponential"):
                a, b = (p["alpha"], p["beta"]) if kind == "Gamma" else (1.0, p.get("lam", 1.0))
                x = np.log(rng.gamma(a, 1 / b, size))
            else:
                low, high = block.ends
                unit = rng.beta(p["alpha"], p["beta"], size) if kind == "Beta" else rng.random(size)
                x = block.unconstrained(low + (high - low) * unit)
            v[:, block.place] = x
        return v

    def _parent(self, block: Parameter, which: str, v: np.ndarray) -> Any:
        if not isinstance(block.prior.parameters[which], Prior):
            return block.prior.parameters[which]
        parent, at = self[f"{block.name}_{which}"], self.parents[which][block.place]
        return parent.natural(v[:, at])

    def named(self, v: np.ndarray) -> dict[str, np.ndarray]:
        """Return every variable on its natural scale from vectors (..., parameter)."""
        return {
            name: block.natural(v[..., block.place]).reshape((*v.shape[:-1], *block.shape))
            for name, block in self.items()
        }


def _bend(prior: Prior) -> float:
    """Return the value `BEND_SDS` below the median of a log-normal prior, the spread of a population included."""
    mu, sigma = prior.parameters["mu"], typical(prior.parameters["sigma"])
    if isinstance(mu, Prior):
        mu, sigma = mu.parameters["mu"], math.hypot(mu.parameters["sigma"], sigma)
    return float(np.min(np.exp(mu - BEND_SDS * sigma)))


@kept
def natural(v, scale, low, high, c, slope):  # type: ignore[no-untyped-def]
    for i in range(len(v)):
        if scale[i] == 1:
            c[i] = slope[i] = math.exp(min(v[i], 50.0))
        elif scale[i] == 2:
            c[i] = low[i] + (high[i] - low[i]) / (1 + math.exp(-v[i]))
            slope[i] = (c[i] - low[i]) * (high[i] - c[i]) / (high[i] - low[i])
        else:
            c[i], slope[i] = v[i], 1.0


@kept
def log_prior(v, c, slope, kind, a, b, mu_at, sd_at, bend, gradient):  # type: ignore[no-untyped-def]
    density = 0.0
    for i in range(len(v)):
        if kind[i] == NORMAL or kind[i] == LEVEL or kind[i] == LOG_LEVEL:
            mu = c[mu_at[i]] if mu_at[i] >= 0 else a[i]
            sd = c[sd_at[i]] if sd_at[i] >= 0 else b[i]
            x, by = v[i], 1.0
            if kind[i] != NORMAL:
                by = 1 / max(v[i], bend[i])
                x = math.log(v[i]) if v[i] > bend[i] else math.log(bend[i]) + v[i] / bend[i] - 1
            if kind[i] == LEVEL:
                density -= x
                gradient[i] -= by
            z = (x - mu) / sd
            density -= 0.5 * z * z + math.log(sd)
            gradient[i] -= z / sd * by
            if mu_at[i] >= 0:
                gradient[mu_at[i]] += z / sd * slope[mu_at[i]]
            if sd_at[i] >= 0:
                gradient[sd_at[i]] += (z * z - 1) / sd * slope[sd_at[i]]
        elif kind[i] == HALF_NORMAL:
            ratio = (c[i] / b[i]) ** 2
            density += v[i] - 0.5 * ratio
            gradient[i] += 1 - ratio
        elif kind[i] == GAMMA:
            density += a[i] * v[i] - b[i] * c[i]
            gradient[i] += a[i] - b[i] * c[i]
        else:
            inside = 1 / (1 + math.exp(-v[i]))
            density += a[i] * math.log(inside) + b[i] * math.log(1 - inside)
            gradient[i] += a[i] * (1 - inside) - b[i] * inside
    return density
