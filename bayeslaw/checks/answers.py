"""Whether the answers hang on little, or lie where nothing was measured."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import finite_numbers
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import place, run_called
from bayeslaw.checks.result import CheckResult, by_chance
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import unknown_name
from bayeslaw.posterior.cautions import VERIFIED, reach
from bayeslaw.posterior.convergence import MOST_PARETO_K
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.leave_out import refit_seconds, refit_without
from bayeslaw.posterior.likelihood import log_likelihood, standardised_errors
from bayeslaw.posterior.prediction import thinned
from bayeslaw.posterior.quantity import elements
from bayeslaw.posterior.sensitivity import weighable

__all__ = ["boundary", "extrapolation", "influence", "trends"]

MOST_MOVED, MOST_SURPRISE = 1.0, 3.0
"""Posterior standard deviations that an answer may move without a run, and standard deviations of what chance makes of
leaving that run out: more than both is too much."""

MOST_KNOWN = 0.95
"""Share of the variance of a run's errors that the posterior is taken to know; leaving the run out divides by the
rest."""

MOST_REFIT_SECONDS = 30.0
"""Time that the refits without such runs may take together, judged by the time of the fit."""

MOST_R_HAT = 1.05
"""Largest R-hat of the answers of such a refit."""

MOST_RISING = 0.5
"""Posterior probability that the loss rises where the paper requires it to fall."""

MOST_BEYOND = 0.11
"""Probability with which a critical ratio may lie beyond the measured shares."""


def trends(fit: Posterior) -> CheckResult | None:
    """Posterior probability that the law falls where the paper requires it."""
    coefficients = {k: fit.posterior[k] for k in fit.model.law.coefficients}
    falls = {
        name: float((rise <= 1e-3).all([d for d in rise.dims if d not in SAMPLE]).mean())
        for name, rise in fit.model.shape.rises(coefficients).items()
    }
    if not falls:
        return None
    parts = ", ".join(f"{name} {probability:.2f}" for name, probability in falls.items())
    text = f"probability that the loss falls over the observed range in {parts}"
    remedy = "the data disagree with the law's shape"
    return CheckResult.judged("trends", 1 - min(falls.values()), MOST_RISING, text, remedy)


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
        f"the critical ratio{f' at {at}' if at else ''} lies beyond the measured shares ({low:.2g} to {high:.2g}) with "
        f"probability {chance[at]:.2f}",
        "no run measured shares there, so the law alone decides: measure a share beyond them, or read the ratio as a "
        "bound",
    )


def influence(fit: Posterior) -> CheckResult | None:
    """Which run moves an answer most when it is left out: by weights (PSIS), or by a refit where they are unreliable.

    Where runs are few, every one of them moves the answers; what is looked for is one that does so more than by chance.
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
    share = weight / weight.sum(SAMPLE)
    without = xr.dot(share, asked, dim=SAMPLE)
    bad = k.where(k > MOST_PARETO_K, drop=True)
    refitted = dict(_refitted(fit, bad.sortby(bad, ascending=False)["run"].values, asked["answer"]))
    for run, found in refitted.items():
        without.loc[{"run": run}] = found
    moved = abs(without - mean) / sd.where(sd > 1e-12 * abs(mean))
    moved = moved.where(moved["measured_in"] != moved["run"]).fillna(0.0).transpose("run", "answer")
    chance = by_chance(moved.size, MOST_SURPRISE) * left_out(some, asked) / sd
    allowed = chance.fillna(0.0).clip(min=MOST_MOVED).broadcast_like(moved)
    beyond = moved > allowed
    at: Any = (moved.where(beyond, -1.0) if beyond.any() else moved).argmax(["run", "answer"])
    most, limit, rough = moved.isel(at), float(allowed.isel(at)), bad.size - len(refitted)
    refit = "bl.evaluate(fit.model, bl.splits.by('run')) refits without each"
    heavy = f"of {k.size} runs, too heavy for weights (Pareto k above {MOST_PARETO_K})"
    how = f"; {len(refitted)} {heavy}, were left out by refits" if refitted else ""
    how += f"; for {rough} {heavy}, this is rough: {refit}" if rough else ""
    return CheckResult.judged(
        "influential runs",
        float(most),
        limit,
        f"without {run_called(most['run'].item())}, {most['answer'].item()} would move by {float(most):.2f} posterior "
        f"standard deviations, {'more than chance explains' if beyond.any() else 'the most of all runs'}" + how,
        "look at that run, or repeat it" + ("" if rough else f"; {refit}"),
    )


def _refitted(fit: Posterior, runs: np.ndarray, answers: xr.DataArray) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield runs with the means of the answers without them, by refits, as far as time allows and these converge."""
    if not fit.sampled:
        return
    for run in runs[: int(MOST_REFIT_SECONDS / refit_seconds(fit))]:
        if not fit.model.design.without(run).measured.any("row").all():  # the only run of a validation set
            continue
        found = study_of(refit_without(fit, run)).answers.sel(answer=answers)
        if float(found.azstats.rhat().max()) <= MOST_R_HAT:
            yield run, found.mean(SAMPLE)


def left_out(fit: Posterior, asked: xr.DataArray) -> xr.DataArray:
    """Return the standard deviation that leaving a run out has on an answer where the model holds; dims run, answer.

    With the run's standardised errors z, which were standard normal before they were seen, that variance is
    Cov(a, z) (1 - Cov(z, z))^-1 Cov(z, a) of a linear law.
    """
    design, z = fit.model.design, standardised_errors(fit)
    run, measured = design.rows["run"].values, design.measured.values
    draws = asked.transpose(*SAMPLE, "answer").values.reshape(-1, asked.sizes["answer"])
    draws = draws - draws.mean(axis=0)
    rows = {label: np.flatnonzero(run == label) for label in dict.fromkeys(run[measured.any(axis=1)])}
    found = []
    for at in rows.values():
        errors = z.values[:, :, at][..., measured[at]].reshape(len(draws), -1)
        errors = errors - errors.mean(axis=0)
        known, axes = np.linalg.eigh(errors.T @ errors / len(draws))
        along = axes.T @ (errors.T @ draws / len(draws))
        found.append(np.sqrt((along**2 / (1 - np.minimum(known, MOST_KNOWN))[:, None]).sum(axis=0)))
    return xr.DataArray(found, dims=("run", "answer"), coords={"run": list(rows), "answer": asked["answer"]})


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
    beyond = reach(fit, {c: finite_numbers(v, c) for c, v in planned.items() if c in VERIFIED and v is not None})
    remedy = "run something in between, or see how well "
    if beyond.column == "domain_share":
        remedy += "each of your shares is predicted without its runs with bl.evaluate(fit.model, "
        remedy += "bl.splits.by('domain_share'))"
    else:
        remedy += "your largest runs are predicted with "
        remedy += f"bl.evaluate(fit.model, bl.splits.largest({beyond.column!r}))"
    return CheckResult.judged("extrapolation", beyond.factor, beyond.limit, str(beyond), remedy)
