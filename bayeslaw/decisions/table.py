"""The table of decisions: what the command line, reports and checks can ask. A new decision is a line of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bayeslaw.decisions import (
    allocation,
    best_duration,
    best_mixture,
    best_ratio,
    critical_ratio,
    equivalent_compute,
    schedule,
    tokens_for,
    turning,
)
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity

__all__ = ["DECISIONS", "Decision"]


@dataclass(frozen=True)
class Decision:
    """A question that a posterior can be asked; a method of `bayeslaw.Fit` and a command ``bayeslaw decide``.

    Attributes
    ----------
    ask : callable
        Takes a posterior and the question as keywords; returns a Quantity.
    applies : callable
        Whether it is a question to a law.
    example : str
        What a command line says after ``bayeslaw decide NAME fit.nc``.
    of_the_study : callable
        The question that a study has by itself; None where it has to be told something.
    """

    ask: Callable[..., Quantity]
    applies: Callable[[Law], bool]
    example: str
    of_the_study: Callable[[Posterior], Mapping[str, Any] | None] = lambda _: None

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.ask.__name__


DECISIONS = {
    decision.name: decision
    for decision in (
        Decision(
            critical_ratio.critical_ratio,
            critical_ratio.applies,
            "--N 1.8e9 --D 1e10 --baseline 2.8602 --max-rise 0.03",
            critical_ratio.of_the_study,
        ),
        Decision(best_ratio.best_ratio, best_ratio.applies, "--N 1.8e9 --domain-tokens 5e9"),
        Decision(allocation.allocation, allocation.applies, "--flops 1e21 --domain-share 0.5", allocation.of_the_study),
        Decision(tokens_for.tokens_for, tokens_for.applies, "--loss 2.5 --N 1.8e9 --domain-share 0.5"),
        Decision(best_mixture.best_mixture, best_mixture.applies, "--max github=0.3 --json", best_mixture.of_the_study),
        Decision(
            equivalent_compute.equivalent_compute,
            equivalent_compute.applies,
            "--mixture web=0.7 --mixture code=0.3 --than web=1 --D 1e10",
        ),
        Decision(
            best_duration.best_duration,
            best_duration.applies,
            "--goal gsm8k --longest 0.3",
            best_duration.of_the_study,
        ),
        Decision(schedule.best_schedule, schedule.applies, "--candidate cosine=cosine.csv --candidate wsd=wsd.csv"),
        Decision(turning.turning_length, turning.applies, "schedule.csv --before pretraining.csv"),
        Decision(turning.critical_point, turning.knows_both_stages, "--goal general"),
    )
}
"""Every decision by its name; where a law has several, the first is what its report is about."""
