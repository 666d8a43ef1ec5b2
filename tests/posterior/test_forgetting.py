"""Memories of the annealing area, compared by schedules left out; the check that names a better one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.checks import CHECKS
from bayeslaw.checks.forgetting import memory
from bayeslaw.checks.result import CheckResult
from bayeslaw.errors import LawError
from bayeslaw.workflow import Fit
from tests.models.test_held_out_schedules import FITTED, curves

PEAK = 2e-3
TINY = {
    "constant": schedules.constant(1500, PEAK, warmup=50),
    "wsd": schedules.wsd(1500, PEAK, 290, 2e-4, warmup=50),
    "multistep": schedules.multi_step(1500, PEAK, {921: 6.32e-4, 1283: 2e-4}, warmup=50),
    "twostage": schedules.multi_step(1500, PEAK, {776: 6e-4}, warmup=50),
    "const_low": schedules.multi_step(1500, PEAK, {51: 6e-4}, warmup=50),
}
PLANS = {name: TINY[name] for name in ("constant", "wsd", "multistep")} | {
    "cosine": schedules.cosine(1500, PEAK, 2e-4, warmup=50)
}


def tiny(law: Any = models.lr_annealing, **settings: Any) -> bl.Model:
    """Real runs of 1,500 steps under five schedules."""
    table = bl.datasets.load("tinycpt").query("set == 'sched' and step >= 100")
    table = table.assign(run=table["schedule"])[["run", "step", "lr", "general_loss", "domain_loss"]]
    if law is models.cpt_dynamics:
        settings["before"] = schedules.constant(4000, PEAK, warmup=50)
        reference = {"annealed_pt": PEAK, "annealed_cpt": PEAK}
    else:
        table, reference = table.drop(columns="general_loss"), {law.columns[1]: PEAK}
    return bl.Model(law, bl.read_curves(table, schedule=TINY, **settings), reference=reference, misfit=None)


def simulated(truth: float, plans: dict[str, schedules.Schedule] = PLANS, spread: float = 3e-4, **read: Any) -> bl.Runs:
    """Losses of the annealing law with a memory, and a little noise."""
    rng, parts = np.random.default_rng(0), []
    for name, plan in plans.items():
        step = np.unique(np.geomspace(100, len(plan), 25).astype(int))
        areas = plan.areas(memory=truth).sel(step=step)
        annealed = (1 - truth) * areas["S2"].values / 2e-4
        loss = models.lr_annealing(areas["S1"].values, annealed, L0=2.7, A=0.5, alpha=0.5, C=0.02)
        loss = loss * np.exp(spread * rng.standard_normal(len(step)))
        parts.append(pd.DataFrame({"run": name, "step": step, "loss": loss}))
    return bl.read_curves(pd.concat(parts), schedule=plans, **read)


def check(model: bl.Model) -> CheckResult:
    """The check of a law with a memory, which needs no draws."""
    found = memory(Fit(model, xr.DataTree()))
    assert found is not None
    return found


@pytest.mark.parametrize("law", [models.lr_annealing, models.cpt_dynamics])
def test_short_real_runs_ask_for_a_shorter_memory(law, tmp_path):
    model = tiny(law)
    mean = bl.compare_memories(model)["mean"]
    assert mean.idxmin() in (0.97, 0.99) and mean[0.999] > 1.8 * mean[0.99]
    fit = model.fit(method="mle")
    for one in (fit, bl.load(fit.save(tmp_path / "fit.nc"))):
        found = memory(one)
        assert found is not None and found.name in CHECKS and not found.passed
        assert found.value is not None and found.value > 1.8
        assert found.text.startswith("memory 0.999 predicts runs left out with an error of 0.0")
        assert found.text.endswith("read the curves with memory=0.99")
    assert check(tiny(law, memory=0.99)).passed


@pytest.mark.parametrize("size", [25, 100])
@pytest.mark.parametrize("names", [FITTED, (*FITTED, "wsd_20000_24000", "wsdcon_3")], ids=["three", "five"])
def test_the_papers_memory_stays_right_for_long_public_runs(size, names):
    found = check(bl.Model(models.lr_annealing, curves(size, names=names), misfit=None))
    assert found.passed and found.text.startswith("memory 0.999 predicts runs left out with an error of 0.00")


@pytest.mark.parametrize("truth", [0.97, 0.99, 0.997])
def test_the_memory_behind_losses_is_found(truth):
    model = bl.Model(models.lr_annealing, simulated(truth), reference={"annealed": PEAK}, misfit=None)
    assert bl.compare_memories(model)["mean"].idxmin() == truth
    found = check(model)  # 0.997 is better than 0.999 by less than runs differ
    assert found.passed if truth == 0.997 else found.text.endswith(f"read the curves with memory={truth}")
    right = bl.Model(models.lr_annealing, simulated(truth, memory=truth), reference={"annealed": PEAK}, misfit=None)
    assert check(right).passed


def test_a_memory_between_is_compared_too():
    model = bl.Model(models.lr_annealing, simulated(0.985, memory=0.985), reference={"annealed": PEAK}, misfit=None)
    assert bl.compare_memories(model)["mean"].idxmin() == 0.985


def test_runs_that_no_other_can_teach_stay_in():
    """With a single decay its runs stay in; only all together can be compared."""
    two = {name: PLANS[name] for name in ("constant", "wsd")}
    found = bl.compare_memories(bl.Model(models.lr_annealing, simulated(0.99, two), misfit=None))
    assert list(found) == ["all runs", "mean"]
    three = two | {"low": schedules.multi_step(1500, PEAK, {1400: 1.9e-3}, warmup=50)}
    found = bl.compare_memories(bl.Model(models.lr_annealing, simulated(0.99, three), misfit=None))
    assert list(found) == ["constant", "low", "mean"]
    many = {f"at {step}": schedules.multi_step(1500, PEAK, {step: 5e-4}, warmup=50) for step in range(400, 1000, 90)}
    many |= {"again": many["at 400"]}
    found = bl.compare_memories(bl.Model(models.lr_annealing, simulated(0.99, many), misfit=None))
    assert len(found.columns) == 7 and found.columns[0] == "again and 2 runs more"  # at 400, and at 940


def test_short_runs_of_one_schedule_fail_whatever_they_say():
    steps = 20_000
    plans = {"a": schedules.constant(1500, PEAK, warmup=50), "b": schedules.wsd(1500, PEAK, 300, 2e-4, warmup=50)}
    found = check(bl.Model(models.lr_annealing, simulated(0.995, plans, spread=0.01), misfit=None))
    assert not found.passed and "none can be left out to compare them; memory 0.999 spans 1 k steps" in found.text
    assert check(bl.Model(models.lr_annealing, simulated(0.99, plans, memory=0.99), misfit=None)).passed
    long = {"a": schedules.constant(steps, 2e-4, warmup=50), "b": schedules.cosine(steps, 2e-4, warmup=50)}
    found = check(bl.Model(models.lr_annealing, simulated(0.999, long), misfit=None))
    assert found.passed and found.text.startswith("memory 0.999 fits its runs with")


def test_a_label_of_the_runs_left_out_alone_cannot_be_predicted():
    runs = simulated(0.99)
    pooled = runs.table.assign(size=np.where(runs.table["run"] == "cosine", "large", "small"))
    model = bl.Model(
        models.lr_annealing, bl.read_curves(_losses(pooled), schedule=PLANS), by={"L0": "size"}, misfit=None
    )
    assert list(bl.compare_memories(model)) == ["constant", "multistep", "wsd", "mean"]


def _losses(table: pd.DataFrame) -> pd.DataFrame:
    return table[["run", "step", "size", "validation_loss"]].rename(columns={"validation_loss": "loss"})


def test_a_law_without_that_memory_has_nothing_to_compare():
    model = tiny(models.multi_power)
    assert memory(Fit(model, xr.DataTree())) is None
    with pytest.raises(LawError, match="multi_power has no memory to compare"):
        bl.compare_memories(model)
    old = tiny().runs
    kept = [c for c in old.table.columns if "@" not in c]
    old = bl.Runs(old.table[kept], old.evals, old.baseline, "", old.area_settings)
    assert memory(Fit(bl.Model(models.lr_annealing, old, misfit=None), xr.DataTree())) is None
