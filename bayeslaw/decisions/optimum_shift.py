"""Optimum shift: how far the best mixture moves between two sizes or two numbers of tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import exact, probability
from bayeslaw.decisions.best_mixture import best_mixture
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.declare.priors import closed, quantile
from bayeslaw.errors import LawError, RangeError, shown
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity

__all__ = ["Shift", "moves", "optimum_shift"]

FAR = 0.05
"""Change of a share of which the answer gives the probability by itself."""

SAME = 1e-5
"""Change of a share that is the rounding of the search for the optimum."""


@dataclass(frozen=True, eq=False, repr=False)
class Shift(Quantity):
    """The largest change of a share between the two best mixtures of every draw.

    Parameters
    ----------
    change : xarray.DataArray
        The change of every source's share; dims chain, draw, source.
    """

    change: xr.DataArray = field(kw_only=True)

    def probability_above(self, change: float = FAR) -> float:
        """Return the probability that a share changes by more than `change`.

        Raises
        ------
        RangeError
            `change` does not lie between 0 and 1.
        """
        if not 0 <= change < 1:
            raise RangeError(f"change is {change}: give a difference of shares, for example 0.05")
        return float((self.draws > change).mean(SAMPLE))

    def _beside(self) -> dict[str, Any]:
        return {
            f"p_above_{exact(FAR)}": self.probability_above(),
            "change": self.change.mean(SAMPLE).to_series().to_dict(),
        }


def moves(law: Law) -> bool:
    """Return whether the best mixture of a law can move with size or tokens: where it has a term of both."""
    if not {"N", "D", WEIGHT} <= set(law.columns):
        return False
    unlike = xr.DataArray([1.0, 0.8], dims="source")
    middle = {name: float(quantile(c.prior, 0.5)) if closed(c.prior) else 1.0 for name, c in law.coefficients.items()}
    coefficients = {name: middle[name] * unlike if c.over else middle[name] for name, c in law.coefficients.items()}
    ends: dict[str, Any] = {name: xr.DataArray([1.0, 10.0], dims=name) for name in ("N", "D")}
    ends[WEIGHT] = xr.DataArray([[0.6, 0.4], [0.3, 0.7]], dims=("mixture", "source"))
    loss = law(*(ends.get(name, 1.0) for name in law.covariates), **coefficients)
    return any(float(abs(loss.diff("mixture").diff(name)).max()) > SAME for name in ("N", "D") if name in loss.dims)


def optimum_shift(
    fit: Posterior,
    *,
    N: Any = None,
    D: Any = None,
    goal: str | Mapping[str, float] | None = None,
    at_most: Mapping[Any, float] | None = None,
    at_least: Mapping[Any, float] | None = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Shift:
    """Return how far the best mixture moves from one size (or number of tokens) to another.

    Every draw has a best mixture at both ends; the answer is the largest change of a source's share between them.

    Parameters
    ----------
    fit, domain, labels
        The posterior; target domain and ``{column: label}`` of other groups.
    N, D : float or two numbers
        Two model sizes, two numbers of tokens, or two of each: the first of both is one end, the second the other.
    goal, at_most, at_least
        As in `best_mixture`.

    Returns
    -------
    Shift
        Its remark says with which probability a share changes by more than 0.05; `probability_above` takes others.

    Raises
    ------
    LawError, RangeError, UnknownName
        The optimum of the law moves with neither size nor tokens; neither N nor D has two values, or one has more; as
        `best_mixture` otherwise.
    """
    law = fit.model.law
    if law.kind == "mixture" and not moves(law):
        raise LawError(
            f"the best mixture of {law.name} does not depend on N or D, whatever the runs are: use a law in which it "
            f"does, such as {models.such_as(moves)}"
        )
    ends = {name: np.asarray(value) for name, value in {"N": N, "D": D}.items() if value is not None}
    pairs = {name: value for name, value in ends.items() if value.ndim}
    if not pairs or any(value.shape != (2,) or value[0] == value[1] for value in pairs.values()):
        given = " and ".join(f"{name} is {shown(value.tolist())}" for name, value in ends.items()) or "neither is given"
        raise RangeError(f"{given}: give two different values of N or of D (of both for two runs of different length)")
    best = best_mixture(fit, goal=goal, N=N, D=D, at_most=at_most, at_least=at_least, domain=domain, labels=labels)
    first, second = (best.draws.isel(dict.fromkeys(pairs, end)) for end in (0, 1))
    change = (second.reset_coords(drop=True) - first.reset_coords(drop=True)).drop_vars(pairs, errors="ignore")
    change = change.where(abs(change) > SAME, 0.0)
    largest = abs(change).max("source").transpose(*SAMPLE, ...)
    often = float((largest > FAR).mean())
    return Shift(
        "optimum_shift",
        largest,
        "1",
        best.what,
        best.inputs,
        f"a share changes by more than {exact(FAR)} with probability {probability(often)}",
        best.cautions,
        change=change.transpose(*SAMPLE, "source", ...),
    )
