"""Power laws in tokens: limits, recovery from simulated curves, and a public curve of which the end is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models

TRUTH = {"E": 1.9, "B": 0.45, "beta": 0.4}
SHIFT = {"d": 0.05}
CURVES = Path(__file__).parents[3] / "shared/data/revisiting/benchmark.lang.csv"


def simulated(law: str, noise: float = 0.002) -> bl.Runs:
    """Four curves of one model that differ in their luck."""
    D = np.geomspace(1e8, 2e11, 14)
    rng, parts = np.random.default_rng(5), []
    for run in "abcd":
        loss = models.catalogue[law](D / 1e10, **TRUTH, **(SHIFT if law.startswith("shifted") else {}))
        parts.append(pd.DataFrame({"run": run, "D": D, "loss": loss * np.exp(noise * rng.standard_normal(len(D)))}))
    return bl.read_runs(pd.concat(parts))


def test_the_shift_is_gone_far_out_and_bends_the_start():
    far = models.shifted_power_law(1e6, **TRUTH, d=0.05) / models.power_law(1e6, **TRUTH)
    assert far == pytest.approx(1, rel=1e-8)
    assert models.shifted_power_law(0.0, **TRUTH, d=0.05) == pytest.approx(1.9 + 0.45 * 0.05**-0.4)
    assert models.power_law.kind == models.shifted_power_law.kind == "size"


def test_the_papers_unit_gives_the_same_loss():
    assert models.power_law.paper_units is not None
    B = models.power_law.paper_units({"D": 1e10}, B=0.45, beta=0.4)["B"]
    assert models.power_law(30.0, **TRUTH) == pytest.approx(1.9 + B * 3e11**-0.4)


@pytest.mark.parametrize("law", ["power_law", "shifted_power_law"])
def test_the_prior_says_losses_of_text(law):
    model = bl.Model(models.catalogue[law], simulated(law), misfit=None)
    losses = model.prior_predictive(draws=300).predict(D=[1e9, 1e10, 1e11]).draws
    low, high = np.quantile(losses, [0.05, 0.95])
    assert 0.8 < low < high < 12
    assert (losses.diff("D") < 0).all()


@pytest.mark.parametrize("law", ["power_law", "shifted_power_law"])
def test_recovery_from_simulated_curves(law):
    truth = TRUTH | (SHIFT if law.startswith("shifted") else {})
    fit = bl.Model(models.catalogue[law], simulated(law), misfit=None).fit(
        draws=400, tune=400, chains=2, seed=1, progress=False
    )
    assert fit.summary()["r_hat"].astype(float).max() < 1.05
    for name, value in truth.items():
        draws = fit.posterior[name]
        assert abs(float(draws.mean()) - value) < 4 * float(draws.std()), name
        assert float(draws.std()) < 0.5 * value, name
    assert float(fit.predict(D=1e12).draws.mean()) == pytest.approx(models.catalogue[law](100.0, **truth), rel=0.01)


def test_tokens_for_a_loss():
    fit = bl.Model(models.power_law, simulated("power_law"), misfit=None).fit(
        draws=200, tune=300, chains=2, seed=1, progress=False
    )
    found = fit.tokens_for(loss=2.1).interval()
    assert float(found["lower"].squeeze()) < 1e10 * (0.45 / 0.2) ** (1 / 0.4) < float(found["upper"].squeeze())


@pytest.mark.skipif(not CURVES.is_file(), reason="this public table is not part of the package")
def test_a_public_curve_is_continued():
    """Least squares on the first half of the LM curve of 1.07e9 parameters: 1 % of the loss to twice the tokens."""
    table = pd.read_csv(CURVES).query("Domain == 'LM' and Model == '1.07e+09'").drop_duplicates()
    table = table.rename(columns={"Seen Examples": "D", "Loss": "loss"}).assign(run="a")
    first = table["Training"] == 1
    fit = bl.Model(models.power_law, bl.read_runs(table.loc[first, ["run", "D", "loss"]]), misfit=None).fit(
        method="mle"
    )
    predicted = fit.predict(D=table.loc[~first, "D"].to_numpy()).draws.squeeze()
    assert abs(np.log(predicted.values / table.loc[~first, "loss"].to_numpy())).max() < 0.01
