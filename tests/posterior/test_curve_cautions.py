"""Answers of curve laws say where they lie beyond the runs: another peak learning rate, more steps, a late start."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.checks import extrapolation
from bayeslaw.decisions.schedule import beyond
from bayeslaw.errors import UnknownName
from bayeslaw.workflow import Fit

PEAK, STEPS = 3e-4, 2000
TRUTH = dict(L0=2.7, A=0.5, alpha=0.5, C=0.1)


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
    found = ask(fit, plan)
    assert any(c.startswith(says) for c in found) if says else not found


def test_areas_that_were_given_as_numbers_have_a_range_too(fit):
    largest = fit.model.runs.table["S1"].max()
    (caution,) = fit.predict(S1=4 * largest, annealed=0.0).cautions
    assert caution.startswith("the forward area S1") and "lies 4 times beyond the largest run" in caution
    assert fit.predict(S1=[largest / 50, largest], annealed=0.0).cautions == ()
    assert fit.predict(fit.model.runs.table).attrs["cautions"] == []


def test_a_planned_peak_and_length_can_be_checked(fit):
    assert extrapolation(fit, peak=PEAK, step=[100, STEPS]).passed
    found = extrapolation(fit, peak=2 * PEAK)
    assert not found.passed and found.value == pytest.approx(2) and "bl.splits.largest('peak')" in found.text
    assert not extrapolation(fit, step=3 * STEPS).passed
    sizes = bl.read_runs(pd.DataFrame({"N": [1e8, 2e8], "D": [1e9, 2e9], "loss": [3.0, 2.9], "peak": 1.0}))
    with pytest.raises(UnknownName, match="peak"):
        extrapolation(bl.Model(models.chinchilla, sizes).fit(method="mle"), peak=1.0)


def test_candidates_below_the_peaks_of_the_runs_are_named(fit):
    low = plans(PEAK / 2)["flat"]
    areas = pd.DataFrame({"run": ["low"], "S1": [0.2], "annealed": [0.0]})
    assert "low leaves the range of the runs (a peak rate of 0.00015, below the 0.0003" in beyond(
        fit, {"low": low}, areas
    )


def test_rates_that_are_assumed_before_a_late_start_are_said(fit):
    late = grid(plans()["flat"]).query("step > 1500")
    (caution,) = fit.predict(late).attrs["cautions"]
    assert caution.startswith("before the first row of 'new', step 1,550, a linear warm-up over 200 steps and then its")
    assert fit.predict(late.query("step > 1500"), schedule=plans()["flat"]).attrs["cautions"] == []
    log = late.assign(loss=3.0)
    assert "step 1,550, its rate of 0.0003 is assumed" in bl.read_curves(log, warmup=0).note
    two = pd.concat([log, log[1:].assign(run="other")])
    assert "step 1,600 (the latest of 2 runs that start late)" in bl.read_curves(two, warmup=0).note
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
