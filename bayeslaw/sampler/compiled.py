"""The log density of a model and its gradient as one compiled function.

It is compiled once for all models, stored on disk, and called with the table of a model's arrays
(`bayeslaw.sampler.table`): by Python for the search of the mode, and by the threads of the sampler without Python. It
calls parts of a kind that a model may do without by their addresses (`bayeslaw.sampler.stored`): the law
(`bayeslaw.sampler.kernels`), the errors (`bayeslaw.sampler.likelihood`) and the deviations of pooled coefficients
(`bayeslaw.sampler.conditionals`).
"""

import ctypes
import math
from functools import cache
from typing import Any

import numpy as np
from numba import types

from bayeslaw.sampler.bends import bend, pull_back_bend
from bayeslaw.sampler.blocks import law_on_block, pull_back
from bayeslaw.sampler.deviations import place_families, pull_back_families
from bayeslaw.sampler.likelihood import MARGINS, MEASURED, SHAPES
from bayeslaw.sampler.maps import alone, log_falls, place_terms, pull_alone, pull_log_falls, pull_terms
from bayeslaw.sampler.misfit import (
    ADD,
    LAWS,
    PARTS,
    PLACE_WEIGHTS,
    PULL,
    PULL_LAWS,
    PULL_WEIGHTS,
    law_room,
    weight_room,
)
from bayeslaw.sampler.parameters import log_prior, natural
from bayeslaw.sampler.softened import harden, pull_softened
from bayeslaw.sampler.splits import part, pull_together
from bayeslaw.sampler.spreads import place_spreads, pull_spreads, pull_totals
from bayeslaw.sampler.stored import ARGUMENTS, ahead, call_part, inner, inner_sums, stored
from bayeslaw.sampler.table import PLACES, At, count, number_at, reals, reals2, table_at, whole, whole2
from bayeslaw.sampler.widths import pull_widths, widen
from bayeslaw.spec.shape import RISE

__all__ = [
    "COORDINATES",
    "FRAME",
    "FROM_FRAME",
    "LIKELIHOOD",
    "PARAMETERS",
    "SIGNATURE",
    "TO_PARAMETERS",
    "address",
    "compile_ahead",
    "evaluate",
    "gradient_of_errors",
]

PARAMETERS, COORDINATES, LIKELIHOOD, FRAME, TO_PARAMETERS, FROM_FRAME = range(6)
"""What is evaluated: the log density of parameters, of coordinates (also with the likelihood alone), of a point of the
frame; the parameters at coordinates, with the log Jacobian, or at a point of the frame."""


@inner
def _constraints(table, c, chain, gradient):  # type: ignore[no-untyped-def]
    """Return the log density of floors, of the shape prior and of margins, and add its gradient."""
    density = 0.0
    entries, lowest = whole(table, At.floor_at), reals(table, At.floor)
    for n in range(len(entries)):
        i = entries[n]
        excess = max(c[i] - lowest[n], 0.0) / RISE
        density -= 0.5 * excess * excess
        gradient[i] -= excess / RISE * chain[i]
    option, pairs, starts = whole(table, At.options), whole2(table, At.pairs), whole(table, At.pairs_at)
    shapes = option[SHAPES]
    for n in range(shapes + option[MARGINS]):
        law = law_on_block(table, option[MEASURED] + n, c)
        pull = np.zeros(law.shape[1])
        if n < shapes:
            for m in range(starts[n], starts[n + 1]):
                lower, upper = pairs[m, 0], pairs[m, 1]
                rise = law[0, upper] - law[0, lower]
                if not rise <= 0:
                    density -= 0.5 * (rise / RISE) ** 2
                    pull[upper] -= rise / RISE**2
                    pull[lower] += rise / RISE**2
        else:
            for m in range(len(pull)):
                short = min(law[0, m], 0.0) / RISE
                density -= 0.5 * short * short
                pull[m] = -short / RISE
        pull_back(table, option[MEASURED] + n, pull, law, chain, gradient)
    return density


@inner
def _units(table):  # type: ignore[no-untyped-def]
    """Return the number of the block of the terms."""
    option = whole(table, At.options)
    return option[MEASURED] + option[SHAPES] + option[MARGINS]


@inner
def _copy(x, y):  # type: ignore[no-untyped-def]
    for i in range(len(y)):
        y[i] = x[i]


