"""Run effects that are larger than those of replicates."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks.run_effect import run_effect
from bayeslaw.workflow import Fit


@pytest.fixture(scope="module")
def drawn() -> Fit:
    rows = [(f"{n:g}", n, d, 3.0 - 0.05 * np.log10(n * d)) for n in (1e8, 3e8, 1e9) for d in (1e9, 3e9, 1e10)]
    runs = bl.read_runs(pd.DataFrame(rows, columns=["run", "N", "D", "loss"]))
    return bl.Model(models.chinchilla, runs, misfit=None).prior_predictive(draws=200)


def with_errors(fit: Fit, sigma: float) -> Fit:
    posterior = fit.posterior.assign(sigma=0 * fit.posterior["sigma"] + sigma)
    return Fit(fit.model, xr.DataTree.from_dict({"posterior": posterior}), {})


def test_errors_of_replicates_pass_and_those_of_a_misfit_fail(drawn):
    """0.26 is what the runs of OPT, 125 M to 175 B, gave: the mean law was 117 % above the smallest model's loss."""
    small, large = run_effect(with_errors(drawn, 0.01)), run_effect(with_errors(drawn, 0.26))
    assert small is not None and small.passed
    assert large is not None and not large.passed
    assert "of the validation loss" in large.text and "correlated=False" in large.text


def test_independent_errors_have_no_run_effect(drawn):
    independent = bl.Model(models.chinchilla, drawn.model.runs, noise=bl.Noise(correlated=False), misfit=None)
    assert run_effect(independent.prior_predictive(draws=50)) is None
