"""The checks of a fit: each fails where something is wrong, with a remedy, and passes where nothing is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.errors import UnknownName
from bayeslaw.checks import CheckResult, Checks, answers, cross_check, priors, residuals, run_checks, runs
from bayeslaw.cli import app
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit

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
        "scatter",
        "shape along tokens",
        "trends",
        "identification",
        "prior sensitivity",
        "influential runs",
        "papers' fit",
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


def test_energy_that_hardly_moves_is_named(good):
    energy = good.idata["sample_stats"]["energy"]
    slow = energy.copy(data=np.cumsum(np.random.default_rng(0).normal(size=energy.shape), axis=-1))
    found = named(run_checks(doctored(good, energy=slow)), "convergence")
    assert not found.passed and "E-BFMI at least 0.0" in found.text and "pool less" in found.text
    assert "E-BFMI at least" in named(good.checks(), "convergence").text


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
        found = runs.in_range(Fit(bl.Model(models.dcpt, read_runs(table), outside=outside), xr.DataTree()))
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
    return residuals.misfit(Fit(model(table), xr.DataTree.from_dict({"posterior": stand_in})))


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


def stand_in(table: pd.DataFrame, **drawn: Any) -> Fit:
    """A fit whose draws are the truth, but for the coefficients that are drawn (dims chain, draw)."""
    coords: dict[str, Any] = {"chain": [0, 1], "draw": np.arange(400), "eval": ["validation"]}
    values = {k: drawn.get(k, np.full((2, 400), v))[..., None] for k, v in (TRUTH | {"sigma": 0.003}).items()}
    posterior = xr.Dataset({k: (tuple(coords), v) for k, v in values.items()}, coords)
    return Fit(model(table), xr.DataTree.from_dict({"posterior": posterior}), {"method": "stand-in"})


def normal(mean: float, sd: float) -> np.ndarray:
    return np.random.default_rng(1).normal(mean, sd, (2, 400))


def test_a_run_that_scatters_is_named():
    assert residuals.scatter(stand_in(simulated())).passed
    table = simulated().assign(run=lambda t: "of " + t["N"].astype(str))
    wild = table["N"] == 1e9
    table.loc[wild, "loss"] *= 1 + 0.03 * np.array([1, -1, 1, -1, 1])
    found = residuals.scatter(stand_in(table))
    assert not found.passed
    assert found.text.startswith("the run of 1000000000.0 scatters 9.2 times as far as the error model expects")
    assert "Noise(robust=True)" in found.text


def test_robust_errors_expect_outliers():
    table, t = simulated(), np.random.default_rng(0).standard_t(5, 25)
    table["loss"] = models.chinchilla(table["N"] / 1e9, table["D"] / 1e10, **TRUTH) * np.exp(0.003 * t)
    usual = stand_in(table)
    robust = replace(usual, model=model(table, noise=bl.Noise(correlated=False, robust=True)))
    times = [float(residuals.scatter(f).text.split(" times")[0].split()[-1]) for f in (usual, robust)]
    assert residuals.scatter(robust).passed and times[1] < times[0]


def test_what_the_data_do_not_identify_is_named():
    """Alpha has no effect on runs of the reference's size, and an effect on others."""
    wide = np.exp(normal(np.log(0.35), 0.6))
    one_size = simulated().assign(run=lambda t: t["N"].astype(str), N=1e9)
    harmless = priors.identification(stand_in(one_size, alpha=wide))
    assert harmless is not None and harmless.passed
    assert "do not identify alpha of the validation loss; predictions inside the design do not depend" in harmless.text
    hangs = priors.identification(stand_in(simulated(), alpha=wide))
    assert hangs is not None and not hangs.passed
    assert "depend on alpha of the validation loss (one sd moves a loss by up to" in hangs.text
    known = priors.identification(stand_in(simulated()))
    assert known is not None and known.passed and "narrowed every coefficient beyond its prior" in known.text


def test_a_run_that_moves_the_answers_is_named(good):
    calm = answers.influence(good)
    assert calm is not None and calm.passed and "the most of all runs" in calm.text
    table = simulated().assign(run=lambda t: "of " + t["N"].astype(str))
    table.loc[table["N"] == 2e8, "loss"] *= 1.012  # it holds the level up
    found = answers.influence(stand_in(table, E=normal(1.802, 0.001)))
    assert found is not None and not found.passed
    assert found.text.startswith("without the run of 200000000.0, the validation loss at N")
    assert "look at that run, or repeat it" in found.text


