"""The log density of a model and its gradient as one compiled function.

It is compiled once for all models, stored on disk, and called with the table of a model's arrays
(`bayeslaw.sampler.table`): by Python for the search of the mode, and by the threads of the sampler without Python. Only
the law is compiled for itself (`bayeslaw.sampler.kernels`).
"""

import ctypes
import hashlib
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types
from pytensor.link.numba.cache import compile_numba_function_src

from bayeslaw.sampler.bends import bend, pull_back_bend
from bayeslaw.sampler.blocks import law_on_block, pull_back
from bayeslaw.sampler.conditionals import factors, place, pull_back_deviations
from bayeslaw.sampler.error_density import correlated, independent
from bayeslaw.sampler.maps import log_falls, place_terms, pull_log_falls, pull_terms
from bayeslaw.sampler.parameters import log_prior, natural
from bayeslaw.sampler.table import At, reals, reals2, whole, whole2
from bayeslaw.spec.shape import RISE

__all__ = [
    "COORDINATES",
    "FRAME",
    "FROM_FRAME",
    "LIKELIHOOD",
    "PARAMETERS",
    "TO_PARAMETERS",
    "address",
    "evaluate",
]

PARAMETERS, COORDINATES, LIKELIHOOD, FRAME, TO_PARAMETERS, FROM_FRAME = range(6)
"""What is evaluated: the log density of parameters, of coordinates (also with the likelihood alone), of a point of the
frame; the parameters at coordinates, with the log Jacobian, or at a point of the frame."""

MEASURED, UNITS = 0, 1
"""Numbers of the blocks of the measurements and of the terms; those of the shape prior follow."""

ROBUST, ALONG_RUNS, BATCHES, SHAPES, MARGINS, EVALS = range(6)
"""Places in ``options``: Student-t innovations, correlated errors, numbers of batches, of blocks of the shape prior, of
margins and of validation sets."""

SIGMA, RUN_WEIGHT, LENGTH, CORRELATION, SIZE_EXPONENT, BATCH_EFFECT = range(6)
"""Places in ``parameter_at``: first entries of the parameters of the error model, -1 without."""


@njit(nogil=True, error_model="numpy")
def _likelihood(table, c, chain, gradient):  # type: ignore[no-untyped-def]
    option, at = whole(table, At.options), whole(table, At.parameter_at)
    law = law_on_block(table, MEASURED, c)
    loss, pull = law[0], np.zeros(law.shape[1])
    evals = option[EVALS]
    sigma, g_sigma = c[at[SIGMA] : at[SIGMA] + evals], np.zeros(evals)
    batches = option[BATCHES]
    batch = c[at[BATCH_EFFECT] : at[BATCH_EFFECT] + evals * batches].reshape((evals, batches))
    g_batch = np.zeros((evals, batches))
    shrink = c[at[SIZE_EXPONENT]] if at[SIZE_EXPONENT] >= 0 else 0.0
    size, number, robust = reals(table, At.size), whole(table, At.batch_number), option[ROBUST] == 1
    g_w = g_ell = g_rho = 0.0
    if option[ALONG_RUNS]:
        w = c[at[RUN_WEIGHT]] if at[RUN_WEIGHT] >= 0 else 0.0
        ell = c[at[LENGTH]] if at[LENGTH] >= 0 else 1.0
        rho = c[at[CORRELATION]] if at[CORRELATION] >= 0 else 0.0
        timing = (
            whole(table, At.first),
            whole(table, At.timing),
            reals2(table, At.measured),
            reals2(table, At.gap),
            whole(table, At.start),
            whole(table, At.times),
        )
        density, g_shrink, g_w, g_ell, g_rho = correlated(
            loss, whole2(table, At.cell), reals2(table, At.log_loss), timing, size, number, batch, sigma, shrink, w,
            ell, rho, robust, pull, g_sigma, g_batch,
        )  # fmt: skip
    else:
        density, g_shrink = independent(
            loss, whole2(table, At.cell)[:, 0], whole(table, At.eval), reals2(table, At.log_loss)[:, 0],
            reals(table, At.known), size, number, batch, sigma, shrink, robust, pull, g_sigma, g_batch,
        )  # fmt: skip
    for e in range(evals):
        gradient[at[SIGMA] + e] += g_sigma[e] * chain[at[SIGMA] + e]
        for n in range(batches):
            gradient[at[BATCH_EFFECT] + e * batches + n] += g_batch[e, n]
    for place_of, by in ((RUN_WEIGHT, g_w), (LENGTH, g_ell), (CORRELATION, g_rho), (SIZE_EXPONENT, g_shrink)):
        if at[place_of] >= 0:
            gradient[at[place_of]] += by * chain[at[place_of]]
    pull_back(table, MEASURED, pull, law, chain, gradient)
    return density


