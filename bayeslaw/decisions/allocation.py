"""Compute-optimal allocation: the model size and tokens with the smallest loss (usage 3 of arXiv:2406.01375)."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayeslaw.base.errors import RangeError
from bayeslaw.decisions.question import Line, minimise, named, of_largest_run, open_columns, where
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["FLOPS_PER_TOKEN", "allocation", "applies", "of_the_study"]

FLOPS_PER_TOKEN = 6.0
"""Floating-point operations per parameter and token of training (arXiv:2001.08361)."""

SMALLEST = 1e3
"""Smallest model (parameters) and smallest amount of tokens that are looked at."""

ROUNDING = 1e-9
"""Relative distance from an end of the searched range at which a draw counts as lying on it."""


def applies(law: Law) -> bool:
    """Return whether a law knows model size and tokens, and no shares of sources, which the question cannot give."""
    return {"N", "D"} <= set(law.columns) and law.kind != "mixture"


def of_the_study(fit: Posterior) -> dict[str, Any]:
    """Return the question of the study itself: the compute of its largest run, at that run's share and labels."""
    at = of_largest_run(fit)
    return {"flops": float(FLOPS_PER_TOKEN * at["N"] * at["D"])} | {k: v for k, v in at.items() if k not in ("N", "D")}


def allocation(
    fit: Posterior,
    *,
    flops: Any,
    domain_share: float | None = None,
    domain: Any = None,
    eval: str | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the model size N and tokens D with the smallest loss under ``flops = 6 N D``, at a fixed domain share.

    Draws without an optimum inside the searched range are kept at its end and counted (`p_never`, `p_always`). A new
    run's error is the same factor everywhere, so it does not move the optimum: the answer is about the mean law.

    Parameters
    ----------
    fit : Fit
        The posterior.
    flops : float or array
        Training compute in FLOPs; an array gives the result a dim ``flops``.
    domain_share : float, optional
        Share of the domain in the stream, where the law knows one.
    domain : str or array, optional
        The target domain, where the model tells domains apart.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column; an array gives the result a dim of its own.
    eval : str, optional
        The validation set whose loss is minimised; left out: the only one, else ``domain``.

    Returns
    -------
    Censored
        Dims (chain, draw, quantity, ...), with labels N (parameters) and D (tokens).

    Raises
    ------
    LawError
        The law does not depend on both N and D.
    RangeError
        The compute is too small, or the question lies outside the law's range.
    UnknownName
        The validation set or a label does not exist.

    Notes
    -----
    Usage 3 of Que et al. 2024, arXiv:2406.01375, where a closed form exists; the search needs none.
    """
    asked = where(labels, domain_share=domain_share, domain=domain)
    columns = open_columns(fit, {"N": 1e9, "D": 1e9}, asked)
    product = named(flops, "flops") / FLOPS_PER_TOKEN
    if (product <= SMALLEST**2).any():
        least = FLOPS_PER_TOKEN * SMALLEST**2
        raise RangeError(f"flops is {flops}: give the training compute in FLOPs, above {least:g}")

    def split(position: xr.DataArray) -> dict[str, xr.DataArray]:
        N = SMALLEST * (product / SMALLEST**2) ** position
        return {"N": N, "D": product / N}

    loss_of = eval or (fit.evals[0] if len(fit.evals) == 1 else "domain")
    line = Line(fit, loss_of, lambda position: columns.assign(split(position)))
    grid = line.grid()
    label = xr.DataArray(["N", "D"], dims="quantity", name="quantity")

    def both(position: xr.DataArray) -> xr.DataArray:
        return xr.concat(list(split(position).values()), label, join="exact", coords="minimal", compat="override")

    smallest, largest = both(grid[0]), both(grid[-1])
    optimum = minimise(line.loss, grid)
    inside = float(((optimum > grid[0]) & (optimum < grid[-1])).mean())
    best = Censored(
        "allocation",
        both(optimum).transpose("chain", "draw", "quantity", ...),
        "parameters (N), tokens (D)",
        "mean law",
        {"flops": flops, **asked, "eval": loss_of},
        "" if inside == 1 else f"{(1 - inside) * 100:.2g} % of the draws have no optimum in the searched range",
        low=xr.where(smallest < largest, smallest, largest) * (1 + ROUNDING),
        high=xr.where(smallest < largest, largest, smallest) * (1 - ROUNDING),
    )
    middle = best.median()
    return cautioned(fit, best, **{name: middle.sel(quantity=name).values for name in ("N", "D")})
