"""Public curves of 25M and 100M (arXiv:2503.12811): all is fixed on three schedules, six others are predicted.

`tests/studies/schedules.py` writes a page about what the posteriors of two laws and their stack say of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.runs import Runs
from bayeslaw.validation.scores import interval_score
from bayeslaw.workflow import Fit

DATA = Path(__file__).parents[3] / "shared/data/multipowerlaw"
SIZES = {25: 0.00477, 100: 0.00467}
"""Millions of parameters, and the mean absolute error of the published refit of the annealing law, lambda 0.999."""

LAWS: dict[str, dict[str, Any]] = {"lr_annealing": {"memory": 0.998}, "multi_power": {}}
"""Each law with the settings of its areas: of those tried, the ones that fit the three schedules best."""

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
HALF = 1.598
"""Standard normal quantile at the ends of the central 89 %."""


def logs(size: int) -> dict[str, pd.DataFrame]:
    """The logged curves of a model of that many million parameters."""
    if not DATA.is_dir():
        pytest.skip("the public curves are not part of the package")
    return {name: pd.read_csv(DATA / f"csv_{size}/{name}.csv").assign(N=size * 1e6) for name in PLANS}


def curves(*sizes: int, names: Sequence[str] = FITTED, **settings: Any) -> Runs:
    """The three schedules, or those named, at those sizes; `spacing`, `memory` and the like as in `bl.read_curves`."""
    parts = {(size, name): logs(size)[name] for size in sizes for name in names}
    rows = pd.concat(table.assign(run=f"{size}M {name}") for (size, name), table in parts.items())
    if "warmup" not in settings:
        settings["schedule"] = {f"{size}M {name}": PLANS[name] for size, name in parts}
    return bl.read_curves(rows, **settings)


def least_squares(law: str, size: int, spacing: float | None = 1, **settings: Any) -> Fit:
    """The papers' fit of one size: to every row, or with the spacing None to those that the posterior is fitted to."""
    runs = curves(size, spacing=spacing, **(LAWS[law] | settings))
    return bl.Model(models.catalogue[law], runs, misfit=None).fit(method="mle")


def model(law: str, misfit: Literal["scales"] | None = None, **settings: Any) -> bl.Model:
    """One model of both sizes: coefficients pooled over size, one error model; by default the law alone."""
    noise = settings.pop("noise", bl.Noise())
    form = models.catalogue[law]
    return bl.Model(
        form,
        curves(*SIZES, **(LAWS[law] | settings)),
        by=dict.fromkeys(form.coefficients, "N"),
        noise=noise,
        misfit=misfit,
    )


@cache
def posterior(law: str) -> Fit:
    """A posterior of a few draws."""
    return model(law).fit(draws=500, tune=400, chains=2, seed=1, progress=False)


def columns(fit: Fit, size: int, name: str, schedule: Any = PLANS) -> xr.Dataset:
    """The areas under a schedule, at its logged steps."""
    table = logs(size)[name].drop(columns="loss").assign(run=name)
    rows = curve_columns(table, fit.model.runs, schedule=schedule)
    known = [*fit.model.law.columns, *fit.model.design.groups]
    return fit.columns(**{c: xr.DataArray(rows[c].to_numpy(), dims="row") for c in known})


