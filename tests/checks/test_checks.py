"""The checks of a fit: each fails where something is wrong, with a remedy, and passes where nothing is."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.numbers import short
from bayeslaw.checks import (
    CHECKS,
    CheckResult,
    Checks,
    answers,
    convergence,
    cross_check,
    priors,
    residuals,
    run_checks,
    runs,
)
from bayeslaw.cli import app
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.errors import UnknownName
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit
from tests import stand_ins

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
    return bl.Model(models.chinchilla, read_runs(simulated() if table is None else table), **settings, misfit=None)


@pytest.fixture(scope="module")
def good() -> Fit:
    return model().fit(draws=600, tune=400, chains=2, progress=False)


def named(every: Checks, name: str) -> Any:
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
        "misfit along scales",
        "neighbouring runs",
        "scatter",
        "shape along tokens",
        "trends",
        "shape prior",
        "identification",
        "prior sensitivity",
        "influential runs",
        "papers' fit",
    ]
    assert good.checks() is found


def test_a_check_passes_where_its_number_is_at_most_the_limit(good):
    found = good.checks().to_frame()
    assert set(found["name"]) == set(CHECKS) - {
        "boundary shares",
        "run effect",
        "sources left out",
        "memory",
        "peak learning rates",
        "model sizes",
        "repetition",
    }, "results are called what the checks are called"
    assert (found["passed"] == (found["value"] <= found["limit"])).all() and np.isfinite(found["value"]).all()


def test_a_check_that_raises_has_failed(good, monkeypatch):
    def broken(fit: Fit) -> CheckResult:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setitem(CHECKS, "trends", broken)
    every = run_checks(replace(good))
    found = named(every, "trends")
    assert not found.passed and "LinAlgError: Singular matrix" in found.text
    assert found.value is found.limit is None and len(every) == len(good.checks())


def test_divergences_are_counted_with_a_remedy(good):
    diverging = good.idata["sample_stats"]["diverging"].copy(deep=True)
    diverging[0, :3] = True
    every = run_checks(doctored(good, diverging=diverging))
    found = named(every, "convergence")
    assert (found.passed, found.value, found.limit) == (False, 3, 0) and not every.passed
    assert "3 divergences" in found.text and "target_accept" in found.text


def test_chains_that_disagree_are_named(good):
    apart = shifted(good, E=lambda e: e + xr.DataArray([0.0, 1.0], dims="chain"))
    found = named(run_checks(apart), "convergence")
    assert not found.passed and found.value > 1.5 and found.limit == 1.01 and "draw more" in found.text
    assert f"R-hat at most {np.ceil(1000 * found.value) / 1000:.3f}, 1.01 allowed" in found.text


def test_few_effective_draws_are_a_large_monte_carlo_error(good):
    few = replace(good, idata=good.idata.isel(draw=slice(100)))
    independent = np.random.default_rng(0).normal(size=(2, 100, 1))
    changed = {str(name): lambda v: v.copy(data=independent) for name in few.posterior}
    found: Any = convergence(shifted(few, **changed))
    assert not found.passed and found.limit == pytest.approx(0.05)
    assert re.search(rf"ESS at least {int(found.value**-2)}, 400 needed, 0 divergences", found.text)
    assert "allowed" not in found.text


def test_one_chain_has_no_r_hat(good):
    found: Any = convergence(replace(good, idata=good.idata.isel(chain=slice(1))))
    assert not found.passed and found.text.startswith("one chain: R-hat is not known, ESS at least ")
    assert found.text.endswith("sample two or more (chains=)") and "nan" not in found.text


def test_energy_that_hardly_moves_is_named(good):
    energy = good.idata["sample_stats"]["energy"]
    slow = energy.copy(data=np.cumsum(np.random.default_rng(0).normal(size=energy.shape), axis=-1))
    found = named(run_checks(doctored(good, energy=slow)), "convergence")
    assert not found.passed and found.value > 0.9 and found.limit == pytest.approx(0.7)
    assert re.search("E-BFMI at least 0.0., 0.3 needed", found.text) and "pool less" in found.text


def test_runs_far_from_the_reference_are_named(good):
    near: Any = runs.reference(good)
    assert near.passed and near.value == pytest.approx(np.mean([1e9, 3e9, 1e10, 3e10, 1e11]) / 1e10)
    found: Any = runs.reference(Fit(model(reference={"N": 1e5}), good.idata))
    assert not found.passed and found.value == pytest.approx(np.mean([2e8, 5e8, 1e9, 2e9, 5e9]) / 1e5)
    assert "in N;" in found.text and "reference={'N': ...}" in found.text


def test_rows_outside_the_range_are_counted():
    rows = pd.MultiIndex.from_product(
        [[1e9], [1e9, 1e10], [0.0, 0.02, 0.5, 0.98, 1.0]], names=["N", "D", "domain_share"]
    )
    table = rows.to_frame(index=False).assign(general_loss=2.5, domain_loss=2.0)
    cases: tuple[Any, ...] = (("exclude", False, 2 / 10), ("include", True, 0))
    for outside, passed, value in cases:
        found: Any = runs.in_range(
            Fit(bl.Model(models.dcpt, read_runs(table), outside=outside, misfit=None), xr.DataTree())
        )
        assert (found.passed, found.value, found.limit) == (passed, value, 0.1)
        for loss in ("general", "domain"):
            assert f"4 of 10 {loss} losses (2 of them in pure runs)" in found.text


def test_each_loss_is_counted_by_itself():
    """Where one loss is half outside and the other inside, the mean of both hides it."""
    rows = pd.MultiIndex.from_product([[1e9, 1e10], [0.5, 0.95]], names=["D", "domain_share"]).to_frame(index=False)
    table = rows.assign(N=1e9, general_loss=2.5, domain_loss=2.0)
    found: Any = runs.in_range(Fit(bl.Model(models.dcpt, read_runs(table), misfit=None), xr.DataTree()))
    assert not found.passed and found.value == 0.5
    assert "2 of 4 general losses lie outside" in found.text and "domain losses" not in found.text


def test_a_band_that_is_too_narrow_is_found(good):
    def towards_the_middle(draws: xr.DataArray) -> xr.DataArray:
        return draws.mean(["chain", "draw"]) + (draws - draws.mean(["chain", "draw"])) / 10

    certain = dict.fromkeys(good.model.law.coefficients, towards_the_middle)
    found = named(run_checks(shifted(good, **certain, sigma=lambda s: s / 10)), "fit to the data")
    assert not found.passed and found.value > 0.6 and 0.11 < found.limit < 0.4
    assert "robust errors or pooling" in found.text and "joint" not in found.text


def missing(N: float, times: float, D: tuple[float, ...]) -> Any:
    """The misfit check of runs whose losses at one size and some tokens are off by a factor."""
    table = simulated(D=(1e9, 3e9, 1e10, 2e10, 3e10, 1e11))
    table.loc[(table["N"] == N) & table["D"].isin(D), "loss"] *= times
    posterior = xr.Dataset({k: (("chain", "draw", "eval"), [[[v]]]) for k, v in (TRUTH | {"sigma": 0.003}).items()})
    stand_in = posterior.assign_coords(chain=[0], draw=[0], eval=["validation"])
    return residuals.misfit(Fit(model(table), xr.DataTree.from_dict({"posterior": stand_in})))


def test_a_size_that_the_law_misses_is_named():
    found = missing(1e9, 1.01, (1e9, 3e9, 1e10, 2e10, 3e10, 1e11))
    assert not found.passed and found.value == pytest.approx(5.3, abs=0.05) and found.limit == 3
    assert "the validation loss at N 1 B in between by 0.79 % (measured above it, 5.26 standard errors)" in found.text
    assert "the validation loss at N 1 B at the end of the runs" in found.text and found.evals == ("validation",)


def test_a_large_misfit_is_a_true_percentage():
    """Losses 2.3 times the law's lie 130 % above it, not 100 log(2.3) = 83 %."""
    found = missing(1e9, 2.3, (1e9, 3e9, 1e10, 2e10, 3e10, 1e11))
    assert "at N 1 B in between by 130 % (measured above it" in found.text and "83 %" not in found.text
    assert "by 57 % (measured below it" in missing(1e9, 1 / 2.3, (1e9, 3e9, 1e10, 2e10, 3e10, 1e11)).text


