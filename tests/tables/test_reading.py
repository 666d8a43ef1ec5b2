"""What a table may be: frames and files of several kinds, named indexes, texts kept, rows as pandas counts them."""

import builtins
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.errors import ArgumentError, DataError, MissingExtra
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.reading import read_table

IDS = ["00731245", "12e45678"]
RUNS = pd.DataFrame(
    {"run": np.repeat(IDS, 2), "N": [1e8, 1e8, 1e9, 1e9], "D": [1e9, 2e9] * 2, "loss": [3.1, 3, 2.7, 2.6]}
)
LOG = pd.concat(
    [pd.DataFrame({"run": r, "step": range(1, 51), "lr": 1e-3, "loss": np.linspace(4, 3, 50)}) for r in IDS]
)
SCORES = pd.DataFrame({"run": IDS, "duration": [0.1, 0.3], "mmlu_score": [0.4, 0.5]})

WRITERS: dict[str, Any] = {
    "t.csv": lambda t, path: t.to_csv(path, index=False),
    "t.parquet": lambda t, path: t.to_parquet(path),
    "t.feather": lambda t, path: t.to_feather(path),
    "t.json": lambda t, path: t.to_json(path, orient="records"),
    "t.jsonl": lambda t, path: t.to_json(path, orient="records", lines=True),
    "t.jsonl.gz": lambda t, path: t.to_json(path, orient="records", lines=True),
}


# ------------------------------------------------------------------------------------------------------- files, frames
@pytest.mark.parametrize("name", WRITERS)
def test_files_of_every_kind_are_read_alike(name, tmp_path):
    WRITERS[name](RUNS, tmp_path / name)
    runs = bl.read_runs(tmp_path / name)
    assert runs.hash == bl.read_runs(RUNS).hash and list(runs.table["run"].unique()) == IDS


def test_frames_of_other_libraries_are_read(tmp_path):
    assert bl.read_runs(pa.Table.from_pandas(RUNS)).hash == bl.read_runs(RUNS).hash
    curves = bl.read_curves(pa.Table.from_pandas(LOG), warmup=0)
    assert curves.hash == bl.read_curves(LOG, warmup=0).hash
    fit = bl.Model(models.chinchilla, bl.read_runs(grid())).fit(method="mle")
    plan = pd.DataFrame({"N": [1e9, 2e9], "D": 1e10})
    pd.testing.assert_frame_equal(fit.predict(pa.Table.from_pandas(plan)), fit.predict(plan))


