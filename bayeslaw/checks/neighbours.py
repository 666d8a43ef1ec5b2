"""Whether runs near each other err alike, which the error model counts as chance.

Errors of different runs are independent in the model. Where a law cannot follow the losses, runs that are next to each
other in share or size err to the same side at the same tokens, and the run effect grows until it explains that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import p_value, short
from bayeslaw.base.words import span
from bayeslaw.checks.residuals import LEAST_PROBABILITY, residuals, rows_of
from bayeslaw.checks.result import CheckResult
from bayeslaw.checks.runs import laws_that_bend
from bayeslaw.decisions.study import study_of
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, batch_noise, part, thinned
from bayeslaw.posterior.quantity import elements
from bayeslaw.posterior.sensitivity import weighable
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.units import called

__all__ = ["alike", "labelled_rows", "neighbours"]

NEAR = 0.3
"""Log tokens over which measurements of neighbouring runs count as at the same tokens, to a factor of 1 / e."""

MOST_ROWS = 500
"""Measurements of a loss that are compared; of more, every second, third, ... of a run."""

SIMULATIONS = 4000
"""Simulations of the errors under the model, from which a probability is estimated."""

SHARES = 201
"""Domain shares at which a loss with its misfit is compared with the limit of a critical ratio."""


@dataclass(frozen=True)
class _Likeness:
    """How much the errors of one loss resemble those of neighbouring runs.

    `rows` holds the measurements: columns, and `misfit`, the mean error of a row and its neighbours in nats.
    """

    eval: str
    correlation: float
    probability: float
    rows: pd.DataFrame


def alike(fit: Posterior) -> CheckResult | None:
    """Whether neighbouring runs err alike, beside what chance makes of runs whose errors are independent."""
    if not weighable(fit) or fit.model.law.over:
        return None
    found = list(_likenesses(thinned(fit)))
    if not found:
        return None
    worst = min(found, key=lambda one: (one.probability, -one.correlation))
    limit = max(LEAST_PROBABILITY / len(found), 2 / SIMULATIONS)
    text = (
        f"errors of the {worst.eval} loss have correlation {short(worst.correlation, 2)} between neighbouring runs "
        f"({p_value(worst.probability)} if runs err independently)"
    )
    off = _ratio_off(fit, {one.eval: one.rows for one in found})
    return CheckResult.judged(
        "neighbouring runs",
        -np.log10(worst.probability),
        -np.log10(limit),
        text + (f", {_places(worst.rows, fit.model)}" if worst.probability < limit else ""),
        f"the error model counts that as chance, and predictions there are off by about as much{off}; "
        f"{laws_that_bend(fit)}",
        [one.eval for one in found if one.probability < limit],
    )


def _likenesses(fit: Posterior) -> Iterator[_Likeness]:
    """Compare the errors of every loss whose runs have neighbours."""
    design, path = fit.model.design, fit.model.law.path
    z, scale = residuals(fit)
    frame, columns, labels = labelled_rows(fit)
    compared = {e: _thinned(frame["run"][np.isfinite(z.sel(eval=e).values)]) for e in design.evals}
    some = np.unique(np.concatenate(list(compared.values())))
    few = part(design, np.isin(np.arange(len(frame)), some))
    log_law = (xr.ufuncs.log(at_rows(fit, few)) + batch_noise(fit, few)).transpose("eval", *SAMPLE, "row")
    for e, at in compared.items():
        own, unit = z.sel(eval=e).values, scale.sel(eval=e).values
        rows, own, unit = frame.iloc[at].reset_index(drop=True), own[at], unit[at]
        runs = rows.drop_duplicates("run")
        number = pd.Index(runs["run"]).get_indexer(rows["run"])
        near = neighbours(runs, columns, labels)[np.ix_(number, number)]
        x = np.log(rows[path].to_numpy(float)) if path in rows else np.zeros(len(rows))
        gap = abs(x[:, None] - x)
        weight = near * np.exp(-gap / NEAR)
        if not weight.any():
            continue
        draws = log_law.sel(eval=e).values[..., np.searchsorted(some, at)].reshape(fit.draws, -1)
        spread = _root(_within_runs(fit, rows, gap) - np.cov(draws.T) / unit / unit[:, None])
        seen = own @ weight @ own / (own @ own)
        beyond = np.linalg.eigvalsh(spread.T @ weight @ spread - seen * spread.T @ spread)
        simulated = np.random.default_rng(0).chisquare(1, (SIMULATIONS, len(own))) @ beyond
        loss = np.exp(draws.mean(axis=0))
        misfit = loss * ((own * unit) + weight @ (own * unit)) / (1 + weight.sum(axis=1))
        yield _Likeness(
            e,
            seen * len(own) / weight.sum(),
            (1 + (simulated > 0).sum()) / (1 + SIMULATIONS),
            rows.drop(columns="run").assign(misfit=misfit),
        )


def _thinned(runs: pd.Series) -> np.ndarray:
    """Return the positions of the rows of runs that are compared: about `MOST_ROWS`, the last of every run included."""
    before_end = runs.groupby(runs).cumcount(ascending=False)
    positions: np.ndarray = runs.index[before_end % -(-len(runs) // MOST_ROWS) == 0].to_numpy()
    return positions


def labelled_rows(fit: Posterior) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the rows of a fit, the columns along which runs have neighbours, and those that neighbours share."""
    design, (frame, columns) = fit.model.design, rows_of(fit)
    labels = [c for c in dict.fromkeys(["domain", *design.groups]) if c in design.rows and c not in columns]
    return frame.assign(**{c: design.rows[c].values for c in labels}), columns, labels


