"""BiMix: its shape, recovery from simulated runs, and real runs of a tiny model at shares that were left out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models

TRUTH = {"alpha": 0.06, "B": 0.6, "beta": 0.35, "C": 2.1}


def simulated(noise: float = 0.003) -> bl.Runs:
    rng = np.random.default_rng(3)
    cells = [(D, share) for D in (1e9, 3e9, 1e10, 3e10) for share in (0.02, 0.1, 0.4, 0.8)]
    rows = pd.DataFrame(cells, columns=["D", "domain_share"])
    loss = models.bimix(rows["D"] / 1e10, rows["domain_share"], **TRUTH)
    rows["domain_loss"] = loss * np.exp(noise * rng.standard_normal(len(rows)))
    return bl.read_runs(rows.assign(run=rows["domain_share"].astype(str)))


def test_the_effect_of_the_share_is_the_same_at_any_number_of_tokens():
    D = np.array([0.1, 1.0, 10.0])
    ratio = models.bimix(D, 0.1, **TRUTH) / models.bimix(D, 1.0, **TRUTH)
    np.testing.assert_allclose(ratio, 10 ** TRUTH["alpha"], rtol=1e-12)
    assert np.isfinite(models.bimix(1.0, 0.0, **TRUTH))


def test_the_prior_says_losses_of_text():
    model = bl.Model(models.bimix, simulated(), misfit=None)
    losses = model.prior_predictive(draws=300).predict(D=[1e9, 1e10, 1e11], domain_share=[0.05, 0.5, 1.0]).draws
    low, high = np.quantile(losses, [0.05, 0.95])
    assert 0.8 < low < high < 12
    assert (losses.diff("D") < 0).all() and (losses.diff("domain_share") < 0).all()


def test_recovery_from_simulated_runs():
    fit = bl.Model(models.bimix, simulated(), misfit=None).fit(draws=400, tune=400, chains=2, seed=1, progress=False)
    summary = fit.summary()
    assert summary.loc[summary.index.str.startswith(tuple(TRUTH)), "r_hat"].astype(float).max() < 1.05
    for name, value in TRUTH.items():
        draws = fit.posterior[name]
        assert abs(float(draws.mean()) - value) < 4 * float(draws.std()), name
    middle = fit.predict(D=1e10, domain_share=0.2).draws
    truth = models.bimix(1.0, 0.2, **TRUTH)
    assert float(middle.mean()) == pytest.approx(truth, rel=0.005)


def test_real_runs_at_shares_left_out():
    """Least squares on five shares of a tiny model's continued training on Python code predicts two others."""
    table = bl.datasets.load("tinycpt")
    some = (table["set"] == "grid") & (table["schedule"] == "constant") & (table["domain"] == "python")
    rows = table[some & (table["size"] == "L") & (table["step"] >= 300) & table["domain_share"].between(0.05, 0.95)]
    out = rows["domain_share"].isin([0.2, 0.67])
    keep = ["run", "D", "domain_share", "general_loss", "domain_loss"]
    fit = bl.Model(models.bimix, bl.read_runs(rows.loc[~out, keep]), reference={"D": 1e6}, misfit=None).fit(
        method="mle"
    )
    for e in ("general", "domain"):
        at: dict[str, Any] = {c: xr.DataArray(rows.loc[out, c].to_numpy(), dims="row") for c in ("D", "domain_share")}
        error = abs(np.log(fit.predict(**at).draws.sel(eval=e).squeeze() / rows.loc[out, f"{e}_loss"].to_numpy()))
        assert error.size == 20 and error.mean() < 0.01
