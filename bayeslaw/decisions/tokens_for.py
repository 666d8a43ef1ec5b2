"""Tokens for a loss: the smallest number of tokens at which a loss, or a score, is reached."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.errors import RangeError
from bayeslaw.decisions.question import Line, last_below, open_columns, where
from bayeslaw.declare.laws import WEIGHT, Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["applies", "tokens_for"]

SEARCHED = 1000.0
"""Tokens are looked for down to the fewest and up to the most of the runs by this factor."""

ROUNDING = 1e-9
"""Relative distance from an end of the searched range at which a draw counts as lying on it."""


def applies(law: Law) -> bool:
    """Return whether a law's loss depends on tokens."""
    return "D" in law.columns


def tokens_for(
    fit: Posterior,
    *,
    loss: float | None = None,
    score: float | None = None,
    N: Any = None,
    domain_share: Any = None,
    mixture: Any = None,
    domain: Any = None,
    eval: str | None = None,
    new_run: bool = False,
    seed: int = 0,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the smallest number of tokens D at which a loss or a score is reached.

    Draws that reach it before the searched range begins, or not within it, are kept at its ends and counted.

    Parameters
    ----------
    fit : Fit
        The posterior.
    loss : float, optional
        The loss to reach, in the unit of the runs.
    score : float, optional
        In place of `loss`: the score to reach, of a fit of error rates (`bayeslaw.read_scores`), a share in (0, 1).
    N, domain_share : float or array, optional
        Model size in parameters and share of the domain, where the law knows them; an array gives the result a dim.
    mixture : mapping, Series or DataArray, optional
        Shares by source, where the law knows them.
    domain : str or array, optional
        The target domain, where the model tells domains apart.
    eval : str, optional
        The validation set; left out: the only one, else ``domain``.
    new_run : bool
        For one new run, with its error, instead of in the law's mean.
    seed : int
        Seed of the errors of a new run.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column; an array gives the result a dim of its own.

    Returns
    -------
    Censored
        Tokens. `p_never`: fewer tokens than were looked at are enough; `p_always`: more are needed.

    Raises
    ------
    LawError
        The law does not depend on tokens.
    RangeError
        Not one of `loss` and `score` is given, or it is none.
    UnknownName
        The validation set or a label does not exist.
    """
    if (loss is None) == (score is None):
        raise RangeError("give the loss to reach, loss=, or the score, score=: one of the two")
    if score is not None and not 0 < score < 1:
        raise RangeError(f"score is {score}: give a share in (0, 1)")
    target = 1 - score if score is not None else float(loss or 0)
    if not 0 < target < np.inf:
        raise RangeError(f"loss is {loss}: give a loss above 0")
    asked = where(labels, N=N, domain_share=domain_share, domain=domain)
    columns = open_columns(fit, {"D": 1e9}, asked | where({WEIGHT: mixture} if mixture is not None else None))
    loss_of = eval or (fit.evals[0] if len(fit.evals) == 1 else "domain")
    seen = fit.model.design.levels["D"]
    low, high = float(seen.min()) / SEARCHED, float(seen.max()) * SEARCHED
    line = Line(fit, loss_of, lambda position: columns.assign(D=low * (high / low) ** position))
    grid = line.grid()
    error: Any = 1.0
    if new_run:
        error = np.exp(fit.error(seed, columns.drop_vars("D")).sel(eval=loss_of, drop=True).reset_coords(drop=True))
    position = last_below(lambda at: target - line.loss(at) * error, grid)
    tokens: xr.DataArray = low * (high / low) ** position
    answer = Censored(
        "tokens_for",
        tokens.transpose("chain", "draw", ...),
        "tokens",
        "new run" if new_run else "mean law",
        {"loss": target, **asked, "eval": loss_of},
        "p_never: fewer tokens than were looked at are enough; p_always: more are needed",
        low=low * (high / low) ** grid[0].item() * (1 + ROUNDING),
        high=low * (high / low) ** grid[-1].item() * (1 - ROUNDING),
    )
    return cautioned(fit, answer, N=N, D=answer.median().values)
