"""What other domains buy for a new one: predictions from a small part of its sweep, in simulated studies.

``python -m tests.studies.new_domain`` writes docs/studies/new_domain.md; finished studies are kept in build/studies.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.errors import RefitError
from bayeslaw.validation.evaluation import convergence
from bayeslaw.validation.refits import finish
from bayeslaw.validation.scores import interval_score
from bayeslaw.workflow import Fit
from tests.studies.page import Page

BUILD = Path("build/studies/new_domain")
DOMAINS = ["code", "math", "law", "chemistry", "music", "medicine"]
SIZES = [0.5e9, 1.8e9, 4e9]
SHARES = [0.1, 0.33, 0.67, 0.9]
TOKENS = [0.13e9, 0.66e9, 2e9, 6.6e9, 16.4e9, 26.2e9]

MEDIAN = {"E": 1.5, "A": 0.4, "alpha": 0.3, "B": 0.05, "beta": 0.3, "eta": 1.2, "C": 0.4, "gamma": 0.4, "eps": 0.08}
AMONG_STUDIES = 0.15
"""Standard deviation of the log of every coefficient's median, from study to study."""
AMONG_DOMAINS = {"E": 0.15, "B": 0.25, "C": 0.25}
"""Standard deviation of the log of a coefficient from domain to domain."""
ERROR = 0.004

SPENT = {
    0.0: ([], 0.0),
    0.3: ([0.33, 0.67], 2e9),
    1.0: ([0.33, 0.67], 6.6e9),
    5.0: (SHARES, 16.4e9),
}
"""Percent of the training compute of a whole sweep; the shares at which the smallest model was trained, and how far."""
WHOLE = 100.0
ALONE_AT = (1.0, WHOLE)
"""Percent at which the new domain is also fitted by itself."""
SHORT: dict[str, Any] = {"draws": 250, "tune": 250, "chains": 2, "cores": 1, "progress": False}
LONG: dict[str, Any] = {"draws": 1500, "tune": 500, "chains": 2, "cores": 1, "progress": False}
ARMS = {"with five other domains": "C0", "alone, the card's priors": "C1"}
POOLED, ALONE = ARMS
SAMPLE = ["chain", "draw"]
ENOUGH = 50
SHIFT, WIDTH = 0.1, 0.1
"""How near `new_domain` is to be to the refit: shift of means in standard deviations, relative difference of widths."""

ABOUT = """\
What does a prior from other domains buy? A sweep of continual pre-training (three sizes up to 4 B, four shares, 26
B tokens a run) was done for {old} domains, and a new domain is to be predicted from a part of its own sweep:
nothing, .3 %, 1 % or 5 % of its training compute, or all of it. The parts are early: only the smallest model, at
two shares up to 2 B or 6.6 B tokens, or at four up to 16.4 B; the last tokens of the largest model are far away
from them.

{count} simulated studies of six domains each (law L3; floor E, token term B and share term C differ by domain, and
all coefficients by study; errors of .4 %). *With five other domains*: one pooled fit of the five, then
`fit.new_domain` for each part (at 0 % the population, at 100 % a fit of all six). *Alone*: the same law fitted to
the part by itself, with the priors of its card (at 0 %, 1 % and 100 % only). All are given the D-CPT paper's trends
over the range they saw."""

TINY = """\
The public table of `tinycpt` holds runs on one domain (Python); runs on a second exist and are not in it. A
population cannot be learned from one domain, so that there is no case study here, and nothing on this page is
evidence about real domains."""


