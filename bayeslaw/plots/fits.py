"""Figures of a fit: beside the data, and beside its prior."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayeslaw.decisions.question import given
from bayeslaw.design import inside
from bayeslaw.plots.style import axes_or_new, axis, band, colours, each, finish, mark, markers, points, quantiles
from bayeslaw.quantity import CI_PROB, Ratio
from bayeslaw.sensitivity import at_rows, in_prior_units
from bayeslaw.words import amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayeslaw.fit import Fit

__all__ = ["plot_fit", "plot_prior_posterior", "plot_shares"]

NEAR = 1.1
"""Measurements within this factor of the asked number of tokens are shown beside the band."""


def plot_shares(
    fit: "Fit",
    N: float | None = None,
    D: float | None = None,
    ax: "Axes | None" = None,
    domain: str | None = None,
    prob: float = CI_PROB,
    ratio: Ratio | None = None,
) -> "Axes":
    """Plot the loss of every validation set over the domain share, with what was measured there.

    Measurements at model size `N`, and of every run there the checkpoint nearest to `D`, are points; hollow ones lie
    outside the law's range and did not count in the fit. A law without one of them is asked without it. A critical or
    best `ratio` is marked with its interval.
    """
    ax, model = axes_or_new(ax), fit.model
    table, evals = model.design.rows, model.design.evals
    share = table["domain_share"].values
    at = given(N=N, D=D, domain=domain)
    grid = np.linspace(share.min(), share.max(), 41)
    draws = fit.predict(domain_share=grid, **at).draws
    columns = xr.Dataset(coords={"domain_share": grid, "eval": evals}).assign(given(N=N, D=D))
    draws = draws.where(inside(model.law, columns) if model.outside == "exclude" else xr.DataArray(True))
    here = np.ones(len(share), bool) if N is None else np.isclose(table["N"].values, N)
    if domain is not None:
        here &= table["domain"].values == domain
    away = np.zeros(len(share)) if D is None else np.abs(np.log(table["D"].values / D))
    nearest = [rows[np.argmin(away[rows])] for rows in _rows_by_run(table["run"].values, here)]
    rows = np.array([r for r in nearest if away[r] <= np.log(NEAR)], int)
    for colour, marker, name in zip(colours(), markers(), evals, strict=False):
        band(ax, draws.sel(eval=name).squeeze(drop=True), "domain_share", colour, f"{name} loss", prob)
        counts = model.design.measured.sel(eval=name).values[rows]
        points(ax, share[rows], table["loss"].sel(eval=name).values[rows], counts, colour, marker)
    if ratio is not None:
        mark(ax, ratio, prob)
    ax.set(xlabel=axis("domain_share"), ylabel="loss (nats per token)")
    where = [f"{name} = {amount(value)}" for name, value in given(N=N, D=D).items()]
    return finish(ax, ", ".join([*where, *([] if domain is None else [domain])]))


def plot_fit(fit: "Fit", ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot the losses of the mean law, with their interval, against the measured ones, in nats per token.

    Points on the grey line agree; hollow ones lie outside the law's range and did not count in the fit.
    """
    ax, design = axes_or_new(ax), fit.model.design
    losses, low_high = at_rows(fit), []
    for colour, marker, name in zip(colours(), markers(), design.evals, strict=False):
        measured = design.rows["loss"].sel(eval=name).values
        counts = design.measured.sel(eval=name).values
        low, middle, high = quantiles(losses.sel(eval=name), prob)
        ax.vlines(measured, low, high, color=colour, lw=1, alpha=0.6)
        points(ax, measured, middle, counts, colour, marker, size=14)
        ax.scatter([], [], s=14, marker=marker, color=colour, label=f"{name} loss")
        low_high += [measured.min(), measured.max()]
    ends = [min(low_high), max(low_high)]
    ax.plot(ends, ends, color="0.6", lw=1, zorder=0)
    ax.set(xlabel="measured loss (nats per token)", ylabel="predicted loss (nats per token)")
    return finish(ax, f"mean law, {prob:.0%} intervals")


def plot_prior_posterior(fit: "Fit", ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot where the data have moved every coefficient, in standard deviations of its prior.

    The grey stripe is the prior; an interval that fills it has learned nothing, one outside it contradicts it. There
    is one interval per validation set (colour) and group.
    """
    ax, evals = axes_or_new(ax), fit.model.design.evals
    colour_of = dict(zip(evals, colours(), strict=False))
    standard = in_prior_units(fit)
    half = _half_width(prob)
    ax.axvspan(-half, half, color="0.9", zorder=0, label="prior")
    for height, (_, draws) in enumerate(standard.items()):
        parts = list(each(draws))
        offsets = np.linspace(-0.3, 0.3, len(parts)) if len(parts) > 1 else [0.0]
        for offset, (_, part) in zip(offsets, parts, strict=True):
            low, middle, high = quantiles(part, prob)
            colour = colour_of[str(part["eval"].item())]
            ax.plot([low, high], [height + offset] * 2, color=colour, lw=1.5)
            ax.plot(middle, height + offset, "o", color=colour, ms=3)
    for name, colour in colour_of.items():
        ax.plot([], [], color=colour, label=str(name))
    ax.set_yticks(range(len(standard)), list(standard))
    ax.invert_yaxis()
    ax.set_xlabel("standard deviations of the prior, from its middle")
    return finish(ax, f"intervals: {prob:.0%}", loc="upper left", bbox_to_anchor=(1, 1))


def _half_width(prob: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + prob) / 2)


def _rows_by_run(run: np.ndarray, here: np.ndarray) -> Iterator[np.ndarray]:
    for name in np.unique(run[here]):
        yield np.flatnonzero(here & (run == name))
