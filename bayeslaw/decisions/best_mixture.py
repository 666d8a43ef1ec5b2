"""Best mixture: the shares of many sources with the smallest loss, every draw deciding for itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import xarray as xr

from bayeslaw import simplex
from bayeslaw.decisions.question import given, open_columns
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.law import Law
from bayeslaw.mixtures import WEIGHT, as_weights, blend, bounds
from bayeslaw.quantity import CI_PROB, Censored, Quantity

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["Mixture", "best_mixture", "importance"]

BEYOND = 0.01
"""By how much a share may exceed the largest one that was tried before the answer says so."""


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Censored):
    """The best shares of every draw, some of them at the ends of what was allowed.

    Parameters
    ----------
    goal : callable
        The loss that was minimised (nats; dims chain, draw and those of the question) of given shares.
    recommended : xarray.DataArray
        The one mixture with the smallest expected loss, which is what to train on; dim ``source``.
    """

    goal: Callable[[xr.DataArray], xr.DataArray] = field(kw_only=True)
    recommended: xr.DataArray = field(kw_only=True)

    def plot(self, ax: Any = None, prob: float = CI_PROB) -> Any:
        """Draw it; see `bayeslaw.plots.plot_mixture`, and where there are several `bayeslaw.plots.plot_quantity`."""
        from bayeslaw.plots import plot_mixture

        several = any(dim != "source" for dim in self.recommended.dims)
        return super().plot(ax, prob) if several else plot_mixture(self, ax, prob)

    def regret(self, candidate: Any = None) -> Quantity:
        """Return how many nats a candidate lies above each draw's own best; its mean is the expected regret.

        Parameters
        ----------
        candidate : mapping, Series, DataFrame or DataArray, optional
            Shares by source (see `bayeslaw.mixtures.as_weights`); left out: the recommended mixture.
        """
        shares = self.recommended if candidate is None else as_weights(candidate, self.draws["source"].values)
        above = (self.goal(shares) - self.goal(self.draws)).clip(0)
        asked = {**self.inputs, "candidate": "recommended" if candidate is None else "given"}
        return Quantity("regret", above.transpose("chain", "draw", ...), "nats per token", self.what, asked)

    def probability_within(self, candidate: Any, tolerance: float) -> xr.DataArray:
        """Return the probability that a candidate's loss is at most `tolerance` nats above the best.

        Raises
        ------
        RangeError
            The tolerance is not above 0.
        """
        if not 0 < tolerance < np.inf:
            raise RangeError(f"tolerance is {tolerance}: give nats above 0")
        return (self.regret(candidate).draws <= tolerance).mean(["chain", "draw"])

    def gain(self, over: Any, mixture: Any = None) -> Quantity:
        """Return by how many nats a mixture (left out: the recommended one) lies below another, in every draw.

        The probability that it is better is the share of the draws above 0.
        """
        known = self.draws["source"].values
        shares = self.recommended if mixture is None else as_weights(mixture, known)
        difference = self.goal(as_weights(over, known)) - self.goal(shares)
        return Quantity("gain", difference.transpose("chain", "draw", ...), "nats per token", self.what, self.inputs)


def best_mixture(
    fit: "Fit",
    *,
    goal: str | Mapping[str, float] | None = None,
    N: Any = None,
    D: Any = None,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    vectors: pd.DataFrame | None = None,
    **groups: Any,
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
        Bounds on the share of a source, for example what a repetition limit allows: tokens at hand x repetitions / D.
    vectors : DataFrame, optional
        Domain vectors (rows meta-domains, columns data sets) for a law fitted to meta-domains: the answer is then in
        shares of those data sets, whether they were trained on or not.
    **groups
        Labels of what coefficients vary over.

    Returns
    -------
    Mixture
        Dims (chain, draw, source, ...); `p_never` and `p_always` say how often a source is at its bounds.

    Raises
    ------
    LawError
        The law does not know shares of sources.
    RangeError
        The bounds leave no mixture, or importances are not at least 0.
    UnknownName
        A source, validation set or label does not exist.

    Notes
    -----
    Every draw's optimum is certified to within 1e-7 nats where the law is convex in the shares, as data_mixing,
    data_mixing_m1, regmix and nested_data_mixing are; the note counts the draws of others that did not get there.
    Unless rows outside the law's range were fitted, shares stay inside it.
    """
    counted = importance(goal, fit.evals)
    asked = given(N=N, D=D, **groups)
    known = fit.model.design.over.get("source", np.array(["any"]))
    even: Any = {WEIGHT: dict.fromkeys(known, 1 / len(known))}
    columns = open_columns(fit, even, asked)
    map_to = None if vectors is None else _map_to(known, vectors)
    names = [str(s) for s in (known if map_to is None else map_to["source"].values)]
    inside = fit.model.law.covariates[WEIGHT].valid if fit.model.outside != "include" and map_to is None else (0.0, 1.0)
    low, high = bounds(names, at_least, at_most, inside)
    problem = _Problem(fit, columns.drop_vars(WEIGHT), counted, map_to)
    draws, gap = simplex.minimise(problem.each, problem.count, low, high)
    single, _ = simplex.minimise(problem.expected, problem.cells, low, high)
    label = {"source": names}
    optimum = problem.unstacked(draws, label)
    optimum = optimum.transpose("chain", "draw", "source", ...)
    recommended = problem.of_cells(single, label).transpose("source", ...)
    return Mixture(
        "best_mixture",
        optimum,
        "1",
        "mean law",
        {**asked, "goal": counted.to_series().to_dict(), **given(at_most=at_most, at_least=at_least)},
        _note(fit, optimum, gap, vectors is not None),
        low=xr.DataArray(low, dims="source", coords=label),
        high=xr.DataArray(high, dims="source", coords=label),
        goal=problem.goal,
        recommended=recommended,
    )


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


