"""Which run to do next: real tables replayed as if every run cost its FLOPs, and a simulated one whose truth is known.

``python -m tests.studies.next_run [TABLE ...] [--starts 10]`` replays tables and writes docs/studies/next_run.md with
what has been replayed; finished replays are kept in build/studies/next_run.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE, levels
from bayeslaw.errors import BayeslawError
from bayeslaw.workflow import Fit
from tests.benchmarks.small_tables import ENVIRONMENT, TRUTH, installed
from tests.benchmarks.small_tables import rows as simulated_rows
from tests.studies.page import BUILD, DATA, Page

FOLDER = BUILD / "next_run"
SAMPLING: dict[str, Any] = {"draws": 300, "chains": 2, "tune": 300, "cores": 1, "progress": False}
FULL: dict[str, Any] = {"draws": 1000, "chains": 4, "tune": 300, "progress": False, "seed": 1}
"""Draws of a refit, and of the fit of all runs."""

STAGES = (0.05, 0.1, 0.2, 0.4)
"""Shares of all FLOPs up to which each rule spends before it answers again."""

LEAST_RUNS = 4
"""Runs of a start: a tenth of all, at least these, at random among the cheapest twice as many."""

BATCH, REFITS = 8, 3
"""Runs that our rule chooses at once, and how often it refits and chooses again before an answer."""

PROB = 0.89
TARGET = 1e22
"""FLOPs of the allocation that tables of size and tokens are asked for."""


@dataclass(frozen=True)
class Case:
    """A table of runs, what is asked of it, and the scale on which answers are compared."""

    title: str
    table: pd.DataFrame
    model: Callable[[pd.DataFrame], bl.Model]
    ask: Callable[[Fit], bl.Quantity]
    scale: Callable[[np.ndarray], np.ndarray]
    unit: str
    order: tuple[str, ...]
    truth: float | None = None
    peer: bool = False

    @property
    def runs(self) -> pd.DataFrame:
        """The last row of every run with its cost (6 N D), indexed by run."""
        last = self.table.sort_values(["run", "D"]).drop_duplicates("run", keep="last").set_index("run")
        return last.assign(cost=6.0 * last["N"] * last["D"])

    def rows(self, runs: list[str]) -> pd.DataFrame:
        """The rows of some runs."""
        return self.table[self.table["run"].isin(runs)]

    def answer(self, fit: Fit) -> dict[str, float]:
        """Median and interval of the answer, on the scale of the comparison."""
        draws = self.scale(self.ask(fit).draws.transpose(..., *SAMPLE).values.ravel())
        lower, upper = np.quantile(draws, levels(PROB))
        return {"median": float(np.median(draws)), "lower": float(lower), "upper": float(upper)}


def tinycpt() -> Case:
    """Tiny models of four sizes at nine shares, each the six checkpoints of a run."""
    table = bl.datasets.load("tinycpt").query("schedule == 'constant' and set == 'grid' and domain == 'python'")
    before = table.query("step == 0")
    largest = table["N"].max()
    baseline = float(before.loc[before["N"] == largest, "general_loss"].mean())
    steps = np.sort(table.loc[table["step"] >= 300, "step"].unique())
    kept = table[table["step"].isin(steps[np.linspace(0, len(steps) - 1, 6).round().astype(int)])]
    columns = ["run", "N", "D", "domain_share", "general_loss"]
    last = float(kept["D"].max())
    return Case(
        "tinycpt: the share of Python at which the general loss of the largest model rises by 1 %",
        kept[columns].reset_index(drop=True),
        lambda rows: bl.Model(
            models.dcpt, bl.read_runs(rows), reference={"N": 2e5, "D": 1e6}, outside="exclude", misfit="scales"
        ),
        lambda fit: fit.critical_ratio(N=largest, D=last, max_rise=0.01, baseline=baseline),
        lambda share: share,
        "share",
        ("N", "domain_share"),
    )


def allocated(fit: Fit) -> bl.Quantity:
    """Return the model size of the best allocation."""
    found = fit.allocation(flops=TARGET)
    return bl.Quantity("size", found.draws.sel(quantity="N", drop=True), "parameters", found.what)


def gemstones() -> Case:
    """Models of 22 sizes along training to 100 B tokens, the early parts left out."""
    table = pd.read_csv(DATA / "families" / "families.csv").query("family == 'gemstones'")
    late = table[table["D"] >= 0.05 * table.groupby("run")["D"].transform("max")]
    return Case(
        "gemstones, 22 sizes of 48 M to 2 B: the model size for 1e22 FLOPs",
        late[["run", "N", "D", "loss"]].reset_index(drop=True),
        lambda rows: bl.Model(models.chinchilla, bl.read_runs(rows), misfit="scales"),
        allocated,
        np.log10,
        "decades",
        ("N", "D"),
        peer=True,
    )


def chinchilla() -> Case:
    """The points read off Chinchilla's figure, those beyond 1e21 FLOPs left out."""
    points = pd.read_csv(DATA / "chinchilla_epoch" / "svg_extracted_data.csv")
    N = points["Model Size"]
    table = pd.DataFrame({"run": points.index.map("run {:03d}".format), "N": N, "D": points["Training FLOP"] / (6 * N)})
    table = table.assign(loss=points["loss"])[points["Training FLOP"] <= 1e21]
    return Case(
        "Chinchilla points up to 1e21 FLOPs: the model size for 1e22 FLOPs",
        table.reset_index(drop=True),
        lambda rows: bl.Model(models.chinchilla, bl.read_runs(rows), noise=bl.Noise(robust=True), misfit="scales"),
        allocated,
        np.log10,
        "decades",
        ("N", "D"),
        peer=True,
    )


