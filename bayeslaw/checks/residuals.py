"""Whether the measurements scatter around the law as the error model says."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayeslaw.base.intervals import CI_PROB, SAMPLE
from bayeslaw.base.numbers import apart, exact, p_value, percent, short
from bayeslaw.base.words import place
from bayeslaw.checks.result import CheckResult, Group, largest
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.likelihood import errors, standardised
from bayeslaw.posterior.prediction import at_rows, batch_noise, enough, of_new_runs, pieces, thinned
from bayeslaw.spec.design import Design

__all__ = [
    "LEAST_PROBABILITY",
    "MOST_MISSED",
    "coverage",
    "error_of",
    "error_scale",
    "misfit",
    "part_of",
    "residuals",
    "rows_of",
    "scales",
    "scatter",
    "variance_of_sum",
]

MOST_MISSED = 3.0
"""Standard errors by which the mean residual of a group may miss zero."""

LEAST_SCORE = 0.1
"""Standard errors that a sentence gives as a number."""

LEAST_PROBABILITY = 0.01
"""Probability under the model, of all groups together, below which what was measured is no chance."""

MOST_DRAWS = 200
"""Draws over which the posterior predictive probabilities are averaged."""

PARTS = 5
"""Parts of about as many levels each into which sizes, tokens and compute are divided."""


def coverage(fit: Posterior) -> CheckResult:
    """In-sample coverage of the new-run band, beside what chance does to so many measurements or correlated runs."""
    design = fit.model.design
    some, rng, inside = enough(fit), np.random.default_rng(0), []
    for piece in pieces(design, some.draws):
        _, new, _ = of_new_runs(some, piece, rng)
        low, high = new.quantile([(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], SAMPLE, skipna=False)
        inside.append((piece.rows["loss"] >= low) & (piece.rows["loss"] <= high))
    held = xr.concat(inside, "row").where(design.measured)
    run = design.rows["run"].values[design.measured.any("eval").values]
    share, apart = float(held.mean()), len(np.unique(run)) if fit.noise.correlated else int(held.count())
    least = stats.binom.ppf(LEAST_PROBABILITY, apart, CI_PROB) / apart
    return CheckResult.judged(
        "fit to the data",
        1 - share,
        1 - least,
        f"{percent(share)} of the measurements lie in their {percent(CI_PROB)} new-run band",
        "the law or the error model does not fit: try robust errors or pooling"
        + (", or errors of their own for each validation set, bl.Noise(joint=False)" if fit.noise.joint else ""),
    )


def misfit(fit: Posterior) -> CheckResult:
    """Systematic residuals: of every combination of size, share and the like, and of every part of the runs."""
    score, limit, where, losses = largest(_groups(fit), MOST_MISSED)
    return CheckResult.judged(
        "misfit by group",
        score,
        limit,
        f"the law is off most in {where}; chance explains {short(limit)} standard errors",
        "predictions there are off by about as much: pool more coefficients, or use a more flexible law",
        losses,
    )


def _groups(fit: Posterior) -> Iterator[Group]:
    """Mean residual of every group of measurements, in standard errors of runs that share errors, and in words."""
    law, design = fit.model.law, fit.model.design
    z, scale = residuals(fit)
    frame, columns = rows_of(fit)
    alike = {" and ".join(columns): list(columns)}
    if design.has_checkpoints() and law.path in frame:
        last, first = ~frame["run"].duplicated(keep="last"), ~frame["run"].duplicated()  # rows are sorted along runs
        frame["part"] = np.select([last, first], ["at the end of the runs", "at their start"], "in between")
        alike |= {c: [c, "part"] for c in columns} if columns else {"part": ["part"]}
    for e in design.evals:
        one = frame.assign(z=z.sel(eval=e).values, scale=scale.sel(eval=e).values).dropna(subset="z")
        for by in alike.values():
            for labels, group in one.groupby(by) if by else [((), one)]:
                at = dict(zip(by, labels, strict=True))
                part = at.pop("part", None)
                where = f"the {e} loss" + (f" at {place(at)}" if at else "") + (f" {part}" if part else "")
                miss = float(group["z"].sum() / (1 / group["scale"]).sum())
                score = float(abs(group["z"].sum()) / np.sqrt(variance_of_sum(fit, group)))
                side = f"measured {'above' if miss > 0 else 'below'} it"
                far = short(score) if score >= LEAST_SCORE else f"below {exact(LEAST_SCORE)}"
                yield Group(score, f"{where} by {apart(miss)} ({side}, {far} standard errors)", e)


@kept
def error_scale(fit: Posterior) -> xr.DataArray:
    """Return the standard deviation of the error of every measurement (row, eval), on the log scale.

    Robust errors take an error of z for one of a normal distribution of sqrt((5 + z^2) / 6) times their scale.
    """
    design = fit.model.design
    known = xr.DataArray(design.known_error, dims=("row", "eval"))
    sigma = fit.posterior["sigma"] * fit.noise.at_size(fit.posterior, design.log_size(design.rows))
    scale: xr.DataArray = fit.noise.scale(sigma.mean(SAMPLE), known).broadcast_like(known).transpose("row", "eval")
    if fit.noise.robust:
        scale = scale / np.sqrt(_precision(error_of(fit) / scale))
    return scale


def _precision(z: xr.DataArray) -> xr.DataArray:
    """Return how much robust errors weigh a standardised error: Student's t with 5 degrees of freedom, given z."""
    return 6 / (5 + z**2)


