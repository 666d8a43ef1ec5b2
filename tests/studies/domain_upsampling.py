"""Upsampling at the end of training: the published scores, tiny runs, and the losses of a two-phase training."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import bayeslaw as bl
from bayeslaw import datasets, models
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.checks import prior_decides
from bayeslaw.decisions import duration_frontier
from bayeslaw.decisions.best_duration import best_duration
from bayeslaw.declare import Coefficient, Covariate, Law, exp, law
from bayeslaw.plots.style import COLOURS, finish
from bayeslaw.workflow import Fit
from tests.studies.page import DATA, DOCS, Page, convergence, fitted

ASSUMED = 3000
"""Items behind the paper's averages, which are not known."""

LUCK = bl.Noise(sigma=bl.positive(0.005, spread=0.5))
"""Relative error of an error rate that a run has by chance, beside the binomial one of its test items."""

POOLED = dict.fromkeys(("g", "tau", "c"), "eval")
NAMES = {"mmlu": "MMLU", "gsm8k": "GSM8K", "humaneval": "HumanEval"}
NAMES |= {"core": "Core Average", "language": "Language Understanding", "reading": "Reading Comprehension"}
STATED = {
    "the card": {},
    "little is crowded out": {"c": bl.positive(0.01, spread=0.7), "tau": bl.positive(1.5, spread=0.7)},
    "much is crowded out": {"c": bl.positive(0.1, spread=0.7), "tau": bl.positive(0.8, spread=0.7)},
}
RIVALS: dict[str, tuple[Law, dict[str, str]]] = {
    "no pooling": (models.domain_upsampling, {}),
    "percentage points": (models.domain_upsampling_points, POOLED),
    "saturating": (models.saturating_upsampling, {"g": "eval", "tau": "eval"}),
    "quadratic": (models.quadratic_upsampling, {"s": "eval", "q": "eval"}),
    "constant": (models.constant_upsampling, {}),
}
SAMPLING: dict[str, Any] = {"draws": 1500, "tune": 700}
CAREFUL: dict[str, Any] = {"draws": 2500, "tune": 800, "target_accept": 0.99}
"""Where the usual settings diverge, or leave an R-hat above 1.01."""
SAMPLE = ["chain", "draw"]


@law(
    title="What of an upsampled mix does it",
    source="Table 7 of arXiv:2406.03476; the form is ours",
    equation=r"L = \left[1 + \exp\left(a + r\,[\text{upsampled}] + m\,[\text{math}]\right)\right]^{-1}",
    covariates={
        "upsampled": Covariate("1", "1 if the end of the training is upsampled", valid=(0.0, 1.0)),
        "math": Covariate("1", "1 if math-heavy data is part of it", valid=(0.0, 1.0)),
    },
    coefficients={
        "a": Coefficient(bl.real(-0.5, sd=1.0), "logit", "logit of the score without upsampling", why="as elsewhere"),
        "r": Coefficient(bl.real(0.0, sd=0.5), "logit", "what all the other data do", why="either sign"),
        "m": Coefficient(bl.real(0.0, sd=0.5), "logit", "what the math-heavy data add", why="either sign"),
    },
)
def upsampled_parts(upsampled, math, /, *, a, r, m):
    return 1 / (1 + exp(a + r * upsampled + m * math))


def thinned(fit: Fit) -> Fit:
    """Every fourth draw, which is what decisions are computed with here."""
    return replace(fit, idata=xr.DataTree.from_dict({"posterior": fit.posterior.isel(draw=slice(None, None, 4))}))


def sampled(fits: dict[str, Fit]) -> pd.DataFrame:
    """How well posteriors were sampled."""
    table = pd.DataFrame([{"fit": name, **convergence(fit)} for name, fit in fits.items()])
    good = (table["R-hat"] <= 1.01) & (table["bulk ESS"] >= 400) & (table["divergences"] == 0)
    return table.assign(converged=np.where(good, "yes", "NO"))


def answer(fit: Fit, **question: object) -> dict[str, object]:
    """One row: the best window in words, and the probabilities."""
    best = best_duration(fit, **question)  # type: ignore[arg-type]
    return {
        "best window": str(best.text().item()),
        "no window helps": f"{float(best.p_never):.2f}",
        "inside": f"{float(best.p_interior):.2f}",
        "a longer one still helps": f"{float(best.p_always):.2f}",
    }


