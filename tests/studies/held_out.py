"""Held-out reality: laws fitted to small models or early tokens, asked for the larger and later ones of public tables.

python -m tests.studies.held_out
"""

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import amount
from bayeslaw.checks.along_tokens import bend
from bayeslaw.validation.scores import scores
from bayeslaw.validation.splits import Splits
from tests.studies.page import BUILD, DATA, DOCS, Page, fitted

SAMPLING: dict[str, Any] = {"draws": 500, "chains": 2, "tune": 500, "seed": 1}
PUBLISHED = {
    "Hoffmann et al. 2022, approach 3": {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28},
    "Besiroglu et al. 2024": {"E": 1.817, "A": 482, "alpha": 0.348, "B": 2085, "beta": 0.366},
}
"""Coefficients of the Chinchilla law, rounded as printed: arXiv:2203.15556 and arXiv:2404.10102."""

EDGES = (1, 1.5, 3, 6, 15, 60, 1e9)
"""Ends of the classes of extrapolation factors."""

ENOUGH = 0.8
"""Coverage of the 89 % intervals that still counts as right: these are few runs."""


ELSEWHERE = """\
The other public tables are held out on pages of their own: later tokens and larger models of `slimpajama_grid`
[there](slimpajama.md), schedules three times as long and of other shapes of `multipowerlaw` [there](schedules.md),
mixtures and a larger model of `regmix` [there](regmix.md), mixtures of `data_mixing_laws` and sources of `domain2vec`
([one](data_mixing.md), [two](domain2vec.md)), and windows of `marin_two_phase` [there](domain_upsampling.md)."""


def beyond(column: str, *limits: float) -> Splits:
    """Train on the runs up to a limit, test on those beyond it; one fold for each limit."""

    def cut(table: pd.DataFrame) -> Mapping[str, np.ndarray]:
        return {f"{column} beyond {limit:g}": (table[column] > limit).to_numpy() for limit in limits}

    return Splits(f"beyond({column})", cut)


def chinchilla() -> bl.Model:
    """Points that Epoch read off the figure of the Chinchilla paper: every one a run of its own."""
    points = pd.read_csv(DATA / "chinchilla_epoch" / "svg_extracted_data.csv")
    table = pd.DataFrame({"N": points["Model Size"], "D": points["Training FLOP"] / (6 * points["Model Size"])})
    table = table.assign(loss=points["loss"], run=[f"point {i}" for i in points.index])
    return bl.Model(models.chinchilla, bl.read_runs(table), noise=bl.Noise(robust=True), misfit=None)


def datablations() -> bl.Model:
    """Runs on repeated data, those of at most four epochs: the law knows no repetition."""
    table = pd.read_csv(DATA / "datablations" / "datablations_LNDU.csv")
    table = table[table["epochs"] <= 4][["N", "D", "loss"]].reset_index(drop=True)
    return bl.Model(
        models.chinchilla,
        bl.read_runs(table.assign(run=[f"run {i}" for i in table.index])),
        noise=bl.Noise(robust=True),
        reference={"N": 1e9, "D": 2e10},
        misfit=None,
    )


def tinycpt() -> bl.Model:
    """Four tiny models on shares of Python code, with one law for all sizes."""
    table = bl.datasets.load("tinycpt")
    python = table["set"].isin(["grid", "rep"]) & (table["schedule"] == "constant") & (table["domain"] == "python")
    settled = (table["step"] == 0) | (table["step"] >= 300)
    return bl.Model(models.dcpt, bl.read_runs(table[python & settled]), reference={"N": 2e5, "D": 1e6}, misfit=None)


def pythia() -> bl.Model:
    """Pythia-70M on shares of Python code: one size, whose general loss rises and falls along a run."""
    table = pd.read_csv(DATA / "pythia70m_cpt" / "ct_pythia70m_pile_python.csv")
    runs = pd.DataFrame({"run": table["ratio"], "N": 7e7, "D": table["step"] * 2.0**21})
    runs = runs.assign(
        domain_share=table["r_domain"], general_loss=table["pile_loss"], domain_loss=table["python_loss"]
    )
    return bl.Model(models.dcpt, bl.read_runs(runs), reference={"N": 7e7, "D": 1e10}, misfit=None)


