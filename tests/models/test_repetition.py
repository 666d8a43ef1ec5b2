"""Repeated tokens: the paper's numbers, what the laws contain, recovery, and public runs with cells left out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, sampler
from bayeslaw.checks.runs import repetition
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, part
from bayeslaw.validation.calibration import calibrate
from bayeslaw.workflow import Fit
from tests.calibration.designs import FITS, study
from tests.studies import repetition as program

LAWS = [models.effective_tokens, models.repetition_penalty, models.dcpt_repetition]
each = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
PAPER = {"E": 1.87, "A": 521.0, "B": 1488.0, "exponent": 0.3526596, "R_star": 15.387756}
"""arXiv:2305.16264, appendix A, for N and D as they are."""


def worth(epochs: float, R_star: float) -> float:
    """What a token is worth on average, as the law has it: a loss that grows with effective tokens."""
    return float(models.effective_tokens(1.0, 1.0, epochs, E=0.0, A=0.0, alpha=1.0, B=1.0, beta=-1.0, R_star=R_star))


def penalty(epochs: float, load: float, **harm: float) -> float:
    """What repetition adds, as the law has it: a loss without anything else."""
    return float(models.repetition_penalty(1.0, 1.0, epochs, load, E=0.0, A=0.0, alpha=1.0, B=0.0, beta=1.0, **harm))


def datablations() -> pd.DataFrame:
    if not (program.DATA / "datablations").is_dir():
        pytest.skip("the public runs of datablations are not part of the package")
    return program.datablations()


# ------------------------------------------------------------------------------------------------------ the paper's law
def test_repeated_tokens_are_worth_what_the_paper_says():
    R = PAPER["R_star"]
    U = 1e8
    assert U * 1e6 * worth(1e6, R) == pytest.approx(U * (1 + R), rel=1e-9)  # never worth more, however often seen
    repeated = U * ((1 + R) * worth(1 + R, R) - 1)
    assert repeated / (U * R) == pytest.approx(1 - np.exp(-1), rel=1e-12)  # 0.632 of fresh ones at R*
    assert worth(1.0, R) == worth(0.2, R) == 1.0


def test_the_paper_form_gives_the_same_loss():
    a, R = PAPER["exponent"], PAPER["R_star"]
    N, D, U = 2.81e9, 5.5e10, 4e9
    effective = U + U * R * (1 - np.exp(-(D / U - 1) / R))
    loss = PAPER["E"] + PAPER["A"] / N**a + PAPER["B"] / effective**a
    own = {"A": PAPER["A"] / 1e9**a, "B": PAPER["B"] / 1e10**a}
    found = models.effective_tokens(N / 1e9, D / 1e10, D / U, E=PAPER["E"], alpha=a, beta=a, R_star=R, **own)
    assert found == pytest.approx(loss, rel=1e-12)
    assert models.effective_tokens.paper_units is not None
    back = models.effective_tokens.paper_units({"N": 1e9, "D": 1e10}, alpha=a, beta=a, **own)
    assert back["A"] == pytest.approx(521.0) and back["B"] == pytest.approx(1488.0)


def test_without_repetition_both_are_the_chinchilla_law():
    c = dict(E=1.7, A=0.4, alpha=0.3, B=0.5, beta=0.35)
    plain = models.chinchilla(2.0, 3.0, **c)
    for epochs in (0.3, 1.0):
        assert models.effective_tokens(2.0, 3.0, epochs, R_star=9.0, **c) == plain
        assert models.repetition_penalty(2.0, 3.0, epochs, 5.0, P=0.3, delta=0.9, kappa=0.5, **c) == plain
    assert models.effective_tokens(2.0, 3.0, 8.0, R_star=1e9, **c) == pytest.approx(plain, rel=1e-6)


def test_the_penalty_is_stated_where_its_card_says():
    assert penalty(11.0, 1.0, P=0.35, delta=0.8, kappa=0.5) == pytest.approx(0.35)
    law = models.repetition_penalty
    runs = xr.Dataset({"N": 1e9, "D": 1.1e9, "U": 1e8}, coords={"eval": ["validation"]})
    inputs = law.inputs(runs, law.reference({"D": 1e6, "N": 1e6}))  # another reference run leaves epochs as they are
    assert float(inputs["epochs"]) == pytest.approx(11.0) and float(inputs["load"]) == pytest.approx(1.0)


def test_only_the_domain_loss_is_repeated():
    rows = xr.Dataset(
        {"N": 1e9, "D": 1e10, "domain_share": ("row", [0.1, 0.5]), "U": 5e8}, coords={"eval": ["general", "domain"]}
    )
    epochs = models.dcpt_repetition.inputs(rows, models.dcpt_repetition.reference())["epochs"]
    np.testing.assert_allclose(epochs.sel(eval="domain"), [2.0, 10.0])
    np.testing.assert_allclose(epochs.broadcast_like(rows["domain_share"]).sel(eval="general"), [0.0, 0.0])


@each
def test_the_prior_says_losses_of_text(law):
    model = study(law)
    at: dict[str, Any] = {"N": 1e9, "D": [2e9, 1e10, 5e10], "U": [1e9, 8e9]}
    at |= {"domain_share": 0.9} if "domain_share" in law.columns else {}
    losses = model.prior_predictive(draws=300).predict(**at).draws.isel(eval=-1)
    assert np.isfinite(losses).all() and (losses > 0).all()
    low, high = np.quantile(losses, [0.05, 0.95])
    assert 0.8 < low < high < 12
    assert (losses.diff("U") < 1e-9).all()  # more unique tokens never hurt


# -------------------------------------------------------------------------------------------------------------- checks
def repeated(law: Any, draws: int = 5) -> Fit:
    """A stand-in fit of the public runs of up to 60 epochs."""
    runs = bl.read_runs(datablations().drop(columns="cell"))
    model = bl.Model(law, runs, noise=bl.Noise(robust=True, correlated=False), monotone=None, misfit=None)
    return model.prior_predictive(draws=draws)


def test_a_law_that_takes_repeated_tokens_for_fresh_is_told_so():
    result = repetition(repeated(models.chinchilla))
    assert result is not None and not result.passed and result.value == pytest.approx(59.0) and result.limit == 4
    assert (
        "chinchilla counts each of them as new" in result.text and "effective_tokens, repetition_penalty" in result.text
    )
    assert repetition(repeated(models.repetition_penalty)) is None


def test_epochs_beyond_those_of_the_runs_are_cautioned_and_checked():
    fit = repeated(models.repetition_penalty)
    beyond = fit.predict(N=1e9, D=1e10, U=1e8).cautions
    assert any("the number of epochs 100 lies 1.7 times beyond the largest run, 59" in c for c in beyond)
    assert not any("epochs" in c for c in fit.predict(N=1e9, D=3e9, U=1e8).cautions)
    assert not any("epochs" in c for c in fit.predict(N=1e9, D=3e9, U=1e10).cautions)  # less than one is one
    check = fit.checks(N=1e9, D=1e10, U=1e8).results[-1]
    assert check.name == "extrapolation" and not check.passed and "epochs 100" in check.text
    fresh = replace(fit, model=replace(fit.model, runs=fit.model.runs.select(fit.model.runs.table.eval("D > 10 * U"))))
    few = fresh.predict(N=1e9, D=3e9, U=1.5e9).cautions
    assert any("the number of epochs 2 lies" in c and "beyond the smallest run" in c for c in few)


# ------------------------------------------------------------------------------------------------------------ real runs
def errors_out_of_cell(law: Any) -> np.ndarray:
    """Relative errors (percent) of regularised least squares at runs of a cell of size and unique tokens left out."""
    model = bl.Model(law, bl.read_runs(datablations()).sorted_along("D"), noise=bl.Noise(robust=True), misfit=None)
    cell, found = model.runs.table["cell"].to_numpy(), []
    for number in np.unique(cell):
        fitted = replace(model, runs=model.runs.select(cell != number))
        coefficients = sampler.estimate(fitted, regularised=True, starts=1).coefficients
        draws = xr.DataTree.from_dict({"posterior": coefficients.expand_dims(chain=[0], draw=[0])})
        held = part(model.design, cell == number)
        error = at_rows(Posterior(fitted, draws), held) / held.rows["loss"] - 1
        found.append(100 * abs(error.where(held.measured)).values.ravel())
    errors: np.ndarray = np.concatenate(found)
    return errors[~np.isnan(errors)]


def test_the_penalty_predicts_cells_left_out_best():
    """To 60 epochs; least squares with fifths left out had 3.9 (plain), 2.7 (saturation) and 2.1 % (penalty)."""
    saturation, harm = map(errors_out_of_cell, LAWS[:2])
    assert len(harm) == 200
    assert harm.mean() < 2.4 < 2.8 < saturation.mean() < 3.4


@pytest.mark.slow  # 20 refits
def test_the_posterior_of_the_penalty_predicts_cells_left_out():
    found = [program.out_of_cell(models.repetition_penalty, 60.0, k) for k in range(program.PARTITIONS)]
    assert np.mean([program.error(one) for one in found]) < 2.4
    assert 0.7 < np.mean([one.summary()["coverage"].item() for one in found]) < 0.97


@pytest.mark.slow  # two posteriors
def test_saturation_runs_away_beside_the_penalty():
    runs = bl.read_runs(datablations().drop(columns="cell"))
    medians, highs = [], []
    for law in (models.effective_tokens, program.both()):
        fit = bl.Model(law, runs, noise=bl.Noise(robust=True), misfit=None).fit(
            draws=400, chains=2, seed=1, progress=False
        )
        draws = fit.posterior["R_star"]
        medians.append(float(draws.median()))
        highs.append(float(draws.quantile(0.945)))
    assert 5 < medians[0] < 10 and highs[0] < 12
    assert medians[1] > 2 * medians[0] and highs[1] > 4 * highs[0]


# ------------------------------------------------------------------------------------------------------------- recovery
@pytest.mark.slow  # 40 refits each
@each
def test_the_law_is_calibrated(law):
    settings = {k: v for k, v in FITS.items() if k != "seed"}
    table = calibrate(study(law), 40, progress=False, **settings).summary().query("kind in ('coefficient', 'loss')")
    assert (abs(table["coverage"] - 0.89) < 4 * table["mc_error"]).all()
    assert table["p_uniform"].min() * len(table) > 0.01
