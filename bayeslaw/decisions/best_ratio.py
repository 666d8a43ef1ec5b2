"""Best ratio: the domain share with the smallest loss when domain tokens are scarce (usage 2 of arXiv:2406.01375)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import probability
from bayeslaw.decisions.question import Line, minimise, named, only_eval, open_columns, where
from bayeslaw.errors import LawError
from bayeslaw.posterior.cautions import cautioned, repeated
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, Quantity

__all__ = ["BestRatio", "best_ratio"]

SMALLEST_SHARE = 1e-3
"""Smallest share of the search: training then sees a thousand times the domain tokens."""


@dataclass(frozen=True, eq=False, repr=False)
class BestRatio(Censored):
    """The best domain share of every draw, and its number of epochs where domain tokens may be repeated.

    Parameters
    ----------
    epochs : Quantity, optional
        How often the best share sees the domain's tokens.
    p_further_epoch_hurts : xarray.DataArray, optional
        Probability that one epoch more than at the median share, in as many tokens of training, raises the loss;
        missing where that takes a share above the searched range.
    """

    epochs: Quantity | None = None
    p_further_epoch_hurts: xr.DataArray | None = None

    def _beside(self) -> dict[str, Any]:
        if self.epochs is None or self.p_further_epoch_hurts is None:
            return {}
        ends = {f"epochs_{k}": v for k, v in self.epochs.interval().items()}
        return {"epochs": self.epochs.median(), **ends, "p_further_epoch_hurts": self.p_further_epoch_hurts}


def best_ratio(
    fit: Posterior,
    *,
    N: Any = None,
    domain_tokens: Any,
    D: Any = None,
    domain: Any = None,
    eval: str = "domain",
    labels: Mapping[str, Any] | None = None,
) -> BestRatio:
    """Return the domain share with the smallest loss for a fixed number of domain tokens.

    Training sees ``D = domain_tokens / domain_share`` tokens, or as many as `D` says, with domain tokens repeated if
    need be; general tokens do not run short. Draws with the optimum at an end of the law's range are kept there
    (`p_never`: lower end, `p_always`: upper end). The error of a new run multiplies all losses alike and does not move
    the optimum, so the answer is for the mean law.

    Parameters
    ----------
    fit, N, domain, labels
        The posterior; model size (parameters), target domain and ``{column: label}`` of other groups. Arrays give the
        result dims.
    domain_tokens : float or array
        Unique tokens of the domain; an array gives the result a dim ``domain_tokens``.
    D : float or array, optional
        Tokens of the training, of a law that counts epochs (such as `dcpt_repetition`); left out, each token of the
        domain is seen once.
    eval : str
        The validation set whose loss is minimised, or the role of a single one.

    Returns
    -------
    BestRatio
        Shares of the domain. With `D`, also the epochs that they mean, and how probably a further one hurts.

    Raises
    ------
    LawError, RangeError, UnknownName
        The law does not depend on a domain share and tokens, or counts no epochs; `domain_tokens` is not above 0, or
        the question outside the law's range; the validation set or a label does not exist.

    Notes
    -----
    Usage 2 of Que et al. 2024, arXiv:2406.01375, where each token is seen once. The search begins at a share of 0.001.
    """
    tokens, law = named(domain_tokens, "domain_tokens"), fit.model.law
    counts_epochs = "U" in law.columns
    if D is not None and not counts_epochs:
        known = models.such_as(lambda law: {"domain_share", "D", "U"} <= set(law.columns))
        raise LawError(
            f"the law {law.name} counts a repeated token as a new one: leave D out, so that each is seen once, or fit "
            f"a law that counts epochs, such as {known}"
        )
    asked = where(labels, N=N, domain=domain)
    unique = {"U": tokens} if counts_epochs else {}
    columns, eval = open_columns(fit, asked | unique, "domain_share", "D"), only_eval(fit, eval)
    budget = None if D is None else named(D, "D")

    def at(share: xr.DataArray) -> xr.Dataset:
        return columns.assign(domain_share=share, D=tokens / share if budget is None else budget)

    line = Line(fit, eval, at, ends=(SMALLEST_SHARE, 1.0))
    grid = line.grid()
    low, high = grid[0].item(), grid[-1].item()
    draws = minimise(line.loss, grid).transpose(*SAMPLE, ...)
    given = {"domain_tokens": domain_tokens, **asked, "eval": eval, "range": (low, high)}
    together = line.narrowed()
    ratio = BestRatio("best_ratio", draws, "1", fit.mean_name, given, cautions=together, low=low, high=high)
    if budget is not None:
        ratio = _with_epochs(ratio, line, budget, tokens)
    best = at(ratio.median())
    seen = repeated(fit.model.design, best, [eval])
    return cautioned(fit, ratio, N=N, D=best["D"].values, domain_share=[*ratio.interval().values()], **seen)


def _with_epochs(ratio: BestRatio, line: Line, budget: xr.DataArray, tokens: xr.DataArray) -> BestRatio:
    """Return the answer with the epochs of the best share, and what one more would do."""
    epochs = Quantity("epochs", ratio.draws * budget / tokens, "1", ratio.what, ratio.inputs)
    best = ratio.median()
    further = best + tokens / budget
    fits = further <= ratio.high
    rises = line.loss(further.where(fits, ratio.high)) > line.loss(best)
    hurts = rises.mean(SAMPLE).where(fits)
    remark = "the answer also has the epochs of each best share, and the probability that a further epoch hurts"
    if not hurts.ndim:
        more = (
            f"raises the loss with probability {probability(hurts.item())}" if fits else "has no room in these tokens"
        )
        remark = f"the best share sees the domain's tokens {epochs.text().item()} times; one epoch more {more}"
    inputs = {"D": budget.values.tolist(), **ratio.inputs}
    return replace(ratio, inputs=inputs, remark=remark, epochs=epochs, p_further_epoch_hurts=hurts)