def error_of(fit: Posterior) -> xr.DataArray:
    """Return log loss minus the posterior mean of log law and batch noise (row, eval); NaN where not measured."""
    design = fit.model.design
    some = enough(fit)
    logs = (xr.ufuncs.log(at_rows(some, p)) + batch_noise(some, p) for p in pieces(design, some.draws))
    mean = xr.concat([each.mean(SAMPLE) for each in logs], "row")
    error: xr.DataArray = (xr.ufuncs.log(design.rows["loss"]) - mean).where(design.measured)
    return error


@kept
def residuals(fit: Posterior) -> tuple[xr.DataArray, xr.DataArray]:
    """Standardised residuals of the posterior mean law and batch noise, and their scale; NaN where not measured."""
    scale = error_scale(fit)
    return error_of(fit) / scale, scale


def variance_of_sum(fit: Posterior, group: pd.DataFrame, weights: np.ndarray | None = None) -> float:
    """Return the variance of a (weighted) sum of standardised errors: what checkpoints share counts in full."""
    c = np.ones(len(group)) if weights is None else weights
    if (correlation := _correlation(fit)) is None:
        return float(c @ c)
    w, ell = correlation
    x, run = np.log(group[fit.model.law.path].to_numpy()), group["run"].to_numpy()
    starts = np.flatnonzero(run[1:] != run[:-1]) + 1
    runs = zip(np.split(c, starts), np.split(x, starts), strict=True)
    return float(sum(c @ (w + (1 - w) * np.exp(-abs(t[:, None] - t) / ell)) @ c for c, t in runs))


@kept
def _correlation(fit: Posterior) -> tuple[float, float] | None:
    """Return the part of the run effect and the length of the correlation along runs; None if there is none."""
    if not fit.noise.correlated:
        return None
    return float(fit.posterior["run_weight"].mean()), float(fit.posterior["correlation_length"].mean())


