"""What a law computes, as a hash: equal hashes, equal formulas, wherever and however the law is written.

The law is called with symbols that note what is done to them, numbers included, so that no function, constant or
closure on which it depends is missed.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from bayeslaw.declare.laws import Law
from bayeslaw.errors import LawError

__all__ = ["formula_of"]

METHODS = ("cos", "cosh", "exp", "expm1", "log", "log1p", "sin", "sinh", "sqrt", "tanh")
"""What arrays of symbols ask of each symbol."""


class _Symbol(NDArrayOperatorsMixin):
    """A scalar, known by the hash of how it is computed."""

    def __init__(self, *how: str) -> None:
        self.hash = hashlib.sha256("\n".join(how).encode()).hexdigest()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if method != "__call__" or settings:
            raise TypeError(f"{ufunc.__name__}.{method} of a symbol")
        if vectors := [x for x in inputs if isinstance(x, np.ndarray)]:
            each = zip(*(x if isinstance(x, np.ndarray) else [x] * len(vectors[0]) for x in inputs), strict=True)
            return np.array([*(ufunc(*entry) for entry in each), None], dtype=object)[:-1]
        return _Symbol(ufunc.__name__, *map(_hash, inputs))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, settings: Any) -> "_Symbol":
        if function is not np.where or settings:
            raise TypeError(f"{function.__name__} of a symbol")
        return _Symbol("where", *map(_hash, args))

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(name)
        return partial(getattr(np, name), self)

    def __bool__(self) -> bool:
        raise TypeError("a symbol is neither true nor false")


def _hash(x: Any) -> str:
    if isinstance(x, _Symbol):
        return x.hash
    if isinstance(x, (int, float, np.number, np.bool_)):
        return f"{type(x).__name__} {x!r}"
    raise TypeError(f"{type(x).__name__} beside a symbol")


def formula_of(law: Law, over: int) -> str | None:
    """Return a hash of what a law computes of covariates and coefficients; None where it cannot be told.

    Parameters
    ----------
    over : int
        Entries of covariates and coefficients with a dim of their own.
    """
    vectors = {*law.vectors, *(k for k, c in law.coefficients.items() if c.over)}
    at: dict[str, Any] = {}
    for number, name in enumerate([*law.covariates, *law.coefficients]):
        own = [_Symbol(str(number), str(n)) for n in range(over if name in vectors else 1)]
        at[name] = np.array([*own, None], dtype=object)[:-1] if name in vectors else own[0]
    try:
        loss = _hash(law(*(at[k] for k in law.covariates), **{k: at[k] for k in law.coefficients}))
    except (LawError, TypeError, ValueError, ArithmeticError, LookupError):
        return None
    layout = [str(len(law.covariates)), *(str(over if name in vectors else 1) for name in at)]
    return _Symbol(*layout, loss).hash