STUDIES: dict[str, tuple[Any, str, dict[str, tuple[Splits, ...]]]] = {
    "chinchilla_epoch": (
        chinchilla,
        "chinchilla",
        {"larger models": (beyond("N", 3e8, 6e8, 1.2e9, 2.5e9),), "more tokens": (beyond("D", 6e9, 1.5e10, 4e10),)},
    ),
    "datablations": (
        datablations,
        "chinchilla",
        {"larger models": (beyond("N", 1e8, 3e8, 1.2e9, 3e9),), "more tokens": (beyond("D", 5e9, 1.5e10, 5e10),)},
    ),
    "tinycpt": (
        tinycpt,
        "dcpt",
        {
            "larger models": (bl.splits.largest("N"), beyond("N", 1.2e5)),
            "later checkpoints": (bl.splits.late("D", 0.6), bl.splits.late("D", 0.35)),
        },
    ),
    "pythia70m_cpt": (
        pythia,
        "dcpt",
        {"later checkpoints": (bl.splits.late("D", 0.6), bl.splits.late("D", 0.35))},
    ),
}


def held_out(name: str, model: bl.Model, axis: str, splits: Splits) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of what was held out, with the factor beyond the training runs; and how the refits went."""
    found = bl.evaluate(model, splits, folder=BUILD / "held_out" / name, progress=False, **SAMPLING)
    table = model.runs.sorted_along(model.law.path).table
    column, parts = ("N" if axis == "larger models" else "D"), []
    for fold in splits(bl.Runs(table, model.runs.evals, model.runs.baseline)):
        rows = found.rows[found.rows["fold"] == fold.label]
        trained = table[~fold.test]
        last = trained[column].max() if splits.whole_runs else rows["run"].map(trained.groupby("run")[column].max())
        ends = trained.groupby("run").last()
        still: list[Any] = [
            ends.at[run, f"{e}_loss"] if run in ends.index else np.nan
            for run, e in zip(rows["run"], rows["eval"], strict=True)
        ]
        parts.append(rows.assign(factor=rows[column] / last, last=still))
    return pd.concat(parts).assign(table=name, axis=axis), found.folds.assign(table=name, axis=axis)


def by_factor(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of every class of extrapolation factors."""
    named = [
        f"{low:g} to {high:g}" if high < 1e9 else f"beyond {low:g}" for low, high in zip(EDGES, EDGES[1:], strict=False)
    ]
    kind = pd.cut(rows["factor"], EDGES, labels=named)
    scored = []
    for (factor, evaluation), part in rows.groupby([kind, "eval"], observed=True):
        own = scores(part, CI_PROB)
        off, still = (np.log(part[k].to_numpy() / part["observed"].to_numpy()) for k in ("mean", "last"))
        scored.append(
            {
                "factor": factor,
                "loss": evaluation,
                "n": len(part),
                "runs": part["run"].nunique(),
                "coverage": own["coverage"],
                "bias, %": 100 * off.mean(),
                "mean error, %": 100 * np.abs(off).mean(),
                "of no change, %": 100 * np.abs(still).mean(),
                "half-width, %": 50 * float(((part["upper"] - part["lower"]) / part["mean"]).mean()),
                "CRPS": own["crps"],
                "interval score": own["interval_score"],
            }
        )
    return pd.DataFrame(scored)


def verified(scored: pd.DataFrame) -> str:
    """Up to which factor every class of every loss has enough coverage, in words."""
    last = ""
    for factor, part in scored.groupby("factor", sort=False, observed=True):
        if (part["coverage"] < ENOUGH).any():
            break
        last = str(factor).split(" ")[-1]
    return last


