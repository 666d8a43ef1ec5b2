"""Figures of a fit beside the data and beside its prior."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import level
from bayeslaw.base.words import place
from bayeslaw.decisions.question import given
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.plots import style
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.prediction import at_rows
from bayeslaw.posterior.quantity import Censored
from bayeslaw.posterior.sensitivity import in_prior_units
from bayeslaw.spec.ranges import inside

__all__ = ["plot_fit", "plot_forest", "plot_learned", "plot_prior_posterior", "plot_shares"]

TOKENS_FACTOR = 1.1
"""The figure over shares shows checkpoints whose tokens lie within this factor of those asked for."""

LINE_POINTS = 61
"""Points of the line along which prior and posterior are compared."""

TALLEST = 2.5
"""The losses of a prior are shown up to this multiple of the largest measured loss: heavy tails reach far beyond."""


@checked
def plot_shares(
    fit: Posterior,
    N: float | None = None,
    D: float | None = None,
    ax: Axes | None = None,
    domain: str | None = None,
    prob: float = CI_PROB,
    ratio: Censored | None = None,
    U: float | None = None,
    **groups: Any,
) -> Axes:
    """Plot the loss of every validation set over the domain share, with the measurements there.

    The points are the runs of model size `N` (and of so many unique tokens `U`), each at its checkpoint nearest to `D`;
    points that the fit did not use are hollow. Leave out what the law does not depend on. `ratio`, a critical or best
    ratio, is marked with its interval; `groups` gives the other labels that coefficients vary over, by name.
    """
    ax, design = style.axes_or_new(ax), fit.model.design
    rows, chosen = design.rows, given(domain=domain, **groups)
    share = rows["domain_share"].values
    grid = np.linspace(share.min(), share.max(), 41)
    at = {"domain_share": grid, **given(N=N, D=D, U=U), **chosen}
    draws = predict(fit, **at).draws
    if fit.model.outside != "include":
        draws = draws.where(inside(fit.model.law, design.with_evals(fit.columns(**at))))
    here = np.ones(len(share), bool)
    for name, value in given(N=N, U=U).items():
        here &= np.isclose(rows[name].values, value)
    for name, label in chosen.items():
        here &= rows[name].values == label
    away = pd.Series(0.0 if D is None else np.abs(np.log(rows["D"].values / D)), range(len(share)))
    nearest = away[here].groupby(rows["run"].values[here]).idxmin().to_numpy(int)
    near = nearest[away[nearest] <= np.log(TOKENS_FACTOR)]
    style.losses(ax, draws, rows.isel(row=near), design.measured.isel(row=near), "domain_share", prob, fit.model.unit)
    if ratio is not None:
        style.mark(ax, ratio, prob)
    tokens = f"at {place(given(D=D))}; " if D is not None else ""
    where = ", ".join([place(given(N=N, U=U)), *map(str, chosen.values())]).strip(", ")
    return style.finish(ax, where, f"{tokens}line: median, band: {level(prob)}")


@checked
def plot_fit(fit: Posterior, ax: Axes | None = None, prob: float = CI_PROB) -> Axes:
    """Plot the losses of the mean law, with their interval, against the measured ones.

    Points on the grey line agree; points that the fit did not use are hollow.
    """
    ax, design = style.axes_or_new(ax), fit.model.design
    predicted, loss = at_rows(fit), design.rows["loss"]
    for colour, marker, name in zip(style.colours(), style.markers(), design.evals, strict=False):
        measured = loss.sel(eval=name).values
        low, middle, high = style.quantiles(predicted.sel(eval=name), prob)
        ax.vlines(measured, low, high, color=colour, lw=1, alpha=0.6)
        style.points(ax, measured, middle, design.measured.sel(eval=name).values, colour, marker, size=14)
        ax.scatter([], [], s=14, marker=marker, color=colour, label=f"{name} loss")
    ends = [float(loss.min()), float(loss.max())]
    ax.plot(ends, ends, color="0.6", lw=1, zorder=0)
    loss_axis = style.loss_axis(fit.model.unit)
    ax.set(xlabel=f"measured {loss_axis}", ylabel=f"predicted {loss_axis}")
    return style.finish(ax, note=f"{fit.mean_name}, {level(prob)} intervals")


@checked
def plot_learned(
    fit: Posterior,
    prior: Posterior | None = None,
    eval: str | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
    prob: float = CI_PROB,
) -> np.ndarray:
    """Plot the loss before the data (above, grey) and after them (below, colour), along one line of the study.

    The line runs along the covariate that the law is about: the domain share, the source whose share varies most, the
    upsampled window, the steps of the longest run, tokens, or parameters. The other covariates are those of the largest
    run. Each axes has its own scale, so that both bands can be read; the upper one has the later median too.

    Parameters
    ----------
    fit : Fit
        The posterior.
    prior : Fit, optional
        Draws from its prior; by default ``fit.model.prior_predictive(draws=300)``.
    eval : str, optional
        The validation set; by default the first.
    axes : pair of matplotlib Axes, optional
        Where to draw; by default new ones.
    prob : float
        Probability of the bands (equal-tailed).

    Returns
    -------
    array of Axes
        The axes before and after.

    Raises
    ------
    UnknownName
        The fit has no such validation set.
    """
    name = fit.evals[0] if eval is None else eval
    if name not in fit.evals:
        raise unknown_name("validation set", name, fit.evals)
    if axes is None:
        axes = plt.subplots(2, figsize=(style.COLUMN, 1.5 * style.HEIGHT), sharex=True, layout="constrained")[1]
    above, below = style.given_axes(axes, 2, "before and after the data")
    prior = prior_predictive(fit.model, draws=300) if prior is None else prior
    columns, along, label = _line(fit, name)
    own = style.COLOURS[fit.evals.index(name) % len(style.COLOURS)]
    before, after = (one.loss(columns).sel(eval=name).assign_coords({along: columns[along]}) for one in (prior, fit))
    style.band(above, before, along, "0.5", "before the data", prob)
    above.plot(columns[along], style.quantiles(after, prob)[1], color=own, lw=1.6)
    style.band(below, after, along, own, f"{name} loss after the data", prob)
    low, high = above.get_ylim()
    tallest = TALLEST * float(fit.model.design.rows["loss"].sel(eval=name).max())
    above.set_ylim(max(low, 0), min(high, tallest))
    for ax in (above, below):
        style.scale(ax, columns[along].values)
        ax.set_ylabel(style.loss_axis(fit.model.unit))
    below.set_xlabel(label)
    style.finish(above, f"{name} loss", f"line: median, band: {level(prob)}")
    style.finish(below)
    return np.array([above, below])


def _line(fit: Posterior, name: str) -> tuple[xr.Dataset, str, str]:
    """Return columns along one line of the study, the dim that counts along it, and the label of its axis."""
    design, law = fit.model.design, fit.model.law
    rows = design.rows
    wanted = list(dict.fromkeys([*law.columns, *design.groups]))
    if law.path in rows and law.path not in law.columns and design.has_checkpoints():
        longest = rows["run"].values[int(np.argmax(rows[law.path].values))]
        rows = rows.isel(row=rows["run"].values == longest).swap_dims(row=law.path)
        return rows[[*wanted, law.path]], law.path, f"{style.axis(law.path)} of {longest}"
    size = sum(np.log(rows[c].values) for c in ("N", "D", law.path) if c in rows and c in law.columns)
    largest = rows.isel(row=int(np.argmax(np.broadcast_to(size, rows.sizes["row"]))))
    fixed = largest[wanted].reset_coords(drop=True)
    if law.kind == "mixture":
        shares = rows[WEIGHT]
        source = str(shares["source"].values[int((shares.max("row") - shares.min("row")).argmax("source"))])
        share = _points(shares.sel(source=source).values, "share")
        others = shares.mean("row").where(shares["source"] != source, 0.0)
        mixture = xr.where(shares["source"] == source, share, (1 - share) * others / others.sum())
        return fixed.assign({WEIGHT: mixture.reset_coords(drop=True)}), "share", f"share of {source}"
    column = next((c for c in ("domain_share", "duration", "D", "N") if c in law.columns), law.columns[0])
    counted = rows[column].values[design.measured.sel(eval=name).values]
    return fixed.drop_vars(column).assign({column: _points(counted, column)}), column, style.axis(column)


def _points(values: np.ndarray, name: str) -> xr.DataArray:
    points = style.spaced(values, LINE_POINTS)
    return xr.DataArray(points, dims=name, coords={name: points})


@checked
def plot_forest(
    fits: Mapping[str, Posterior], name: str, ax: Axes | None = None, *, eval: str | None = None, prob: float = CI_PROB
) -> Axes:
    """Plot one coefficient of every group in several fits side by side, for example pooled, partial and separate.

    A fit in which all groups share the coefficient shows the same interval in each of them.

    Parameters
    ----------
    fits : mapping of str to Fit
        Fits by their name in the legend; the coefficient varies by groups in at least one.
    name : str
        The coefficient.
    eval : str, optional
        The validation set; by default the last.
    ax, prob
        See `bayeslaw.plots.plot_quantity`.

    Raises
    ------
    UnknownName
        A fit has no such coefficient or validation set.
    RangeError
        All groups share the coefficient in every fit.
    """
    ax, draws = style.axes_or_new(ax), {}
    for label, fit in fits.items():
        if name not in (known := fit.model.law.coefficients):
            raise unknown_name(f"coefficient of {label}", name, known)
        if eval is not None and eval not in fit.evals:
            raise unknown_name(f"validation set of {label}", eval, fit.evals)
        own = fit.posterior[name]
        draws[label] = own.sel(eval=eval or fit.evals[-1]) if "eval" in own.dims else own
    dim = next((d for c in draws.values() for d in style.labels(c)), None)
    if dim is None:
        raise RangeError(f"{name} is the same for all groups in every fit: give a fit in which it varies, with by=")
    groups = next(c for c in draws.values() if dim in c.dims)[dim]
    series = {
        label: c.sel({dim: groups}) if dim in c.dims else c.expand_dims({dim: groups}) for label, c in draws.items()
    }
    style.coefficients(ax, next(iter(fits.values())).model.law, name, series, dim, prob)
    return style.finish(ax, note=f"intervals: {level(prob)}")


@checked
def plot_prior_posterior(fit: Posterior, ax: Axes | None = None, prob: float = CI_PROB) -> Axes:
    """Plot every coefficient in standard deviations of its prior.

    The grey stripe is the prior. The data have not changed a coefficient whose interval fills the stripe; they
    contradict the prior of one whose interval lies outside. There is one interval per validation set (colour) and
    group.
    """
    ax = style.axes_or_new(ax)
    colour_of = dict(zip(fit.model.design.evals, style.colours(), strict=False))
    standard = in_prior_units(fit)
    half = NormalDist().inv_cdf((1 + prob) / 2)
    ax.axvspan(-half, half, color="0.9", zorder=0, label="prior")
    for row, draws in enumerate(standard.values()):
        parts = list(style.each(draws))
        for offset, (_, part) in zip(style.offsets(len(parts)), parts, strict=True):
            low, middle, high = style.quantiles(part, prob)
            colour = colour_of[str(part["eval"].item())]
            ax.plot([low, high], [row + offset] * 2, color=colour, lw=1.5)
            ax.plot(middle, row + offset, "o", color=colour, ms=3)
    for name, colour in colour_of.items():
        ax.plot([], [], color=colour, label=str(name))
    ax.set_yticks(range(len(standard)), list(standard))
    ax.invert_yaxis()
    ax.set_xlabel("standard deviations of the prior, from its middle")
    return style.finish(ax, note=f"intervals: {level(prob)}")
