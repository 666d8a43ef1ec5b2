"""Checks of fits of many rows: in pieces, in bounded memory, with the numbers of the whole."""

import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks import run_checks
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.posterior.prediction import pieces, thinned
from bayeslaw.workflow import Fit

TRUTH = dict(E=1.6, A=0.3, alpha=0.3, B=0.05, beta=0.3, eta=1.2, C=0.4, gamma=0.4, eps=0.1)
ERRORS = {"run_weight": 0.4, "correlation_length": 0.5, "eval_correlation": 0.4}


def study(runs: int, checkpoints: int, draws: int) -> Fit:
    """Both losses of simulated runs, and draws near the truth."""
    rng = np.random.default_rng(0)
    sizes, shares = [5e8, 1e9, 2e9, 4e9], np.linspace(0.1, 0.9, runs // 4)
    levels: list[Any] = [sizes, shares, np.geomspace(1e9, 3e10, checkpoints)]
    table = pd.MultiIndex.from_product(levels, names=["N", "domain_share", "D"]).to_frame(index=False)
    table["run"] = np.repeat(np.arange(runs), checkpoints)
    for name in ("general", "domain"):
        share = table["domain_share"] if name == "domain" else 1 - table["domain_share"]
        loss = models.dcpt(table["N"] / 1e9, table["D"] / 1e10, share, **TRUTH)
        table[f"{name}_loss"] = loss * np.exp(rng.normal(0, 0.003, len(table)))
    model = bl.Model(models.dcpt, bl.read_runs(table), misfit=None)
    index: dict[str, Any] = {"chain": np.arange(4), "draw": np.arange(draws // 4)}
    scattered = {k: v * np.exp(0.003 * rng.standard_normal((4, draws // 4, 2))) for k, v in TRUTH.items()}
    data: dict[str, Any] = {
        k: ((*index, "eval"), v) for k, v in (scattered | {"sigma": 0.003 + 0 * scattered["E"]}).items()
    }
    data |= {k: (tuple(index), v * np.exp(0.01 * rng.standard_normal((4, draws // 4)))) for k, v in ERRORS.items()}
    posterior = xr.Dataset(data, {**index, "eval": model.design.evals})
    return Fit(model, xr.DataTree.from_dict({"posterior": posterior}), {"method": "nuts", "seed": 1})


def test_checks_hold_less_than_the_losses_of_all_rows_and_draws(monkeypatch):
    fit = study(runs=48, checkpoints=20, draws=2000)
    run_checks(study(runs=8, checkpoints=4, draws=400))  # imports, and compiled functions, are not counted
    monkeypatch.setattr("bayeslaw.posterior.prediction.CELLS", 200_000)
    monkeypatch.setattr("bayeslaw.checks.neighbours.MOST_ROWS", 100)
    whole = 8 * fit.model.design.measured.size * fit.draws
    tracemalloc.start()
    try:
        checks = run_checks(fit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(checks) > 10 and not any("could not be checked" in check.text for check in checks)
    assert peak < whole


def test_checks_in_pieces_say_what_checks_of_the_whole_say(monkeypatch):
    whole = run_checks(study(runs=20, checkpoints=6, draws=400)).to_frame()
    monkeypatch.setattr("bayeslaw.posterior.prediction.CELLS", 5000)
    in_pieces = run_checks(study(runs=20, checkpoints=6, draws=400)).to_frame()
    pd.testing.assert_series_equal(in_pieces["name"], whole["name"])
    other_errors = whole["name"] == "fit to the data"
    np.testing.assert_allclose(in_pieces["value"][~other_errors], whole["value"][~other_errors], rtol=1e-6)
    assert in_pieces["value"][other_errors].item() == pytest.approx(whole["value"][other_errors].item(), abs=0.02)


def test_the_log_likelihood_in_pieces_is_that_of_the_whole(monkeypatch):
    whole = log_likelihood(study(runs=8, checkpoints=4, draws=100))
    monkeypatch.setattr("bayeslaw.posterior.prediction.CELLS", 100)
    monkeypatch.setattr("bayeslaw.posterior.likelihood.MOST_ERRORS", 100)
    xr.testing.assert_allclose(log_likelihood(study(runs=8, checkpoints=4, draws=100)), whole)


def test_pieces_are_the_design_and_leave_runs_whole(monkeypatch):
    design = study(runs=8, checkpoints=4, draws=4).model.design
    monkeypatch.setattr("bayeslaw.posterior.prediction.CELLS", 1000)
    rows = [piece.rows["run"].values for piece in pieces(design, draws=50)]
    assert max(map(len, rows)) == 10 and np.array_equal(np.concatenate(rows), design.rows["run"].values)
    runs = [piece.rows["run"].values for piece in pieces(design, draws=50, of_runs=True)]
    assert len(runs) > 1 and np.array_equal(np.concatenate(runs), design.rows["run"].values)
    assert sum(len(set(r)) for r in runs) == 8


def test_a_thinned_fit_is_the_same_one_every_time():
    fit = study(runs=4, checkpoints=2, draws=400)
    assert thinned(fit, 100) is thinned(fit, 100) and thinned(fit, 100).draws == 100
    assert thinned(fit, 400) is fit