def simulated(study: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the runs of six domains, and the coefficients of the last, which is the new one."""
    rng = np.random.default_rng([6, study])
    levels: list[Any] = [DOMAINS, SIZES, SHARES, TOKENS]
    rows = pd.MultiIndex.from_product(levels, names=["domain", "N", "domain_share", "D"]).to_frame(index=False)
    while True:
        shared = {k: m * float(np.exp(rng.normal(0, AMONG_STUDIES))) for k, m in MEDIAN.items()}
        own = {
            d: {k: c * float(np.exp(rng.normal(0, AMONG_DOMAINS.get(k, 0.0)))) for k, c in shared.items()}
            for d in DOMAINS
        }
        of_row = {k: rows["domain"].map({d: c[k] for d, c in own.items()}) for k in MEDIAN}
        loss = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, rows["domain_share"], **of_row)
        if (loss.groupby([rows[c] for c in ("domain", "N", "D")]).diff().dropna() < 0).all():
            break
    error = rng.normal(0, ERROR, len(rows))
    return rows.assign(domain_loss=loss * np.exp(error)), own[DOMAINS[-1]]


def model(rows: pd.DataFrame) -> bl.Model:
    """Return the model: E, B and C pooled by domain where there are several."""
    by = dict.fromkeys(AMONG_DOMAINS, "domain") if rows["domain"].nunique() > 1 else {}
    return bl.Model(models.dcpt, bl.read_runs(rows), by=by, noise=bl.Noise(correlated=False), misfit=None)


def early(rows: pd.DataFrame, percent: float) -> pd.Series:
    """Return which rows of the new domain a part of the cost pays for."""
    new = rows["domain"] == DOMAINS[-1]
    if percent == WHOLE:
        return new
    shares, tokens = SPENT[percent]
    return new & (rows["N"] == SIZES[0]) & rows["domain_share"].isin(shares) & (rows["D"] <= tokens)


def predicted(fit: Fit, domain: Any = None) -> xr.DataArray:
    """Return draws of the mean law at the end of every run of the whole sweep, dims sample and those of the sweep."""
    at: dict[str, Any] = {"N": SIZES, "D": TOKENS[-1], "domain_share": SHARES}
    draws = fit.predict(**at, **({} if domain is None else {"domain": domain})).draws
    return (
        draws.squeeze([d for d in draws.dims if d not in SAMPLE and draws.sizes[d] == 1], drop=True)
        .stack(sample=SAMPLE)
        .transpose("N", "domain_share", "sample")
    )


def work(label: str, study: int) -> dict[str, Any]:
    """Fit five domains, then tell the sixth from parts of its sweep, with them and without them."""
    rows, truth = simulated(study)
    size, share = np.meshgrid(SIZES, SHARES, indexing="ij")
    true = models.dcpt(size / 1e9, TOKENS[-1] / 1e10, share, **truth)
    new, settings = rows["domain"] == DOMAINS[-1], {**SHORT, "seed": study}
    fit = model(rows[~new]).fit(**settings)
    thinned = replace(fit, idata=fit.idata.isel(draw=slice(None, None, 2)))
    found: list[dict[str, Any]] = []

    def add(arm: str, percent: float, how: str, made: Fit, domain: Any = None) -> None:
        draws = predicted(made, domain).values
        lower, upper = np.quantile(draws, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], axis=-1)
        mean = draws.mean(-1)
        scores = {
            "error": np.abs(mean - true),
            "coverage": (lower <= true) & (true <= upper),
            "interval score": interval_score(lower, upper, true, CI_PROB),
            "width": upper - lower,
        }
        at = {"true": true, "mean": mean, "lower": lower, "upper": upper}
        found.append(
            {"study": study, "arm": arm, "percent": percent, "how": how}
            | {k: float(v.mean()) for k, v in scores.items()}
            | {f"{k} at the largest": float(v[-1, 1]) for k, v in at.items()}
            | {"pareto_k": made.settings.get("pareto_k", np.nan)}
            | (convergence(made) if how == "fit" else {"r_hat": np.nan, "divergences": 0})
        )

    add(POOLED, 0.0, "population", fit, bl.UNSEEN)
    add(ALONE, 0.0, "prior", model(rows[new]).prior_predictive(draws=500, seed=study))
    for percent in [p for p in (*SPENT, WHOLE) if p > 0]:
        paid = early(rows, percent)
        if percent == WHOLE:
            add(POOLED, percent, "fit", model(rows[~new | paid]).fit(**settings), DOMAINS[-1])
        else:
            told = thinned.new_domain(bl.read_runs(rows[paid]), draws=500, seed=study)
            add(POOLED, percent, "fit" if told.sampled else "new_domain", told, DOMAINS[-1])
        if percent in ALONE_AT:
            add(ALONE, percent, "fit", model(rows[paid]).fit(**settings))
    return {"fold": label, "rows": found, "fit": {**convergence(fit), "seconds": fit.seconds}}


def beside(label: str, study: int) -> dict[str, Any]:
    """Return how far `new_domain` is from the refit of all runs, at three costs."""
    rows, _ = simulated(study)
    new, settings = rows["domain"] == DOMAINS[-1], {**LONG, "seed": study}
    fit = model(rows[~new]).fit(**settings)
    found = []
    for percent in [p for p in SPENT if p > 0]:
        paid = early(rows, percent)
        told = fit.new_domain(bl.read_runs(rows[paid]), draws=3000, seed=study)
        refit = model(rows[~new | paid]).fit(**settings)
        one, other = predicted(told, DOMAINS[-1]), predicted(refit, DOMAINS[-1])
        shift = abs(one.mean("sample") - other.mean("sample")) / other.std("sample")
        ends = [x.quantile([(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], "sample") for x in (one, other)]
        width = ends[0].diff("quantile") / ends[1].diff("quantile")
        found.append(
            {
                "study": study,
                "% spent": percent,
                "Pareto's k": told.settings["pareto_k"],
                "largest shift of a mean (sd)": float(shift.max()),
                "smallest ratio of widths": float(width.min()),
                "largest": float(width.max()),
                "R-hat of the fit": convergence(fit)["r_hat"],
                "R-hat of the refit": convergence(refit)["r_hat"],
            }
        )
    return {"fold": label, "rows": found, "fit": {**convergence(fit), "seconds": fit.seconds}}


class Finished(NamedTuple):
    """What tasks returned: their rows, what is known of their first fits, and which failed."""

    rows: pd.DataFrame
    fits: pd.DataFrame
    failed: pd.DataFrame


def kept(name: str, function: Any, tasks: Mapping[str, tuple[Any, ...]], jobs: int, minutes: float) -> Finished:
    """Run what is not kept in files yet, as far as the time goes, and return all that is."""
    began, failed = time.monotonic(), []
    files = {label: BUILD / f"{name}-{label}.json" for label in tasks}
    missing = [label for label in tasks if not files[label].is_file()]
    while missing and time.monotonic() - began < 60 * minutes:
        now, missing = missing[:jobs], missing[jobs:]
        try:
            of_now = {k: tasks[k] for k in now}, {k: files[k] for k in now}
            failed.append(finish(function, *of_now, jobs=jobs, progress=True)[1])
        except RefitError as e:
            failed.append(pd.DataFrame({"fold": now, "reason": str(e)}))
    done = [json.loads(f.read_text(encoding="utf-8")) for f in files.values() if f.is_file()]
    return Finished(
        pd.DataFrame([row for part in done for row in part["rows"]]),
        pd.DataFrame([part["fit"] for part in done]),
        pd.concat([pd.DataFrame({"fold": [], "reason": []}), *failed]),
    )


def main() -> None:
    """Run the studies and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=ENOUGH, help=f"simulated studies (default {ENOUGH})")
    parser.add_argument("--refits", type=int, default=3, help="studies refitted with all runs, at three costs each")
    parser.add_argument("--jobs", type=int, default=1, help="studies at a time, each on one core")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time for fits; 0: what is kept")
    asked = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    refits = kept("refit", beside, {str(i): (i,) for i in range(asked.refits)}, asked.jobs, asked.minutes)
    studies = kept("study", work, {str(i): (i,) for i in range(asked.studies)}, asked.jobs, asked.minutes)
    write(studies, refits)


