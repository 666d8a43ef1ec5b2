"""A new domain by itself, given draws of what it shares with the others: proposals, and their weights.

For every draw of the shared part the domain's own coefficients are proposed around their mode (Student-t, its width
from the curvature there); the weight is prior times likelihood over the density of the proposal.
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import minimize

from bayeslaw.sampler.density import Density
from bayeslaw.sampler.parameters import Parameter
from bayeslaw.spec.specification import Specification

__all__ = ["DOMAIN", "PROPOSALS", "Alone"]

DOMAIN = "domain"

PROPOSALS = 10
"""Proposals for each of them."""

FREEDOM = 5.0
"""Degrees of freedom of the proposals."""

STEP = 1e-4
"""Step of the differences that give the curvature at the mode."""

FLATTEST = 0.1
"""Smallest curvature that is believed: proposals reach no farther than some three e-folds of a coefficient."""

NOTHING = -1e10
"""Log weight of a proposal at which the density has no value."""


@dataclass(frozen=True, eq=False)
class Alone:
    """The new domain by itself, given draws of what it shares with the others.

    Parameters
    ----------
    density : Density
        Of the model of the new domain's runs alone.
    posterior : xarray.Dataset
        Draws, with the dim ``sample``.
    """

    density: Density
    posterior: xr.Dataset

    @property
    def model(self) -> Specification:
        """The model of the new domain's runs alone."""
        return self.density.model

    @property
    def own(self) -> list[str]:
        """Names of the coefficients that are the new domain's own."""
        return [name for name, by in self.model.by.items() if by == DOMAIN]

    def shared(self) -> np.ndarray:
        """Return a parameter vector for each draw, the new domain's own coefficients where their populations are."""
        parameters, groups = self.density.parameters, self.model.design.groups
        v = np.zeros((self.posterior.sizes["sample"], self.density.size))
        for name, block in parameters.items():
            if name not in self.own:
                labels = {d: groups[d] for d in block.dims if d in groups}
                value = self.posterior[name].sel(labels).transpose("sample", *block.dims).values
                v[:, block.place] = block.unconstrained(value.reshape(len(v), -1))
        for name in self.own:
            block = parameters[name]
            location = v[:, parameters.parents["mu"][block.place]]
            v[:, block.place] = np.exp(location).clip(min=block.bend) if block.scale == "level" else location
        return v

    def rest(self, v: np.ndarray, entry: np.ndarray) -> float:
        """Return the log prior of all but the own coefficients, from a vector where these lie at their populations."""
        parameters = self.density.parameters
        c, slope = parameters.natural(v)
        everything = parameters.log_prior(v, c, slope, np.zeros_like(v))
        mu, sd = (c[parameters.parents[k][entry]] for k in ("mu", "sigma"))
        level = np.isin(entry, [i for n in self.own if parameters[n].scale == "level" for i in _entries(parameters[n])])
        x = np.where(level, np.log(np.where(level, v[entry], 1.0)), v[entry])
        return everything - float((-0.5 * ((x - mu) / sd) ** 2 - np.log(sd) - np.where(level, x, 0.0)).sum())

    def propose(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return proposals (draw, proposal, own entry) for the own coefficients, and their log weights.

        Amplitudes, in which the law is linear, are proposed as they are, since there the likelihood is nearly normal.
        """
        parameters, coefficients = self.density.parameters, self.model.law.coefficients
        blocks = [parameters[name] for name in self.own]
        entry = np.concatenate([_entries(block) for block in blocks])
        linear = np.concatenate(
            [
                np.full(b.place.stop - b.place.start, b.scale == "log" and bool(coefficients[b.name].seen_along))
                for b in blocks
            ]
        )
        vectors = self.shared()
        proposals = np.empty((len(vectors), PROPOSALS, len(entry)))
        log_weight = np.empty(proposals.shape[:2])
        start, root = np.where(linear, np.exp(vectors[0, entry]), vectors[0, entry]), 0.1 * np.eye(len(entry))
        for n, v in enumerate(vectors):
            at = _At(self.density, v.copy(), entry, linear)
            start = _mode(at, start, root)
            root = _root(at, start)
            steps = _student(rng, (PROPOSALS, len(entry)))
            proposals[n] = start + steps @ root.T
            log_q = -0.5 * (FREEDOM + len(entry)) * np.log1p((steps**2).sum(1) / FREEDOM)
            log_q -= math.log(abs(np.linalg.det(root)))
            log_weight[n] = np.array([at(x)[0] for x in proposals[n]]) - self.rest(v, entry) - log_q
        proposals[..., linear] = np.log(np.maximum(proposals[..., linear], 1e-300))
        return proposals, np.nan_to_num(log_weight, nan=NOTHING, neginf=NOTHING)

    def named(self, proposals: np.ndarray) -> xr.Dataset:
        """Return the proposals on their natural scale, dims sample, proposal, and those of the coefficients."""
        found, start = {}, 0
        for name in self.own:
            block = self.density.parameters[name]
            size = block.place.stop - block.place.start
            value = block.natural(proposals[..., start : start + size]).reshape((*proposals.shape[:2], *block.shape))
            found[name] = (("sample", "proposal", *block.dims), value)
            start += size
        coords = {"eval": self.model.design.evals, **self.model.design.groups}
        data = xr.Dataset(found)
        return data.assign_coords({d: coords[d] for d in map(str, data.dims) if d in coords})


@dataclass(frozen=True, eq=False)
class _At:
    """Log density, and its gradient, by some entries of a vector; those that are `linear` on their natural scale."""

    density: Density
    vector: np.ndarray
    entry: np.ndarray
    linear: np.ndarray

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if not (x[self.linear] > 0).all():
            return -math.inf, np.zeros_like(x)
        scale = np.where(self.linear, x, 1.0)
        self.vector[self.entry] = np.where(self.linear, np.log(scale), x)
        value, gradient = self.density(self.vector)
        return value - float(np.log(scale).sum()), (gradient[self.entry] - self.linear) / scale


def _entries(block: Parameter) -> np.ndarray:
    return np.arange(block.place.start, block.place.stop)


def _student(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return rows of standard multivariate Student-t variables."""
    z: np.ndarray = rng.standard_normal(shape) / np.sqrt(rng.chisquare(FREEDOM, (shape[0], 1)) / FREEDOM)
    return z


def _mode(at: _At, start: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return where the log density is highest, in steps of a square root of a covariance like that there."""

    def minus(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = at(start + root @ q)
        return (-value, -root.T @ gradient) if math.isfinite(value) else (1e10, np.zeros_like(q))

    mode: np.ndarray = start + root @ minimize(minus, np.zeros_like(start), jac=True, method="BFGS").x
    return mode


def _root(at: _At, mode: np.ndarray) -> np.ndarray:
    """Return a square root of the covariance that the curvature at the mode gives."""
    columns = [(at(mode - step)[1] - at(mode + step)[1]) / (2 * STEP) for step in STEP * np.eye(len(mode))]
    curvature = np.nan_to_num((np.array(columns) + np.array(columns).T) / 2)
    values, vectors = np.linalg.eigh(curvature)
    root: np.ndarray = vectors / np.sqrt(np.maximum(np.abs(values), FLATTEST))
    return root
