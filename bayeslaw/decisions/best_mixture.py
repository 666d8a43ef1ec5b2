"""Best mixture: the shares of many sources with the smallest loss, every draw deciding for itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import RangeError, unknown_name
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions import simplex
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.mixture_problem import Problem, Pull
from bayeslaw.decisions.question import given, of_largest_run, open_columns, where
from bayeslaw.declare.laws import WEIGHT, Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.tables.mixtures import as_weights, blend, bounds

__all__ = ["Mixture", "applies", "best_mixture", "of_the_study"]

BEYOND = 0.01
"""By how much a share may lie beyond those that were tried before the answer says so."""


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Censored):
    """The best shares of every draw, some of them at the ends of what was allowed.

    Parameters
    ----------
    goal : callable
        The loss that was minimised (nats; dims chain, draw and those of the question) of given shares.
    pull : callable
        What was added to it for the distance from a prior mixture (nats) of given shares; 0 where none was asked for.
    recommended : xarray.DataArray
        The one mixture with the smallest expected loss, which is what to train on; dim ``source``.
    """

    goal: Callable[[xr.DataArray], xr.DataArray] = field(kw_only=True)
    pull: Callable[[xr.DataArray], xr.DataArray] = field(kw_only=True)
    recommended: xr.DataArray = field(kw_only=True)

    def _ends(self) -> tuple[Any, Any]:
        """Shares end at 0 and 1 whatever was allowed, so a draw that lies there is known."""
        low, high = (xr.DataArray(end) for end in (self.low, self.high))
        return low.where(low > 0, -np.inf), high.where(high < 1, np.inf)

    def _beside(self) -> dict[str, Any]:
        several = self.recommended.ndim > 1
        return {} if several else {"recommended": self.recommended.to_series().to_dict()}

    def _answers(self) -> pd.DataFrame:
        table = xr.Dataset({"recommended": self.recommended.round(3), "best of a draw": self.text()})
        return table.reset_coords(drop=True).to_dataframe()

    def regret(self, candidate: Any = None) -> Quantity:
        """Return how many nats a candidate lies above each draw's own best; its mean is the expected regret.

        Where a pull was asked for, its nats count like those of the loss.

        Parameters
        ----------
        candidate : mapping, Series, DataFrame or DataArray, optional
            Shares by source (see `bayeslaw.tables.mixtures.as_weights`); left out: the recommended mixture.
        """
        shares = self.recommended if candidate is None else as_weights(candidate, self.draws["source"].values)
        above = (self.goal(shares) + self.pull(shares) - self.goal(self.draws) - self.pull(self.draws)).clip(0)
        asked = {**self.inputs, "candidate": "recommended" if candidate is None else "given"}
        return Quantity("regret", above.transpose("chain", "draw", ...), "nats per token", self.what, asked)

    def probability_within(self, candidate: Any, tolerance: float) -> xr.DataArray:
        """Return the probability that a candidate's loss is at most `tolerance` nats above the best.

        Parameters
        ----------
        candidate : mapping, Series, DataFrame or DataArray
            Shares by source (see `bayeslaw.tables.mixtures.as_weights`); None: the recommended mixture.
        tolerance : float
            Nats per token.

        Raises
        ------
        RangeError
            The tolerance is not above 0.
        """
        if not 0 < tolerance < np.inf:
            raise RangeError(f"tolerance is {tolerance}: give nats above 0")
        return (self.regret(candidate).draws <= tolerance).mean(SAMPLE)

    def gain(self, over: Any, mixture: Any = None) -> Quantity:
        """Return by how many nats a mixture (left out: the recommended one) lies below another, in every draw.

        The probability that it is better is the share of the draws above 0.
        """
        known = self.draws["source"].values
        shares = self.recommended if mixture is None else as_weights(mixture, known)
        difference = self.goal(as_weights(over, known)) - self.goal(shares)
        return Quantity("gain", difference.transpose("chain", "draw", ...), "nats per token", self.what, self.inputs)


def applies(law: Law) -> bool:
    """Return whether a law knows shares of many sources."""
    return law.kind == "mixture"


def of_the_study(fit: Posterior) -> dict[str, Any]:
    """Return the question of the study itself: the size, tokens and labels of its largest run."""
    return of_largest_run(fit, WEIGHT)


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

    A new run's error is the same factor at every mixture, so it does not move the optimum of one validation set: the
    answer is about the mean law.

    Parameters
    ----------
    fit : Fit
        The posterior.
    goal : str or mapping, optional
        The validation set whose loss is minimised, or ``{validation set: importance}`` for a weighted mean; left out:
        all count alike.
    N, D : float or array, optional
        Model size in parameters and tokens, where the law knows them; an array gives the result a dim of its own.
    at_most, at_least : mapping, optional
        Bounds on the share of a source.
    available : mapping, optional
        Tokens at hand of a source, of which a run of `D` tokens takes `repetitions` times as many at most; sources
        left out do not run short. A law without tokens takes one `D` for this alone.
    repetitions : float, optional
        How often an available token may be seen; 1 if left out. No law here knows that a repeated token teaches less
        than a new one.
    near : mapping, Series or DataArray, optional
        A prior mixture (see `bayeslaw.tables.mixtures.as_weights`): one that is trusted, or that of the tokens at hand.
        A source without a share in it gets none.
    pull : float, optional
        Nats that a mixture has to gain for every nat of its Kullback-Leibler divergence from `near`; both or neither.
    vectors : DataFrame, optional
        Domain vectors (rows meta-domains, columns data sets) for a law fitted to meta-domains: the answer is then in
        shares of those data sets, whether they were trained on or not.
    domain : str or array, optional
        The target domain, where the model tells domains apart.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column; an array gives the result a dim of its own.

    Returns
    -------
    Mixture
        Dims (chain, draw, source, ...); `p_never` and `p_always` say how often a source is at its bounds.

    Raises
    ------
    LawError
        The law does not know shares of sources.
    RangeError
        The bounds leave no mixture, importances are not at least 0, available tokens come without one `D` or
        repetitions without them, or `near` and `pull` are not both given.
    UnknownName
        A source, validation set or label does not exist.

    Notes
    -----
    Every draw's optimum is certified to within 1e-7 nats where the law is convex in the shares, as sums of exponentials
    of linear functions and straight lines are; the note counts the draws of others that did not get there. Unless rows
    outside the law's range were fitted, shares stay inside it. The pull is that of Olmix (arXiv:2602.12237), which
    takes 0.1 towards the mixture of the tokens at hand.
    """
    wanted = Goal.of(goal, fit.evals)
    asked = where(labels, N=N, D=D, domain=domain)
    known = fit.model.design.over.get("source", np.array(["any"]))
    even: Any = {WEIGHT: dict.fromkeys(known, 1 / len(known))}
    of_the_law = available is None or "D" in (*fit.model.law.columns, *fit.model.design.groups)
    columns = open_columns(fit, even, where(labels, N=N, D=D if of_the_law else None, domain=domain))
    map_to = None if vectors is None else _map_to(known, vectors)
    names = [str(s) for s in (known if map_to is None else map_to["source"].values)]
    inside = fit.model.law.covariates[WEIGHT].valid if fit.model.outside != "include" and map_to is None else (0.0, 1.0)
    towards = Pull.of(near, pull, names)
    absent = {s: inside[0] for s, share in zip(names, towards.prior, strict=True) if share == 0}
    most = _at_most(names, at_most, available, repetitions, D)
    low, high = bounds(names, at_least, most | absent, inside)
    problem = Problem(fit, columns.drop_vars(WEIGHT), wanted, map_to, towards)
    draws, gap = simplex.minimise(problem.each, problem.count, low, high)
    single, _ = simplex.minimise(problem.expected, problem.cells, low, high)
    label = {"source": names}
    limits = given(at_most=at_most, at_least=at_least, available=available, repetitions=repetitions)
    if pull is not None:
        limits |= {"near": dict(zip(names, towards.prior.tolist(), strict=True)), "pull": pull}
    optimum = problem.unstacked(draws, label).transpose("chain", "draw", "source", ...)
    recommended = problem.of_cells(single, label).transpose("source", ...)
    best = Mixture(
        "best_mixture",
        optimum,
        "1",
        "mean law",
        {**asked, "goal": wanted.asked, **limits},
        _note(fit, optimum, gap, vectors is not None),
        low=xr.DataArray(low, dims="source", coords=label),
        high=xr.DataArray(high, dims="source", coords=label),
        goal=problem.loss,
        pull=towards,
        recommended=recommended,
    )
    return cautioned(fit, best, N=N, D=D if of_the_law else None)


