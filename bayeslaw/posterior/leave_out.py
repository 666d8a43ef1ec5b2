"""The posterior without the measurements of a run, by a short refit."""

from dataclasses import dataclass, fields
from functools import cached_property

from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.inference import fit as refit
from bayeslaw.spec.design import Design
from bayeslaw.spec.shape import Shape
from bayeslaw.spec.specification import Specification

__all__ = ["refit_seconds", "refit_without"]

SHORT = {"draws": 250, "tune": 250}
"""Sampler settings of a refit from which only means are taken."""


@dataclass(frozen=True, eq=False)
class _Without(Specification):
    """A model whose likelihood does not know a run; all else, the range of the shape prior included, is as it was."""

    whole: Specification | None = None
    run: str = ""

    @cached_property
    def design(self) -> Design:
        """The design of the whole model, with the run's losses not measured."""
        assert self.whole is not None
        return self.whole.design.without(self.run)

    @cached_property
    def shape(self) -> Shape:
        """The shape prior of the whole model."""
        assert self.whole is not None
        return self.whole.shape


def refit_without(fit: Posterior, run: str) -> Posterior:
    """Return fewer draws of the posterior without the measurements of a run, about the whole study."""
    settings = {name: getattr(fit.model, name) for name in (f.name for f in fields(Specification))}
    sampler = SHORT | {k: fit.settings[k] for k in ("chains", "target_accept", "seed")}
    found = refit(_Without(**settings, whole=fit.model, run=run), **sampler, progress=False)
    return Posterior(fit.model, found.idata, found.settings, found.seconds)


def refit_seconds(fit: Posterior) -> float:
    """Return about how long a refit takes, from the time of the fit."""
    return float(fit.seconds * sum(SHORT.values()) / (fit.settings["draws"] + fit.settings["tune"]))