def test_a_run_is_left_out_and_not_counted_twice(good, monkeypatch):
    """A mean of ten numbers, one of them far off, whose posteriors with and without each are known."""
    y = np.array([0.0, 0.1, -0.1, 0.2, 0.3, -0.2, 0.0, 0.1, -0.3, 4.5])
    mean = xr.DataArray(np.random.default_rng(0).normal(y.mean(), 10**-0.5, (2, 1000)), dims=("chain", "draw"))
    density = xr.DataArray(stats.norm(mean.values[..., None]).logpdf(y), dims=("chain", "draw", "run"))
    asked = mean.expand_dims(answer=["the mean"], axis=-1).assign_coords(measured_in=("answer", [""]))
    monkeypatch.setattr(answers, "log_likelihood", lambda fit: density.assign_coords(run=list("abcdefghij")))
    monkeypatch.setattr(answers, "answers", lambda fit: asked)
    chance = xr.DataArray([(1 / 9 - 1 / 10) ** 0.5], dims="answer")
    monkeypatch.setattr(answers, "by_chance", lambda fit, asked: chance)
    found = answers.influence(good)
    assert found is not None and not found.passed
    shift = (y.mean() - y[:9].mean()) * 10**0.5
    assert found.text.startswith("without the run j, the mean would move by")
    assert float(found.text.split(" by ")[1].split()[0]) == pytest.approx(shift, rel=0.2)
    pairs = xr.DataArray(stats.norm(mean.values[..., None], 0.5).logpdf([-1.0, 1.2, 1.0]), dims=density.dims)
    monkeypatch.setattr(answers, "log_likelihood", lambda fit: pairs.assign_coords(run=list("abc")))
    monkeypatch.setattr(answers, "by_chance", lambda fit, asked: 10 * chance)
    few = answers.influence(good)
    assert few is not None and few.passed and "as chance explains" in few.text


def test_what_leaving_a_run_out_does_by_chance():
    """A level of runs that differ in nothing: without one of n the mean scatters by sigma / sqrt(n (n - 1))."""
    table = pd.DataFrame({"run": list("abcde"), "N": 1e9, "D": 1e10, "loss": np.exp([0.7, 0.71, 0.69, 0.7, 0.72])})
    rng, sigma = np.random.default_rng(0), 0.01
    level = np.exp(rng.normal(0.7, sigma / 5**0.5, (2, 2000)))[..., None]
    draws = {"E": level, "A": level * 0, "alpha": level * 0 + 1, "B": level * 0, "beta": level * 0 + 1}
    draws["sigma"] = level * 0 + sigma
    coords = {"chain": [0, 1], "draw": np.arange(2000), "eval": ["validation"]}
    posterior = xr.Dataset({k: (("chain", "draw", "eval"), v) for k, v in draws.items()}, coords=coords)
    fit = Fit(model(table), xr.DataTree.from_dict({"posterior": posterior}))
    asked = xr.ufuncs.log(posterior["E"]).squeeze("eval", drop=True).expand_dims(answer=["the level"], axis=-1)
    found = answers.by_chance(fit, asked)
    np.testing.assert_allclose(found, sigma / 20**0.5, rtol=0.05)


def test_an_unknown_name_in_a_plan_is_refused(good):
    with pytest.raises(UnknownName, match="'n'"):
        good.checks(n=1e12)


def test_coverage_is_held_against_chance(good):
    few = shifted(good, sigma=lambda s: s * 0 + 0.0003)
    assert not residuals.coverage(few).passed and residuals.coverage(good).passed


@pytest.mark.parametrize(("ratio", "passed"), [(0.3, True), (0.7, False)])
def test_a_critical_ratio_beyond_the_measured_shares_is_named(ratio, passed, monkeypatch):
    rows = pd.MultiIndex.from_product([[1e9, 2e9], [1e9, 1e10], [0.1, 0.3, 0.5]], names=["N", "D", "domain_share"])
    runs_ = read_runs(rows.to_frame(index=False).assign(general_loss=2.5, domain_loss=2.0))
    draws = xr.DataArray(normal(ratio, 0.02), {"chain": [0, 1], "draw": range(400)}).expand_dims(N=[1e9, 2e9])
    asked = CriticalRatio("critical_ratio", draws, "1", "mean law", low=0.1, high=0.9)
    monkeypatch.setattr(answers, "critical_ratio", lambda *_, **__: asked)
    found = answers.boundary(Fit(bl.Model(models.dcpt, runs_), xr.DataTree()))
    assert found is not None and found.passed is passed
    assert ("lies beyond the measured shares (0.1 to 0.5)" in found.text) is not passed
    at_the_end = replace(asked, draws=xr.full_like(draws, 0.5), high=0.5)  # a bound that was measured
    monkeypatch.setattr(answers, "critical_ratio", lambda *_, **__: at_the_end)
    known = answers.boundary(Fit(bl.Model(models.dcpt, runs_), xr.DataTree()))
    assert known is not None and known.passed


