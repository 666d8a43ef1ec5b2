"""The check of the shape along tokens: quiet where errors alone make losses rise, loud where the general loss bends."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks.along_tokens import bend
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit
from tests.studies.checks import DOMAIN, FITS, GENERAL, continual


def at_the_truth(model: bl.Model, sigma: float) -> Fit:
    """A posterior that knows the truth of `continual`."""
    coords: dict[str, Any] = {"chain": [0], "draw": np.arange(100), "eval": ["general", "domain"]}
    values: dict[str, Any] = {k: [GENERAL[k], DOMAIN[k]] for k in GENERAL} | {"sigma": [sigma, sigma]}
    posterior = xr.Dataset({k: (tuple(coords), np.broadcast_to(v, (1, 100, 2))) for k, v in values.items()}, coords)
    for name, value in {"run_weight": 0.5, "correlation_length": 1.0, "eval_correlation": 0.0}.items():
        posterior[name] = (("chain", "draw"), np.full((1, 100), value))
    return Fit(model, xr.DataTree.from_dict({"posterior": posterior}), {"method": "stand-in"})


def test_errors_alone_raise_few_alarms():
    """Of 60 studies in which the law is true, losses rise by more than 1 % in most: one in a hundred may fail."""
    sigma, failed, rises = 0.012, 0, 0
    for seed in range(60):
        model = continual(seed, sigma=sigma)
        losses = model.runs.table.sort_values(["run", "D"]).groupby("run")[["general_loss", "domain_loss"]]
        rises += float((losses.max() / losses.first()).max().max()) > 1.01
        found: Any = bend(at_the_truth(model, sigma))
        failed += not found.passed
    assert rises > 40 and failed <= 3


@pytest.mark.parametrize("hump", [0.0, 0.04])
def test_a_general_loss_that_bends_is_found_although_the_errors_grow(hump):
    """The error model takes the bend for errors three times as large; runs next to each other show that it is not."""
    found: Any = bend(continual(3, hump=hump).fit(**FITS))
    assert found.passed == (hump == 0.0) and found.limit == 2
    if hump:
        assert "the general loss rises most on average over the 2 runs at domain share 0.9" in found.text
        assert "dcpt cannot follow such rises" in found.text and "use a more flexible law" in found.text


def test_a_bend_that_one_run_has_is_found_in_a_point_fit():
    rows = pd.MultiIndex.from_product([[2e8, 5e8, 1e9, 2e9, 5e9], [1e9, 3e9, 1e10, 3e10, 1e11]], names=["N", "D"])
    table = rows.to_frame(index=False)
    truth = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.02, "beta": 0.37}
    errors = np.random.default_rng(0).normal(0, 0.003, len(table))
    table["loss"] = models.chinchilla(table["N"] / 1e9, table["D"] / 1e10, **truth) * np.exp(errors)
    hump = (table["N"] == 2e8) & table["D"].isin([3e9, 1e10])
    for rise, passed in ((0.0, True), (0.3, False)):
        shaped = table.assign(loss=table["loss"] + rise * hump)
        found: Any = bend(bl.Model(models.chinchilla, read_runs(shaped), misfit=None).fit(method="mle"))
        assert found.passed == passed