def test_a_score_is_shown_with_the_digits_that_decide():
    found = missing(1e9, 1.01, (1e9, 3e9, 1e10, 2e10, 3e10, 1e11))
    assert f"{short(found.value)} standard errors" in found.text and "chance explains 3 standard" in found.text


def test_the_end_of_runs_that_the_law_misses_is_named():
    found = missing(2e9, 0.98, (1e11,))
    assert not found.passed
    assert "the validation loss at N 2 B at the end of the runs by 1.9 %" in found.text and "below it" in found.text


def test_chance_is_no_misfit():
    found = missing(2e9, 1.0, ())
    assert found.passed and 0 < found.value < found.limit


def stand_in(table: pd.DataFrame, **drawn: Any) -> Fit:
    """A fit whose draws are the truth, but for the coefficients that are drawn (dims chain, draw)."""
    coords: dict[str, Any] = {"chain": [0, 1], "draw": np.arange(400), "eval": ["validation"]}
    values = {k: drawn.get(k, np.full((2, 400), v))[..., None] for k, v in (TRUTH | {"sigma": 0.003}).items()}
    posterior = xr.Dataset({k: (tuple(coords), v) for k, v in values.items()}, coords)
    return Fit(model(table), xr.DataTree.from_dict({"posterior": posterior}), {"method": "stand-in"})


