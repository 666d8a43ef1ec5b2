"""A domain that was not fitted, from early checkpoints: beside the joint refit, and what is refused."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import DataError, LawError, RangeError
from bayeslaw.workflow import Fit

SAMPLE = ["chain", "draw"]
INDEPENDENT = bl.Noise(correlated=False)
FLOORS = {"code": 0.9, "law": 1.0, "math": 1.15, "music": 1.05}


def chinchilla() -> pd.DataFrame:
    """Four domains whose floors differ, and errors of 0.3 %."""
    levels: list[Any] = [FLOORS, [2e8, 1e9, 5e9], [1e9, 1e10, 1e11]]
    rows = pd.MultiIndex.from_product(levels, names=["domain", "N", "D"]).to_frame(index=False)
    floor = 1.8 * rows["domain"].map(FLOORS)
    mean = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, E=floor, A=0.35, alpha=0.35, B=0.4, beta=0.37)
    return rows.assign(loss=mean * np.exp(np.random.default_rng(0).normal(0, 0.003, len(rows))))


def fitted(rows: pd.DataFrame, seed: int) -> Fit:
    model = bl.Model(models.chinchilla, bl.read_runs(rows), by={"E": "domain"}, noise=INDEPENDENT, misfit=None)
    return model.fit(draws=1500, tune=500, chains=2, seed=seed, progress=False)


ROWS = chinchilla()
EARLY = (ROWS["domain"] == "music") & (ROWS["N"] == 2e8) & (ROWS["D"] < 1e11)
"""Two checkpoints of a single run."""


@pytest.fixture(scope="module")
def three() -> Fit:
    return fitted(ROWS[ROWS["domain"] != "music"], seed=1)


@pytest.fixture(scope="module")
def four(three: Fit) -> Fit:
    return three.new_domain(bl.read_runs(ROWS[EARLY]), draws=3000, seed=0)


def alike(found: xr.DataArray, refit: xr.DataArray, width: float) -> None:
    """Means within a tenth of a standard deviation, widths of intervals within `width`."""
    shift = (found.mean(SAMPLE) - refit.mean(SAMPLE)) / refit.std(SAMPLE)
    np.testing.assert_array_less(abs(shift), 0.1)
    ends = [[x.quantile(q, SAMPLE) for q in (0.055, 0.945)] for x in (found, refit)]
    np.testing.assert_allclose((ends[0][1] - ends[0][0]) / (ends[1][1] - ends[1][0]), 1, atol=width)


# ----------------------------------------------------------------------------------------------------- the joint refit
def test_it_is_the_posterior_of_all_runs(four):
    refit = fitted(ROWS[(ROWS["domain"] != "music") | EARLY], seed=2)
    ask: dict[str, Any] = {"N": [2e8, 5e9], "D": [1e10, 1e12]}
    alike(four.predict(**ask, domain="music").draws, refit.predict(**ask, domain="music").draws, 0.1)
    alike(four.predict(**ask, domain="law").draws, refit.predict(**ask, domain="law").draws, 0.1)
    assert four.settings["method"] == "new domain" and four.settings["pareto_k"] < 0.7


@pytest.mark.slow
def test_it_is_the_posterior_of_all_runs_where_several_coefficients_are_the_domains_own():
    """The D-CPT law with E, B and C by domain: six early measurements of two runs, predictions far beyond."""
    rng = np.random.default_rng(3)
    levels: list[Any] = [["code", "law", "math", "music", "chemistry"], [0.5e9, 1.8e9, 4e9], [0.1, 0.33, 0.67, 0.9]]
    levels.append([0.5e9, 1e9, 2e9, 5e9, 1e10, 2.6e10])
    rows = pd.MultiIndex.from_product(levels, names=["domain", "N", "domain_share", "D"]).to_frame(index=False)
    truth: dict[str, Any] = dict(E=1.5, A=0.4, alpha=0.3, B=0.03, beta=0.3, eta=1.2, C=0.4, gamma=0.4, eps=0.08)
    for name, spread in {"E": 0.15, "B": 0.25, "C": 0.25}.items():
        own = truth[name] * np.exp(rng.normal(0, spread, 5))
        truth[name] = rows["domain"].map(dict(zip(levels[0], own, strict=True)))
    mean = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, rows["domain_share"], **truth)
    rows["domain_loss"] = mean * np.exp(rng.normal(0, 0.004, len(rows)))
    new = rows["domain"] == "chemistry"
    early = new & (rows["N"] == 0.5e9) & (rows["D"] <= 2e9) & rows["domain_share"].isin([0.33, 0.67])

    def fit(which: pd.Series, seed: int) -> Fit:
        by = dict.fromkeys(("E", "B", "C"), "domain")
        model = bl.Model(models.dcpt, bl.read_runs(rows[which]), by=by, noise=INDEPENDENT, misfit=None)
        return model.fit(draws=1000, tune=500, chains=4, seed=seed, progress=False)

    ask: dict[str, Any] = {"N": [0.5e9, 4e9], "D": [1e9, 1e11], "domain_share": [0.1, 0.5, 0.9], "domain": "chemistry"}
    found = fit(~new, 1).new_domain(bl.read_runs(rows[early]), draws=4000)
    alike(found.predict(**ask).draws, fit(~new | early, 2).predict(**ask).draws, 0.1)


# ------------------------------------------------------------------------------------------------------ what it returns
def test_it_is_a_fit_like_any_other(four, tmp_path):
    assert four.posterior.sizes["chain"] == 1 and four.posterior.sizes["draw"] == 3000
    assert list(four.posterior["E"]["domain"].values) == list(four.model.design.groups["domain"])
    assert set(four.posterior.data_vars) == set(bl.load(four.save(tmp_path / "four.nc")).posterior.data_vars)
    assert four.checks() and len(four.model.runs) == 27 + 2
    np.testing.assert_allclose(four.posterior["A_paper"], four.posterior["A"] * 1e9 ** four.posterior["alpha"])


def test_early_runs_narrow_what_the_population_says(three, four):
    ask: dict[str, Any] = {"N": 5e9, "D": 1e11}
    before = three.predict(**ask, domain=bl.UNSEEN).draws
    after = four.predict(**ask, domain="music").draws
    truth = models.chinchilla(5.0, 10.0, E=1.8 * FLOORS["music"], A=0.35, alpha=0.35, B=0.4, beta=0.37)
    assert float(after.std()) < 0.2 * float(before.std())
    assert abs(float(after.mean()) - truth) < 4 * float(after.std())


def test_the_same_seed_gives_the_same_draws(three):
    a, b = (three.new_domain(bl.read_runs(ROWS[EARLY]), draws=50, seed=4) for _ in range(2))
    xr.testing.assert_identical(a.posterior, b.posterior)


def test_names_of_runs_that_are_taken_are_told_apart(three):
    early = bl.read_runs(ROWS[EARLY].assign(run=three.model.runs.table["run"].iloc[0]))
    assert three.new_domain(early, draws=50).model.runs.table["run"].iloc[-1].endswith("(new)")


# ------------------------------------------------------------------------------------------------------------- refusals
def test_what_is_refused(three):
    early = ROWS[EARLY]
    refused: list[tuple[pd.DataFrame, str]] = [
        (early.assign(domain="law"), "'law' is among those that were fitted"),
        (early.drop(columns="domain"), "of 0 domains: give those of one"),
        (pd.concat([early, early.assign(domain="x")]), "of 2 domains"),
        (early.rename(columns={"loss": "domain_loss"}), "losses on domain, the fit on validation"),
    ]
    for table, words in refused:
        with pytest.raises(DataError, match=words):
            three.new_domain(bl.read_runs(table))
    with pytest.raises(DataError, match="areas of the early runs have other settings"):
        three.new_domain(replace(bl.read_runs(early), area_settings={"memory": 0.9}))
    by_size = bl.Model(models.chinchilla, three.model.runs, by={"E": "domain", "B": "N"}, misfit=None).prior_predictive(
        draws=5
    )
    with pytest.raises(DataError, match="N 7000000.*is not among those that were fitted"):
        by_size.new_domain(bl.read_runs(early.assign(N=7e9)))
    with pytest.raises(RangeError, match="draws is 0"):
        three.new_domain(bl.read_runs(early), draws=0)
    runs, some = bl.read_runs(ROWS[ROWS["domain"] != "music"]), bl.read_runs(early)
    shared = bl.Model(models.chinchilla, runs, misfit=None).prior_predictive(draws=5)
    with pytest.raises(LawError, match="a new domain needs one of its own"):
        shared.new_domain(some)
    separate = bl.positive(1.5, spread=0.5, dims="domain")
    model = bl.Model(models.chinchilla, runs, by={"A": "domain"}, priors={"E": separate}, misfit=None)
    with pytest.raises(LawError, match="E is separate for each domain"):
        model.prior_predictive(draws=5).new_domain(some)
    with pytest.raises(LawError, match="least squares has no populations"):
        bl.Model(models.chinchilla, runs, by={"E": "domain"}, misfit=None).fit(method="mle").new_domain(some)

    with pytest.raises(LawError, match="draws from the prior do not depend on the runs"):
        bl.Model(models.chinchilla, runs, by={"E": "domain"}, misfit=None).prior_predictive(draws=5).new_domain(some)


# ------------------------------------------------------------------------------------------------------------ the refit
@contextmanager
def told(words: str) -> Iterator[None]:
    """One warning of a user's, among those of the libraries."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    said = [str(w.message) for w in caught if w.category is UserWarning]
    assert len(said) == 1 and re.search(words, said[0]), said


