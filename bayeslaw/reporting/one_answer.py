"""The one answer of a report of several fits: what each law says, its weight, and the mixture."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from bayeslaw.checks import CheckResult
from bayeslaw.errors import BayeslawError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.validation.stacking import MOST_APART, Stack, weights_of

__all__ = ["one_answer"]


def one_answer(
    fits: Mapping[str, Posterior],
    draws: Mapping[str, Mapping[str, xr.DataArray]],
    words: Callable[[xr.DataArray], str],
    about: Callable[[xr.DataArray], str],
) -> dict[str, Any]:
    """Return the answers that all these fits give, stacked, as the template of several fits names them.

    Parameters
    ----------
    fits : mapping
        The fits that have converged, by their names.
    draws : mapping
        Of every answer in words, its draws by fit.
    words, about : callable
        Turn draws into median and interval in words, and into the rounded median.
    """
    found: dict[str, Any] = {"stacked": None, "together": {}, "weights": {}, "agreement": [], "unstacked": ""}
    shared = {what: each for what, each in draws.items() if len(each) == len(fits)}
    if len(fits) < 2:
        return found | {"unstacked": "fewer than two of the fits have converged"}
    if not shared:
        return found
    try:
        weights = weights_of(fits)
        stacks = {what: Stack.alike(weights, _answers(what, each)) for what, each in shared.items()}
    except BayeslawError as e:
        return found | {"unstacked": str(e)}
    rows = [
        {
            "answer": what,
            **{name: words(each) for name, each in shared[what].items()},
            "stacked": words(s.mixture.draws),
        }
        for what, s in stacks.items()
    ]
    agreement = [(what, _check(s)) for what, s in stacks.items()]
    return found | {
        "stacked": pd.DataFrame(rows),
        "together": {what: about(s.mixture.draws) for what, s in stacks.items()},
        "weights": weights,
        "agreement": _failed_or_first(agreement),
    }


def _check(stack: Stack) -> CheckResult:
    """Return whether the laws agree, as a check."""
    return CheckResult("agreement of laws", stack.agree, stack.agreement, stack.farthest[0], MOST_APART)


def _answers(what: str, each: Mapping[str, xr.DataArray]) -> dict[str, Quantity]:
    return {name: Quantity("answer", draws.reset_coords(drop=True), "1", "mean law") for name, draws in each.items()}


def _failed_or_first(found: list[tuple[str, CheckResult]]) -> list[tuple[str, CheckResult]]:
    """Return the answers on which the laws disagree, or the one on which they differ most."""
    failed = [one for one in found if not one[1].passed]
    return failed or [max(found, key=lambda one: one[1].value or 0.0)]
