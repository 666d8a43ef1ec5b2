"""Which run to do next: what each candidate is expected to change in an answer, and what it costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import exact, percent, short
from bayeslaw.base.words import counted, place, run_called
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.regret import losses_of_choices
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import ArgumentError, LawError, RangeError, shown, unknown_name
from bayeslaw.posterior.cautions import reach
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.prediction import thinned
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.spec.ranges import ranges
from bayeslaw.tables.mixtures import PREFIX
from bayeslaw.validation.batches import chosen_runs, up_to_each, with_values
from bayeslaw.validation.candidates import CANDIDATE, RUNS, Candidates
from bayeslaw.validation.neighbourhood import neighbourhood
from bayeslaw.validation.outcomes import outcomes
from bayeslaw.validation.proposals import NextRuns, Stop
from bayeslaw.validation.worth import LEAST_ERRORS, Answer, Surrogate, Value

__all__ = ["next_runs"]

DRAWS = 4000
"""Draws from which the worth of a run is estimated."""

LEAST_DRAWS = 64
"""Draws below which an error cannot be told."""

MOST_RUNS = 8
"""Runs in a batch."""

MOST_SOURCES = 3
"""Sources of a mixture in a sentence."""

LOSS = "loss"
"""The question for a loss, which is no decision."""


def next_runs(
    fit: Posterior,
    question: str | Callable[[Any], Quantity],
    *,
    candidates: Any = None,
    budget: float | None = None,
    batch: int = 1,
    cost: str | None = None,
    at_least: float | None = None,
    prob: float = CI_PROB,
    seed: int = 0,
    **asked: Any,
) -> NextRuns:
    """Return what each of many candidate runs is expected to change in an answer, and which to do next.

    Draws of the posterior are joint draws of the answer and of what a run would measure: the law, its misfit, and the
    errors of the run. No refit is made; see ``docs/how-to/next-runs.md`` for what was checked with refits.

    Parameters
    ----------
    fit : Fit
        The posterior.
    question : str or callable
        A decision by its name in ``bayeslaw decide`` (``"critical-ratio"``), ``"loss"`` for a prediction, or a function
        of a fit that returns its answer.
    candidates : DataFrame, path or mapping, optional
        One row for each run that could be made, with the law's columns; a mapping ``{column: levels}`` is a grid; by
        default the settings of the runs, and one step beyond them in size and tokens. A column ``run`` names the run
        that a candidate continues, to more tokens; what it leaves out is that run's. Rows with one label in a column
        ``candidate`` are checkpoints of one run. A row that is there twice may be chosen twice.
    budget : float, optional
        What the batch may cost. Without it, each run of the batch is the one that narrows the answer most for its cost;
        with it, the batch narrows it most.
    batch : int
        Runs to choose, 1 to 8; each takes those before it into account.
    cost : str, optional
        The column of costs; by default 6 N D FLOPs, of which a continued run pays for the further tokens only.
    at_least : float, optional
        The smallest reduction of the width that is worth a run, in the unit of the widths; by default any that its
        Monte Carlo error tells from 0.
    prob : float
        Probability of the interval.
    seed : int
        Of the simulated errors.
    **asked
        The arguments of the question.

    Returns
    -------
    NextRuns

    Raises
    ------
    ArgumentError, DataError, LawError, RangeError, UnknownName
        There is no candidate, or none in the law's range or within the budget; a cost is not above 0; the question
        cannot be put to the fit, or its answer has too few draws.

    Examples
    --------
    >>> grid = {"N": [5e8, 2e9], "D": [1e10, 1e11], "domain_share": [0.1, 0.3, 0.5]}
    >>> fit.next_runs("critical-ratio", candidates=grid, budget=1e21, N=7e9, D=1e11, max_rise=0.02)  # doctest: +SKIP
    """
    if not 1 <= batch <= MOST_RUNS:
        raise RangeError(f"batch is {batch}: give how many runs to choose, 1 to {MOST_RUNS}")
    if at_least is not None and not at_least > 0:
        raise RangeError(f"at_least is {exact(at_least)}: give the smallest reduction that is worth a run, above 0")
    if fit.draws < LEAST_DRAWS:
        raise RangeError(f"the fit has {fit.draws} draws, too few to weigh runs: sample at least {LEAST_DRAWS}")
    ask = _asker(fit, question, asked)
    plans = Candidates.of(fit, neighbourhood(fit) if candidates is None else candidates, cost)
    _check_budget(budget, plans)
    answer = ask()
    few = thinned(fit, DRAWS)
    asks = _named_question(question, answer)
    elements, unit = _answer(few, answer, asks in DECISIONS and DECISIONS[asks].decades, prob)
    weighed = Surrogate(elements, outcomes(few, plans, seed))
    values = [weighed.value([run]) for run in range(len(plans))]
    table = with_values(plans.table, values, plans.table["cost"])
    least = 0.0 if at_least is None else at_least
    runs = chosen_runs(weighed, plans, values, budget, batch, least)
    chosen = table.iloc[:0] if not runs else up_to_each(weighed, plans, runs)
    width = float(elements.width.mean())
    stop = _stop(plans, values, chosen, runs, answer, width, unit, budget, at_least)
    cautions = (*answer.cautions, *_ends(answer), *_cautions(fit, plans, chosen))
    made = fit.model.runs.sorted_along(fit.model.law.path).table.drop_duplicates("run", keep="last")
    return NextRuns(
        answer, width, unit, table, chosen, stop, plans.unit, prob, made.reset_index(drop=True), cautions, budget
    )


def _asker(fit: Posterior, question: Any, asked: Mapping[str, Any]) -> Callable[[], Quantity]:
    """Return a function that answers the question, refused here if it cannot be put to the fit."""
    if callable(question):
        if asked:
            raise ArgumentError(
                f"question is a function of a fit: leave {next(iter(asked))} out, or use it in the function"
            )

        def answered() -> Quantity:
            answer = question(fit)
            if not isinstance(answer, Quantity):
                raise ArgumentError(f"question returned {shown(answer)}: give a function that returns an answer")
            return answer

        return answered
    name = question.replace("-", "_")
    if name == LOSS:
        return lambda: predict(fit, **asked)
    if name not in DECISIONS:
        raise unknown_name("question", question, [*(n.replace("_", "-") for n in DECISIONS), LOSS])
    if not DECISIONS[name].applies(fit.model.law):
        known = [d.name.replace("_", "-") for d in study_of(fit).decisions]
        raise LawError(f"the law {fit.model.law.name} does not answer {question}: ask {', '.join([*known, LOSS])}")
    return lambda: study_of(fit).ask(name, **asked)


def _named_question(question: Any, answer: Quantity) -> str:
    """Return the name of the decision that a question asks, where it is one."""
    asks = getattr(question, "func", question)
    return asks.replace("-", "_") if isinstance(asks, str) else str(getattr(asks, "__name__", answer.name))


def _check_budget(budget: float | None, plans: Candidates) -> None:
    cheapest = float(plans.table["cost"].min())
    if budget is not None and budget < cheapest:
        raise RangeError(
            f"budget is {exact(budget)}, below the cheapest candidate, {short(cheapest)} {plans.unit}: raise it, or "
            "give smaller candidates"
        )


def _answer(fit: Posterior, answer: Quantity, decades: bool, prob: float) -> tuple[Answer, str]:
    """Return the draws of the elements of an answer at the draws of a thinned fit, and the unit of their widths."""
    if any(answer.draws.sizes[d] < fit.posterior.sizes[d] for d in SAMPLE):
        raise RangeError("the answer has fewer draws than the fit: give a question that every draw answers")
    kept = np.searchsorted(answer.draws["draw"].values, fit.posterior["draw"].values)
    draws = answer.draws.isel(draw=kept)
    dims = [d for d in draws.dims if d not in SAMPLE]
    flat = draws.transpose(*dims, *SAMPLE).values.reshape(-1, fit.draws)
    if not np.isfinite(flat).all():
        raise RangeError(f"some draws of the {answer.name.replace('_', ' ')} are not finite: ask where all draws are")
    if decades:
        flat = np.log10(flat)
    losses = losses_of_choices(fit, replace(answer, draws=draws))
    cells: np.ndarray | None = None
    if losses is not None:
        losses = losses if losses.sizes["draw"] == len(kept) else losses.isel(draw=kept)
        cells = losses.transpose(..., *SAMPLE, "choice").values.reshape(-1, fit.draws, losses.sizes["choice"])
    return Answer(flat, levels(prob), cells), "decades" if decades else answer.unit


def _beyond(answer: Quantity) -> float:
    """Return the share of the draws of an answer that lie at an end of the searched range, the largest of its cells."""
    return float(1 - answer.p_interior.min()) if isinstance(answer, Censored) else 0.0


def _ends(answer: Quantity) -> list[str]:
    """Return in a sentence that widths are bounds where draws lie at an end of the searched range."""
    if not (beyond := _beyond(answer)):
        return []
    return [f"{percent(beyond)} of the draws lie at an end of the searched range: the true widths are larger"]


def _cautions(fit: Posterior, plans: Candidates, chosen: pd.DataFrame) -> list[str]:
    """Return what speaks against the candidates: some outside the law's range, chosen ones far beyond the runs."""
    found = []
    if outside := plans.outside:
        law = fit.model.law
        found.append(
            f"{counted(outside, 'candidate')} outside the range of {law.name} ({ranges(law)}) count as worth nothing"
        )
    if len(chosen):
        columns = [c for c in ("N", "D", "domain_share") if c in chosen and c in fit.model.law.columns]
        far = reach(fit, {c: chosen[c].to_numpy(float) for c in columns})
        found += [f"of the chosen runs, {far}"] if far.factor > far.limit else []
    return found


