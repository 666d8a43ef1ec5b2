"""Answers of curve laws say where they lie beyond the runs: another peak learning rate, more steps, a late start."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.checks import CHECKS, extrapolation
from bayeslaw.checks.runs import peaks, sizes
from bayeslaw.decisions.schedule import beyond
from bayeslaw.errors import LawError, UnknownName
from bayeslaw.posterior.cautions import VERIFIED
from bayeslaw.posterior.rates import plan_rises
from bayeslaw.workflow import Fit

PEAK, STEPS = 3e-4, 2000
TRUTH = dict(L0=2.7, A=0.5, alpha=0.5, C=0.1)
OF_A_POINT = "a point fit (method='mle') has no interval: it does not say how sure this answer is"
"""What every answer of the least squares here says; the other cautions are about the question."""


def curves(plans: dict[str, schedules.Schedule], **columns: Any) -> bl.Runs:
    """Losses by the annealing law, at every hundredth step."""
    parts = []
    for name, plan in plans.items():
        step = np.arange(300, len(plan) + 1, 100)
        areas = plan.areas().sel(step=step)
        loss = models.lr_annealing(areas["S1"], 0.001 * areas["S2"] / 2e-4, **TRUTH)
        parts.append(pd.DataFrame({"run": name, "step": step, "loss": loss, **columns}))
    return bl.read_curves(pd.concat(parts), schedule=plans)


def plans(peak: float = PEAK, steps: int = STEPS) -> dict[str, schedules.Schedule]:
    return {
        "flat": schedules.constant(steps, peak, warmup=200),
        "fall": schedules.cosine(steps, peak, peak / 10, warmup=200),
        "late": schedules.wsd(steps, peak, steps // 5, peak / 10, warmup=200),
    }


@pytest.fixture(params=["as fitted", "saved and loaded"])
def fit(request: pytest.FixtureRequest, tmp_path: Any) -> Fit:
    found = bl.Model(models.lr_annealing, curves(plans())).fit(method="mle")
    return found if request.param == "as fitted" else bl.load(found.save(tmp_path / "fit.nc"))


def grid(plan: schedules.Schedule) -> pd.DataFrame:
    step = np.r_[1, np.arange(50, len(plan) + 1, 50)]
    return pd.DataFrame({"run": "new", "step": step, "lr": plan.lr[step - 1]})


def by_table(fit: Fit, plan: schedules.Schedule) -> list[str]:
    found: list[str] = fit.predict(grid(plan)).attrs["cautions"]
    return found


def at_end(fit: Fit, plan: schedules.Schedule) -> list[str]:
    """A table of the last step alone, where the rate is no longer the peak."""
    found: list[str] = fit.predict(pd.DataFrame({"step": [len(plan)]}), schedule=plan).attrs["cautions"]
    return found


def along(fit: Fit, plan: schedules.Schedule) -> tuple[str, ...]:
    return fit.curve(plan).cautions


def against(fit: Fit, plan: schedules.Schedule) -> tuple[str, ...]:
    return fit.best_schedule({"it": plan, "other": plans()["flat"]}).cautions


@pytest.mark.parametrize("ask", [by_table, at_end, along, against])
@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (plans(2 * PEAK)["fall"], "the peak learning rate 0.0006 lies 2 times beyond the largest run, 0.0003, and a"),
        (plans(PEAK / 2)["late"], "the peak learning rate 0.00015 lies 2 times beyond the smallest run, 0.0003, and"),
        (plans(steps=3 * STEPS)["fall"], "step 6 k lies 3 times beyond the largest run, 2 k, and on public curves"),
        (plans(steps=STEPS + 100)["late"], None),
    ],
    ids=["higher", "lower", "longer", "inside"],
)
def test_another_peak_and_more_steps_are_cautioned_in_every_answer(
    fit: Fit, ask: Callable[..., Any], plan: schedules.Schedule, says: str | None
) -> None:
    found = list(ask(fit, plan))
    assert OF_A_POINT in found
    assert any(c.startswith(says) for c in found) if says else found == [OF_A_POINT]


def test_decays_that_no_run_has_and_rates_that_rise_again_are_cautioned(fit):
    lr = np.r_[np.linspace(PEAK / 200, PEAK, 200), np.linspace(PEAK, PEAK / 10, 900), np.linspace(PEAK / 10, PEAK, 900)]
    again = schedules.Schedule(lr, warmups=((0, 200),))
    (rise,) = [c for c in by_table(fit, again) if c != OF_A_POINT]
    assert rise == "the learning rate rises again after the warm-up, which it does in no run"
    assert "a rate that rises again after the warm-up" in fit.curve(again).note
    with_it = bl.Model(models.lr_annealing, curves(plans() | {"again": again})).fit(method="mle")
    assert by_table(with_it, again) == [OF_A_POINT] and "rises" not in with_it.curve(again).note
    flats = {f"flat {steps}": schedules.constant(steps, PEAK, warmup=200) for steps in (STEPS, STEPS // 2)}
    flat = bl.Model(models.lr_annealing, curves(flats)).prior_predictive(draws=30)
    (decay,) = [c for c in by_table(flat, plans()["fall"]) if c.startswith("annealed")]
    assert re.fullmatch(r"annealed 0\.000\d+ lies above that of the runs, 0: no run shows the gain of .*", decay)


def test_a_rate_rises_again_only_within_a_stage_and_after_its_warm_up():
    flat, fall = schedules.constant(STEPS, PEAK, warmup=200), schedules.cosine(STEPS, PEAK, PEAK / 10, warmup=200)
    assert not plan_rises(flat) and not plan_rises(fall) and not plan_rises(schedules.Schedule(flat.lr))
    assert plan_rises(schedules.Schedule(np.r_[fall.lr, flat.lr[200:]], fall.warmups))
    assert not plan_rises(schedules.Schedule(np.r_[fall.lr, flat.lr[200:]], fall.warmups, transfer=STEPS))
    assert not plan_rises(schedules.Schedule(np.r_[fall.lr, flat.lr], ((0, 200), (STEPS, STEPS + 200))))


def test_areas_without_rates_are_predicted_with_their_steps(fit):
    table = fit.model.runs.table[["run", "step", "S1", "annealed", "validation_loss"]]
    runs = bl.read_runs(table, loss={"validation": "validation_loss"})
    bare = bl.Model(models.lr_annealing, runs).fit(method="mle")
    asked = table.drop(columns="validation_loss").assign(annealed=lambda t: 3 * t["annealed"])
    assert any(c.startswith("annealed") for c in bare.predict(asked).attrs["cautions"])


def test_rates_far_from_the_reference_run_ask_for_another_one():
    high = {name: schedules.Schedule(70 * plan.lr, plan.warmups) for name, plan in plans().items()}
    usual = curves(plans())
    table = usual.table.assign(loss=usual.table[usual.loss_columns[0]])
    logged = bl.read_curves(table[["run", "step", "loss"]], schedule=high)
    reference = {"S1": 40.0, "annealed_power": 0.02}
    with pytest.raises(LawError, match=r"no loss above 0 at the start: .* reference=\{.*'annealed_power': 0.02\}"):
        bl.Model(models.multi_power, logged).fit(draws=10, tune=10, chains=1, progress=False)
    bl.Model(models.multi_power, logged, reference=reference).fit(draws=10, tune=10, chains=1, progress=False)


def test_areas_that_were_given_as_numbers_have_a_range_too(fit):
    largest = fit.model.runs.table["S1"].max()
    point, caution = fit.predict(S1=4 * largest, annealed=0.0).cautions
    assert point == OF_A_POINT
    assert caution.startswith("the forward area S1") and "lies 4 times beyond the largest run" in caution
    assert fit.predict(S1=[largest / 50, largest], annealed=0.0).cautions == (OF_A_POINT,)
    assert fit.predict(fit.model.runs.table).attrs["cautions"] == [OF_A_POINT]


def test_a_planned_peak_and_length_can_be_checked(fit):
    assert extrapolation(fit, peak=PEAK, step=[100, STEPS]).passed
    found = extrapolation(fit, peak=2 * PEAK)
    assert not found.passed and found.value == pytest.approx(2) and "bl.splits.largest('peak')" in found.text
    assert not extrapolation(fit, step=3 * STEPS).passed
    sizes = bl.read_runs(pd.DataFrame({"N": [1e8, 2e8], "D": [1e9, 2e9], "loss": [3.0, 2.9], "peak": 1.0}))
    with pytest.raises(UnknownName, match="peak"):
        extrapolation(bl.Model(models.chinchilla, sizes).fit(method="mle"), peak=1.0)


def trained(plan: schedules.Schedule) -> np.ndarray:
    """The loss after every step of a noisy quadratic of 400 curvatures, by its exact second moments."""
    h = 300 * np.geomspace(1e-4, 1, 400)
    size, left, noise, losses = h**0.4 / (h**0.4).sum(), 1.0, 0.0, []
    for lr in plan.lr:
        shrunk = (1 - lr * h) ** 2
        left, noise = shrunk * left, shrunk * noise + lr**2 * h
        losses.append(2.6 + 4 * (size * left).sum() + 400 * np.mean(noise))
    return np.array(losses)


def test_simulated_training_at_other_peaks_is_missed_and_cautioned():
    """What the caution is for: the law is made for one peak, as its paper says."""
    step, peak = np.unique(np.geomspace(200, 4000, 30).astype(int)), 1e-3

    def table(peak: float) -> pd.DataFrame:
        own = plans(peak, 4000).items()
        return pd.concat(pd.DataFrame({"run": n, "step": step, "loss": trained(p)[step - 1]}) for n, p in own)

    runs = bl.read_curves(table(peak), schedule=plans(peak, 4000), memory=0.99)
    fit = bl.Model(models.lr_annealing, runs, reference={"annealed": peak}).fit(method="mle")
    missed = {}
    for factor in (0.5, 1, 2):
        rows = table(factor * peak)
        found = fit.predict(rows.drop(columns="loss"), schedule=plans(factor * peak, 4000))
        missed[factor] = (found["mean"] - rows["loss"]).abs().mean()
        assert (found.attrs["cautions"] == [OF_A_POINT]) == (factor == 1)
    assert missed[1] < 0.01 and min(missed[0.5], missed[2]) > 0.05


def test_runs_of_several_peaks_are_missed_and_fail_a_check(tmp_path):
    """By simulated training: what the check says of them, and that coefficients for each peak mend it."""
    step = np.unique(np.geomspace(200, 4000, 30).astype(int))
    own: dict[str, schedules.Schedule] = {}
    for peak in (1e-3, 2e-3):
        own |= {f"{name} at {peak:g}": plan for name, plan in plans(peak, 4000).items()}
    rows = pd.concat(pd.DataFrame({"run": n, "step": step, "loss": trained(p)[step - 1]}) for n, p in own.items())
    one = rows[rows["run"].str.endswith("0.001")]

    def fitted(rows: pd.DataFrame, *names: str) -> tuple[Any, float]:
        runs = bl.read_curves(rows, schedule={n: own[n] for n in rows["run"].unique()}, memory=0.99)
        by = dict.fromkeys(names, "peak")
        fit = bl.Model(models.lr_annealing, runs, by=by, reference={"annealed": 1e-3}).fit(method="mle")
        found = fit.predict(fit.model.runs.table)
        loaded = bl.load(fit.save(tmp_path / "fit.nc"))
        assert peaks(fit) == peaks(loaded)
        return peaks(loaded), float((found["mean"] - fit.model.runs.table["validation_loss"]).abs().mean())

    (alone, usual), (mixed, missed) = fitted(one), fitted(rows)
    assert alone.passed and alone.value == 1 and alone.name in CHECKS
    assert not mixed.passed and mixed.value == pytest.approx(2) and mixed.limit == VERIFIED["peak"]
    assert usual < 0.01 and missed > 0.05
    assert (
        "runs that share the coefficient L0 have peak learning rates between 0.001 and 0.002; lr_annealing is valid"
        in mixed.text
    )
    some, _ = fitted(rows, "L0", "A", "C")
    assert not some.passed and "that share the coefficient alpha" in some.text
    each, left = fitted(rows, *models.lr_annealing.coefficients)
    assert each.passed and left < 0.01


def test_a_law_that_does_not_know_the_size_is_for_runs_of_one_size(tmp_path):
    small, large = (curves({f"{name} of {n:g}": p for name, p in plans().items()}, N=n).table for n in (1e8, 4e8))
    rows = pd.concat([small, large])[["run", "step", "N", "validation_loss"]].rename(
        columns={"validation_loss": "loss"}
    )
    schedule = {f"{name} of {n:g}": p for name, p in plans().items() for n in (1e8, 4e8)}
    runs = bl.read_curves(rows, schedule=schedule)
    fit = bl.Model(models.lr_annealing, runs).fit(method="mle")
    for one in (fit, bl.load(fit.save(tmp_path / "fit.nc"))):
        found = sizes(one)
        assert found is not None and not found.passed and found.value == 4 and found.name in CHECKS
        assert found.text.startswith("the runs have N 100 M to 400 M; lr_annealing does not know the size")
    pooled = sizes(bl.Model(models.lr_annealing, runs, by={"L0": "N"}).fit(method="mle"))
    alike = sizes(bl.Model(models.lr_annealing, curves(plans(), N=1e8)).fit(method="mle"))
    assert pooled is not None and pooled.passed and alike is not None and alike.passed
    assert sizes(bl.Model(models.lr_annealing_size, runs).fit(method="mle")) is None
    unknown = replace(runs, table=runs.table.assign(N=runs.table["N"].where(runs.table["N"] < 2e8)))
    assert sizes(bl.Model(models.lr_annealing, unknown).fit(method="mle")) is None


def test_only_curves_have_peaks():
    sizes = bl.read_runs(pd.DataFrame({"N": [1e8, 2e8], "D": [1e9, 2e9], "loss": [3.0, 2.9], "peak": [1.0, 2.0]}))
    assert peaks(bl.Model(models.chinchilla, sizes).fit(method="mle")) is None


def test_candidates_below_the_peaks_of_the_runs_are_named(fit):
    low = plans(PEAK / 2)["flat"]
    areas = pd.DataFrame({"run": ["low"], "S1": [0.2], "annealed": [0.0]})
    assert "low leaves the range of the runs (a peak rate of 0.00015, below the 0.0003" in beyond(
        fit, {"low": low}, areas
    )


def test_rates_that_are_assumed_before_a_late_start_are_said(fit):
    late = grid(plans()["flat"]).query("step > 1500")
    point, caution = sorted(fit.predict(late).attrs["cautions"])
    assert point == OF_A_POINT
    assert caution.startswith("before the first row of 'new', step 1550, a linear warm-up over 200 steps and then its")
    assert fit.predict(late.query("step > 1500"), schedule=plans()["flat"]).attrs["cautions"] == [OF_A_POINT]
    log = late.assign(loss=3.0)
    assert "step 1550, its rate of 0.0003 is assumed" in bl.read_curves(log, warmup=0).note
    two = pd.concat([log, log[1:].assign(run="other")])
    assert "step 1600 (the latest of 2 runs that start late)" in bl.read_curves(two, warmup=0).note
    assert "assumed" not in bl.read_curves(grid(plans()["flat"]).assign(loss=3.0)).note


def test_an_evaluation_names_the_folds_beyond_the_runs_they_are_predicted_from():
    mixed = curves(plans() | {"hot": plans(2 * PEAK)["fall"]})
    found = bl.evaluate(bl.Model(models.lr_annealing, mixed), bl.splits.by("run"), method="mle", progress=False)
    assert list(found.beyond) == ["run hot"] and "2 times beyond the largest run" in found.beyond["run hot"]
    assert "beyond the runs fitted: 1 of 4, for example run hot: the peak learning rate 0.0006" in repr(found)
    alike = bl.evaluate(
        bl.Model(models.lr_annealing, curves(plans())), bl.splits.by("run"), method="mle", progress=False
    )
    assert alike.beyond == {} and "beyond" not in repr(alike)
