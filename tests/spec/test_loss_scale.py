"""The scale of losses: default priors in nats follow losses in bits per byte, and losses relative to another."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.priors import central
from bayeslaw.errors import ArgumentError, LawError, RangeError
from bayeslaw.posterior.store import fingerprint

TRUTH = dict(E=1.7, A=0.45, alpha=0.33, B=0.5, beta=0.34)


def table(factor: float = 1.0) -> pd.DataFrame:
    """Simulated: two models of nearly one size, the errors the same at any factor on the loss."""
    sizes, tokens = np.repeat([3e8, 3.5e8], 4), np.tile(np.geomspace(5e9, 2e10, 4), 2)
    errors = np.random.default_rng(2).normal(0, 0.004, len(sizes))
    loss = factor * models.chinchilla(sizes / 1e9, tokens / 1e10, **TRUTH) * np.exp(errors)
    return pd.DataFrame({"N": sizes, "D": tokens, "loss": loss})


def model(factor: float = 1.0, **settings: Any) -> bl.Model:
    return bl.Model(models.chinchilla, bl.read_runs(table(factor)), **settings, misfit=None)


def half(prior: bl.Prior) -> np.ndarray:
    """The median of a prior, and the ends of its middle half."""
    found = central(prior, 0.5)
    assert found is not None
    return found


# ---------------------------------------------------------------------------------------------------------- the factor
def test_losses_of_text_leave_the_priors_as_they_are():
    text = model()
    assert text.loss_scale == 1
    assert text.coefficients["E"].prior is models.chinchilla.coefficients["E"].prior
    assert "the law's x" not in str(text) + text.table().to_string()


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_priors_of_levels_and_amplitudes_follow_other_losses(factor):
    own, median = model(factor), float(np.median(table(factor)["loss"]))
    assert own.loss_scale == pytest.approx(median / 3, rel=0.05)
    for name, stated in models.chinchilla.coefficients.items():
        expected = half(stated.prior) * (own.loss_scale if stated.unit == "nats" else 1)
        np.testing.assert_allclose(half(own.coefficients[name].prior), expected, rtol=1e-9)
    assert f"the law's x {own.loss_scale:g}" in str(own.table().at["E", "prior"])
    assert f"the law's x {own.loss_scale:g}, which are for losses of text (median 2 to 4.5)" in str(own)
    assert "Where the median loss of the runs lies outside 2 to 4.5, they are multiplied" in models.chinchilla.card()


@pytest.fixture(scope="module")
def in_nats() -> tuple[np.ndarray, np.ndarray]:
    return beyond(1.0)


def beyond(factor: float, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of losses, far enough beyond the runs that the priors have a part in them, in nats."""
    fit = model(factor, **settings).fit(draws=2000, chains=4, seed=3, progress=False)
    losses = fit.predict(N=[3e9, 7e10], D=[2e10, 1e12]).draws / factor
    return losses.mean(("chain", "draw")).values.ravel(), losses.std(("chain", "draw")).values.ravel()


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_the_same_answers_up_to_the_unit(factor, in_nats):
    mean, sd = beyond(factor)
    assert (abs(mean - in_nats[0]) < 0.15 * in_nats[1]).all()
    np.testing.assert_allclose(sd, in_nats[1], rtol=0.1)
    narrower_or_wider = beyond(factor, loss_scale=1.0)[1] / in_nats[1]
    assert (abs(np.log(narrower_or_wider)) > 0.15).all()  # as priors in nats would have it


def test_a_prior_of_the_users_is_meant_as_it_is_written():
    own = model(0.3, priors={"E": bl.positive(0.5, spread=0.2)})
    assert own.loss_scale is not None
    assert own.coefficients["E"].prior == bl.positive(0.5, spread=0.2)
    assert "the law's" not in str(own.table().at["E", "prior"])
    assert half(own.coefficients["A"].prior)[0] == pytest.approx(0.5 * own.loss_scale)


