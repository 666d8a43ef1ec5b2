"""The terms of a law: in which coefficients it is linear, and along which covariate each term falls.

A card says so (`Coefficient.seen_along`). Where it says nothing, the law is evaluated at a few points.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayeslaw.declare.laws import Law
from bayeslaw.declare.priors import Prior, closed, quantile
from bayeslaw.declare.symbols import Covariate
from bayeslaw.errors import LawError

__all__ = ["terms"]

POINTS = 64
"""Points at which a law is evaluated."""

TOLERANCE = 1e-8
"""Difference, relative to the loss, up to which two losses are equal."""

USUAL, WIDE = 1.0, 6.0
"""Standard deviations of the logit of the quantiles at which coefficients are drawn: in their priors, and far out."""


def terms(law: Law, priors: Mapping[str, Prior]) -> dict[str, str]:
    """Return the level and the amplitudes of a law, each with the covariate along which its term falls.

    Parameters
    ----------
    law : Law
        Of a law with shares of a mixture, only what the card states is known.
    priors : mapping
        The prior of every coefficient.

    Returns
    -------
    dict
        ``"level"`` for the additive constant. A card that states one term is taken to state all. Elsewhere, amplitudes
        are the positive coefficients in which the law is linear, all together, and whose terms fall along a covariate
        however far out in their priors the coefficients lie: the covariate along which they fall most.
    """
    stated = {name: c.seen_along for name, c in law.coefficients.items() if c.seen_along}
    if stated or law.over:
        return stated
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        try:
            usual, wide = (_Points.of(law, priors, width, rng) for width in (USUAL, WIDE))
            level = next((name for name in law.coefficients if usual.is_level(name)), None)
            linear: list[str] = []
            for name in law.coefficients:
                if name != level and (usual.coefficients[name] > 0).all() and usual.is_linear([*linear, name]):
                    linear.append(name)
            falls = {name: usual.falls(name, linear) for name in linear}
            never_rises = {name: wide.falls(name, linear) for name in linear}
        except LawError:  # the law says so itself where it is used
            return {}
    found = {} if level is None else {level: "level"}
    for name in linear:
        along = {k: fall for k, fall in falls[name].items() if fall > TOLERANCE and never_rises[name][k] >= 0}
        if along:
            found[name] = max(along, key=along.__getitem__)
    return found


class _Points:
    """A law at random covariates and coefficients (dim ``point``), and at covariates further on."""

    def __init__(self, law: Law, coefficients: Mapping[str, Any], covariates: Mapping[str, tuple[Any, Any]]) -> None:
        self.law, self.coefficients, self.covariates = law, coefficients, covariates

    @classmethod
    def of(cls, law: Law, priors: Mapping[str, Prior], width: float, rng: np.random.Generator) -> "_Points":
        coefficients = {name: xr.DataArray(_draws(priors[name], width, rng), dims="point") for name in law.coefficients}
        return cls(law, coefficients, {name: _two(cov, rng) for name, cov in law.covariates.items()})

    def loss(self, changed: Mapping[str, Any], further: str | None = None) -> np.ndarray:
        at = [both[name == further] for name, both in self.covariates.items()]
        found = self.law(*at, **{**self.coefficients, **changed})
        return np.asarray(xr.DataArray(found).broadcast_like(at[0]).values, float)

    def _none(self, names: Sequence[str]) -> dict[str, xr.DataArray]:
        return {name: xr.zeros_like(self.coefficients[name]) for name in names}

    def is_level(self, name: str) -> bool:
        step = 0.5 * abs(self.coefficients[name])
        return _equal(self.loss({name: self.coefficients[name] + step}), self.loss({}) + step.values)

    def is_linear(self, names: Sequence[str]) -> bool:
        none = self._none(names)
        base = self.loss(none)
        alone = [self.loss({**none, name: self.coefficients[name]}) - base for name in names]
        thrice = self.loss({**none, names[-1]: 3 * self.coefficients[names[-1]]}) - base
        return _equal(self.loss({}), base + sum(alone)) and _equal(thrice + base, 3 * alone[-1] + base)

    def falls(self, name: str, linear: Sequence[str]) -> dict[str, float]:
        """Return the mean fall of a term along every covariate, relative to the term; -inf if it rises somewhere."""
        found, none = {}, self._none(linear)
        for further in self.covariates:
            here, there = (
                self.loss({**none, name: xr.ones_like(none[name])}, at) - self.loss(none, at) for at in (None, further)
            )
            fall = here - there
            slack = TOLERANCE * abs(here)
            known = np.isfinite(fall)
            rises = not known.any() or (fall < -slack)[known].any()
            found[further] = -math.inf if rises else float(np.mean(fall[known] / np.maximum(abs(here[known]), 1e-300)))
        return found


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.isfinite(a).all() and (abs(a - b) <= TOLERANCE * abs(b)).all())


def _draws(prior: Prior, width: float, rng: np.random.Generator) -> np.ndarray:
    """Return draws of a coefficient, the further out the larger the width."""
    if isinstance(prior.parameters.get("mu"), Prior):  # pooled
        location = _draws(prior.parameters["mu"], width, rng)
        return np.exp(location) if prior.distribution == "LogNormal" else location
    z = width * rng.standard_normal(POINTS)
    if closed(prior):
        return quantile(prior, special.expit(z))
    if prior.distribution == "Uniform":
        low, high = prior.ends
        return low + (high - low) * special.expit(z)
    return z if prior.distribution == "Normal" else np.exp(z / 2)


def _two(covariate: Covariate, rng: np.random.Generator) -> tuple[xr.DataArray, xr.DataArray]:
    """Return two values of a covariate in units of its reference, the second larger, at every point."""
    low, high = (end / covariate.reference for end in covariate.valid)
    if math.isfinite(low) and math.isfinite(high):
        both = np.sort(rng.uniform(low, high, (2, POINTS)), axis=0)
    else:
        both = 10 ** np.sort(rng.uniform(-1, 1, (2, POINTS)), axis=0) + max(low, 0.0)
    return xr.DataArray(both[0], dims="point"), xr.DataArray(both[1], dims="point")
