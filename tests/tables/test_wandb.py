"""Exports of Weights & Biases: charts, several of them, and the table of runs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw.errors import BayeslawError

NAMES = ("00731245", "r60 - long")


def chart(metric: str, start: float, own_step: bool = True, steps: Sequence[int] = (100, 200, 300)) -> pd.DataFrame:
    """A chart as it is exported: Step, then every run's metric with its limits."""
    table = pd.DataFrame({"Step": steps})
    for shift, name in enumerate(NAMES):
        values = start - 0.1 * np.arange(len(steps)) - shift
        for ending, off in (("", 0.0), ("__MIN", -0.02), ("__MAX", 0.02)):
            if own_step:
                table[f"{name} - _step{ending}"] = steps
            table[f"{name} - {metric}{ending}"] = values + off
    return table


def runs_table() -> pd.DataFrame:
    return pd.DataFrame({"Name": NAMES, "State": "finished", "params": [1e8, 2e8], "val/en": [1.0, 1.0]})


@pytest.mark.parametrize("written", [True, False], ids=["file", "frame"])
def test_the_readers_read_a_chart_as_it_is(written, tmp_path):
    table = chart("val/en", 4.0)
    if written:
        table.to_csv(tmp_path / "chart.csv", index=False)
    runs = bl.read_runs(tmp_path / "chart.csv" if written else table, loss="val/en")
    assert list(runs.table["run"]) == [n for n in NAMES for _ in range(3)]
    assert list(runs.table["step"]) == [100, 200, 300] * 2
    np.testing.assert_allclose(runs.table["validation_loss"], [4.0, 3.9, 3.8, 3.0, 2.9, 2.8])


def test_charts_and_the_table_of_runs_become_one_table(tmp_path):
    runs_table().to_csv(tmp_path / "runs.csv", index=False)
    rates = chart("lr", 4.0).replace({f"{n} - lr": {4.0: 4.0} for n in NAMES})
    log = bl.from_wandb(chart("val/en", 4.0), rates, runs=tmp_path / "runs.csv")
    assert list(log.columns) == ["run", "step", "val/en", "lr", "State", "params"]
    assert list(log["params"]) == [1e8] * 3 + [2e8] * 3 and log["val/en"].iloc[0] == 4.0
    assert bl.read_curves(log, warmup=0, loss="val/en", N="params").table["N"].tolist() == [1e8] * 3 + [2e8] * 3


def test_metrics_at_different_steps_leave_gaps():
    log = bl.from_wandb(chart("a", 4.0), chart("b", 4.0, steps=(150, 300)))
    assert list(log["step"]) == [100, 150, 200, 300] * 2
    assert log["a"].isna().sum() == 2 and log["b"].isna().sum() == 4


def test_another_axis_keeps_its_name_and_cells_of_no_run_are_left_out():
    tokens = chart("val/en", 4.0, own_step=False).rename(columns={"Step": "tokens"})
    tokens.loc[0, f"{NAMES[0]} - val/en"] = np.nan
    log = bl.from_wandb(tokens)
    assert list(log.columns) == ["run", "tokens", "val/en"] and len(log) == 5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bl.from_wandb(), "no chart was given"),
        (lambda: bl.from_wandb(pd.DataFrame({"N": [1.0], "loss": 3.0})), "columns N, loss is no exported chart"),
        (
            lambda: bl.from_wandb(chart("a", 4.0), chart("b", 4.0).rename(columns={"Step": "tokens"})),
            "have the axes step, tokens: export all of them over the same one",
        ),
        (lambda: bl.from_wandb(chart("a", 4.0), runs=runs_table()[:1]), "no run in the table of runs 'r60 - long'"),
        (lambda: bl.from_wandb(chart("a", 4.0), runs=runs_table().assign(Name="a")), "has the run 'a' twice"),
        (
            lambda: bl.from_wandb(chart("a", 4.0), runs=runs_table().drop(columns="Name")),
            "runs: there is no column 'Name'",
        ),
    ],
)
def test_tables_that_are_no_exports_are_refused(call, words):
    with pytest.raises(BayeslawError, match=words):
        call()
