"""Which run to do next: real tables replayed as if every run cost its FLOPs, and a simulated one whose truth is known.

``python -m tests.studies.next_run [TABLE ...] [--starts 10]`` replays tables, start by start, and writes
docs/studies/next_run.md with what has been replayed; finished replays are kept in build/studies/next_run.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from bayeslaw.errors import BayeslawError
from bayeslaw.workflow import Fit
from tests.benchmarks.small_tables import PEERS, peer_installed
from tests.studies.next_run_cases import CASES, TARGET, Case
from tests.studies.page import BUILD, Page

FOLDER = BUILD / "next_run"
SAMPLING: dict[str, Any] = {"draws": 500, "chains": 2, "tune": 300, "cores": 1, "progress": False}
FULL: dict[str, Any] = {"draws": 1000, "chains": 4, "tune": 300, "cores": 1, "progress": False, "seed": 1}
"""Draws of a refit, and of the fit of all runs."""

BATCH = 8
"""Runs that are chosen at once."""

TENTH = 0.1
"""The share of FLOPs at which an answer is aimed at that lies within the interval of all runs."""

LEAST_STARTS = 3
"""Starts from which a difference has a noise."""


# --------------------------------------------------------------------------------------------------------------- rules
Choose = Callable[[Case, Fit | None, list[str], float, np.random.Generator], list[str]]
"""From the case, the fit of the runs so far, the runs that are left and a budget, to the runs to add."""


def affordable(case: Case, order: list[str], budget: float) -> list[str]:
    """Return the runs of an order up to the first that the budget does not allow."""
    spent = np.cumsum(case.runs.loc[order, "cost"].to_numpy())
    return [run for run, so_far in zip(order, spent, strict=True) if so_far <= budget]


def at_random(case: Case, _: Fit | None, left: list[str], budget: float, rng: np.random.Generator) -> list[str]:
    """Any run that the budget allows, until it allows none."""
    cost, chosen = case.runs["cost"], list[str]()
    while open_ := [run for run in left if run not in chosen and cost[run] <= budget]:
        chosen.append(str(rng.choice(open_)))
        budget -= cost[chosen[-1]]
    return chosen


def cheapest(case: Case, _: Fit | None, left: list[str], budget: float, rng: np.random.Generator) -> list[str]:
    """The cheapest first, ties at random."""
    cost = case.runs.loc[rng.permutation(left), "cost"]
    return affordable(case, list(cost.sort_values(kind="stable").index), budget)


def of_the_paper(case: Case, _: Fit | None, left: list[str], budget: float, __: np.random.Generator) -> list[str]:
    """Size by size, as a study writes down its grid."""
    return affordable(case, list(case.runs.loc[left].sort_values([*case.order], kind="stable").index), budget)


def ours(case: Case, fit: Fit | None, left: list[str], budget: float, _: np.random.Generator) -> list[str]:
    """What `fit.next_runs` chooses within the budget."""
    if fit is None:
        return []
    losses = [c for c in map(str, case.table) if c.endswith("loss")]
    rows = case.rows(left).drop(columns=losses).rename(columns={"run": "candidate"})
    rows = rows.assign(cost=case.runs["cost"].loc[rows["candidate"]].to_numpy())
    found = fit.next_runs(case.ask, candidates=rows, budget=budget, batch=BATCH, cost="cost", seed=1)
    return [str(run) for run in found.chosen["candidate"]]


def suggestions(rows: pd.DataFrame, budgets: list[float]) -> pd.DataFrame:
    """Return sizes and tokens that simple-scaling-laws suggests after some measurements; empty if it refuses."""
    columns = {"N": "model_size__n_params", "D": "dataset_size__n_tokens", "loss": "test_loss__cross_entropy"}
    table = rows[["N", "D", "loss"]].rename(columns=columns)
    table = table.assign(training_run_id=[f"run {i}" for i in range(len(table))], test_set_id=0)
    program = str(PEERS / "bin/scaling-laws")
    with tempfile.TemporaryDirectory() as folder:
        runs, artifact, found = (f"{folder}/{name}" for name in ("r.csv", "r.slaw", "s.csv"))
        table.to_csv(runs, index=False)
        fit = [program, "fit", runs, "--law", "separable-power", "--output", artifact, "--draws", "200", "--quiet"]
        asked = [f"--candidate-budget={b:g}" for b in budgets]
        cost = ["--cost", "power:k=6,a=1,b=1", "-n", str(BATCH), "--output", found]
        suggest = [program, "suggest", artifact, f"--target-budget={TARGET:g}", *asked, *cost]
        for command in (fit, suggest):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print("simple-scaling-laws:", done.stderr.strip().splitlines()[-1:])
                return pd.DataFrame(columns=["N", "D"])
        return pd.read_csv(found).rename(columns={new: old for old, new in columns.items()})


def nearest(case: Case, fit: Fit | None, left: list[str], budget: float, rng: np.random.Generator) -> list[str]:
    """Return the runs nearest to what the peer suggests, of those that the budget allows, in its order."""
    cost, chosen = case.runs["cost"], list[str]()
    at = case.runs[["N", "D"]].apply(np.log)
    levels_of_cost = sorted({float(f"{c:.1e}") for c in cost[left] if c <= budget})
    some = [levels_of_cost[i] for i in np.unique(np.linspace(0, len(levels_of_cost) - 1, 5).round().astype(int))]
    for _, wanted in suggestions(case.table[~case.table["run"].isin(left)], some).iterrows():
        open_ = [run for run in left if run not in chosen and cost[run] <= budget]
        if not open_:
            break
        far = (at.loc[open_] - np.log([wanted["N"], wanted["D"]])).pow(2).sum(axis=1)
        chosen.append(str(far.idxmin()))
        budget -= cost[chosen[-1]]
    return chosen


PEER = "suggest of simple-scaling-laws"
RULES: dict[str, Choose] = {
    "next_runs": ours,
    "at random": at_random,
    "cheapest first": cheapest,
    "size by size": of_the_paper,
    PEER: nearest,
}
RANDOM = ("next_runs", "at random")
"""Rules that are left where all runs cost the same: the others are random there."""

ADVISED = {"next_runs": 3, PEER: 1}
"""Rules that name a few runs or none, and how often they are asked in a stage; what they leave is spent at random."""


def rules_of(case: Case) -> list[str]:
    """Return the rules that differ on a table."""
    asked = [rule for rule in RULES if rule != PEER or (case.peer and peer_installed())]
    return asked if case.order else [*RANDOM]


# -------------------------------------------------------------------------------------------------------------- replay
def fitted(case: Case, runs: list[str], seed: int) -> Fit | None:
    """The posterior of some runs; None where they are too few for a fit."""
    try:
        return case.model(case.rows(runs)).fit(seed=seed, **SAMPLING)
    except BayeslawError as e:
        print(f"  no fit of {len(runs)} runs: {e}", flush=True)
        return None


def replay(case: Case, rule: str, seed: int, fit: Fit | None) -> Iterator[dict[str, Any]]:
    """Spend by a rule, from the fit of the start, and answer after every stage."""
    rng, runs, cost = np.random.default_rng([seed, 1]), case.start(seed), case.runs["cost"]
    total, turns = float(cost.sum()), [rule] * ADVISED.get(rule, 1) + ["at random"] * (rule in ADVISED)
    for stage in (0.0, *case.stages):
        silent, filled, before = "", 0, len(runs)
        for by in turns:
            left = [str(run) for run in case.runs.index if run not in runs]
            budget = stage * total - float(cost[runs].sum())
            if by == silent or not left or cost[left].min() > budget:
                continue
            chosen = RULES[by](case, fit, left, budget, rng)
            if not chosen:
                silent = by
                continue
            filled += len(chosen) * (by != rule)
            runs = [*runs, *chosen]
            fit = fitted(case, runs, seed)
        answer = {"median": None, "lower": None, "upper": None} if fit is None else case.answer(fit)
        spent, added = float(cost[runs].sum()) / total, len(runs) - before
        yield {"stage": stage, "runs": len(runs), "spent": spent, "added": added, "filled": filled, **answer}


def kept(name: str) -> Path:
    """The file of finished replays of a table."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return FOLDER / f"{name}.jsonl"