def normal(mean: float, sd: float) -> np.ndarray:
    return np.random.default_rng(1).normal(mean, sd, (2, 400))


def test_a_run_that_scatters_is_named():
    calm: Any = residuals.scatter(stand_in(simulated()))
    assert calm.passed and calm.value < calm.limit == pytest.approx(-np.log10(0.01 / 15))
    table = simulated().assign(run=lambda t: "of " + t["N"].astype(str))
    wild = table["N"] == 1e9
    table.loc[wild, "loss"] *= 1 + 0.03 * np.array([1, -1, 1, -1, 1])
    found: Any = residuals.scatter(stand_in(table))
    assert not found.passed and found.value > 50
    assert found.text.startswith("the run of 1000000000.0 scatters most, 9.2 times as far as the error model expects")
    assert "Noise(robust=True)" in found.text


def test_robust_errors_expect_outliers():
    table, t = simulated(), np.random.default_rng(0).standard_t(5, 25)
    table["loss"] = models.chinchilla(table["N"] / 1e9, table["D"] / 1e10, **TRUTH) * np.exp(0.003 * t)
    usual = stand_in(table)
    robust = replace(usual, model=model(table, noise=bl.Noise(correlated=False, robust=True)))
    expected: Any = residuals.scatter(robust)
    assert expected.passed and expected.value < residuals.scatter(usual).value


def test_what_the_data_do_not_identify_is_named(monkeypatch):
    """Runs of one size say nothing of alpha, and the allocation hangs on it; on others it moves losses too."""
    wide = np.exp(normal(np.log(0.35), 0.6))
    one_size = simulated().assign(run=lambda t: t["N"].astype(str), N=1e9)
    alone: Any = priors.identification(stand_in(one_size, alpha=wide))
    assert not alone.passed and alone.value > alone.limit == 0.25 and "one N 1 B" in alone.text
    two_sizes = simulated().query("N in (1e9, 2e9)").assign(N=lambda t: t["N"].replace(2e9, 1.001e9))
    narrow: Any = priors.identification(stand_in(two_sizes, alpha=wide))
    assert not narrow.passed and "of the allocation, the answer depends more on the prior of alpha" in narrow.text
    monkeypatch.setattr(priors, "_decided_by_priors", lambda _: None)
    hangs: Any = priors.identification(stand_in(simulated(), alpha=wide))
    assert not hangs.passed and hangs.value > 10 * hangs.limit
    assert "alpha of the validation loss moves a loss by up to" in hangs.text
    known: Any = priors.identification(stand_in(simulated()))
    assert known.passed and known.value == 0


def test_a_run_that_moves_the_answers_is_named(good):
    calm: Any = answers.influence(good)
    assert calm.passed and 0 < calm.value <= calm.limit
    table = simulated().assign(run=lambda t: "of " + t["N"].astype(str))
    table.loc[table["N"] == 2e8, "loss"] *= 1.012  # it holds the level up
    found: Any = answers.influence(stand_in(table, E=normal(1.802, 0.001)))
    assert not found.passed
    assert found.text.startswith("without the run of 200000000.0, the validation loss at N")
    assert "check that run for errors, or repeat it" in found.text