@pytest.mark.parametrize(
    ("planned", "passed", "words"),
    [
        ({"N": 2e9, "D": [1e9, 1e11]}, True, "inside the design"),
        ({"N": 5e9, "D": 1.2e11}, True, "1.2 times beyond the runs"),
        (
            {"N": 6e9},
            False,
            "N 6 B lies 1.2 times beyond the largest run, 5 B, and on public tables intervals were too",
        ),
        ({"N": 2e10}, False, "N 20 B lies 4 times beyond the largest run, 5 B"),
        ({"D": [1e8, 1e10]}, False, "D 100 M lies 10 times beyond the smallest run, 1 B"),
    ],
)
def test_a_planned_prediction_too_far_beyond_the_runs_is_named(good, planned, passed, words):
    found = good.checks(**planned)
    last = list(found)[-1]
    assert (last.name, last.passed) == ("extrapolation", passed) and words in last.text
    assert len(found) == len(good.checks()) + 1 and found.passed is passed


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--N", "2e10"], 1)])
def test_the_command_line_exits_as_the_checks_say(good, words, code, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        app(["check", str(good.save(tmp_path / "fit.nc")), *words])
    lines = capsys.readouterr().out.splitlines()
    assert left.value.code == code and lines[0].startswith("pass  convergence: R-hat at most")
    assert lines[-1].startswith("FAIL  extrapolation: N 20 B lies 4 times" if words else "pass  papers' fit")


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
    assert "rises along one run, run 1 " in found.text and "(validation), which chinchilla cannot follow" in found.text


def test_a_rise_in_every_run_raises_the_alarm():
    assert not named(run_checks(bent(5, 0.3).fit(method="mle")), "shape along tokens").passed


def test_single_measurements_have_no_shape_along_tokens():
    table = simulated().assign(run=lambda t: t.index.astype(str))
    names = [c.name for c in model(table).fit(method="mle").checks()]
    assert "shape along tokens" not in names
    assert "convergence" not in names  # nothing was sampled


def test_a_law_that_rises_is_found(good):
    found = answers.trends(shifted(good, B=lambda b: -b))
    assert found is not None and not found.passed and "D 0.00" in found.text and "N 1.00" in found.text


def judged(fit: Fit, monkeypatch: pytest.MonkeyPatch, **row: Any) -> CheckResult:
    """The check of a fit whose answers all have this sensitivity."""
    usual = {"prior": 0.01, "likelihood": 0.4, "shift": 0.1, "strongest": "beta"} | row
    monkeypatch.setattr(
        priors, "sensitivity", lambda _, q: pd.DataFrame([usual] * q.sizes["answer"], index=range(q.sizes["answer"]))
    )
    found = priors.prior_sensitivity(fit)
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
    found = priors.prior_sensitivity(fit)
    assert found is not None and not found.passed
    assert "the prior on beta" in found.text and "prior and data disagree about" in found.text
    calm = priors.prior_sensitivity(good)
    assert calm is not None and calm.passed and "disagree" not in calm.text


def test_few_draws_have_no_sensitivity(good):
    assert priors.prior_sensitivity(replace(good, idata=good.idata.isel(draw=slice(40)))) is None
    assert priors.prior_sensitivity(replace(good, settings={"method": "prior"})) is None


def test_the_papers_fit_is_beside_the_posterior(good, monkeypatch):
    found = cross_check.beside_papers_fit(good)
    assert found.passed and "posterior standard deviations" in found.text
    other = shifted(replace(good, idata=good.idata.isel(chain=[0], draw=[0])), E=lambda e: e + 0.05)
    monkeypatch.setattr(cross_check, "refit", lambda *_, **__: other)
    found = cross_check.beside_papers_fit(good)
    assert not found.passed and "the validation loss at N" in found.text


def test_checks_are_a_table_and_a_text():
    both = Checks((CheckResult("one", True, "all is well"), CheckResult("two", False, "mend it")))
    assert not both.passed and len(both) == 2
    assert Checks(both.results[:1]).passed and Checks(()).passed
    frame = both.to_frame()
    assert list(frame.columns) == ["name", "passed", "text"]
    assert frame["passed"].tolist() == [True, False]
    assert repr(both) == "1 of 2 checks passed\n  pass  one: all is well\n  FAIL  two: mend it"
    assert "<table" in both._repr_html_()
