"""Checks of the arguments of public functions: names, types by their annotations, and ranges of numbers by their names.

``model: Model`` refuses a Fit before anything is computed, and the error says what to give instead.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from bayeslaw.base.numbers import amount, short
from bayeslaw.errors import ArgumentError, RangeError, shown, unknown_name

__all__ = [
    "MOST_STEPS",
    "RANGES",
    "checked",
    "checked_fields",
    "finite_numbers",
    "named_values",
    "numbers",
    "one_number",
    "some_numbers",
]


@dataclass(frozen=True)
class Range:
    """The numbers that an argument may be, and how an error asks for one of them."""

    low: float
    high: float
    wanted: str
    open: bool = False

    def __contains__(self, number: Any) -> bool:
        return bool(self.low < number < self.high if self.open else self.low <= number <= self.high)


MOST_DRAWS, MOST_CHAINS, MOST_SEED = 1_000_000, 1_000, 2**128
MOST_STEPS = 10_000_000
"""A schedule holds one rate per step, and no run has more steps; tokens taken for steps have more."""

COUNT = Range(1, MOST_DRAWS, f"at least 1 and at most {amount(MOST_DRAWS)}")

RANGES = {
    "seed": Range(0, MOST_SEED, "a whole number of 0 or above"),
    "draws": COUNT,
    "tune": COUNT,
    "points": COUNT,
    "steps": Range(1, MOST_STEPS, f"steps of the optimiser, not tokens: at least 1 and at most {amount(MOST_STEPS)}"),
    "chains": Range(1, MOST_CHAINS, f"at least 1 and at most {amount(MOST_CHAINS)}"),
    "cores": Range(1, math.inf, "at least 1"),
    "prob": Range(0, 1, "a probability between 0 and 1, for example 0.89", open=True),
    "target_accept": Range(0, 1, "a probability between 0 and 1, for example 0.95", open=True),
}
"""Arguments that mean the same everywhere, and what they may be."""

ELSEWHERE = {
    **dict.fromkeys(("random_seed", "random_state", "rng"), ("seed",)),
    **dict.fromkeys(("progressbar", "progress_bar"), ("progress",)),
    **dict.fromkeys(("hdi_prob", "ci_prob", "credible_interval", "level"), ("prob",)),
    **dict.fromkeys(("samples", "num_samples", "n_samples", "sample", "draw"), ("draws",)),
    **dict.fromkeys(("n_jobs", "workers"), ("jobs", "cores")),
    **dict.fromkeys(("num_chains", "n_chains", "chain"), ("chains",)),
    **dict.fromkeys(("num_warmup", "warmup", "burn_in"), ("tune",)),
}
"""What other packages call an argument, and its names here."""

WITHOUT = {
    "nuts_sampler": "nutpie samples every fit: leave it out",
    "return_inferencedata": "fit.idata is a DataTree always: leave it out",
    "var_names": "choose from the result, for example fit.summary().loc[['E']]: leave it out",
}
"""Arguments of other packages that have no counterpart, and what there is instead."""

HOLDERS = {
    "labels": "a label goes into labels={{{name!r}: ...}}",
    "question": "an argument of the decision goes into question={{{name!r}: ...}}",
}
"""Arguments that hold others by their names, and what is said of a name that a function does not have itself."""

WANTED = {
    "Axes": "axes of matplotlib",
    "Callable": "a function",
    "DataArray": "an xarray.DataArray",
    "DataFrame": "a pandas DataFrame",
    "Executor": "an executor, for example Client(address).get_executor() of Dask",
    "Evaluation": "an Evaluation, bl.evaluate(model, splits)",
    "Fit": "a Fit, model.fit()",
    "Law": "a Law, one of bayeslaw.models or your own, declared with @bl.law",
    "Mapping": "a mapping, {name: value}",
    "Misfit": "a misfit, bl.Misfit(...)",
    "Model": "a Model, bl.Model(law, runs) or that of a fit, fit.model",
    "NextRuns": "NextRuns, fit.next_runs(...)",
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

    So are the values of a mapping. The elements of other containers are not checked, nor is anything annotated as Any.
    A type may have a class method ``taken``, which turns what another package has for it into one of its own.
    """
    declared = signature(function)
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in declared.parameters.values())

    @cache
    def kinds() -> dict[str, tuple[Any, ...]]:
        annotated = signature(function, eval_str=True).parameters
        return {name: tuple(_kinds(p.annotation)) for name, p in annotated.items()}

    @cache
    def held() -> dict[str, tuple[Any, ...]]:
        annotated = signature(function, eval_str=True).parameters
        return {name: kinds for name, p in annotated.items() if (kinds := tuple(_held(p.annotation)))}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in declared.parameters and (not takes_any or _known_here(name, declared.parameters)):
                raise ArgumentError(str(_unknown(name, declared.parameters)))
        try:
            bound = declared.bind(*args, **kwargs)
        except TypeError as e:
            made = function.__name__ == "__init__" and args
            called = type(args[0]).__name__ if made else function.__name__
            raise ArgumentError(f"{called}: {e}") from None
        for name, value in bound.arguments.items():
            bound.arguments[name] = value = _taken(value, kinds()[name], held().get(name, ()))
            several = declared.parameters[name].kind
            each = [(name, one) for one in value] if several is Parameter.VAR_POSITIONAL else [(name, value)]
            for argument, one in value.items() if several is Parameter.VAR_KEYWORD else each:
                if not any(_is(one, kind) for kind in kinds()[name]):
                    raise ArgumentError(f"{argument} is {shown(one)}: give {_wanted(function, name)}")
                if float in kinds()[name] or int in kinds()[name] or argument in RANGES:
                    _check_number(argument, one)
                for key, element in one.items() if name in held() and isinstance(one, Mapping) else ():
                    if not any(_is(element, kind) for kind in held()[name]):
                        raise ArgumentError(f"{argument}[{key!r}] is {shown(element)}: give {_words(held()[name])}")
        return function(*bound.args, **bound.kwargs)

    return call


