"""The door of every public function: its annotations say what it takes, and anything else is refused in a sentence.

As the signature of a law is its declaration, so is that of a function: ``model: Model`` refuses a Fit before anything
is computed, and says what to give instead.
"""

import builtins
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from bayeslaw.errors import ArgumentError, RangeError, shown

__all__ = ["checked", "numbers"]

WORDS = {
    "Callable": "a function",
    "DataFrame": "a pandas DataFrame",
    "Evaluation": "an Evaluation, bl.evaluate(model, splits)",
    "Fit": "a Fit, model.fit()",
    "Law": "a Law, one of bayeslaw.models or your own, declared with @bl.law",
    "Mapping": "a mapping, {name: value}",
    "Model": "a Model, bl.Model(law, runs) or that of a fit, fit.model",
    "Noise": "an error model, bl.Noise(...)",
    "Path": "a path",
    "Prior": "a prior, for example bl.positive(0.35, spread=0.3)",
    "Runs": "Runs, bl.read_runs(table)",
    "Schedule": "a Schedule, for example bl.schedules.cosine(24_000, 3e-4)",
    "Sequence": "a list",
    "Splits": "Splits, for example bl.splits.by('N')",
    "bool": "True or False",
    "float": "a number",
    "int": "a whole number (int)",
    "str": "a text",
    "tuple": "a tuple",
}
"""What to give where a value is of another kind, by the name of its type."""


def checked[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with a door: an argument of another kind than its annotation raises ArgumentError.

    Containers are looked at from outside only. What is annotated as Any passes.
    """
    declared = signature(function)

    @cache
    def kinds() -> dict[str, tuple[Any, ...]]:
        known = _Names(vars(builtins) | function.__globals__)
        annotated = signature(function, locals=known, eval_str=True).parameters
        return {name: tuple(_kinds(p.annotation)) for name, p in annotated.items()}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in declared.bind(*args, **kwargs).arguments.items():
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
    """Return a number or several as an array, or raise ArgumentError."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} is {shown(value)}: give a number, or a list of numbers") from None


class _Names(dict[str, Any]):
    """The names that a module knows; one that it imports for the type checker alone is a type of that name."""

    def __missing__(self, name: str) -> type:
        return type(name, (), {})


def _kinds(annotation: Any) -> Iterator[Any]:
    """Return the types of an annotation; object for what may be anything."""
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
    return " or ".join(dict.fromkeys(WORDS.get(name, name) for name in names))


def _is(value: Any, kind: type) -> bool:
    if kind in (bool, int, float):
        scalar = value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
        wanted = {bool: bool, int: Integral, float: Real}[kind]
        return isinstance(scalar, wanted) and isinstance(scalar, bool) == (kind is bool)
    if kind is Sequence and isinstance(value, str):
        return False
    return isinstance(value, kind) or kind.__name__ in (base.__name__ for base in type(value).__mro__)