# -------------------------------------------------------------------------------------------------------- every refit
def test_a_part_of_the_runs_has_the_scale_of_all(tmp_path):
    own = model(0.3)
    late = own.runs.select(own.runs.table["D"] > 1e10)
    assert bl.Model(models.chinchilla, late, misfit=None).loss_scale != own.loss_scale
    assert replace(own, runs=late).loss_scale == own.loss_scale
    fit = own.fit(draws=20, chains=1, tune=50, seed=1, progress=False)
    fit.save(tmp_path / "fit.nc")
    assert bl.load(tmp_path / "fit.nc").model.loss_scale == own.loss_scale


@pytest.mark.parametrize("wrong", [0, -1.0, np.nan, np.inf])
def test_a_factor_is_a_number_above_0(wrong):
    with pytest.raises((RangeError, ArgumentError), match="loss_scale"):
        model(loss_scale=wrong)


# --------------------------------------------------------------------------------------------------------- every law
LAWS = [law for law in models.catalogue.values() if law.in_nats]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_at_scaled_priors_is_the_law_times_the_scale(law):
    """Units on the card say how a coefficient goes with the loss; they are all there, and right."""
    scale = 0.25
    at = {
        name: xr.DataArray([0.5, 0.3, 0.2], dims="source") if name in law.vectors else xr.DataArray(0.4)
        for name in law.covariates
    }
    if losses := [name for name in at if name.startswith("L_")]:
        scaled_at = at | {name: at[name] * scale for name in losses}
    else:
        scaled_at = at

    def loss(covariates, factor):
        medians = {k: half(c.scaled(factor).prior)[0] for k, c in law.coefficients.items()}
        dims = {k: ["source"] if c.over else [] for k, c in law.coefficients.items()}
        given = {k: xr.DataArray(np.full([3] * len(dims[k]), m), dims=dims[k]) for k, m in medians.items()}
        return float(law(*covariates.values(), **given))

    assert loss(scaled_at, scale) == pytest.approx(scale * loss(at, 1.0), rel=1e-9)


def test_laws_of_scores_have_one_scale():
    rows = pd.DataFrame({"run": list("abcdef"), "duration": np.linspace(0, 0.5, 6), "x_score": 0.5})
    assert bl.Model(models.domain_upsampling, bl.read_scores(rows), misfit=None).loss_scale == 1


@pytest.mark.parametrize(
    ("prior", "median"),
    [
        (bl.Prior("HalfNormal", sigma=2.0), 1.0),
        (bl.Prior("Uniform", lower=1.0, upper=3.0), 1.0),
        (bl.Prior("Gamma", alpha=4.0, beta=2.0), 1.0),
        (bl.Prior("Exponential", lam=0.5), 1.0),
    ],
)
def test_other_distributions_follow_too(prior, median):
    import pymc as pm

    scaled = replace(models.chinchilla.coefficients["E"], prior=prior).scaled(0.5).prior
    both = (getattr(pm, p.distribution).dist(**p.parameters) for p in (prior, scaled))
    one, other = (pm.draw(p, 2000, random_seed=1) for p in both)
    assert np.median(other) == pytest.approx(0.5 * np.median(one), rel=0.05)


def test_a_distribution_of_unknown_scale_is_refused():
    wide = replace(models.chinchilla.coefficients["E"], prior=bl.Prior("StudentT", nu=3, mu=2.0, sigma=1.0))
    law = replace(models.chinchilla, coefficients={**models.chinchilla.coefficients, "E": wide})
    assert bl.Model(law, bl.read_runs(table()), misfit=None).loss_scale == 1
    with pytest.raises(LawError, match=r"cannot be multiplied by 0\.\d+ .* give a prior of your own"):
        bl.Model(law, bl.read_runs(table(0.3)), misfit=None)
    assert bl.Model(law, bl.read_runs(table(0.3)), loss_scale=1, misfit=None).loss_scale == 1


def test_the_spread_between_groups_of_a_real_coefficient_is_in_nats_too():
    k = models.cmr_ratio.coefficients["k"]
    assert k.scaled(0.5).between == pytest.approx(0.5 * k.between)
    level = models.cmr_ratio.coefficients["L_ref"]
    assert level.scaled(0.5).between == level.between  # on the log scale


def test_the_law_itself_stays_the_same():
    assert fingerprint(model(0.3).law) == fingerprint(models.chinchilla)