def write(studies: Finished, refits: Finished) -> None:
    """Write the page."""
    rows, fits = studies.rows, studies.fits
    count = rows["study"].nunique()
    page = Page("new_domain", "What other domains buy for a new one")
    page.text(ABOUT.format(count=count, old=len(DOMAINS) - 1))
    scores = table(rows)
    page.text("## Error, coverage and interval score against the share of the cost")
    page.figure("cost", cost(rows), "Error, coverage and interval score against the share of the cost, two lines each")
    page.table(scores, 4)
    page.text(
        f"Means over {count} simulated studies, with the standard error of the mean for the error. *error*: of the "
        "mean law's posterior mean, in nats, averaged over the 12 runs of a whole sweep at their last tokens; "
        f"*coverage* and *interval score*: of its {CI_PROB:.0%} intervals."
    )
    page.text("## The learning curve of knowledge")
    page.figure("knowledge", knowledge(rows), "Predicted loss with its interval against the share of the cost")
    page.text(
        "What is known of one run that was not trained, the largest model at a share of .33 and 26 B tokens, in four "
        "of the studies: a line through the means, bars from end to end of the interval, the truth dashed. Without a "
        "run of the domain and without other domains the interval is that of the card's priors."
    )
    page.text("## Beside the refit of all runs")
    if len(refits.rows):
        page.table(refits.rows)
    page.text(compared(refits.rows))
    page.text("## tinycpt")
    page.text(TINY)
    page.text("## What holds, and what does not")
    page.text("\n".join(f"- {line}" for line in conclusions(rows, fits, studies.failed)))
    page.write()


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores of both arms at every cost."""
    by_cost = rows.groupby(["percent", "arm"], sort=False)
    scores = by_cost[["error", "coverage", "interval score", "width"]].mean()
    scores.insert(1, "se of the error", by_cost["error"].sem())
    scores["studies"] = by_cost.size()
    return scores.reset_index().sort_values(["percent", "arm"], ascending=[True, False], ignore_index=True)


def cost(rows: pd.DataFrame) -> Figure:
    """Draw the scores against the cost."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for ax, score in zip(axes, ("error", "coverage", "interval score"), strict=True):
        for arm, colour in ARMS.items():
            by_cost = rows[rows["arm"] == arm].groupby("percent")[score]
            mean, se = by_cost.mean(), by_cost.sem()
            ax.errorbar(position(mean.index), mean, se, color=colour, marker="o", ms=4, lw=1.2, capsize=2, label=arm)
        ax.set(xlabel="% of the cost of a whole sweep", ylabel=score + (" (nats)" if score != "coverage" else ""))
        if score != "coverage":
            ax.set_yscale("log")
        else:
            ax.axhline(CI_PROB, color="0.5", lw=1, ls="--")
            ax.set_ylim(0, 1.03)
        at_costs(ax)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def knowledge(rows: pd.DataFrame) -> Figure:
    """Draw what is known of one run as more is paid, in four studies."""
    studies = sorted(rows["study"].unique())[:4]
    figure, axes = plt.subplots(1, len(studies), figsize=(2.6 * len(studies), 3), layout="constrained", squeeze=False)
    for ax, study in zip(axes[0], studies, strict=True):
        for shift, (arm, colour) in zip((-0.08, 0.08), ARMS.items(), strict=True):
            own = rows[(rows["study"] == study) & (rows["arm"] == arm)].sort_values("percent")
            mean, lower, upper = (own[f"{k} at the largest"] for k in ("mean", "lower", "upper"))
            x = position(own["percent"]) + shift
            ax.vlines(x, lower, upper, color=colour, lw=2.5, alpha=0.6)
            ax.plot(x, mean, "o-", color=colour, ms=3, lw=0.8, label=arm)
        ax.axhline(own["true at the largest"].iloc[0], color="0.3", lw=1, ls="--")
        true = own["true at the largest"].iloc[0]
        ax.set_ylim(true - 1, true + 1.5)
        ax.set_title(f"study {study}", fontsize=9)
        ax.set_xlabel("% of the cost")
        at_costs(ax)
    axes[0, 0].set_ylabel("loss of the mean law (nats)")
    axes[0, 0].legend(frameon=False, fontsize=7)
    return figure


