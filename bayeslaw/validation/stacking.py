"""One answer of several models: the draws of each, as many as its weight in the stacked prediction."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import checked, named_values
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.errors import ArgumentError, BayeslawError, RangeError, shown, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.validation.comparison import compare

__all__ = ["stacked"]


@checked
def stacked(
    entries: Mapping[str, Posterior],
    question: Callable[[Any], Quantity],
    *,
    weights: Mapping[str, float] | None = None,
) -> Quantity:
    """Answer a question with several models at once, where none of them is clearly the best.

    The answer is a mixture: each model gives as many of its draws, evenly taken, as its weight says.

    Parameters
    ----------
    entries : mapping of str to Fit
        At least two.
    question : callable
        Takes a fit and returns its answer, for example ``lambda fit: fit.predict(N=7e9, D=1e11)``.
    weights : mapping of str to float, optional
        Weights of the models; by default those of `bayeslaw.compare`, which compares fits of the same measurements
        (Yao et al. 2018). Weights found by refits are ``dict(bl.compare(evaluations)["weight"])``.

    Returns
    -------
    Quantity
        With one chain, and the cautions of every model that counts; a `Censored` where all answers are.

    Raises
    ------
    ArgumentError, DataError, RangeError, UnknownName
        The question is no function of a fit; as in `bayeslaw.compare`; a weight is negative, all are 0, or it belongs
        to no model; the answers have different units, labels or searched ranges.

    Examples
    --------
    >>> bl.stacked({"added": a, "joined": b}, lambda fit: fit.allocation(flops=1e21))  # doctest: +SKIP
    """
    if len(entries) < 2:
        raise RangeError("give at least two models to stack, for example bl.stacked({'a': a, 'b': b}, question)")
    share = _shares(dict(compare(entries)["weight"]) if weights is None else weights, entries)
    answers = {name: _answer(name, entries[name], question) for name, weight in share.items() if weight > 0}
    _check_alike(answers)
    size = max(answer.draws.sizes["chain"] * answer.draws.sizes["draw"] for answer in answers.values())
    ends = np.round(np.cumsum([share[name] for name in answers]) * size).astype(int)
    parts = [
        _evenly(answer.draws, int(count))
        for answer, count in zip(answers.values(), np.diff(ends, prepend=0), strict=True)
        if count
    ]
    draws = xr.concat(parts, "draw", join="exact", coords="minimal", compat="override").expand_dims(chain=[0])
    first = next(iter(answers.values()))
    kind = Censored if all(isinstance(answer, Censored) for answer in answers.values()) else Quantity
    about = {field.name: getattr(first, field.name) for field in fields(kind)}
    about |= {
        "draws": draws.assign_coords(draw=np.arange(draws.sizes["draw"])).transpose(*SAMPLE, ...),
        "remark": "stacked: " + ", ".join(f"{share[name]:.2f} {name}" for name in answers),
        "cautions": tuple(f"{name}: {caution}" for name, answer in answers.items() for caution in answer.cautions),
    }
    return kind(**about)


def _answer(name: str, fit: Posterior, question: Callable[[Any], Quantity]) -> Quantity:
    try:
        answer = question(fit)
        if not isinstance(answer, Quantity):
            raise TypeError(f"it returned {shown(answer)}")
    except BayeslawError:
        raise
    except Exception as e:  # whatever a user's function raises
        reason = " ".join(f"{type(e).__name__}: {e}".split())[:120]
        raise ArgumentError(
            f"question={shown(question)} has no answer of {name!r} ({reason}): give a function of a fit such as lambda "
            "fit: fit.predict(N=7e9, D=1e11)"
        ) from None
    return answer


def _shares(weights: Mapping[Any, float], entries: Mapping[str, Posterior]) -> dict[str, float]:
    """Return the weights of the models, with a sum of 1."""
    found = named_values(weights, "weights", "weights={'added': 0.4, 'joined': 0.6}")
    for name in found:
        if name not in entries:
            raise unknown_name("model (in weights=)", name, entries)
    values = {name: float(found.get(name, 0.0)) for name in entries}
    if not (all(0 <= w < np.inf for w in values.values()) and sum(values.values()) > 0):
        raise RangeError(f"weights is {dict(found)}: give weights of at least 0, some of them above")
    return {name: w / sum(values.values()) for name, w in values.items()}


def _check_alike(answers: Mapping[str, Quantity]) -> None:
    (first, one), *others = answers.items()
    for name, other in others:
        unlike = one.unit != other.unit or one.what != other.what
        here, there = (answer.draws.isel(dict.fromkeys(SAMPLE, 0), drop=True) for answer in (one, other))
        unlike |= here.sizes != there.sizes or not here.coords.equals(there.coords)
        if isinstance(one, Censored) and isinstance(other, Censored):
            ends = zip((one.low, one.high), (other.low, other.high), strict=True)
            unlike |= not all(np.array_equal(a, b) for a, b in ends)
        if unlike:
            raise RangeError(
                f"the answers of {first!r} and {name!r} have different units, labels or searched ranges: ask a "
                "question that means the same to both"
            )


def _evenly(draws: xr.DataArray, count: int) -> xr.DataArray:
    """Return that many draws, evenly taken from all chains, along one dim."""
    flat = draws.stack(sample=SAMPLE).drop_vars(["sample", *SAMPLE])
    at = np.linspace(0, flat.sizes["sample"] - 1, count).round().astype(int)
    return flat.isel(sample=at).rename(sample="draw")
