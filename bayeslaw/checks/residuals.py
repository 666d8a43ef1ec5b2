"""Whether the measurements scatter around the law as the error model says."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayeslaw.base.intervals import CI_PROB, SAMPLE
from bayeslaw.base.words import place, run_called
from bayeslaw.checks.result import CheckResult
from bayeslaw.declare.laws import WEIGHT
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.likelihood import standardised_errors
from bayeslaw.posterior.prediction import at_rows, batch_noise, thinned

__all__ = ["coverage", "misfit", "scatter"]

MISFIT = 3.0
"""Standard errors by which the mean residual of a group may miss zero before the check fails."""

RARE = 0.01
"""Posterior predictive probability, shared by all groups, below which a scatter is no chance."""

FEW = 200
"""Draws over which the posterior predictive probabilities are averaged."""


def _residuals(fit: Posterior) -> xr.DataArray:
    """Standardised residuals of the posterior mean law and batch noise, dims row and eval; NaN where not measured."""
    design = fit.model.design
    mean = (xr.ufuncs.log(at_rows(fit)) + batch_noise(fit, design)).mean(SAMPLE)
    error = xr.ufuncs.log(design.rows["loss"]) - mean
    z: xr.DataArray = error / _scale(fit)
    return z.where(design.measured)


def _scale(fit: Posterior) -> xr.DataArray:
    """Posterior mean scale of every measurement's error, dims row and eval."""
    known = xr.DataArray(fit.model.design.known_error, dims=("row", "eval"))
    sigma = fit.posterior["sigma"] * fit.noise.at_size(fit.posterior, fit.model.design.log_size(fit.model.design.rows))
    scale: xr.DataArray = fit.noise.scale(sigma.mean(SAMPLE), known)
    return scale.broadcast_like(known)


def coverage(fit: Posterior) -> CheckResult:
    """In-sample coverage of the new-run band, beside what chance does to so many measurements or correlated runs."""
    design = fit.model.design
    loss, rng = at_rows(fit), np.random.default_rng(0)
    new = fit.noise.measured(loss * np.exp(fit.errors(loss, design.rows, rng)), design.rows, rng)
    tail = (1 - CI_PROB) / 2
    low, high = new.quantile(tail, ["chain", "draw"]), new.quantile(1 - tail, ["chain", "draw"])
    held = ((design.rows["loss"] >= low) & (design.rows["loss"] <= high)).where(design.measured)
    run = design.rows["run"].values[design.measured.any("eval").values]
    share, apart = float(held.mean()), len(np.unique(run)) if fit.noise.correlated else int(held.count())
    passed = share >= stats.binom.ppf(RARE, apart, CI_PROB) / apart
    text = f"{share:.0%} of the measurements lie in their {CI_PROB:.0%} new-run band"
    return CheckResult(
        "fit to the data",
        passed,
        text if passed else text + "; the law or the error model does not fit: try robust errors or pooling",
    )


def misfit(fit: Posterior) -> CheckResult:
    """Systematic residuals: of every combination of size, share and the like, and of every part of the runs."""
    name, groups = "misfit by group", _groups(fit)
    limit = max(MISFIT, float(np.sqrt(2 * np.log(max(len(groups), 2)))) + 0.5)
    missed = groups[groups["score"].abs() > limit].sort_values("score", key=abs, ascending=False)
    if missed.empty:
        worst = groups["score"].abs().to_numpy().argmax()
        miss = f"{abs(groups['score'].iloc[worst]):.1f} standard errors ({groups['where'].iloc[worst]})"
        return CheckResult(name, True, f"no group's mean residual misses zero by more than {miss}, as chance explains")
    first = missed.head(3)[["where", "miss", "score"]].itertuples(index=False)
    shown = [f"{where} {miss}, {abs(float(score)):.1f} standard errors)" for where, miss, score in first]
    more = f", and {len(missed) - 3} more groups" if len(missed) > 3 else ""
    return CheckResult(
        name,
        False,
        f"the law misses {'; '.join(shown)}{more}, more than chance explains ({limit:.1f}): answers there are off "
        "by about as much; pool more coefficients, or use a law that can bend there",
    )


