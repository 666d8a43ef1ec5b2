"""Known coefficients are recovered: a simulated sweep of 3 sizes, 20 token counts, 8 shares and 6 domains."""

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import binom

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.workflow import Fit

SIZES = [0.5e9, 1.8e9, 4e9]
TOKENS = np.linspace(1.31e9, 26.2e9, 20)
SHARES = [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0]
DOMAINS = ["books", "code", "law", "mathematics", "medicine", "music"]
MIDDLE = {"E": 1.5, "A": 0.5, "alpha": 0.3, "B": 0.5, "beta": 0.3, "eta": 1.2, "C": 0.15, "gamma": 0.4}
SPREAD = {"E": 0.15, "A": 0.2, "alpha": 0.15, "B": 0.25, "beta": 0.15, "eta": 0.1, "C": 0.25, "gamma": 0.15}
EPS, SIGMA = 0.05, 0.004
REFERENCE = {"N": 1e9, "D": 1e9}
UNSEEN_RUNS = {"N": [0.5e9, 7e9], "D": [2e9, 20e9, 100e9], "domain_share": [0.15, 0.7], "domain": DOMAINS}
"""Beyond the sweep too: a larger model, more tokens."""


def simulated(seed: int) -> tuple[xr.Dataset, bl.Runs]:
    """Coefficients that differ by domain, and losses of every cell with independent errors."""
    rng = np.random.default_rng(seed)
    drawn = {k: ("domain", MIDDLE[k] * np.exp(rng.normal(0, SPREAD[k], len(DOMAINS)))) for k in MIDDLE}
    truth = xr.Dataset({**drawn, "eps": EPS}, coords={"domain": DOMAINS})
    levels: list[Any] = [SIZES, TOKENS, SHARES, DOMAINS]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D", "domain_share", "domain"]).to_frame(index=False)
    columns = xr.Dataset({c: ("row", rows[c].to_numpy()) for c in rows})
    rows["domain_loss"] = law(truth.sel(domain=columns["domain"]), columns) * np.exp(rng.normal(0, SIGMA, len(rows)))
    return truth, bl.read_runs(rows)


def law(coefficients: xr.Dataset, columns: Any) -> Any:
    scaled = (columns["N"] / REFERENCE["N"], columns["D"] / REFERENCE["D"], columns["domain_share"])
    return models.dcpt(*scaled, **{k: coefficients[k] for k in [*MIDDLE, "eps"]})


@pytest.fixture(scope="module")
def recovered() -> tuple[xr.Dataset, Fit]:
    truth, runs = simulated(seed=0)
    model = bl.Model(
        models.dcpt,
        runs,
        by=dict.fromkeys(MIDDLE, "domain"),
        priors={"B": bl.positive(0.5, spread=0.7)},  # at 1e9 tokens
        noise=bl.Noise(correlated=False),
        reference=REFERENCE,
        monotone=None,  # this truth rises in its own share where tokens are few
        misfit=None,
    )
    return truth, model.fit(draws=1200, tune=600, chains=4, seed=1, progress=False)


def held(found: xr.DataArray, true: xr.DataArray) -> np.ndarray:
    low, high = (found.quantile(q, ["chain", "draw"]) for q in (0.055, 0.945))
    return ((low <= true) & (true <= high)).values.ravel()


def about_nominal(inside: np.ndarray) -> bool:
    """Whether as many hold as 89 % intervals would, but for a chance of 0.2 % if they were independent."""
    low, high = (binom.ppf(q, inside.size, 0.89) for q in (0.001, 0.999))
    return bool(low <= inside.sum() <= high)


def test_the_sampler_converges(recovered):
    fit = recovered[1]
    sampled = fit.posterior[[n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]]
    assert max(float(v.max()) for v in az.rhat(sampled).data_vars.values()) <= 1.01
    # at the default acceptance one draw in some thousands diverges (0 or 1 of 3,200 here, from one machine to the next)
    assert float(fit.idata["sample_stats"]["diverging"].mean()) <= 0.001


def test_coefficients_lie_in_their_intervals_as_often_as_these_say(recovered):
    truth, fit = recovered
    found = fit.posterior.squeeze("eval", drop=True)
    inside = np.concatenate([held(found[k], truth[k]) for k in [*MIDDLE, "eps"]])
    assert inside.size == 8 * len(DOMAINS) + 1 and about_nominal(inside)


def test_the_noise_is_recovered(recovered):
    assert held(recovered[1].posterior["sigma"], xr.DataArray(SIGMA)).all()


def test_losses_lie_in_their_intervals_as_often_as_these_say(recovered):
    truth, fit = recovered
    loss = fit.predict(**UNSEEN_RUNS).draws.squeeze("eval", drop=True)
    true = law(truth, loss.coords)
    assert about_nominal(held(loss, true.transpose(*[d for d in loss.dims if d not in ("chain", "draw")])))
    assert float(abs(loss.median(["chain", "draw"]) - true).max()) < 0.05
