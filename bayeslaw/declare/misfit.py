"""A law with a smooth misfit term, shrunk towards 0.

The bands of a law that cannot fit the losses are too narrow. With a misfit, log L = log law + b . phi, phi the
monomials of degree one and two in some covariates: log10 of sizes and tokens in units of the reference, shares
from -1 to 1, covariates that may be negative in units of the reference. Every b is normal around 0. Where the law is
right, b stays near 0; where it is wrong, the term corrects it and widens the bands beyond the runs.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

from bayeslaw.base.arguments import checked
from bayeslaw.declare.algebra import exp, log
from bayeslaw.declare.laws import Law
from bayeslaw.declare.priors import real
from bayeslaw.declare.symbols import Coefficient, Covariate
from bayeslaw.errors import LawError, unknown_name

__all__ = ["with_misfit"]


@checked
def with_misfit(law: Law, along: Sequence[str] | None = None, size: float = 0.01) -> Law:
    """Return a law with a smooth misfit term.

    Parameters
    ----------
    law : Law
        The law to extend.
    along : sequence of str, optional
        Covariates of the monomials; by default all but the shares of a mixture. The shape prior no longer makes the
        loss fall along these.
    size : float
        Standard deviation of every b: the relative change of the loss per monomial at ten times the reference.

    Returns
    -------
    Law
        The law with one more coefficient per monomial: ``bend_D``, ``bend_D_share``.

    Raises
    ------
    LawError
        `along` names the shares of a mixture, or the law has a misfit already.
    UnknownName
        The law has no covariate of that name.
    """
    along = tuple(along if along is not None else (name for name in law.covariates if name not in law.vectors))
    for name in along:
        if name not in law.covariates:
            raise unknown_name(f"covariate of {law.name}", name, law.covariates)
        if name in law.vectors:
            raise LawError(f"along has {name}, the shares of a mixture: give other covariates")
    terms = [*combinations_with_replacement(along, 1), *combinations_with_replacement(along, 2)]
    names = {f"bend_{'_'.join(term)}": term for term in terms}
    if names.keys() & law.coefficients.keys():
        raise LawError(f"{law.name} has a misfit already: give the law without one")

    def bent(*covariates: Any, **coefficients: Any) -> Any:
        own = {k: c for k, c in coefficients.items() if k in law.coefficients}
        given = dict(zip(law.covariates, covariates, strict=True))
        z = {k: _position(given[k], law.covariates[k]) for k in along}
        bend = sum(coefficients[name] * math.prod(z[k] for k in term) for name, term in names.items())
        return law.function(*covariates, **own) * exp(bend)

    monomial = Coefficient(
        real(0.0, sd=size),
        "1",
        "misfit of the law",
        "laws that fit well are off by a few thousandths of the loss, poor ones by a few hundredths",
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
        notes=(*law.notes, "The misfit term is smooth and small; it does not describe sudden changes."),
    )


def _position(x: Any, covariate: Covariate) -> Any:
    low, high = covariate.valid
    if high <= 1:
        return 2 * covariate.reference * x - 1
    return x if low < 0 else log(x) / math.log(10)
