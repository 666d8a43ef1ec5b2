"""Compute-optimal allocation: the model size and tokens with the smallest loss (usage 3 of arXiv:2406.01375)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import exact, short
from bayeslaw.decisions.compute import FLOPS_PER_PARAMETER, Cost, cost_of
from bayeslaw.decisions.question import (
    END_ROUNDING,
    Line,
    minimise,
    named,
    of_largest_run,
    only_eval,
    open_columns,
    where,
)
from bayeslaw.errors import RangeError
from bayeslaw.posterior.cautions import cautioned, repeated
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["allocation", "of_the_study"]

SMALLEST_SIZE = 1e3
"""Smallest model size (parameters) and smallest number of tokens of the search."""

HALVINGS = 60


def of_the_study(fit: Posterior, flops_per_token: Cost = FLOPS_PER_PARAMETER) -> dict[str, Any]:
    """Return the study's own question: the compute of its largest run, at that run's share and labels."""
    at = of_largest_run(fit)
    cost = cost_of(fit, flops_per_token)(xr.DataArray(at.pop("N")))
    return {"flops": float(cost * at.pop("D"))} | at


def allocation(
    fit: Posterior,
    *,
    flops: Any,
    flops_per_token: Cost = FLOPS_PER_PARAMETER,
    domain_share: Any = None,
    U: Any = None,
    domain: Any = None,
    eval: str | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the model size N and tokens D with the smallest loss for a training compute, at a fixed domain share.

    Draws without an optimum inside the searched range are kept at its end and counted (`p_never`, `p_always`). The
    error of a new run multiplies all losses alike and does not move the optimum, so the answer is for the mean law.

    Parameters
    ----------
    fit, domain_share, domain, labels
        The posterior; share of the domain in the stream, target domain and ``{column: label}`` of other groups. Arrays
        give the result dims.
    U : float or array
        Unique tokens, where the law counts epochs.
    flops : float or array
        Training compute in FLOPs; an array gives the result a dim ``flops``.
    flops_per_token : float, str or callable
        What a token costs: a number of FLOPs per parameter (6, of ``flops = 6 N D``; 8 where activations are computed
        twice); a column of the runs with the FLOPs per token of each size; or a function of N, for example
        ``lambda N: 6 * N + 12 * layers(N) * width(N) * context``.
    eval : str, optional
        The validation set whose loss is minimised; by default the only one, or that of the domain.

    Returns
    -------
    Censored
        Dims (chain, draw, quantity, ...), with labels N (parameters) and D (tokens).

    Raises
    ------
    LawError, RangeError, UnknownName
        The law does not depend on both N and D; the compute is too small, or the question outside the law's range; the
        validation set or a label does not exist.

    Notes
    -----
    Usage 3 of Que et al. 2024, arXiv:2406.01375, which has a closed form; the search works for any law.
    """
    asked = where(labels, domain_share=domain_share, U=U, domain=domain)
    columns = open_columns(fit, asked, "N", "D")
    budget, cost = named(flops, "flops"), cost_of(fit, flops_per_token)
    least = float(cost(xr.DataArray(SMALLEST_SIZE))) * SMALLEST_SIZE
    if (few := budget.values[budget.values <= least]).size:
        raise RangeError(f"flops is {exact(few.flat[0])}: give the training compute in FLOPs, above {exact(least)}")
    largest = _largest(budget, cost)

    def split(position: xr.DataArray) -> dict[str, xr.DataArray]:
        N = SMALLEST_SIZE * (largest / SMALLEST_SIZE) ** position
        return {"N": N, "D": budget / cost(N)}

    eval = only_eval(fit, eval)
    line = Line(fit, eval, lambda position: columns.assign(split(position)))
    grid = line.grid()
    label = xr.DataArray(["N", "D"], dims="quantity", name="quantity")

    def both(position: xr.DataArray) -> xr.DataArray:
        return xr.concat(list(split(position).values()), label, join="exact", coords="minimal", compat="override")

    first, last = both(grid[0]), both(grid[-1])
    optimum = minimise(line.loss, grid)
    inside = float(((optimum > grid[0]) & (optimum < grid[-1])).mean())
    best = Censored(
        "allocation",
        both(optimum).transpose(*SAMPLE, "quantity", ...),
        "parameters (N), tokens (D)",
        fit.mean_name,
        {"flops": flops, **_stated(flops_per_token), **asked, "eval": eval},
        "" if inside == 1 else f"{short((1 - inside) * 100, 2)} % of the draws have no optimum in the searched range",
        low=xr.ufuncs.minimum(first, last) * (1 + END_ROUNDING),
        high=xr.ufuncs.maximum(first, last) * (1 - END_ROUNDING),
    )
    middle = best.median().transpose("quantity", ...)
    at = columns.assign({k: middle.sel(quantity=k, drop=True) for k in ("N", "D")})
    seen = repeated(fit.model.design, at, [eval])
    return cautioned(fit, best, N=at["N"].values, D=at["D"].values, domain_share=domain_share, **seen)


def _largest(budget: xr.DataArray, cost: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """Return the model size at which a budget pays for the smallest number of tokens."""
    low, high = np.full(budget.shape, np.log(SMALLEST_SIZE)), np.log(budget.values)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        dear = cost(budget.copy(data=np.exp(middle))).values * SMALLEST_SIZE > budget.values
        low, high = np.where(dear, low, middle), np.where(dear, middle, high)
    return budget.copy(data=np.exp((low + high) / 2))


def _stated(flops_per_token: Cost) -> dict[str, Any]:
    """Return the cost of a token as the answer shows it, where it is not the usual one."""
    if flops_per_token == FLOPS_PER_PARAMETER:
        return {}
    name = getattr(flops_per_token, "__name__", "a function of N") if callable(flops_per_token) else flops_per_token
    return {"flops_per_token": name}