@njit(nogil=True, error_model="numpy")
def _density(table, v, gradient, likelihood_alone):  # type: ignore[no-untyped-def]
    """Return the log density of parameters, and add its gradient."""
    c, chain = np.empty_like(v), np.empty_like(v)
    natural(v, whole(table, At.scale), reals(table, At.low), reals(table, At.high), c, chain)
    if likelihood_alone:
        return _likelihood(table, c, chain, gradient)
    density = log_prior(
        v, c, chain, whole(table, At.kind), reals(table, At.a), reals(table, At.b), whole(table, At.mu_at),
        whole(table, At.sd_at), reals(table, At.bend), gradient,
    )  # fmt: skip
    density += _likelihood(table, c, chain, gradient)
    entries, lowest = whole(table, At.floor_at), reals(table, At.floor)
    for n in range(len(entries)):
        i = entries[n]
        excess = max(c[i] - lowest[n], 0.0) / RISE
        density -= 0.5 * excess * excess
        gradient[i] -= excess / RISE * chain[i]
    if not math.isfinite(density):
        return -math.inf
    option, pairs, starts = whole(table, At.options), whole2(table, At.pairs), whole(table, At.pairs_at)
    for n in range(option[SHAPES]):
        law = law_on_block(table, UNITS + 1 + n, c)
        pull = np.zeros(law.shape[1])
        for m in range(starts[n], starts[n + 1]):
            lower, upper = pairs[m, 0], pairs[m, 1]
            rise = law[0, upper] - law[0, lower]
            if not rise <= 0:
                density -= 0.5 * (rise / RISE) ** 2
                pull[upper] -= rise / RISE**2
                pull[lower] += rise / RISE**2
        pull_back(table, UNITS + 1 + n, pull, law, chain, gradient)
    for n in range(option[MARGINS]):
        b = UNITS + 1 + option[SHAPES] + n
        law = law_on_block(table, b, c)
        pull = np.zeros(law.shape[1])
        for m in range(len(pull)):
            short = min(law[0, m], 0.0) / RISE
            density -= 0.5 * short * short
            pull[m] = -short / RISE
        pull_back(table, b, pull, law, chain, gradient)
    return density if math.isfinite(density) else -math.inf


@njit(nogil=True, error_model="numpy")
def _family(table, f):  # type: ignore[no-untyped-def]
    """Return the arrays of a family of pooled coefficients, in the order of `Conditionals`."""
    shape = whole2(table, At.family_shape)[f]
    groups, k = shape[0], shape[1]
    entries, numbers = whole(table, At.family_entries)[shape[3] :], reals(table, At.family_numbers)[shape[4] :]
    g, square = groups * k, groups * k * k
    own = k * shape[2]
    return (
        entries[:g].reshape((groups, k)),
        entries[g : g + k],
        entries[g + k : g + 2 * k],
        numbers[:square].reshape((groups, k, k)),
        numbers[square : 2 * square].reshape((groups, k, k)),
        numbers[2 * square : 2 * square + g].reshape((groups, k)),
        numbers[2 * square + g : 2 * square + 2 * g].reshape((groups, k)),
        numbers[2 * square + 2 * g : 2 * square + 2 * g + k],
        numbers[2 * square + 2 * g + k : 2 * square + 2 * g + k + own * own].reshape((own, own)),
    )


