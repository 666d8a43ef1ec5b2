"""Priors by median, mean and spread; the only file that imports pymc_extras, when PyMC has to be asked."""

import html
import math
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from statistics import NormalDist
from typing import Any

import numpy as np

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.base.numbers import exact, short
from bayeslaw.errors import LawError, shown

__all__ = [
    "BEND_SDS",
    "Correlation",
    "Prior",
    "central",
    "closed",
    "describe",
    "positive",
    "quantile",
    "real",
    "share",
    "with_dims",
]

BEND_SDS = 4.0
"""Prior standard deviations below the median at which a tangent replaces the logarithm of a level."""

MOST_REASON = 160
"""Characters of another package's error that a sentence quotes."""

FAMILIES = {
    **dict.fromkeys(("LogNormal", "LogitNormal", "Normal"), {"mu", "sigma"}),
    **dict.fromkeys(("Beta", "Gamma"), {"alpha", "beta"}),
    "Exponential": {"lam"},
    "HalfNormal": {"sigma"},
    "Uniform": {"lower", "upper"},
}
"""Usual distributions and their parameters; about any other, PyMC is asked, which takes seconds to import."""


class Prior:
    """A PyMC distribution by name, with numbers, arrays or priors as parameters.

    Its repr is in words; ``str(prior)`` is the constructor. A `pymc_extras.prior.Prior` says the same and may be given
    wherever a prior is asked for.

    Parameters
    ----------
    distribution : str
        A distribution of PyMC.
    dims : str or sequence of str, optional
        Dims with one value per label: columns of the runs, ``"eval"``.
    centered, transform
        As in pymc_extras; for models that PyMC samples.
    **parameters
        Those of the distribution.

    Raises
    ------
    LawError
        PyMC has no such distribution, or it takes other parameters.
    """

    def __init__(
        self,
        distribution: str,
        *,
        dims: str | Sequence[str] | None = None,
        centered: bool = True,
        transform: str | None = None,
        **parameters: Any,
    ) -> None:
        self.distribution, self.centered, self.transform = distribution, centered, transform
        try:
            self.dims = (dims,) if isinstance(dims, str) else None if dims is None else tuple(dims)
            self.parameters: Any = {name: _parameter(value) for name, value in parameters.items()}
            self._usual = self._is_usual()
            if not self._usual:
                _of_pymc(self)
            numeric = {name: p for name, p in self.parameters.items() if isinstance(p, Real | np.ndarray)}
            if bad := [name for name, p in numeric.items() if np.isnan(np.asarray(p, float)).any()]:
                raise ValueError(f"{bad[0]} is not a number")
        except Exception as e:  # pydantic and pymc_extras raise many kinds
            reason = " ".join(str(e).split())[:MOST_REASON]
            raise LawError(
                f"{shown(distribution)} makes no prior ({reason}): give bl.positive(...), bl.real(...), or a "
                "distribution of PyMC with its parameters, for example bl.Prior('Gamma', alpha=2, beta=3)"
            ) from None

    @classmethod
    def taken(cls, value: Any) -> Any:
        """Return a prior of pymc_extras as one of bayeslaw, and any other value as it is."""
        extras = sys.modules.get("pymc_extras.prior")
        if extras is None or not isinstance(value, extras.Prior):
            return value
        about = {"dims": value.dims, "centered": value.centered, "transform": value.transform}
        return Prior(value.distribution, **about, **value.parameters)

    def _is_usual(self) -> bool:
        """Return whether the prior is right without a look at PyMC."""
        values, dims = self.parameters.values(), self.dims or ()
        inner = {dim for p in values if isinstance(p, Prior) for dim in p.dims or ()}
        return (
            self.parameters.keys() <= FAMILIES.get(self.distribution, set())
            and self.distribution in FAMILIES
            and all(isinstance(p, int | float | np.ndarray | Prior) for p in values)
            and all(isinstance(dim, str) for dim in dims)
            and len(set(dims)) == len(dims)
            and (self.dims is None or inner <= set(dims))
            and (self.centered, self.transform) == (True, None)
        )

    def create_variable(self, name: str) -> Any:
        """Create the variable in a `pymc.Model`, and those of its parameters that are priors (``<name>_mu``)."""
        return _of_pymc(self).create_variable(name)

    def to_dict(self) -> dict[str, Any]:
        """Return what makes the prior as JSON data; `from_dict` reads them."""
        if not self._usual:
            return dict(_of_pymc(self).to_dict())
        plain = {name: p.to_dict() if isinstance(p, Prior) else _plain(p) for name, p in self.parameters.items()}
        kwargs, dims = {"kwargs": plain} if plain else {}, {} if self.dims is None else {"dims": self.dims}
        return {"dist": self.distribution, **kwargs, **dims}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Prior":
        """Return the prior of such data."""
        parameters: Any = {k: cls.from_dict(v) if isinstance(v, dict) else v for k, v in data.get("kwargs", {}).items()}
        about = {k: data[k] for k in ("dims", "centered", "transform") if k in data}
        return cls(data["dist"], **about, **parameters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        if not self._usual:
            return str(_of_pymc(self))
        words = [f'"{self.distribution}"', *(f"{name}={value}" for name, value in self.parameters.items())]
        if self.dims is not None:
            names = ", ".join(f'"{dim}"' for dim in self.dims)
            words.append(f"dims={names if len(self.dims) == 1 else f'({names})'}")
        return f"Prior({', '.join(words)})"

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


def _parameter(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else Prior.taken(value)


def _plain(number: Any) -> Any:
    return number.tolist() if isinstance(number, np.ndarray) else number


def _made_by_pymc(parameter: Any) -> bool:
    return isinstance(parameter, Prior) and type(parameter).create_variable is Prior.create_variable


def _of_pymc(prior: Prior) -> Any:
    """Return a prior as pymc_extras has it, which makes variables and knows every distribution of PyMC."""
    import pymc as pm
    import pymc_extras.prior

    family = getattr(pm, prior.distribution, None)
    if not (isinstance(family, type) and issubclass(family, pm.Distribution)):
        raise LookupError(f"there is no distribution {prior.distribution!r}")
    parameters = {name: _of_pymc(p) if _made_by_pymc(p) else p for name, p in prior.parameters.items()}
    about = {"dims": prior.dims, "centered": prior.centered, "transform": prior.transform}
    return pymc_extras.prior.Prior(prior.distribution, **about, **parameters)


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

    def create_variable(self, name: str) -> Any:
        """Create the PyMC variable."""
        import pymc as pm

        def correlation(mu: Any, sigma: Any, size: Any) -> Any:
            low, high = self.ends
            return low + (high - low) * pm.math.sigmoid(pm.Normal.dist(mu, sigma, size=size))

        limits = pm.distributions.transforms.Interval(*self.ends)
        return pm.CustomDist(name, *self.parameters.values(), dist=correlation, transform=limits)


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


def closed(prior: Prior) -> bool:
    """Return whether a prior is a log-normal, normal or beta one with plain numbers, whose quantiles are known."""
    p = prior.parameters
    if prior.distribution not in ("LogNormal", "Normal", "Beta") or p.keys() != FAMILIES[prior.distribution]:
        return False
    return not any(isinstance(number, Prior) or np.ndim(number) for number in p.values())


_normal_quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])


