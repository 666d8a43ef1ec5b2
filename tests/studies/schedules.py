"""Six learning-rate schedules predicted from three, by two laws, their stack, and least squares.

python -m tests.studies.schedules
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayeslaw as bl
from bayeslaw.plots import plot_curve
from bayeslaw.plots.style import COLOURS, finish
from bayeslaw.sampler.least_squares import HUBER_DELTA
from bayeslaw.tables.power import POWER, PowerMemory
from bayeslaw.workflow import Fit
from tests.models.test_held_out_schedules import (
    LAWS,
    NEW,
    PLANS,
    SIZES,
    bands,
    curves,
    least_squares,
    least_squares_bands,
    logs,
    mean_scores,
    model,
    orders,
    posterior_bands,
    scored,
)
from tests.studies.page import BUILD, DOCS, Page, convergence, pairs

TRIED: dict[str, list[dict[str, Any]]] = {
    "lr_annealing": [{"memory": m} for m in (0.99, 0.995, 0.997, 0.998, 0.9985, 0.999, 0.9995)],
    "multi_power": [
        {"power": PowerMemory(C, POWER.beta, POWER.gamma)} for C in (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 2)
    ],
}
"""Settings of the areas that are compared."""
SETTING = {"lr_annealing": "lambda", "multi_power": "C"}
CALLED = {"lr_annealing": "annealing", "multi_power": "multi-power"}
PUBLISHED: dict[str, dict[str, Any]] = {
    "lr_annealing": {},
    "multi_power": {
        "README of the authors": {
            "L0": {25e6: 3.0405, 100e6: 2.6514},
            "A": {25e6: 0.5247, 100e6: 0.6012},
            "alpha": {25e6: 0.5079, 100e6: 0.4530},
        }
    },
}
"""Constants for these very curves, of https://github.com/thu-yao-01-luo/MultiPowerLaw; for the annealing law, none."""
REMARKS = {
    "lr_annealing": "",
    "multi_power": " The constants of the authors' README belong to code that counts the rises of the warm-up too, "
    "which add 0.10 to 0.13 nats to its losses: their L0 is lower by about that. Their B is left out, because it "
    "depends on C, beta and gamma, which have other values here.",
}
SCORES = {
    "mae": "mean absolute error (nats)",
    "coverage": "coverage of the 89 % band of a new run",
    "interval_score": "interval score of that band (nats; smaller is better)",
}
APART = 0.004
"""Pairs of last losses that differ by more than this (nats) ought to be put in their true order."""


def huber(fit: Fit) -> float:
    """The objective of the papers at a fit, times 1e6."""
    design = fit.model.design
    size = np.abs(design.log_loss - np.log(fit.loss(design.rows).values.ravel()))
    return float(1e6 * np.where(size < HUBER_DELTA, size**2 / 2, HUBER_DELTA * (size - HUBER_DELTA / 2)).sum())


def settings(law: str) -> pd.DataFrame:
    """Least squares under other settings of the areas: what it attains on the three schedules, and on the others."""
    rows = {}
    for chosen in TRIED[law]:
        fits = {size: least_squares(law, size, **chosen) for size in SIZES}
        attained = {f"objective {size}M": huber(fit) for size, fit in fits.items()}
        new = {f"MAE {size}M": mean_scores(fit, size, least_squares_bands)["mae"] for size, fit in fits.items()}
        rows[getattr(chosen.get("power"), "C", chosen.get("memory"))] = {**attained, **new}
    return pd.DataFrame(rows).T.rename_axis(SETTING[law])


def scores(fits: dict[str, Fit], weights: dict[str, float], size: int) -> dict[str, pd.DataFrame]:
    """A table for each score: schedules, and in the end their mean, by who predicts."""
    predicted: dict[str, Callable[[str], pd.DataFrame]] = {}
    for law, fit in fits.items():
        same, every = least_squares(law, size, None), least_squares(law, size)
        predicted[CALLED[law]] = partial(posterior_bands, fit, size)
        predicted[f"{CALLED[law]}, LS of the same rows"] = partial(least_squares_bands, same, size)
        predicted[f"{CALLED[law]}, LS of all rows"] = partial(least_squares_bands, every, size)
    predicted["stack"] = partial(bands, fits, weights, size)
    found = {who: {name: scored(band(name)) for name in NEW} for who, band in predicted.items()}
    tables = {}
    for score in SCORES:
        rows = {who: {name: values[score] for name, values in by.items()} for who, by in found.items()}
        table = pd.DataFrame(rows).rename_axis("schedule")
        table.loc["mean"] = table.mean()
        tables[score] = table
    return tables