@njit(nogil=True, error_model="numpy")
def _memory(table, f, numbers):  # type: ignore[no-untyped-def]
    """Return the memory of a family (see `bayeslaw.sampler.conditionals`), within one array for all families."""
    shapes, start = whole2(table, At.family_shape), 0
    for n in range(f):
        groups, k = shapes[n, 0], shapes[n, 1]
        start += 3 * groups * k * k + 3 * groups * k + k * k + k
    groups, k = shapes[f, 0], shapes[f, 1]
    g, square = groups * k, groups * k * k
    at = numbers[start:]
    flat = at[3 * square : 3 * square + 3 * g]
    rest = at[3 * square + 3 * g :]
    return (
        at[:square].reshape((groups, k, k)),
        at[square : 2 * square].reshape((groups, k, k)),
        at[2 * square : 3 * square].reshape((groups, k, k)),
        flat[:g].reshape((groups, k)),
        flat[g : 2 * g].reshape((groups, k)),
        flat[2 * g :].reshape((groups, k)),
        rest[: k * k].reshape((k, k)),
        rest[k * k : k * k + k],
    )


@njit(nogil=True, error_model="numpy")
def _memory_size(table):  # type: ignore[no-untyped-def]
    size, shapes = 0, whole2(table, At.family_shape)
    for f in range(len(shapes)):
        groups, k = shapes[f, 0], shapes[f, 1]
        size += 3 * groups * k * k + 3 * groups * k + k * k + k
    return size


@njit(nogil=True, error_model="numpy")
def _forward(table, u, v, c_u, values, chain, memory):  # type: ignore[no-untyped-def]
    """Fill in the parameters at coordinates; return the log Jacobian (NaN where the map has no value) and the terms."""
    size, locations = len(u), whole(table, At.locations)
    scale, low, high = whole(table, At.scale), reals(table, At.low), reals(table, At.high)
    natural(u, scale, low, high, c_u, chain[:size])
    v[:] = u
    jacobian = 0.0
    for f in range(len(whole2(table, At.family_shape))):
        family, own = _family(table, f), _memory(table, f, memory)
        factors(c_u, family, own)
        jacobian += place(u, v, family, own)
    natural(v, scale, low, high, values[:size], chain[:size])
    values[size], values[size + 1] = 0.0, 1.0
    for n in range(len(locations)):
        values[size + 2 + n] = chain[size + 2 + n] = math.exp(v[locations[n]])
    law = law_on_block(table, UNITS, values)
    terms = whole2(table, At.terms)
    unit = law[0].reshape((len(terms) + 1, terms.shape[1], -1))
    for a in range(len(terms)):
        unit[a] -= unit[-1]
    falls = np.zeros(size)
    log_falls(unit, terms, reals2(table, At.term_weight), reals2(table, At.contrasts), falls)
    for f in range(len(whole2(table, At.family_shape))):
        bend(v, falls, c_u, _family(table, f), 1.0)
    jacobian += place_terms(
        v, unit, terms, reals2(table, At.term_weight), whole(table, At.level), reals(table, At.level_weight),
        reals2(table, At.contrasts), whole(table, At.logs), reals(table, At.log_bend),
    )  # fmt: skip
    return jacobian, law


@njit(nogil=True, error_model="numpy")
def _backward(table, u, v, g, c_u, chain, memory, law):  # type: ignore[no-untyped-def]
    """Turn a gradient in the parameters into one in the coordinates, the Jacobian included."""
    size, locations, terms = len(u), whole(table, At.locations), whole2(table, At.terms)
    unit = law[0].reshape((len(terms) + 1, terms.shape[1], -1))
    pull = np.zeros_like(unit)
    pull_terms(
        g, v, unit, pull, terms, reals2(table, At.term_weight), whole(table, At.level), reals(table, At.level_weight),
        reals2(table, At.contrasts), whole(table, At.logs), reals(table, At.log_bend),
    )  # fmt: skip
    families = len(whole2(table, At.family_shape))
    if families:
        falls, by_fall = np.zeros(size), np.zeros(size)
        log_falls(unit, terms, reals2(table, At.term_weight), reals2(table, At.contrasts), falls)
        for f in range(families):
            pull_back_bend(g, v, falls, by_fall, c_u, chain, _family(table, f))
        pull_log_falls(by_fall, unit, pull, terms, reals2(table, At.term_weight), reals2(table, At.contrasts))
    for a in range(len(terms)):
        pull[-1] -= pull[a]
    pull_back(table, UNITS, pull.ravel(), law, chain, g)
    for n in range(len(locations)):
        g[locations[n]] += g[size + 2 + n]
    if families:
        natural(u, whole(table, At.scale), reals(table, At.low), reals(table, At.high), c_u, chain[:size])
    for f in range(families):
        pull_back_deviations(g[:size], u, c_u, chain[:size], _family(table, f), _memory(table, f, memory))


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _add_product(matrix, x, y):  # type: ignore[no-untyped-def]
    """Add matrix x to y."""
    for i in range(len(y)):
        total = 0.0
        for j in range(len(x)):
            total += matrix[i, j] * x[j]
        y[i] += total


