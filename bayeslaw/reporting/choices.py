"""Answers that choose a mixture, an upsampling window or a learning-rate schedule."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.numbers import SMALLEST_SHARE, amount, as_share, between, exact, probability, short, written
from bayeslaw.base.words import counted, place
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import of_largest_run
from bayeslaw.decisions.study import study_of
from bayeslaw.declare.laws import AREAS
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import BayeslawError, unknown_name
from bayeslaw.plots import plot_along, plot_mixture, plot_regret
from bayeslaw.plots.panels import grid
from bayeslaw.posterior.cautions import cautions
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.reporting.answer import (
    LEAST_PROBABILITY,
    Answer,
    columns_of,
    in_counts,
    losses_of,
    question_of,
    sizes_of,
)
from bayeslaw.reporting.figures import Picture, curves
from bayeslaw.tables.units import called

__all__ = ["durations", "mixture", "schedules"]

CHOICE_PROBABILITY = 0.8
"""A report prefers one choice to another from this probability on."""

MOST_NAMED = 5
"""Most sources, validation sets or runs that a sentence names."""

TOGETHER = "all together"
"""The goal of a report on several benchmarks."""

EVEN = "an even mixture"

NO_HELP = "upsampling does not help"

MOST_ROWS = 16
"""Most rows of a table of runs."""

MOST_ANSWERS = 12
"""Most answers whose sensitivity to the priors is reported."""


def mixture(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best shares of the sources, and the probability that they are better than measured mixtures."""
    at = of_largest_run(fit, WEIGHT) | question_of("best_mixture", question)
    best = study_of(fit).ask("best_mixture", **at)
    recommended = best.recommended.to_series().sort_values(ascending=False)
    order = recommended.index
    shares = recommended.rename("recommended").rename_axis("source").reset_index()
    shares["best of a draw"] = best.text().sel(source=order).values
    measured = set(order) == set(fit.model.design.over["source"])
    if measured:
        tried = fit.model.design.rows[WEIGHT].sel(source=order)
        spans = zip(tried.min("row").values, tried.max("row").values, strict=True)
        shares["in the runs"] = [f"{short(low)} to {short(high)}" for low, high in spans]
    taken = recommended[recommended >= SMALLEST_SHARE]
    first = ", ".join(f"{s} {written('share', share)}" for s, share in taken.head(MOST_NAMED).items())
    first += f" and {counted(len(taken) - MOST_NAMED, 'other')}" if len(taken) > MOST_NAMED else ""
    regret, goal, nats = best.regret(), best.inputs["goal"], called(best.loss_unit)
    bounded = " within the bounds asked for" if {"at_most", "at_least", "available"} & at.keys() else ""
    sentences = [
        f"{first}: of all mixtures{bounded} the one with the smallest expected loss",
        f"its regret, how far it lies above the best mixture, is {short(float(regret.mean()), 2)} {nats} expected, "
        f"{regret.text().item()}",
    ]
    actions = []
    rivals = _rivals(fit, best)
    for name, rival in rivals.items():
        gain = best.gain(rival)
        better = float((gain.draws > 0).mean())
        sentences.append(
            f"it lies {gain.text().item()} {nats} below {name}; it is better with probability {probability(better)}"
        )
        if name == EVEN:
            continue
        actions.append(
            "train on the recommended mixture, and measure it in a small run before the large one"
            if better >= CHOICE_PROBABILITY
            else f"take the mixture of {name}: the recommended one is better with probability {probability(better)}"
        )
    if best.remark:
        actions.append(f"before relying on it: {best.remark}")
    where = place({k: v for k, v in at.items() if k in ("N", "D", "domain")})
    losses = ", ".join(goal) if len(goal) <= MOST_NAMED else counted(len(goal), "validation set")
    legend = {name.split(" (")[0].split(" ", 1)[1]: rival for name, rival in rivals.items()}
    return Answer(
        f"Which mixture of {counted(len(order), 'source')} gives the smallest loss on {losses}"
        + (f" ({where})?" if where else "?"),
        sentences,
        actions or ["train on the recommended mixture"],
        shares,
        "*recommended*: the one mixture to train on. *best of a draw*: median and interval of the best share in each "
        "posterior draw; where these intervals are wide and the regret is small, many mixtures are about as good."
        + (" *in the runs*: the smallest and largest measured share." if measured else ""),
        {f"best share of {s}": best.draws.sel(source=s, drop=True) for s in order[:MOST_NAMED]}
        | {"regret": regret.draws},
        [
            Picture(
                "mixture",
                f"Posterior of the best mixture; recommended: {first}",
                lambda: grid([best], plot_mixture, height=max(4.0, 0.26 * len(order) + 1)),
            ),
            Picture(
                "regret",
                "Posterior of the regret of the recommended mixture"
                + "".join(f" and of {n}" for n in rivals)
                + f"; that of the recommended one has the median {short(regret.median())}",
                lambda: grid([best], lambda b, ax: plot_regret(b, legend, ax), height=2.8),
            ),
        ],
        best.cautions,
        about="the recommended mixture",
        evals=losses_of(best),
        headline=f"the mixture with the smallest expected loss is about {_rounded(taken)}",
        planned=sizes_of(best.inputs),
    )