def interval(draws: xr.DataArray, digits: int = 1) -> str:
    """Median and 89 % interval in words."""
    low, mid, high = draws.quantile([(1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2]).values
    return f"{mid:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def scores_figure(fit: Fit, rivals: dict[str, Fit], items: dict[str, int]) -> Figure:
    """Score against window, one panel per benchmark."""
    table, grid = fit.model.runs.table, np.linspace(0, 0.3, 61)
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained", sharex=True)
    score = 100 * (1 - fit.predict(duration=grid).draws)
    for ax, name in zip(axes.flat, fit.evals, strict=True):
        here = score.sel(eval=name)
        ends = [here.quantile(q, SAMPLE) for q in ((1 - CI_PROB) / 2, (1 + CI_PROB) / 2)]
        ax.fill_between(grid, *ends, color=COLOURS[0], alpha=0.25, lw=0, label="89 %, mean law")
        ax.plot(grid, here.median(SAMPLE), color=COLOURS[0])
        for (rival, other), colour in zip(rivals.items(), COLOURS[1:], strict=False):
            middle = 100 * (1 - other.predict(duration=grid).draws.sel(eval=name).median(SAMPLE))
            ax.plot(grid, middle, color=colour, ls="--", lw=1, label=rival)
        s = 1 - table[f"{name}_loss"].to_numpy()
        ax.errorbar(
            table["duration"], 100 * s, 100 * np.sqrt(s * (1 - s) / items[name]), fmt="ko", ms=3.5, lw=1, capsize=2
        )
        best = best_duration(fit, goal=name)
        low, high = (float(best.interval()[k]) for k in ("lower", "upper"))
        ax.axvspan(low, high, ymax=0.035, color=COLOURS[4], label="best window, 89 %")
        finish(ax, NAMES[name])
        ax.get_legend().remove()
    figure.supxlabel("upsampled window (share of the training)", fontsize=9)
    figure.supylabel("score (%)", fontsize=9)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    return figure


def frontier_figure(fit: Fit, target: str, general: str) -> tuple[Figure, pd.DataFrame]:
    """The general score against the target's, by window, and where each weight's best window lies."""
    grid = np.linspace(0, 0.3, 31)
    score = 100 * (1 - fit.predict(duration=grid).draws)
    best = duration_frontier(fit, target=target, general=general)
    figure, (ax, bx) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    x, y = (score.sel(eval=name) for name in (target, general))
    for draw in np.linspace(0, x.sizes["draw"] - 1, 40).astype(int):
        ax.plot(x[0, draw], y[0, draw], color=COLOURS[5], alpha=0.25, lw=0.7)
    ax.plot(x.median(SAMPLE), y.median(SAMPLE), color=COLOURS[0], label="median over windows 0 to 30 %")
    for window in (0, 0.1, 0.2, 0.3):
        at = (float(v.sel(duration=window, method="nearest").median()) for v in (x, y))
        ax.annotate(f"{100 * window:.0f} %", tuple(at), fontsize=8, xytext=(3, 5), textcoords="offset points")
    table = fit.model.runs.table
    ax.plot(*(100 * (1 - table[f"{n}_loss"]) for n in (target, general)), "k.", label="measured")
    finish(ax)
    ax.set(xlabel=f"{NAMES[target]} (%)", ylabel=f"{NAMES[general]} (%)")
    ends, middle, weight = best.interval(), best.median(), best.draws["weight"]
    bx.fill_between(weight, ends["lower"], ends["upper"], color=COLOURS[0], alpha=0.25, lw=0, label="89 %")
    bx.plot(weight, middle, color=COLOURS[0], label="median")
    finish(bx)
    bx.set(xlabel=f"weight of {NAMES[target]}", ylabel="best window (share of the training)", ylim=(-0.01, 0.31))
    rows = pd.DataFrame({"weight of the target": weight, "best window": best.text().values})
    losses = fit.loss(xr.Dataset({"duration": best.draws}))
    for name in (target, general):
        rows[f"{NAMES[name]} there (%)"] = [
            interval(100 * (1 - losses.sel(eval=name, weight=w)).rename(None)) for w in weight.values
        ]
    return figure, rows.iloc[::2]


def items_of(benchmarks: Iterable[str]) -> dict[str, int]:
    """How many test items are behind each of the paper's scores."""
    card = datasets.card("upsampling-table6").numbers
    return {name: int(card.get(f"{name}_items", ASSUMED)) for name in benchmarks}


def table_6() -> bl.Runs:
    """Return the published scores."""
    return bl.read_scores(datasets.load("upsampling-table6"), items=items_of(NAMES))


def of_table_6(prior: str) -> Fit:
    """Fit the law to the published scores, under one of the stated priors."""
    model = bl.Model(models.domain_upsampling, table_6(), by=POOLED, noise=LUCK, priors=STATED[prior], misfit=None)
    number = list(STATED).index(prior)
    return fitted("domain_upsampling", f"table6-{number}", model, **(CAREFUL if number == 1 else SAMPLING))


def rival(name: str) -> Fit:
    """Fit another form to them."""
    law, by = RIVALS[name]
    sampling = CAREFUL if "points" in name else {"tune": 700}
    model = bl.Model(law, table_6(), by=by, noise=LUCK, misfit=None)
    return fitted("domain_upsampling", f"table6-{name.split()[-1]}", model, **sampling)


def published(page: Page) -> tuple[Fit, list[str]]:
    """Table 6: scores of a 7B model at five windows; the fit, and the goals that the prior decides."""
    page.text(
        "## The published scores\n\nTable 6 of arXiv:2406.03476: six benchmarks, windows of 0, 5, 10, 20 and 30 %, one "
        "run each. `domain_upsampling` (logit of the score; gain, reach and cost pooled over the benchmarks) with the "
        f"error of measuring each score known, the binomial one of its test items (14,042, 1,319 and 164 for the first "
        f"three; {ASSUMED:,} **assumed** behind each average, whose items are not known), and a prior of 0.5 % of the "
        "error rate, within a factor of 1.6, for the luck of a run, which nobody measured."
    )
    runs, items = table_6(), items_of(NAMES)
    fits = {name: of_table_6(name) for name in STATED}
    fit, rivals = fits["the card"], {name: rival(name) for name in RIVALS}
    page.table(sampled({f"prior: {k}": f for k, f in fits.items()} | rivals))
    compared = bl.compare({"saturating less cost, pooled": fit, **rivals})
    whole = fit
    fits, rivals = ({k: thinned(f) for k, f in group.items()} for group in (fits, rivals))
    fit = fits["the card"]
    page.text(
        "Best window of each benchmark (a share of the training, looked for between 0 and 0.3), first prior, "
        "every fourth draw:"
    )
    goals: dict[str, object] = {NAMES[name]: name for name in fit.evals}
    goals["Core and GSM8K, half each"] = {"core": 0.5, "gsm8k": 0.5}
    goals["all six alike"] = None
    page.table(pd.DataFrame([{"goal": k, **answer(fit, goal=goal)} for k, goal in goals.items()]))
    page.figure(
        "scores",
        scores_figure(fit, {k: rivals[k] for k in ("saturating", "quadratic")}, items),
        "Six panels of scores against the window, with bands, rivals and the interval of the best window",
    )
    page.text(
        "Points carry the binomial standard error; the yellow bar on the axis is the 89 % interval of the best window. "
        "\n\n### 0 against 20 %\n\nThe gain in percentage points, as measured with the binomial error of both scores "
        "(unpaired; the same items make the true error smaller), as the posterior of the mean law has it, and for a "
        "single new pair of runs, which adds their luck (not the error of measuring them) twice:"
    )
    zero, fifth = (fit.predict(duration=d).draws for d in (0.0, 0.2))
    new = [fit.predict(duration=d, new_run=True, seed=n).draws for n, d in enumerate((0.0, 0.2))]
    rows = []
    for name in fit.evals:
        s = np.array([1 - runs.table.loc[runs.table["duration"] == d, f"{name}_loss"].item() for d in (0.0, 0.2)])
        error = np.sqrt((s * (1 - s) / items[name]).sum())
        rows.append(
            {
                "benchmark": NAMES[name],
                "measured": f"{100 * (s[1] - s[0]):.2f} ± {100 * error:.2f}",
                "in errors": f"{(s[1] - s[0]) / error:.1f}",
                "mean law": interval(100 * (zero - fifth).sel(eval=name)),
                "P(gain)": f"{float((zero > fifth).sel(eval=name).mean()):.3f}",
                "a new pair of runs": interval(100 * (new[0] - new[1]).sel(eval=name)),
            }
        )
    page.table(pd.DataFrame(rows))
    page.text(
        "### Does the prior decide?\n\nThe same question under three stated priors: the card's (a tenth crowds out "
        "0.03 logits, in the middle), one in which little is crowded out (0.01, and the gain reaches further) and one "
        "in which much is (0.1). The check fires where medians lie more than one posterior standard deviation apart or "
        "the probability of an end moves by more than 0.25."
    )
    moved = []
    for name, goal in goals.items():
        answers = {k: best_duration(f, goal=goal) for k, f in fits.items()}  # type: ignore[arg-type]
        check = prior_decides(answers)
        longer = ", ".join(f"{float(a.p_always):.2f}" for a in answers.values())
        moved.append(
            {
                "goal": name,
                **{k: str(a.text().item()) for k, a in answers.items()},
                "a longer one still helps": longer,
                "the prior decides this": "no" if check.passed else "YES",
            }
        )
    page.table(pd.DataFrame(moved))
    page.text(
        "### Rivals\n\nExpected log predictive density by run (Pareto-smoothed leave-one-out; `bad_runs` are those for "
        "which it is not reliable), and the best window of the mean of all six scores and of MMLU under each form:"
    )
    everyone = {"saturating less cost, pooled": fit, **rivals}
    page.table(compared[["elpd", "se", "elpd_diff", "diff_se", "p_eff", "bad_runs", "runs"]].rename_axis("law"), 2)
    page.table(
        pd.DataFrame(
            [
                {
                    "form": k,
                    "all six alike": answer(f)["best window"],
                    "MMLU": answer(f, goal="mmlu")["best window"],
                    "GSM8K": answer(f, goal="gsm8k")["best window"],
                }
                for k, f in everyone.items()
                if k != "constant"
            ]
        )
    )
    figure, frontier = frontier_figure(fit, "gsm8k", "language")
    page.text(
        "### The frontier\n\nGSM8K rises with the window and language understanding falls. For every weight of GSM8K "
        "in the goal, the window that is best and the scores there; thin lines are draws of the mean law."
    )
    page.figure("frontier", figure, "Language understanding against GSM8K along the window, and best window by weight")
    page.table(frontier)
    return whole, [row["goal"] for row in moved if row["the prior decides this"] == "YES"]


def removal(page: Page) -> None:
    """Table 7: which data set carries the gain."""
    table = datasets.load("upsampling-table7")
    items = items_of(c.removesuffix("_score") for c in map(str, table) if c.endswith("_score"))
    runs = bl.read_scores(table, items=items)
    fit = bl.Model(upsampled_parts, runs, noise=LUCK, misfit=None).fit(seed=1, progress=False)
    page.text(
        "## Which data carry the gain?\n\nTable 7 removes the math-heavy data from a window of 10 %. Three runs give "
        "two differences per benchmark: what the rest of the mix does alone, and what math adds to it (logit scale, "
        "normal priors of sd 0.5, errors as above; shown in percentage points of the score)."
    )
    page.table(sampled({"table 7": fit}))
    none, full, rest = (
        100 * (1 - fit.predict(upsampled=u, math=m).draws) for u, m in ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0))
    )
    page.table(
        pd.DataFrame(
            [
                {
                    "benchmark": NAMES[name],
                    "whole mix": interval((full - none).sel(eval=name)),
                    "the rest alone": interval((rest - none).sel(eval=name)),
                    "math adds": interval((full - rest).sel(eval=name)),
                    "P(math adds)": f"{float((full > rest).sel(eval=name).mean()):.3f}",
                    "P(the rest helps alone)": f"{float((rest > none).sel(eval=name).mean()):.3f}",
                }
                for name in fit.evals
            ]
        )
    )


