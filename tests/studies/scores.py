"""From loss to score on the OLMo ladder: fitted to models of at most 1.3B parameters, asked about larger ones.

python -m tests.studies.scores
"""

from functools import cache
from itertools import combinations
from typing import Any, Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare import Law
from bayeslaw.plots.style import COLOURS, finish
from bayeslaw.workflow import Fit
from tests.studies.page import DATA, DOCS, Page, convergence, fitted

MMLU = {"stem": 3018, "humanities": 4705, "social_sciences": 3077, "other": 3242}
"""Parts of MMLU and their test items, by which they are averaged."""

TASKS = {
    "mmlu": ("MMLU", 14042, 1 / 4),
    "hellaswag_val": ("HellaSwag", 10042, 1 / 4),
    "arc_challenge_test": ("ARC-Challenge", 1172, 1 / 4),
    "arc_easy_test": ("ARC-Easy", 2376, 1 / 4),
    "piqa_val": ("PIQA", 1838, 1 / 2),
    "csqa_val": ("CommonsenseQA", 1221, 1 / 5),
    "socialiqa_val": ("Social IQa", 1954, 1 / 3),
    "openbookqa_test": ("OpenBookQA", 500, 1 / 4),
}
"""Name, test items and score of guessing of every task, by the column."""

PUBLISHED = dict(zip(TASKS, (0.7, 2.5, 17.5, 11.4, 1.1, 4.7, 2.7, 7.8), strict=True))
"""Relative errors (%) of the chained prediction of the 13B model, arXiv:2412.04403 (repository, figures)."""

TARGETS = {"peteish7_eval_anneal": "7B-4T", "peteish13_eval_final": "13B-5T"}
LARGEST, SMALLER = 2e9, 1e9
"""Sizes below which runs are fitted: of the ladder, and to choose on the ladder itself."""

EVERY = 4
"""One checkpoint in so many is kept, the last one included."""


class Variant(NamedTuple):
    """The smallest share of a run's tokens of what stage 2 is fitted to, its law, and the misfit of stage 1."""

    share: float
    law: Law = models.loss_to_score
    misfit: Literal["scales"] | None = None


VARIANTS = {
    "second half": Variant(0.5),
    "from a tenth on": Variant(0.1),
    "last ones only": Variant(1.0),
    "second half, exponential": Variant(0.5, models.exponential_score),
    "second half, stage 1 with its misfit": Variant(0.5, misfit="scales"),
    "last ones only, stage 1 with its misfit": Variant(1.0, misfit="scales"),
}
MAIN = "last ones only, stage 1 with its misfit"
"""Of the curves, the logistic one that misses least on the ladder alone."""

CLASSES = (0, 0.1, 0.3, 0.7, 0.9, 1.0)
SAMPLING: dict[str, Any] = {"draws": 800, "chains": 2, "seed": 1, "tune": 400}


@cache
def checkpoints() -> pd.DataFrame:
    """All checkpoints, with MMLU as one task, and their share of the run's tokens."""
    table = pd.read_csv(DATA / "scores" / "olmo_ladder_checkpoints.csv")
    for kind in ("bpb", "acc"):
        parts = sum(items * table[f"mmlu_{part}_test_{kind}"] for part, items in MMLU.items())
        table[f"mmlu_{kind}"] = parts / sum(MMLU.values())
    done = table["tokens"] / table.groupby("run")["tokens"].transform("max")
    kept = ["run", "N", "tokens", *(f"{task}_{kind}" for task in TASKS for kind in ("bpb", "acc"))]
    return table[kept].assign(done=done)


def last(table: pd.DataFrame) -> pd.DataFrame:
    """The last checkpoint of every run."""
    return table[table["done"] == 1].reset_index(drop=True)


def first_stage(variant: str, below: float) -> Fit:
    """The Chinchilla law of the loss of right answers, nats a byte, of the last checkpoints below a size."""
    table = last(checkpoints()).query("N < @below")
    runs = bl.read_runs(
        table[["run", "N", "tokens", *(f"{task}_bpb" for task in TASKS)]],
        D="tokens",
        loss={task: f"{task}_bpb" for task in TASKS},
        unit="bits per byte",
        bytes_per_token=1,
    )
    misfit = VARIANTS[variant].misfit
    model = bl.Model(models.chinchilla, runs, reference={"N": 5e8, "D": 3e10}, misfit=misfit)
    return fitted("scores", f"loss-{below:.0e}{'-misfit' if misfit else ''}", model, **SAMPLING)


