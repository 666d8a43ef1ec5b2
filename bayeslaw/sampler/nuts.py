"""nutpie on the compiled density: its threads call the density by its address, without Python.

nutpie takes addresses only from its own compiled PyMC graphs (``nutpie.compile_pymc.CompiledPyMCModel``). This file
fills in such a model, and is the only one that knows its fields; where another version of nutpie has other ones, the
threads call the density through Python, which is slower.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import nutpie.compile_pymc
import nutpie.compiled_pyfunc
from numba import carray, cfunc, types

from bayeslaw.sampler.compiled import address, evaluate

__all__ = ["compiled_model"]


@dataclass(frozen=True)
class _At:
    """What nutpie asks of a compiled function: its address."""

    address: int


class _NoValue(ArithmeticError):
    """The density is not finite; nutpie counts a divergence and continues."""

    is_recoverable = True


def compiled_model(table: np.ndarray, size: int, start: Callable[[int | None], np.ndarray]) -> Any:
    """Return a model for ``nutpie.sample`` with one variable ``q``.

    Parameters
    ----------
    table : array
        The table of the density (`bayeslaw.sampler.table.Tables`), which the model keeps.
    size : int
        Number of parameters.
    start : callable
        Returns a first point for a seed.
    """
    try:
        return nutpie.compile_pymc.CompiledPyMCModel(
            dims={},
            compiled_logp_func=_At(address()),
            compiled_expand_func=_copy(),
            initial_point_func=start,
            shared_data={},
            shared_var_keys={},
            user_data=table,
            n_expanded=size,
            shape_info=(["q"], [slice(0, size)], [(size,)]),
            logp_func=None,
            expand_func=None,
            reparameterized_names=[],
            _n_dim=size,
            _shapes={"q": (size,)},
            _coords={},
        )
    except (AttributeError, TypeError):
        return _through_python(table, size, start)


@cache
def _copy() -> Any:
    """Return a compiled function that keeps a draw as it is."""
    numbers = types.CPointer(types.float64)

    @cfunc(types.int64(types.uint64, types.uint64, numbers, numbers, types.voidptr))
    def copy(dim, expanded, draw, kept, table):  # type: ignore[no-untyped-def]
        carray(kept, (expanded,))[:] = carray(draw, (dim,))
        return 0

    return copy


def _through_python(table: np.ndarray, size: int, start: Callable[[int | None], np.ndarray]) -> Any:
    def log_density(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = evaluate(q, table)
        if not math.isfinite(value) or not np.isfinite(gradient).all():
            raise _NoValue
        return value, gradient

    return nutpie.compiled_pyfunc.from_pyfunc(
        size,
        lambda: log_density,
        lambda *_: lambda q: {"q": q},
        [np.dtype("float64")],
        [(size,)],
        ["q"],
        make_initial_point_fn=start,
    )
