"""The compiled standardisation of errors against the error model of the specification."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.posterior.likelihood import errors, log_likelihood, standardised
from bayeslaw.workflow import Fit


def ragged(joint: bool, robust: bool, size_exponent: bl.Prior | None = None) -> Fit:
    """Prior draws of runs of several lengths, some losses not measured."""
    lengths = {"a": 4, "b": 1, "c": 3}
    rows = [(run, 1e9, 1e9 * 3.0**k) for run, n in lengths.items() for k in range(n)]
    table = pd.DataFrame(rows, columns=["run", "N", "D"])
    rng = np.random.default_rng(0)
    for name in ("x", "y", "z"):
        table[f"{name}_loss"] = rng.uniform(2.0, 3.0, len(table))
    table.loc[[1, 5], "y_loss"] = np.nan
    table.loc[0, "x_loss"] = np.nan
    noise = bl.Noise(correlated=True, joint=joint, robust=robust, size_exponent=size_exponent)
    model = bl.Model(models.chinchilla, bl.read_runs(table), noise=noise, monotone=None, misfit=None)
    made: Fit = model.prior_predictive(draws=50)
    return made


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("by_size", [True, False])
def test_errors_are_standardised_as_the_error_model_says(joint, by_size):
    fit = ragged(joint, False, bl.Prior("Normal", mu=0.1, sigma=0.05) if by_size else None)
    design, dims = fit.model.design, {"start": ("row",), "eval_number": ("eval",)}
    order = {k: xr.DataArray(v, dims=dims.get(k, ("row", "eval"))) for k, v in design.order().items()}
    factor = fit.noise.at_size(fit.posterior, design.log_size(design.rows))
    error = errors(fit) / factor
    mean, scale = fit.noise.one_step_ahead(error, cast(Mapping[str, Any], fit.posterior), order)
    expected = ((error - mean) / scale).where(design.measured, 0.0).transpose("chain", "draw", "row", "eval")
    np.testing.assert_allclose(standardised(fit, errors(fit)), expected, rtol=1e-10, atol=1e-10)
    middle = errors(fit).mean(("chain", "draw"))
    around = standardised(fit, errors(fit) - middle) + standardised(fit, middle)
    np.testing.assert_allclose(around, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("robust", [True, False])
def test_the_density_of_a_single_measurement_is_that_of_its_error(robust):
    fit = ragged(True, robust)
    single = log_likelihood(fit).sel(run="b")
    z, sigma = standardised(fit, errors(fit)).isel(row=4), fit.posterior["sigma"]
    rho = fit.posterior["eval_correlation"]
    left = np.log(1 - rho**2) / 2 + np.log(1 - 2 * rho**2 / (1 + rho)) / 2
    innovation = stats.t(5) if robust else stats.norm
    density = innovation.logpdf(z).sum(axis=-1) - xr.ufuncs.log(sigma).sum("eval") - left
    np.testing.assert_allclose(single, density, rtol=1e-9)