def test_a_series_is_no_table():
    with pytest.raises(ArgumentError, match="a Series: give a pandas DataFrame"):
        bl.read_runs(RUNS["loss"])


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
def test_a_missing_pyarrow_is_named(name, tmp_path, monkeypatch):
    WRITERS[name](RUNS, tmp_path / name)
    found = builtins.__import__

    def without(module, *args, **kwargs):
        if module.split(".")[0] in ("pyarrow", "fastparquet"):
            raise ImportError(f"No module named {module!r}")
        return found(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(MissingExtra, match=r"pyarrow is not installed: run pip install 'bayeslaw\[parquet\]'"):
        bl.read_runs(tmp_path / name)


# -------------------------------------------------------------------------------------------------------------- indexes
def grid() -> pd.DataFrame:
    cells = pd.MultiIndex.from_product([[5e8, 1e9, 2e9], [1e9, 1e10, 1e11]], names=["N", "D"]).to_frame(index=False)
    noise = np.random.default_rng(0).normal(0, 0.003, 9)
    return cells.assign(
        loss=(1.8 + 0.4 * (cells["N"] / 1e9) ** -0.3 + 0.4 * (cells["D"] / 1e9) ** -0.3) * np.exp(noise)
    )


@pytest.mark.parametrize("index", ["run", ["run", "D"], ["N", "D"]])
def test_a_named_index_is_data_at_every_reader(index):
    assert bl.read_runs(RUNS.set_index(index)).hash == bl.read_runs(RUNS).hash


def test_a_named_index_is_data_of_curves_scores_and_schedules():
    plain = bl.read_curves(LOG, warmup=0)
    assert bl.read_curves(LOG.set_index(["run", "step"]), warmup=0).hash == plain.hash
    assert bl.read_scores(SCORES.set_index("run")).hash == bl.read_scores(SCORES).hash
    rates = LOG[["run", "step", "lr"]]
    losses = LOG.drop(columns="lr")
    indexed = bl.read_curves(losses, schedule=rates.set_index(["run", "step"]), before=rates.set_index("run"))
    assert indexed.hash == bl.read_curves(losses, schedule=rates, before=rates).hash
    pd.testing.assert_frame_equal(curve_columns(rates.set_index("run"), plain), curve_columns(rates, plain))


def test_a_named_index_is_data_of_a_grid_and_stays_its_index():
    fit = bl.Model(models.chinchilla, bl.read_runs(grid())).fit(method="mle")
    plan = pd.DataFrame({"N": [1e9, 2e9], "D": 1e10}, index=["x", "y"])
    indexed = fit.predict(plan.set_index("N"))
    assert indexed.index.name == "N" and list(indexed.columns) == ["D", "mean", "sd", "lower", "upper"]
    np.testing.assert_array_equal(indexed["mean"], fit.predict(plan)["mean"])


def test_early_features_know_a_domain_in_the_index():
    cells = [(d, n, t, 0.5) for d in ("law", "code") for n in (1e8, 1e9) for t in (0.0, 1e8, 5e8, 1e9)]
    table = pd.DataFrame(cells, columns=["domain", "N", "D", "domain_share"])
    table["domain_loss"] = 3 - 0.2 * np.log1p(table["D"] / 1e8)
    known: dict[str, Any] = dict(N=1e8, domain_share=0.5, tokens=[1e8, 5e8])
    plain, indexed = (bl.early_features(bl.read_runs(t), **known) for t in (table, table.set_index("domain")))
    assert plain.hash == indexed.hash and "k1" in indexed.table


def test_an_index_that_is_ambiguous_is_refused():
    with pytest.raises(DataError, match="column 'run' and an index of that name that differs"):
        read_table(RUNS.set_index(pd.Index([1, 2, 3, 4], name="run")))
    assert list(read_table(RUNS.set_index("run", drop=False)).columns) == list(RUNS.columns)
    with pytest.raises(DataError, match="a level of the table's index has no name: name it with table.rename_axis"):
        read_table(pd.concat({"a": RUNS, "b": RUNS}))
    grouped = read_table(RUNS.set_index("run", append=True))  # as groupby(...).apply leaves it
    assert list(grouped.columns) == list(RUNS.columns)


# ------------------------------------------------------------------------------------------------------------ ids, rows
@pytest.mark.parametrize("option", ["schedule", "before"])
@pytest.mark.parametrize("written", [True, False], ids=["file", "frame"])
def test_ids_stay_text_in_schedules(option, written, tmp_path):
    rates: Any = LOG[["run", "step", "lr"]]
    if written:
        rates.to_csv(tmp_path / "rates.csv", index=False)
        rates = tmp_path / "rates.csv"
    LOG.to_csv(tmp_path / "log.csv", index=False)
    settings = {"schedule": rates} if option == "schedule" else {"before": rates, "warmup": 0}
    runs = bl.read_curves(tmp_path / "log.csv", **settings)
    assert sorted(runs.table["run"].unique()) == IDS


def test_ids_stay_text_under_another_name(tmp_path):
    LOG.rename(columns={"run": "id"}).to_csv(tmp_path / "log.csv", index=False)
    assert sorted(bl.read_curves(tmp_path / "log.csv", run="id", warmup=0).table["run"].unique()) == IDS
    SCORES.rename(columns={"run": "id"}).to_csv(tmp_path / "scores.csv", index=False)
    assert list(bl.read_scores(tmp_path / "scores.csv", run="id").table["run"]) == IDS


def test_numbers_of_runs_are_whole_in_every_table():
    """A gap elsewhere turns a column of numbers into floats: 7.0 is the run 7."""
    plan = schedules.constant(50, 1e-3)
    by_number: Any = {7: plan, 8: plan}
    whole = LOG.assign(run=np.repeat([7.0, 8.0], 50))
    runs = bl.read_curves(whole.drop(columns="lr"), schedule=by_number)
    assert list(runs.table["run"].unique()) == ["7", "8"]
    rates = whole[["run", "step", "lr"]].astype({"run": int})
    assert bl.read_curves(whole, schedule=rates).hash == bl.read_curves(whole, schedule={"7": plan, "8": plan}).hash


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ([0, 1, 2, 3], r"N is 1.8 in row 2 \(counted from 0\): give parameters"),
        ([10, 11, 12, 13], r"N is 1.8 in row 12 \(position 2, counted from 0\)"),
        (list("abcd"), r"N is 1.8 in row 'c' \(position 2, counted from 0\)"),
        ([5, 5, 5, 5], r"N is 1.8 in row 5 \(position 2, counted from 0\)"),
    ],
)
def test_rows_are_named_as_pandas_shows_them(index, words):
    table = RUNS.assign(N=[1e8, 1e8, 1.8, 1e9]).set_axis(index)
    with pytest.raises(DataError, match=words):
        bl.read_runs(table)
    fit = bl.Model(models.chinchilla, bl.read_runs(grid())).fit(method="mle")
    with pytest.raises(DataError, match=words.replace("1.8", "missing").split(":")[0]):
        fit.predict(table.assign(N=[1e8, 1e8, np.nan, 1e9])[["N", "D"]])