def targets(found: dict[int, dict[str, pd.DataFrame]], pairs: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """What was asked, by law and size, and whether it is met."""
    rows = []
    for size, tables in found.items():
        for who in CALLED.values():
            mae, score = (tables[s].loc["mean"].to_dict() for s in ("mae", "interval_score"))
            plain = f"{who}, LS of all rows"
            wrong = pairs[size][(pairs[size]["apart"] > APART) & (pairs[size][who] < 0.5)]
            asked = {
                "error at most 2 % above least squares of all rows": (mae[who] / mae[plain] - 1, 0.02),
                "error at most 2 % above least squares of the same rows": (
                    mae[who] / mae[f"{who}, LS of the same rows"] - 1,
                    0.02,
                ),
                "interval score below the residual-sd band's": (score[who] / score[plain] - 1, 0.0),
                "pairs in the wrong order": (len(wrong), 0),
            }
            for what, (value, limit) in asked.items():
                text = f"{value:d}" if isinstance(value, int) else f"{value:+.1%}"
                rows.append((what, who, f"{size}M", text, "met" if value <= limit else "missed"))
    table = pd.DataFrame(rows, columns=["target", "law", "size", "found", ""])
    return table.sort_values(["target", "law"], kind="stable")


def all_curves(fit: Fit, size: int) -> Figure:
    """The rate and the losses of the six schedules, with the band of a new run."""
    figure, axes = pairs(2, 3, (10, 7.5))
    settings = {k: v for k, v in LAWS[fit.model.law.name].items() if k == "memory"}
    runs = curves(size, names=NEW, spacing=1.02, **settings)
    for pair, name in zip(axes, NEW, strict=True):
        plot_curve(fit, f"{size}M {name}", pair, runs=runs, schedule=PLANS[name], new_run=True)
        low = logs(size)[name]["loss"].min()
        pair[1].set_ylim(low - 0.05, low + 0.5)
    return figure


def errors(fits: dict[str, Fit]) -> Figure:
    """What each law leaves over along the six schedules, with the band of a new run around it."""
    figure, axes = plt.subplots(len(NEW), len(SIZES), figsize=(10, 11), sharey=True, layout="constrained")
    for row, name in zip(axes, NEW, strict=True):
        for ax, size in zip(row, SIZES, strict=True):
            step = logs(size)[name]["step"]
            rate = ax.twinx()
            rate.fill_between(step, PLANS[name].lr[step - 1], color="0.9", lw=0)
            rate.set(ylim=(0, 1e-3), yticks=[])
            rate.spines[:].set_visible(False)
            ax.set_zorder(rate.get_zorder() + 1)
            ax.patch.set_visible(False)
            for colour, (law, fit) in zip(COLOURS, fits.items(), strict=False):
                band = posterior_bands(fit, size, name)
                lower, upper, missed = (band[c] - band["mean"] for c in ("lower", "upper", "observed"))
                ax.fill_between(step, 1e3 * lower, 1e3 * upper, color=colour, alpha=0.15, lw=0)
                ax.plot(step, 1e3 * missed, color=colour, lw=1.2, label=CALLED[law])
            ax.axhline(0, color="0.4", lw=0.8)
            finish(ax, f"{name}, {size}M")
            ax.set(ylim=(-32, 32))
            if ax is not axes[0, 0]:
                ax.get_legend().remove()
    for ax in axes[:, 0]:
        ax.set_ylabel("measured minus\npredicted (0.001 nats)", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("step")
    return figure


def main() -> None:
    """Fit, compare and write the page."""
    warnings.filterwarnings("ignore", message="the score of", category=UserWarning)
    page = Page("schedules", "Six learning-rate schedules predicted from three")
    page.text(
        "Can the loss along a schedule be known before it is run? Public training curves of models of 25M and 100M "
        "parameters (published with arXiv:2503.12811) have nine "
        "schedules each. All coefficients are fixed on three of them (`cosine_24000`, `constant_24000` and `wsdcon_9`, "
        "a drop of the rate to 9e-5 after 8,000 steps); the six others are predicted: three times the steps, two "
        "decays at the end, and drops to other rates. One posterior holds both sizes, coefficients pooled over them, "
        "with the package's default error model and misfit (the same for both sizes), on the logged steps that the "
        "package keeps by default (one per factor of 1.2). Beside it stands least squares (LS) as in the papers, of "
        "one size: of the same rows, and of all rows, with the spread of its residuals as band."
    )
    fits = {law: page.fit(law, model(law, misfit="scales")) for law in LAWS}
    sampled = {CALLED[law]: convergence(fit) for law, fit in fits.items()}
    page.text("## The fits\n\n4 x 1,000 draws each.")
    page.table(pd.DataFrame.from_dict(sampled, orient="index").rename_axis("law"))

    page.text(
        "## How long the laws remember\n\nThe annealing law's lambda and the multi-power law's C are settings. "
        "They are chosen by what least squares attains on the three fitted schedules (objective: sum of Huber losses "
        "of the log loss, times 1e6), not by the others, whose error stands beside it."
    )
    for law in LAWS:
        page.text(f"{CALLED[law].capitalize()} law:")
        page.table(settings(law), 4)
    page.text("Used below: lambda 0.998 and C 0.3, where the sum over both sizes is smallest.")

    once: dict[str, Any] = {"draws": 500, "tune": 500, "chains": 2, "cores": 1, "progress": False}
    left_out = {
        law: bl.evaluate(fit.model, bl.splits.by("run"), folder=BUILD / page.name / law, **once)
        for law, fit in fits.items()
    }
    compared = bl.compare(left_out)
    weights = {law: float(compared["weight"][law]) for law in LAWS}
    page.text(
        "## The stack\n\nEvery fitted run is left out once (2 x 500 draws); the log score of its losses weighs the "
        "laws in the stack."
    )
    compared = compared.filter(["elpd", "elpd_diff", "diff_se", "weight", "runs"])
    page.table(compared.rename(index=CALLED).rename_axis("law"), 2)

    found, pairs = {}, {}
    for size in SIZES:
        found[size] = scores(fits, weights, size)
        page.text(f"## {size}M")
        for score, called in SCORES.items():
            page.text(f"{called[0].upper()}{called[1:]}:")
            page.table(found[size][score], 2 if score == "coverage" else 4)
        pairs[size] = orders(fits, weights, size).rename(columns={"p": "stack"})
        for law, fit in fits.items():
            pairs[size][CALLED[law]] = orders({law: fit}, {law: 1.0}, size)["p"]
        page.text("Probability of the true order of the last losses; `apart` is by how many nats they differ:")
        page.table(pairs[size].sort_values("apart").set_index("better"))
        figure = all_curves(fits["lr_annealing"], size)
        alt = (
            f"Rate and loss of six schedules of the {size}M model over the same steps, with bands of the annealing law"
        )
        page.figure(f"curves_{size}M", figure, alt)
    page.text("## Where the laws are off\n\nBands are those of a new run; the rate is drawn in grey.")
    page.figure("errors", errors(fits), "Measured minus predicted loss of both laws along the six schedules")

    page.text("## What holds, and what does not")
    page.table(targets(found, pairs))
    page.text(VERDICT)
    page.write()
    for law, fit in fits.items():
        fit.report(
            DOCS / "reports" / f"{law}.md",
            title=f"{CALLED[law].capitalize()} law: three schedules of 25M and 100M models",
            about="Public training curves of models of 25M and 100M parameters (arXiv:2503.12811), three learning-rate "
            f"schedules each. The [study](../studies/schedules.md) predicts six others.{REMARKS[law]}",
            published=PUBLISHED[law],
        )


VERDICT = (
    "Met: both posteriors converge; the band of a new run scores better than the spread of residuals for both laws "
    "and sizes; at 25M both laws are as near as least squares of the same law, or nearer.\n\n"
    "Missed: at 100M both laws are further off than least squares of all rows by more than 2 %, and the annealing law "
    "than least squares of the same rows. One misfit holds for both sizes here; fitted to one size, the laws [predict "
    "better](curves.md). "
    "Least squares of all rows weighs the late steps most, of which a log has more; the posterior weighs every factor "
    "of 1.2 in steps alike. Pairs that are put in the wrong order, though they differ by more than 0.004, all set "
    "three times the steps at a constant rate against a short run with a decay, which the annealing law flatters.\n\n"
    "Neither law knows three times the steps of a cosine well: `cosine_72000` is missed by 0.011 to 0.012 at 100M, and "
    "its band holds about a quarter of the losses there; elsewhere bands hold 0.59 to all. After a drop or a fast "
    "decay of the rate the annealing law is off by up to 0.026, the multi-power law by up to 0.014. Six runs left out "
    "once are few to weigh laws by: their scores are alike, and the weights of the stack mean little."
)

if __name__ == "__main__":
    main()
