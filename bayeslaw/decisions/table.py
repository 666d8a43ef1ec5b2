"""The table of decisions: what the command line, reports and checks can ask. A new decision is a line of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bayeslaw.decisions import allocation, critical_ratio
from bayeslaw.decisions.best_duration import best_duration
from bayeslaw.decisions.best_mixture import best_mixture
from bayeslaw.decisions.best_ratio import best_ratio
from bayeslaw.decisions.equivalent_compute import equivalent_compute
from bayeslaw.decisions.optimum_shift import moves, optimum_shift
from bayeslaw.decisions.question import of_largest_run
from bayeslaw.decisions.schedule import best_schedule
from bayeslaw.decisions.score import score
from bayeslaw.decisions.smallest_replay import smallest_replay
from bayeslaw.decisions.tokens_for import falls, tokens_for
from bayeslaw.decisions.turning import critical_point, turning_length
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity

__all__ = ["DECISIONS", "Decision"]


@dataclass(frozen=True)
class Decision:
    """A question to a posterior; a method of `bayeslaw.Fit` and a command ``bayeslaw decide``.

    Attributes
    ----------
    ask : callable
        Takes a posterior and the question as keywords; returns a Quantity.
    example : str
        The arguments of an example, after ``bayeslaw decide NAME fit.nc``.
    kinds, columns : tuple of str
        It is a question to laws of these kinds (empty: of any) that depend on these columns.
    of_laws : callable
        Returns whether a law of these kinds and columns can answer it.
    role : str
        The role of the validation sets that it asks about, of laws that tell roles apart; empty: any.
    of_the_study : callable
        Returns the question that a study has by itself; None if there is none.
    decades : bool
        Its answer spans factors, so that the width of an interval is counted in factors of ten.
    """

    ask: Callable[..., Quantity]
    example: str
    kinds: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    of_laws: Callable[[Law], bool] = lambda _: True
    role: str = ""
    of_the_study: Callable[[Posterior], Mapping[str, Any] | None] = lambda _: None
    decades: bool = False

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.ask.__name__

    def applies(self, law: Law) -> bool:
        """Return whether it is a question to a law: not where a covariate is known only at some of its columns."""
        known_at = {covariate.of for covariate in law.covariates.values()}
        columns = set(self.columns) <= set(law.columns) and known_at.isdisjoint(self.columns)
        about = not (self.role and law.evals) or self.role in law.evals
        return (not self.kinds or law.kind in self.kinds) and columns and about and self.of_laws(law)


_TABLE = (
    Decision(
        critical_ratio.critical_ratio,
        "--N 1.8e9 --D 1e10 --baseline 2.8602 --max-rise 0.03",
        kinds=("share",),
        role="general",
        of_the_study=critical_ratio.of_the_study,
    ),
    Decision(smallest_replay, "--N 1.8e9 --D 1e10 --baseline 2.8602 --max-increase 0.02", ("share",), role="general"),
    Decision(best_ratio, "--N 1.8e9 --domain-tokens 5e9", ("share",), ("D",), role="domain"),
    Decision(
        allocation.allocation,
        "--flops 1e21 --domain-share 0.5",
        kinds=("share", "size"),
        columns=("N", "D"),
        of_the_study=allocation.of_the_study,
        decades=True,
    ),
    Decision(tokens_for, "--loss 2.5 --N 1.8e9 --domain-share 0.5", columns=("D",), of_laws=falls, decades=True),
    Decision(
        best_mixture, "--max github=0.3 --json", ("mixture",), of_the_study=lambda fit: of_largest_run(fit, WEIGHT)
    ),
    Decision(optimum_shift, "--N 1e8 --N 7e9 --D 1e11", ("mixture",), ("N", "D"), moves),
    Decision(
        equivalent_compute,
        "--mixture web=0.7 --mixture code=0.3 --than web=1 --D 1e10",
        ("mixture",),
        ("D",),
        decades=True,
    ),
    Decision(
        best_duration, "--goal gsm8k --longest 0.3", ("window",), of_the_study=lambda f: of_largest_run(f, "duration")
    ),
    Decision(best_schedule, "--candidate cosine=cosine.csv --candidate wsd=wsd.csv", ("schedule",)),
    Decision(turning_length, "schedule.csv --before pretraining.csv", columns=("S1cpt",)),
    Decision(critical_point, "--goal general", columns=("S1", "S1cpt")),
    Decision(score, "stage2.nc --N 1.3e10 --D 5e12 --reach 0.5", ("share", "mixture", "size")),
)

DECISIONS = {decision.name: decision for decision in _TABLE}
"""Every decision by its name; the report on a law is about the first one with a question of the study."""
