"""The log density of the measurements and its gradient, for independent errors and for correlated ones.

Blocks of measurements are worked at one after the other, law and errors, so that what is computed of one stays in the
processor's cache. Within a block eight measurements or runs are a *pack* (see `bayeslaw.sampler.lanes`); lanes that are
left over have a cell like the others and an error of 0.

Beside a misfit the log means of all cells are given, and the gradient in them is added; the losses are logarithms then.
"""

import math

import numpy as np

from bayeslaw.sampler.blocks import law_on_block, pull_back
from bayeslaw.sampler.error_density import CELL, KEPT, SUMS, begin, close, collect, evaluate_pack
from bayeslaw.sampler.lanes import LANES, gather, lanes_at, log_ratio, log_total, put, take_from, total
from bayeslaw.sampler.stored import inner
from bayeslaw.sampler.table import At, count, number_at, reals, reals2, table_at, whole, whole2

__all__ = ["MARGINS", "MEASURED", "SHAPES", "correlated", "independent"]

ROBUST, BATCHES, EVALS, MEASURED, SHAPES, MARGINS, VARIED = range(7)
"""Places in ``options``: Student-t innovations; numbers of batches, of validation sets, and of blocks of the
measurements, of the shape prior and of margins; errors whose scales differ within a validation set."""

SIGMA, RUN_WEIGHT, LENGTH, CORRELATION, SIZE_EXPONENT, BATCH_EFFECT = range(6)
"""Places in ``parameter_at``: first entries of the parameters of the error model, -1 without."""


@inner
def _parameter(table, which, c, otherwise):  # type: ignore[no-untyped-def]
    at = whole(table, At.parameter_at)[which]
    return c[at] if at >= 0 else otherwise


@inner
def _pull(table, which, by, chain, gradient):  # type: ignore[no-untyped-def]
    at = whole(table, At.parameter_at)[which]
    if at >= 0:
        gradient[at] += by * chain[at]


def independent(table_address, c_address, chain_address, gradient_address, logs_address, pull_address):  # type: ignore[no-untyped-def]
    """Return the log density of measurements with independent errors on the log scale; add its gradient.

    The scale of errors and batch effects (eval, batch) is exp(-shrink size) times that of the reference size; known
    measurement errors are added to the errors.
    """
    table = table_at(table_address)
    size = count(table, At.scale)
    c, chain, gradient = number_at(c_address, size), number_at(chain_address, size), number_at(gradient_address, size)
    option, packs, starts = whole(table, At.options), whole2(table, At.packs), whole(table, At.packs_at)
    cells, losses, known = whole(table, At.cell), reals(table, At.loss), reals(table, At.known)
    sizes, numbers = reals(table, At.size), whole(table, At.batch_number)
    sigma_at, effect_at = whole(table, At.parameter_at)[SIGMA], whole(table, At.parameter_at)[BATCH_EFFECT]
    shrink, batches = _parameter(table, SIZE_EXPONENT, c, 0.0), option[BATCHES]
    memory, factor, shared, ones = np.zeros(LANES), np.ones(LANES), np.zeros(LANES), np.zeros(2 * LANES)
    for r in range(LANES):
        ones[r] = 1.0
    density = g_shrink = 0.0
    given, begins, nothing = count(table, At.misfit) > 0, whole(table, At.misfit_at), np.empty((0, 0))
    logs, by_log = number_at(logs_address, begins[-1]), number_at(pull_address, begins[-1])
    for b in range(option[MEASURED]):
        if given:
            law, loss, pull = nothing, logs[begins[b] : begins[b + 1]], by_log[begins[b] : begins[b + 1]]
        else:
            law = law_on_block(table, b, c)
            loss, pull = law[0], np.zeros(law.shape[1])
        for n in range(starts[b], starts[b + 1]):
            ev, lanes, at = packs[n, 0], packs[n, 2], packs[n, 3]
            live = lanes_at(ones, LANES - lanes)
            sigma, first = c[sigma_at + ev], effect_at + ev * batches
            if option[VARIED]:
                for r in range(lanes):
                    factor[r] = math.exp(-shrink * sizes[at + r])
                    if batches and numbers[at + r] >= 0:
                        shared[r] = factor[r] * c[first + numbers[at + r]]
            scale, effect = lanes_at(factor, 0), lanes_at(shared, 0)
            value = gather(loss, cells, at)
            own = sigma * scale
            variance = own * own
            if option[VARIED]:
                variance = variance + lanes_at(known, at) * lanes_at(known, at)
                density -= 0.5 * log_total(variance, lanes, memory)
            else:
                density -= lanes * math.log(sigma)
            precision = 1.0 / variance
            ratio = lanes_at(losses, at) - value if given else log_ratio(lanes_at(losses, at), value, memory)
            error = (ratio - effect) * live
            square = error * error * precision
            force = error * precision
            if option[ROBUST]:
                tail = 1.0 + 0.2 * square
                density -= 3 * log_total(tail, LANES, memory)
                force = force * (1.2 / tail)
            else:
                density -= 0.5 * total(square)
            by_sigma = (live - force * error) * sigma * scale * scale * precision
            gradient[sigma_at + ev] -= total(by_sigma) * chain[sigma_at + ev]
            if option[VARIED]:
                g_shrink += total((by_sigma * sigma - force * effect) * lanes_at(sizes, at))
                put(memory, 0, force * scale)
                for r in range(lanes):
                    if batches and numbers[at + r] >= 0:
                        gradient[first + numbers[at + r]] += memory[r]
            take_from(pull, cells, at, 0.0 - (force if given else force / value))
        if not given:
            pull_back(table, b, pull, law, chain, gradient)
    _pull(table, SIZE_EXPONENT, g_shrink, chain, gradient)
    return density