def simulated() -> Case:
    """Simulated runs of the Chinchilla law, 7 sizes x 4 numbers of tokens."""
    table = pd.DataFrame(simulated_rows())
    table.insert(0, "run", [f"run {i:02d}" for i in range(len(table))])
    N, t = np.geomspace(1e8, 1e12, 40001), TRUTH
    loss = t["E"] + t["A"] * (N / 1e9) ** -t["alpha"] + t["B"] * (TARGET / (6 * N) / 1e10) ** -t["beta"]
    return Case(
        "Simulated from the Chinchilla law, 28 runs: the model size for 1e22 FLOPs, whose truth is known",
        table,
        lambda rows: bl.Model(models.chinchilla, bl.read_runs(rows), misfit=None),
        allocated,
        np.log10,
        "decades",
        ("N", "D"),
        truth=float(np.log10(N[loss.argmin()])),
        peer=True,
    )


CASES: dict[str, Callable[[], Case]] = {
    "simulated": simulated,
    "tinycpt": tinycpt,
    "gemstones": gemstones,
    "chinchilla": chinchilla,
}


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
    return affordable(case, list(case.runs.loc[left].sort_values([*case.order]).index), budget)


def ours(case: Case, fit: Fit | None, left: list[str], budget: float, _: np.random.Generator) -> list[str]:
    """What `fit.next_runs` chooses within the budget."""
    if fit is None or case.runs.loc[left, "cost"].min() > budget:
        return []
    losses = [c for c in map(str, case.table) if c.endswith("loss")]
    rows = case.rows(left).drop(columns=losses).rename(columns={"run": "candidate"})
    found = fit.next_runs(case.ask, candidates=rows, budget=budget, batch=BATCH, seed=1)
    return [str(run) for run in found.chosen["candidate"]]


def suggestions(rows: pd.DataFrame, budgets: list[float]) -> pd.DataFrame:
    """Return sizes and tokens that simple-scaling-laws suggests after some measurements; empty if it has none."""
    columns = {"N": "model_size__n_params", "D": "dataset_size__n_tokens", "loss": "test_loss__cross_entropy"}
    table = rows[["N", "D", "loss"]].rename(columns=columns)
    table = table.assign(training_run_id=[f"run {i}" for i in range(len(table))], test_set_id=0)
    program = str(ENVIRONMENT / "bin/scaling-laws")
    with tempfile.TemporaryDirectory() as folder:
        runs, artifact, found = (f"{folder}/{name}" for name in ("r.csv", "r.slaw", "s.csv"))
        table.to_csv(runs, index=False)
        fit = [program, "fit", runs, "--law", "separable-power", "--output", artifact, "--draws", "200", "--quiet"]
        asked = [f"--candidate-budget={b:g}" for b in budgets]
        cost = ["--cost", "power:k=6,a=1,b=1", "-n", str(BATCH), "--output", found]
        suggest = [program, "suggest", artifact, f"--target-budget={TARGET:g}", *asked, *cost]
        for command in (fit, suggest):
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                print("simple-scaling-laws:", done.stderr.strip().splitlines()[-1:])
                return pd.DataFrame(columns=["N", "D"])
        return pd.read_csv(found).rename(columns={new: old for old, new in columns.items()})


