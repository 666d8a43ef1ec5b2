"""A coefficient of a law: its default prior, its unit and its meaning."""

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from bayeslaw.base.arguments import checked_fields
from bayeslaw.base.words import Described
from bayeslaw.declare.priors import Prior, describe
from bayeslaw.declare.scale import LOG_NATS, NATS, in_scale
from bayeslaw.errors import LawError, shown

__all__ = ["Coefficient"]


@checked_fields
@dataclass(frozen=True, repr=False)
class Coefficient(Described):
    """One coefficient of a law: its default prior and its meaning.

    Parameters
    ----------
    prior : Prior
        Default prior, in `unit`, at the law's reference run.
    unit, meaning, why : str
        Unit; meaning; the reason for the prior. Priors in ``"nats"``, ``"log nats"`` and ``"1 / nats"`` follow the
        scale of the losses; see `bayeslaw.Model`.
    between : float
        Prior median of the standard deviation between groups of a pooled coefficient (log scale if positive).
    seen_along : str, optional
        For an amplitude, which enters the law linearly: the covariate along which its term changes the loss;
        ``"level"`` for the additive constant. The sampler moves that change, or the mean loss, in its place. Of a law
        without shares of a mixture they are found by themselves if no coefficient states one.
    over : str, optional
        A dim of the covariates with one value of the coefficient per label, for example ``"source"``.
    floor : bool
        Whether the coefficient lies below every observed loss of its validation set.
    """

    prior: Prior
    unit: str
    meaning: str
    why: str
    between: float = 0.2
    seen_along: str | None = None
    over: str | None = None
    floor: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior):
            raise LawError(f"prior is {shown(self.prior)}: give bl.positive(...), bl.real(...) or a bl.Prior")
        if not (isinstance(self.between, Real) and 0 < self.between < np.inf):
            raise LawError(f"between={shown(self.between)} is no spread: give a number above 0")

    def scaled(self, scale: float, own: Prior | None = None) -> "Coefficient":
        """Return the coefficient for losses that are `scale` times as large; `own` is a prior for these very losses."""
        prior = in_scale(self.prior, self.unit, scale) if own is None else own
        of_losses = prior.distribution == "Normal" and NATS in self.unit and self.unit != LOG_NATS
        return replace(self, prior=prior, between=self.between * (scale if of_losses else 1.0))

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        over = f", one for each {self.over}" if self.over else ""
        rows = [("prior", f"{describe(self.prior)}{over}"), ("why", self.why)]
        return f"Coefficient: {self.meaning} ({self.unit})", rows
