"""The losses of the possible choices in every draw, and with them the regret of a choice that is not the best."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import named
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity

__all__ = ["losses_of_choices"]

OPTIMA = 12
"""Optima of single draws that are choices."""


def losses_of_choices(fit: Posterior, answer: Quantity) -> xr.DataArray | None:
    """Return the losses (chain, draw, choice and the dims of the question) of choices; None if the answer is no choice.

    The choices are the recommended or the median answer, the answers of some draws, and those half-way between.
    """
    if answer.name not in _LOSSES:
        return None
    flat = answer.draws.stack(sample=SAMPLE).drop_vars(["sample", *SAMPLE])
    some = np.linspace(0, flat.sizes["sample"] - 1, OPTIMA).round().astype(int)
    optima = flat.isel(sample=some).rename(sample="choice")
    if isinstance(answer, Mixture):
        middle = answer.recommended
        between = (optima + middle) / 2
    else:
        middle = answer.median()
        between = xr.ufuncs.sqrt(optima * middle)
    choices = xr.concat([middle.expand_dims("choice"), optima, between], "choice", join="exact", coords="minimal")
    return _LOSSES[answer.name](fit, answer, choices).transpose(*SAMPLE, "choice", ...)


def _mixture(fit: Posterior, answer: Quantity, shares: xr.DataArray) -> xr.DataArray:
    assert isinstance(answer, Mixture)
    return answer.goal(shares) + answer.pull(shares)


def _ratio(fit: Posterior, answer: Quantity, share: xr.DataArray) -> xr.DataArray:
    tokens = named(answer.inputs["domain_tokens"], "domain_tokens")
    D = named(answer.inputs["D"], "D") if "D" in answer.inputs else tokens / share
    unique = {"U": tokens} if "U" in fit.model.law.columns else {}
    return _loss(fit, answer, domain_share=share, D=D, **unique).sel(eval=answer.inputs["eval"], drop=True)


def _allocation(fit: Posterior, answer: Quantity, sizes: xr.DataArray) -> xr.DataArray:
    both = {name: sizes.sel(quantity=name, drop=True) for name in ("N", "D")}
    return _loss(fit, answer, **both).sel(eval=answer.inputs["eval"], drop=True)


def _duration(fit: Posterior, answer: Quantity, duration: xr.DataArray) -> xr.DataArray:
    return Goal.of(answer.inputs["goal"], fit.evals)(_loss(fit, answer, duration=duration))


def _loss(fit: Posterior, answer: Quantity, **chosen: xr.DataArray) -> xr.DataArray:
    """Return the loss at the place of the question and the values chosen."""
    columns = (*fit.model.law.columns, *fit.model.design.groups, "domain")
    return fit.loss(fit.columns(**{k: v for k, v in answer.inputs.items() if k in columns} | chosen))


_LOSSES: dict[str, Callable[[Posterior, Quantity, xr.DataArray], xr.DataArray]] = {
    "best_mixture": _mixture,
    "best_ratio": _ratio,
    "allocation": _allocation,
    "best_duration": _duration,
}