def test_a_run_is_left_out_and_not_counted_twice(good, monkeypatch):
    """A mean of ten numbers, one of them far off, whose posteriors with and without each are known."""
    y = np.array([0.0, 0.1, -0.1, 0.2, 0.3, -0.2, 0.0, 0.1, -0.3, 4.5])
    mean = xr.DataArray(np.random.default_rng(0).normal(y.mean(), 10**-0.5, (2, 1000)), dims=("chain", "draw"))
    density = xr.DataArray(stats.norm(mean.values[..., None]).logpdf(y), dims=("chain", "draw", "run"))
    labels = {"measured_in": ("answer", [""]), "decision": ("answer", [""])}
    asked = mean.expand_dims(answer=["the mean"], axis=-1).assign_coords(labels)
    monkeypatch.setattr(answers, "log_likelihood", lambda fit: density.assign_coords(run=list("abcdefghij")))
    monkeypatch.setattr(answers, "study_of", lambda fit: SimpleNamespace(answers_of=lambda _: asked))
    monkeypatch.setattr(answers, "thinned", lambda fit: fit)
    monkeypatch.setattr(answers, "MOST_PARETO_K", np.inf)  # by weights alone
    chance = xr.DataArray([(1 / 9 - 1 / 10) ** 0.5], dims="answer")
    monkeypatch.setattr(answers, "left_out", lambda fit, asked: (0.0, chance))
    found: Any = answers.influence(good)
    assert not found.passed
    shift = (y.mean() - y[:9].mean()) * 10**0.5
    assert found.text.startswith("without the run j, the mean would move by")
    assert found.value == pytest.approx(shift, rel=0.2) and found.limit == pytest.approx(1.0, abs=0.1)
    pairs = xr.DataArray(stats.norm(mean.values[..., None], 0.5).logpdf([-1.0, 1.2, 1.0]), dims=density.dims)
    monkeypatch.setattr(answers, "log_likelihood", lambda fit: pairs.assign_coords(run=list("abc")))
    monkeypatch.setattr(answers, "left_out", lambda fit, asked: (0.0, 10 * chance))
    few: Any = answers.influence(good)
    assert few.passed and 1 < few.value < few.limit


def test_of_runs_too_heavy_for_weights_only_their_number_is_told_where_none_stands_out(good, monkeypatch):
    some: Any = answers.influence(good)
    assert some.passed and re.search(
        r"the most of \d+ runs; of \d+ others? that cannot be told from these draws", some.text
    )
    monkeypatch.setattr(answers, "MOST_PARETO_K", np.inf)
    none: Any = answers.influence(good)
    assert none.passed and none.text.endswith("the most of all runs")
    monkeypatch.setattr(answers, "MOST_PARETO_K", -np.inf)
    every: Any = answers.influence(good)
    assert every.passed and every.text.startswith(
        "how far an answer would move without a run cannot be told from these"
    )


