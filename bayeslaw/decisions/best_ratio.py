"""Best ratio: the domain share with the smallest loss when domain tokens are scarce (usage 2 of arXiv:2406.01375)."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.question import Line, minimise, named, only_eval, open_columns, where
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["best_ratio"]

SMALLEST_SHARE = 1e-3
"""Smallest share of the search: training then sees a thousand times the domain tokens."""


def best_ratio(
    fit: Posterior,
    *,
    N: Any = None,
    domain_tokens: Any,
    domain: Any = None,
    eval: str = "domain",
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the domain share with the smallest loss for a fixed number of domain tokens.

    Training sees ``D = domain_tokens / domain_share`` tokens; general tokens do not run short. Draws with the optimum
    at an end of the law's range are kept there (`p_never`: lower end, `p_always`: upper end). The error of a new run
    multiplies all losses alike and does not move the optimum, so the answer is for the mean law.

    Parameters
    ----------
    fit, N, domain, labels
        The posterior; model size (parameters), target domain and ``{column: label}`` of other groups. Arrays give the
        result dims.
    domain_tokens : float or array
        Tokens of the domain, each seen once; an array gives the result a dim ``domain_tokens``.
    eval : str
        The validation set whose loss is minimised, or the role of a single one.

    Returns
    -------
    Censored
        Shares of the domain.

    Raises
    ------
    LawError, RangeError, UnknownName
        The law does not depend on a domain share and tokens; `domain_tokens` is not above 0, or the question outside
        the law's range; the validation set or a label does not exist.

    Notes
    -----
    Usage 2 of Que et al. 2024, arXiv:2406.01375. The search begins at a share of 0.001.
    """
    tokens = named(domain_tokens, "domain_tokens")
    asked = where(labels, N=N, domain=domain)
    columns, eval = open_columns(fit, asked, "domain_share", "D"), only_eval(fit, eval)

    def at(share: xr.DataArray) -> xr.Dataset:
        return columns.assign(domain_share=share, D=tokens / share)

    line = Line(fit, eval, at, ends=(SMALLEST_SHARE, 1.0))
    grid = line.grid()
    low, high = grid[0].item(), grid[-1].item()
    ratio = Censored(
        "best_ratio",
        minimise(line.loss, grid).transpose(*SAMPLE, ...),
        "1",
        fit.mean_name,
        {"domain_tokens": domain_tokens, **asked, "eval": eval, "range": (low, high)},
        low=low,
        high=high,
    )
    return cautioned(fit, ratio, N=N, D=tokens / ratio.median(), domain_share=[*ratio.interval().values()])