def second_stage(variant: str, below: float) -> Fit:
    """From the loss of right answers to scores, of checkpoints below a size."""
    share, law, _ = VARIANTS[variant]
    table = checkpoints().query("N < @below and done >= @share")
    table = table[table.groupby("run").cumcount(ascending=False) % EVERY == 0]
    runs = bl.read_scores(
        table.drop(columns="done"),
        D="tokens",
        score={task: f"{task}_acc" for task in TASKS},
        against={task: f"{task}_bpb" for task in TASKS},
        chance={task: chance for task, (_, _, chance) in TASKS.items()},
        unit="bits per byte",
        bytes_per_token=1,
    )
    model = bl.Model(law, runs, by={"k": "eval"}, misfit=None)
    return fitted("scores", f"{law.name}-{share}-{below:.0e}", model, **SAMPLING)


def predicted(stage1: Fit, stage2: Fit, runs: pd.DataFrame) -> pd.DataFrame:
    """Predictions of new runs, in percentage points, and of the second stage alone from the measured loss."""
    rows = []
    for number, run in enumerate(runs.to_dict("records")):
        answer = stage1.score(stage2, N=run["N"], D=run["tokens"], new_run=True, seed=number)
        ends, measured = answer.interval(), {task: run[f"{task}_acc"] for task in TASKS}
        nats = [np.log(2) * run[f"{task}_bpb"] for task in TASKS]
        chances = [chance for _, _, chance in TASKS.values()]
        at = xr.Dataset({"L": ("eval", nats), "chance": ("eval", chances)}, coords={"eval": list(TASKS)})
        alone = 1 - stage2.loss(at).median(["chain", "draw"])
        for task in TASKS:
            low, high, middle = (float(x.sel(eval=task)) for x in (ends["lower"], ends["upper"], answer.median()))
            rows.append(
                {
                    "run": TARGETS.get(run["run"], run["run"]),
                    "task": task,
                    "measured": 100 * measured[task],
                    "predicted": 100 * middle,
                    "lower": 100 * low,
                    "upper": 100 * high,
                    "error": 100 * (middle - measured[task]),
                    "relative": 100 * abs(middle - measured[task]) / measured[task],
                    "covered": low <= measured[task] <= high,
                    "alone": 100 * abs(float(alone.sel(eval=task)) - measured[task]),
                }
            )
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error in points, mean relative error in percent, and coverage."""
    return {
        "points": float(rows["error"].abs().mean()),
        "relative, %": float(rows["relative"].mean()),
        "coverage": float(rows["covered"].mean()),
        "points, from the measured loss": float(rows["alone"].mean()),
    }


def above(stage1: Fit, stage2: Fit, runs: pd.DataFrame) -> pd.DataFrame:
    """P(A above B) of every pair of runs and task, each run with an error of its own, and whether it is."""
    answers = {
        run["run"]: stage1.score(stage2, N=run["N"], D=run["tokens"], new_run=True, seed=number)
        for number, run in enumerate(runs.to_dict("records"))
    }
    scores: Any = runs.set_index("run")
    rows = []
    for a, b in combinations(answers, 2):
        p = answers[a].probability_above(answers[b])
        for task in TASKS:
            column = f"{task}_acc"
            rows.append({"p": float(p.sel(eval=task)), "above": scores.at[a, column] > scores.at[b, column]})
    return pd.DataFrame(rows)


def luck() -> pd.DataFrame:
    """How much the scores of neighbouring late checkpoints differ, beside the binomial error of the items."""
    late = checkpoints().query("done >= 0.8 and N > 1e9 and N < @LARGEST")
    rows = []
    for task, (name, items, _) in TASKS.items():
        score = late[f"{task}_acc"]
        steps = score.groupby(late["run"]).diff()
        binomial = float(np.sqrt(score.mean() * (1 - score.mean()) / items))
        rows.append(
            {
                "task": name,
                "items": items,
                "binomial error": 100 * binomial,
                "between checkpoints": 100 * float(np.sqrt((steps**2).mean() / 2)),
            }
        )
    return pd.DataFrame(rows)


def curves(stage2: Fit) -> Figure:
    """Score against loss, one panel a task."""
    table, ends = checkpoints().query("done >= 0.1"), last(checkpoints())
    small, large = ends.query("N < @LARGEST"), ends.query("N > @LARGEST")
    figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
    for ax, (task, (name, _, chance)) in zip(axes.flat, TASKS.items(), strict=True):
        x, y = f"{task}_bpb", f"{task}_acc"
        seen = table.query("N < @LARGEST")
        nats = np.linspace(0.9 * ends[x].min(), seen[x].quantile(0.95), 60)
        grid = xr.DataArray(np.log(2) * nats, dims="L", coords={"L": nats})
        drawn = 100 * (1 - stage2.loss(xr.Dataset({"L": grid, "chance": chance}), new_run=True).sel(eval=task))
        low, middle, high = drawn.quantile([0.055, 0.5, 0.945], ["chain", "draw"]).values
        ax.fill_between(nats, low, high, color=COLOURS[0], alpha=0.25, lw=0, label="89 %, a new run")
        ax.plot(nats, middle, color=COLOURS[0])
        ax.plot(seen[x], 100 * seen[y], ".", color="0.75", ms=2, zorder=0, label="checkpoints, at most 1.3B")
        ax.plot(small[x], 100 * small[y], "k.", ms=4, label="last ones, at most 1.3B")
        ladder, targets = (large[large["run"].isin(TARGETS) == which] for which in (False, True))
        ax.plot(ladder[x], 100 * ladder[y], "^", color=COLOURS[1], ms=4, label="3.2B")
        ax.plot(targets[x], 100 * targets[y], "*", color=COLOURS[2], ms=9, label="7B-4T, 13B-5T")
        finish(ax, name)
        ax.get_legend().remove()
        ax.set_xlim(nats[-1], nats[0])
    figure.supxlabel("loss of the right answers (bits a byte, falling to the right)", fontsize=9)
    figure.supylabel("score (%)", fontsize=9)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    return figure


def main() -> None:
    """Fit both stages, predict, and write the page and the report."""
    page = Page("scores", "From loss to score: the OLMo ladder")
    ends = last(checkpoints())
    ladder = ends[(ends["N"] > LARGEST) & ~ends["run"].isin(TARGETS)]
    held_out = {
        "1.3B (from at most 760M)": (SMALLER, ends.query("N > @SMALLER and N < @LARGEST")),
        "3.2B": (LARGEST, ladder),
        **{name: (LARGEST, ends[ends["run"] == run]) for run, name in TARGETS.items()},
    }
    page.text(
        "Public runs of the OLMo ladder (arXiv:2412.04403; `allenai/OLMo-ladder`): 24 models of 190M to 1.3B "
        "parameters at 0.5 to 10 times the Chinchilla tokens are fitted; six of 3.2B, and the 7B-4T and 13B-5T models, "
        "which were annealed on other data, are predicted. Stage 1 is `chinchilla` for the loss of the right answers "
        "of each task (nats a byte) of the last checkpoints; stage 2 is `loss_to_score`, slopes pooled over tasks, of "
        f"one checkpoint in {EVERY}, the run effect counted. `fit.score(stage2, N=..., D=..., new_run=True)` chains "
        "them. MMLU is the mean of its four parts by their items. Scores and errors in percentage points, of 89 % "
        "intervals."
    )
    fits: dict[str, Fit] = {}
    rows, chosen = [], {}
    for variant in VARIANTS:
        for name, (below, runs) in held_out.items():
            stage1, stage2 = first_stage(variant, below), second_stage(variant, below)
            with_misfit = " with its misfit" if VARIANTS[variant].misfit else ""
            fits[f"stage 1{with_misfit}, below {below:.0e}"] = stage1
            fits[f"{variant.removesuffix(', stage 1 with its misfit')}, below {below:.0e}"] = stage2
            found = predicted(stage1, stage2, runs)
            rows.append({"stage 2 of": variant, "predicted": name, **summary(found)})
            chosen[variant, name] = found
    table = pd.DataFrame(rows)
    page.text(
        "## Which checkpoints\n\nThe first rows choose on the ladder alone: models of at most 760M predict those of "
        "1.3B. *From the measured loss* leaves stage 1 out: what the curve alone misses."
    )
    page.table(table, 2)
    far = {variant: summary(chosen[variant, "13B-5T"])["points"] for variant in VARIANTS}
    page.text(
        "The last checkpoints alone do not identify a curve with four free numbers a task. With the floor at guessing, "
        f"a tight prior of the top and pooled slopes they miss the 13B model by {far['last ones only']:.1f} points, "
        f"those of the second half by {far['second half']:.1f}, all from a tenth of the run on by "
        f"{far['from a tenth on']:.1f}: "
        'early in a run the curve is another one. The misfit of stage 1 (`misfit="scales"`) knows that a law of small '
        "models misses larger ones: it moves no score much, and holds more of them."
    )
    page.text(
        "## The eight tasks\n\nStage 2 of the last checkpoints, which misses least on the ladder alone; stage 1 with "
        "its misfit. *Published*: relative error of the chained "
        "prediction of the 13B model in arXiv:2412.04403, one number without an interval, its stage 2 with four free "
        "numbers a task."
    )
    for name in TARGETS.values():
        found = chosen[MAIN, name]
        shown = pd.DataFrame(
            {
                "task": [TASKS[task][0] for task in found["task"]],
                f"{name}, predicted": [f"{r.predicted:.1f} [{r.lower:.1f}, {r.upper:.1f}]" for r in found.itertuples()],
                "measured": found["measured"].map("{:.1f}".format),
                "error, points": found["error"].map("{:+.1f}".format),
                "relative, %": found["relative"].map("{:.1f}".format),
            }
        )
        if name == "13B-5T":
            shown["published, %"] = [PUBLISHED[task] for task in found["task"]]
        page.table(shown, 1)
    mean = {name: summary(chosen[MAIN, name]) for name in held_out}
    page.text(
        f"Of the 13B model the mean relative error is {mean['13B-5T']['relative, %']:.1f} % (published: "
        f"{np.mean(list(PUBLISHED.values())):.2f} %), {mean['13B-5T']['points']:.1f} points; "
        f"{mean['13B-5T']['coverage']:.0%} of its scores lie in their intervals, of the 3.2B models "
        f"{mean['3.2B']['coverage']:.0%}. Even from the measured loss the curve is "
        f"{mean['13B-5T']['points, from the measured loss']:.1f} points off: the intervals hold for runs like those of "
        "the ladder, and say nothing of what other data at the end of a training do to a score at the same loss."
    )
    page.figure("curves", curves(second_stage(MAIN, LARGEST)), "Score against loss, one panel for each of eight tasks")
    stage1, stage2 = first_stage(MAIN, LARGEST), second_stage(MAIN, LARGEST)
    parts = {
        "3.2B among themselves": above(stage1, stage2, ladder),
        "13B-5T above 7B-4T": above(stage1, stage2, ends[ends["run"].isin(TARGETS)].sort_values("N", ascending=False)),
    }
    page.text("## P(A above B)\n\nEvery pair of runs and task, both with the errors of single runs.")
    classes = []
    for name, found in parts.items():
        for _, part in found.groupby(pd.cut(found["p"], CLASSES, include_lowest=True), observed=True):
            classes.append(
                {
                    "pairs": name,
                    "P between": f"{part['p'].min():.2f} and {part['p'].max():.2f}",
                    "number": len(part),
                    "mean P": part["p"].mean(),
                    "A was above": part["above"].mean(),
                }
            )
    page.table(pd.DataFrame(classes), 2)
    right = {name: float(((f["p"] > 0.5) == f["above"]).mean()) for name, f in parts.items()}
    page.text(
        "; ".join(f"{name}: the likelier one was above in {share:.0%} of the pairs" for name, share in right.items())
        + "."
    )
    page.text(
        "## The luck of the items\n\nStandard deviation of a score between neighbouring checkpoints of the 1.3B runs "
        "in their last fifth, beside the binomial error of the test items. All runs see the same items: what these do "
        "to a score is the benchmark's, and a known error of each score (`items=`) would count it again in every run."
    )
    page.table(luck(), 2)
    page.text("## Sampling")
    page.table(pd.DataFrame([{"fit": name, **convergence(fit)} for name, fit in fits.items()]))
    page.write()
    report = {name: second_stage(variant, LARGEST) for name, variant in REPORTED.items()}
    bl.report(report, DOCS / "reports" / "loss_to_score.md", title="From loss to score: the OLMo ladder", about=ABOUT)


REPORTED = {"logistic": "second half", "exponential": "second half, exponential"}
ABOUT = (
    "Scores of eight tasks against the loss of their right answers (nats a byte): checkpoints of the second half of 24 "
    "runs of the OLMo ladder, 190M to 1.3B parameters (arXiv:2412.04403). Scores are shown as error rates, 1 - score. "
    "Larger models are predicted in the [study](../studies/scores.md)."
)

if __name__ == "__main__":
    main()
