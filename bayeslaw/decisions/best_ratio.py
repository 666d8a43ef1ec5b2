"""Best ratio when domain tokens are scarce: usage 2 of arXiv:2406.01375."""

from collections.abc import Mapping
from typing import Any

from bayeslaw.decisions.question import Line, minimise, named, open_columns, where
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["applies", "best_ratio"]

SMALLEST_SHARE = 1e-3
"""Below it a fixed amount of domain tokens would mean a thousand times as many tokens in all."""


def applies(law: Law) -> bool:
    """Return whether a law knows a share of a target domain, and tokens."""
    return law.kind == "share" and "D" in law.columns


def best_ratio(
    fit: Posterior,
    *,
    N: Any = None,
    domain_tokens: Any,
    domain: Any = None,
    eval: str = "domain",
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the domain share with the smallest loss when the domain tokens are given and general tokens are not.

    Training sees ``D = domain_tokens / domain_share`` tokens. Draws whose optimum lies at an end of the law's range
    are kept there (`p_never`: lower end, `p_always`: upper end). A new run's error is the same factor at every
    share, so it does not move the optimum: the answer is one about the mean law.

    Parameters
    ----------
    fit : Fit
        The posterior.
    N : float or array
        Model size in parameters; an array gives the result a dim ``N``.
    domain_tokens : float or array
        Tokens of the domain, each seen once; an array gives the result a dim ``domain_tokens``.
    domain : str or array, optional
        The target domain, where the model tells domains apart.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column; an array gives the result a dim of its own.
    eval : str
        The validation set whose loss is minimised.

    Returns
    -------
    Censored
        Shares of the domain.

    Raises
    ------
    LawError
        The law does not know a domain share.
    RangeError
        The question lies outside the law's range, or `domain_tokens` is not above 0.
    UnknownName
        The validation set or a label does not exist.

    Notes
    -----
    Usage 2 of Que et al. 2024, arXiv:2406.01375. Shares below 0.001 are not looked at.
    """
    tokens = named(domain_tokens, "domain_tokens")
    asked = where(labels, N=N, domain=domain)
    columns = open_columns(fit, {"domain_share": 0.5, "D": 1e9}, asked)
    line = Line(
        fit, eval, lambda share: columns.assign(domain_share=share, D=tokens / share), ends=(SMALLEST_SHARE, 1.0)
    )
    grid = line.grid()
    low, high = grid[0].item(), grid[-1].item()
    ratio = Censored(
        "best_ratio",
        minimise(line.loss, grid).transpose("chain", "draw", ...),
        "1",
        "mean law",
        {"domain_tokens": domain_tokens, **asked, "eval": eval, "range": (low, high)},
        low=low,
        high=high,
    )
    return cautioned(fit, ratio, N=N, D=tokens / ratio.median())