@pytest.mark.parametrize(("robust", "part"), [(False, 1 / 4), (True, 1 / 3)])
def test_runs_too_heavy_for_weights_are_left_out_as_in_a_linear_law(robust, part):
    """The shift of every answer is that of a fit of the other runs, to a part of the largest."""
    table = simulated().assign(run=lambda t: t["N"].map("of {:.0e}".format))
    table.loc[table["N"] == 2e9, "loss"] *= 1.02
    fits = [
        model(t, noise=bl.Noise(correlated=False, robust=robust)).fit(draws=500, tune=400, progress=False)
        for t in (table, table[table["N"] != 2e9])
    ]
    found: Any = answers.influence(fits[0])
    assert not found.passed and found.text.endswith("check that run for errors, or repeat it")
    assert "may move by more than chance explains, and how far cannot be told from these draws" in found.text
    assert "(Pareto k above 0.7): bl.evaluate(fit.model" in found.text and "standard deviations" not in found.text
    assert found.value is found.limit is None, "no number is told that weights cannot give"
    sizes = [2e8, 5e8, 1e9, 5e9]
    whole, others = (fit.predict(N=sizes, D=1e11).draws.squeeze("eval") for fit in fits)
    asked = whole.rename(N="answer")
    shift = answers.left_out(fits[0], asked)[0].sel(run="of 2e+09") / asked.std(("chain", "draw"))
    truth = (others.mean(("chain", "draw")) - whole.mean(("chain", "draw"))) / whole.std(("chain", "draw"))
    assert abs(truth).max() > 1
    np.testing.assert_allclose(shift, truth, atol=part * float(abs(truth).max()))
    assert answers.influence(replace(fits[0], seconds=1e9)) == found, "how long the fit took says nothing of its runs"


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
    shift, chance = answers.left_out(fit, asked)
    np.testing.assert_allclose(chance, sigma / 20**0.5, rtol=0.05)
    pulled = np.array([0.7, 0.71, 0.69, 0.7, 0.72]) - 0.7
    np.testing.assert_allclose(shift.squeeze("answer"), -pulled / 4, atol=0.0005)


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
    monkeypatch.setattr(answers, "study_of", lambda fit: SimpleNamespace(critical_ratio=asked))
    found: Any = answers.boundary(Fit(bl.Model(models.dcpt, runs_, misfit=None), xr.DataTree()))
    assert (found.passed, found.value, found.limit) == (passed, not passed, 0.11)
    assert "lies beyond the measured shares (0.1 to 0.5)" in found.text
    at_the_end = replace(asked, draws=xr.full_like(draws.isel(N=0, drop=True), 0.5), high=0.5)  # a measured bound
    monkeypatch.setattr(answers, "study_of", lambda fit: SimpleNamespace(critical_ratio=at_the_end))
    known: Any = answers.boundary(Fit(bl.Model(models.dcpt, runs_, misfit=None), xr.DataTree()))
    assert known.passed


