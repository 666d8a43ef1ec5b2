"""A law as a formula in text: the body of a law, evaluated with symbols that write what is done to them.

The text is read alike by JavaScript and by Python: ``x`` holds the values of the columns, ``c`` the coefficients of one
draw, and ``exp``, ``log``, ``maximum``, ``minimum`` and ``where`` are functions that the reader provides.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import ROLE, WEIGHT
from bayeslaw.spec.ranges import SLACK

__all__ = ["Formula", "formula_of", "range_of"]

FORMS = {
    np.add: "({} + {})",
    np.subtract: "({} - {})",
    np.multiply: "({} * {})",
    np.true_divide: "({} / {})",
    np.power: "({} ** {})",
    np.square: "({} ** 2)",
    np.sqrt: "({} ** 0.5)",
    np.negative: "(-{})",
    np.positive: "{}",
    np.absolute: "abs({})",
    np.exp: "exp({})",
    np.log: "log({})",
    np.maximum: "maximum({}, {})",
    np.minimum: "minimum({}, {})",
    np.less: "({} < {})",
    np.less_equal: "({} <= {})",
    np.greater: "({} > {})",
    np.greater_equal: "({} >= {})",
    np.equal: "({} == {})",
    np.bitwise_and: "({} & {})",
    np.bitwise_or: "({} | {})",
}
"""How the functions of the laws' algebra are written."""


class Formula(NDArrayOperatorsMixin):
    """An expression in text, or one for each label of a dim, that numpy's functions extend."""

    def __init__(self, *texts: str, dims: tuple[str, ...] = ()) -> None:
        self.texts = texts
        self.dims = dims

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Write the function of its inputs; numpy refuses one that has no form."""
        if method != "__call__" or options or ufunc not in FORMS:
            return NotImplemented
        return _each(FORMS[ufunc].format, *inputs)

    def __array_function__(self, function: Any, types: Any, inputs: Sequence[Any], options: Any) -> Any:
        """Write ``numpy.where``, or choose if the condition is known."""
        if function is not np.where or options or len(inputs) != 3:
            return NotImplemented
        condition, yes, no = inputs
        if isinstance(condition, Formula):
            return _each("where({}, {}, {})".format, *inputs)
        return yes if condition else no

    def sum(self, dim: str) -> "Formula":
        """Return the sum over the dim."""
        return self._joined(dim, "({} + {})")

    def prod(self, dim: str) -> "Formula":
        """Return the product over the dim."""
        return self._joined(dim, "({} * {})")

    def dot(self, other: Any, dim: str) -> "Formula":
        """Return the sum of products over the dim."""
        products: Formula = self * other
        return products.sum(dim)

    def clip(self, low: Any, high: Any) -> "Formula":
        """Return the expression between two ends."""
        return _each(FORMS[np.minimum].format, _each(FORMS[np.maximum].format, self, low), high)

    def _joined(self, dim: str, form: str) -> "Formula":
        if self.dims != (dim,):
            raise TypeError(f"no dim {dim!r}")
        return Formula(reduce(form.format, self.texts))


def _each(form: Callable[..., str], *inputs: Any) -> Formula:
    """Write a form for every label of the inputs that have a dim."""
    formulas = [value if isinstance(value, Formula) else Formula(_number(value)) for value in inputs]
    dims = next((f.dims for f in formulas if f.dims), ())
    labels = max(len(f.texts) for f in formulas if f.dims == dims)
    return Formula(*(form(*(f.texts[i if f.dims else 0] for f in formulas)) for i in range(labels)), dims=dims)


def _number(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    number = float(value)
    text = {np.inf: "Infinity", -np.inf: "-Infinity"}.get(number, repr(number))
    return f"({text})" if text.startswith("-") else text


def _places(name: str, sizes: dict[str, int], dim: str) -> dict[str, Formula]:
    """Return the elements of an array, each name's in turn; a size of 0 stands for a single number."""
    found, first = {}, 0
    for one, size in sizes.items():
        last = first + max(size, 1)
        found[one] = Formula(*(f"{name}[{i}]" for i in range(first, last)), dims=(dim,) if size else ())
        first = last
    return found


def _columns(law: Law, role: str, sources: int) -> dict[str, Any]:
    """Return the columns of a law, the shares of a mixture last, for validation sets of one role."""
    single = [c for c in law.columns if c != WEIGHT]
    sizes = dict.fromkeys(single, 0) | ({WEIGHT: sources} if WEIGHT in law.columns else {})
    return {**_places("x", sizes, "source"), ROLE: role}


def formula_of(law: Law, reference: dict[str, float], role: str, sources: int = 0) -> str:
    """Return the loss of validation sets of a role as text.

    Raises
    ------
    LawError
        The body uses more than the algebra of laws.
    """
    inputs: Any = law.inputs(_columns(law, role, sources), reference)  # type: ignore[arg-type]
    sizes = {name: sources if c.over else 0 for name, c in law.coefficients.items()}
    loss = law(*inputs.values(), **_places("c", sizes, "source"))
    return loss.texts[0] if isinstance(loss, Formula) else _number(loss)


def range_of(law: Law, role: str, sources: int = 0) -> str:
    """Return as text whether the columns lie in the law's range; see `bayeslaw.spec.ranges.inside`."""
    holds: Any = Formula("1")
    columns: Any = _columns(law, role, sources)
    for name, covariate in law.covariates.items():
        value, (low, high) = law.value(name, columns), covariate.valid
        for end in ([value >= low - SLACK] if low > -np.inf else []) + (
            [value <= high + SLACK] if high < np.inf else []
        ):
            holds = holds & (end.prod("source") if getattr(end, "dims", ()) else end)
    text: str = holds.texts[0]
    return text