def quantile(prior: Prior, prob: Any) -> np.ndarray:
    """Return quantiles of a `closed` prior."""
    p = prior.parameters
    if prior.distribution == "Beta":
        from scipy import special

        return np.asarray(special.betaincinv(p["alpha"], p["beta"], prob))
    location = p["mu"] + p["sigma"] * _normal_quantile(prob)
    return np.asarray(np.exp(location) if prior.distribution == "LogNormal" else location)


def central(prior: Prior, prob: float) -> np.ndarray | None:
    """Return median and equal-tailed interval of a correlation or a `closed` prior; None for others."""
    at = np.array([0.5, *levels(prob)])
    if isinstance(prior, Correlation):
        low, high = prior.ends
        return np.asarray(low + (high - low) / (1 + np.exp(-prior.parameters["sigma"] * _normal_quantile(at))))
    return quantile(prior, at) if closed(prior) else None


def describe(prior: Prior) -> str:
    """Return a prior in words: median and interval if `central` knows them, its constructor otherwise."""
    p = prior.parameters
    if prior.distribution == "LogNormal" and np.ndim(p.get("mu")):
        return f"log-normal, medians {short(np.exp(p['mu'].min()))} to {short(np.exp(p['mu'].max()))}, one for each"
    if (ends := central(prior, CI_PROB)) is None:
        return str(prior)
    if prior.distribution == "Normal":
        return f"normal, mean {short(p['mu'])}, sd {short(p['sigma'])}"
    kind = {"LogNormal": "log-normal", "LogitNormal": "logit-normal", "Beta": "beta"}[prior.distribution]
    return f"{kind}, median {short(ends[0])} ({exact(100 * CI_PROB)} %: {short(ends[1], 2)} to {short(ends[2], 2)})"


def with_dims(prior: Prior, dims: tuple[str, ...]) -> Prior:
    """Return the same prior over `dims`."""
    return Prior(prior.distribution, dims=dims, centered=prior.centered, transform=prior.transform, **prior.parameters)