def neighbours(runs: pd.DataFrame, columns: list[str], labels: list[str]) -> np.ndarray:
    """Return whether two runs (run, run) differ in one column at most, there by one level."""
    near = np.zeros((len(runs), len(runs)), bool)
    for column in columns:
        others = [c for c in (*columns, *labels) if c != column]
        group = runs.groupby(others).ngroup().to_numpy() if others else np.zeros(len(runs))
        level = runs[column].groupby(group).rank("dense").to_numpy()
        near |= (group[:, None] == group) & (abs(level[:, None] - level) <= 1)
    np.fill_diagonal(near, False)
    return near


def _within_runs(fit: Posterior, rows: pd.DataFrame, gap: np.ndarray) -> np.ndarray:
    """Return the correlation (row, row) of errors under the error model."""
    if not fit.noise.correlated:
        return np.eye(len(rows))
    w, ell = (float(fit.posterior[k].mean()) for k in ("run_weight", "correlation_length"))
    run = pd.factorize(rows["run"])[0]
    return np.where(run[:, None] == run, w + (1 - w) * np.exp(-gap / ell), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return a square root of a covariance of residuals: what the law's coefficients can follow is left out of it."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: np.ndarray = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _places(rows: pd.DataFrame, model: Specification) -> str:
    """Write where a loss lies above a law and where below, and how far."""
    found, law = [], model.law
    for side, misfit in sorted({"above": rows["misfit"], "below": -rows["misfit"]}.items(), key=lambda s: -s[1].max()):
        if misfit.max() <= 0:
            continue
        there = rows[misfit > misfit.max() / 2]
        spans = {c: there[c] for c in (*law.columns, "domain") if c in rows and set(there[c]) != set(rows[c])}
        at = ", ".join(span(column, values) for column, values in spans.items())
        found.append(f"up to {short(misfit.max(), 2)} {called(model.unit)} {side} {law.name} at {at or 'all of them'}")
    return " and ".join(found)


def _ratio_off(fit: Posterior, misfits: dict[str, pd.DataFrame]) -> str:
    """Write how far the study's critical ratios move where the misfit of their losses is added to the law."""
    ratio, path, off = study_of(fit).critical_ratio, fit.model.law.path, [0.0]
    if ratio is None:
        return ""
    shares = np.linspace(ratio.low, ratio.high, SHARES)
    for at, draws in elements(ratio.draws):
        if (e := at.pop("eval", ratio.inputs["eval"])) not in misfits:
            continue
        rows = misfits[e]
        tokens = {path: rows[path].max()} if path in rows else {}
        safe, near = float(draws.median()), rows[(rows[[*at, *tokens]] == pd.Series({**at, **tokens})).all(axis=1)]
        if ratio.low < safe < ratio.high and len(near):
            misfit = near.groupby("domain_share")["misfit"].mean()
            loss = fit.loss(fit.columns(**at, **tokens, domain_share=shares)).sel(eval=e).mean(SAMPLE).values
            above = loss + np.interp(shares, misfit.index, misfit) > np.interp(safe, shares, loss)
            off.append(safe - float(shares[above.argmax()] if above.any() else shares[-1]))
    most = max(off, key=abs)
    return (
        f"; the critical ratio may be too {'high' if most > 0 else 'low'} by about {short(abs(most), 1)}"
        if most
        else ""
    )
