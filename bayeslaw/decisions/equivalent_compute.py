"""Equivalent compute: how much longer another mixture would have to train to reach the same loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import END_ROUNDING, named, open_columns, where
from bayeslaw.declare.names import WEIGHT
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.identified import mixture_cautions
from bayeslaw.posterior.quantity import Censored
from bayeslaw.tables.mixtures import as_weights

__all__ = ["equivalent_compute"]

LARGEST_FACTOR = 1000.0
"""Largest factor of tokens of the search; the smallest is one over it."""

HALVINGS = 50


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

    A factor of 1.5 says that the other mixture has to train half as long again. Draws in which it never reaches the
    loss are kept at the upper end (`p_always`). All tokens count as fresh: repetition makes them worth less.

    Parameters
    ----------
    fit, N, D, domain, labels
        The posterior; model size (parameters), tokens of the mixture, target domain and ``{column: label}`` of other
        groups. Arrays give the result dims.
    mixture, than : mapping, Series or DataArray
        Shares by source of the mixture and of the other one (see `bayeslaw.tables.mixtures.as_weights`).
    goal : str or mapping, optional
        The validation set, or ``{validation set: importance}`` for a weighted mean; by default all count alike.

    Returns
    -------
    Censored
        Dims (chain, draw) and those of the question.

    Raises
    ------
    DataError, LawError, RangeError, UnknownName
        A mixture cannot be read, or its shares do not sum to 1; the law does not depend on shares and tokens; `D` is
        not above 0; a source, validation set or label does not exist.
    """
    wanted, tokens = Goal.of(goal, fit.evals), named(D, "D")
    columns = open_columns(fit, where(labels, N=N, domain=domain), WEIGHT, "D")
    known = fit.model.design.over["source"]

    def loss(shares: Any, factor: Any) -> xr.DataArray:
        return wanted(fit.loss(columns.assign({WEIGHT: as_weights(shares, known), "D": tokens * factor})))

    aim = loss(mixture, 1.0)
    low, high = (xr.full_like(aim, end) for end in (-np.log(LARGEST_FACTOR), np.log(LARGEST_FACTOR)))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = loss(than, np.exp(middle)) > aim
        low, high = xr.where(above, middle, low), xr.where(above, high, middle)
    factor: xr.DataArray = xr.ufuncs.exp((low + high) / 2)
    answer = Censored(
        "equivalent_compute",
        factor.transpose(*SAMPLE, ...),
        "1",
        fit.mean_name,
        where(labels, D=D, N=N, domain=domain) | {"goal": wanted.asked},
        low=(1 + END_ROUNDING) / LARGEST_FACTOR,
        high=(1 - END_ROUNDING) * LARGEST_FACTOR,
        cautions=tuple(c for shares in (mixture, than) for c in mixture_cautions(fit, as_weights(shares, known))),
    )
    both = xr.concat([as_weights(shares, known) for shares in (mixture, than)], "mixture", coords="minimal")
    return cautioned(fit, answer, both, N=N, D=tokens * answer.median())