@pytest.mark.parametrize(
    ("planned", "value", "limit"),
    [
        ({"N": 2e9, "D": [1e9, 1e11]}, 1.0, 1.5),
        ({"N": 5e9, "D": 1.2e11}, 1.2, 1.5),
        ({"N": 6e9}, 1.2, 1.0),
        ({"N": 2e10}, 4.0, 1.0),
        ({"D": [1e8, 1e10]}, 10.0, 1.5),
    ],
)
def test_a_planned_prediction_too_far_beyond_the_runs_is_named(good, planned, value, limit):
    found = good.checks(**planned)
    last = list(found)[-1]
    assert (last.name, last.passed) == ("extrapolation", value <= limit)
    assert (last.value, last.limit) == (pytest.approx(value), limit)
    assert len(found) == len(good.checks()) + 1 and found.passed is last.passed


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--N", "2e10"], 1)])
def test_the_command_line_exits_as_the_checks_say(good, words, code, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        app(["check", str(good.save(tmp_path / "fit.nc")), *words])
    lines = capsys.readouterr().out.splitlines()
    assert left.value.code == code and lines[0].endswith("checks passed")
    assert lines[1].startswith("  FAIL  extrapolation: N 20 B lies 4 times" if words else "  pass  convergence: R-hat")
    assert lines[-1].startswith("  pass  papers' fit")


def test_single_measurements_have_no_shape_along_tokens():
    table = simulated().assign(run=lambda t: t.index.astype(str))
    names = [c.name for c in model(table).fit(method="mle").checks()]
    assert "shape along tokens" not in names
    assert "convergence" not in names  # nothing was sampled


def test_a_law_that_rises_is_found(good):
    found: Any = answers.trends(shifted(good, B=lambda b: -b))
    assert (found.passed, found.value, found.limit) == (False, 1.0, 0.5)
    assert "below 0.01 in D" in found.text and "above 0.99 in N" in found.text


def judged(fit: Fit, monkeypatch: pytest.MonkeyPatch, **row: Any) -> Any:
    """The check of a fit whose answers all have this sensitivity."""
    usual = {"prior": 0.01, "likelihood": 0.4, "shift": 0.1, "strongest": "beta"} | row
    monkeypatch.setattr(
        priors, "sensitivity", lambda _, q: pd.DataFrame([usual] * q.sizes["answer"], index=range(q.sizes["answer"]))
    )
    return priors.prior_sensitivity(fit)


def test_answers_that_depend_on_the_priors_are_named(good, monkeypatch):
    calm = judged(good, monkeypatch)
    assert (calm.passed, calm.value, calm.limit) == (True, 0.1, 0.25)
    moved = judged(good, monkeypatch, prior=0.3, shift=0.8)
    assert (moved.passed, moved.value) == (False, 0.8)
    assert moved.evals == ("validation",) and calm.evals == ()
    assert "(the validation loss at N" in moved.text and "most through the prior on beta); check that" in moved.text
    ruled = judged(good, monkeypatch, prior=0.3, likelihood=0.01)
    assert (ruled.passed, ruled.value, ruled.limit) == (False, 0.3, 0.05)
    assert "the prior on beta decides the validation loss at N" in ruled.text


@pytest.mark.parametrize(
    ("moved", "evals"), [("the domain loss", ("domain",)), ("the critical ratio", ()), ("the", ())]
)
def test_the_losses_that_a_prior_moves_are_those_of_the_check(table_for, monkeypatch, moved, evals):
    """A decision may rest on any loss."""
    fit = stand_ins.stand_in(models.dcpt, table_for, draws=200)

    def found(_: Fit, asked: xr.Dataset) -> pd.DataFrame:
        shift = [0.8 if name.startswith(moved) else 0.1 for name in asked["answer"].values]
        return pd.DataFrame({"prior": 0.01, "likelihood": 0.4, "shift": shift, "strongest": "eta"})

    monkeypatch.setattr(priors, "sensitivity", found)
    check: Any = priors.prior_sensitivity(fit)
    assert not check.passed and check.evals == evals


def test_a_prior_that_contradicts_the_data_is_named(good):
    strong = model(priors={"beta": bl.positive(1.5, spread=0.15)})
    fit = strong.fit(draws=200, tune=300, chains=2, progress=False)
    found: Any = priors.prior_sensitivity(fit)
    assert not found.passed
    assert "the prior on beta" in found.text and "prior and data disagree about" in found.text
    calm: Any = priors.prior_sensitivity(good)
    assert calm.passed and "disagree" not in calm.text


def test_few_draws_have_no_sensitivity(good):
    assert priors.prior_sensitivity(replace(good, idata=good.idata.isel(draw=slice(40)))) is None
    assert priors.prior_sensitivity(replace(good, settings={"method": "prior"})) is None


def test_the_papers_fit_is_beside_the_posterior(good, monkeypatch):
    found: Any = cross_check.beside_papers_fit(good)
    assert found.passed and 0 < found.value <= found.limit == pytest.approx(3, abs=0.1)
    other = shifted(replace(good, idata=good.idata.isel(chain=[0], draw=[0])), E=lambda e: e + 0.05)
    monkeypatch.setattr(cross_check, "refit", lambda *_, **__: other)
    found = cross_check.beside_papers_fit(good)
    assert not found.passed and found.value > 5 and "the validation loss at N" in found.text


def test_checks_are_a_table_and_a_text():
    mend = CheckResult.judged("two", 2, 1, "it is broken", "mend it")
    both = Checks((CheckResult("one", True, "all is well"), mend))
    assert not both.passed and len(both) == 2
    assert Checks(both.results[:1]).passed and Checks(()).passed
    frame = both.to_frame()
    assert frame["passed"].tolist() == [True, False]
    assert frame[["value", "limit"]].iloc[1].tolist() == [2, 1] and frame["value"].isna().tolist() == [True, False]
    assert repr(both) == "1 of 2 checks passed\n  FAIL  two: it is broken; mend it\n  pass  one: all is well"
    assert "<table" in both._repr_html_()


def test_a_point_fit_is_judged_by_its_own_band_and_skips_the_rest(good):
    """Errors of its size hold its measurements; what needs a posterior is skipped, with the reason."""
    point = good.model.fit(method="mle", seed=1)
    checks = point.checks()
    coverage = next(c for c in checks if c.name == "fit to the data")
    assert coverage.passed and not coverage.text.startswith("0 %")
    assert set(checks.skipped) == {
        "convergence",
        "identification",
        "prior sensitivity",
        "influential runs",
        "papers' fit",
    }
    assert "skip  identification: a point fit has no posterior" in repr(checks)
    assert "identification" in checks._repr_html_() and not {c.name for c in checks} & set(checks.skipped)