def position(percent: Any) -> np.ndarray:
    """Return where a cost stands on the axis: one step each."""
    places: np.ndarray = np.searchsorted([*SPENT, WHOLE], np.asarray(percent, float)).astype(float)
    return places


def at_costs(ax: Any) -> None:
    """Name the costs on the axis."""
    costs = [*SPENT, WHOLE]
    ax.set_xticks(range(len(costs)), [f"{c:g}" for c in costs])
    ax.spines[["top", "right"]].set_visible(False)


def compared(refits: pd.DataFrame) -> str:
    """Say whether `new_domain` agrees with the refits."""
    if not len(refits):
        return "No refit was made in the time there was."
    means = refits["largest shift of a mean (sd)"] <= SHIFT
    widths = (refits["smallest ratio of widths"] >= 1 - WIDTH) & (refits["largest"] <= 1 + WIDTH)
    return (
        f"Predicted losses at the 12 runs: the aim is means within {SHIFT:g} standard deviations of those of the refit "
        f"and widths within {WIDTH:.0%}. Means: met in {means.sum()} of {len(refits)}; widths: met in {widths.sum()}; "
        f"both: {(means & widths).sum()}. Both posteriors have 3,000 draws, "
        "and the largest difference of 12 is looked at, so that chance has its part in a miss."
    )


