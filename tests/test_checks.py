"""The checks of a fit: each fails where something is wrong, with a remedy, and passes where nothing is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import checks, models
from bayeslaw.checks import CheckResult, Checks, run_checks
from bayeslaw.fit import Fit
from bayeslaw.runs import read_runs

TRUTH = dict(E=1.8, A=0.35, alpha=0.35, B=0.4, beta=0.37)


def simulated(bump: float = 0.0, D: tuple[float, ...] = (1e9, 3e9, 1e10, 3e10, 1e11)) -> pd.DataFrame:
    """Chinchilla's law with checkpoints; `bump` nats rise and fall again in the middle of every run."""
    sizes = [2e8, 5e8, 1e9, 2e9, 5e9]
    rows = pd.MultiIndex.from_product([sizes, D], names=["N", "D"]).to_frame(index=False)
    rng = np.random.default_rng(0)
    rows["loss"] = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **TRUTH) * np.exp(
        rng.normal(0, 0.003, len(rows))
    )
    middle = rows["D"] == D[len(D) // 2]
    rows.loc[middle, "loss"] += bump
    return rows


def model(table: pd.DataFrame | None = None, **settings: Any) -> bl.Model:
    settings = {"noise": bl.Noise(correlated=False), **settings}
    return bl.Model(models.chinchilla, read_runs(simulated() if table is None else table), **settings)


@pytest.fixture(scope="module")
def good() -> Fit:
    return model().fit(draws=600, tune=400, chains=2, progress=False)


def named(every: Checks, name: str) -> CheckResult:
    return next(c for c in every if c.name == name)


def doctored(fit: Fit, **stats: xr.DataArray) -> Fit:
    """The same fit with other sampler statistics."""
    groups = {k: node.to_dataset() for k, node in fit.idata.children.items()}
    groups["sample_stats"] = groups["sample_stats"].assign(stats)
    return replace(fit, idata=xr.DataTree.from_dict(groups))


def shifted(fit: Fit, **changed: Any) -> Fit:
    """The same fit with other draws."""
    groups = {k: node.to_dataset() for k, node in fit.idata.children.items()}
    groups["posterior"] = groups["posterior"].assign({k: f(groups["posterior"][k]) for k, f in changed.items()})
    return replace(fit, idata=xr.DataTree.from_dict(groups))


def test_a_good_fit_passes(good):
    found = good.checks()
    assert found.passed, repr(found)
    assert [c.name for c in found] == [
        "convergence",
        "reference run",
        "range",
        "fit to the data",
        "misfit by group",
        "shape along tokens",
        "trends",
        "prior sensitivity",
    ]
    assert good.checks() is found


def test_divergences_are_counted_with_a_remedy(good):
    diverging = good.idata["sample_stats"]["diverging"].copy(deep=True)
    diverging[0, :3] = True
    every = run_checks(doctored(good, diverging=diverging))
    found = named(every, "convergence")
    assert not found.passed and not every.passed
    assert "3 divergences" in found.text and "target_accept" in found.text


def test_chains_that_disagree_are_named(good):
    apart = shifted(good, E=lambda e: e + xr.DataArray([0.0, 1.0], dims="chain"))
    found = named(run_checks(apart), "convergence")
    assert not found.passed and "draw more" in found.text


def test_runs_far_from_the_reference_are_named(good):
    assert "factor of 100" in named(good.checks(), "reference run").text
    far = Fit(model(reference={"N": 1e5}), good.idata)
    found = named(run_checks(far), "reference run")
    assert not found.passed
    assert "in N," in found.text and "reference={'N': ...}" in found.text


def test_rows_outside_the_range_are_counted():
    rows = pd.MultiIndex.from_product(
        [[1e9], [1e9, 1e10], [0.0, 0.02, 0.5, 0.98, 1.0]], names=["N", "D", "domain_share"]
    )
    table = rows.to_frame(index=False).assign(general_loss=2.5, domain_loss=2.0)
    cases: tuple[Any, ...] = (
        ("exclude", False, "8 of 20 measurements lie outside"),
        ("include", True, "included"),
    )
    for outside, passed, words in cases:
        found = checks._range(Fit(bl.Model(models.dcpt, read_runs(table), outside=outside), xr.DataTree()))
        assert found.passed is passed and words in found.text


def test_a_band_that_is_too_narrow_is_found(good):
    found = named(run_checks(shifted(good, sigma=lambda s: s / 10)), "fit to the data")
    assert not found.passed and "robust errors or pooling" in found.text


def missing(N: float, times: float, D: tuple[float, ...]) -> CheckResult:
    """The misfit check of runs whose losses at one size and some tokens are off by a factor."""
    table = simulated(D=(1e9, 3e9, 1e10, 2e10, 3e10, 1e11))
    table.loc[(table["N"] == N) & table["D"].isin(D), "loss"] *= times
    posterior = xr.Dataset({k: (("chain", "draw", "eval"), [[[v]]]) for k, v in (TRUTH | {"sigma": 0.003}).items()})
    stand_in = posterior.assign_coords(chain=[0], draw=[0], eval=["validation"])
    return checks._misfit(Fit(model(table), xr.DataTree.from_dict({"posterior": stand_in})))


def test_a_size_that_the_law_misses_is_named():
    found = missing(1e9, 1.01, (1e9, 3e9, 1e10, 2e10, 3e10, 1e11))
    assert not found.passed
    assert "the validation loss at N 1 B in between by 0.79 % (measured above it, 5.3 standard errors)" in found.text
    assert "the validation loss at N 1 B at the end of the runs" in found.text


def test_the_end_of_runs_that_the_law_misses_is_named():
    found = missing(2e9, 0.98, (1e11,))
    assert not found.passed
    assert "the validation loss at N 2 B at the end of the runs by 1.9 %" in found.text and "below it" in found.text


def test_chance_is_no_misfit():
    found = missing(2e9, 1.0, ())
    assert found.passed and "as chance explains" in found.text


def bent(runs: int, rise: float) -> bl.Model:
    """Losses nearly flat along tokens; those of the first `runs` sizes rise and fall again."""
    table = simulated()
    table["loss"] -= 0.35 * (table["D"] / 1e10) ** -0.37
    hump = table["N"].isin(sorted(table["N"].unique())[:runs]) & table["D"].isin([3e9, 1e10])
    table.loc[hump, "loss"] += rise
    return model(table)


def test_a_loss_that_rises_along_a_run_raises_the_alarm(good):
    assert named(good.checks(), "shape along tokens").passed
    found = named(run_checks(bent(1, 0.3).fit(method="mle")), "shape along tokens")
    assert not found.passed
    assert "rises along 1 runs" in found.text and "(validation), which chinchilla cannot follow" in found.text


def test_a_rise_in_every_run_raises_the_alarm():
    assert not named(run_checks(bent(5, 0.3).fit(method="mle")), "shape along tokens").passed


def test_single_measurements_have_no_shape_along_tokens():
    table = simulated().assign(run=lambda t: t.index.astype(str))
    names = [c.name for c in model(table).fit(method="mle").checks()]
    assert "shape along tokens" not in names
    assert "convergence" not in names  # nothing was sampled


def test_a_law_that_rises_is_found(good):
    found = checks._trends(shifted(good, B=lambda b: -b))
    assert found is not None and not found.passed and "D 0.00" in found.text and "N 1.00" in found.text


def judged(fit: Fit, monkeypatch: pytest.MonkeyPatch, **row: Any) -> CheckResult:
    """The check of a fit whose answers all have this sensitivity."""
    usual = {"prior": 0.01, "likelihood": 0.4, "shift": 0.1, "strongest": "beta"} | row
    monkeypatch.setattr(
        checks, "sensitivity", lambda _, q: pd.DataFrame([usual] * q.sizes["answer"], index=range(q.sizes["answer"]))
    )
    found = checks._sensitivity(fit)
    assert found is not None
    return found


def test_answers_that_depend_on_the_priors_are_named(good, monkeypatch):
    assert judged(good, monkeypatch).passed
    moved = judged(good, monkeypatch, prior=0.3, shift=0.8)
    assert not moved.passed and "at most 0.80 posterior standard deviations (the validation loss at N" in moved.text
    assert "most through the prior on beta); check that prior" in moved.text
    ruled = judged(good, monkeypatch, prior=0.3, likelihood=0.01)
    assert not ruled.passed and "the prior on beta decides the validation loss at N" in ruled.text


def test_a_prior_that_contradicts_the_data_is_named(good):
    strong = model(priors={"beta": bl.positive(1.5, spread=0.15)})
    fit = strong.fit(draws=200, tune=300, chains=2, progress=False)
    found = checks._sensitivity(fit)
    assert found is not None and not found.passed
    assert "the prior on beta" in found.text and "prior and data disagree about" in found.text
    calm = checks._sensitivity(good)
    assert calm is not None and calm.passed and "disagree" not in calm.text


def test_few_draws_have_no_sensitivity(good):
    assert checks._sensitivity(replace(good, idata=good.idata.isel(draw=slice(40)))) is None
    assert checks._sensitivity(replace(good, settings={"method": "prior"})) is None


def test_the_papers_fit_is_beside_the_posterior(good, monkeypatch):
    found = checks.beside_papers_fit(good)
    assert found.passed and "half-widths of the mean law's 89% band" in found.text
    other = shifted(replace(good, idata=good.idata.isel(chain=[0], draw=[0])), E=lambda e: e + 0.05)
    monkeypatch.setattr(bl.Model, "fit", lambda *_, **__: other)
    found = checks.beside_papers_fit(good)
    assert not found.passed and "the validation loss at N" in found.text


def test_checks_are_a_table_and_a_text():
    both = Checks((CheckResult("one", True, "all is well"), CheckResult("two", False, "mend it")))
    assert not both.passed and len(both) == 2
    assert Checks(both.results[:1]).passed and Checks(()).passed
    frame = both.frame()
    assert list(frame.columns) == ["name", "passed", "text"]
    assert frame["passed"].tolist() == [True, False]
    assert repr(both) == "1 of 2 checks passed\n  pass  one: all is well\n  FAIL  two: mend it"
    assert "<table" in both._repr_html_()
