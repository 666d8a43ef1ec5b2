"""Power scaling against closed forms, on made-up draws."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.decisions import study
from bayeslaw.declare.priors import Prior
from bayeslaw.errors import RangeError
from bayeslaw.posterior import likelihood, power_scaling, sensitivity
from bayeslaw.workflow import Fit


def fit(draws: int = 250) -> Fit:
    """Prior draws of a law pooled over two domains."""
    rows = pd.MultiIndex.from_product([["code", "law"], [1e8, 1e9], [1e9, 1e10]], names=["domain", "N", "D"])
    table = rows.to_frame(index=False).assign(loss=np.linspace(2.0, 3.0, 8))
    model = bl.Model(models.chinchilla, bl.read_runs(table), by={"E": "domain"}, monotone=None, misfit=None)
    made: Fit = model.prior_predictive(draws=draws)
    return made


def test_the_log_prior_is_that_of_what_was_stated():
    made = fit()
    found, draws = sensitivity.log_prior(made), made.posterior.squeeze("eval")
    coefficients = models.chinchilla.coefficients
    assert set(found) == {"E_mu", "E_sigma", "A", "alpha", "B", "beta", "sigma", "run_weight", "correlation_length"}
    for name, value in (("A", np.log(draws["A"])), ("E_mu", draws["E_mu"])):
        stated = coefficients[name.removesuffix("_mu")].prior.parameters
        np.testing.assert_allclose(found[name], stats.norm(stated["mu"], stated["sigma"]).logpdf(value), atol=1e-6)
    spread = coefficients["E"].between
    log_spread = stats.norm(np.log(spread), 0.5).logpdf(np.log(draws["E_sigma"]))
    np.testing.assert_allclose(found["E_sigma"], log_spread, atol=1e-6)
    np.testing.assert_allclose(found["run_weight"], stats.beta(2, 3).logpdf(draws["run_weight"]), atol=1e-6)
    assert all(v.dims == ("chain", "draw") for v in found.data_vars.values())


@pytest.mark.parametrize("power", sensitivity.POWERS)
def test_a_mean_moves_as_its_closed_form_does(power):
    """Prior N(0, 1), one measurement 2 of sd 1: with the prior raised to a, the mean is 2 / (1 + a)."""
    draws = stats.norm(1.0, np.sqrt(0.5)).ppf((np.arange(4000) + 0.5) / 4000).reshape(4, 1000)
    found = power_scaling.shifts(draws[..., None], stats.norm.logpdf(draws), power).item()
    assert float(found) == pytest.approx((2 / (1 + power) - 1) / np.sqrt(0.5), abs=0.002)


def test_the_strongest_prior_is_the_one_on_the_quantity_itself():
    made = fit(draws=400)
    table = sensitivity.sensitivity(made, made.posterior[["alpha", "beta"]])
    assert list(table.index) == ["alpha[validation]", "beta[validation]"]
    assert table["strongest"].tolist() == ["alpha", "beta"] and (table["prior"] > 0).all()


def test_draws_that_are_all_the_same_move_by_nothing():
    made = fit()
    same = xr.full_like(made.posterior["alpha"], 0.9).to_dataset(name="ratio")
    row = sensitivity.sensitivity(made, same).iloc[0]
    assert (row["prior"], row["likelihood"], row["shift"], row["verdict"]) == (0, 0, 0, "neither moves it")


def test_few_draws_are_refused():
    made = fit(draws=50)
    with pytest.raises(RangeError, match="at least 200 draws"):
        sensitivity.sensitivity(made, made.posterior[["alpha"]])


def test_answers_are_in_words():
    found = study.study_of(fit()).answers
    assert found.dims == ("chain", "draw", "answer")
    assert "the validation loss at N 1 B, domain law" in found["answer"].values


def test_the_sensitivity_of_many_quantities_is_that_of_arviz():
    """Of draws with ties and of constant ones too; some of the draws are enough, if these are named."""
    made = fit(draws=400)
    quantities = made.posterior[["alpha", "A", "E"]].assign(
        tied=made.posterior["beta"].round(1), same=made.posterior["beta"] * 0
    )
    groups = {
        "posterior": quantities,
        "log_prior": sensitivity.log_prior(made),
        "log_likelihood": likelihood.log_likelihood(made).to_dataset(name="loss"),
    }
    table = sensitivity.sensitivity(made, quantities)
    some = {name: data.isel(draw=slice(None, None, 2)) for name, data in groups.items()}
    of_some = sensitivity.sensitivity(made, some["posterior"])
    for found, data in ((table, groups), (of_some, some)):
        tree = xr.DataTree.from_dict(data)
        for group in ("prior", "likelihood"):
            with np.errstate(invalid="ignore"):
                expected = az.dataset_to_dataframe(az.psense(tree, group=group).expand_dims(of=[0]), sample_dims=["of"])
            assert list(found.index) == list(expected)
            np.testing.assert_allclose(found[group], expected.iloc[0].astype(float).fillna(0.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (Prior("Normal", mu=1.0, sigma=2.0), stats.norm(1.0, 2.0)),
        (Prior("HalfNormal", sigma=2.0), stats.halfnorm(scale=2.0)),
        (Prior("Gamma", alpha=2.0, beta=3.0), stats.gamma(2.0, scale=1 / 3)),
        (Prior("Exponential", lam=3.0), stats.expon(scale=1 / 3)),
        (Prior("Beta", alpha=2.0, beta=3.0), stats.beta(2.0, 3.0)),
        (Prior("Uniform", lower=-1.0, upper=2.0), stats.uniform(-1.0, 3.0)),
    ],
)
def test_the_log_density_of_every_prior_that_can_be_sampled(prior, expected):
    x = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(sensitivity._log_density(prior, x), expected.logpdf(x), rtol=1e-12)


def test_levels_below_0_have_a_place_in_their_prior():
    """A level is sampled with the tangent of the logarithm four standard deviations below its median."""
    x = np.array([2.0, 1.0, 0.01, 0.0, -0.1])
    found = sensitivity._log(x, 0.0, 0.5)
    np.testing.assert_allclose(found[:3], np.log(x[:3]))
    np.testing.assert_allclose(found[3:], -2.0 - 1 + x[3:] / np.exp(-2.0))