def finished(name: str) -> pd.DataFrame:
    """Finished replays of a table, a row for each stage."""
    lines = kept(name).read_text("utf-8").splitlines() if kept(name).is_file() else []
    return pd.DataFrame([row for line in lines for row in json.loads(line)])


def of_all(name: str, case: Case) -> dict[str, float]:
    """The answer of all runs."""
    path = kept(name).with_name(f"{name}-all.json")
    if not path.is_file():
        path.write_text(json.dumps(case.answer(case.model(case.table).fit(**FULL))), "utf-8")
    return dict(json.loads(path.read_text("utf-8")))


def run(name: str, seed: int) -> None:
    """Replay a table by every rule from one start, but for what is kept."""
    case, done = CASES[name](), finished(name)
    kept_rules = set(done.loc[done["start"] == seed, "rule"]) if len(done) else set()
    if not (open_ := [rule for rule in rules_of(case) if rule not in kept_rules]):
        return
    print(name, of_all(name, case), flush=True)
    first = fitted(case, case.start(seed), seed)
    for rule in open_:
        rows = [{"rule": rule, "start": seed, **row} for row in replay(case, rule, seed, first)]
        with kept(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows) + "\n")
        print(name, seed, rule, *(f"{r['spent']:.3f}: {r['median']}" for r in rows), sep="  ", flush=True)