@inner_sums
def _out_of_frame(table, x, u):  # type: ignore[no-untyped-def]
    """Fill in the coordinates at a point of the frame."""
    numbers, entries, shape = reals(table, At.axes), whole(table, At.axes_entries), whole2(table, At.axes_shape)
    center, across = reals(table, At.center), np.empty(len(x))
    for b in range(shape.shape[0]):
        rows, columns, first, at = shape[b, 0], shape[b, 1], shape[b, 2], shape[b, 3]
        for j in range(columns):
            across[j] = x[entries[first + rows + j]]
        for i in range(rows):
            total = 0.0
            for j in range(columns):
                total += numbers[at + i * columns + j] * across[j]
            u[entries[first + i]] = center[entries[first + i]] + total
    for i in whole(table, At.axes_kept):
        u[i] = center[i] + x[i]


@inner
def _into_frame(table, g, gradient):  # type: ignore[no-untyped-def]
    """Add the gradient in the frame."""
    numbers, entries, shape = reals(table, At.axes), whole(table, At.axes_entries), whole2(table, At.axes_shape)
    across = np.empty(len(gradient))
    for b in range(shape.shape[0]):
        rows, columns, first, at = shape[b, 0], shape[b, 1], shape[b, 2], shape[b, 3]
        for j in range(columns):
            across[j] = 0.0
        for i in range(rows):
            force = g[entries[first + i]]
            for j in range(columns):
                across[j] += force * numbers[at + i * columns + j]
        for j in range(columns):
            gradient[entries[first + rows + j]] += across[j]
    for i in whole(table, At.axes_kept):
        gradient[i] += g[i]


def log_density(size, x_address, gradient_address, value_address, table_address):  # type: ignore[no-untyped-def]
    """Evaluate what the last number of the table says: the value, and the gradient or the parameters.

    Return 0, or 1 where the result is not finite.
    """
    table = table_at(table_address)
    x, out, value = number_at(x_address, size), number_at(gradient_address, size), number_at(value_address, 1)
    what = table[3 * PLACES]
    framed, mapped = what in (FRAME, FROM_FRAME), what != PARAMETERS
    locations, terms, unit = whole(table, At.locations), whole2(table, At.terms), _units(table)
    scale, low, high = whole(table, At.scale), reals(table, At.low), reals(table, At.high)
    extra, beside = size + 2 + len(locations), count(table, At.misfit) > 0
    follows = mapped and count(table, At.still) > 0
    u, v, g = np.empty(size), np.empty(size), np.zeros(extra)
    values, chain = np.empty(extra), np.zeros(extra)
    law, jacobian, cells = np.empty((0, 0)), 0.0, whole(table, At.misfit_at)[-1] if beside else 0
    laws, logs, pulled = np.empty(law_room(table) if beside else 0), np.empty(cells), np.zeros(cells)
    room = np.empty(weight_room(table) if follows else 0)
    if framed:
        _out_of_frame(table, x, u)
    else:
        _copy(x, u)
    if mapped:
        jacobian += widen(table, u) + harden(table, u)
        part(table, u)
    _copy(u, v)
    families, parts = count(table, At.family_shape) if mapped else 0, whole(table, At.deviations)
    memory, falls = np.empty(parts[2] if families else 0), np.zeros(size if families else 0)
    c_u, chain_u = np.empty(size if families else 0), np.empty(size if families else 0)
    if families:
        natural(u, scale, low, high, c_u, chain_u)
        jacobian += place_spreads(table, u, v, c_u, chain_u)
        jacobian += call_part(
            parts[0], table_address, u, v, c_u,
            memory, 0,
        )  # fmt: skip
    misfit = whole(table, At.misfit_parts)
    natural(v, scale, low, high, values, chain)
    if mapped:
        values[size], values[size + 1] = 0.0, 1.0
        for n in range(len(locations)):
            values[size + 2 + n] = chain[size + 2 + n] = math.exp(v[locations[n]])
        law = law_on_block(table, unit, values)
        alone(law[0], terms)
        if families:
            log_falls(law[0], terms, reals2(table, At.term_weight), reals2(table, At.contrasts), falls)
            bend(table, v, falls, c_u)
        jacobian += place_terms(
            v, law[0], terms, reals2(table, At.term_weight), whole(table, At.level), reals(table, At.level_weight),
            reals2(table, At.contrasts), whole(table, At.logs), reals(table, At.log_bend), reals(table, At.mean),
        )  # fmt: skip
        natural(v, scale, low, high, values, chain)
    if beside:
        call_part(misfit[LAWS], table_address, values, laws, logs, 0, 0)
        if follows:
            jacobian += call_part(misfit[PLACE_WEIGHTS], table_address, u, v, values, logs, room)
    if what in (TO_PARAMETERS, FROM_FRAME):
        value[0] = jacobian
        _copy(v, out)
        return 0
    value[0] = -math.inf
    for i in range(size):
        out[i] = 0.0
    if math.isnan(jacobian):
        return 1
    density = 0.0
    if what != LIKELIHOOD:
        density = log_prior(
            v, values, chain, whole(table, At.kind), reals(table, At.a), reals(table, At.b), whole(table, At.mu_at),
            whole(table, At.sd_at), reals(table, At.bend), g,
        )  # fmt: skip
    if beside:
        call_part(misfit[ADD], table_address, values, logs, 0, 0, 0)
    density += call_part(whole(table, At.likelihood)[0], table_address, values, chain, g, logs, pulled)
    if what != LIKELIHOOD and math.isfinite(density):
        density += _constraints(table, values, chain, g)
    if not math.isfinite(density):
        return 1
    if beside:
        call_part(misfit[PULL], table_address, values, chain, g, pulled, 0)
        if follows:
            call_part(misfit[PULL_WEIGHTS], table_address, u, g, pulled, room, 0)
        call_part(misfit[PULL_LAWS], table_address, laws, pulled, chain, g, 0)
    if mapped:
        pull = np.zeros(law.shape[1])
        pull_terms(
            g, v, law[0], pull, terms, reals2(table, At.term_weight), whole(table, At.level),
            reals(table, At.level_weight), reals2(table, At.contrasts), whole(table, At.logs),
            reals(table, At.log_bend), reals(table, At.mean),
        )  # fmt: skip
        if families:
            by_fall = np.zeros(size)
            pull_spreads(table, g, c_u, chain_u)
            pull_back_bend(table, g, v, falls, by_fall, c_u, chain_u)
            pull_log_falls(by_fall, law[0], pull, terms, reals2(table, At.term_weight), reals2(table, At.contrasts))
        pull_alone(pull, terms)
        pull_back(table, unit, pull, law, chain, g)
        for n in range(len(locations)):
            g[locations[n]] += g[size + 2 + n]
    if families:
        call_part(
            parts[1], table_address, g, u, c_u,
            chain_u, memory,
        )  # fmt: skip
        pull_totals(table, g, u)
    if mapped:
        pull_together(table, g, u)
        pull_softened(table, g, u)
        pull_widths(table, g, u)
    if framed:
        _into_frame(table, g, out)
    else:
        _copy(g, out)
    value[0] = density + jacobian
    finite = math.isfinite(value[0])
    for i in range(size):
        finite &= math.isfinite(out[i])
    return 0 if finite else 1