def _groups(fit: Posterior) -> pd.DataFrame:
    """Mean residuals of groups of measurements, in standard errors that know what checkpoints of one run share."""
    law, design, z = fit.model.law, fit.model.design, _residuals(fit)
    scale = _scale(fit).transpose("row", "eval")
    known = dict.fromkeys(["run", *([law.path] if law.path in design.rows else []), *design.levels])
    frame = design.rows[list(known)].to_dataframe().reset_index(drop=True)
    within = frame.groupby("run").nunique().max()
    columns = [c for c in design.levels if c != law.path and within[c] == 1]  # areas under a schedule never recur
    alike = {" and ".join(columns): list(columns)}
    if law.over:  # mixing laws jump where a source is left out
        absent = design.rows[WEIGHT] == 0
        for source in design.over["source"][absent.any("row").values]:
            frame[source] = np.where(absent.sel(source=source), "left out", "in the mixture")
            alike[source] = [source]
    if design.has_checkpoints() and law.path in frame:
        frame["part"] = _parts(frame["run"])
        alike |= {c: [c, "part"] for c in columns} if columns else {"part": ["part"]}
    found = []
    for e in design.evals:
        one = frame.assign(z=z.sel(eval=e).values, scale=scale.sel(eval=e).values).dropna(subset="z")
        for by in alike.values():
            for labels, group in one.groupby(by) if by else [((), one)]:
                at = dict(zip(by, labels, strict=True))
                part = at.pop("part", None)
                where = f"the {e} loss" + (f" at {place(at)}" if at else "") + (f" {part}" if part else "")
                miss = (group["z"] * group["scale"]).mean()
                found.append((where, group["z"].sum() / np.sqrt(_variance_of_sum(fit, group)), _percent(miss)))
    return pd.DataFrame(found, columns=["where", "score", "miss"])


def _parts(run: pd.Series) -> pd.Series:
    """Whether a measurement is its run's first, its last, or one in between; rows are sorted along runs."""
    first, last = ~run.duplicated(), ~run.duplicated(keep="last")
    return pd.Series(np.select([last, first], ["at the end of the runs", "at their start"], "in between"), run.index)


def _variance_of_sum(fit: Posterior, group: pd.DataFrame) -> float:
    """Return the variance of the sum of standardised errors: what checkpoints of one run share counts in full."""
    if not fit.noise.correlated:
        return float(len(group))
    w, ell = (float(fit.posterior[k].mean()) for k in ("run_weight", "correlation_length"))
    x, run = np.log(group[fit.model.law.path].to_numpy()), group["run"].to_numpy()
    starts = np.flatnonzero(run[1:] != run[:-1]) + 1
    return float(sum((w + (1 - w) * np.exp(-abs(t[:, None] - t) / ell)).sum() for t in np.split(x, starts)))


def _percent(miss: float) -> str:
    return f"by {100 * abs(miss):.2g} % (measured {'above' if miss > 0 else 'below'} it"


def scatter(fit: Posterior) -> CheckResult:
    """Posterior predictive check of every run, size and share: how far the errors of its measurements scatter.

    Given a draw, the errors of a run, each seen from the earlier ones, are independent and standard normal, so that the
    sum of their squares has a chi-squared distribution; its tail probability is averaged over the draws.
    """
    some, design = thinned(fit, FEW), fit.model.design
    z = standardised_errors(some)
    if fit.noise.robust:
        z = z.copy(data=stats.norm.ppf(stats.t(5).cdf(z).clip(1e-300, 1 - 1e-16)))
    squares = (z**2).where(design.measured, 0.0).sum("eval").transpose(*SAMPLE, "row").values
    counts = design.measured.sum("eval").values
    found = []
    for name, rows in _alike(fit):
        n = int(counts[rows].sum())
        total = squares[..., rows].sum(axis=-1)
        found.append((name, float(stats.chi2(n).sf(total).mean()), float(np.sqrt(total.mean() / n))))
    table = pd.DataFrame(found, columns=["where", "p", "times"]).sort_values("p")
    first = table.iloc[0]
    words = f"{first['where']} scatters {first['times']:.2g} times as far as the error model expects"
    limit = RARE / len(table)
    if first["p"] >= limit:
        return CheckResult("scatter", True, f"no run, size or share scatters beyond chance (most: {words})")
    others = int((table["p"] < limit).sum()) - 1
    return CheckResult(
        "scatter",
        False,
        f"{words} (p = {max(first['p'], 1e-12):.1g} among {len(table)})"
        + (f", and so do {others} more" if others else "")
        + ": look there for a fault or a misfit"
        + ("" if fit.noise.robust else ", or let outliers pull less with bl.Noise(robust=True)"),
    )


def _alike(fit: Posterior) -> Iterator[tuple[str, np.ndarray]]:
    """Name and rows of every run, and of every level of what is the same all along a run."""
    design = fit.model.design
    frame = design.rows[list(dict.fromkeys(["run", *design.levels]))].to_dataframe().reset_index(drop=True)
    frame = frame[design.measured.any("eval").values]
    within = frame.groupby("run").nunique().max()
    columns = [c for c in design.levels if c != fit.model.law.path and within[c] == 1]
    for column in ("run", *(c for c in columns if 1 < frame[c].nunique() < frame["run"].nunique())):
        for label, rows in frame.groupby(column):
            yield (run_called(label) if column == "run" else place({column: label})), rows.index.to_numpy()