def tiny(page: Page) -> None:
    """The runs of tinycpt: losses, not scores."""
    table = datasets.load("tinycpt-upsampling")
    table = table[table["step"] == table["step"].max()]
    model = bl.Model(
        models.upsampling_loss, bl.read_runs(table[["run", "duration", "general_loss", "domain_loss"]]), misfit=None
    )
    fit = page.fit("tinycpt", model, **CAREFUL)
    page.text(
        "## Tiny runs\n\nSix runs of tinycpt (size S, Python upsampled from 10 to 50 % at the end), general and domain "
        "loss at the last step, two seeds without upsampling and one run at each other window: `upsampling_loss`."
    )
    page.table(sampled({"tinycpt": fit}))
    zero, long = (fit.predict(duration=d).draws for d in (0.0, 0.3))
    page.table(
        pd.DataFrame(
            [
                {
                    "goal": name,
                    "loss at 0.3 less loss at 0": interval((long - zero).sel(eval=name), 3),
                    **answer(fit, goal=name),
                }
                for name in fit.evals
            ]
            + [
                {"goal": "both alike", "loss at 0.3 less loss at 0": interval((long - zero).mean("eval"), 3)}
                | answer(fit)
            ]
        )
    )


def marin() -> tuple[bl.Runs, pd.DataFrame, pd.DataFrame]:
    """Return the runs without code in the first phase that are fitted, all of them, and the means of five seeds.

    Losses stay in bits per byte, as if they were nats per token.
    """
    table = pd.read_csv(DATA / "marin_two_phase" / "two_phase_starcoder_143.csv")
    table = table[table["phase_0_starcoder"] == 0].rename(columns={"phase_1_starcoder": "duration"})
    anchors = pd.read_csv(DATA / "marin_two_phase" / "anchor_repeats.csv")
    anchors = anchors[(anchors["phase_0_starcoder"] == 0) & (anchors["metric"] == "code_bpb")]
    left_out = table["duration"].round(6).isin(anchors["phase_1_starcoder"].round(6))
    runs = bl.read_runs(table.loc[~left_out, ["duration", "code_bpb"]], loss={"code": "code_bpb"}, unit="nats")
    return runs, table, anchors


