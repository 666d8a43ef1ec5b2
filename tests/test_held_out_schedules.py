"""Public curves of 25M and 100M (arXiv:2503.12811): all is fixed on three schedules, six others are predicted.

`python -m tests.held_out_schedules` prints what the posterior says of each, beside least squares.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.curves import curve_columns
from bayeslaw.fit import Fit
from bayeslaw.scores import interval_score

DATA = Path(__file__).parents[2] / "shared/data/multipowerlaw"
SIZES = {25: 0.00477, 100: 0.00467}
"""Millions of parameters, and the mean absolute error of the published refit of the law on the six schedules."""

PLANS = {
    "cosine_24000": schedules.cosine(24_000, 3e-4, 3e-5, warmup=2160),
    "constant_24000": schedules.constant(24_000, 3e-4, warmup=2160),
    "wsdcon_9": schedules.multi_step(16_000, 3e-4, {8000: 9e-5}, warmup=2160),
    "constant_72000": schedules.constant(72_000, 3e-4, warmup=2160),
    "cosine_72000": schedules.cosine(72_000, 3e-4, 3e-5, warmup=2160),
    "wsd_20000_24000": schedules.wsd(24_000, 3e-4, 4000, 3e-5, warmup=2160, shape="exponential"),
    "wsdld_20000_24000": schedules.wsd(24_000, 3e-4, 4000, 3e-5, warmup=2160),
    "wsdcon_3": schedules.multi_step(16_000, 3e-4, {8000: 3e-5}, warmup=2160),
    "wsdcon_18": schedules.multi_step(16_000, 3e-4, {8000: 18e-5}, warmup=2160),
}
FITTED = ("cosine_24000", "constant_24000", "wsdcon_9")
NEW = tuple(name for name in PLANS if name not in FITTED)


def logs(size: int) -> dict[str, pd.DataFrame]:
    """The logged curves of a model of that many million parameters."""
    if not DATA.is_dir():
        pytest.skip("the public curves are not part of the package")
    return {name: pd.read_csv(DATA / f"csv_{size}/{name}.csv").assign(N=size * 1e6) for name in PLANS}


def least_squares(size: int, **settings: Any) -> Fit:
    """The papers' fit of the annealing law to every row of one size."""
    fitted = pd.concat(table.assign(run=name) for name, table in logs(size).items() if name in FITTED)
    runs = bl.read_curves(fitted, spacing=1, **(settings or {"schedule": PLANS}))
    return bl.Model(models.lr_annealing, runs).fit(method="mle")


def posterior(spacing: float | None = None, robust: bool = True, **settings: Any) -> Fit:
    """One model of both sizes: coefficients pooled over size, one error model."""
    parts = {(size, name): table for size in SIZES for name, table in logs(size).items() if name in FITTED}
    rows = pd.concat(table.assign(run=f"{size}M {name}") for (size, name), table in parts.items())
    plans = {f"{size}M {name}": PLANS[name] for size, name in parts}
    runs = bl.read_curves(rows, schedule=plans, spacing=spacing)
    model = bl.Model(
        models.lr_annealing, runs, by=dict.fromkeys(("L0", "A", "alpha", "C"), "N"), noise=bl.Noise(robust=robust)
    )
    return model.fit(progress=False, **settings)


def bands(fit: Fit, size: int, name: str, schedule: Any = PLANS) -> pd.DataFrame:
    """Predicted beside measured losses of a curve: mean, and the 89 % band of a new run.

    For least squares the band is the spread of the residuals.
    """
    table = logs(size)[name].assign(run=name)
    rows = curve_columns(table.drop(columns="loss"), fit.model.runs, schedule=schedule)
    known = [*fit.model.law.columns, *fit.model.design.groups]
    columns = fit.columns(**{c: xr.DataArray(rows[c].to_numpy(), dims="row") for c in known})
    return fit.bands(columns, new_run=True).assign(observed=table["loss"].to_numpy())


def least_squares_bands(fit: Fit, size: int, name: str, schedule: Any = PLANS) -> pd.DataFrame:
    """The same of a least-squares fit, with the spread of its residuals as the band."""
    design = fit.model.design
    residual = design.log_loss - np.log(fit.loss(design.rows).values.ravel())
    half = 1.598 * residual.std(ddof=4)
    table = logs(size)[name].assign(run=name)
    rows = curve_columns(table.drop(columns="loss"), fit.model.runs, schedule=schedule)
    mean = fit.loss(xr.Dataset({c: ("row", rows[c].to_numpy()) for c in fit.model.law.columns})).values.ravel()
    ends = {"lower": mean * np.exp(-half), "upper": mean * np.exp(half)}
    return pd.DataFrame({"mean": mean, **ends, "observed": table["loss"].to_numpy()})


def scored(band: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error, coverage and interval score of a band."""
    y, lower, upper = band["observed"], band["lower"], band["upper"]
    return {
        "mae": float((band["mean"] - y).abs().mean()),
        "coverage": float(((lower <= y) & (y <= upper)).mean()),
        "interval_score": float(interval_score(lower, upper, y, 0.89).mean()),
    }


def orders(fit: Fit, size: int) -> pd.DataFrame:
    """Every pair of the new schedules: by how much their last losses differ, and the probability of the true order."""
    last = {name: logs(size)[name].iloc[-1]["loss"] for name in NEW}
    probability = fit.best_schedule({name: PLANS[name] for name in NEW}, N=size * 1e6).p_order
    rows = []
    for pair in combinations(NEW, 2):
        low, high = sorted(pair, key=lambda name: last[name])
        p = float(probability.sel(candidate=low, other=high))
        rows.append({"better": low, "worse": high, "apart": last[high] - last[low], "p": p})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", [{}, {"warmup": 2160}], ids=["schedules", "log alone"])
def test_least_squares_predicts_as_the_published_refit(size, settings):
    fit = least_squares(size, **settings)
    schedule = None if settings else PLANS
    errors = [scored(least_squares_bands(fit, size, name, schedule))["mae"] for name in NEW]
    assert np.mean(errors) == pytest.approx(SIZES[size], rel=0.02)


def mean_scores(fit: Fit, size: int, of: Any = bands) -> pd.Series:
    return pd.DataFrame([scored(of(fit, size, name)) for name in NEW]).mean()


def test_robust_errors_predict_as_least_squares_and_rank_the_schedules():
    """Their band is too narrow: between two thirds and three quarters of the losses lie in it."""
    fit = posterior(draws=200, tune=400, chains=2, seed=1)
    for size in SIZES:
        plain = mean_scores(least_squares(size), size, least_squares_bands)
        assert mean_scores(fit, size)["mae"] < 1.03 * plain["mae"]
        pairs = orders(fit, size)
        assert (pairs["p"][pairs["apart"] > 0.004] > 0.5).all()


def test_normal_errors_have_a_better_band_than_the_spread_of_residuals():
    """Their mean absolute error is a tenth larger."""
    fit = posterior(spacing=1.1, robust=False, draws=200, tune=400, chains=2, seed=1)
    for size in SIZES:
        plain, ours = mean_scores(least_squares(size), size, least_squares_bands), mean_scores(fit, size)
        assert ours["interval_score"] < plain["interval_score"] and ours["coverage"] > plain["coverage"]