def _rounded(taken: pd.Series) -> str:
    """Return the largest shares, each to two digits."""
    rest = len(taken) - MOST_NAMED
    first = ", ".join(f"{as_share(part)} {source}" for source, part in taken.head(MOST_NAMED).items())
    return f"{first} and {counted(rest, 'other')}" if rest > 0 else first


def _rivals(fit: Posterior, best: Mixture) -> dict[str, xr.DataArray]:
    """Return the mixture of the best measured run at the same size and tokens, if there is one, and an even mixture."""
    names, rows, rivals = best.recommended["source"].values, fit.model.design.rows, {}
    if set(names) == set(rows["source"].values):
        alike = np.ones(rows.sizes["row"], bool)
        for column in ("N", "D"):
            if column in best.inputs and column in rows:
                alike &= np.isclose(rows[column].values, best.inputs[column])
        reached = Goal.of(best.inputs["goal"], fit.evals)(rows["loss"]).fillna(np.inf).values
        if np.isfinite(reached[alike]).any():
            run = rows.isel(row=int(np.argmin(np.where(alike, reached, np.inf))))
            rivals[f"the best measured run ({run['run'].item()})"] = run[WEIGHT].reset_coords(drop=True)
    return rivals | {EVEN: xr.DataArray(np.full(len(names), 1 / len(names)), {"source": names})}


