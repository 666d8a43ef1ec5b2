"""Compute-optimal allocation: the model size and tokens with the smallest loss (usage 3 of arXiv:2406.01375)."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayeslaw.base.intervals import SAMPLE
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
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["FLOPS_PER_TOKEN", "allocation", "of_the_study"]

FLOPS_PER_TOKEN = 6.0
"""Floating-point operations per parameter and token of training (arXiv:2001.08361)."""

SMALLEST_SIZE = 1e3
"""Smallest model size (parameters) and smallest number of tokens of the search."""


def of_the_study(fit: Posterior) -> dict[str, Any]:
    """Return the study's own question: the compute of its largest run, at that run's share and labels."""
    at = of_largest_run(fit)
    return {"flops": float(FLOPS_PER_TOKEN * at.pop("N") * at.pop("D"))} | at


def allocation(
    fit: Posterior,
    *,
    flops: Any,
    domain_share: Any = None,
    domain: Any = None,
    eval: str | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the model size N and tokens D with the smallest loss under ``flops = 6 N D``, at a fixed domain share.

    Draws without an optimum inside the searched range are kept at its end and counted (`p_never`, `p_always`). The
    error of a new run multiplies all losses alike and does not move the optimum, so the answer is for the mean law.

    Parameters
    ----------
    fit, domain_share, domain, labels
        The posterior; share of the domain in the stream, target domain and ``{column: label}`` of other groups. Arrays
        give the result dims.
    flops : float or array
        Training compute in FLOPs; an array gives the result a dim ``flops``.
    eval : str, optional
        The validation set whose loss is minimised; by default the only one, else ``domain``.

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
    asked = where(labels, domain_share=domain_share, domain=domain)
    columns = open_columns(fit, asked, "N", "D")
    product = named(flops, "flops") / FLOPS_PER_TOKEN
    if (product <= SMALLEST_SIZE**2).any():
        least = FLOPS_PER_TOKEN * SMALLEST_SIZE**2
        raise RangeError(f"flops is {flops}: give the training compute in FLOPs, above {least:g}")

    def split(position: xr.DataArray) -> dict[str, xr.DataArray]:
        N = SMALLEST_SIZE * (product / SMALLEST_SIZE**2) ** position
        return {"N": N, "D": product / N}

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
        "mean law",
        {"flops": flops, **asked, "eval": eval},
        "" if inside == 1 else f"{(1 - inside) * 100:.2g} % of the draws have no optimum in the searched range",
        low=xr.ufuncs.minimum(first, last) * (1 + END_ROUNDING),
        high=xr.ufuncs.maximum(first, last) * (1 - END_ROUNDING),
    )
    middle = best.median().transpose("quantity", ...).values
    return cautioned(fit, best, N=middle[0], D=middle[1])
