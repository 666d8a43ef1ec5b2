"""Answers that are choices: of a mixture, of an upsampling window, of a learning-rate schedule."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import BayeslawError, unknown_name
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.words import amount, place
from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import of_largest_run
from bayeslaw.decisions.study import study_of
from bayeslaw.declare.laws import AREAS, WEIGHT
from bayeslaw.plots import plot_along, plot_mixture, plot_regret
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.reporting.answer import Answer, columns_of, question_of
from bayeslaw.reporting.figures import Picture, curves, grid

__all__ = ["durations", "mixture", "schedules"]

LIKELY = 0.8
"""Probability from which one choice is told from another."""

NAMED = 5
"""A sentence names at most this many shares."""

UNUSED = 5e-4
"""A share up to this is none: it shows as 0.000."""

TOGETHER = "all together"
"""The goal of a report on several benchmarks."""

CERTAIN = 0.005
"""A probability below this, or above 1 minus this, is not worth a number."""

LISTED = 16
"""A table has at most this many runs."""


def mixture(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best shares of the sources, and how sure they are to beat what was measured."""
    at = of_largest_run(fit, WEIGHT) | question_of("best_mixture", question)
    best = study_of(fit).ask("best_mixture", **at)
    recommended = best.recommended.to_series()
    rivals = _rivals(fit, best)
    tried = fit.model.design.rows[WEIGHT] if set(recommended.index) == set(fit.model.design.over["source"]) else None
    order = recommended.sort_values(ascending=False).index
    taken = [s for s in order if recommended[s] > UNUSED]
    shares = pd.DataFrame(
        {
            "source": order,
            "recommended": recommended[order].to_numpy(),
            "best of a draw": [str(best.text().sel(source=s).item()) for s in order],
            **({} if tried is None else {"in the runs": [_span(tried.sel(source=s)) for s in order]}),
        }
    )
    first = ", ".join(f"{s} {recommended[s]:.3f}" for s in taken[:NAMED])
    rest = f" and {len(taken) - NAMED} others" if len(taken) > NAMED else ""
    regret = best.regret()
    goal = best.inputs["goal"]
    counted = ", ".join(goal) if len(goal) <= NAMED else f"{len(goal)} validation sets"
    bounded = " within the bounds asked for" if {"at_most", "at_least", "available"} & at.keys() else ""
    sentences = [
        f"train on {first}{rest}: of all mixtures{bounded} the one with the smallest expected loss",
        f"its regret, the nats by which it lies above the best mixture, is {float(regret.mean()):.2g} expected, "
        f"{regret.text().item()}",
    ]
    actions = []
    for name, rival in rivals.items():
        gain = best.gain(rival)
        better = float((gain.draws > 0).mean())
        sentences.append(
            f"it lies {gain.text().item()} nats below {name}, and below it at all with probability {better:.2f}"
        )
        if name != "an even mixture":
            actions.append(
                "train on the recommended mixture, and measure it in a small run before the large one"
                if better >= LIKELY
                else f"take the mixture of {name}: the runs do not tell the recommended one from it"
            )
    if best.note:
        actions.append(f"before relying on it: {best.note}")
    numbers = {k: v for k, v in at.items() if k in ("N", "D", "domain")}
    return Answer(
        f"Which mixture of {len(order)} sources gives the smallest loss on {counted}"
        + (f" ({place(numbers)})?" if numbers else "?"),
        sentences,
        actions or ["train on the recommended mixture"],
        shares,
        "*recommended*: the one mixture to train on. *best of a draw*: median and interval of the shares that are best "
        "in each posterior draw; where they are wide while the regret is small, many mixtures are about as good."
        + ("" if tried is None else " *in the runs*: the smallest and largest share that was measured."),
        {f"best share of {s}": best.draws.sel(source=s, drop=True) for s in order[:NAMED]} | {"regret": regret.draws},
        [
            Picture(
                "mixture",
                f"Posterior of the best mixture; recommended: {first}{rest}",
                lambda: grid([best], plot_mixture, width=5.2, height=max(3.6, 0.24 * len(order))),
            ),
            Picture(
                "regret",
                "Posterior of the regret of the recommended mixture" + "".join(f" and of {n}" for n in rivals),
                lambda: grid([best], lambda b, ax: plot_regret(b, _short(rivals), ax), height=2.8),
            ),
        ],
        best.cautions,
    )


