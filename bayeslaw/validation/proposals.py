"""The result of `bayeslaw.Fit.next_runs`: what candidates are worth, the chosen ones, and whether to stop."""

import html
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayeslaw.base.drawing import drawn
from bayeslaw.base.numbers import level, short
from bayeslaw.posterior.quantity import Quantity

__all__ = ["NextRuns", "Stop"]

SHOWN = 5
"""Candidates that are shown, the best ones."""


def _written(table: pd.DataFrame) -> str:
    return table.to_string(float_format=short)


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
    cautions : tuple of str
        Reasons against the answer, its widths and the candidates.
    budget : float, optional
        What the batch may cost.
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
    cautions: tuple[str, ...] = ()
    budget: float | None = None

    def frame(self) -> pd.DataFrame:
        """Return one row for each candidate.

        Columns: those that were given; ``cost``; the expected ``width`` of the interval after the run; its
        ``reduction``; the expected information about the answer in ``nats``; where the answer is a choice, the expected
        ``regret`` avoided (nats per token). Each has its Monte Carlo error (``reduction_error``), and all but the width
        their value per unit of cost (``reduction_per_cost``).
        """
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw the reduction per cost over two columns of the candidates; see `bayeslaw.plots.plot_next_runs`."""
        return drawn(self, ax=ax)

    def as_json(self) -> dict[str, Any]:
        """Return candidates, batch and stop rule as plain numbers, texts and lists."""
        chosen, table = (t.astype(object).where(t.notna(), None).to_dict("records") for t in (self.chosen, self.table))
        about = {"question": self.answer.name, "unit": self.unit, "prob": self.prob, "width": self.width}
        found = {"stop": self.stop.now, "reason": self.stop.text, "cautions": [*self.cautions]}
        found |= {"chosen": chosen, "candidates": table}
        return about | {"cost_unit": self.cost_unit} | found

    def _about(self) -> str:
        name = self.answer.name.replace("_", " ")
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"next runs for the {name}: {level(self.prob)} interval of width {short(self.width)}{unit} before them"

    def _best(self, most: int) -> pd.DataFrame:
        """Return the candidates that narrow the answer most, of those within the budget."""
        affordable = self.table if self.budget is None else self.table[self.table["cost"] <= self.budget]
        return affordable.nlargest(most, "reduction")

    def _shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the error of the reduction beside it, without other errors and values per cost."""
        each = zip(table["reduction"], table["reduction_error"], strict=True)
        told = table.assign(reduction=[f"{short(of, 2)} ± {short(error, 1)}" for of, error in each])
        return told[[c for c in map(str, table.columns) if not c.endswith(("_error", "_per_cost"))]]

    def text(self, most: int = SHOWN) -> str:
        """Return the best candidates within the budget, the batch, the stop rule and the cautions in words.

        Parameters
        ----------
        most : int
            Candidates to show.
        """
        tables = {"": self._shown(self._best(most)), "in order, each with those before it:": self._shown(self.chosen)}
        shown = [line for title, t in tables.items() if len(t) for line in (title, _written(t)) if line]
        return "\n".join([self._about(), *shown, self.stop.text, *(f"caution: {one}" for one in self.cautions)])

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        best = self._best(SHOWN) if self.chosen.empty else self.chosen
        table = self._shown(best).to_html(border=0, float_format=short)
        cautions = "".join(f"<p>Caution: {html.escape(one)}</p>" for one in self.cautions)
        return f"<p>{html.escape(self._about())}</p>{table}<p>{html.escape(self.stop.text)}</p>{cautions}"
