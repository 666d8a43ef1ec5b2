"""The arrays of a model as compiled code reads them: one table of addresses and shapes.

Compiled code takes the arrays by pointers, so that one function, compiled once, serves every model, whether Python or
the sampler's threads call it. ``reals(table, At.low)`` is an array of numbers, ``whole(table, At.kind)`` of integers.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["At", "Tables", "call_law", "reals", "reals2", "whole", "whole2"]

At = IntEnum(
    "At",
    "scale low high kind a b mu_at sd_at bend "
    "block_law block_shape covariates covariates_at entry entry_at "
    "floor_at floor pairs pairs_at options "
    "cell eval log_loss known size batch_number parameter_at "
    "first timing measured gap start times "
    "terms term_weight level level_weight contrasts logs log_bend locations "
    "family_shape family_entries family_numbers center axes",
    start=0,
)
"""The arrays by their places in the table; those that a model does not have are empty."""


@intrinsic
def _pointer(typingctx: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def call_law(typingctx: Any, law: Any, shape: Any, covariates: Any, coefficients: Any, out: Any) -> Any:
    """Call a law's compiled function (see `bayeslaw.sampler.kernels`) by its address, with addresses of its arrays."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = cgutils.voidptr_t
        function = ir.FunctionType(ir.VoidType(), [byte] * 4)
        at = builder.inttoptr(args[0], function.as_pointer())
        builder.call(at, [builder.inttoptr(a, byte) for a in args[1:]])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), codegen


@njit(nogil=True, error_model="numpy")
def reals(table, at):  # type: ignore[no-untyped-def]
    """Return a vector of numbers."""
    n = 3 * at.value
    return carray(_pointer(table[n]), (table[n + 1],), np.float64)  # type: ignore[call-arg]


@njit(nogil=True, error_model="numpy")
def reals2(table, at):  # type: ignore[no-untyped-def]
    """Return a matrix of numbers."""
    n = 3 * at.value
    return carray(_pointer(table[n]), (table[n + 1], table[n + 2]), np.float64)  # type: ignore[call-arg]


@njit(nogil=True, error_model="numpy")
def whole(table, at):  # type: ignore[no-untyped-def]
    """Return a vector of integers."""
    n = 3 * at.value
    return carray(_pointer(table[n]), (table[n + 1],), np.int64)  # type: ignore[call-arg]


@njit(nogil=True, error_model="numpy")
def whole2(table, at):  # type: ignore[no-untyped-def]
    """Return a matrix of integers."""
    n = 3 * at.value
    return carray(_pointer(table[n]), (table[n + 1], table[n + 2]), np.int64)  # type: ignore[call-arg]


class Tables:
    """The tables of a model, by what is to be evaluated; the arrays to which they point are kept with them."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._kept = {
            k: np.ascontiguousarray(x, np.float64 if x.dtype.kind == "f" else np.int64) for k, x in arrays.items()
        }
        self._table = np.zeros((len(At), 3), np.int64)
        for name, x in self._kept.items():
            self._table[At[name]] = x.ctypes.data, *x.shape, *(1,) * (2 - x.ndim)

    def __getitem__(self, what: int) -> np.ndarray:
        """Return a table that ends with what is to be evaluated."""
        return np.append(self._table, what)
