"""The machinery of the page: rules within their budgets, starts, stages, and aims that are judged from the replays."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from tests.stand_ins import stand_in
from tests.studies import next_run, next_run_cases
from tests.studies.next_run_cases import CASES, Case


@dataclass
class Counted:
    """A model whose posterior is the number of its rows."""

    rows: int

    def fit(self, **_: Any) -> "Counted":
        return self


def number(fit: Any) -> bl.Quantity:
    draws = xr.DataArray(np.full((2, 50), float(fit.rows)), dims=("chain", "draw"))
    return bl.Quantity("rows", draws, "1", "mean law")


@pytest.fixture
def case() -> Case:
    """Thirty runs of five sizes, two checkpoints each."""
    grid = pd.MultiIndex.from_product([[1e6, 2e6, 4e6, 8e6, 1.6e7], range(6), [1e8, 2e8]], names=["N", "k", "D"])
    table = grid.to_frame(index=False)
    table = table.assign(run=[f"{n:g} {k}" for n, k in zip(table["N"], table["k"], strict=True)], loss=3.0)
    made: Any = lambda rows: Counted(len(rows))  # noqa: E731
    return Case("made up", table.drop(columns="k"), made, number, "rows", ("N",))


def test_a_run_costs_its_last_checkpoint_and_a_start_is_cheap(case):
    assert (case.runs["cost"] == 6 * case.runs["N"] * 2e8).all() and len(case.runs) == 30
    starts = [case.start(seed) for seed in range(20)]
    assert all(len(set(start)) == next_run_cases.LEAST_RUNS for start in starts)
    assert {case.runs.loc[run, "N"] for start in starts for run in start} == {1e6, 2e6}, "the cheapest eight of thirty"
    assert len({*starts[0], *starts[1], *starts[2]}) > 4


def test_a_start_of_runs_that_cost_the_same_is_of_all(case):
    same = replace(case, table=case.table.assign(N=1e6), order=(), first=10)
    assert len({run for seed in range(20) for run in same.start(seed)}) == 30
    assert next_run.rules_of(same) == ["next_runs", "at random"]
    assert next_run.rules_of(case) == [rule for rule in next_run.RULES if rule != next_run.PEER]


@pytest.mark.parametrize("rule", ["at random", "cheapest first", "size by size"])
def test_rules_spend_what_they_may_and_answer_at_every_stage(case, rule):
    first = Counted(8)
    rows: list[dict[str, Any]] = list(next_run.replay(case, rule, 1, first))  # type: ignore[arg-type]
    assert [row["stage"] for row in rows] == [0.0, *case.stages]
    assert rows[0]["runs"] == 4 and rows[0]["median"] == 8, "the fit of the start is given"
    for row in rows[1:]:
        assert row["spent"] <= row["stage"] and row["median"] == 2 * row["runs"]
    dearest = case.runs["cost"].max() / case.runs["cost"].sum()
    assert rows[-1]["spent"] > 0.4 - dearest


@pytest.mark.parametrize("rule", [*next_run.ADVISED])
def test_what_advice_leaves_is_spent_at_random_and_counted(case, monkeypatch, rule):
    asked = []

    def one(case: Case, fit: Any, left: list[str], budget: float, rng: Any) -> list[str]:
        asked.append(len(left))
        return [str(case.runs["cost"][left].idxmin())] if len(asked) == 1 else []

    monkeypatch.setitem(next_run.RULES, rule, one)
    tight = replace(case, stages=(0.023, 0.1, 0.2))  # the start has spent 0.0215, the cheapest run costs 0.0054
    found = list(next_run.replay(tight, rule, 0, Counted(8)))  # type: ignore[arg-type]
    assert [row["added"] for row in found[:2]] == [0, 0] and found[1]["spent"] == found[0]["spent"]
    assert [row["filled"] for row in found[2:]] == [found[2]["added"] - 1, found[3]["added"]]
    assert len(asked) == {"next_runs": 3, next_run.PEER: 2}[rule], "a rule that names none rests for a stage"
    assert found[-1]["spent"] > 0.2 - 0.06 and found[-1]["median"] == 2 * found[-1]["runs"]


def test_suggested_runs_are_the_nearest_that_the_budget_allows(case, monkeypatch):
    monkeypatch.setattr(next_run, "suggestions", lambda *_: pd.DataFrame({"N": [9e6, 1e9], "D": [2e8, 2e8]}))
    left, cost = [str(run) for run in case.runs.index[1:]], case.runs["cost"]
    budget = float(cost.max() + cost[case.runs["N"] == 8e6].iloc[0])
    chosen = next_run.nearest(case, None, left, budget, np.random.default_rng(0))
    assert case.runs.loc[chosen, "N"].tolist() == [8e6, 1.6e7]


def replays(ours: list[float], chance: list[float]) -> pd.DataFrame:
    """Answers at a tenth of the FLOPs, whose truth is 0 and that of all runs -1 to 1."""
    rows = [
        {"rule": rule, "start": start, "stage": 0.1, "spent": 0.09, "runs": 5, "median": m, "lower": m - 1, "upper": m}
        for rule, medians in (("next_runs", ours), ("at random", chance))
        for start, m in enumerate(medians)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("ours", "chance", "said"),
    [
        ([3.0, 3.1, 2.9], [1.0, 1.1, 1.0], "worse than a random choice by more than twice its noise at 0.1"),
        ([0.5, 3.0, 0.5], [0.6, 1.0, 0.7], "never worse than a random choice"),
        ([3.0, 3.1], [1.0, 1.1], "too few starts (2)"),
    ],
)
def test_aims_are_judged_from_the_replays(ours, chance, said):
    done = replays(ours, chance)
    found = next_run.summary(done, 0.0, (-1.0, 1.0))
    text = next_run.verdict("made up", found, next_run.compared(done, 0.0))
    within = np.mean(np.abs(ours) <= 1)
    assert said in text and f"a tenth of the FLOPs from {within:.0%} of {len(ours)} starts" in text


def test_checkpoints_are_spread_and_hold_the_last(case):
    table = pd.concat([case.table.assign(D=d) for d in np.arange(1, 12) * 1e8], ignore_index=True).drop_duplicates()
    kept = next_run_cases.checkpoints(table, 3)
    assert kept.groupby("run")["D"].apply(list).map(tuple).unique().tolist() == [(1e8, 6e8, 1.1e9)]


def test_answers_are_compared_in_decades_and_nats(table_for):
    fit = stand_in(models.chinchilla, table_for)
    found = next_run_cases.size(fit)
    sizes = fit.allocation(flops=next_run_cases.TARGET).draws.sel(quantity="N")
    np.testing.assert_allclose(10**found.draws.values, sizes.values)
    mixed = stand_in(models.data_mixing, table_for)
    shares = next_run_cases.tried(mixed.model.runs.table)
    saved = next_run_cases.saving(mixed, shares)
    assert saved.unit.startswith("nats") and (saved.draws.mean() > 0).item()


@pytest.mark.parametrize("name", ["simulated", "tinycpt"])
def test_a_case_of_the_package_can_be_asked(name):
    case = CASES[name]()
    some = case.model(case.rows(case.start(0)))
    assert some.runs.table["run"].nunique() == next_run_cases.LEAST_RUNS
    assert np.isfinite(case.runs["cost"]).all() and case.runs["cost"].gt(0).all()
