"""Tokens for a loss: the smallest number of tokens at which a loss, or a score, is reached."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.question import END_ROUNDING, Line, last_below, only_eval, open_columns, where
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import LawError, RangeError
from bayeslaw.posterior.cautions import cautioned, repeated
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["falls", "tokens_for"]

SEARCH_FACTOR = 1000.0
"""Factor by which the search goes below the fewest and above the most tokens of the runs."""


def falls(law: Law) -> bool:
    """Return whether the loss of a law can fall with tokens."""
    return "D" not in law.rises_in


def tokens_for(
    fit: Posterior,
    *,
    loss: float | None = None,
    score: float | None = None,
    N: Any = None,
    domain_share: Any = None,
    U: Any = None,
    mixture: Any = None,
    domain: Any = None,
    eval: str | None = None,
    new_run: bool = False,
    seed: int = 0,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the smallest number of tokens D at which a loss or a score is reached.

    Draws that reach it outside the searched range are kept at its ends and counted.

    Parameters
    ----------
    fit, N, domain_share, domain, labels
        The posterior; model size (parameters), share of the domain, target domain and ``{column: label}`` of other
        groups. Arrays give the result dims.
    U : float or array
        Unique tokens, where the law counts epochs.
    loss : float, optional
        The loss to reach, in the unit of the runs.
    score : float, optional
        In place of `loss`: the score to reach, of a fit of error rates (`bayeslaw.read_scores`), a share in (0, 1).
    mixture : mapping, Series or DataArray, optional
        Shares by source, where the law depends on them.
    eval : str, optional
        The validation set; by default the only one, or that of the domain.
    new_run, seed
        Answer for one new run with its error, not for the mean law, and the seed of its error.

    Returns
    -------
    Censored
        Tokens. `p_never`: fewer tokens than the searched range suffice; `p_always`: more are needed.

    Raises
    ------
    LawError, RangeError, UnknownName
        The law does not depend on tokens, or its loss only rises with them; not exactly one of `loss` and `score` is
        given, or its value is impossible; the validation set or a label does not exist.
    """
    if (loss is None) == (score is None):
        raise RangeError("tokens_for needs one target: give loss= or score=, not both")
    if score is not None and not 0 < score < 1:
        raise RangeError(f"score is {score}: give a share in (0, 1)")
    if score is not None and float(fit.model.design.rows["loss"].max()) >= 1:
        raise RangeError(
            "score= needs a fit of error rates (read_scores), and these runs have losses above 1: give loss="
        )
    target = 1 - score if score is not None else float(loss or 0)
    if not 0 < target < np.inf:
        raise RangeError(f"loss is {loss}: give a loss above 0")
    if not falls(fit.model.law):
        raise LawError(
            f"the loss of {fit.model.law.name} only rises with tokens, so no number of tokens is the smallest: ask for "
            "the rise that they cost, with smallest_replay or critical_ratio"
        )
    asked = where(labels, N=N, domain_share=domain_share, U=U, domain=domain)
    columns = open_columns(fit, asked | where({WEIGHT: mixture}), "D")
    eval, measured = only_eval(fit, eval), fit.model.design.levels["D"]
    low, high = float(measured.min()) / SEARCH_FACTOR, float(measured.max()) * SEARCH_FACTOR

    def tokens(position: xr.DataArray) -> xr.DataArray:
        return low * (high / low) ** position

    line = Line(fit, eval, lambda position: columns.assign(D=tokens(position)))
    grid = line.grid()
    error = line.error(columns, seed) if new_run else 1.0
    position = last_below(lambda at: target - line.loss(at) * error, grid)
    answer = Censored(
        "tokens_needed",
        tokens(position).transpose(*SAMPLE, ...),
        "tokens",
        "new run" if new_run else fit.mean_name,
        {**({"loss": target} if score is None else {"score": score}), **asked, "eval": eval},
        "p_never: fewer tokens than the searched range suffice; p_always: more are needed",
        line.narrowed(),
        low=tokens(grid[0]).item() * (1 + END_ROUNDING),
        high=tokens(grid[-1]).item() * (1 - END_ROUNDING),
    )
    needed = answer.median()
    seen = repeated(fit.model.design, columns.assign(D=needed), [eval])
    return cautioned(fit, answer, columns.get(WEIGHT), N=N, D=needed.values, domain_share=domain_share, **seen)