def importance(goal: str | Mapping[str, float] | None, evals: list[str]) -> xr.DataArray:
    """Return the importance of every validation set that counts, with a sum of 1; dim ``eval``."""
    weights = {goal: 1.0} if isinstance(goal, str) else dict(goal or dict.fromkeys(evals, 1.0))
    for name in weights:
        if name not in evals:
            raise unknown_name("validation set", name, evals)
    if not (all(0 <= w < np.inf for w in weights.values()) and sum(weights.values()) > 0):
        raise RangeError(f"goal is {goal}: importances are at least 0, and some above it")
    counted = {k: w / sum(weights.values()) for k, w in weights.items() if w > 0}
    return xr.DataArray(list(counted.values()), dims="eval", coords={"eval": list(counted)})


def _note(fit: "Fit", optimum: xr.DataArray, gap: np.ndarray, blended: bool) -> str:
    notes = []
    if (open_ := float((gap > 10 * simplex.GAP).mean())) > 0:
        notes.append(f"{100 * open_:.2g} % of the draws may lie up to {gap.max():.2g} nats above their best")
    if not blended:
        largest = fit.model.design.rows[WEIGHT].max("row")
        beyond = (optimum > largest + BEYOND).mean([d for d in optimum.dims if d != "source"])
        if far := [str(s) for s in optimum["source"].values[beyond.values > 0.1]]:
            shown = ", ".join(far[:3]) + (f" and {len(far) - 3} others" if len(far) > 3 else "")
            notes.append(f"more of {shown} than any run had, in at least a tenth of the draws")
    return "; ".join(notes)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The goal as a function of shares, for every draw and cell of the question, with its slope."""

    fit: "Fit"
    columns: xr.Dataset
    importance: xr.DataArray
    map_to: xr.DataArray | None

    def goal(self, shares: xr.DataArray) -> xr.DataArray:
        """Return the weighted mean loss of named shares."""
        if self.map_to is not None:
            shares = xr.dot(self.map_to, shares, dim="source").rename(meta_domain="source")
        loss = self.fit.loss(self.columns.assign({WEIGHT: shares}))
        mean: xr.DataArray = xr.dot(loss.sel(eval=self.importance["eval"]), self.importance, dim="eval")
        return mean

    @cached_property
    def _arrays(self) -> tuple[xr.DataArray, list[np.ndarray], list[np.ndarray]]:
        """Return a template (cells, then draws), the covariates but shares, and the coefficients; points last."""
        law, evals = self.fit.model.law, self.importance["eval"].values
        here = self.columns.assign({WEIGHT: xr.DataArray(0.0)}).assign_coords(eval=evals)
        inputs = law.inputs(here, self.fit.model.reference)
        del inputs[WEIGHT]
        coefficients = {k: c.sel(eval=evals) for k, c in self.fit.coefficients(self.columns).items()}
        arrays = xr.broadcast(*inputs.values(), *coefficients.values(), exclude=["source"])
        full = [a.reset_coords(drop=True) for a in arrays]
        template = full[0].isel(source=0, eval=0, drop=True, missing_dims="ignore")
        cells = [d for d in template.dims if d not in ("chain", "draw")]
        template = template.transpose(*cells, "chain", "draw")
        order = [*cells, "chain", "draw"]
        flat = [a.transpose("source", "eval", *order, missing_dims="ignore") for a in full]
        values = [np.ascontiguousarray(a.values.reshape(*a.shape[: a.ndim - len(order)], -1), float) for a in flat]
        return template, values[: len(inputs)], values[len(inputs) :]

    @property
    def count(self) -> int:
        """Number of optima: draws times cells of the question."""
        return int(self._arrays[0].size)

    @property
    def cells(self) -> int:
        """Number of cells of the question."""
        template = self._arrays[0]
        return self.count // (template.sizes["chain"] * template.sizes["draw"])

    def each(self, x: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return goal and slope (point, source) at shares (point, source) of the draws and cells by number."""
        _, inputs, coefficients = self._arrays
        shares = x if self.map_to is None else x @ self.map_to.values.T
        whole = len(number) == self.count
        values, slope = slope_in_shares(self.fit.model.law)(
            np.ascontiguousarray(shares.T[:, None]),
            self.importance.values[:, None],
            *(a if whole else a[..., number] for a in (*inputs, *coefficients)),
        )
        slope = slope[:, 0].T
        return values, slope if self.map_to is None else slope @ self.map_to.values

    def expected(self, x: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means over draws of goal and slope at one mixture (cell, source) per cell of the question."""
        per_cell = self.count // self.cells
        points = (number[:, None] * per_cell + np.arange(per_cell)).ravel()
        values, slope = self.each(np.repeat(x, per_cell, axis=0), points)
        return values.reshape(len(x), -1).mean(1), slope.reshape(len(x), per_cell, -1).mean(1)

    def unstacked(self, x: np.ndarray, label: Mapping[str, list[str]]) -> xr.DataArray:
        """Return shares (point, source) with the names of draws and cells."""
        template = self._arrays[0]
        shape = (*template.shape, x.shape[-1])
        return xr.DataArray(x.reshape(shape), dims=(*template.dims, "source"), coords={**template.coords, **label})

    def of_cells(self, x: np.ndarray, label: Mapping[str, list[str]]) -> xr.DataArray:
        """Return shares (cell, source) with the names of the cells."""
        template = self._arrays[0].isel(chain=0, draw=0, drop=True)
        shape = (*template.shape, x.shape[-1])
        return xr.DataArray(x.reshape(shape), dims=(*template.dims, "source"), coords={**template.coords, **label})


_COMPILED: dict[Callable[..., Any], Callable[..., Any]] = {}


def slope_in_shares(law: Law) -> Callable[..., Any]:
    """Return a compiled function: shares, importances, other covariates, coefficients to the goal and its slope.

    Shares have the axes (source, 1, point), importances (eval, 1), all else (eval, point) or (source, eval, point).
    """
    if law.function not in _COMPILED:
        shares = pt.tensor(WEIGHT, dtype="float64", shape=(None, 1, None))
        importance = pt.tensor("importance", dtype="float64", shape=(None, 1))
        covariates = {k: shares if k == WEIGHT else pt.dmatrix(k) for k in law.covariates}
        coefficients = {k: pt.dtensor3(k) if c.over else pt.dmatrix(k) for k, c in law.coefficients.items()}
        goal = (importance * law.function(*covariates.values(), **coefficients)).sum(axis=0)
        slope: Any = pt.grad(goal.sum(), shares)
        others = [v for k, v in covariates.items() if k != WEIGHT]
        _COMPILED[law.function] = pytensor.function(
            [shares, importance, *others, *coefficients.values()],
            [goal, slope],
            mode="FAST_COMPILE",
            on_unused_input="ignore",
        )
    return _COMPILED[law.function]