def _at_most(
    names: list[str],
    at_most: Mapping[Any, float] | None,
    available: Mapping[str, float] | None,
    repetitions: float | None,
    D: Any,
) -> dict[str, float]:
    """Return the largest shares asked for, and those that the tokens at hand allow."""
    most = dict(at_most or {})
    if available is None:
        if repetitions is not None:
            raise RangeError("repetitions says how often available tokens may be seen: give available too")
        return most
    if D is None or np.ndim(D):
        raise RangeError("available tokens limit the shares of a run of known length: give one D, its tokens")
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
    """Return domain vectors with the meta-domains that were fitted, in their order."""
    by_name = blend(vectors)
    given_names = by_name["meta_domain"].values
    for name in known:
        if name not in given_names:
            raise unknown_name("meta-domain in the vectors", name, given_names)
    for name in given_names:
        if name not in known:
            raise unknown_name("meta-domain in the fit", name, known)
    return by_name.sel(meta_domain=known)


def _note(fit: Posterior, optimum: xr.DataArray, gap: np.ndarray, blended: bool) -> str:
    notes = []
    if (open_ := float((gap > 10 * simplex.GAP).mean())) > 0:
        notes.append(f"{100 * open_:.2g} % of the draws may lie up to {gap.max():.2g} nats above their best")
    if not blended:
        design = fit.model.design
        tried = design.rows[WEIGHT].where(design.measured.any("eval"))
        beyond = {"more": optimum > tried.max("row") + BEYOND, "less": optimum < tried.min("row") - BEYOND}
        for word, draws in beyond.items():
            often = draws.mean([d for d in optimum.dims if d != "source"])
            if far := [str(s) for s in optimum["source"].values[often.values > 0.1]]:
                shown = ", ".join(far[:3]) + (f" and {len(far) - 3} others" if len(far) > 3 else "")
                notes.append(f"{word} of {shown} than any fitted run had, in at least a tenth of the draws")
    return "; ".join(notes)
