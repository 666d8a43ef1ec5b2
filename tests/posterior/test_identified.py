"""What the runs cannot tell: mixtures that never vary apart, one size, one number of tokens."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks.priors import identification
from bayeslaw.posterior.identified import columns_without_variation, untold_coefficients, untold_mixtures
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit

FREE = np.random.default_rng(1).dirichlet(np.ones(3), 14)


def fit_of(shares: np.ndarray, **settings: Any) -> Fit:
    """A fit of the linear law with the same draws for every source: what the runs leave open, its draws do not say."""
    k = shares.shape[1]
    names = [f"s{i}" for i in range(k)]
    table = pd.DataFrame(shares, columns=[f"weight_{s}" for s in names])
    table = table.assign(loss=3.0 + 0.1 * shares[:, 0], run=[f"r{i}" for i in range(len(shares))])
    draws = 3 + 0.01 * np.random.default_rng(0).standard_normal((2, 60, 1, k))
    posterior = xr.Dataset({"w": (("chain", "draw", "eval", "source"), draws)})
    posterior["sigma"] = (("chain", "draw", "eval"), np.full((2, 60, 1), 0.01))
    posterior = posterior.assign_coords(chain=[0, 1], draw=np.arange(60), eval=["validation"], source=names)
    return Fit(
        bl.Model(models.regmix, read_runs(table), misfit=None),
        xr.DataTree.from_dict({"posterior": posterior}),
        settings,
    )


UNTOLD = {
    "a source in no run": (np.column_stack([FREE, 0 * FREE[:, 0]]), "s3 is in no run"),
    "two sources always 7 to 3": (
        np.column_stack([0.7 * FREE[:, 0], 0.3 * FREE[:, 0], FREE[:, 1:]]),
        "s0 and s1 never vary apart",
    ),
    "the same, rounded": (
        np.column_stack([0.7 * FREE[:, 0], 0.3 * FREE[:, 0], FREE[:, 1:]]).round(3),
        "s0 and s1 never vary apart",
    ),
    "one source fixed": (np.column_stack([np.full(14, 0.1), 0.9 * FREE]), "s0 has the same share in all runs"),
    "one mixture": (np.repeat(FREE[:1], 6, axis=0), "all runs have the same mixture"),
    "more sources than runs": (
        np.random.default_rng(2).dirichlet(np.ones(8), 5),
        "vary their mixtures in 4 of 7 directions (8 sources in 5 mixtures)",
    ),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_answers_and_check_say_what_the_mixtures_leave_open(case):
    shares, words = UNTOLD[case]
    fit = fit_of(shares)
    check: Any = identification(fit)
    assert not check.passed and words in check.text
    assert any(words in caution for caution in fit.best_mixture().cautions)
    pure = {f"s{3 if case == 'a source in no run' else 0}": 1.0}
    assert any(words in caution for caution in fit.predict(weight=pure).cautions)
    rows = pd.DataFrame(np.eye(shares.shape[1]), columns=[f"weight_s{i}" for i in range(shares.shape[1])])
    assert any(words in caution for caution in fit.predict(rows).attrs["cautions"])


@pytest.mark.parametrize("case", UNTOLD)
def test_mixtures_that_were_run_have_no_such_caution(case):
    shares, words = UNTOLD[case]
    one = {f"s{i}": share for i, share in enumerate(shares[0] / shares[0].sum())}
    assert not any(words in caution for caution in fit_of(shares).predict(weight=one).cautions)


def test_what_bounds_rule_out_is_not_said():
    """A source in no run that the answer may not take does not matter to it."""
    fit = fit_of(UNTOLD["a source in no run"][0])
    assert any("no run" in caution for caution in fit.best_mixture().cautions)
    assert not any("no run" in caution for caution in fit.best_mixture(at_most={"s3": 0.0}).cautions)


def test_mixtures_that_vary_enough_leave_nothing_open():
    fit = fit_of(FREE)
    assert untold_mixtures(fit) == [] and fit.best_mixture().cautions == ()


def test_a_factor_of_tokens_says_it_too():
    """equivalent_compute compares two mixtures, of which one was never near a run."""
    table = pd.DataFrame(UNTOLD["a source in no run"][0], columns=[f"weight_s{i}" for i in range(4)])
    table = table.assign(N=1e9, D=np.tile([1e9, 1e10], 7), loss=3.0, run=[f"r{i}" for i in range(14)])
    fit = bl.Model(models.nested_data_mixing, read_runs(table), misfit=None).prior_predictive(draws=20)
    known, unknown = {"s0": 0.5, "s1": 0.5}, {"s3": 1.0}
    answer = fit.equivalent_compute(mixture=known, than=unknown, D=1e10, N=1e9)
    assert any("s3 is in no run" in caution for caution in answer.cautions)
    answer = fit.equivalent_compute(mixture=known, than={"s1": 1.0}, D=1e10, N=1e9)
    assert not any("no run" in caution for caution in answer.cautions)


def test_a_column_with_one_value_and_the_coefficients_of_its_slope():
    rng = np.random.default_rng(2)
    sizes = [5.3e7, 6.4e7, 1.6e8, 2.1e8, 3.2e8, 4.8e8]
    table = pd.DataFrame({"N": sizes, "D": 4.4e9, "loss": 2.6 + 400 / np.array(sizes) ** 0.34})
    table["loss"] *= np.exp(rng.normal(0, 0.003, 6))
    fit = bl.Model(models.chinchilla, read_runs(table), misfit=None).fit(
        draws=150, tune=150, chains=2, seed=1, progress=False
    )
    assert columns_without_variation(fit) == {"D": 4.4e9}
    assert untold_coefficients(fit) == {"one D 4.4 B": ("B", "beta")}
    check: Any = identification(fit)
    assert not check.passed and "all runs have one D 4.4 B" in check.text and "beta" in check.text
    by_tokens = bl.Model(models.chinchilla, read_runs(table), by={"E": "D"}, misfit=None).prior_predictive(draws=5)
    assert columns_without_variation(by_tokens) == {}


def test_what_one_share_leaves_open_is_not_what_few_tokens_do():
    """At one share no run tells eta from B, nor C, gamma and eps from E; the tokens tell beta."""
    law, rng = models.dcpt, np.random.default_rng(0)
    truth = {"E": 1.9, "A": 0.4, "alpha": 0.3, "B": 0.3, "beta": 0.3, "eta": 1.05, "C": 0.4, "gamma": 0.4, "eps": 0.1}
    levels: list[Any] = [[2e8, 5e8, 1e9, 2e9], [3e9, 3e10]]
    table = pd.MultiIndex.from_product(levels, names=["N", "D"]).to_frame(index=False).assign(domain_share=0.5)
    for name in ("general", "domain"):
        losses = law(table["N"] / 1e9, table["D"] / 1e10, 0.5, **truth)
        table[f"{name}_loss"] = losses * np.exp(rng.normal(0, 0.003, len(table)))
    runs = read_runs(table.assign(run=table["N"].map("{:g}".format)))
    fit = bl.Model(law, runs).fit(draws=200, tune=300, chains=2, seed=1, progress=False)
    assert untold_coefficients(fit) == {"one domain share 0.5": ("B", "eta", "C", "gamma", "eps")}
    check: Any = identification(fit)
    start, _, said = check.text.partition(", so the data hardly narrow ")
    named = said.partition(";")[0].partition(" of the ")[0].split(", ")
    assert not check.passed and start.endswith("all runs have one domain share 0.5")
    assert "eta" in named and set(named) <= {"B", "eta", "C", "gamma", "eps"}
