"""The symbols of a law: its coefficients with their priors, and its covariates."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from bayeslaw.base.arguments import checked_fields
from bayeslaw.base.numbers import between, short
from bayeslaw.base.words import Described
from bayeslaw.declare.priors import Prior, describe
from bayeslaw.declare.scale import LOG_NATS, NATS, in_scale
from bayeslaw.errors import LawError, shown

__all__ = ["Coefficient", "Covariate"]


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
        ``"level"`` for the additive constant, or for the constant beside the terms in a factor. The sampler moves that
        change, or the mean loss, in its place. Of a law without shares of a mixture they are found by themselves if no
        coefficient states one.
    over : str, optional
        A dim of the covariates with one value of the coefficient per label, for example ``"source"``.
    floor : bool
        Whether the coefficient lies below every observed loss of its validation set.
    role : str, optional
        The role of the only validation set whose loss it shapes, for a law of several losses that differ in their form:
        it then has one value, without a dim ``eval``.
    """

    prior: Prior
    unit: str
    meaning: str
    why: str
    between: float = 0.2
    seen_along: str | None = None
    over: str | None = None
    floor: bool = False
    role: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior):
            raise LawError(f"prior is {shown(self.prior)}: give bl.positive(...), bl.real(...) or a bl.Prior")
        if not (isinstance(self.between, Real) and 0 < self.between < np.inf):
            raise LawError(f"between={shown(self.between)} is no spread: give a number above 0")
        if self.role and (self.seen_along or self.floor):
            raise LawError(
                f"{self.meaning}: seen_along and floor are for coefficients of all losses, not of the {self.role} loss "
                "alone: leave them out"
            )

    def scaled(self, scale: float, own: Prior | None = None) -> "Coefficient":
        """Return the coefficient for losses that are `scale` times as large; `own` is a prior for these very losses."""
        prior = in_scale(self.prior, self.unit, scale) if own is None else own
        of_losses = prior.distribution == "Normal" and NATS in self.unit and self.unit != LOG_NATS
        return replace(self, prior=prior, between=self.between * (scale if of_losses else 1.0))

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        over = f", one for each {self.over}" if self.over else ""
        rows = [("prior", f"{describe(self.prior)}{over}"), ("why", self.why)]
        return f"Coefficient: {self.meaning} ({self.unit})", rows


@checked_fields
@dataclass(frozen=True, repr=False)
class Covariate(Described):
    """One covariate of a law.

    Parameters
    ----------
    unit, meaning : str
        Unit and meaning.
    reference : float
        The law takes ``value / reference``, and the priors are stated at 1; never computed from data.
    valid : tuple of float
        Range in which the law holds (after `derive`, before division by `reference`).
    derive : callable, optional
        Computes the covariate from the columns that its arguments name (``eval`` is the role
        of the validation set: its own name, unless the model gives it another).
    of : str, optional
        The column of labels that have one value of it each (``"domain"``); predictions look it up.
    start : str, optional
        A role of validation sets: it is their loss before training, which the rows at D = 0 give to a table without
        the column.
    """

    unit: str
    meaning: str
    reference: float = 1.0
    valid: tuple[float, float] = (0.0, np.inf)
    derive: Callable[..., Any] | None = None
    of: str | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.reference, Real) and 0 < self.reference < np.inf):
            raise LawError(f"the reference of a covariate is {shown(self.reference)}: give a number above 0")
        if len(self.valid) != 2 or not self.valid[0] < self.valid[1]:
            raise LawError(f"valid={self.valid} is no range: give its lower and its upper end")

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [("reference", short(self.reference)), ("valid", between(*self.valid))]
        return f"Covariate: {self.meaning} ({self.unit})", rows

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the table columns from which the covariate is computed."""
        if self.derive is None:
            return (name,)
        return tuple(p for p in inspect.signature(self.derive).parameters if p != "eval")