def scatter(fit: Posterior) -> CheckResult:
    """Posterior predictive check of every run, size and share: how far the errors of its measurements scatter.

    Given a draw, the errors of a run, each seen from the earlier ones, are independent and standard normal, so that the
    sum of their squares has a chi-squared distribution; its tail probability is averaged over the draws. Squares of
    robust errors are weighed as these weigh them, so that a single outlier, which hardly counts, is no scatter.
    """
    some, design = thinned(fit, MOST_DRAWS), fit.model.design
    squares = np.concatenate([_squares(some, piece) for piece in pieces(design, some.draws, of_runs=True)], axis=-1)
    counts = design.measured.sum("eval").values
    found = []
    for name, rows in _alike(fit):
        n, total = int(counts[rows].sum()), squares[..., rows].sum(axis=-1)
        found.append((float(stats.chi2(n).sf(total).mean()), name, float(np.sqrt(total.mean() / n))))
    p, where, factor = min(found)
    limit = LEAST_PROBABILITY / len(found)
    others = sum(one[0] < limit for one in found) - 1
    return CheckResult.judged(
        "scatter",
        -np.log10(max(p, 1e-300)),
        -np.log10(limit),
        f"{where} scatters most, {short(factor, 2)} times as far as the error model expects ({p_value(p)} among "
        f"{len(found)} groups of measurements)" + (f", and {others} more beyond chance" if others > 0 else ""),
        "check these measurements for errors"
        + ("" if fit.noise.robust else ", or give outliers less weight with bl.Noise(robust=True)"),
    )


def _squares(fit: Posterior, design: Design) -> np.ndarray:
    """Return the sum of the squared errors of every row (chain, draw, row), which are standard normal in the model."""
    z = standardised(fit, errors(fit, design), design)
    if fit.noise.robust:
        z = z * np.sqrt(_precision(z))
    squares: np.ndarray = (z**2).where(design.measured, 0.0).sum("eval").transpose(*SAMPLE, "row").values
    return squares


def _alike(fit: Posterior) -> Iterable[tuple[str, np.ndarray]]:
    """Name and rows of every run, of every level of what is the same all along a run, and of parts of the scales."""
    frame, columns = rows_of(fit)
    measured = fit.model.design.measured.any("eval").values
    frame, along = frame[measured], scales(fit)[measured]
    levels = ("run", *(c for c in columns if 1 < frame[c].nunique() < frame["run"].nunique()))
    groups = [(place({c: label}), rows) for c in levels for label, rows in frame.groupby(c)]
    groups += [
        (str(part), rows) for c, values in along.items() for part, rows in frame.groupby(part_of(str(c), values))
    ]
    found: dict[bytes, tuple[str, np.ndarray]] = {}
    for name, group in groups:
        rows = group.index.to_numpy()
        found.setdefault(rows.tobytes(), (name, rows))
    return found.values()


def scales(fit: Posterior) -> pd.DataFrame:
    """Return the size, the tokens and the compute of every row, where the law knows them and they differ."""
    found = {c: fit.model.design.rows[c].to_series() for c in ("N", "D") if c in fit.model.design.levels}
    if len(found) == 2:
        found["compute"] = 6 * found["N"] * found["D"]
    rows = range(fit.model.design.rows.sizes["row"])
    return pd.DataFrame({c: values for c, values in found.items() if values.nunique() > 1}, index=rows)


def part_of(column: str, values: pd.Series) -> pd.Series:
    """Return in words the part of a scale in which each of its values lies."""
    part = pd.qcut(values.rank(method="dense"), min(PARTS, values.nunique()), labels=False, duplicates="drop")
    ends = values.groupby(part).agg(["min", "max"]).map(lambda x: place({column: x}))
    last = ends["max"].str.removeprefix(f"{column} ")
    return part.map(ends["min"].where(ends["min"] == ends["max"], ends["min"] + " to " + last))


def rows_of(fit: Posterior) -> tuple[pd.DataFrame, list[str]]:
    """Run, tokens and levels of every row, and the columns that are the same all along a run."""
    law, design = fit.model.law, fit.model.design
    known = dict.fromkeys(["run", *([law.path] if law.path in design.rows else []), *design.levels])
    frame = design.rows[list(known)].to_dataframe().reset_index(drop=True)
    within = frame.groupby("run").nunique().max()
    return frame, [c for c in design.levels if c != law.path and within[c] == 1]  # areas under a schedule never recur