def draws(fit: Fit, size: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses at the logged steps of a schedule (draw, row): of the mean law, and of a new run at every step."""
    loss = fit.loss(columns(fit, size, name))
    error = fit.noise.sample(fit.posterior, loss, None, np.random.default_rng(0))
    mean, run = (x.transpose("chain", "draw", ..., "row").values for x in (loss, loss * xr.ufuncs.exp(error)))
    return mean.reshape(-1, mean.shape[-1]), run.reshape(-1, run.shape[-1])


def bands(fits: Mapping[str, Fit], weights: Mapping[str, float], size: int, name: str) -> pd.DataFrame:
    """Predicted beside measured losses of a curve: mean of the stacked laws, and the 89 % band of a new run.

    Each law gives as many draws as its weight says.
    """
    means, runs = zip(*(draws(fit, size, name) for fit in fits.values()), strict=True)
    rng, count = np.random.default_rng(1), min(len(x) for x in runs)
    share = [rng.permutation(x)[: round(weights[law] * count)] for law, x in zip(fits, runs, strict=True)]
    lower, upper = np.quantile(np.concatenate(share), [0.055, 0.945], axis=0)
    mean = sum(weights[law] * x.mean(axis=0) for law, x in zip(fits, means, strict=True))
    return pd.DataFrame({"mean": mean, "lower": lower, "upper": upper, "observed": logs(size)[name]["loss"]})


def posterior_bands(fit: Fit, size: int, name: str) -> pd.DataFrame:
    """The bands of one law."""
    return bands({"it": fit}, {"it": 1.0}, size, name)


def least_squares_bands(fit: Fit, size: int, name: str, schedule: Any = PLANS) -> pd.DataFrame:
    """The same of a least-squares fit, with the spread of its residuals as the band."""
    design = fit.model.design
    residual = design.log_loss - np.log(fit.loss(design.rows).values.ravel())
    half = HALF * residual.std(ddof=len(fit.model.law.coefficients))
    mean = fit.loss(columns(fit, size, name, schedule)).values.ravel()
    ends = {"lower": mean * np.exp(-half), "upper": mean * np.exp(half)}
    return pd.DataFrame({"mean": mean, **ends, "observed": logs(size)[name]["loss"]})


def scored(band: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error, coverage and interval score of a band."""
    y, lower, upper = band["observed"], band["lower"], band["upper"]
    return {
        "mae": float((band["mean"] - y).abs().mean()),
        "coverage": float(((lower <= y) & (y <= upper)).mean()),
        "interval_score": float(interval_score(lower, upper, y, 0.89).mean()),
    }


def mean_scores(fit: Fit, size: int, of: Any = posterior_bands) -> pd.Series:
    """Mean of the scores of the six curves."""
    return pd.DataFrame([scored(of(fit, size, name)) for name in NEW]).mean()


def orders(fits: Mapping[str, Fit], weights: Mapping[str, float], size: int) -> pd.DataFrame:
    """Every pair of the new schedules: by how much their last losses differ, and the probability of the true order."""
    last = {name: logs(size)[name].iloc[-1]["loss"] for name in NEW}
    candidates = {name: PLANS[name] for name in NEW}
    ordered = {law: fit.best_schedule(candidates, N=size * 1e6).p_order for law, fit in fits.items()}
    rows = []
    for pair in combinations(NEW, 2):
        low, high = sorted(pair, key=lambda name: last[name])
        p = sum(weights[law] * float(x.sel(candidate=low, other=high)) for law, x in ordered.items())
        rows.append({"better": low, "worse": high, "apart": last[high] - last[low], "p": p})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", [{}, {"warmup": 2160}], ids=["schedules", "log alone"])
def test_least_squares_predicts_as_the_published_refit(size, settings):
    fit = least_squares("lr_annealing", size, memory=0.999, **settings)
    schedule = None if settings else PLANS
    errors = [scored(least_squares_bands(fit, size, name, schedule))["mae"] for name in NEW]
    assert np.mean(errors) == pytest.approx(SIZES[size], rel=0.02)


@pytest.mark.parametrize(("size", "most"), [(25, 1.02), (100, 1.05)])
def test_the_annealing_law_predicts_as_least_squares_of_the_same_rows(size, most):
    """Its errors at 25M are 1.000 to 1.004 times theirs by four seeds of 6,000 draws, at 100M 1.026 to 1.032 times.

    With the draws here three seeds gave 0.990 to 1.006 and 1.010 to 1.032: the bars leave 0.02 for the draws.
    """
    ours = mean_scores(posterior("lr_annealing"), size)["mae"]
    assert ours < most * mean_scores(least_squares("lr_annealing", size, None), size, least_squares_bands)["mae"]


@pytest.mark.parametrize("size", SIZES)
def test_errors_along_curves_are_independent_and_the_mean_predicts_as_least_squares(size):
    """Evenly logged rows of one size, everything by default: errors 0.97 and 1.04 times those of least squares.

    With errors that are correlated along a run they are 1.08 and 1.23 times theirs, and the bands hold 98 and 99 %
    (docs/studies/curves.md).
    """
    runs = curves(size, spacing=1)
    runs = runs.select((runs.table.groupby("run").cumcount() % 10 == 9).to_numpy())
    own = bl.Model(models.lr_annealing, runs, misfit=None)
    assert not own.noise.correlated and replace(own, noise=bl.Noise(correlated=True)).noise.correlated
    ours = mean_scores(own.fit(draws=500, chains=2, seed=1, progress=False), size)
    plain = mean_scores(own.fit(method="mle"), size, least_squares_bands)
    assert ours["mae"] < 1.06 * plain["mae"] and 0.80 <= ours["coverage"] <= 0.97


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("law", LAWS)
def test_bands_of_new_runs_are_better_than_the_spread_of_residuals(law, size):
    ours, plain = mean_scores(posterior(law), size), mean_scores(least_squares(law, size), size, least_squares_bands)
    assert ours["interval_score"] < plain["interval_score"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("law", LAWS)
def test_schedules_that_differ_are_put_in_their_true_order(law, size):
    """But for three times the steps at a constant rate against a short run with a decay, which both laws flatter.

    Least squares of the annealing law has these pairs wrong as well. Of the multi-power law at 100M two drops that end
    0.005 nats apart are in the other order too.
    """
    pairs = orders({law: posterior(law)}, {law: 1.0}, size)
    wrong = pairs[(pairs["apart"] > 0.004) & (pairs["p"] < 0.5)]
    known = {("constant_72000", "wsd_20000_24000"), ("constant_72000", "wsdld_20000_24000")}
    if (law, size) == ("multi_power", 100):
        known.add(("wsdcon_3", "wsdcon_18"))
    assert set(zip(wrong["better"], wrong["worse"], strict=True)) <= known


def test_a_stack_lies_between_its_laws():
    fits, weights = {law: posterior(law) for law in LAWS}, {"lr_annealing": 0.25, "multi_power": 0.75}
    both = bands(fits, weights, 25, "cosine_72000")
    one, other = (posterior_bands(fits[law], 25, "cosine_72000") for law in LAWS)
    np.testing.assert_allclose(both["mean"], 0.25 * one["mean"] + 0.75 * other["mean"], rtol=1e-12)
    assert (both["lower"] >= np.minimum(one["lower"], other["lower"]) - 1e-3).all()
    assert (both["upper"] <= np.maximum(one["upper"], other["upper"]) + 1e-3).all()
