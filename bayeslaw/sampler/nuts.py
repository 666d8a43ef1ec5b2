"""nutpie on a compiled density: its threads call the density by its address, without Python.

nutpie has no public way to take an address: this file fills in its model of a compiled PyMC graph
(``nutpie.compile_pymc.CompiledPyMCModel``), and is the only one that knows its fields.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import carray, cfunc, types
from nutpie.compile_pymc import CompiledPyMCModel

__all__ = ["compiled_model"]

_NUMBERS = types.CPointer(types.float64)


@dataclass(frozen=True)
class _At:
    """What nutpie asks of a compiled function: its address."""

    address: int


@cache
def _copy() -> Any:
    """Return a compiled function that keeps a draw as it is."""

    @cfunc(types.int64(types.uint64, types.uint64, _NUMBERS, _NUMBERS, types.voidptr))
    def copy(dim, expanded, draw, kept, table):  # type: ignore[no-untyped-def]
        carray(kept, (expanded,))[:] = carray(draw, (dim,))
        return 0

    return copy


def compiled_model(
    density: int, table: np.ndarray, size: int, start: Callable[[int], np.ndarray]
) -> CompiledPyMCModel:
    """Return a model for ``nutpie.sample`` with one variable ``q``.

    Parameters
    ----------
    density : int
        Address of a compiled function of the size, a point, its gradient, its log density, and the table.
    table : array
        The last argument of the density; the model keeps it.
    size : int
        Number of parameters.
    start : callable
        Returns a first point for a seed.
    """
    return CompiledPyMCModel(
        dims={},
        compiled_logp_func=_At(density),
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
