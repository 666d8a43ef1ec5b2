"""Whether the answers depend on a single run, or lie where nothing was measured."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import finite_numbers
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import probability, short
from bayeslaw.base.words import counted, place, run_called
from bayeslaw.checks.result import CheckResult, by_chance
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import unknown_name
from bayeslaw.posterior.cautions import EPOCHS, VERIFIED, reach, repeated
from bayeslaw.posterior.convergence import MOST_PARETO_K
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.likelihood import errors, log_likelihood, standardised
from bayeslaw.posterior.prediction import CELLS, MOST_LOSSES, pieces, thinned
from bayeslaw.posterior.quantity import elements
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, weighable

__all__ = ["boundary", "extrapolation", "influence", "trends"]

MOST_MOVED, MOST_SURPRISE = 1.0, 3.0
"""Posterior standard deviations that an answer may move without a run, and standard deviations of what chance makes of
leaving that run out: more than both is too much."""

MOST_KNOWN = 0.95
"""Share of the variance of a run's errors that the posterior is taken to know; leaving the run out divides by the
rest."""

MOST_RISING = 0.5
"""Posterior probability that the loss rises where the paper requires it to fall."""

MOST_BEYOND = 0.11
"""Probability with which a critical ratio may lie beyond the measured shares."""


def trends(fit: Posterior) -> CheckResult | None:
    """Posterior probability that the law falls where the paper requires it."""
    if not (levels := _rises(fit, 0, 1)):
        return None
    of_chains = sum(rise.size for rise in levels.values())
    some = thinned(fit, max(LEAST_DRAWS, MOST_LOSSES * fit.posterior.sizes["chain"] // of_chains))
    step = max(1, CELLS // of_chains)
    pieces_of_draws = [_rises(some, start, start + step) for start in range(0, some.posterior.sizes["draw"], step)]
    fell = {name: xr.concat([_fell(part[name]) for part in pieces_of_draws], "draw") for name in levels}
    falls = {name: float(each.all("eval").mean()) for name, each in fell.items()}
    rising = {e for each in fell.values() for e in fit.evals if float(each.sel(eval=e).mean()) < 1 - MOST_RISING}
    parts = ", ".join(f"{probability(p)} in {name}" for name, p in falls.items())
    text = f"the loss falls over the observed range with probability {parts}"
    remedy = f"the data contradict {fit.model.law.name}: check these losses for errors, or use another law"
    return CheckResult.judged("trends", 1 - min(falls.values()), MOST_RISING, text, remedy, sorted(rising))


def _fell(rises: xr.DataArray) -> xr.DataArray:
    """Return whether every loss falls in every draw."""
    return (rises <= 1e-3).all([d for d in rises.dims if d not in (*SAMPLE, "eval")])


def _rises(fit: Posterior, start: int, stop: int) -> dict[str, xr.DataArray]:
    """Return the rises of the loss over the observed range at some draws of every chain."""
    draws = fit.posterior.isel(draw=slice(start, stop))
    return fit.model.shape.rises({k: draws[k] for k in fit.model.law.coefficients})


def boundary(fit: Posterior, ratios: Mapping[str, CriticalRatio] | None = None) -> CheckResult | None:
    """Whether critical ratios lie among the shares that were measured: those of the study, or single ones by place."""
    own: CriticalRatio | None = study_of(fit).critical_ratio if ratios is None else None
    if own is not None:
        ratios = {place(at): replace(own, draws=draws) for at, draws in elements(own.draws)}
    if not ratios:
        return None
    design = fit.model.design
    shares = design.rows["domain_share"].values[design.measured.any("eval").values]
    low, high = float(shares.min()), float(shares.max())

    def outside(ratio: CriticalRatio) -> float:
        above = (ratio.draws > high + 1e-6) & (high < xr.DataArray(ratio.high) - 1e-6)
        below = (ratio.draws < low - 1e-6) & (low > xr.DataArray(ratio.low) + 1e-6)
        return float((above | below).mean())

    chance = {at: outside(ratio) for at, ratio in ratios.items()}
    at = max(chance, key=lambda place: chance[place])
    return CheckResult.judged(
        "boundary shares",
        chance[at],
        MOST_BEYOND,
        f"the critical ratio{f' at {at}' if at else ''} lies beyond the measured shares ({short(low, 2)} to "
        f"{short(high, 2)}) with probability {probability(chance[at])}",
        "measure a share beyond them, or read the ratio as a bound",
    )


def influence(fit: Posterior) -> CheckResult | None:
    """Which run moves an answer most when it is left out, by weights (PSIS).

    Where runs are few, every one of them moves the answers; what is looked for is one that does so more than by chance.
    Of runs too heavy for weights a linear law says whether they may do so; how far, only a refit can tell.
    """
    if not weighable(fit):
        return None
    some = thinned(fit)
    density = log_likelihood(some)
    if density.sizes["run"] < 3:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # Pareto k are told below
        log_weight, k = density.azstats.psislw(dim=SAMPLE)
    asked = study_of(fit).answers_of(some)
    decisions = asked["decision"].values != ""
    asked = asked.isel(answer=np.flatnonzero(decisions)) if decisions.any() else asked
    weight = xr.ufuncs.exp(log_weight - log_weight.max(SAMPLE))
    mean, sd = asked.mean(SAMPLE), asked.std(SAMPLE)
    shift, spread = left_out(some, asked)
    shift = xr.where(k > MOST_PARETO_K, shift, xr.dot(weight / weight.sum(SAMPLE), asked, dim=SAMPLE) - mean)
    moved = abs(shift) / sd.where(sd > 1e-12 * abs(mean))
    moved = moved.where(moved["measured_in"] != moved["run"]).fillna(0.0).transpose("run", "answer")
    chance = by_chance(moved.size, MOST_SURPRISE) * spread / sd
    allowed = chance.fillna(0.0).clip(min=MOST_MOVED).broadcast_like(moved)
    beyond = moved > allowed
    heavy = k > MOST_PARETO_K
    among = next(some for some in (beyond & ~heavy, beyond, ~heavy | heavy.all()) if some.any())
    at: Any = moved.where(among, -1.0).argmax(["run", "answer"])
    most, count = moved.isel(at), int(heavy.sum())
    run, answer = run_called(most["run"].item()), most["answer"].item()
    refit = "bl.evaluate(fit.model, bl.splits.by('run')) refits without each run"
    untold = f"cannot be told from these draws (Pareto k above {MOST_PARETO_K})"
    remedy = "check that run for errors, or repeat it"
    if heavy.isel(run=at["run"]) and beyond.any():
        text = f"without {run}, {answer} may move by more than chance explains, and how far {untold}: {refit}"
        return CheckResult("influential runs", False, f"{text}; {remedy}")
    far = f"without {run}, {answer} would move by {short(float(most), 2)} posterior standard deviations"
    if heavy.all():
        text = f"how far an answer would move without a run {untold}"
    elif beyond.any():
        text = f"{far}, more than chance explains"
    else:
        text = f"{far}, the most of {'all' if not count else k.size - count} runs"
    if 0 < count < k.size:
        text += f"; of {counted(count, 'other')} that {untold}"
    return CheckResult.judged(
        "influential runs",
        float(most),
        float(allowed.isel(at)),
        f"{text}: {refit}" if count else text,
        remedy if count else f"{remedy}; {refit}",
    )


def left_out(fit: Posterior, asked: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return how far answers move in a linear law without a run, and the standard deviation of that by chance.

    Dims run, answer. With K the covariance of the run's standardised errors z, which were standard normal before they
    were seen, the movement is Cov(a, z) (1 - K)^-1 E(z), and its variance by chance Cov(a, z) (1 - K)^-1 Cov(z, a).
    In the likelihood of robust errors, its slope stands for E(z), and K counts by its curvature.
    """
    draws = asked.transpose(*SAMPLE, "answer").values.reshape(-1, asked.sizes["answer"])
    draws = draws - draws.mean(axis=0)
    runs, shifts, chances = [], [], []
    for label, own, mean in _by_run(fit):
        runs.append(label)
        along, known, unit = own.T @ draws / len(draws), own.T @ own / len(draws), np.ones_like(mean)
        slope, curvature = _of_student(mean) if fit.noise.robust else (mean, unit)
        shifts.append(along.T @ _beyond(known, curvature) @ slope)
        chances.append(np.sqrt(((along.T @ _beyond(known, unit)) * along.T).sum(axis=1)))
    coords = {"run": runs, "answer": asked["answer"]}
    shift, chance = (xr.DataArray(np.array(x), dims=("run", "answer"), coords=coords) for x in (shifts, chances))
    return shift, chance


