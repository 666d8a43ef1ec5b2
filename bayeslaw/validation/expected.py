"""What is expected of first designs: a table of widths, and what it says in words."""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayeslaw.base.numbers import level, short
from bayeslaw.declare.laws import Law

__all__ = ["Plan"]

ERRORS = 2
"""Monte Carlo errors within which a difference means nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """First designs for a question, and what is expected of each.

    Attributes
    ----------
    law : Law
        The law.
    question : str
        What is asked, in words.
    designs : mapping
        The rows of every design by its name, with columns of losses to be filled in.
    table : pandas.DataFrame
        One row for each design; see `frame`.
    budget : float
        What a design may cost, in `cost_unit`.
    cost_unit : {"FLOPs", "tokens", "runs"}
        Of the budget.
    before : float
        Width of the interval of the answer by the prior alone, the mean over its elements and the truths.
    before_error : float
        Its Monte Carlo error, of the truths and of the draws of the prior.
    unit : str
        Of widths: that of the answer, or decades of an answer in parameters or tokens.
    prob : float
        Probability of the interval.
    simulations : int
        Simulated tables of each design.
    misfit : tuple of str
        The columns along which the simulated truths depart from the law.
    """

    law: Law
    question: str
    designs: Mapping[str, pd.DataFrame]
    table: pd.DataFrame
    budget: float
    cost_unit: str
    before: float
    before_error: float
    unit: str
    prob: float
    simulations: int
    misfit: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Return one row for each design, that with the narrowest answer first.

        Columns: ``design``; its ``runs`` and ``rows`` (checkpoints are rows); ``cost``; the expected ``width`` of the
        interval of the answer, with its Monte Carlo error ``width_error``; by how much it lies ``behind`` that of the
        best design, truth by truth, with ``behind_error``; by how much it is narrower than before any run, over
        the same truths, the ``narrowing`` with ``narrowing_error``; ``width_per_prior``, the ratio of these widths;
        ``covered``, the share of intervals that hold the simulated truth; ``fits``, the simulated tables that
        could be fitted; the smallest and largest value of every column of the law.
        """
        return self.table.copy()

    @property
    def best(self) -> str:
        """The design with the smallest expected width."""
        return str(self.table["design"].iloc[0])

    def as_json(self) -> dict[str, Any]:
        """Return the designs and what is expected of them as plain numbers, texts and lists."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        about = {"law": self.law.name, "question": self.question, "budget": self.budget, "cost_unit": self.cost_unit}
        before = {"width_before": self.before, "width_before_error": self.before_error}
        width = {"unit": self.unit, "prob": self.prob, "simulations": self.simulations, "misfit": list(self.misfit)}
        return about | before | width | {"best": self.best, "designs": rows}

    def _about(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        cost = f"{short(self.budget, 2)} {self.cost_unit}"
        return (
            f"First designs of {self.law.name} for {self.question}, {cost}: expected width of the "
            f"{level(self.prob)} interval, {short(self.before)}{unit} before any run (Monte Carlo error "
            f"{short(self.before_error, 2)}), over {self.simulations} tables "
            "simulated from the prior and fitted"
        )

    def _shown(self) -> pd.DataFrame:
        return self.table[["design", "runs", "rows", "cost", "width", "width_error", "covered", "fits"]]

    def _end(self) -> str:
        table = self.table
        near = table["behind"] <= ERRORS * table["behind_error"]
        alike = _quoted(name for name in table.loc[near, "design"] if name != self.best)
        said = [f"narrowest: {self.best!r}" + (f"; so few tables do not separate it from {alike}" if alike else "")]
        if wide := _quoted(table.loc[table["narrowing"] <= ERRORS * table["narrowing_error"], "design"]):
            said.append(f"Not narrower than before any run beyond the Monte Carlo error: {wide}")
        along = f", but for a misfit along {', '.join(self.misfit)} drawn from its prior" if self.misfit else ""
        return ". ".join([*said, f"The simulations assume that the law is true{along}"])

    def __repr__(self) -> str:
        table = self._shown().to_string(index=False, float_format=short)
        return "\n".join([self._about(), table, self._end()])

    def _repr_html_(self) -> str:
        table = self._shown().to_html(index=False, border=0, float_format=short)
        return f"<p>{html.escape(self._about())}</p>{table}<p>{html.escape(self._end())}</p>"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
