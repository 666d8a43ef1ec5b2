"""Which run to do next: what each candidate is expected to change in an answer, and what it costs."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.drawing import drawn
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.words import amount, place, run_called
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.regret import losses_of_choices
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import ArgumentError, LawError, RangeError, shown, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.prediction import thinned
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.validation.candidates import CANDIDATE, FLOPS, Candidates
from bayeslaw.validation.outcomes import outcomes
from bayeslaw.validation.worth import Answer, Surrogate, Value

__all__ = ["NextRuns", "Stop", "next_runs"]

DRAWS = 4000
"""Draws from which the worth of a run is estimated."""

LEAST_DRAWS = 400
"""Draws below which nothing is said."""

MOST_RUNS = 8
"""Runs in a batch."""

SHORTLIST = 16
"""Runs of a batch after the first are sought among so many candidates, the best ones by a quicker estimate."""

LEAST_ERRORS = 2.0
"""Monte Carlo errors from 0 up to which a reduction counts as none."""

LOSS = "loss"
"""The question for a loss, which is no decision."""

MEASURES = ("width", "reduction", "nats", "regret")


@dataclass(frozen=True)
class Stop:
    """Whether to stop, and why; true if so."""

    now: bool
    text: str

    def __bool__(self) -> bool:
        return self.now

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False, repr=False)
class NextRuns:
    """What candidates for the next run are expected to change in an answer.

    Attributes
    ----------
    answer : Quantity
        The answer before any of them.
    width : float
        The width of its interval, the mean over its elements, in `unit`.
    unit : str
        Of widths and reductions: that of the answer, or decades (factors of ten) of an answer in parameters or tokens.
    table : pandas.DataFrame
        One row for each candidate; see `frame`.
    chosen : pandas.DataFrame
        The rows of the batch, in order, with ``width``, ``reduction``, ``nats``, ``regret`` and ``cost`` of the batch
        up to that run in place of those of the run alone.
    stop : Stop
        Whether no candidate is worth its run, and the reason or the best one in a sentence.
    cost_unit : str
        FLOPs, or the column of costs.
    prob : float
        Probability of the interval.
    runs : pandas.DataFrame
        The runs of the fit, one row each.
    """

    answer: Quantity
    width: float
    unit: str
    table: pd.DataFrame
    chosen: pd.DataFrame
    stop: Stop
    cost_unit: str
    prob: float
    runs: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return one row for each candidate.

        Columns: those that were given; ``cost``; the expected ``width`` of the interval after the run; its
        ``reduction``; the expected information about the answer in ``nats``; where the answer is a choice, the expected
        ``regret`` avoided (nats per token). Each has its Monte Carlo error (``reduction_error``), and all but the width
        their value per unit of cost (``reduction_per_cost``).
        """
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw the reduction per cost over the plane of the candidates; see `bayeslaw.plots.plot_next_runs`."""
        return drawn(self, ax=ax)

    def as_json(self) -> dict[str, Any]:
        """Return candidates, batch and stop rule as plain numbers, texts and lists."""
        chosen, table = (t.astype(object).where(t.notna(), None).to_dict("records") for t in (self.chosen, self.table))
        about = {"question": self.answer.name, "unit": self.unit, "prob": self.prob, "width": self.width}
        found = {"stop": self.stop.now, "reason": self.stop.text, "chosen": chosen, "candidates": table}
        return about | {"cost_unit": self.cost_unit} | found

    def _about(self) -> str:
        name = self.answer.name.replace("_", " ")
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"next runs for the {name}: {self.prob * 100:g} % interval of width {self.width:.3g}{unit} before them"

    def _best(self) -> pd.DataFrame:
        shown = self.table if self.chosen.empty else self.chosen
        columns = [c for c in map(str, shown.columns) if not c.endswith(("_error", "_per_cost"))]
        return shown.nlargest(8, "reduction")[columns] if self.chosen.empty else shown[columns]

    def __repr__(self) -> str:
        table = self._best().to_string(float_format="{:.4g}".format)
        return "\n".join([self._about(), table, self.stop.text])

    def _repr_html_(self) -> str:
        table = self._best().to_html(border=0, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._about())}</p>{table}<p>{html.escape(self.stop.text)}</p>"


def next_runs(
    fit: Posterior,
    question: str | Callable[[Any], Quantity],
    *,
    candidates: Any,
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
    candidates : DataFrame, path or mapping
        One row for each run that could be made, with the law's columns; a mapping ``{column: levels}`` is a grid. A
        column ``run`` names the run that a candidate continues, to more tokens; what it leaves out is that run's. Rows
        with one label in a column ``candidate`` are checkpoints of one run. A row that is there twice may be chosen
        twice.
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
    DataError, RangeError, UnknownName, LawError, ArgumentError
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
        raise RangeError(f"at_least is {at_least:g}: give the smallest reduction that is worth a run, above 0")
    if fit.draws < LEAST_DRAWS:
        raise RangeError(f"the fit has {fit.draws} draws, too few to weigh runs: sample at least {LEAST_DRAWS}")
    ask = _asker(fit, question, asked)
    plans = Candidates.of(fit, candidates, cost)
    _check_budget(budget, plans)
    answer = ask()
    few = thinned(fit, DRAWS)
    asks = answer.name if callable(question) else question.replace("-", "_")
    elements, unit = _answer(few, answer, asks in DECISIONS and DECISIONS[asks].decades, prob)
    weighed = Surrogate(elements, outcomes(few, plans, seed), seed)
    values = [weighed.value([run]) for run in range(len(plans))]
    table = _framed(plans.table, values, plans.table["cost"])
    least = 0.0 if at_least is None else at_least
    runs = _batch(weighed, plans, values, budget, batch, least)
    chosen = table.iloc[:0] if not runs else _cumulative(weighed, plans, runs)
    width = float(elements.width.mean())
    stop = _stop(plans, values, runs, width, unit, budget, at_least)
    made = fit.model.runs.sorted_along(fit.model.law.path).table.drop_duplicates("run", keep="last")
    return NextRuns(answer, width, unit, table, chosen, stop, plans.unit, prob, made.reset_index(drop=True))


def _asker(fit: Posterior, question: Any, asked: Mapping[str, Any]) -> Callable[[], Quantity]:
    """Return a function that answers the question, refused here if it cannot be put to the fit."""
    if callable(question):
        if asked:
            raise ArgumentError(f"question is a function of a fit: leave {next(iter(asked))} out, or ask there")

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


def _check_budget(budget: float | None, plans: Candidates) -> None:
    cheapest = float(plans.table["cost"].min())
    if budget is not None and budget < cheapest:
        raise RangeError(
            f"budget is {budget:g}, below the cheapest candidate, {cheapest:g} {plans.unit}: raise it, or give smaller "
            "candidates"
        )


def _answer(fit: Posterior, answer: Quantity, decades: bool, prob: float) -> tuple[Answer, str]:
    """Return the draws of the elements of an answer at the draws of a thinned fit, and the unit of their widths."""
    if any(answer.draws.sizes[d] < fit.posterior.sizes[d] for d in SAMPLE):
        raise RangeError("the answer has fewer draws than the fit: ask a question that every draw answers")
    draws = answer.draws.isel(draw=np.searchsorted(answer.draws["draw"].values, fit.posterior["draw"].values))
    low, high = (
        xr.DataArray(end).broadcast_like(draws.isel(dict.fromkeys(SAMPLE, 0), drop=True))
        for end in ((answer.low, answer.high) if isinstance(answer, Censored) else (-np.inf, np.inf))
    )
    dims = [d for d in draws.dims if d not in SAMPLE]
    flat = draws.transpose(*dims, *SAMPLE).values.reshape(-1, fit.draws)
    if not np.isfinite(flat).all():
        raise RangeError(f"some draws of the {answer.name.replace('_', ' ')} are no finite number: ask where all are")
    ends = [end.transpose(*dims).values.ravel().astype(float) for end in (low, high)]
    if decades:
        with np.errstate(divide="ignore", invalid="ignore"):
            flat, ends = np.log10(flat), [np.log10(np.maximum(end, 0)) for end in ends]
    losses = losses_of_choices(fit, replace(answer, draws=draws))
    cells: np.ndarray | None = None
    if losses is not None:
        cells = losses.transpose(..., *SAMPLE, "choice").values.reshape(-1, fit.draws, losses.sizes["choice"])
    return Answer(flat, ends[0], ends[1], levels(prob), cells), "decades" if decades else answer.unit


def _framed(plans: pd.DataFrame, values: Sequence[Value], costs: pd.Series) -> pd.DataFrame:
    """Return plans with what they are worth."""
    found: dict[str, list[float]] = {}
    for measure in MEASURES:
        pairs = [getattr(value, measure) for value in values]
        if pairs and pairs[0] is not None:
            found[measure], found[f"{measure}_error"] = ([pair[i] for pair in pairs] for i in (0, 1))
    table = plans.assign(**found, cost=costs)
    return table.assign(**{f"{m}_per_cost": table[m] / table["cost"] for m in MEASURES[1:] if m in table})


def _batch(
    weighed: Surrogate, plans: Candidates, values: Sequence[Value], budget: float | None, batch: int, least: float
) -> list[int]:
    """Return the chosen candidates, in order: greedily, each given those before it.

    Within a budget, the greedy batches by reduction and by reduction per cost are compared; without one, the second is
    taken.
    """
    by_cost = _greedily(weighed, plans, values, budget, batch, least, per_cost=True)
    if budget is None:
        return by_cost
    by_gain = _greedily(weighed, plans, values, budget, batch, least, per_cost=False)
    return max((by_gain, by_cost), key=lambda runs: weighed.value(runs).reduction[0] if runs else 0.0)


def _greedily(
    weighed: Surrogate,
    plans: Candidates,
    values: Sequence[Value],
    budget: float | None,
    batch: int,
    least: float,
    per_cost: bool,
) -> list[int]:
    costs, chosen, before = plans.table["cost"].to_numpy(), list[int](), 0.0
    left = np.inf if budget is None else budget
    alone = np.array([weighed.quickly([run]) for run in range(len(plans))])
    for _ in range(batch):
        continued = {plans.continued[run] for run in chosen} - {""}
        open_ = [
            run
            for run in range(len(plans))
            if run not in chosen and costs[run] <= left and plans.continued[run] not in continued
        ]
        weight = costs if per_cost else np.ones_like(costs)
        if not chosen:
            found = {run: values[run] for run in open_}
        else:
            quick = {run: weighed.quickly([*chosen, run]) for run in open_ if alone[run] > 0}
            short = sorted(quick, key=lambda run: -(quick[run] - weighed.quickly(chosen)) / weight[run])[:SHORTLIST]
            found = {run: weighed.value([*chosen, run]) for run in short}
        gains = {run: value.reduction[0] - before for run, value in found.items()}
        sure = {run: gain - LEAST_ERRORS * found[run].reduction[1] for run, gain in gains.items()}
        worth = {run: sure[run] / weight[run] for run, gain in gains.items() if gain >= least and sure[run] > 0}
        if not worth:
            break
        best = max(worth, key=worth.__getitem__)
        before, left = found[best].reduction[0], left - costs[best]
        chosen.append(best)
    return chosen


def _cumulative(weighed: Surrogate, plans: Candidates, runs: Sequence[int]) -> pd.DataFrame:
    """Return the chosen runs with what the batch up to each is worth and costs."""
    values = [weighed.value(runs[: n + 1]) for n in range(len(runs))]
    some = plans.table.iloc[list(runs)]
    return _framed(some, values, some["cost"].cumsum())


def _stop(
    plans: Candidates,
    values: Sequence[Value],
    runs: Sequence[int],
    width: float,
    unit: str,
    budget: float | None,
    at_least: float | None,
) -> Stop:
    """Return whether to stop, in a sentence."""
    unit = "" if unit == "1" else f" {unit}"
    within = "" if budget is None else " within the budget"
    if width == 0:
        return Stop(True, "all draws give the same answer, which no run can narrow")
    costs = plans.table["cost"].to_numpy()
    allowed = [run for run in range(len(plans)) if budget is None or costs[run] <= budget]
    best = max(allowed, key=lambda run: values[run].reduction[0])
    gain, error = values[best].reduction
    if runs:
        first = runs[0]
        gain, _ = values[first].reduction
        return Stop(
            False,
            f"{_called(plans, first)} would narrow the interval from {width:.3g} to "
            f"{width - gain:.3g}{unit}, for {_amount(costs[first], plans.unit)}",
        )
    if at_least is not None:
        return Stop(
            True,
            f"no run{within} narrows the interval, {width:.3g} wide, by {at_least:g}{unit}: the best one "
            f"by {max(gain, 0):.2g} ({error:.1g})",
        )
    return Stop(
        True,
        f"no run{within} narrows the interval, {width:.3g}{unit} wide, by more than the error of the "
        f"estimate, {LEAST_ERRORS * error:.1g}",
    )


def _called(plans: Candidates, run: int) -> str:
    """Return a candidate in words."""
    row: dict[str, Any] = plans.table.iloc[[run]].to_dict("records")[0]
    if CANDIDATE in row:
        return f"the candidate {row[CANDIDATE]}"
    numbers = {c: float(v) for c, v in row.items() if c in plans.columns and isinstance(v, int | float | np.number)}
    labels = {c: v for c, v in row.items() if c in plans.columns and c not in numbers}
    if continued := plans.continued[run]:
        return f"{run_called(continued)} continued to {place({c: v for c, v in numbers.items() if c == 'D'})}"
    return f"a run at {place(numbers | labels)}" if numbers or labels else f"the candidate in row {run}"


def _amount(cost: float, unit: str) -> str:
    return f"{cost:.2g} {unit}" if unit == FLOPS else f"{amount(cost)} {unit}"