def loss_forms() -> dict[str, Fit]:
    """Fit three forms of the loss against the window to them."""
    entries = {
        "power gain less cost": models.upsampling_loss,
        "quadratic": models.quadratic_upsampling_loss,
        "saturating": models.saturating_upsampling_loss,
    }
    runs, *_ = marin()
    return {
        k: fitted(
            "domain_upsampling", f"marin-{entry.name}", bl.Model(entry, runs, reference={"duration": 0.1}, misfit=None)
        )
        for k, entry in entries.items()
    }


def two_phases(page: Page) -> None:
    """The slice of marin's two-phase training without code in the first phase."""
    runs, table, anchors = marin()
    left_out = ~table["duration"].isin(runs.table["duration"])
    page.text(
        "## A U-shaped loss\n\nThe two-phase training of marin-community: no code in the first half of the training, a "
        "share of StarCoder in the second (here the window), code loss in bits per byte. "
        f"{len(runs)} single runs are fitted; the runs at the anchors ({int(left_out.sum())}) are left out, and the "
        "means of the five seeds that were run at each anchor are predicted. `z` is the miss over the standard "
        "deviation of predicting a mean of five new runs."
    )
    fits = loss_forms()
    page.table(sampled(fits))
    rows = []
    for k, fit in fits.items():
        for window, middle, sd, seeds in anchors[["phase_1_starcoder", "mean", "std", "n"]].to_numpy(float):
            mean = fit.predict(duration=window).draws.sel(eval="code")
            new = fit.predict(duration=window, new_run=True).draws.sel(eval="code")
            own = float((fit.posterior["sigma"] * mean).mean())
            z = (middle - float(mean.mean())) / np.hypot(float(mean.std()), own / np.sqrt(seeds))
            inside = float(new.quantile((1 - CI_PROB) / 2)) <= middle <= float(new.quantile((1 + CI_PROB) / 2))
            rows.append(
                {
                    "law": k,
                    "window": f"{window:.3f}",
                    "five seeds": f"{middle:.4f} ± {sd:.4f}",
                    "mean law": interval(mean, 4),
                    "a new run": f"{float(new.mean()):.4f} ± {float(new.std()):.4f}",
                    "z": f"{z:.1f}",
                    "in the new-run band": "yes" if inside else "NO",
                }
            )
    page.table(pd.DataFrame(rows))
    page.table(pd.DataFrame([{"law": k, **answer(f)} for k, f in fits.items()]))
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    grid = np.append(np.linspace(0, 0.05, 40), np.linspace(0.052, 1, 160))
    for ax, (low, high) in zip(axes, ((0, 1), (0.1, 0.55)), strict=True):
        for (k, fit), colour in zip(fits.items(), COLOURS, strict=False):
            loss = fit.predict(duration=grid[(grid >= low) & (grid <= high)]).draws.sel(eval="code")
            ends = [loss.quantile(q, SAMPLE) for q in ((1 - CI_PROB) / 2, (1 + CI_PROB) / 2)]
            ax.fill_between(loss["duration"], *ends, color=colour, alpha=0.25, lw=0)
            ax.plot(loss["duration"], loss.median(SAMPLE), color=colour, label=k)
        here = table["duration"].between(low, high)
        ax.plot(table["duration"][here & ~left_out], table["code_bpb"][here & ~left_out], "k.", ms=4, label="runs")
        near = anchors[anchors["phase_1_starcoder"].between(low, high)]
        ax.errorbar(
            near["phase_1_starcoder"], near["mean"], near["std"], fmt="D", color=COLOURS[3], ms=5, label="five seeds"
        )
        finish(ax, "" if low == 0 else "near the minimum")
        ax.set(xlabel="share of code in the second half", ylabel="code loss (bits per byte)")
        if low:
            ax.get_legend().remove()
            ax.set_ylim(0.9, 1.0)
    page.figure(
        "marin",
        figure,
        "Code loss against the share of code in the second half, three laws, whole and near the minimum",
    )