def _stop(
    plans: Candidates,
    values: Sequence[Value],
    chosen: pd.DataFrame,
    runs: Sequence[int],
    answer: Quantity,
    width: float,
    unit: str,
    budget: float | None,
    at_least: float | None,
) -> Stop:
    """Return whether to stop, in a sentence."""
    unit = "" if unit == "1" else f" {unit}"
    within = "" if budget is None else " within the budget"
    if width == 0:
        if _beyond(answer) == 1:
            return Stop(True, "every draw lies at an end of the searched range: ask where the answer lies within it")
        return Stop(True, "all draws give the same answer, which no run can narrow")
    costs = plans.table["cost"].to_numpy()
    allowed = [run for run in range(len(plans)) if budget is None or costs[run] <= budget]
    best = max(allowed, key=lambda run: values[run].reduction[0])
    gain, error = values[best].reduction
    if runs:
        last = chosen.iloc[-1]
        first = _called(plans, runs[0])
        who = first if len(runs) == 1 else f"these {len(runs)} runs, first {first},"
        return Stop(
            False,
            f"{who} would narrow the interval from {short(width)} to "
            f"{short(width - last['reduction'])}{unit}, for {_amount(last['cost'], plans.unit)}",
        )
    told = f"the best one narrows it by {short(max(gain, 0), 2)} (Monte Carlo error {short(error, 1)})"
    if at_least is not None:
        return Stop(
            True, f"no run{within} narrows the interval, {short(width)} wide, by {exact(at_least)}{unit}: {told}"
        )
    why = f"by more than chance, {exact(LEAST_ERRORS)} Monte Carlo errors"
    text = f"no run{within} narrows the interval, {short(width)}{unit} wide, {why}: {told}"
    regrets = [regret for run in allowed if (regret := values[run].regret) is not None]
    fall, of_fall = max(regrets, default=(0.0, 0.0))
    if fall > LEAST_ERRORS * of_fall:
        text += f"; the expected regret falls by {short(fall, 2)} nats per token with the best run (see regret)"
    return Stop(True, text)