@njit(nogil=True, error_model="numpy")
def _pull_product(matrix, g, gradient):  # type: ignore[no-untyped-def]
    """Add g matrix to the gradient."""
    for i in range(len(g)):
        for j in range(len(gradient)):
            gradient[j] += g[i] * matrix[i, j]


@njit(nogil=True, error_model="numpy")
def evaluation(table, what, x, gradient):  # type: ignore[no-untyped-def]
    """Fill in the gradient, or the parameters, and return the value."""
    size, framed = len(x), what in (FRAME, FROM_FRAME)
    mapped, extra = what != PARAMETERS, 2 + len(whole(table, At.locations))
    u, v, g, c_u = x.copy(), x.copy(), np.zeros(size + extra), np.empty(size)
    values, chain, memory = np.empty(size + extra), np.zeros(size + extra), np.zeros(_memory_size(table))
    law, jacobian = np.empty((0, 0)), 0.0
    if framed:
        u[:] = reals(table, At.center)
        _add_product(reals2(table, At.axes), x, u)
    if mapped:
        jacobian, law = _forward(table, u, v, c_u, values, chain, memory)
    if what in (TO_PARAMETERS, FROM_FRAME):
        gradient[:] = v
        return jacobian
    gradient[:] = 0.0
    density = -math.inf if math.isnan(jacobian) else _density(table, v, g[:size], what == LIKELIHOOD)
    if not math.isfinite(density):
        return -math.inf
    if mapped:
        _backward(table, u, v, g, c_u, chain, memory, law)
    if framed:
        _pull_product(reals2(table, At.axes), g[:size], gradient)
    else:
        gradient[:] = g[:size]
    return density + jacobian


@njit(nogil=True, error_model="numpy")
def called(dim, x_at, gradient_at, value_at, table_at):  # type: ignore[no-untyped-def]
    """Evaluate what the last number of the table says; return 0, or 1 where the result is not finite."""
    table = carray(table_at, (3 * PLACES + 1,), np.int64)
    gradient, value = carray(gradient_at, (dim,)), carray(value_at, (1,))
    value[0] = evaluation(table, table[3 * PLACES], carray(x_at, (dim,)), gradient)
    finite = math.isfinite(value[0])
    for i in range(dim):
        finite &= math.isfinite(gradient[i])
    return 0 if finite else 1


PLACES = len(At)

_SIGNATURE = types.int64(types.uint64, *(types.CPointer(types.float64),) * 3, types.voidptr)


@cache
def _compiled() -> Any:
    """Return the compiled function; it is read from the disk unless a file of this folder has changed."""
    folder = sorted(Path(__file__).parent.glob("*.py"))
    key = hashlib.sha256(b"".join(p.read_bytes() for p in folder) + str(RISE).encode()).hexdigest()
    source = "def log_density(dim, x, gradient, value, table):\n    return called(dim, x, gradient, value, table)\n"
    function = compile_numba_function_src(
        source, "log_density", {"__name__": __name__, "called": called}, cache_key=key
    )
    return cfunc(_SIGNATURE, cache=True, error_model="numpy")(function)


def address() -> int:
    """Return the address of the compiled function, as nutpie calls it."""
    found: int = _compiled().address
    return found


@cache
def _called() -> Any:
    number = ctypes.c_void_p
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *(number,) * 4)(address())


def evaluate(x: np.ndarray, table: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the value and the gradient (or parameters) at a vector, as the last number of the table says."""
    x, gradient, value = np.ascontiguousarray(x, float), np.empty(len(x)), np.empty(1)
    _called()(len(x), x.ctypes.data, gradient.ctypes.data, value.ctypes.data, table.ctypes.data)
    return float(value[0]), gradient
