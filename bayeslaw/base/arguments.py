"""Checks of the arguments of public functions against their annotations.

``model: Model`` refuses a Fit before anything is computed, and the error says what to give instead.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from bayeslaw.errors import ArgumentError, RangeError, shown, unknown_name

__all__ = ["checked", "numbers"]

WANTED = {
    "Callable": "a function",
    "DataFrame": "a pandas DataFrame",
    "Executor": "an executor, for example Client(address).get_executor() of Dask",
    "Evaluation": "an Evaluation, bl.evaluate(model, splits)",
    "Fit": "a Fit, model.fit()",
    "Law": "a Law, one of bayeslaw.models or your own, declared with @bl.law",
    "Mapping": "a mapping, {name: value}",
    "Model": "a Model, bl.Model(law, runs) or that of a fit, fit.model",
    "Noise": "an error model, bl.Noise(...)",
    "Path": "a path",
    "Prior": "a prior, for example bl.positive(0.35, spread=0.3)",
    "Posterior": "a Fit, model.fit()",
    "Runs": "Runs, bl.read_runs(table)",
    "Schedule": "a Schedule, for example bl.schedules.cosine(24_000, 3e-4)",
    "Sequence": "a list",
    "Specification": "a Model, bl.Model(law, runs) or that of a fit, fit.model",
    "Splits": "Splits, for example bl.splits.by('N')",
    "bool": "True or False",
    "float": "a number",
    "int": "a whole number (int)",
    "str": "a text",
    "tuple": "a tuple",
}
"""How an error names the argument that is wanted, by the name of its type."""


def checked[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with its arguments checked: one of another type than annotated raises ArgumentError.

    The elements of a container are not checked, nor is an argument annotated as Any.
    """
    declared = signature(function)
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in declared.parameters.values())

    @cache
    def kinds() -> dict[str, tuple[Any, ...]]:
        annotated = signature(function, eval_str=True).parameters
        return {name: tuple(_kinds(p.annotation)) for name, p in annotated.items()}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not takes_any and (unknown := [name for name in kwargs if name not in declared.parameters]):
            known = (name for name in declared.parameters if name not in ("self", "fit"))
            raise ArgumentError(str(unknown_name("argument", unknown[0], known)))
        try:
            given = declared.bind(*args, **kwargs).arguments
        except TypeError as e:
            raise ArgumentError(f"{function.__name__}: {e}") from None
        for name, value in given.items():
            several = declared.parameters[name].kind
            each = [(name, one) for one in value] if several is Parameter.VAR_POSITIONAL else [(name, value)]
            for called, one in value.items() if several is Parameter.VAR_KEYWORD else each:
                if not any(_is(one, kind) for kind in kinds()[name]):
                    raise ArgumentError(f"{called} is {shown(one)}: give {_wanted(kinds()[name])}")
                if called == "seed" and one < 0:
                    raise RangeError(f"seed is {one}: give a whole number of 0 or above")
        return function(*args, **kwargs)

    return call


def numbers(value: Any, name: str) -> np.ndarray:
    """Return one number or several as an array; raise ArgumentError for anything else."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} is {shown(value)}: give a number, or a list of numbers") from None


def _kinds(annotation: Any) -> Iterator[Any]:
    """Return the types of an annotation; object where any value passes."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin is Literal:
        yield from (type(choice) for choice in get_args(annotation))
    elif annotation is None:
        yield NoneType
    else:
        kind = origin or annotation
        free = kind in (Any, Parameter.empty) or not isinstance(kind, type) or getattr(kind, "_is_protocol", False)
        yield object if free else kind


def _wanted(kinds: tuple[Any, ...]) -> str:
    names = [kind.__name__ for kind in kinds if kind is not NoneType and not (kind is str and Path in kinds)]
    return " or ".join(dict.fromkeys(WANTED.get(name, name) for name in names))


def _is(value: Any, kind: type) -> bool:
    if kind in (bool, int, float):
        scalar = value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
        wanted = {bool: bool, int: Integral, float: Real}[kind]
        return isinstance(scalar, wanted) and isinstance(scalar, bool) == (kind is bool)
    if kind is Sequence and isinstance(value, str):
        return False
    return isinstance(value, kind)
