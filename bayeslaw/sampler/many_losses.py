"""Many losses at once: a law as a compiled function over named arrays, and threads that share the work.

One call of the compiled function (`bayeslaw.sampler.kernels`) is for the draws of a chain at one place, crossed with
the levels of the covariates that have dims of their own. What depends on covariates alone is computed once for all
draws.
"""

import math
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import chain

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.declare.laws import Law
from bayeslaw.errors import LawError
from bayeslaw.sampler.kernels import kernel
from bayeslaw.sampler.stored import call_law, inner, inner_sums, kept

__all__ = ["STEP", "compiled_losses", "in_threads", "interval_ends", "moments", "places"]

PLACE = "__place"
"""The dim of coefficients with one entry for each combination of labels."""

STEP = 100_000
"""Losses that a thread computes before it takes up the next ones."""

SOME = 128
"""Draws that tell about where a quantile of all lies."""


def in_threads[R](function: Callable[[slice], R], length: int, step: int) -> list[R]:
    """Return a function of all slices of so many steps, computed by as many threads as there are cores."""
    slices = [slice(start, min(start + step, length)) for start in range(0, length, step)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(cores) as threads:
        return list(threads.map(function, slices))


def places(labels: Mapping[str, xr.DataArray]) -> tuple[xr.DataArray, xr.Dataset]:
    """Return which combination of labels each cell has, and the combinations (dim `PLACE`)."""
    if not labels:
        return xr.DataArray(0), xr.Dataset()
    cells = xr.broadcast(*labels.values())
    table = pd.DataFrame({name: x.values.ravel() for name, x in zip(labels, cells, strict=True)})
    number = table.groupby(list(table), sort=False).ngroup().to_numpy()
    unique = table.drop_duplicates()
    return (
        cells[0].copy(data=number.reshape(cells[0].shape)),
        xr.Dataset({name: (PLACE, unique[name].to_numpy()) for name in unique}),
    )


def compiled_losses(
    law: Law, covariates: Mapping[str, xr.DataArray], coefficients: Mapping[str, xr.DataArray], place: xr.DataArray
) -> xr.DataArray | None:
    """Return the losses as the law itself returns them, up to rounding; None if it cannot be compiled.

    Parameters
    ----------
    law : Law
        The law.
    covariates : mapping
        Named arrays in reference units, the same at all draws.
    coefficients : mapping
        Draws, with the dim `PLACE` where they vary by labels.
    place : xarray.DataArray
        The position on `PLACE` that applies, by the dims of the question.
    """
    sizes = {d: n for x in (*covariates.values(), *coefficients.values(), place) for d, n in x.sizes.items()}
    try:
        address = kernel(law, math.prod(sizes[d] for d in law.over) if law.vectors else 0, derivatives=False)
    except LawError:
        return None
    own = {name: [d for d in x.dims if d not in (*law.over, "eval")] for name, x in covariates.items()}
    asked = [*place.dims, *chain(*own.values())]
    shared = [d for d in dict.fromkeys(asked) if d in place.dims or asked.count(d) > 1]
    outer = [*(d for d in shared if d != "eval"), *(d for d in ("eval", "chain") if d in sizes)]
    levels = {name: [d for d in dims if d not in shared] for name, dims in own.items()}

    def flat(x: xr.DataArray, *axes: Sequence[Hashable]) -> np.ndarray:
        """Return the values with one axis for each group of dims."""
        dims = list(chain(*axes))
        full = x.variable.set_dims({**x.sizes, **{d: sizes[d] for d in dims}}).transpose(*dims)
        values: np.ndarray = full.values
        return values.reshape([math.prod(sizes[d] for d in axis) for axis in axes])

    entries = [d for d in (PLACE, "eval", "chain") if d in sizes]
    over = {name: law.over if c.over else () for name, c in law.coefficients.items()}
    c = _joined(flat(x, entries, over[name], ["draw"]) for name, x in coefficients.items())
    entry = xr.DataArray(np.arange(len(c)).reshape([sizes[d] for d in entries]), dims=entries)
    at = flat(entry.isel({PLACE: place}) if PLACE in entries else entry, outer)
    vector = {name: law.over if name in law.vectors else () for name in covariates}
    x = _joined(flat(v, outer, (*vector[name], *levels[name])) for name, v in covariates.items())
    shape = np.array([sizes["draw"], *(math.prod(sizes[d] for d in dims) for dims in levels.values())])
    losses = np.empty((len(at), math.prod(shape)))

    def fill(some: slice) -> None:
        _fill(address, shape, x[some], c, at[some], losses[some])

    in_threads(fill, len(at), max(1, STEP // losses.shape[1]))
    dims = [*outer, *chain(*levels.values()), "draw"]
    found = xr.DataArray(losses.reshape([sizes[d] for d in dims]), dims=dims)
    return _like(law, covariates, coefficients, place, found)


def _joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return arrays joined along their second axis, in the layout that compiled functions read."""
    return np.ascontiguousarray(np.concatenate(list(arrays), axis=1, dtype=float))


def _like(
    law: Law,
    covariates: Mapping[str, xr.DataArray],
    coefficients: Mapping[str, xr.DataArray],
    place: xr.DataArray,
    losses: xr.DataArray,
) -> xr.DataArray:
    """Return losses with the dims and labels that the law gives them."""
    arrays = xr.align(*covariates.values(), *coefficients.values(), place, join="exact", copy=False)
    every = reduce(lambda merged, x: merged.coords.merge(x.coords), arrays, xr.Dataset()).coords
    coords = {name: label for name, label in every.items() if set(label.dims) <= set(losses.dims)}
    first = {d: [0] for d in losses.dims if d not in ("eval", *SAMPLE)}
    at = {PLACE: place.isel(first, missing_dims="ignore")}
    form = law(
        *(x.isel(first, missing_dims="ignore") for x in covariates.values()),
        **{k: c.isel(draw=[0]).isel(at, missing_dims="ignore") for k, c in coefficients.items()},
    )
    unused = {d: 0 for d in losses.dims if d not in form.dims}
    return losses.assign_coords(coords).isel(unused, drop=True).transpose(*form.dims)


@kept
def _fill(law, shape, x, coefficients, at, losses):  # type: ignore[no-untyped-def]
    for n in range(len(at)):
        call_law(law, shape, x[n], coefficients[at[n]], losses[n])


@kept
def moments(draws):  # type: ignore[no-untyped-def]
    """Return mean and standard deviation of every row of draws."""
    rows, n = draws.shape
    found = np.empty((2, rows))
    for r in range(rows):
        found[0, r] = _total(draws[r]) / n
        found[1, r] = math.sqrt(_squares(draws[r], found[0, r]) / n)
    return found


@inner_sums
def _total(row):  # type: ignore[no-untyped-def]
    found = 0.0
    for i in range(len(row)):
        found += row[i]
    return found


@inner_sums
def _squares(row, middle):  # type: ignore[no-untyped-def]
    found = 0.0
    for i in range(len(row)):
        found += (row[i] - middle) ** 2
    return found


@kept
def interval_ends(draws, low, high):  # type: ignore[no-untyped-def]
    """Return two quantiles, one below the median and one above, of every row of draws.

    What lies beyond a quantile is found with some of the draws, and the quantile among that alone.
    """
    rows, n = draws.shape
    step = max(1, n // SOME)
    count = 1 + (n - 1) // step
    ends, some, below, above = np.empty((2, rows)), np.empty(count), np.empty(n), np.empty(n)
    for r in range(rows):
        for i in range(count):
            some[i] = draws[r, i * step]
        lower = _lowest(some, _enough(low, count))
        upper = _lowest(some, count - 1 - _enough(1.0 - high, count))
        m, k = _beyond(draws[r], lower, upper, below, above)
        if m < low * n + 2.0 or k < (1.0 - high) * n + 2.0:
            m, k = _beyond(draws[r], math.inf, -math.inf, below, above)
        ends[0, r] = _lower_quantile(below[:m], low * (n - 1))
        ends[1, r] = -_lower_quantile(above[:k], (1.0 - high) * (n - 1))
    return ends


@inner
def _beyond(row, lower, upper, below, above):  # type: ignore[no-untyped-def]
    """Keep what is not above the lower and, with the other sign, not below the upper limit; return how many are."""
    m = k = 0
    for i in range(len(row)):
        below[m] = row[i]
        above[k] = -row[i]
        m += not row[i] > lower
        k += not row[i] < upper
    return m, k


@inner
def _enough(share, count):  # type: ignore[no-untyped-def]
    """Return the position, three standard deviations beyond a quantile of a sample."""
    return min(count - 1, int(share * count + 3.0 * math.sqrt(share * count)) + 2)


@inner
def _lower_quantile(values, at):  # type: ignore[no-untyped-def]
    """Return the value at a position, not whole, of the order of values."""
    k = int(at)
    found = _lowest(values, k)
    following = math.inf if k + 1 < len(values) else found
    for i in range(k + 1, len(values)):
        following = min(following, values[i])
    return found + (at - k) * (following - found)


@inner
def _lowest(values, k):  # type: ignore[no-untyped-def]
    """Return the value at a position of the order, and move what is above it behind it (Hoare's algorithm)."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot, i, j = values[k], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    return values[k]