def _rivals(fit: Posterior, best: Mixture) -> dict[str, xr.DataArray]:
    """Return the mixture of the best measured run, and an even one."""
    names = best.recommended["source"].values
    even = xr.DataArray(np.full(len(names), 1 / len(names)), dims="source", coords={"source": names})
    rows = fit.model.design.rows
    if set(names) != set(rows["source"].values):
        return {"an even mixture": even}
    alike = np.ones(rows.sizes["row"], bool)
    for column in ("N", "D"):
        if column in best.inputs and column in rows:
            alike &= np.isclose(rows[column].values, best.inputs[column])
    rows = rows.isel(row=np.flatnonzero(alike))
    if not rows.sizes["row"]:
        return {"an even mixture": even}
    goal = Goal.of(best.inputs["goal"], fit.evals)(rows["loss"])
    run = rows.isel(row=int(np.argmin(goal.values)))
    return {
        f"the best measured run ({run['run'].item()})": run[WEIGHT].reset_coords(drop=True),
        "an even mixture": even,
    }


def _short(rivals: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Name mixtures as a legend has room for."""
    return {name.split(" (")[0].split(" ", 1)[1]: shares for name, shares in rivals.items()}


def _span(shares: xr.DataArray) -> str:
    return f"{float(shares.min()):.3g} to {float(shares.max()):.3g}"


def durations(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best upsampling window of every benchmark, and of all together."""
    asked = question_of("best_duration", question)
    goals: dict[str, Any] = {TOGETHER: asked.pop("goal", None)}
    if goals[TOGETHER] is None and len(fit.evals) > 1:
        goals |= {e: e for e in fit.evals}
    elif len(fit.evals) == 1:
        goals = {fit.evals[0]: fit.evals[0]}
    at = of_largest_run(fit, "duration") | asked
    best = {name: study_of(fit).ask("best_duration", goal=goal, **at) for name, goal in goals.items()}
    main = next(iter(best))
    chosen = best[main]
    sentences = [f"{main}: the last {chosen.text().item()} of the training, in the mean law"]
    chances = {"upsampling does not help": chosen.p_never, "a longer window is better still": chosen.p_always}
    for words, chance in chances.items():
        if float(chance) > CERTAIN:
            sentences.append(f"with probability {float(chance):.2f} {words}")
    low, high = (float(v) for v in chosen.interval().values())
    window = float(chosen.median())
    actions = [f"upsample over the last {window:.2f} of the training" if window else "do not upsample"]
    if float(chosen.p_always) > 1 - LIKELY:
        actions.append(f"measure longer windows: {chosen.high:g} is the longest that was looked at")
    if high - low > 0.5 * chosen.high:
        actions.append(f"the runs hardly decide it: add runs with windows from {low:.2f} to {high:.2f}")
    rows = [(k, str(q.text().item()), *map(float, (q.p_never, q.p_interior, q.p_always))) for k, q in best.items()]
    return Answer(
        "Over which part of the training, at its end, should the domain be upsampled?",
        sentences,
        actions,
        pd.DataFrame(rows, columns=["goal", "best window", "p_never", "p_interior", "p_always"]),
        "Windows are shares of the training. *p_never*: probability that upsampling does not help; *p_always*: that a "
        "window longer than any looked at would help still more.",
        {f"best window, {name}": q.draws for name, q in best.items()},
        [
            Picture(
                "durations",
                "Loss over the upsampled window, one band per benchmark, with the best window marked",
                lambda: grid(
                    [chosen], lambda q, ax: plot_along(fit, "duration", ax, best=q, **columns_of(at)), height=3.4
                ),
            )
        ],
        chosen.cautions,
    )


def schedules(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the schedule that ends lowest among those that were run under the same circumstances."""
    if question:
        raise unknown_name("part of the question of which schedule ends lowest", next(iter(question)), ())
    design, law = fit.model.design, fit.model.law
    ends = np.flatnonzero(~pd.Series(design.rows["run"].values).duplicated(keep="last"))
    rows = design.rows.isel(row=ends)
    wanted = list(dict.fromkeys([*law.columns, *design.groups]))
    losses = fit.loss(rows[wanted].reset_coords(drop=True).rename(row="run_number"))
    losses = losses.rename(run_number="run").assign_coords(run=rows["run"].values)
    same = [c for c in wanted if c not in AREAS]
    frame = rows[["run", *same, *([law.path] if law.path in rows and law.path not in same else [])]].to_dataframe()
    kinds = [c for c in frame if c not in ("run", "eval")]
    if law.path in frame:  # logs seldom end at the very same step
        frame[law.path] = [float(f"{step:.1e}") for step in frame[law.path]]
    table, sentences, draws = [], [], {}
    for labels, group in frame.groupby(kinds) if kinds else [((), frame)]:
        at = dict(zip(kinds, labels, strict=True))
        for e in fit.evals:
            these = losses.sel(eval=e, drop=True).sel(run=group["run"].values)
            final = Quantity("loss", these, "nats per token", "mean law")
            first = final.draws.argmin("run")
            for k, run in enumerate(group["run"]):
                row = {"run": run, **at, "loss of": e}
                seen = rows["loss"].sel(eval=e).values[rows["run"].values == run][0]
                row |= {"measured": f"{seen:.4g}", "mean law": str(final.text().isel(run=k).item())}
                table.append(row | {"p_best": float((first == k).mean()) if len(group) > 1 else np.nan})
            if len(group) > 1:
                k = int(np.argmin(final.mean().values))
                sure = float((first == k).mean())
                name = f"{e} loss{' at ' + place(at) if at else ''}"
                sentences.append(
                    f"{name}: of {len(group)} schedules {group['run'].iloc[k]} ends lowest, at "
                    f"{final.text().isel(run=k).item()}, with probability {sure:.2f}"
                )
                draws[f"{name}, {group['run'].iloc[k]}"] = final.draws.isel(run=k).reset_coords(drop=True)
    draws = draws or {
        f"{e} loss at the end of {r}": losses.sel(eval=e, run=r).reset_coords(drop=True)
        for e in fit.evals
        for r in frame["run"].head(NAMED)
    }
    sentences = sentences or [
        f"{r['run']}, {r['loss of']} loss: {r['mean law']} in the mean law; measured {r['measured']}"
        for r in table[:NAMED]
    ]
    if {"S1", "S1cpt"} <= set(law.columns):
        with suppress(BayeslawError):
            goal = "general" if "general" in fit.evals else fit.evals[0]
            point = study_of(fit).ask("critical_point", goal=goal, **of_largest_run(fit, *AREAS))
            sentences.append(given_back(fit, point, goal))
            draws["critical point"] = point.draws
    found = pd.DataFrame(table)
    shown = found.sort_values("p_best", ascending=False, kind="stable").head(LISTED).sort_index()
    rivals = bool(found["p_best"].notna().any())
    runs = list(frame["run"])
    return Answer(
        "Which of the learning-rate schedules that were run ends with the smallest loss, and at which?"
        if rivals
        else "At which loss does each run end? No two of them differ in their schedule alone.",
        sentences,
        ["compare schedules that were not run with fit.best_schedule, and look at one with fit.curve"],
        shown if rivals else shown.drop(columns="p_best"),
        "Losses in nats per token at the last measured step of each run."
        + (
            " *p_best*: probability, in the mean law, that this schedule ends lowest of those with as many steps (two "
            "digits) and the like."
            if rivals
            else ""
        )
        + (f" {LISTED} of {len(found)} rows are shown." if len(found) > LISTED else ""),
        dict(list(draws.items())[:12]),
        [
            Picture(
                "curves",
                "Measured losses of single runs on the band of the mean law, their learning rate above",
                lambda: curves(fit, runs),
            )
        ],
    )


def given_back(fit: Posterior, point: Censored, goal: str) -> str:
    """Say after which pre-training a loss that rose comes back, in steps at the highest rate of the measurements."""
    table = fit.model.runs.table
    peak = table["lr"].max()
    inside = point.draws.values[(point.draws > point.low) & (point.draws < point.high)] / peak
    own = table.loc[table["S1cpt"] > 0, "S1pt"] / peak
    answers = {"after any pre-training": point.p_always, "after no pre-training, however short": point.p_never}
    if inside.size:
        lower, median, upper = (amount(v) for v in np.quantile(inside, [(1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2]))
        had = " to ".join(dict.fromkeys(amount(v) for v in (own.min(), own.max())))
        shorter = f"only after pre-training of fewer than {median} [{lower}, {upper}] steps at the rate {peak:.2g}"
        answers = {f"{shorter} (these runs: {had})": point.p_interior} | answers
    said = {words: float(p) for words, p in answers.items() if p >= CERTAIN}
    goes_on = f"if continual pre-training goes on at a constant rate, a rise of the {goal} loss is given back "
    return goes_on + ", or ".join(
        words if p > 1 - CERTAIN else f"with probability {p:.2f} {words}" for words, p in said.items()
    )