# ---------------------------------------------------------------------------------------------------------------- page
def summary(done: pd.DataFrame, reference: float, ends: tuple[float, float]) -> pd.DataFrame:
    """Return scores by rule and stage: means over the starts, the error with its standard error."""
    answered = done.dropna(subset=["median"])
    error = (answered["median"] - reference).abs()
    scored = answered.assign(
        error=error,
        width=answered["upper"] - answered["lower"],
        covers=answered["lower"].le(reference) & answered["upper"].ge(reference),
        within=answered["median"].between(*ends),
    )
    groups = scored.groupby(["rule", "stage"], sort=False)
    table = groups[["spent", "runs", "error", "width", "covers", "within"]].mean()
    return table.assign(se=groups["error"].sem(), starts=groups.size()).reset_index()


def compared(done: pd.DataFrame, reference: float) -> pd.DataFrame:
    """Return the error of our rule less that of a random choice, start by start: its mean and noise at every stage."""
    error = done.assign(error=(done["median"] - reference).abs())
    wide = error.pivot_table(index=["stage", "start"], columns="rule", values="error")
    gap = (wide["next_runs"] - wide["at random"]).dropna().groupby("stage")
    table = pd.DataFrame({"less": gap.mean(), "noise": gap.sem(), "starts": gap.size()}).drop(0.0, errors="ignore")
    table["worse"] = (table["less"] > 2 * table["noise"]).where(table["starts"] >= LEAST_STARTS)
    return table


def page_of(page: Page, name: str) -> str:
    """Add what was replayed of a table; return what holds of the aims."""
    case, done = CASES[name](), finished(name)
    every = done.groupby("start")["rule"].transform("nunique") == done["rule"].nunique()
    done, full = done[every], of_all(name, case)
    reference = full["median"] if case.truth is None else case.truth
    found = summary(done, reference, (full["lower"], full["upper"]))
    page.text(f"## {case.title}")
    against = "the answer of all runs" if case.truth is None else f"the truth, {case.truth:.3f}"
    unit = {"decades": "log10 of parameters"}.get(case.unit, case.unit)
    page.text(
        f"{len(case.runs)} runs, **{done['start'].nunique()} starts**. All runs answer {full['median']:.3f} "
        f"[{full['lower']:.3f}, {full['upper']:.3f}] ({unit}). Errors are against {against}, in {case.unit}."
    )
    names = {"spent": "FLOPs spent", "covers": "coverage", "within": "within the interval of all", "se": "its error"}
    columns = ["rule", "FLOPs spent", "runs", "error", "its error", "width", "coverage", "within the interval of all"]
    page.table(found.rename(columns=names).sort_values(["stage", "rule"])[columns])
    page.figure(name, figure(found, case), f"Error of the answer of {name} by the share of FLOPs spent, by rule")
    gaps = compared(done, reference)
    page.text(f"Error of `next_runs` less that of a random choice, start by start: {'; '.join(by_stage(gaps))}.")
    named = done[done["rule"].isin(ADVISED)].groupby("rule", sort=False)[["added", "filled"]].sum()
    page.text(
        "Of the runs that they were credited with, "
        + " and ".join(f"{rule} named {n - by_chance} of {n}" for rule, n, by_chance in named.itertuples())
        + "; the others are random."
    )
    return verdict(name, found, gaps)


def by_stage(gaps: pd.DataFrame) -> Iterator[str]:
    """Say of every stage how our rule compares with a random choice."""
    for stage, row in gaps.iterrows():
        noise = f", standard error {row['noise']:.3f}" if row["starts"] >= LEAST_STARTS else ""
        yield f"up to {stage:g} of the FLOPs {row['less']:+.3f}{noise}"


