"""Best mixture: the shares of many sources with the smallest loss, for every draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import percent, short, written
from bayeslaw.base.words import counted
from bayeslaw.decisions import simplex
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.mixture_problem import Problem, Pull
from bayeslaw.decisions.question import given, open_columns, where
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.identified import mixture_cautions
from bayeslaw.posterior.quantity import MOST_ROWS, Censored, Quantity
from bayeslaw.tables.mixtures import as_weights, blend, bounds
from bayeslaw.tables.units import NATS, called

__all__ = ["Mixture", "best_mixture"]

SHARE_SLACK = 0.01
"""Distance of a share from the shares of the runs from which the note names its source."""

MOST_SOURCES = 3
"""Sources that a note names."""


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Censored):
    """The best shares of every draw, some of them at the ends of the allowed range.

    Parameters
    ----------
    goal : callable
        The minimised loss (dims chain, draw and those of the question) of given shares.
    pull : callable
        The penalty of given shares for their distance from a prior mixture; 0 without one.
    recommended : xarray.DataArray
        The single mixture with the smallest expected loss, the one to train on; dim ``source``.
    loss_unit : str
        The unit of the losses.
    """

    goal: Callable[[xr.DataArray], xr.DataArray] = field(kw_only=True)
    pull: Callable[[xr.DataArray], xr.DataArray] = field(kw_only=True)
    recommended: xr.DataArray = field(kw_only=True)
    loss_unit: str = field(kw_only=True, default=NATS)

    _of_many: ClassVar[int] = MOST_ROWS

    def _ends(self) -> tuple[Any, Any]:
        """Draws at a share of 0 or 1 are exact: no share lies beyond."""
        low, high = (xr.DataArray(end) for end in (self.low, self.high))
        return low.where(low > 0, -np.inf), high.where(high < 1, np.inf)

    def _beside(self) -> dict[str, Any]:
        return {} if self.recommended.ndim > 1 else {"recommended": self.recommended.to_series().to_dict()}

    def _answers(self, prob: float) -> pd.DataFrame:
        shares = self.recommended.mean([d for d in self.recommended.dims if d != "source"])
        written_shares = xr.apply_ufunc(
            partial(written, "share"), self.recommended, vectorize=True, output_dtypes=[object]
        )
        table = xr.Dataset({"recommended": written_shares, "best of a draw": self.text(prob)})
        table = table.isel(source=np.argsort(-shares.values, kind="stable"))
        return table.reset_coords(drop=True).to_dataframe()

    def _shares(self, mixture: Any) -> xr.DataArray:
        return self.recommended if mixture is None else as_weights(mixture, self.draws["source"].values)

    def regret(self, candidate: Any = None) -> Quantity:
        """Return how far a candidate lies, pull included, above each draw's own best; the mean is the expected regret.

        Parameters
        ----------
        candidate : mapping, Series, DataFrame or DataArray, optional
            Shares by source (see `bayeslaw.tables.mixtures.as_weights`); by default the recommended mixture.
        """
        shares = self._shares(candidate)
        above = (self.goal(shares) + self.pull(shares) - self.goal(self.draws) - self.pull(self.draws)).clip(0)
        asked = {**self.inputs, "candidate": "recommended" if candidate is None else "given"}
        regret = above.transpose(*SAMPLE, ...)
        return Quantity("regret", regret, self.loss_unit, self.what, asked, cautions=self.cautions)

    def probability_within(self, candidate: Any, tolerance: float) -> xr.DataArray:
        """Return the probability that a candidate lies at most `tolerance` above the best.

        Parameters
        ----------
        candidate
            As in `regret`; None: the recommended mixture.
        tolerance : float
            In the unit of the losses.

        Raises
        ------
        RangeError
            The tolerance is not above 0.
        """
        if not 0 < tolerance < np.inf:
            raise RangeError(f"tolerance is {tolerance}: give nats above 0")
        return (self.regret(candidate).draws <= tolerance).mean(SAMPLE)

    def gain(self, over: Any, mixture: Any = None) -> Quantity:
        """Return how far a mixture (by default the recommended one) lies below another; above 0 is better."""
        gain = (self.goal(self._shares(over)) - self.goal(self._shares(mixture))).transpose(*SAMPLE, ...)
        return Quantity("gain", gain, self.loss_unit, self.what, self.inputs, cautions=self.cautions)


def best_mixture(
    fit: Posterior,
    *,
    goal: str | Mapping[str, float] | None = None,
    N: Any = None,
    D: Any = None,
    at_most: Mapping[Any, float] | None = None,
    at_least: Mapping[Any, float] | None = None,
    available: Mapping[str, float] | None = None,
    repetitions: float | None = None,
    near: Any = None,
    pull: float | None = None,
    vectors: pd.DataFrame | None = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Mixture:
    """Return the shares with the smallest loss.

    The error of a new run multiplies the losses of a validation set alike and does not move its optimum, so the answer
    is for the mean law.

    Parameters
    ----------
    fit, N, D, domain, labels
        The posterior; model size (parameters), tokens, target domain and ``{column: label}`` of other groups. Arrays
        give the result dims.
    goal : str or mapping, optional
        The validation set, or ``{validation set: importance}`` for a weighted mean; by default all count alike.
    at_most, at_least : mapping, optional
        Bounds on the share of a source.
    available : mapping, optional
        Tokens of a source that exist, of which a run of `D` tokens takes at most `repetitions` times as many; other
        sources do not run short. A law without tokens takes one `D` for this alone.
    repetitions : float, optional
        Largest number of times that an available token is seen; by default 1. No law here knows that a repeated token
        teaches less than a new one.
    near : mapping, Series or DataArray, optional
        A prior mixture (see `bayeslaw.tables.mixtures.as_weights`); a source without a share in it gets none.
    pull : float, optional
        Nats that a mixture has to gain per nat of its Kullback-Leibler divergence from `near`; both or neither.
    vectors : DataFrame, optional
        Domain vectors (rows meta-domains, columns data sets) for a law fitted to meta-domains: the answer is then in
        shares of those data sets, trained on or not.

    Returns
    -------
    Mixture
        Dims (chain, draw, source, ...); `p_never` and `p_always` say how often a source is at its bounds.

    Raises
    ------
    LawError, RangeError, UnknownName
        The law does not depend on shares; the bounds leave no mixture; an importance is below 0; available tokens come
        without one `D`, repetitions without them, `near` without `pull` or the reverse; a source, validation set or
        label does not exist.

    Notes
    -----
    Every draw's optimum is certified to within 1e-7 nats where the law is convex in the shares (sums of exponentials
    of linear functions, straight lines); the note counts the draws that are not. Unless rows outside the law's range
    were fitted, shares stay inside it. The pull is that of Olmix (arXiv:2602.12237), which takes 0.1 towards the
    mixture of the available tokens.
    """
    wanted = Goal.of(goal, fit.evals)
    asked = where(labels, N=N, D=D, domain=domain)
    of_the_law = available is None or "D" in (*fit.model.law.columns, *fit.model.design.groups)
    columns = open_columns(fit, where(labels, N=N, D=D if of_the_law else None, domain=domain), WEIGHT)
    known = fit.model.design.over["source"]
    map_to = None if vectors is None else _map_to(known, vectors)
    names = [str(s) for s in (known if map_to is None else map_to["source"].values)]
    inside = fit.model.law.covariates[WEIGHT].valid if fit.model.outside != "include" and map_to is None else (0.0, 1.0)
    towards = Pull.of(near, pull, names)
    absent = {s: inside[0] for s, share in zip(names, towards.prior, strict=True) if share == 0}
    low, high = bounds(names, at_least, _at_most(names, at_most, available, repetitions, D) | absent, inside)
    problem = Problem(fit, columns, wanted, map_to, towards)
    draws, gap = simplex.minimise(problem.each, problem.count, low, high)
    single, _ = simplex.minimise(problem.expected, problem.cells, low, high)
    label = {"source": names}
    limits = given(at_most=at_most, at_least=at_least, available=available, repetitions=repetitions)
    if pull is not None:
        limits |= {"near": dict(zip(names, towards.prior.tolist(), strict=True)), "pull": pull}
    repeated = problem.named(np.repeat(single, fit.draws, axis=0), label)
    optimum = problem.named(draws, label).transpose(*SAMPLE, "source", ...)
    best = Mixture(
        "best_mixture",
        optimum,
        "1",
        fit.mean_name,
        {**asked, "goal": wanted.asked, **limits},
        _note(fit, optimum, gap, vectors is not None),
        mixture_cautions(fit, _each_alone(known, names, map_to).isel(alone=np.flatnonzero(high > 0))),
        low=xr.DataArray(low, dims="source", coords=label),
        high=xr.DataArray(high, dims="source", coords=label),
        goal=problem.loss,
        pull=towards,
        loss_unit=fit.model.unit,
        recommended=repeated.isel(chain=0, draw=0, drop=True).transpose("source", ...),
    )
    trained = best.recommended if map_to is None else xr.dot(map_to, best.recommended, dim="source")
    shares = trained.rename(meta_domain="source") if map_to is not None else trained
    return cautioned(fit, best, shares, N=N, D=D if of_the_law else None)


def _at_most(
    names: list[str],
    at_most: Mapping[Any, float] | None,
    available: Mapping[str, float] | None,
    repetitions: float | None,
    D: Any,
) -> dict[str, float]:
    """Return the upper bounds asked for, combined with those that the available tokens set."""
    most = dict(at_most or {})
    if available is None:
        if repetitions is not None:
            raise RangeError("repetitions limits the use of available tokens: give available too")
        return most
    if D is None or np.ndim(D):
        raise RangeError("available limits the shares of a single run: give one D, its tokens")
    often = 1.0 if repetitions is None else repetitions
    for name, value in {"D": D, "repetitions": often}.items():
        if not 0 < value < np.inf:
            raise RangeError(f"{name} is {value}: give a number above 0")
    for name, tokens in available.items():
        if name not in names:
            raise unknown_name("source (in available=)", name, names)
        if not tokens >= 0:
            raise RangeError(f"available of {name} is {tokens}: give tokens, 0 or more")
        most[name] = min(most.get(name, 1.0), tokens * often / D)
    return most


def _map_to(known: np.ndarray, vectors: pd.DataFrame) -> xr.DataArray:
    """Return domain vectors by the fitted meta-domains."""
    by_name = blend(vectors)
    rows = by_name["meta_domain"].values
    for table, wanted, there in (("vectors", known, rows), ("fit", rows, known)):
        if missing := [name for name in wanted if name not in there]:
            raise unknown_name(f"meta-domain in the {table}", missing[0], there)
    return by_name.sel(meta_domain=known)


def _each_alone(known: np.ndarray, names: list[str], map_to: xr.DataArray | None) -> xr.DataArray:
    """Return the mixtures of one source (or data set) alone, as shares of the law's sources."""
    if map_to is not None:
        return map_to.rename(source="alone", meta_domain="source")
    return xr.DataArray(np.eye(len(names)), dims=("alone", "source"), coords={"source": known})


def _note(fit: Posterior, optimum: xr.DataArray, gap: np.ndarray, blended: bool) -> str:
    notes, nats = [], called(fit.model.unit)
    if (open_ := float((gap > 10 * simplex.GAP).mean())) > 0:
        notes.append(f"{percent(open_)} of the draws may lie up to {short(gap.max(), 2)} {nats} above their best")
    if blended:
        return "; ".join(notes)
    design = fit.model.design
    fitted = design.rows[WEIGHT].where(design.measured.any("eval"))
    outside = {"more": optimum > fitted.max("row") + SHARE_SLACK, "less": optimum < fitted.min("row") - SHARE_SLACK}
    for word, draws in outside.items():
        often = draws.mean([d for d in optimum.dims if d != "source"])
        if far := [str(s) for s in optimum["source"].values[often.values > 0.1]]:
            others = f" and {counted(len(far) - MOST_SOURCES, 'other')}" if len(far) > MOST_SOURCES else ""
            named = ", ".join(far[:MOST_SOURCES]) + others
            notes.append(f"{word} of {named} than any fitted run had, in at least a tenth of the draws")
    return "; ".join(notes)
