"""Ordinary tables of few runs: the default model, with its misfit, is sampled without divergences."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from tests.studies.dcpt_forms import tinycpt


def chinchilla_losses(N: np.ndarray, D: np.ndarray, *, noise: float = 0.003) -> pd.DataFrame:
    loss = 1.8 + 0.4 * (N / 1e8) ** -0.34 + 0.4 * (D / 1e9) ** -0.28
    return pd.DataFrame({"N": N, "D": D, "loss": loss * np.exp(np.random.default_rng(0).normal(0, noise, len(N)))})


def in_step() -> bl.Model:
    """Six runs at 20 tokens a parameter: only the sum of both terms is known."""
    N = np.geomspace(5e7, 5e8, 6)
    return bl.Model(models.chinchilla, bl.read_runs(chinchilla_losses(N, 20 * N)))


def two_by_two() -> bl.Model:
    """Four runs: their noise is what the prior says, so that it may be very small."""
    N, D = (x.ravel() for x in np.meshgrid([5e7, 1e8], [1e9, 3e9]))
    return bl.Model(models.chinchilla, bl.read_runs(chinchilla_losses(N, D)))


def one_curve() -> bl.Model:
    """Six budgets of one model."""
    D = np.geomspace(1e9, 1e11, 6)
    return bl.Model(models.power_law, bl.read_runs(chinchilla_losses(np.full(6, 1e9), D).drop(columns="N")))


def ladder() -> bl.Model:
    """24 runs of four sizes, with errors of less than 0.1 %: an exponent of size may be anything."""
    N, D = (x.ravel() for x in np.meshgrid([1.9e8, 3.7e8, 7.6e8, 1.3e9], [4e9, 8e9, 2e10, 4e10, 8e10, 1.6e11]))
    return bl.Model(models.chinchilla, bl.read_runs(chinchilla_losses(N, D, noise=0.0005)))


def one_tiny_model() -> bl.Model:
    """BiMix, whose floor is multiplied by a power of the share."""
    table = tinycpt().table
    largest = table[table["N"] == table["N"].max()].drop(columns="N")
    return bl.Model(models.bimix, bl.read_runs(largest), reference={"D": 1e6})


TABLES = {
    "20 tokens a parameter, six runs": in_step,
    "two sizes by two budgets": two_by_two,
    "one curve, six budgets": one_curve,
    "four sizes by six budgets, errors of 0.05 %": ladder,
    "one tiny model, shares and tokens: BiMix": one_tiny_model,
}


@pytest.mark.parametrize("table", TABLES)
def test_few_runs_are_sampled_beside_their_misfit(table):
    fit = TABLES[table]().fit(seed=1, progress=False)
    found = fit.summary()
    assert found["r_hat"].astype(float).max() <= 1.01 and found["ess_bulk"].astype(float).min() >= 1000
    assert int(fit.idata["sample_stats"]["diverging"].sum()) <= 1