def figure(scored: dict[tuple[str, str], pd.DataFrame]) -> Figure:
    """Coverage and bias over the extrapolation factor."""
    drawn = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = drawn.subplots(1, 2)
    for number, ((name, axis), table) in enumerate(scored.items()):
        for evaluation, part in table.groupby("loss", sort=False):
            label = f"{name}, {axis}" + (f", {evaluation}" if table["loss"].nunique() > 1 else "")
            style = {"color": f"C{number}", "marker": "o" if evaluation != "domain" else "s", "ms": 4, "lw": 1.2}
            style["ls"] = "-" if evaluation != "domain" else "--"
            at = [
                EDGES.index(float(str(f).split(" ")[-1])) if "to" in str(f) else len(EDGES) - 1 for f in part["factor"]
            ]
            left.plot(at, part["coverage"], label=label, **style)
            right.plot(at, part["bias, %"], **style)
    left.axhline(0.89, color="0.5", lw=0.8, ls=":")
    right.axhline(0, color="0.5", lw=0.8, ls=":")
    for ax, title in ((left, "coverage of the 89 % intervals"), (right, "bias, % of the loss")):
        ax.set(xlabel="times beyond the training runs", title=title)
        ax.set_xticks(range(1, len(EDGES)), [f"≤ {e:g}" for e in EDGES[1:-1]] + [f"> {EDGES[-2]:g}"])
        ax.spines[["top", "right"]].set_visible(False)
    left.set_ylim(0, 1.02)
    drawn.legend(loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    return drawn


def main() -> None:
    """Refit, predict, score, and write the page."""
    matplotlib.use("agg")
    page = Page("held_out", "Held-out reality: larger models and later tokens")
    page.text(
        "Does a law that was fitted to small models, or to the beginning of runs, know the larger and later ones, and "
        "does its interval say how well? For every table, runs beyond a limit (or the late part of every run) are left "
        "out, the law is refitted, and its predictions for a new run are scored by how many times the held-out size or "
        "token count lies beyond the largest of the training runs. Losses are nats per token; bias and errors are "
        "shares of the loss (a positive bias: predicted too high). *of no change*: the error of saying that a run "
        "stays at the last loss it was trained on, which knows that run's own luck; the law speaks of a new run. *n* "
        "measurements come from few *runs*, and some are held out under several limits, so that coverage is known to "
        "several hundredths only."
    )
    every, refits, limits = {}, [], []
    for name, (build, law, axes) in STUDIES.items():
        model = build()
        page.text(f"## `{name}`, law `{law}`\n\n{model_line(build, model)}")
        for axis, several in axes.items():
            found = [held_out(name, model, axis, splits) for splits in several]
            rows = pd.concat([f[0] for f in found])
            refits.append(pd.concat([f[1] for f in found]))
            scored = by_factor(rows)
            every[name, axis] = scored
            page.text(f"### {axis}")
            page.table(scored)
            limits.append(
                {"table": name, "law": law, "held out": axis, "up to a factor of": verified(scored) or "none"}
            )
    page.figure("by_factor", figure(every), "Coverage and bias of held-out predictions over the extrapolation factor")
    page.text("## The refits")
    table = pd.concat(refits)[["table", "axis", "fold", "rows", "r_hat", "divergences", "seconds"]]
    page.table(table)
    bad = table[(table["r_hat"] > 1.01) | (table["divergences"] > 0)]
    page.text(
        f"{len(table)} refits of 2 x 500 draws; {len(bad)} of them have an R-hat above 1.01 or divergences (largest "
        f"R-hat {table['r_hat'].max():.3f}, divergences in all: {int(table['divergences'].sum())}). They count like "
        "the others."
    )
    page.text("## What holds, and what does not")
    page.text(f"Every class of factors up to here has a coverage of at least {ENOUGH} for every loss:")
    page.table(pd.DataFrame(limits))
    page.text("\n".join(sentences(every)))
    page.text(ELSEWHERE)
    page.fit("chinchilla", chinchilla()).report(
        DOCS / "reports" / "chinchilla.md",
        title="Chinchilla law: the points of its paper's figure",
        about="245 points that Epoch AI read off a figure of the Chinchilla paper (arXiv:2404.10102), each a run of "
        "its own. The second of the published fits below is of these points, the first of the paper's own data.",
        published=PUBLISHED,
    )
    page.write()


def model_line(build: Callable[[], bl.Model], model: bl.Model) -> str:
    """What was fitted, in a line, and whether a loss does what the law cannot."""
    sizes, tokens = model.design.levels["N"], model.design.levels["D"]
    shape = bend(fitted("held_out", f"{build.__name__}-whole", model, **SAMPLING))
    return (
        f"{build.__doc__} {len(model.runs)} measurements; N from {amount(sizes.min())} to {amount(sizes.max())}, D "
        f"from {amount(tokens.min())} to {amount(tokens.max())}; errors: {model.describe_noise()}."
        + (f" The check *shape along tokens* says: {shape.text}." if shape and not shape.passed else "")
    )


def sentences(every: dict[tuple[str, str], pd.DataFrame]) -> list[str]:
    """The classes in which intervals fail, and those in which the law knows less than the last loss, in words."""
    missed, behind = [], []
    for (name, axis), table in every.items():
        for _, row in table.iterrows():
            where = f"- `{name}`, {axis}, {row['loss']} loss, factor {row['factor']}: "
            bias = f"bias {row['bias, %']:+.1f} %, half-width {row['half-width, %']:.1f} %"
            if row["coverage"] < ENOUGH:
                missed.append((row["coverage"], f"{where}coverage {row['coverage']:.2f} of {row['n']} ({bias})"))
            if row["mean error, %"] > row["of no change, %"]:
                numbers = f"{row['mean error, %']:.2f} %, of no change {row['of no change, %']:.2f} %"
                behind.append(f"{where}mean error {numbers}")
    lines = (
        ["These fall below it:", "", *(text for _, text in sorted(missed))] if missed else ["No class falls below it."]
    )
    if behind:
        lines += ["", "Here the law errs more than saying that nothing changes:", "", *behind]
    return lines


if __name__ == "__main__":
    main()
