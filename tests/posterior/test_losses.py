"""Predictions row by row of a table: those of the same columns, for every law, in pieces of any size."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import BayeslawError
from bayeslaw.posterior import losses
from bayeslaw.posterior.prediction import at_rows
from bayeslaw.tables.mixtures import folded
from bayeslaw.workflow import Fit
from tests.stand_ins import PLANS, stand_in

SAMPLE = ["chain", "draw"]
SUMMARY = ["mean", "sd", "lower", "upper"]
GRID = pd.DataFrame({"N": [1e9, 2e9, 7e9], "D": [1e10, 2e10, 1e12]})
SHARES = pd.DataFrame({"note": ["a", "b"], "N": [5e8, 2e9], "D": 1e10, "domain_share": 0.5, "domain": ["law", "code"]})
MIXTURES = pd.DataFrame({"weight_web": [0.5, 1.0], "weight_books": [0.5, 0.0], "weight_code": 0.0})


@pytest.fixture
def chinchilla(table_for: Any) -> Fit:
    return stand_in(models.chinchilla, table_for)


@pytest.fixture
def dcpt(table_for: Any) -> Fit:
    return stand_in(models.dcpt, table_for, by={"E": "domain"})


@pytest.fixture
def regmix(table_for: Any) -> Fit:
    return stand_in(models.regmix, table_for)


@pytest.fixture
def annealing(table_for: Any) -> Fit:
    return stand_in(models.lr_annealing, table_for)


def types(fit: Fit, table: pd.DataFrame) -> tuple[bl.Quantity, pd.DataFrame]:
    """Both forms type-check, a mix does not: mypy warns of an ignore that it does not need."""
    fit.predict(table, N=1e9)  # type: ignore[call-overload]
    return fit.predict(N=1e9), fit.predict(table, prob=0.5)


def assert_as_predicted(found: pd.DataFrame, draws: xr.DataArray) -> None:
    """The summary of rows (and validation sets, which vary faster) is that of draws with the dim ``row``."""
    draws = draws.transpose(*SAMPLE, "row", "eval")
    lower, upper = draws.quantile([0.055, 0.945], SAMPLE).values
    for name, expected in zip(SUMMARY, (draws.mean(SAMPLE), draws.std(SAMPLE), lower, upper), strict=True):
        np.testing.assert_allclose(found[name], np.ravel(expected), rtol=1e-10)


# ------------------------------------------------------------------------------------------------------------- answers
def test_several_validation_sets_have_a_row_each(dcpt):
    found = dcpt.predict(SHARES)
    assert list(found) == [*SHARES, "eval", *SUMMARY]
    assert found["note"].tolist() == list("aabb") and found["eval"].tolist() == dcpt.evals * 2
    asked = {c: xr.DataArray(SHARES[c], dims="row") for c in ("N", "D", "domain_share", "domain")}
    assert_as_predicted(found, dcpt.predict(**asked).draws)


def test_rows_keep_their_index(chinchilla):
    rows = GRID.set_axis(pd.Index(["x", "y", "z"], name="plan"))
    found = chinchilla.predict(rows)
    pd.testing.assert_frame_equal(found[["N", "D"]], rows)
    assert list(found) == ["N", "D", *SUMMARY]


@pytest.mark.parametrize("law", models.catalogue.values(), ids=models.catalogue)
def test_the_runs_of_any_law_are_a_table(law, table_for):
    fit = stand_in(law, table_for, draws=20)
    table = fit.model.runs.sorted_along(law.path).table
    assert_as_predicted(fit.predict(table), at_rows(fit))


def test_a_mixture_has_one_column_for_each_source(regmix):
    assert_as_predicted(regmix.predict(MIXTURES), regmix.predict(weight=folded(MIXTURES)).draws)
    rounded = regmix.predict(MIXTURES.assign(weight_web=[0.496, 1.0]))
    np.testing.assert_allclose(rounded["mean"], regmix.predict(MIXTURES)["mean"], rtol=0.01)


def test_a_mixture_beside_size_and_tokens(table_for):
    fit = stand_in(models.nested_data_mixing, table_for)
    found = fit.predict(MIXTURES.assign(N=1e9, D=[1e9, 1e10]))
    columns: dict[str, Any] = {"weight": folded(MIXTURES), "N": 1e9, "D": xr.DataArray([1e9, 1e10], dims="row")}
    assert_as_predicted(found, fit.predict(**columns).draws)


def test_a_curve_is_predicted_along_its_schedule(annealing):
    plan, step = bl.schedules.wsd(4000, 2e-4, 800, warmup=100), np.array([1000, 4000])
    rows = pd.DataFrame({"run": "new", "step": step})
    found = annealing.predict(rows, schedule=plan)
    assert list(found) == ["run", "step", "eval", *SUMMARY], "areas are no part of the answer"
    assert_as_predicted(found, annealing.curve(plan, steps=step).draws.rename(step="row"))
    logged = pd.DataFrame({"step": np.arange(100, 4001), "lr": plan.lr[99:]})
    np.testing.assert_allclose(annealing.predict(logged).loc[step - 100, "mean"], found["mean"], rtol=1e-6)
    areas = plan.areas().sel(step=step)
    given = rows.assign(S1=areas["S1"].values, annealed=0.001 * areas["S2"].values)
    np.testing.assert_allclose(annealing.predict(given)["mean"], found["mean"], rtol=1e-12)


def test_continual_pre_training_says_what_was_before(table_for, tmp_path):
    fit = stand_in(models.cpt_dynamics, table_for)
    rows, before = pd.DataFrame({"step": [1000, 4000]}), bl.schedules.constant(8000, 2e-4, warmup=100)
    with pytest.raises(BayeslawError, match="before="):
        fit.predict(rows, schedule=PLANS["fall"])
    found = fit.predict(rows, schedule=PLANS["fall"], before=before)
    assert_as_predicted(found, fit.curve(PLANS["fall"], steps=[1000, 4000], before=before).draws.rename(step="row"))
    pd.DataFrame({"step": [1, 100, 8000], "lr": [2e-6, 2e-4, 2e-4]}).to_csv(tmp_path / "before.csv", index=False)
    pd.testing.assert_frame_equal(fit.predict(rows, schedule=PLANS["fall"], before=tmp_path / "before.csv"), found)


def test_what_is_known_of_a_domain_may_be_left_out(table_for):
    fit = stand_in(models.cross_domain_dcpt, table_for)
    known = fit.model.runs.table.drop_duplicates("domain").set_index("domain")
    rows = SHARES.assign(domain=known.index[0])
    given = rows.drop(columns="domain").assign(k1=known["k1"].iloc[0], k2=known["k2"].iloc[0])
    assert fit.predict(rows)["mean"].tolist() == fit.predict(given)["mean"].tolist()
    with pytest.raises(BayeslawError, match="k1 is missing"):
        fit.predict(rows.assign(domain="chess"))


def test_labels_of_a_file_are_text_as_it_is_written(table_for, tmp_path):
    fit = stand_in(models.dcpt, lambda law, **kw: table_for(law, domains=("007", "NA"), **kw), by={"E": "domain"})
    rows = SHARES.assign(domain=["007", "NA"])
    rows.to_csv(tmp_path / "grid.csv", index=False)
    pd.testing.assert_frame_equal(fit.predict(tmp_path / "grid.csv"), fit.predict(rows))


def test_the_size_of_the_pieces_does_not_matter(chinchilla, monkeypatch):
    whole = chinchilla.predict(GRID, prob=0.5)
    monkeypatch.setattr(losses, "CELLS", 500)
    pd.testing.assert_frame_equal(chinchilla.predict(GRID, prob=0.5), whole)


def test_a_new_run_has_its_own_error(chinchilla):
    mean, new = chinchilla.predict(GRID), chinchilla.predict(GRID, new_run=True, seed=1)
    assert (new["sd"] > mean["sd"]).all()
    assert new.equals(chinchilla.predict(GRID, new_run=True, seed=1))


# ------------------------------------------------------------------------------------------------------------ mistakes
REFUSED: dict[str, tuple[str, pd.DataFrame | None, dict[str, Any], str]] = {
    "no rows": ("dcpt", SHARES[:0], {}, "the table has no rows"),
    "a column of the law": ("dcpt", SHARES.drop(columns="N"), {}, "no column 'N'"),
    "a gap": ("dcpt", SHARES.assign(D=[1e9, np.nan]), {}, "D is missing in row 1 .counted from 0.: fill it in"),
    "a word": (
        "dcpt",
        SHARES.assign(D=[1e9, "many"]),
        {},
        "D is 'many' in row 1 .counted from 0., which is not a number",
    ),
    "an impossible number": ("dcpt", SHARES.assign(D=-1.0), {}, "D is -1"),
    "a label": ("dcpt", SHARES.drop(columns="domain"), {}, "domain is missing: give one of code, law"),
    "a gap among labels": (
        "dcpt",
        SHARES.assign(domain=["law", ""]),
        {},
        "domain is missing in row 1 .counted from 0.: name it",
    ),
    "another label": ("dcpt", SHARES.assign(domain="chess"), {}, "no domain .*'chess'"),
    "a column of the answer": ("dcpt", SHARES.assign(mean=1.0), {}, "column 'mean', which predictions add"),
    "a validation set": ("dcpt", SHARES.assign(eval="domain"), {}, "column 'eval', which predictions add"),
    "a schedule": ("dcpt", SHARES, {"warmup": 5}, "dcpt has no schedule: leave schedule, before and warmup out"),
    "a probability": ("dcpt", SHARES, {"prob": 89.0}, "prob is 89.0: give a probability"),
    "columns beside a table": ("dcpt", SHARES, {"N": 1e9}, "no argument 'N'"),
    "nothing": ("dcpt", None, {}, "table is None: give a pandas DataFrame .* or a path"),
    "a source": ("regmix", MIXTURES.drop(columns="weight_code"), {}, "no column 'weight_code'"),
    "another source": ("regmix", MIXTURES.assign(weight_chess=0.0), {}, "no source 'chess'"),
    "a sum": ("regmix", MIXTURES.assign(weight_web=[0.5, 0.7]), {}, "the shares of row 1 .counted from 0. sum to 0.7"),
    "a share below 0": (
        "regmix",
        MIXTURES.assign(weight_web=0.6, weight_books=[0.5, 0.4], weight_code=[-0.1, 0.0]),
        {},
        "a share of a mixture is -0.1",
    ),
    "a rate": ("annealing", pd.DataFrame({"step": [10, 20]}), {}, "needs a column 'lr'"),
    "a step": ("annealing", pd.DataFrame({"step": [10, 2.5], "lr": 1e-4}), {}, "step is 2.5 in row 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_predicted_is_refused_in_a_sentence(name, request):
    law, table, options, words = REFUSED[name]
    with pytest.raises(BayeslawError, match=words) as caught:
        request.getfixturevalue(law).predict(table, **options)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- command line
@pytest.mark.parametrize(
    ("law", "rows"),
    [("dcpt", SHARES), ("regmix", MIXTURES), ("annealing", pd.DataFrame({"step": [500, 1000], "lr": 2e-4}))],
)
def test_the_command_line_says_the_same(law: str, rows: pd.DataFrame, request: Any, tmp_path: Path) -> None:
    fit = request.getfixturevalue(law)
    fit.save(tmp_path / "fit.nc")
    rows.to_csv(tmp_path / "grid.csv", index=False)
    files = [str(tmp_path / name) for name in ("fit.nc", "grid.csv")]
    words = ["-m", "bayeslaw.cli", "predict", *files, "-o", str(tmp_path / "out.csv"), "--prob=0.5"]
    words = [*words, "--warmup=100"] if law == "annealing" else words
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = fit.predict(rows, prob=0.5).reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), expected)