def correlated(table_address, c_address, chain_address, gradient_address, logs_address, pull_address):  # type: ignore[no-untyped-def]
    """Return the log density of measurements (row, eval) with correlated errors; add its gradient.

    The scale of errors and batch effects (eval, batch) is exp(-shrink size) times that of the reference size.
    """
    table = table_at(table_address)
    size = count(table, At.scale)
    c, chain, gradient = number_at(c_address, size), number_at(chain_address, size), number_at(gradient_address, size)
    option, packs, starts = whole(table, At.options), whole2(table, At.packs), whole(table, At.packs_at)
    cells, losses = whole(table, At.cell), reals(table, At.loss)
    measured, gap = reals2(table, At.measured), reals2(table, At.gap)
    sizes, numbers = reals(table, At.size), whole(table, At.batch_number)
    times, evals, robust, batches = whole(table, At.times), option[EVALS], option[ROBUST] == 1, option[BATCHES]
    sigma_at, effect_at = whole(table, At.parameter_at)[SIGMA], whole(table, At.parameter_at)[BATCH_EFFECT]
    w, ell = _parameter(table, RUN_WEIGHT, c, 0.0), _parameter(table, LENGTH, c, 1.0)
    rho, shrink = _parameter(table, CORRELATION, c, 0.0), _parameter(table, SIZE_EXPONENT, c, 0.0)
    sigma, g_sigma = c[sigma_at : sigma_at + evals], np.zeros(evals)
    kept, before = np.zeros((KEPT, measured.shape[0], evals)), np.zeros((measured.shape[0], evals), np.int64)
    density = begin(measured, gap, whole(table, At.start), times, sigma, w, ell, rho, kept, before)
    longest = 1
    for n in range(packs.shape[0]):
        longest = max(longest, packs[n, 1])
    room = longest * evals
    error, g_error, memory = np.zeros(room * LANES), np.zeros(room * LANES), np.zeros(room * CELL)
    of_pattern, of_pack, by_own = np.zeros(room * SUMS * LANES), np.zeros(2 * evals * LANES), np.zeros(evals * LANES)
    by, ones = np.zeros((SUMS, measured.shape[0], evals)), np.zeros(2 * LANES)
    for r in range(LANES):
        ones[r] = 1.0
    g_shrink, last, length = 0.0, -1, 0
    given, begins, nothing = count(table, At.misfit) > 0, whole(table, At.misfit_at), np.empty((0, 0))
    logs, by_log = number_at(logs_address, begins[-1]), number_at(pull_address, begins[-1])
    for b in range(option[MEASURED]):
        if given:
            law, loss, pull = nothing, logs[begins[b] : begins[b + 1]], by_log[begins[b] : begins[b + 1]]
        else:
            law = law_on_block(table, b, c)
            loss, pull = law[0], np.zeros(law.shape[1])
        for n in range(starts[b], starts[b + 1]):
            first, rows, lanes, start = packs[n, 0], packs[n, 1], packs[n, 2], packs[n, 3]
            if first != last:
                collect(of_pattern, last, length, by)
                last, length = first, rows
            live = lanes_at(ones, LANES - lanes)
            for i in range(rows * evals):
                if not measured[first + i // evals, i % evals]:
                    continue
                at, m = start + i * LANES, i * LANES
                value = gather(loss, cells, at)
                ratio = lanes_at(losses, at) - value if given else log_ratio(lanes_at(losses, at), value, g_error)
                put(error, m, ratio * live)
                if option[VARIED]:
                    for r in range(lanes):
                        row = start // evals + i // evals * LANES + r
                        error[m + r] *= math.exp(shrink * sizes[row])
                        if batches and numbers[row] >= 0:
                            error[m + r] -= c[effect_at + i % evals * batches + numbers[row]]
                        density += shrink * sizes[row]
                        g_shrink += sizes[row]
            density += evaluate_pack(
                error, g_error, first, rows, measured, before, kept, sigma, w, robust, memory, of_pack, of_pattern,
                by_own,
            )  # fmt: skip
            for i in range(rows * evals):
                if not measured[first + i // evals, i % evals]:
                    continue
                at, m = start + i * LANES, i * LANES
                if option[VARIED]:
                    for r in range(lanes):
                        row = start // evals + i // evals * LANES + r
                        whole_error = error[m + r]
                        if batches and numbers[row] >= 0:
                            effect = effect_at + i % evals * batches + numbers[row]
                            whole_error += c[effect]
                            gradient[effect] -= g_error[m + r]
                        g_shrink += g_error[m + r] * whole_error * sizes[row]
                        g_error[m + r] *= math.exp(shrink * sizes[row])
                force = lanes_at(g_error, m)
                take_from(pull, cells, at, force if given else force / gather(loss, cells, at))
        if not given:
            pull_back(table, b, pull, law, chain, gradient)
    collect(of_pattern, last, length, by)
    g_w, g_ell, g_rho = close(measured, gap, times, before, kept, by, by_own, sigma, w, ell, rho, g_sigma)
    for e in range(evals):
        gradient[sigma_at + e] += g_sigma[e] * chain[sigma_at + e]
    _pull(table, RUN_WEIGHT, g_w, chain, gradient)
    _pull(table, LENGTH, g_ell, chain, gradient)
    _pull(table, CORRELATION, g_rho, chain, gradient)
    _pull(table, SIZE_EXPONENT, g_shrink, chain, gradient)
    return density