RULES: dict[str, Choose] = {
    "next_runs": ours,
    "at random": at_random,
    "cheapest first": cheapest,
    "size by size": of_the_paper,
}
PEER = "suggest of simple-scaling-laws"


# -------------------------------------------------------------------------------------------------------------- replay
def start(case: Case, seed: int) -> list[str]:
    """A tenth of the runs, at random among the cheapest fifth."""
    count = max(LEAST_RUNS, round(len(case.runs) / 10))
    pool = case.runs["cost"].sort_values(kind="stable").index[: 2 * count]
    return [str(run) for run in np.random.default_rng([seed, 0]).choice(pool, count, replace=False)]


def fitted(case: Case, runs: list[str], seed: int) -> Fit | None:
    """The posterior of some runs; None where they are too few for a fit."""
    try:
        return case.model(case.rows(runs)).fit(seed=seed, **SAMPLING)
    except BayeslawError as e:
        print(f"  no fit of {len(runs)} runs: {e}", flush=True)
        return None


def replay(case: Case, rule: str, seed: int) -> Iterator[dict[str, Any]]:
    """Spend by a rule, and answer after every stage."""
    rng, runs, cost = np.random.default_rng([seed, 1]), start(case, seed), case.runs["cost"]
    total, fit = float(cost.sum()), None
    for stage in (0.0, *STAGES):
        fit = fit if stage and fit else fitted(case, runs, seed)
        for _ in range(REFITS if rule == "next_runs" else 1):
            left = [str(run) for run in case.runs.index if run not in runs]
            budget = stage * total - float(cost[runs].sum())
            if not stage or budget <= 0 or not left:
                break
            if rule == PEER:
                chosen = nearest(case, runs, left, budget) or at_random(case, fit, left, budget, rng)
            else:
                chosen = RULES[rule](case, fit, left, budget, rng)
            if not chosen:
                break
            runs = [*runs, *chosen]
            fit = fitted(case, runs, seed)
        answer = {"median": None, "lower": None, "upper": None} if fit is None else case.answer(fit)
        yield {"stage": stage, "runs": len(runs), "spent": float(cost[runs].sum()) / total, **answer}


def nearest(case: Case, runs: list[str], left: list[str], budget: float) -> list[str]:
    """Return the runs nearest to what the peer suggests, of those that the budget allows, in its order."""
    cost, chosen = case.runs["cost"], list[str]()
    at = case.runs[["N", "D"]].apply(np.log)
    levels_of_cost = sorted({float(f"{c:.1e}") for c in cost[left] if c <= budget})
    if not levels_of_cost:
        return []
    some = [levels_of_cost[i] for i in np.unique(np.linspace(0, len(levels_of_cost) - 1, 5).round().astype(int))]
    for _, wanted in suggestions(case.rows(runs), some).iterrows():
        open_ = [run for run in left if run not in chosen and cost[run] <= budget]
        if not open_:
            break
        far = (at.loc[open_] - np.log([wanted["N"], wanted["D"]])).pow(2).sum(axis=1)
        chosen.append(str(far.idxmin()))
        budget -= cost[chosen[-1]]
    return chosen


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
    path = FOLDER / f"{name}-all.json"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(case.answer(case.model(case.table).fit(**FULL))), "utf-8")
    return dict(json.loads(path.read_text("utf-8")))


def run(name: str, starts: int) -> None:
    """Replay a table by every rule from every start, but for what is kept."""
    case = CASES[name]()
    print(name, of_all(name, case), flush=True)
    rules = [*RULES, *([PEER] if case.peer and installed() else [])]
    for seed in range(starts):
        for rule in rules:
            done = finished(name)
            if len(done) and ((done["rule"] == rule) & (done["start"] == seed)).any():
                continue
            rows = [{"rule": rule, "start": seed, **row} for row in replay(case, rule, seed)]
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


