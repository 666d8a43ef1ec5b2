"""The descent: as low as SciPy's, and whole where coefficients cannot be told apart."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.least_squares import _Problem, estimate
from tests.benchmarks.simulated import study
from tests.benchmarks.solvers import SIGMA, compared, residuals, scipy

LEVELS = np.array([0.5e9, 4e9]), np.geomspace(1e9, 2e10, 3), np.array([0.2, 0.5, 0.8])
"""Sizes, tokens and shares of a small design."""


@pytest.mark.parametrize("name", ["Chinchilla, 28 rows", "D-CPT, one domain", "data mixing, 17 sources"])
@pytest.mark.parametrize("noise", [SIGMA, None])
def test_scipy_finds_nothing_lower(name, noise):
    problem, rng = _Problem.of(Density(dict(compared())[name])), np.random.default_rng(1)
    guesses = [problem.center, *(problem.draw(rng) for _ in range(3))]
    known = None if noise is None else np.full(problem.evals, noise)
    ours, theirs = (problem._terms(solve(problem, guesses, known), known)[0] for solve in (_Problem.least, scipy))
    assert (ours < theirs * (1 + 1e-4)).all()


def test_one_model_size_is_fitted_though_the_level_and_the_effect_of_size_are_one() -> None:
    rng, D = np.random.default_rng(0), np.geomspace(1e9, 1e11, 200)
    loss = (2.16 + 0.4 * (D / 1e10) ** -0.37) * np.exp(rng.normal(0, 0.003, len(D)))
    table = pd.DataFrame({"run": [f"run {i}" for i in range(len(D))], "N": 1e9, "D": D, "loss": loss})
    model = bl.Model(models.chinchilla, bl.read_runs(table), misfit=None)
    for seed in range(10):
        assert 0.0025 < float(estimate(model, regularised=False, starts=12, seed=seed).sigma[0]) < 0.0035


def test_no_curvature_is_kept_between_parts() -> None:
    """Thirty domains with two validation sets are sixty problems of nine coefficients, not one matrix of 540."""
    table = study(30, 0, *LEVELS).table
    model = bl.Model(
        models.dcpt, bl.read_runs(table), by=dict.fromkeys(models.dcpt.coefficients, "domain"), misfit=None
    )
    problem, noise = _Problem.of(Density(model)), np.full(2, SIGMA)
    _, gradient, curvature = problem._terms(problem.center, noise)
    assert len(curvature) == 60 * 9**2
    row, column = problem.places
    for number in (0, 31, 59):
        residual, jacobian = residuals(problem, number, noise)(np.zeros(9))
        own = problem.parts[number]
        np.testing.assert_allclose(gradient[own], jacobian.T @ residual, rtol=1e-9)
        np.testing.assert_allclose(curvature[row[own, None] + column[own]], jacobian.T @ jacobian, rtol=1e-9, atol=1e-6)