def _by_run(fit: Posterior) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Yield every run with its standardised errors, as deviations from their means (draw, measurement) and as means."""
    for piece in pieces(fit.model.design, fit.draws, of_runs=True):
        error, run, measured = errors(fit, piece), piece.rows["run"].values, piece.measured.values
        middle = standardised(fit, error.mean(SAMPLE), piece).mean(SAMPLE).values
        z = standardised(fit, error - error.mean(SAMPLE), piece).values
        for label in dict.fromkeys(run[measured.any(axis=1)]):
            at = np.flatnonzero(run == label)
            yield label, z[:, :, at][..., measured[at]].reshape(fit.draws, -1), middle[at][measured[at]]


def _beyond(known: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return (1 - C K)^-1 of a diagonal C and a covariance K, of which not more than `MOST_KNOWN` counts as known."""
    values, axes = np.linalg.eigh(known)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    values, axes = np.linalg.eigh(root.T @ (curvature[:, None] * root))
    axes, rest = root @ axes, 1 - np.minimum(values, MOST_KNOWN)
    beyond: np.ndarray = np.eye(len(known)) + (curvature[:, None] * axes / rest) @ axes.T
    return beyond


def _of_student(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and second derivative of minus the log density of Student's t with 5 degrees of freedom."""
    return 6 * z / (5 + z**2), 6 * (5 - z**2) / (5 + z**2) ** 2


def extrapolation(fit: Posterior, **planned: Any) -> CheckResult:
    """Whether a planned prediction lies further beyond the runs than coverage was verified.

    Parameters
    ----------
    **planned
        ``N``, ``D``, ``domain_share`` (numbers or arrays) and anything else that is asked of `Fit.predict`; of curves
        ``step`` and ``peak``, the highest learning rate.

    Raises
    ------
    UnknownName
        The fit knows no such column.
    """
    law, design = fit.model.law, fit.model.design
    known = dict.fromkeys([*law.columns, *design.groups, *(c for c in ("domain",) if c in design.rows)])
    known |= dict.fromkeys(c for c in ("step", "peak") if law.path == "step" and c in design.rows)
    if unknown := [name for name in planned if name not in known]:
        raise unknown_name(f"column of a fit of {law.name}", unknown[0], known)
    given = {c: v for c, v in planned.items() if c in {*VERIFIED, "U"} and v is not None}
    numbers: dict[str, Any] = {c: finite_numbers(v, c) for c, v in given.items()}
    if EPOCHS in law.covariates and set(law.covariates[EPOCHS].columns(EPOCHS)) <= set(numbers):
        columns = xr.Dataset({c: xr.DataArray(np.atleast_1d(v), dims=c) for c, v in numbers.items()})
        numbers |= repeated(design, columns)
    beyond = reach(fit, numbers)
    remedy = "measure a run in between, or test how well "
    if beyond.column == EPOCHS:
        remedy = "train runs with fewer unique tokens (U), so that their epochs reach those of the prediction"
    elif beyond.column == "domain_share":
        remedy += "each of your shares is predicted without its runs with bl.evaluate(fit.model, "
        remedy += "bl.splits.by('domain_share'))"
    else:
        remedy += "your largest runs are predicted with "
        remedy += f"bl.evaluate(fit.model, bl.splits.largest({beyond.column!r}))"
    return CheckResult.judged("extrapolation", beyond.factor, beyond.limit, str(beyond), remedy)
