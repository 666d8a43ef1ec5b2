"""Priors: a class of bayeslaw's own, which says what that of pymc_extras says, and takes it."""

import copy
import pickle
from typing import Any

import numpy as np
import pymc as pm
import pymc_extras.prior
import pytest
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.priors import FAMILIES, Prior, closed, quantile
from bayeslaw.errors import ArgumentError, LawError

INNER: dict[str, Any] = {"mu": Prior("Normal", mu=0.0, sigma=1, dims="eval"), "sigma": Prior("HalfNormal", sigma=1.0)}

PRIORS = {
    "numbers": Prior("Normal", mu=0, sigma=1.0),
    "defaults": Prior("Exponential"),
    "a list": Prior("Normal", mu=[1.0, 2.0], sigma=1, dims="domain"),
    "nested": Prior("LogNormal", **INNER, dims=("eval", "domain")),
    "another parametrisation": Prior("Beta", mu=0.3, sigma=0.1),
    "a family that is not usual": Prior("StudentT", nu=4, mu=0, sigma=1),
    "transformed": Prior("Normal", mu=0, sigma=1, transform="exp"),
    "not centred": Prior("Normal", mu=0, sigma=1, centered=False, dims="domain"),
}


def theirs(prior: Prior) -> Any:
    """The same prior, made by pymc_extras alone."""
    inner = {name: theirs(p) if isinstance(p, Prior) else p for name, p in prior.parameters.items()}
    about: dict[str, Any] = {"dims": prior.dims, "centered": prior.centered, "transform": prior.transform}
    return pymc_extras.prior.Prior(prior.distribution, **about, **inner)


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_a_prior_says_what_that_of_pymc_extras_says(prior):
    other = theirs(prior)
    assert str(prior) == str(other) and prior.to_dict() == other.to_dict()
    for same in (Prior.from_dict(prior.to_dict()), Prior.taken(other), copy.deepcopy(prior)):
        assert isinstance(same, Prior) and same == prior and str(same) == str(prior)
    assert pickle.loads(pickle.dumps(prior)) == prior
    assert prior != Prior("Normal", mu=0, sigma=2.0)
    coords = {"eval": ["a", "b"], "domain": ["x", "y"]}
    with pm.Model(coords=coords) as ours:
        prior.create_variable("p")
    with pm.Model(coords=coords) as expected:
        other.create_variable("p")
    point = expected.initial_point()
    assert ours.initial_point().keys() == point.keys()
    found, wanted = (m.compile_logp(mode="FAST_COMPILE")(point) for m in (ours, expected))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parameters_of_usual_distributions_are_those_of_pymc(family):
    with pm.Model():
        getattr(pm, family)("p", **dict.fromkeys(FAMILIES[family], 0.5))


def test_a_prior_of_pymc_extras_is_taken_wherever_a_prior_is(table_for):
    normal, positive = pymc_extras.prior.Prior("Normal", mu=0, sigma=1), theirs(bl.positive(1.5, 0.5))
    assert bl.Prior("Normal", mu=normal, sigma=1.0, dims="eval").parameters["mu"] == bl.real(0, 1)
    assert bl.Noise(sigma=positive).sigma == bl.positive(1.5, 0.5)
    assert isinstance(bl.Coefficient(positive, "nats", "floor", "because").prior, Prior)
    model = bl.Model(models.chinchilla, bl.read_runs(table_for(models.chinchilla)), priors={"E": positive})
    assert model.priors == {"E": bl.positive(1.5, 0.5)} and isinstance(model.priors["E"], Prior)
    wrong: Any = {"E": 3}
    with pytest.raises(ArgumentError, match=r"priors\['E'\] is 3: give a prior"):
        bl.Model(models.chinchilla, model.runs, priors=wrong)


@pytest.mark.parametrize(
    ("distribution", "parameters", "reason"),
    [
        ("Gama", {"alpha": 1}, "there is no distribution 'Gama'"),
        ("sample", {}, "there is no distribution 'sample'"),
        ("Normal", {"mean": 1}, "Parameters {'mean'} are not a subset"),
        ("Normal", {"mu": "0"}, "Incorrect parameters"),
        ("Normal", {"mu": float("nan")}, "mu is not a number"),
        ("Normal", {"mu": 0, "dims": ("a", "a")}, "Dims must be unique"),
        ("Normal", {"mu": bl.Prior("Normal", mu=0, sigma=1, dims="a"), "dims": "b"}, "not a subset of the prior dims"),
    ],
)
def test_what_makes_no_prior_is_refused_with_the_reason(distribution, parameters, reason):
    with pytest.raises(LawError, match=reason):
        bl.Prior(distribution, **parameters)


@pytest.mark.parametrize(
    ("prior", "distribution"),
    [
        (bl.positive(0.3, 0.7), stats.lognorm(0.7, scale=0.3)),
        (bl.real(1.2, 0.3), stats.norm(1.2, 0.3)),
        (bl.share(0.4, 5), stats.beta(2, 3)),
    ],
    ids=["positive", "real", "share"],
)
def test_quantiles_are_those_of_scipy(prior, distribution):
    prob = np.array([1e-9, 0.055, 0.5, 0.945, 1 - 1e-9])
    assert closed(prior)
    np.testing.assert_allclose(quantile(prior, prob), distribution.ppf(prob), rtol=1e-12)
