"""Priors of pooled coefficients: populations over a column of the runs, or over the validation sets of a role."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslaw.declare.names import ROLE
from bayeslaw.declare.priors import Prior, positive, with_dims
from bayeslaw.errors import LawError

__all__ = ["OfRole", "of_roles", "pooled", "typical"]

SPREAD_OF_SPREADS = 0.5
"""Prior standard deviation of the log of a population's spread: two thirds within a factor of exp(0.5) = 1.65.

A few domains say little about how much domains differ. A prior that allows a spread of 0 gives the same bands, but
leaves a funnel in which sampling stalls.
"""


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
        return (ROLE, *(self.dims or ())[1:])

    def along_dims(self, values: Any) -> Any:
        """Return the values of every set's role."""
        return values[self.number]

    def create_variable(self, name: str) -> Any:
        """Create the PyMC variable, and return its values by validation set."""
        return self.along_dims(with_dims(self, self.own_dims).create_variable(name))


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
    populations: Any = {k: OfRole(p, number) if isinstance(p, Prior) else p for k, p in prior.parameters.items()}
    return Prior(prior.distribution, dims=prior.dims, **populations)


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
