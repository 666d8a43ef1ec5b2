"""The arrays of a model as compiled code reads them: one table of addresses and shapes.

Compiled code takes the arrays by pointers, so that one function, compiled once, serves every model, whether Python or
the sampler's threads call it. ``reals(table, At.low)`` is an array of numbers, ``whole(table, At.kind)`` of integers.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numba import carray

from bayeslaw.sampler.stored import inner, pointer

__all__ = ["PLACES", "At", "Tables", "count", "number_at", "reals", "reals2", "table_at", "whole", "whole2"]

At = IntEnum(
    "At",
    "scale low high kind a b mu_at sd_at bend "
    "block_law block_shape covariates covariates_at entry entry_at "
    "floor_at floor pairs pairs_at options "
    "likelihood packs packs_at cell loss known size batch_number parameter_at "
    "measured gap start times deviations "
    "terms term_weight level level_weight contrasts logs log_bend mean locations "
    "bent_shape bent_entries bent_numbers spreads spread_unit leader effect "
    "misfit misfit_parts misfit_level misfit_at misfit_basis "
    "weights weight_entries weight_cells sigma_at_mode information follows still "
    "splits split_weight widened noise_share widened_at softened log_unit "
    "family_shape family_entries family_numbers center axes axes_shape axes_entries axes_kept",
    start=0,
)
"""The arrays by their places in the table; those that a model does not have are empty."""


PLACES = len(At)


@inner
def table_at(address):  # type: ignore[no-untyped-def]
    """Return the table at an address."""
    return carray(pointer(address), (3 * PLACES + 1,), np.int64)


@inner
def number_at(address, size):  # type: ignore[no-untyped-def]
    """Return the numbers at an address."""
    return carray(pointer(address), (size,), np.float64)


@inner
def count(table, at):  # type: ignore[no-untyped-def]
    """Return the length of an array."""
    return table[3 * at.value + 1]


@inner
def reals(table, at):  # type: ignore[no-untyped-def]
    """Return a vector of numbers."""
    n = 3 * at.value
    return carray(pointer(table[n]), (table[n + 1],), np.float64)


@inner
def reals2(table, at):  # type: ignore[no-untyped-def]
    """Return a matrix of numbers."""
    n = 3 * at.value
    return carray(pointer(table[n]), (table[n + 1], table[n + 2]), np.float64)


@inner
def whole(table, at):  # type: ignore[no-untyped-def]
    """Return a vector of integers."""
    n = 3 * at.value
    return carray(pointer(table[n]), (table[n + 1],), np.int64)


@inner
def whole2(table, at):  # type: ignore[no-untyped-def]
    """Return a matrix of integers."""
    n = 3 * at.value
    return carray(pointer(table[n]), (table[n + 1], table[n + 2]), np.int64)


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
