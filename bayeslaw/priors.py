"""Priors on quantities people can think about; the only file that imports pymc_extras."""

import math

from pymc_extras.prior import Prior

from bayeslaw.errors import LawError

__all__ = ["Prior", "positive", "real", "share"]

SPREAD = 0.5
"""How well the spread of a population is known beforehand: within a factor of exp(0.5) = 1.65, two times out of three.

Domains of text are never alike, and a few of them hardly say how much they differ. A prior that lets the spread be 0
gives the same bands, but leaves a funnel in which sampling stalls.
"""


def positive(median: float, spread: float, dims: str | None = None) -> Prior:
    """Return a log-normal prior for a positive quantity.

    Parameters
    ----------
    median : float
        The value that is as likely to be too high as too low, in the unit of the coefficient.
    spread : float
        Standard deviation of the logarithm: two thirds of the prior lie within a factor ``exp(spread)`` of the median.
    dims : str, optional
        A column of the runs: one separate value per label, without pooling.
    """
    if not (0 < median < math.inf and 0 < spread < math.inf):
        raise LawError(f"positive(median={median}, spread={spread}) needs a median and a spread above 0")
    return Prior("LogNormal", mu=math.log(median), sigma=float(spread), dims=dims)


def real(mean: float, sd: float) -> Prior:
    """Return a normal prior for a quantity of either sign."""
    if not sd > 0:
        raise LawError(f"real(mean={mean}, sd={sd}) needs a standard deviation above 0")
    return Prior("Normal", mu=float(mean), sigma=float(sd))


def share(mean: float, weight: float) -> Prior:
    """Return a beta prior for a quantity in (0, 1), worth `weight` observations."""
    if not (0 < mean < 1 and weight > 0):
        raise LawError(f"share(mean={mean}, weight={weight}) needs a mean inside (0, 1) and a weight above 0")
    return Prior("Beta", alpha=mean * weight, beta=(1 - mean) * weight)


def pooled(name: str, prior: Prior, over: tuple[str, ...], within: tuple[str, ...], spread: float) -> Prior:
    """Turn a coefficient's prior into the prior of its population.

    The location of the population (``<name>_mu``: on the log scale for a positive coefficient) keeps the prior; its
    spread (``<name>_sigma``) is log-normal around `spread`, learned within each of `within`.
    """
    if prior.distribution not in ("LogNormal", "Normal") or any(
        isinstance(p, Prior) for p in prior.parameters.values()
    ):
        raise LawError(
            f"cannot pool {name} over {', '.join(over)} with the prior {prior}: give positive(...), real(...) "
            "or a nested Prior with its own dims"
        )
    return Prior(
        prior.distribution,
        mu=Prior("Normal", mu=prior.parameters["mu"], sigma=prior.parameters["sigma"], dims=within),
        sigma=with_dims(positive(spread, SPREAD), within),
        dims=(*within, *over),
    )


def with_dims(prior: Prior, dims: tuple[str, ...]) -> Prior:
    """Return the same prior over `dims`."""
    return Prior(prior.distribution, dims=dims, centered=prior.centered, transform=prior.transform, **prior.parameters)


def typical(spread: Prior | float) -> float:
    """Return about the middle of a prior of a population's spread, or the spread where it is given."""
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


def read_prior(text: str) -> Prior:
    """Return the prior written as ``median:spread`` (what the command line takes)."""
    try:
        median, spread = (float(part) for part in text.split(":"))
    except ValueError:
        raise LawError(f"cannot read the prior {text!r}: write median:spread, for example alpha=0.35:0.3") from None
    return positive(median, spread)
