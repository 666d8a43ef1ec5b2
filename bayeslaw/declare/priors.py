"""Priors by median, mean and spread; the only file that imports pymc_extras."""

import html
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pymc as pm
import pymc_extras.prior
from pytensor.xtensor import as_xtensor
from scipy import special, stats

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.declare.names import ROLE
from bayeslaw.errors import LawError, shown

__all__ = [
    "Correlation",
    "Prior",
    "central",
    "closed",
    "describe",
    "of_roles",
    "pooled",
    "positive",
    "real",
    "share",
    "typical",
    "with_dims",
]

MOST_REASON = 160
"""Characters of another package's error that a sentence quotes."""

SPREAD_OF_SPREADS = 0.5
"""Prior standard deviation of the log of a population's spread: two thirds within a factor of exp(0.5) = 1.65.

A few domains say little about how much domains differ. A prior that allows a spread of 0 gives the same bands, but
leaves a funnel in which sampling stalls.
"""


class Prior(pymc_extras.prior.Prior):
    """A PyMC distribution by name, with numbers, arrays or priors as parameters (`pymc_extras.prior.Prior`).

    Its repr is in words; ``str(prior)`` is the constructor.
    """

    def __init__(self, distribution: str, **options: Any) -> None:
        try:
            super().__init__(distribution, **options)
            numeric = {name: p for name, p in self.parameters.items() if isinstance(p, Real | np.ndarray)}
            if bad := [name for name, p in numeric.items() if np.isnan(np.asarray(p, float)).any()]:
                raise ValueError(f"{bad[0]} is not a number")
        except Exception as e:  # pydantic and pymc_extras raise many kinds
            reason = " ".join(str(e).split())[:MOST_REASON]
            raise LawError(
                f"{shown(distribution)} makes no prior ({reason}): give bl.positive(...), bl.real(...), or a "
                "distribution of PyMC with its parameters, for example bl.Prior('Gamma', alpha=2, beta=3)"
            ) from None

    def __repr__(self) -> str:
        own = [dim for dim in self.dims or () if dim != "eval"]
        return describe(self) + (f", one for each {' and '.join(own)}" if own and describe(self) != str(self) else "")

    def _repr_html_(self) -> str:
        return f"<p><b>Prior</b> {html.escape(repr(self))}</p>"

    @property
    def own_dims(self) -> tuple[str, ...]:
        """The dims of the variable itself."""
        return tuple(self.dims or ())

    def along_dims(self, values: Any) -> Any:
        """Return the values of the variable along `dims`, as what depends on it sees them."""
        return values

    @property
    def ends(self) -> tuple[float, float]:
        """The interval of a quantity with a uniform or beta prior."""
        return float(self.parameters.get("lower", 0.0)), float(self.parameters.get("upper", 1.0))


class OfRole(Prior):
    """The prior of a quantity with one value for each role of validation sets, seen by every set of the role.

    Parameters
    ----------
    prior : Prior
        The prior of each value.
    number : sequence of int
        The number of the role of every validation set.
    """

    def __init__(self, prior: Prior, number: Sequence[int]) -> None:
        super().__init__(prior.distribution, dims=("eval", *(prior.dims or ())), **prior.parameters)
        self.number = np.asarray(number)

    @property
    def own_dims(self) -> tuple[str, ...]:
        """The dims of the variable itself."""
        return (ROLE, *self.dims[1:])

    def along_dims(self, values: Any) -> Any:
        """Return the values of every set's role."""
        return values[self.number]

    def create_variable(self, name: str, xdist: bool = False) -> Any:
        """Create the PyMC variable, and return its values by validation set."""
        variable = self.along_dims(with_dims(self, self.own_dims).create_variable(name))
        return as_xtensor(variable, dims=self.dims) if xdist else variable


class Correlation(Prior):
    """A logit-normal prior of the correlation between any two of several equally correlated quantities.

    The logit of (1 + (count - 1) correlation) / count, the share of the variance that their mean keeps, is normal
    around 0. The density vanishes at the limits faster than any power.

    Parameters
    ----------
    count : int
        Number of quantities; the correlation lies between -1 / (count - 1) and 1.
    spread : float
        Standard deviation of the logit.
    """

    def __init__(self, count: int, spread: float) -> None:
        super().__init__("LogitNormal", mu=0.0, sigma=float(spread))
        self.count = count

    @property
    def ends(self) -> tuple[float, float]:
        """The limits of the correlation."""
        return -1 / (self.count - 1), 1.0

    def logit(self, correlation: Any) -> Any:
        """Return the logit of a correlation."""
        low, high = self.ends
        return np.log(correlation - low) - np.log(high - correlation)

    def create_variable(self, name: str, xdist: bool = False) -> Any:
        """Create the PyMC variable."""

        def correlation(mu: Any, sigma: Any, size: Any) -> Any:
            low, high = self.ends
            return low + (high - low) * pm.math.sigmoid(pm.Normal.dist(mu, sigma, size=size))

        limits = pm.distributions.transforms.Interval(*self.ends)
        variable = pm.CustomDist(name, *self.parameters.values(), dist=correlation, transform=limits)
        return as_xtensor(variable) if xdist else variable