def checked_fields[T](kind: type[T]) -> type[T]:
    """Return a dataclass whose fields are checked like the arguments of a function."""
    setattr(kind, "__init__", checked(kind.__init__))  # noqa: B010  (mypy takes no assignment to a method)
    return kind


def _known_here(name: str, parameters: Collection[str]) -> bool:
    """Return whether a function has an argument that other packages call by this name."""
    return any(here in parameters for here in ELSEWHERE.get(name, ()))


def _unknown(name: str, parameters: Collection[str]) -> str:
    """Return what is said of an argument that a function does not have."""
    if name in WITHOUT:
        return f"no argument {name!r}: {WITHOUT[name]}"
    known = [p for p in parameters if p not in ("self", "fit")]
    meant = next((here for here in ELSEWHERE.get(name, ()) if here in known), None)
    held = next((words.format(name=name) for holder, words in HOLDERS.items() if holder in known), "")
    return str(unknown_name("argument", name, known, meant, otherwise=held))


def _check_number(name: str, value: Any) -> None:
    """Refuse a number that is not finite, or that no argument of this name can be."""
    if isinstance(value, bool | np.bool_) or not isinstance(_scalar(value), Real):
        return
    number = one_number(value, name)
    if name in RANGES and number not in RANGES[name]:
        raise RangeError(f"{name} is {value}: give {RANGES[name].wanted}")


def numbers(value: Any, name: str) -> np.ndarray:
    """Return one number or several as an array; raise ArgumentError for anything else."""
    try:
        return np.asarray(value, float)
    except OverflowError:
        raise RangeError(f"{name} is too large a number: give one below {short(np.finfo(float).max)}") from None
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} is {shown(value)}: give a number, or a list of numbers") from None


def one_number(value: Any, name: str) -> float:
    """Return one finite number; raise an ArgumentError or a RangeError for anything else."""
    found = numbers(value, name)
    if found.ndim:
        raise ArgumentError(f"{name} is {shown(value)}: give one number")
    if not np.isfinite(found):
        raise RangeError(f"{name} is {value}: give a finite number")
    return float(found)


def some_numbers(value: Any, name: str) -> np.ndarray:
    """Return one number or a list of them, at least one and all finite; raise a typed error for anything else."""
    found = finite_numbers(value, name)
    if found.ndim > 1:
        raise RangeError(f"{name} is {shown(value)} of shape {found.shape}: give a number, or a list of at least one")
    return found


def finite_numbers(value: Any, name: str) -> np.ndarray:
    """Return numbers of any shape, at least one and all finite; raise a typed error for anything else."""
    found = numbers(value, name)
    if not found.size:
        raise RangeError(f"{name} is {shown(value)} of shape {found.shape}: give a number, or a list of at least one")
    if not np.isfinite(found).all():
        raise RangeError(f"{name} is {found[~np.isfinite(found)].flat[0]}: give finite numbers")
    return found


def named_values(values: Any, name: str, example: str) -> dict[str, Any]:
    """Return a mapping from names; raise an ArgumentError for anything else."""
    if not (isinstance(values, Mapping) and all(isinstance(key, str) for key in values)):
        raise ArgumentError(f"{name} is {shown(values)}: give a mapping from names, for example {example}")
    return dict(values)


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


def _held(annotation: Any) -> Iterator[Any]:
    """Return the types of the values of the mappings in an annotation."""
    if get_origin(annotation) is Mapping:
        yield from _kinds(get_args(annotation)[1])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _held(part)


def _taken(value: Any, kinds: Sequence[Any], held: Sequence[Any]) -> Any:
    """Return a value, or the values of a mapping, as the wanted type that takes it from another package has it."""
    if isinstance(value, Mapping) and any(hasattr(kind, "taken") for kind in held):
        return {key: _taken(element, held, ()) for key, element in value.items()}
    for kind in kinds:
        value = kind.taken(value) if hasattr(kind, "taken") else value
    return value


def _wanted(function: Callable[..., Any], name: str) -> str:
    """Return what an argument of a function may be: its types, its choices, and None where that says something."""
    wanted = signature(function, eval_str=True).parameters[name]
    choices = [repr(choice) for choice in _choices(wanted.annotation)]
    kinds = [kind for kind in _kinds(wanted.annotation) if not (choices and kind is str)]
    none = ["None"] if NoneType in kinds and wanted.default is not None else []
    words = [word for word in (_words(kinds), *choices, *none) if word]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _choices(annotation: Any) -> Iterator[Any]:
    """Return the choices in an annotation."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _choices(part)


def _words(kinds: Sequence[Any]) -> str:
    names = [kind.__name__ for kind in kinds if kind is not NoneType and not (kind is str and Path in kinds)]
    return " or ".join(dict.fromkeys(WANTED.get(name, name) for name in names))


def _is(value: Any, kind: type) -> bool:
    if kind in (bool, int, float):
        scalar = _scalar(value)
        wanted = {bool: bool, int: Integral, float: Real}[kind]
        return isinstance(scalar, wanted) and isinstance(scalar, bool) == (kind is bool)
    if kind is Sequence and isinstance(value, str):
        return False
    return isinstance(value, kind)


def _scalar(value: Any) -> Any:
    """Return the Python number in an array of one, and anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
