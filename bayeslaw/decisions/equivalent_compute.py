"""Equivalent compute: how much longer another mixture would have to train to reach the same loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import named, open_columns, where
from bayeslaw.declare.laws import WEIGHT, Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored
from bayeslaw.tables.mixtures import as_weights

__all__ = ["applies", "equivalent_compute"]

FARTHEST = 1000.0
"""Largest factor of tokens that is looked at, and one over the smallest."""

HALVINGS = 50


def applies(law: Law) -> bool:
    """Return whether a law knows shares of many sources, and tokens."""
    return law.kind == "mixture" and "D" in law.columns


def equivalent_compute(
    fit: Posterior,
    *,
    mixture: Any,
    than: Any,
    D: Any,
    N: Any = None,
    goal: str | Mapping[str, float] | None = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the factor of tokens that another mixture needs for the loss that a mixture has after `D` tokens.

    A factor of 1.5 says that the other mixture would have to train half as long again. A mixture is worth any amount of
    tokens where the other never gets there: such draws are kept at the upper end (`p_always`). Tokens are taken to be
    fresh: repetition makes them worth less.

    Parameters
    ----------
    fit : Fit
        The posterior of a law of shares and tokens.
    mixture, than : mapping, Series or DataArray
        Shares by source: of the mixture, and of the one it is compared with (see
        `bayeslaw.tables.mixtures.as_weights`).
    D : float or array
        Tokens that the mixture trains on; an array gives the result a dim ``D``.
    N : float or array, optional
        Model size in parameters, where the law knows it.
    goal : str or mapping, optional
        The validation set, or ``{validation set: importance}`` for the weighted mean loss; left out: all count alike.
    domain : str or array, optional
        The target domain, where the model tells domains apart.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column; an array gives the result a dim of its own.

    Returns
    -------
    Censored
        Dims (chain, draw) and those of the question.

    Raises
    ------
    DataError
        A mixture is none.
    LawError
        The law does not know shares and tokens.
    RangeError
        `D` is not above 0.
    UnknownName
        A source, validation set or label does not exist.
    """
    wanted, tokens = Goal.of(goal, fit.evals), named(D, "D")
    known = fit.model.design.over.get("source", np.array(["any"]))
    even: Any = {WEIGHT: dict.fromkeys(known, 1 / len(known)), "D": tokens}
    columns = open_columns(fit, even, where(labels, N=N, domain=domain))

    def loss(shares: Any, factor: Any) -> xr.DataArray:
        at = columns.assign({WEIGHT: as_weights(shares, known), "D": tokens * factor})
        return wanted(fit.loss(at))

    aim = loss(mixture, 1.0)
    low, high = (xr.full_like(aim, end) for end in (-np.log(FARTHEST), np.log(FARTHEST)))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = loss(than, np.exp(middle)) > aim
        low, high = xr.where(above, middle, low), xr.where(above, high, middle)
    factor: xr.DataArray = xr.ufuncs.exp((low + high) / 2)
    asked = where(labels, D=D, N=N, domain=domain)
    answer = Censored(
        "equivalent_compute",
        factor.transpose("chain", "draw", ...),
        "1",
        "mean law",
        {**asked, "goal": wanted.asked},
        low=(1 + 1e-9) / FARTHEST,
        high=(1 - 1e-9) * FARTHEST,
    )
    return cautioned(fit, answer, N=N, D=D)
