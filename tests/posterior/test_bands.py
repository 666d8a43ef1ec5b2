"""Predictions row by row: the same numbers as `predict`, whatever the size of the pieces."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.posterior import bands


@pytest.fixture(scope="module")
def fit() -> bl.Fit:
    levels = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], [1e9, 1e10, 1e11]], names=["N", "D"])
    table = levels.to_frame(index=False)
    mean = models.chinchilla(table["N"] / 1e9, table["D"] / 1e10, E=1.8, A=0.35, alpha=0.35, B=0.4, beta=0.37)
    table["loss"] = mean * np.exp(np.random.default_rng(0).normal(0, 0.003, len(table)))
    return bl.Model(models.chinchilla, bl.read_runs(table)).fit(draws=50, tune=50, chains=2, progress=False)


GRID = xr.Dataset({"N": ("row", [1e9, 2e9, 7e9]), "D": ("row", [1e10, 2e10, 1e12])})


def test_rows_are_what_predict_says(fit):
    found = fit.bands(GRID)
    expected = fit.predict(N=GRID["N"], D=GRID["D"]).to_frame()
    assert found["row"].tolist() == [0, 1, 2] and found["eval"].unique().tolist() == fit.evals
    for column in ("mean", "sd", "lower", "upper"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-10)


def test_the_size_of_the_pieces_does_not_matter(fit, monkeypatch):
    whole = fit.bands(GRID, prob=0.5)
    monkeypatch.setattr(bands, "CELLS", 100)
    pd.testing.assert_frame_equal(fit.bands(GRID, prob=0.5), whole)


def test_a_new_run_has_its_own_error(fit):
    mean, new = fit.bands(GRID), fit.bands(GRID, new_run=True, seed=1)
    assert (new["sd"] > mean["sd"]).all()
    assert new.equals(fit.bands(GRID, new_run=True, seed=1))