@checked
def positive(median: float, spread: float, dims: str | None = None) -> Prior:
    """Return a log-normal prior for a positive quantity.

    Parameters
    ----------
    median : float
        Median, in the unit of the coefficient.
    spread : float
        Standard deviation of the logarithm: two thirds of the prior lie within a factor ``exp(spread)`` of the median.
    dims : str, optional
        A column of the runs: a separate value per label, without pooling.
    """
    if not (0 < median < math.inf and 0 < spread < math.inf):
        raise LawError(f"positive(median={median}, spread={spread}): give a median and a spread above 0")
    return Prior("LogNormal", mu=math.log(median), sigma=float(spread), dims=dims)


@checked
def real(mean: float, sd: float) -> Prior:
    """Return a normal prior for a quantity of either sign."""
    if not sd > 0:
        raise LawError(f"real(mean={mean}, sd={sd}): give a standard deviation above 0")
    return Prior("Normal", mu=float(mean), sigma=float(sd))


@checked
def share(mean: float, weight: float) -> Prior:
    """Return a beta prior for a quantity in (0, 1), worth `weight` observations."""
    if not (0 < mean < 1 and weight > 0):
        raise LawError(f"share(mean={mean}, weight={weight}): give a mean inside (0, 1) and a weight above 0")
    return Prior("Beta", alpha=mean * weight, beta=(1 - mean) * weight)


def pooled(name: str, prior: Prior, over: tuple[str, ...], within: tuple[str, ...], spread: float) -> Prior:
    """Return the prior of a pooled coefficient.

    The location of the population (``<name>_mu``; log scale for a positive coefficient) has the coefficient's prior;
    its spread (``<name>_sigma``) is log-normal around `spread`; both have the dims `within`.
    """
    nested = any(isinstance(p, Prior) for p in prior.parameters.values())
    if nested or prior.distribution not in ("LogNormal", "Normal"):
        raise LawError(
            f"cannot pool {name} over {', '.join(over)} with the prior {prior}: give positive(...), real(...) "
            "or a nested Prior with its own dims"
        )
    return Prior(
        prior.distribution,
        mu=Prior("Normal", mu=prior.parameters["mu"], sigma=prior.parameters["sigma"], dims=within),
        sigma=with_dims(positive(spread, SPREAD_OF_SPREADS), within),
        dims=(*within, *over),
    )


def of_roles(prior: Prior, number: Sequence[int]) -> Prior:
    """Return the prior of a coefficient pooled over validation sets with one population for each role.

    `number` is the number of the role of every set; of a single role there is one population.
    """
    if not any(number):
        return prior
    populations = {k: OfRole(p, number) if isinstance(p, Prior) else p for k, p in prior.parameters.items()}
    return Prior(prior.distribution, dims=prior.dims, **populations)


def closed(prior: Prior) -> Any:
    """Return a log-normal, normal or beta prior with plain numbers as a SciPy distribution; None for others."""
    p = prior.parameters
    if any(isinstance(number, Prior) or np.ndim(number) for number in p.values()):
        return None
    match prior.distribution:
        case "LogNormal":
            return stats.lognorm(p["sigma"], scale=math.exp(p["mu"]))
        case "Normal":
            return stats.norm(p["mu"], p["sigma"])
        case "Beta":
            return stats.beta(p["alpha"], p["beta"])
    return None


def central(prior: Prior, prob: float) -> np.ndarray | None:
    """Return median and equal-tailed interval of a correlation or a prior that `closed` knows; None for others."""
    if isinstance(prior, Correlation):
        low, high = prior.ends
        ends: np.ndarray = low + (high - low) * special.expit(
            prior.parameters["sigma"] * special.ndtri([0.5, *levels(prob)])
        )
        return ends
    distribution = closed(prior)
    return None if distribution is None else distribution.ppf([0.5, *levels(prob)])


def describe(prior: Prior) -> str:
    """Return a prior in words: median and interval if `central` knows them, its constructor otherwise."""
    p = prior.parameters
    if prior.distribution == "LogNormal" and np.ndim(p["mu"]):
        return f"log-normal, medians {np.exp(p['mu'].min()):.3g} to {np.exp(p['mu'].max()):.3g}, one for each"
    if (ends := central(prior, CI_PROB)) is None:
        return str(prior)
    if prior.distribution == "Normal":
        return f"normal, mean {p['mu']:.3g}, sd {p['sigma']:.3g}"
    kind = {"LogNormal": "log-normal", "LogitNormal": "logit-normal", "Beta": "beta"}[prior.distribution]
    return f"{kind}, median {ends[0]:.3g} ({100 * CI_PROB:g} %: {ends[1]:.2g} to {ends[2]:.2g})"


def with_dims(prior: Prior, dims: tuple[str, ...]) -> Prior:
    """Return the same prior over `dims`."""
    return Prior(prior.distribution, dims=dims, centered=prior.centered, transform=prior.transform, **prior.parameters)


def typical(spread: Prior | float) -> float:
    """Return a middle value of the prior of a population's spread, or the spread if it is a number."""
    if not isinstance(spread, Prior):
        return spread
    p = spread.parameters
    match spread.distribution:
        case "LogNormal":
            return math.exp(p["mu"])
        case "Gamma":
            return float(p["alpha"] / p["beta"])
        case "Exponential":
            return 1 / float(p.get("lam", 1.0))
        case _:
            return 0.67 * float(p["sigma"])  # half-normal
