"""Training curves at the door: what is read, what is refused, and the same areas for predictions."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.checks.runs import reference
from bayeslaw.errors import DataError, RangeError
from bayeslaw.tables.areas import at_memory, memories_of
from bayeslaw.tables.curves import curve_columns

COSINE = schedules.cosine(2000, 3e-4, 3e-5, warmup=200)
FLAT = schedules.constant(2000, 3e-4, warmup=200)
PLANS = {"cosine": COSINE, "flat": FLAT}
TRUTH = dict(L0=2.7, A=0.5, alpha=0.5, C=0.1)


def log(first: int = 256, every: int = 128, **changed: Any) -> pd.DataFrame:
    """Losses of both schedules by the annealing law, logged every 128 steps."""
    parts = []
    for name, plan in PLANS.items():
        step = np.arange(first, len(plan) + 1, every)
        areas = plan.areas().sel(step=step)
        loss = models.lr_annealing(areas["S1"], 0.001 * areas["S2"] / 2e-4, **TRUTH)
        parts.append(pd.DataFrame({"run": name, "step": step, "lr": plan.lr[step - 1], "loss": loss}))
    return pd.concat(parts, ignore_index=True).assign(**changed)


def test_a_log_has_the_areas_of_the_whole_schedule():
    runs = bl.read_curves(log(), warmup=200)
    for name, plan in PLANS.items():
        rows = runs.table[runs.table["run"] == name]
        areas = plan.areas().sel(step=rows["step"].to_numpy())
        np.testing.assert_allclose(rows["S1"], areas["S1"], rtol=2e-3 if name == "cosine" else 1e-12)
        np.testing.assert_allclose(rows["annealed"], 0.001 * areas["S2"], atol=1e-6 if name == "cosine" else 0)
    assert runs.evals == ("validation",) and len(runs.baseline) == 0
    assert set(runs.table["warmup"]) == {200} and runs.area_settings["tail"] == "frozen"


def test_a_schedule_is_exact_between_logged_steps():
    losses = log().drop(columns="lr").rename(columns={"run": "id", "loss": "nll"})
    runs = bl.read_curves(losses, schedule=PLANS, run="id", loss="nll", warmup_counted="peak", memory=0.99)
    rows = runs.table[runs.table["run"] == "cosine"]
    areas = COSINE.areas(memory=0.99, warmup_counted="peak").sel(step=rows["step"].to_numpy())
    np.testing.assert_array_equal(rows["S1"], areas["S1"])
    np.testing.assert_array_equal(rows["S2"], areas["S2"])
    np.testing.assert_array_equal(rows["lr"], COSINE.lr[rows["step"].to_numpy(int) - 1])
    assert runs.area_settings["memory"] == 0.99 and "memory 0.99, warmup_counted peak" in repr(runs)


def test_a_table_of_final_losses_needs_only_the_schedules():
    runs = bl.read_curves(pd.DataFrame({"run": ["cosine", "flat"], "step": 2000, "loss": [3.0, 3.1]}), schedule=PLANS)
    np.testing.assert_allclose(runs.table["S1"], [p.areas()["S1"].values[-1] for p in PLANS.values()])


def test_schedules_come_as_tables_too(tmp_path):
    every = pd.concat(pd.DataFrame({"run": n, "step": range(1, 2001), "lr": p.lr}) for n, p in PLANS.items())
    every.to_csv(tmp_path / "rates.csv", index=False)
    by_table = bl.read_curves(log(), schedule=tmp_path / "rates.csv").table
    by_plan = bl.read_curves(log(), schedule=PLANS).table
    np.testing.assert_allclose(by_table[["S1", "S2"]], by_plan[["S1", "S2"]])
    whole = bl.read_curves(log(first=1, every=1, loss=3.0), spacing=1).table  # its first rise is its warm-up
    np.testing.assert_allclose(whole["S2"].iloc[-1], by_plan["S2"].iloc[-1], atol=1e-12)


def test_continual_pre_training_has_the_areas_of_both_stages():
    base = schedules.constant(4000, 2e-4, warmup=100)
    rows = log(first=128)
    start = pd.DataFrame({"run": ["cosine", "flat"], "step": 0, "lr": 0.0, "loss": 3.3})
    rows = pd.concat([start, rows]).sort_values(["run", "step"])
    runs = bl.read_curves(rows, schedule=PLANS, before=base)
    assert list(runs.baseline["step"]) == [0, 0] and (runs.table["step"] > 0).all()
    table = runs.table[runs.table["run"] == "cosine"]
    areas = base.then(COSINE).areas().sel(step=4000 + table["step"].to_numpy())
    for name in ("S1", "S2", "S1pt", "S1cpt", "S2pt", "S2cpt"):
        np.testing.assert_allclose(table[name], areas[name])
    np.testing.assert_allclose(table["annealed_cpt"], 0.001 * areas["S2cpt"])


def test_a_run_of_pre_training_stands_beside_those_that_continue_it():
    base = schedules.constant(2000, 3e-4, warmup=200)
    runs = bl.read_curves(log(), schedule=PLANS, before={"cosine": base, "flat": None})
    flat = runs.table[runs.table["run"] == "flat"]
    assert not flat[["S1cpt", "S2cpt", "annealed_cpt"]].to_numpy().any()
    np.testing.assert_array_equal(flat["S1pt"], flat["S1"])
    assert runs.table.loc[runs.table["run"] == "cosine", "S1cpt"].gt(0).all()


def test_predictions_use_the_areas_of_the_fit(tmp_path):
    runs = bl.read_curves(log(), warmup=200, memory=0.998)
    fit = bl.Model(models.lr_annealing, runs).fit(method="mle")
    wsd = schedules.wsd(2000, 3e-4, 400, 3e-5, warmup=200)
    plan = pd.DataFrame({"run": "new", "step": np.arange(256, 2001, 128)})
    plan["lr"] = wsd.lr[plan["step"] - 1]
    fit.save(tmp_path / "fit.nc")
    like = bl.load(tmp_path / "fit.nc").model.runs
    pd.testing.assert_frame_equal(like.table, runs.table)
    assert like.area_settings == runs.area_settings
    rows = curve_columns(plan, like)
    np.testing.assert_allclose(rows["S2"], wsd.areas(memory=0.998)["S2"].sel(step=plan["step"].to_numpy()), atol=2e-3)
    exact = curve_columns(plan.drop(columns="lr"), like, schedule=wsd)
    np.testing.assert_array_equal(exact["S2"], wsd.areas(memory=0.998)["S2"].sel(step=plan["step"].to_numpy()))
    assert list(rows["step"]) == list(plan["step"])


def test_kept_fits_whose_settings_were_columns_still_load(tmp_path):
    runs = bl.read_curves(log(), warmup=200, memory=0.998)
    fit = bl.Model(models.lr_annealing, runs).fit(method="mle")
    with xr.open_datatree(fit.save(tmp_path / "fit.nc"), engine="h5netcdf") as opened:
        tree = opened.load()
    table = tree["runs"].to_dataset()
    columns = [*json.loads(table.attrs["columns"]), *runs.area_settings]
    table = table.assign({k: ("row", [v] * len(runs)) for k, v in runs.area_settings.items()})
    tree["runs"] = xr.DataTree(table.assign_attrs(columns=json.dumps(columns)))
    recipe = json.loads(tree.attrs["bayeslaw"])
    del recipe["area_settings"]
    tree.attrs["bayeslaw"] = json.dumps(recipe)
    tree.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    old = bl.load(tmp_path / "old.nc")
    assert old.model.runs.area_settings == runs.area_settings and old.model.runs.hash == runs.hash
    plan = log().drop(columns="loss")
    pd.testing.assert_frame_equal(bl.load(old.save(tmp_path / "new.nc")).predict(plan), fit.predict(plan))


@pytest.mark.parametrize("before", [None, schedules.cosine(3000, 3e-4, 1e-5, warmup=100)], ids=["alone", "continued"])
def test_curves_have_their_areas_at_other_memories(before, tmp_path):
    read = {m: bl.read_curves(log(), schedule=PLANS, before=before, memory=m) for m in (0.9, 0.998, 0.9997)}
    assert memories_of(read[0.998]) == [0.9, 0.97, 0.99, 0.997, 0.998, 0.999, 0.9997] and "@" not in repr(read[0.998])
    law = models.lr_annealing if before is None else models.cpt_dynamics
    fit = bl.Model(law, read[0.998]).fit(method="mle")
    kept = bl.load(fit.save(tmp_path / "fit.nc")).model.runs
    for memory, alike in read.items():
        there = at_memory(kept, memory)
        shared = [c for c in alike.table.columns if "@" not in c]
        pd.testing.assert_frame_equal(there.table[shared], alike.table[shared])
        assert there.area_settings == alike.area_settings
    assert memories_of(bl.read_runs(pd.DataFrame({"N": 1e8, "D": [1e9, 2e9], "loss": 3.0}))) == []


def test_runs_that_are_short_for_the_memory_are_said():
    assert (
        "memory 0.999 spans 1 k steps, and the longest run has 1.92 k: compare it"
        in bl.read_curves(log(), warmup=200).note
    )
    assert "spans" not in bl.read_curves(log(), warmup=200, memory=0.99).note


def test_settings_of_areas_stay_with_the_runs():
    runs = bl.read_curves(log(), warmup=200, tail="carried")
    assert runs.select(runs.table["run"] == "flat").area_settings == runs.area_settings
    assert runs.sorted_along("S1").area_settings == runs.area_settings


def test_names_that_look_like_numbers_stay_apart(tmp_path):
    names = {"cosine": "12e45678", "flat": "012"}
    log().replace({"run": names}).to_csv(tmp_path / "log.csv", index=False)
    rates = [pd.DataFrame({"run": names[n], "step": range(1, 2001), "lr": p.lr}) for n, p in PLANS.items()]
    pd.concat(rates).to_csv(tmp_path / "rates.csv", index=False)
    runs = bl.read_curves(tmp_path / "log.csv", schedule=tmp_path / "rates.csv")
    assert set(runs.table["run"]) == set(names.values())


def test_dense_logs_are_thinned_but_not_their_areas():
    dense = log(every=8)
    thin, whole, sparse = (bl.read_curves(dense, warmup=200, spacing=s).table for s in (None, 1, 1.5))
    assert len(whole) == len(dense) and 20 < len(thin) < 30 and len(sparse) < len(thin)
    for table in (thin, sparse):
        assert table.groupby("run")["step"].max().tolist() == dense.groupby("run")["step"].max().tolist()
        assert np.diff(np.log(table["step"])).max() < 0.5
        same = table.merge(whole, on=["run", "step"], suffixes=("", "_whole"))
        np.testing.assert_array_equal(same["S2"], same["S2_whole"])
    with pytest.raises(RangeError, match="spacing is 0.5: give a factor"):
        bl.read_curves(dense, warmup=200, spacing=0.5)


def test_one_curve_is_enough_for_a_law_of_curves():
    """Its areas vary along the run; only what is fixed in a run cannot be learned from a single one."""
    runs = bl.read_curves(log().query("run == 'cosine'"), schedule=PLANS)
    fit = bl.Model(models.lr_annealing, runs).fit(method="mle")
    assert float(fit.posterior["alpha"].item()) == pytest.approx(0.5, rel=0.01)
    assert reference(fit).passed
    with pytest.raises(DataError, match="single run .'cosine'. does not show how the loss depends on N: add runs"):
        bl.Model(models.lr_annealing_size, bl.read_curves(log(N=1e8).query("run == 'cosine'"), schedule=PLANS))


def test_a_constant_rate_anneals_nothing_to_learn_from():
    runs = bl.read_curves(log().query("run == 'flat'"), schedule=PLANS)
    assert not runs.table["annealed"].any()
    with pytest.raises(DataError, match="single run .'flat'. does not show how the loss depends on annealed: add runs"):
        bl.Model(models.lr_annealing, runs)


def test_a_grid_of_other_columns_is_answered_row_by_row():
    runs = bl.read_curves(log(), warmup=200)
    plan = pd.DataFrame({"step": [256, 256, 512, 512], "lr": 3e-4, "N": [1e8, 1e9, 1e8, 1e9]}, index=[5, 6, 7, 8])
    rows = curve_columns(plan, runs)
    assert list(rows["N"]) == list(plan["N"]) and rows["S1"].nunique() == 2


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (log(), {}, "'cosine' starts at step 256.*warmup=STEPS"),
        (log().drop(columns="lr"), {"warmup": 200}, "needs a column 'lr'"),
        (log().drop(columns="step"), {"warmup": 200}, "needs a column 'step'|same cell"),
        (log()[::-1], {"warmup": 200}, "comes after step.*sort its rows"),
        (log(run="a"), {"warmup": 200}, "two rows at step 256.*two runs different names|comes after step"),
        (log(lr=-1e-4), {"warmup": 200}, "-0.0001 at step 256"),
        (log(lr=[3e-4, 0.0] * 14), {"warmup": 200}, "is 0 at step 384, where nothing is learned"),
        (log(step=[0.5, *range(27)]), {"warmup": 200}, "step is 0.5 in row 0"),
        (log(step=np.arange(1, 29) * 600_000), {"warmup": 0}, "step is 1.02e7 in row .*map tokens to D"),
        (log(step=0, run=list(map(str, range(28)))), {"warmup": 200}, "every row is at step 0"),
        (log(), {"schedule": PLANS, "warmup": 200}, "leave warmup= out"),
        (log(), {"schedule": {"cosine": COSINE}}, "no schedule for the run 'flat'"),
        (log(), {"schedule": {"cosine": COSINE, "flat": 3e-4}}, "schedule of 'flat' is 0.0003: make it with"),
        (log(), {"schedule": {"cosine": FLAT, "flat": FLAT}}, "disagree: the run 'cosine' has the rate .* at step"),
        (
            log(),
            {"schedule": schedules.constant(1000, 3e-4, 200)},
            "ends at step 1000 and its log goes on to step 1920",
        ),
        (log().rename(columns={"loss": "val_loss_bits"}), {"warmup": 200, "loss": "val_loss_bits"}, "looks like bits"),
        (
            log().rename(columns={"loss": "bpb_loss"}),
            {"warmup": 200},
            "the column 'bpb_loss' looks like bits per byte: give unit=",
        ),
        (log(loss=-1.0), {"warmup": 200}, "above 0"),
        (log(), {"warmup": 200, "schedule": pd.DataFrame({"lr": [1.0]})}, "leave warmup= out"),
        (
            log(),
            {"schedule": pd.DataFrame({"step": 9, "lr": [1.0]})},
            "given for schedule starts at step 9: give the steps",
        ),
        (
            log(),
            {"schedule": pd.DataFrame({"run": ["cosine", "flat", "flat"], "step": [1, 1, 2], "lr": [1, "x", 1]})},
            "lr is 'x' in row 1 .counted from 0., which is not a number",
        ),
        (log(S1=1.0), {"warmup": 200}, "column 'S1', which read_curves computes: rename or drop it"),
        (log(), {"schedule": pd.DataFrame({"lr": [1.0]})}, "table given for schedule: there is no column 'step'"),
    ],
)
def test_unusable_logs_are_refused_in_one_sentence(rows: pd.DataFrame, settings: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        bl.read_curves(rows, **settings)
    assert "\n" not in str(caught.value)


def test_predictions_that_cannot_be_made_are_refused():
    runs = bl.read_curves(log(), warmup=200)
    plan = pd.DataFrame({"step": [256, 512], "lr": 3e-4})
    with pytest.raises(DataError, match="are no curves.*read_curves"):
        curve_columns(plan, bl.read_runs(log()))
    with pytest.raises(DataError, match="lr is missing in row 1"):
        curve_columns(plan.assign(lr=[3e-4, np.nan]), runs)
    with pytest.raises(DataError, match="at step 0, before any training"):
        curve_columns(plan.assign(step=[0, 512]), runs)
    continued = bl.read_curves(log(), schedule=PLANS, before=FLAT)
    with pytest.raises(DataError, match="before="):
        curve_columns(plan, continued)


def test_what_is_left_out_is_noted():
    log = pd.DataFrame({"run": "a", "step": range(1, 1001), "lr": 1e-3, "loss": np.linspace(4, 3, 1000)})
    runs = bl.read_curves(log, warmup=0)
    assert f"{len(runs)} of 1 k logged steps kept" in repr(runs)
    assert bl.read_curves(log, warmup=0, spacing=1).note == ""


def test_tokens_in_place_of_steps_are_refused_before_a_schedule_is_made():
    runs = bl.read_curves(log(), warmup=200)
    with pytest.raises(DataError, match="step is 2e10 .*map tokens to D"):
        curve_columns(pd.DataFrame({"step": [int(2e10)], "lr": 3e-4}), runs)
    for make in (lambda: schedules.cosine(int(1e11), 3e-4), lambda: schedules.from_table([1, 1e11], [3e-4, 3e-5])):
        with pytest.raises(
            RangeError, match="is 100000000000: give steps of the optimiser, not tokens: .* at most 10 M"
        ):
            make()


@pytest.mark.parametrize(
    ("plan", "every", "off", "coarse"),
    [
        (schedules.wsd(2000, 3e-4, 50, 3e-5, warmup=100), 100, 0.33, True),
        (schedules.wsd(2000, 3e-4, 100, 3e-5, warmup=100), 75, 0.1, True),
        (schedules.wsd(2000, 3e-4, 100, 3e-5, warmup=100), 10, 0.0, False),
        (schedules.wsd(2000, 3e-4, 600, 3e-5, warmup=100), 100, 0.0, False),
        (schedules.cosine(2000, 3e-4, 3e-5, warmup=100), 100, 0.0, False),
        (schedules.constant(2000, 3e-4, warmup=100), 100, 0.0, False),
    ],
)
def test_a_log_too_coarse_for_its_decay_is_noted(plan, every, off, coarse):
    step = np.unique([*range(every * 6 // 10, 2001, every), 2000])
    log = pd.DataFrame({"run": "a", "step": step, "lr": plan.lr[step - 1], "loss": np.linspace(4, 3, len(step))})
    runs = bl.read_curves(log, warmup=100, spacing=1)
    exact = plan.areas()["S2"].values[-1]
    assert runs.table["S2"].iloc[-1] / max(exact, 1e-12) - 1 == pytest.approx(off if exact else -1, abs=0.01)
    assert ("logged too coarsely in 1 run: S2 changes by" in runs.note) == coarse
    assert ("give the exact rates with schedule=" in runs.note) == coarse
    given = bl.read_curves(log, schedule=plan, spacing=1)
    assert "coarse" not in given.note and given.table["S2"].iloc[-1] == exact