def page_of(page: Page, name: str) -> None:
    """Add what was replayed of a table."""
    case, done = CASES[name](), finished(name)
    every = done.groupby("start")["rule"].transform("nunique") == done["rule"].nunique()
    done, full = done[every], of_all(name, case)
    reference = full["median"] if case.truth is None else case.truth
    found = summary(done, reference, (full["lower"], full["upper"]))
    page.text(f"## {case.title}")
    against = "the answer of all runs" if case.truth is None else f"the truth, {case.truth:.3f}"
    page.text(
        f"{len(case.runs)} runs, {done['start'].nunique()} starts. All runs answer {full['median']:.3f} "
        f"[{full['lower']:.3f}, {full['upper']:.3f}] ({case.unit if case.unit == 'share' else 'log10 of parameters'}). "
        f"Errors are against {against}, in {'shares' if case.unit == 'share' else 'decades'}."
    )
    names = {"spent": "FLOPs spent", "covers": "coverage", "within": "within the interval of all", "se": "its error"}
    shown = found[found["stage"].isin([0.0, *STAGES])].rename(columns=names)
    columns = ["rule", "FLOPs spent", "runs", "error", "its error", "width", "coverage", "within the interval of all"]
    page.table(shown.sort_values(["stage", "rule"])[columns])
    page.figure(name, figure(found, case.unit), f"Error of the answer of {name} by the share of FLOPs spent, by rule")
    page.text(verdict(done, found, reference))


def figure(found: pd.DataFrame, unit: str) -> Any:
    """Error and width by FLOPs spent, a line for each rule."""
    drawing, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for rule, part in found[found["stage"] > 0].groupby("rule", sort=False):
        axes[0].errorbar(part["spent"], part["error"], part["se"], marker="o", ms=3, label=str(rule), capsize=2)
        axes[1].plot(part["spent"], part["width"], marker="o", ms=3)
    for ax, what in zip(axes, ("mean error", "mean width of the interval"), strict=True):
        ax.set(xlabel="share of all FLOPs", ylabel=f"{what} ({unit})", xscale="log", ylim=(0, None))
        ax.set_xticks(STAGES, [f"{stage:g}" for stage in STAGES])
        ax.set_xticks([], minor=True)
    axes[0].legend(fontsize=7)
    return drawing


def verdict(done: pd.DataFrame, found: pd.DataFrame, reference: float) -> str:
    """Say whether the aims are met: start by start against the random rule, and at a tenth of the FLOPs."""
    wide = done.assign(error=(done["median"] - reference).abs()).pivot_table(
        index=["stage", "start"], columns="rule", values="error"
    )
    gaps = (wide["next_runs"] - wide["at random"]).dropna()
    lines = []
    for stage in STAGES:
        gap = gaps[gaps.index.get_level_values("stage") == stage]
        if gap.empty:
            continue
        noise = float(gap.std() / np.sqrt(len(gap)))
        worse = "worse by more than its noise" if gap.mean() > 2 * noise else "not worse beyond its noise"
        lines.append(f"up to {stage:g} of the FLOPs {gap.mean():+.3f} (standard error {noise:.3f}; {worse})")
    tenth = found[(found["rule"] == "next_runs") & (found["stage"] == 0.1)].iloc[0]
    unspent = "" if tenth["spent"] > 0.08 else f", of which it spent {tenth['spent']:.3f}"
    return (
        f"Error of `next_runs` less that of a random choice, start by start: {'; '.join(lines)}. At a tenth of the "
        f"FLOPs{unspent} {tenth['within']:.0%} of its answers lie within the interval of all runs."
    )


ABOUT = """\
Public tables replayed as if each run cost its FLOPs (6 N D): a start of a tenth of the runs, at random among the
cheapest fifth (four runs at least), and then runs by `fit.next_runs` within the budget of each stage, at random, the
cheapest first, size by size as a grid is written down, and, where size and tokens are all, the runs nearest to what
`suggest` of simple-scaling-laws names. All rules answer by the same law and priors, with the misfit along its scales
for real tables, so that only the choice of runs differs. Where `suggest` refuses, as it does of few runs, a stage is
spent at random. A run costs the same whether its checkpoints are used or not. Each stage is fitted with 2 chains of
300 draws: enough for medians and widths, not for tails. *coverage* is the share of 89 % intervals that hold the
reference; of a reference that is itself an estimate it says less. *its error* is the standard error over the starts,
which share the runs of the table and are no independent tables."""


def main() -> None:
    """Replay the tables asked for, and write the page."""
    matplotlib.use("agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(CASES)}; none: the page of what is kept")
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    for name in asked.tables:
        run(name, asked.starts)
    replayed = [name for name in CASES if len(finished(name))]
    page = Page("next_run", "Which run to do next")
    page.text(ABOUT)
    left = [name for name in CASES if name not in replayed]
    page.text(
        f"Replayed here: {', '.join(replayed)}. "
        + (f"Not replayed: {', '.join(left)}. " if left else "")
        + "Of the tables of mixtures (slimpajama_grid, regmix) and of repeated tokens (datablations) nothing is said."
    )
    for name in replayed:
        page_of(page, name)
    page.write()


if __name__ == "__main__":
    main()
