"""Figures of a fit: beside the data, and beside its prior."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslaw.base.errors import RangeError, unknown_name
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.words import amount
from bayeslaw.decisions.question import given
from bayeslaw.declare.laws import WEIGHT
from bayeslaw.plots.style import (
    COLOURS,
    axes_or_new,
    axis,
    band,
    colours,
    each,
    finish,
    labels,
    mark,
    markers,
    plain,
    points,
    quantiles,
)
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.prediction import at_rows
from bayeslaw.posterior.quantity import Censored
from bayeslaw.posterior.sensitivity import in_prior_units
from bayeslaw.spec.design import inside

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_fit", "plot_forest", "plot_learned", "plot_prior_posterior", "plot_shares"]

NEAR = 1.1
"""Measurements within this factor of the asked number of tokens are shown beside the band."""


def plot_shares(
    fit: Posterior,
    N: float | None = None,
    D: float | None = None,
    ax: "Axes | None" = None,
    domain: str | None = None,
    prob: float = CI_PROB,
    ratio: Censored | None = None,
    **groups: Any,
) -> "Axes":
    """Plot the loss of every validation set over the domain share, with what was measured there.

    Measurements at model size `N`, and of every run there the checkpoint nearest to `D`, are points; hollow ones lie
    outside the law's range and did not count in the fit. A law without one of them is asked without it. A critical or
    best `ratio` is marked with its interval; other labels that coefficients vary over go by name in `groups`.
    """
    ax, model = axes_or_new(ax), fit.model
    table, evals = model.design.rows, model.design.evals
    share = table["domain_share"].values
    at = given(N=N, D=D, domain=domain, **groups)
    grid = np.linspace(share.min(), share.max(), 41)
    draws = predict(fit, domain_share=grid, **at).draws
    columns = fit.columns(domain_share=grid, **at).assign_coords(eval=evals)
    draws = draws.where(inside(model.law, columns) if model.outside == "exclude" else xr.DataArray(True))
    here = np.ones(len(share), bool) if N is None else np.isclose(table["N"].values, N)
    for name, label in given(domain=domain, **groups).items():
        here &= table[name].values == label
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
    return finish(ax, ", ".join([*where, *map(str, given(domain=domain, **groups).values())]))


def plot_fit(fit: Posterior, ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
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


def plot_learned(
    fit: Posterior,
    prior: Posterior | None = None,
    eval: str | None = None,
    ax: "Axes | None" = None,
    prob: float = CI_PROB,
) -> "Axes":
    """Plot what the data have taught: the loss before them (grey) and after them (colour), along one line of the study.

    The line runs along what the law is about: the domain share, the source whose share varied most, the upsampled
    window, the steps of the longest run, tokens, or parameters. All else is as in the largest run.

    Parameters
    ----------
    fit : Fit
        The posterior.
    prior : Fit, optional
        Draws from its prior, ``fit.model.prior_predictive()``; drawn here when left out.
    eval : str, optional
        The validation set; left out: the first.
    ax : matplotlib Axes, optional
        Where to draw.
    prob : float
        Probability of the bands (equal-tailed).
    """
    ax, name = axes_or_new(ax), fit.evals[0] if eval is None else eval
    prior = prior_predictive(fit.model, draws=300) if prior is None else prior
    columns, along, label = _line(fit, name)
    own = COLOURS[fit.evals.index(name) % len(COLOURS)]
    for one, colour, when in ((prior, "0.55", "before the data"), (fit, own, "after")):
        draws = one.loss(columns).sel(eval=name).squeeze(drop=True)
        band(ax, draws.assign_coords({along: columns[along]}), along, colour, when, prob)
    x, low, high = columns[along].values, *ax.get_ylim()
    if x.min() > 0 and x.max() / x.min() > 30:
        ax.set_xscale("log")
    ax.set(xlabel=label, ylabel="loss (nats per token)", ylim=(max(low, 0), min(high, _tallest(fit, name))))
    return finish(ax, f"{name} loss; bands: {prob:.0%}")


def _tallest(fit: Posterior, name: str) -> float:
    """Return the largest loss worth showing: heavy-tailed priors reach where no loss was ever measured."""
    return 2.5 * float(fit.model.design.rows["loss"].sel(eval=name).max())


def _line(fit: Posterior, name: str) -> tuple[xr.Dataset, str, str]:
    """Return columns along one line of the study, the dim that counts along it, and what that is called."""
    design, law = fit.model.design, fit.model.law
    wanted = list(dict.fromkeys([*law.columns, *design.groups]))
    size = sum(np.log(design.rows[c].values) for c in ("N", "D", law.path) if c in design.rows and c in law.columns)
    largest = design.rows.isel(row=int(np.argmax(np.broadcast_to(size, design.rows.sizes["row"]))))
    if law.path in design.rows and law.path not in law.columns and design.has_checkpoints():
        run = design.rows["run"].values
        longest = run[int(np.argmax(design.rows[law.path].values))]
        rows = design.rows.isel(row=np.flatnonzero(run == longest)).swap_dims(row=law.path)
        return rows[[*wanted, law.path]], law.path, f"{axis(law.path)} of {longest}"
    fixed = largest[wanted].reset_coords(drop=True)
    if law.kind == "mixture":
        shares = design.rows[WEIGHT]
        source = str(shares["source"].values[int((shares.max("row") - shares.min("row")).argmax("source"))])
        tried = shares.sel(source=source)
        share = _along(float(tried.min()), float(tried.max()), "share")
        others = shares.mean("row").where(shares["source"] != source, 0.0)
        mixture = xr.where(shares["source"] == source, share, (1 - share) * others / others.sum())
        return fixed.assign({WEIGHT: mixture.reset_coords(drop=True)}), "share", f"share of {source}"
    column = next((c for c in ("domain_share", "duration", "D", "N") if c in law.columns), law.columns[0])
    inside = design.rows[column].values[design.measured.sel(eval=name).values]
    low, high = float(inside.min()), float(inside.max())
    rest = fixed.drop_vars(column)
    return xr.Dataset({**rest.data_vars, column: _along(low, high, column)}), column, axis(column)


def _along(low: float, high: float, name: str) -> xr.DataArray:
    spaced = np.geomspace if low > 0 and high / low > 30 else np.linspace
    values = spaced(low, high, 61)
    return xr.DataArray(values, dims=name, coords={name: values})


def plot_forest(
    fits: Mapping[str, Posterior],
    name: str,
    ax: "Axes | None" = None,
    *,
    eval: str | None = None,
    prob: float = CI_PROB,
) -> "Axes":
    """Plot one coefficient of every group in several fits side by side, for example pooled, partial and separate.

    A fit in which all groups share the coefficient shows the same interval in each of them.

    Parameters
    ----------
    fits : mapping of str to Fit
        By the name for the legend; in one at least the coefficient varies by groups.
    name : str
        The coefficient.
    ax : matplotlib Axes, optional
        Where to draw.
    eval : str, optional
        The validation set; the last one unless asked.
    prob : float
        Probability of the intervals (equal-tailed).

    Raises
    ------
    UnknownName
        A fit has no such coefficient or validation set.
    RangeError
        All groups share the coefficient in every fit.
    """
    ax, draws = axes_or_new(ax), {}
    for label, fit in fits.items():
        if name not in (known := fit.model.law.coefficients):
            raise unknown_name(f"coefficient of {label}", name, known)
        if eval is not None and eval not in fit.evals:
            raise unknown_name(f"validation set of {label}", eval, fit.evals)
        draws[label] = fit.posterior[name].sel(eval=eval or fit.evals[-1])
    dim = next((d for c in draws.values() for d in labels(c)), None)
    if dim is None:
        raise RangeError(f"all groups share {name} in every fit: give one in which it varies, with by=")
    groups = next(c for c in draws.values() if dim in c.dims)[dim].values
    offsets = np.linspace(-0.25, 0.25, len(draws)) if len(draws) > 1 else [0.0]
    for offset, colour, marker, (label, c) in zip(offsets, colours(), markers(), draws.items(), strict=False):
        own = c.sel({dim: groups}) if dim in c.dims else c.expand_dims({dim: groups})
        low, middle, high = quantiles(own, prob)
        height = np.arange(len(groups)) + offset
        ax.hlines(height, low, high, color=colour, lw=1.5)
        ax.plot(middle, height, marker, color=colour, ms=4, ls="", label=label)
    ax.set_yticks(range(len(groups)), [plain(str(g)) for g in groups])
    ax.invert_yaxis()
    unit = next(iter(fits.values())).model.law.coefficients[name].unit
    ax.set_xlabel(name if unit == "1" else f"{name} ({unit})")
    return finish(ax, f"intervals: {prob:.0%}")


def plot_prior_posterior(fit: Posterior, ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
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