def test_runs_that_say_too_much_for_weights_are_fitted_with_all_others(tmp_path):
    """Small models of two domains, early, and the whole sweep of a third, which alone shows how size and tokens act."""
    small = (ROWS["domain"].isin(["code", "law"])) & (ROWS["N"] < 5e9) & (ROWS["D"] < 1e11)
    new, before = ROWS[ROWS["domain"] == "music"], fitted(ROWS[small], seed=1)
    with told(r"'music' inform .* \(Pareto's k .*\): all runs are fitted together, which took [\d.]+ s without them"):
        found = before.new_domain(bl.read_runs(new), seed=3)
    assert found.settings["shared_errors"] == {"validation": 0.0}
    joint = found.model.fit(draws=1500, tune=500, chains=2, seed=3, progress=False)
    xr.testing.assert_identical(found.posterior, joint.posterior)
    assert found.sampled and found.settings["pareto_k"] > 0.7 and found.seconds > 0
    stored = bl.load(found.save(tmp_path / "three.nc"))
    assert stored.settings == found.settings
    assert "the domain music added by a refit of all runs" in repr(stored)


def test_runs_that_may_share_batch_noise_are_fitted_with_all_others():
    rows = ROWS.assign(run=ROWS["domain"] + ROWS["N"].astype(str), data_order=ROWS["N"].astype(str))
    new = rows["domain"] == "music"
    model = bl.Model(models.chinchilla, bl.read_runs(rows[~new]), by={"E": "domain"}, noise=INDEPENDENT, misfit=None)
    before = model.fit(draws=20, tune=100, chains=1, progress=False)
    with told("'music' may share batch noise with the others: all runs are fitted together"):
        found = before.new_domain(bl.read_runs(rows[new]))
    assert found.model.noise.batch and found.draws == 20 and "music" in found.posterior["domain"]