def _called(plans: Candidates, run: int) -> str:
    """Return a candidate in words."""
    row = {str(c): plans.table[c].iloc[run] for c in plans.table}
    if CANDIDATE in row:
        return f"the candidate {row[CANDIDATE]}"
    numbers = {c: float(v) for c, v in row.items() if c in plans.columns and isinstance(v, int | float | np.number)}
    labels = {c: v for c, v in row.items() if c in plans.columns and c not in numbers}
    if continued := plans.continued[run]:
        return f"{run_called(continued)} continued to {place({c: v for c, v in numbers.items() if c == 'D'})}"
    shares = {c.removeprefix(PREFIX): float(v) for c, v in row.items() if c.startswith(PREFIX)}
    at = f" at {place(numbers | labels)}" if numbers or labels else ""
    return f"a run{at}{_mixed(shares)}" if at or shares else f"the candidate in row {run}"


def _mixed(shares: Mapping[str, float]) -> str:
    """Return the largest shares of a mixture in words, or nothing."""
    seen = sorted((source for source, share in shares.items() if share > 0), key=lambda source: -shares[source])
    named = [f"{percent(shares[source])} {source}" for source in seen[:MOST_SOURCES]]
    rest = [f"{percent(sum(shares[source] for source in seen[MOST_SOURCES:]))} others"]
    return " on " + ", ".join([*named, *rest * (len(seen) > MOST_SOURCES)]) if named else ""


def _amount(cost: float, unit: str) -> str:
    return counted(int(cost), "run") if unit == RUNS else f"{short(cost, 2)} {unit}"
