"""A law that may bend: a smooth term for what it misses, shrunk towards none.

A law that cannot follow the losses answers too surely. With a misfit, log L = log law + b . phi, phi the monomials of
degree one and two in the covariates it may bend along: log10 of sizes and tokens in units of the reference, shares from
-1 to 1, what may be negative in units of the reference. Every b is normal around 0, so that where the law is right
little changes; where it is not, the law bends, and beyond the runs its bands widen as far as the size of the misfit
lets them. The result is a law like any other.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

from bayeslaw.base.arguments import checked
from bayeslaw.base.errors import LawError, unknown_name
from bayeslaw.declare.laws import Coefficient, Covariate, Law, exp, log
from bayeslaw.declare.priors import real

__all__ = ["with_misfit"]


@checked
def with_misfit(law: Law, along: Sequence[str] | None = None, size: float = 0.01) -> Law:
    """Return a law with a smooth misfit term.

    Parameters
    ----------
    law : Law
        What may be wrong.
    along : sequence of str, optional
        Covariates along which it may bend; all by default. The shape that the paper requires of the loss along these
        is no longer part of the prior.
    size : float
        Standard deviation of every b: by what share of the loss each monomial may be off at a factor of ten from the
        reference.

    Returns
    -------
    Law
        With one more coefficient for each monomial: ``bend_D``, ``bend_D_share``.

    Raises
    ------
    LawError
        The law has no covariate of that name, or it holds the shares of a mixture.
    """
    along = tuple(along if along is not None else (name for name in law.covariates if name not in law.vectors))
    for name in along:
        if name not in law.covariates:
            raise unknown_name(f"covariate of {law.name}", name, law.covariates)
        if name in law.vectors:
            raise LawError(f"a misfit along {name}, the shares of a mixture, is not written: bend along the others")
    terms = [*combinations_with_replacement(along, 1), *combinations_with_replacement(along, 2)]
    names = {f"bend_{'_'.join(term)}": term for term in terms}
    if names.keys() & law.coefficients.keys():
        raise LawError(f"{law.name} has a misfit already: give the law without it")
    number = {name: place for place, name in enumerate(law.covariates)}

    def bent(*covariates: Any, **coefficients: Any) -> Any:
        own = {k: c for k, c in coefficients.items() if k in law.coefficients}
        z = {k: _position(covariates[number[k]], law.covariates[k]) for k in along}
        bend = sum(coefficients[name] * math.prod(z[k] for k in term) for name, term in names.items())
        return law.function(*covariates, **own) * exp(bend)

    monomial = Coefficient(
        real(0.0, sd=size),
        "1",
        "what the law misses",
        "laws that fit well miss losses by a few thousandths, poor ones by a few hundredths",
        between=size / 2,
    )
    coefficients = {**law.coefficients, **dict.fromkeys(names, monomial)}
    bent.__name__ = f"{law.name}_misfit"
    bent.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(k, inspect.Parameter.POSITIONAL_ONLY) for k in law.covariates]
        + [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY) for k in coefficients]
    )
    return replace(
        law,
        function=bent,
        title=f"{law.title} with a misfit along {', '.join(along)}",
        equation=rf"\left({law.equation}\right) e^{{\sum_k b_k \phi_k}}",
        coefficients=coefficients,
        falls_in=tuple(name for name in law.falls_in if name not in along),
        falls_faster=(),
        sufficient_shape=None,
        notes=(*law.notes, "The misfit is smooth and small; it says nothing of sudden changes."),
    )


def _position(x: Any, covariate: Covariate) -> Any:
    low, high = covariate.valid
    if high <= 1:
        return 2 * covariate.reference * x - 1
    return x if low < 0 else log(x) / math.log(10)