def conclude(page: Page, moved: list[str]) -> None:
    """What holds, and what does not."""
    page.text(
        "## What holds, and what does not\n\n"
        "- The gains from 0 to 20 % on MMLU, GSM8K, the Core Average and reading are several measurement errors large. "
        "HumanEval's is about one and a half errors of its 164 items, and language understanding loses about one: the "
        "table cannot tell these two from nothing much.\n"
        "- MMLU's best window lies inside what was tried under all three priors and every form that can turn; the form "
        "that cannot turn answers with the longest window, so an optimum inside rests on the last two points.\n"
        "- GSM8K still rises at 30 %; how far it would go on is nowhere measured.\n"
        f"- The prior decides: {', '.join(moved) or 'nothing that was asked'}. Pooling lends the other benchmarks the "
        "same cost, which is an assumption too.\n"
        "- Leave-one-out says little here: nearly every run is one of five for four coefficients (`bad_runs`). Refits "
        "without one window each were not made.\n"
        "- The math-heavy data carry the gain in MMLU, GSM8K and the Core Average: without them these scores fall "
        "below those without upsampling. For HumanEval nothing can be said. One run each, and what took the place of "
        "the math is not known.\n"
        "- The power gain less cost follows the two-phase losses from a share of 2.5 % to 1 and puts the minimum to "
        "within a few thousandths; the parabola and the saturating form do not. Its band holds the two anchors near "
        "the minimum, which lie above it by about two standard deviations. It does NOT predict the anchor without any "
        "code from runs that all had some: that is extrapolation down a steep power law, and the band is far too "
        "narrow there.\n"
        "- The six tiny runs agree with a general loss that rises from "
        "the start and a domain loss that still falls at 30 %; the window that is best for both alike is wherever the "
        "prior puts it.\n"
        "- Assumed, not measured: the items behind the averages, the luck of a run, and errors that are normal on the "
        "log of the error rate."
    )


def main() -> None:
    """Write the page."""
    page = Page("domain_upsampling", "Upsampling at the end of training")
    page.text(
        "How long should the end of a training upsample the domains it is meant for? `best_duration` answers per "
        "benchmark and for weighted goals, with the probability that a longer window would still help. The published "
        "table has five points for four coefficients and one run per cell: this page shows what it decides and what "
        "the prior decides, and fits two data sets of losses where more was measured."
    )
    fit, moved = published(page)
    removal(page)
    two_phases(page)
    tiny(page)
    conclude(page, moved)
    page.write()
    swayed = f" Under other priors the answer moves for {', '.join(moved)}: there the prior decides." if moved else ""
    fit.report(
        DOCS / "reports" / "domain_upsampling.md",
        title="Domain upsampling: scores of a 7B model at five windows",
        about="Table 6 of arXiv:2406.03476: six benchmark scores of a 7B model, one run at each of five windows."
        f"{swayed} More in the [study](../studies/domain_upsampling.md), and rival forms in "
        "[another report](upsampled_scores.md).",
    )


if __name__ == "__main__":
    main()
