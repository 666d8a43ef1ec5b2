"""Small replay: the published table by least squares, its coordinates, recovery, and a run that was left out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import DataError

TRUTH = {"m": 0.02, "F": 0.5, "alpha": 0.4, "beta": 0.3, "kept": 0.3}
BASE = {4e8: 2.3, 1e9: 2.1, 3e9: 1.9}
GERMAN = "pile-german-405M"


def published(name: str) -> pd.DataFrame:
    """A set of arXiv:2403.08763; the German base model is that of the 405M models, whose loss is on the card."""
    table = bl.datasets.load("replay")
    return table[(table["set"] == name) & (table["D"] > 0)].assign(L_base=2.17 if "405M" in name else 1.75)


def simulated(seed: int = 3, noise: float = 0.003, base: bool = True) -> bl.Runs:
    rng = np.random.default_rng(seed)
    cells = [(N, D, p) for N in BASE for D in (1e9, 1e10) for p in (0.0, 0.005, 0.01, 0.05)]
    rows = pd.DataFrame(cells, columns=["N", "D", "p"])
    rows["general_loss"] = models.replay(rows["N"] / 1e9, rows["D"] / 1e10, rows["p"], rows["N"].map(BASE), **TRUTH)
    rows["general_loss"] *= np.exp(noise * rng.standard_normal(len(rows)))
    start = pd.DataFrame({"N": list(BASE), "D": 0.0, "p": 1.0, "general_loss": list(BASE.values())})
    rows = pd.concat([start, rows]) if base else rows
    names = [f"{N:g} {D:g} {p:g}" for N, D, p in zip(rows["N"], rows["D"], rows["p"], strict=True)]
    return bl.read_runs(rows.assign(domain_share=1 - rows["p"], run=names).drop(columns="p"))


# ------------------------------------------------------------------------------------------------------ published runs
@pytest.mark.parametrize(
    ("name", "F", "B", "alpha", "rmse"),
    [(GERMAN, 1.39, 371, 0.458, 0.0333), ("pile-slimpajama-405M", 0.27, 1740, 0.400, 0.0139)],
)
def test_least_squares_with_the_base_models_floor(name, F, B, alpha, rmse):
    """The figures of the fact sheet: shares of old data from 0 to a half, floor fixed."""
    rows = published(name)
    p, base, loss = (rows[c].to_numpy() for c in ("domain_share", "L_base", "general_loss"))

    def law(theta: np.ndarray, m: float = 0.0) -> np.ndarray:
        amplitude, exponent = np.exp(theta[:2])
        kept = 1 / (1 + np.exp(-theta[2]))
        found: np.ndarray = models.replay(1.0, 1.0, 1 - p, base, m=m, F=amplitude, alpha=exponent, beta=0.3, kept=kept)
        return found

    def off(theta: np.ndarray) -> np.ndarray:
        return law(theta[:3], *theta[3:]) - loss

    fixed = least_squares(off, np.array([-0.7, -0.9, -0.6]))
    amplitude, exponent = np.exp(fixed.x[:2])
    kept = 1 / (1 + np.exp(-fixed.x[2]))
    paper = models.replay.paper_units
    assert paper is not None
    assert np.sqrt(np.mean(fixed.fun**2)) == pytest.approx(rmse, abs=5e-5)
    assert (amplitude, exponent) == (pytest.approx(F, rel=0.01), pytest.approx(alpha, abs=0.002))
    assert paper(alpha=exponent, kept=kept)["B"] == pytest.approx(B, rel=0.01)
    if name == GERMAN:  # the other set has no least square: alpha goes to 0
        free = least_squares(off, np.append(fixed.x, 0.0), max_nfev=20_000)
        assert np.sqrt(np.mean(free.fun**2)) == pytest.approx(0.0017, abs=1e-4)
        assert np.exp(free.x[1]) == pytest.approx(0.08, abs=0.005)


def test_the_largest_model_has_two_runs_and_says_no_more():
    rows = published("pile-slimpajama-10B")
    kept = (rows["general_loss"].iloc[1] - 1.75) / (rows["general_loss"].iloc[0] - 1.75)
    assert len(rows) == 2 and kept == pytest.approx(0.174, abs=1e-3)


# --------------------------------------------------------------------------------------------------------- coordinates
def test_coordinates_are_the_forgetting_and_what_one_percent_leaves_of_it():
    loss = [models.replay(1.0, 1.0, p, 2.0, **TRUTH) - 2.0 - TRUTH["m"] for p in (0.0, 0.01)]
    assert loss == [pytest.approx(TRUTH["F"]), pytest.approx(TRUTH["F"] * TRUTH["kept"])]
    paper = models.replay.paper_units
    assert paper is not None
    B = paper(alpha=TRUTH["alpha"], kept=TRUTH["kept"])["B"]
    by_hand = 2.0 + TRUTH["m"] + TRUTH["F"] * 3**0.3 / ((1 + B * 0.02) * 0.5) ** 0.4
    assert models.replay(0.5, 3.0, 0.02, 2.0, **TRUTH) == pytest.approx(by_hand)


def test_prior_losses_lie_above_the_base_model_and_fall_with_replay():
    model = bl.Model(models.replay, simulated(), misfit=None)
    losses = model.prior_predictive(draws=300).predict(N=1e9, D=1e10, domain_share=[0.9, 0.95, 0.99, 1.0]).draws
    assert (losses.diff("domain_share") > 0).all() and np.isfinite(losses).all()
    rise = losses.sel(domain_share=1.0) - BASE[1e9]
    low, middle, high = np.quantile(rise, [0.05, 0.5, 0.95])
    assert -0.1 < low < 0.1 < middle < 1 < high < 4


# ------------------------------------------------------------------------------------------------- loss before training
def test_the_rows_before_training_give_the_base_models_loss():
    with_rows, column = bl.Model(models.replay, simulated(), misfit=None), simulated(base=False)
    assert with_rows.runs.table.groupby("N")["L_base"].first().to_dict() == BASE
    with pytest.raises(DataError, match="no row at D = 0 has N 400 M: add such a row, or a column 'L_base'"):
        bl.Model(models.replay, column, misfit=None)
    by_hand = bl.read_runs(column.table.assign(L_base=column.table["N"].map(BASE)))
    assert bl.Model(models.replay, by_hand, misfit=None).design.rows["L_base"].equals(with_rows.design.rows["L_base"])


def test_a_domain_loss_is_left_out_by_name():
    both = bl.read_runs(bl.datasets.load("replay"))
    sentence = "replay is a law of the general loss: leave the domain loss out, .*--loss general=general_loss"
    with pytest.raises(DataError, match=sentence):
        bl.Model(models.replay, both, misfit=None)


# ------------------------------------------------------------------------------------------------------ simulated, real
def test_recovery_from_simulated_runs():
    fit = bl.Model(models.replay, simulated(), misfit=None).fit(draws=400, tune=400, chains=2, seed=1, progress=False)
    for name, value in TRUTH.items():
        draws = fit.posterior[name]
        assert abs(float(draws.mean()) - value) < 3 * float(draws.std()), name
    assert float(fit.posterior["kept"].std()) < 0.06  # the prior's is 0.18
    asked: dict[str, Any] = {"N": 1e9, "D": 1e10, "max_increase": 0.1}
    truth = (TRUTH["F"] / (0.1 - TRUTH["m"])) ** (1 / TRUTH["alpha"]) - 1
    truth /= 100 * (TRUTH["kept"] ** (-1 / TRUTH["alpha"]) - 1)
    smallest = fit.smallest_replay(**asked)
    assert smallest.interval().lower < truth < smallest.interval().upper
    assert smallest.enough() >= smallest.median()


@pytest.mark.slow  # 20 fits of 24 rows
def test_simulations_from_the_prior_are_covered():
    found = bl.calibrate(bl.Model(models.replay, simulated(), misfit=None), 20, seed=1, draws=200, progress=False)
    assert found.failed.empty and 0.82 < found.summary()["coverage"].mean() < 0.96


def test_a_published_run_that_was_left_out_lies_in_its_band():
    """1 % replay on German, from 0, 5 and 10 %."""
    rows = published(GERMAN)[["run", "N", "D", "domain_share", "general_loss", "L_base"]]
    rows = rows[rows["domain_share"] >= 0.9]
    left = rows["domain_share"] == 0.99
    fit = bl.Model(models.replay, bl.read_runs(rows[~left]), misfit=None).fit(
        draws=400, tune=400, chains=2, seed=1, progress=False
    )
    found = fit.predict(rows[left], new_run=True).iloc[0]
    assert found["lower"] < 2.83 < found["upper"]
    assert abs(found["mean"] - 2.83) < 0.12 and found["upper"] - found["lower"] < 0.5