def verdict(name: str, found: pd.DataFrame, gaps: pd.DataFrame) -> str:
    """Say whether the aims are met: at a tenth of the FLOPs, and against the random rule at every stage."""
    tenth = found[found["stage"] == TENTH].set_index("rule")
    ours, chance = tenth.loc["next_runs"], tenth.loc["at random"]
    if gaps["starts"].min() < LEAST_STARTS:
        random = f"too few starts ({gaps['starts'].min():.0f}) to tell its error from noise"
    elif worse := [f"{stage:g}" for stage in gaps.index[gaps["worse"].astype(bool)]]:
        random = f"worse than a random choice by more than twice its noise at {' and '.join(worse)} of the FLOPs"
    else:
        random = "never worse than a random choice by more than twice its noise"
    best = found[found["stage"] > 0].groupby("stage")["error"].idxmin().map(found["rule"])
    return (
        f"{name}: within the interval of all runs at a tenth of the FLOPs from {ours['within']:.0%} of "
        f"{ours['starts']:.0f} starts (having spent {ours['spent']:.3f}), at random from {chance['within']:.0%}; "
        f"{random}; the smallest mean error of all rules at {(best == 'next_runs').sum()} of {len(best)} stages."
    )


def figure(found: pd.DataFrame, case: Case) -> Any:
    """Error and width by FLOPs spent, a line for each rule."""
    drawing, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for rule, part in found[found["stage"] > 0].groupby("rule", sort=False):
        axes[0].errorbar(part["spent"], part["error"], part["se"], marker="o", ms=3, label=str(rule), capsize=2)
        axes[1].plot(part["spent"], part["width"], marker="o", ms=3)
    for ax, what in zip(axes, ("mean error", "mean width of the interval"), strict=True):
        ax.set(xlabel="share of all FLOPs", ylabel=f"{what} ({case.unit})", xscale="log", ylim=(0, None))
        ax.set_xticks(case.stages, [f"{stage:g}" for stage in case.stages])
        ax.set_xticks([], minor=True)
    axes[0].legend(fontsize=7)
    return drawing


ABOUT = """\
Public tables replayed as if each run cost its FLOPs (6 N D): a start of a tenth of the runs, at random among the
cheapest fifth (four runs at least; 36 of the 512 of regmix, as its law has 35 coefficients), and then runs by
`fit.next_runs` within the budget of each stage, at random, the cheapest first, size by size as a grid is written down,
and, where size and tokens are all, the runs nearest to what `suggest` of simple-scaling-laws names. All rules answer by
the same law and priors, with the misfit along its scales for real tables, so that only the choice of runs differs.
`next_runs` names up to 8 runs at once, three times in a stage with a refit between, `suggest` up to 8 runs once. Both
may name none: `next_runs` where no run narrows the interval by more than its Monte Carlo error, `suggest` where its fit
has no optimum. What they leave of a stage is spent at random, and counted. A run costs the same whether its checkpoints
are used or not. Each stage is fitted with 2 chains of 500 draws: enough for medians and widths, not for tails.
*coverage* is the share of 89 % intervals that hold the reference; of a reference that is itself an estimate it says
less. *its error* is the standard error over the starts, which share the runs of the table and are no independent
tables. Where all runs cost the same, *cheapest first* and *size by size* are random choices and left out."""

AIMS = """\
## What holds, and what does not

Aims: an answer within the 89 % interval of all runs at a tenth of the FLOPs; at no budget a larger error than that of
runs chosen at random, by more than its noise (here twice the standard error over starts). Where runs at random reach
the first aim as well, the interval of all runs is wide, and the aim says little of the rule."""


def main() -> None:
    """Replay the tables asked for, and write the page."""
    matplotlib.use("agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(CASES)}; none: the page of what is kept")
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    for seed in range(asked.starts):
        for name in asked.tables:
            run(name, seed)
    done = [name for name in CASES if set(RANDOM) <= set(finished(name).get("rule", ()))]
    page = Page("next_run", "Which run to do next")
    page.text(ABOUT)
    left = [name for name in CASES if name not in done]
    page.text(f"Replayed here: {', '.join(done)}." + (f" Not replayed: {', '.join(left)}." if left else ""))
    found = [page_of(page, name) for name in done]
    page.text(AIMS)
    page.text("\n".join(f"- {line}" for line in found))
    page.write()


if __name__ == "__main__":
    main()