def conclusions(rows: pd.DataFrame, fits: pd.DataFrame, failed: pd.DataFrame) -> list[str]:
    """Return what was found, in words made from the numbers."""
    mean = rows.groupby(["arm", "percent"])[["error", "coverage", "interval score"]].mean()
    pooled, alone = (mean.loc[arm].to_dict() for arm in ARMS)
    error, score = ((pooled[c], alone[c]) for c in ("error", "interval score"))
    better = [p for p in SPENT if score[0][p] <= score[1][1.0]]
    parts = rows[(rows["arm"] == POOLED) & (rows["percent"] > 0) & (rows["percent"] < WHOLE)]
    lines = [
        f"With {min(better):g} % of the cost, other domains give a better interval score than 1 % of it alone"
        if better
        else "Up to 5 % of the cost, other domains never gave a better interval score than 1 % of it alone",
        f"At 1 % of the cost the error is {error[0][1.0]:.4f} nats with other domains and {error[1][1.0]:.4f} alone, "
        f"the interval score {score[0][1.0]:.3f} and {score[1][1.0]:.3f}; with the whole sweep the error is "
        f"{error[0][WHOLE]:.4f} and {error[1][WHOLE]:.4f}, the interval score {score[0][WHOLE]:.4f} and "
        f"{score[1][WHOLE]:.4f}",
        "Coverage with other domains, at "
        + ", ".join(f"{p:g} %: {c:.2f}" for p, c in pooled["coverage"].items())
        + f" (nominal {CI_PROB:g}; the 12 predictions of a study are far from independent)",
        "`new_domain` fitted all runs together (Pareto's k or too few effective draws) in "
        f"{(parts['how'] == 'fit').sum()} of {len(parts)} cases",
        f"Short chains: the pooled fits of five domains have R-hat up to {fits['r_hat'].max():.3f} (median "
        f"{fits['r_hat'].median():.3f}) and {int(fits['divergences'].sum())} divergences in all",
        "In the studies the law is true, domains are exchangeable and errors of "
        "a run's checkpoints independent. Real domains may be less alike, and then the prior from others misleads",
    ]
    if len(failed):
        lines.append(f"{len(failed)} studies failed and are left out; the first: {failed['reason'].iloc[0]}")
    if (count := rows["study"].nunique()) < ENOUGH:
        lines.append(
            f"Only {count} studies were finished in the time there was, fewer than the {ENOUGH} that were asked for"
        )
    return [f"{line}." for line in lines]


if __name__ == "__main__":
    main()