SIGNATURE = types.int64(types.int64, *(types.int64,) * 4)
"""A size and four addresses, as nutpie calls functions."""


def compile_ahead(populations: bool, misfit: bool) -> None:
    """Let other processes compile the density and its larger parts, unless they lie on disk."""
    ahead([log_density], SIGNATURE)
    if populations:
        ahead([place_families, pull_back_families])
    if misfit:
        ahead(PARTS)


def address() -> int:
    """Return the address of the compiled function, as nutpie calls it."""
    found: int = stored(log_density, SIGNATURE).address
    return found


@cache
def _called() -> Any:
    number = ctypes.c_void_p
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *(number,) * 4)(address())


def gradient_of_errors(table: np.ndarray, errors: int, c: np.ndarray, log_mean: np.ndarray) -> np.ndarray:
    """Return the gradient of the density of errors, a part with this address, in the log means of cells."""
    chain, gradient, found = np.zeros_like(c), np.zeros_like(c), np.zeros_like(log_mean)
    part = ctypes.CFUNCTYPE(ctypes.c_double, *(ctypes.c_void_p,) * ARGUMENTS)(int(errors))
    part(*(x.ctypes.data for x in (table, c, chain, gradient, np.ascontiguousarray(log_mean), found)))
    return found


def evaluate(x: np.ndarray, table: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the value and the gradient (or parameters) at a vector, as the last number of the table says."""
    x, gradient, value = np.ascontiguousarray(x, float), np.empty(len(x)), np.empty(1)
    _called()(len(x), x.ctypes.data, gradient.ctypes.data, value.ctypes.data, table.ctypes.data)
    return float(value[0]), gradient
