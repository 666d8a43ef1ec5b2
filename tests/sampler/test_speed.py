"""What must stay fast, as ratios and counts that a busy machine does not change (see `make bench` for the seconds)."""

import time
from collections.abc import Callable

import arviz as az
import numpy as np
import pandas as pd
from numba.core import event

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.sampler.density import Density

TRUTH = {"E": 1.6, "A": 0.4, "alpha": 0.3, "B": 0.08, "beta": 0.3, "eta": 1.2, "C": 0.4, "gamma": 0.4, "eps": 0.1}


def study(sizes: int, tokens: int, shares: int, seed: int = 0) -> bl.Runs:
    """Simulate a full factorial design of one domain's loss, errors independent."""
    levels = [np.geomspace(5e8, 4e9, sizes), np.geomspace(1e9, 3e10, tokens), np.linspace(0.1, 1.0, shares)]
    table = pd.MultiIndex.from_product(levels, names=["N", "D", "domain_share"]).to_frame(index=False)
    law = models.dcpt(table["N"] / 1e9, table["D"] / 1e10, table["domain_share"], **TRUTH)
    table["domain_loss"] = law * np.exp(np.random.default_rng(seed).normal(0, 0.005, len(table)))
    return bl.read_runs(table.assign(run=[f"run {i}" for i in range(len(table))]))


def model(runs: bl.Runs, robust: bool = False) -> bl.Model:
    """Return the model with independent errors."""
    return bl.Model(models.dcpt, runs, noise=bl.Noise(correlated=False, robust=robust), misfit=None)


def gradient(runs: bl.Runs, robust: bool = False) -> Callable[[], object]:
    """Return an evaluation of the log density and its gradient."""
    density = Density(model(runs, robust))
    v = density.parameters.draw(1, np.random.default_rng(0))[0]
    return lambda: density(v)


def quickest(*calls: Callable[[], object]) -> list[float]:
    """Return the least seconds of each call, turn by turn: what else the machine does only adds."""
    best = [np.inf] * len(calls)
    for _ in range(300):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def test_draws_are_nearly_independent_and_cost_few_gradients() -> None:
    fit = model(study(3, 6, 5)).fit(draws=200, tune=200, chains=2, cores=1, seed=1, progress=False)
    gradients = int(fit.idata["sample_stats"]["n_steps"].sum())
    effective = min(float(v.min()) for v in az.ess(fit.posterior[list(TRUTH)]).data_vars.values())
    assert gradients / effective < 150  # the textbook model of the benchmark takes thousands


def test_the_second_fit_compiles_nothing() -> None:
    model(study(3, 6, 5)).fit(draws=1, tune=20, chains=1, cores=1, progress=False)
    with event.install_recorder("numba:compile") as compiled:
        model(study(3, 7, 4, seed=1)).fit(draws=1, tune=20, chains=1, cores=1, progress=False)
    assert not compiled.buffer


def test_robust_errors_cost_at_most_twice_normal_ones() -> None:
    normal, robust = quickest(gradient(study(3, 12, 8)), gradient(study(3, 12, 8), robust=True))
    assert robust < 2 * normal


def test_a_crossed_design_costs_less_than_its_rows() -> None:
    small, large = quickest(gradient(study(4, 5, 5)), gradient(study(10, 20, 20)))
    assert large < 0.6 * 40 * small  # 40 times the rows