def durations(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best upsampling window of every benchmark, and of all together."""
    asked = question_of("best_duration", question)
    goal, several = asked.pop("goal", None), {e: e for e in fit.evals}
    goals = several if len(several) == 1 else {TOGETHER: goal} | (several if goal is None else {})
    at = of_largest_run(fit, "duration") | asked
    best = {name: study_of(fit).ask("best_duration", goal=goal, **at) for name, goal in goals.items()}
    main, chosen = next(iter(best.items()))
    sentences = [f"{main}: the last {chosen.text().item()} of the training, in the {chosen.what}"]
    chances = {NO_HELP: chosen.p_never, "a longer window is better still": chosen.p_always}
    for words, chance in chances.items():
        if float(chance) > LEAST_PROBABILITY:
            sentences.append(f"with probability {probability(float(chance))} {words}")
    low, high = (float(v) for v in chosen.interval().values())
    window = float(chosen.median())
    actions = [f"upsample over the last {as_share(window)} of the training" if window else "do not upsample"]
    if float(chosen.p_always) > 1 - CHOICE_PROBABILITY:
        actions.append(f"measure longer windows: the longest in the searched range is {exact(chosen.high)}")
    if high - low > 0.5 * chosen.high:
        actions.append(f"the interval is wide: add runs with windows from {as_share(low)} to {as_share(high)}")
    rows = [(k, str(q.text().item()), *map(float, (q.p_never, q.p_interior, q.p_always))) for k, q in best.items()]
    return Answer(
        "Over which part of the training, at its end, should the domain be upsampled?",
        sentences,
        actions,
        pd.DataFrame(rows, columns=["goal", "best window", "p_never", "p_interior", "p_always"]),
        "Windows are shares of the training. *p_never*: probability that upsampling does not help; *p_always*: that a "
        "window longer than the searched range is better still.",
        {f"best window, {name}": q.draws for name, q in best.items()},
        [
            Picture(
                "durations",
                "Loss over the upsampled window, one band per benchmark; the best window is marked, "
                + str(chosen.text().item()),
                lambda: grid(
                    [chosen], lambda q, ax: plot_along(fit, "duration", ax, best=q, **columns_of(at)), height=3.4
                ),
            )
        ],
        chosen.cautions,
        about="the best window",
        evals=losses_of(chosen),
        headline=f"upsampling is best over about the last {as_share(window)} of the training" if window else NO_HELP,
    )


def schedules(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the schedule that ends with the smallest loss among runs that differ in their schedule alone."""
    if question:
        raise unknown_name("part of the question of which schedule ends lowest", next(iter(question)), ())
    design, law = fit.model.design, fit.model.law
    rows = design.rows.isel(row=~pd.Series(design.rows["run"].values).duplicated(keep="last").to_numpy())
    rows = rows.assign_coords(row=rows["run"].values)
    wanted = list(dict.fromkeys([*law.columns, *design.groups]))
    losses = fit.loss(rows[wanted].reset_coords(drop=True))
    same = [c for c in wanted if c not in AREAS]
    kinds = list(dict.fromkeys([*same, *([law.path] if law.path in rows else [])]))
    frame = rows[["run", *kinds]].to_dataframe()
    kinds = [c for c in kinds if c != "run"]
    if law.path in frame:  # the last logged steps of runs are seldom the same
        frame[law.path] = [float(f"{step:.1e}") for step in frame[law.path]]
    table, sentences, heads, draws = [], [], [], {}
    for labels, group in frame.groupby(kinds) if kinds else [((), frame)]:
        at, runs = dict(zip(kinds, labels, strict=True)), list(group["run"])
        for e in fit.evals:
            final = Quantity("loss", losses.sel(eval=e, row=runs, drop=True), fit.model.unit, fit.mean_name)
            words, best = final.text().values, final.draws.argmin("row")
            p_best = [float((best == k).mean()) if len(runs) > 1 else np.nan for k in range(len(runs))]
            measured = rows["loss"].sel(eval=e, row=runs).values
            seen = [f"{short(loss, 4)}" if np.isfinite(loss) else "not measured" for loss in measured]
            table += [
                {"run": run, **at, "loss of": e, "measured": m, fit.mean_name: w, "p_best": p}
                for run, m, w, p in zip(runs, seen, words, p_best, strict=True)
            ]
            if len(runs) > 1:
                k = int(np.argmin(final.mean().values))
                name = f"{e} loss{' at ' + place(at) if at else ''}"
                best_of = f"of {len(runs)} schedules {runs[k]} ends lowest"
                sentences.append(f"{name}: {best_of}, at {words[k]}, with probability {probability(p_best[k])}")
                heads.append(f"{best_of} on the {name}, at about {short(final.median().values[k])}")
                draws[f"{name}, {runs[k]}"] = final.draws.isel(row=k).reset_coords(drop=True)
    every, rivals = list(frame["run"]), bool(sentences)
    ends = (float(rows["loss"].sel(row=every).min()), float(rows["loss"].sel(row=every).max()))
    if not rivals:
        draws = {
            f"{e} loss at the end of {run}": losses.sel(eval=e, row=run).reset_coords(drop=True)
            for e in fit.evals
            for run in every[:MOST_NAMED]
        }
        sentences = [
            f"{r['run']}, {r['loss of']} loss: {r[fit.mean_name]} in the {fit.mean_name}; measured {r['measured']}"
            for r in table[:MOST_NAMED]
        ]
    if DECISIONS["critical_point"].applies(law):
        with suppress(BayeslawError):
            goal = "general" if "general" in fit.evals else fit.evals[0]
            point = study_of(fit).ask("critical_point", goal=goal, **of_largest_run(fit, *AREAS))
            sentences.append(_return(fit, point, goal))
            draws["critical point"] = point.draws
    found = pd.DataFrame(table)
    shown = found.sort_values("p_best", ascending=False, kind="stable").head(MOST_ROWS).sort_index()
    how_to_read = f"Losses in {fit.model.unit} at the last measured step of each run."
    if rivals:
        how_to_read += (
            f" *p_best*: probability, in the {fit.mean_name}, that this schedule ends lowest of those with the same "
            "number of steps (to two digits) and the same other columns."
        )
    if len(found) > MOST_ROWS:
        how_to_read += f" {MOST_ROWS} of {len(found)} rows are shown."
    return Answer(
        "Which of the learning-rate schedules that were run ends with the smallest loss, and at which?"
        if rivals
        else "At which loss does each run end? No two of them differ in their schedule alone.",
        sentences,
        ["compare schedules that were not run with fit.best_schedule, and look at one with fit.curve"],
        shown if rivals else shown.drop(columns="p_best"),
        how_to_read,
        dict(list(draws.items())[:MOST_ANSWERS]),
        [
            Picture(
                "curves",
                f"Measured losses of single runs on the band of the {fit.mean_name}, below their learning rate; "
                f"{counted(len(every), 'run')} end at {between(*ends, short)}",
                lambda: curves(fit, every),
            )
        ],
        tuple(cautions(fit)),
        about="the order of the schedules",
        headline=heads[0] if heads else "",
    )


def _return(fit: Posterior, point: Censored, goal: str) -> str:
    """Say after which pre-training a loss that rose returns, in steps at the highest rate of the measurements."""
    table = fit.model.runs.table
    peak = table["lr"].max()
    inside = point.draws.values[(point.draws > point.low) & (point.draws < point.high)] / peak
    own = table.loc[table["S1cpt"] > 0, "S1pt"] / peak
    answers = {"after any pre-training": point.p_always, "after no pre-training, however short": point.p_never}
    if inside.size:
        had = " to ".join(dict.fromkeys(amount(v) for v in (own.min(), own.max())))
        shorter = f"only after pre-training of fewer than {in_counts(inside)} steps at the rate {short(peak, 2)}"
        answers = {f"{shorter} (these runs: {had})": point.p_interior} | answers
    said = {words: float(p) for words, p in answers.items() if p >= LEAST_PROBABILITY}
    goes_on = f"if continual pre-training goes on at a constant rate, a {goal} loss that rose returns to its start "
    return goes_on + ", or ".join(
        words if p > 1 - LEAST_PROBABILITY else f"with probability {probability(p)} {words}"
        for words, p in said.items()
    )
