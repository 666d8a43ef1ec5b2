"""Figures of the answers, in one house style. A face: nothing imports it while loading.

Every function draws on the axes it is given, or on new ones, and returns them.
"""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslaw.design import inside
from bayeslaw.quantity import CI_PROB, Quantity, Ratio
from bayeslaw.sensitivity import at_rows, in_prior_units
from bayeslaw.words import amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayeslaw.fit import Fit

__all__ = ["plot_critical_ratio", "plot_fit", "plot_prior_posterior", "plot_quantity", "plot_shares"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers."""

NEAR = 1.1
"""Measurements within this factor of the asked number of tokens are shown beside the band."""

SAMPLE_DIMS = ("chain", "draw")


def plot_quantity(q: Quantity, ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot a quantity: a line and its band along its longest numeric dim, a density where it has none.

    Parameters
    ----------
    q : Quantity
        Any prediction or decision.
    ax : matplotlib Axes, optional
        Where to draw.
    prob : float
        Probability of the band (equal-tailed).
    """
    ax = _axes(ax)
    numeric = [d for d in _labels(q.draws) if q.draws.sizes[d] > 1 and np.issubdtype(q.draws[d].dtype, np.number)]
    unit = f" ({q.unit})" if q.unit not in ("", "1") else ""
    if not numeric:
        for colour, (label, part) in zip(_colours(), _each(q.draws), strict=False):
            _density(ax, part, colour, label, prob)
        ax.set(xlabel=f"{q.name}{unit}", ylabel="posterior density")
        return _finish(ax)
    along = max(numeric, key=lambda d: q.draws.sizes[d])
    for colour, (label, part) in zip(_colours(), _each(q.draws, along), strict=False):
        _band(ax, part, along, colour, label, prob)
    x = q.draws[along].values
    if x.min() > 0 and x.max() / x.min() > 30:
        ax.set_xscale("log")
    ax.set(xlabel=_axis(along), ylabel=f"{q.name}{unit}")
    return _finish(ax, f"line: median, band: {prob:.0%}")


def plot_shares(
    fit: "Fit", N: float, D: float, ax: "Axes | None" = None, domain: str | None = None, prob: float = CI_PROB
) -> "Axes":
    """Plot the loss of every validation set over the domain share, with what was measured there.

    Measurements at model size `N`, and of every run there the checkpoint nearest to `D`, are points; hollow ones lie
    outside the law's range and did not count in the fit.
    """
    ax, model = _axes(ax), fit.model
    table = model.design.rows
    share = table["domain_share"].values
    at: dict[str, Any] = {"domain": domain} if domain is not None else {}
    grid = np.linspace(share.min(), share.max(), 41)
    draws = fit.predict(N=N, D=D, domain_share=grid, **at).draws
    evals = model.design.evals
    columns = xr.Dataset(coords={"domain_share": grid, "eval": evals}).assign(N=float(N), D=float(D))
    valid = inside(model.law, columns) if model.outside == "exclude" else xr.DataArray(True)
    draws = draws.where(valid)
    here = np.isclose(table["N"].values, N)
    if domain is not None:
        here &= table["domain"].values == domain
    away = np.abs(np.log(table["D"].values / D))
    nearest = [rows[np.argmin(away[rows])] for rows in _rows_by_run(table["run"].values, here)]
    rows = np.array([r for r in nearest if away[r] <= np.log(NEAR)], int)
    for colour, marker, name in zip(_colours(), _markers(), evals, strict=False):
        _band(ax, draws.sel(eval=name).squeeze(drop=True), "domain_share", colour, f"{name} loss", prob)
        loss = table["loss"].sel(eval=name).values[rows]
        counts = model.design.measured.sel(eval=name).values[rows]
        faces = np.where(counts, colour, "white")
        ax.scatter(share[rows], loss, s=16, marker=marker, facecolors=faces, edgecolors=colour, zorder=3)
    ax.set(xlabel=_axis("domain_share"), ylabel="loss (nats per token)")
    return _finish(ax, f"N = {amount(N)}, D = {amount(D)}" + (f", {domain}" if domain else ""))


def plot_fit(fit: "Fit", ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot the losses of the mean law, with their interval, against the measured ones, in nats per token.

    Points on the grey line agree; hollow ones lie outside the law's range and did not count in the fit.
    """
    ax, design = _axes(ax), fit.model.design
    losses, low_high = at_rows(fit), []
    for colour, marker, name in zip(_colours(), _markers(), design.evals, strict=False):
        measured = design.rows["loss"].sel(eval=name).values
        counts = design.measured.sel(eval=name).values
        low, middle, high = _quantiles(losses.sel(eval=name), prob)
        ax.vlines(measured, low, high, color=colour, lw=1, alpha=0.6)
        faces = np.where(counts, colour, "white")
        ax.scatter(measured, middle, s=14, marker=marker, facecolors=faces, edgecolors=colour, lw=0.8)
        ax.scatter([], [], s=14, marker=marker, color=colour, label=f"{name} loss")
        low_high += [measured.min(), measured.max()]
    ends = [min(low_high), max(low_high)]
    ax.plot(ends, ends, color="0.6", lw=1, zorder=0)
    ax.set(xlabel="measured loss (nats per token)", ylabel="predicted loss (nats per token)")
    return _finish(ax, f"mean law, {prob:.0%} intervals")


def plot_critical_ratio(ratio: Ratio, ax: "Axes | None" = None, title: str = "", prob: float = CI_PROB) -> "Axes":
    """Plot the posterior of a critical ratio, close up; the strip above it shows where it lies between 0 and 1.

    The grey part of the strip is the range in which the ratio was looked for; draws without a limit inside it lie at
    its ends.
    """
    ax = _axes(ax)
    low, high = (float(v) for v in ratio.draws.quantile([0.002, 0.998]))
    middle, half = (low + high) / 2, max(0.65 * (high - low), 0.02)
    ends = (max(middle - half, 0.0), min(middle + half, 1.0))
    strip = ax.inset_axes((0.0, 1.04, 1.0, 0.035))
    strip.axvspan(float(ratio.low), float(ratio.high), color="0.85", lw=0)
    for colour, (label, part) in zip(_colours(), _each(ratio.draws), strict=False):
        _density(ax, part, colour, label, prob, bins=np.linspace(*ends, 41))
        strip.axvspan(*_quantiles(part, prob)[[0, 2]], color=colour, lw=1)
    strip.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    strip.spines[:].set_color("0.7")
    ax.set(xlabel="critical domain share", ylabel="posterior density", xlim=ends)
    ax.locator_params("x", nbins=5)
    answer = str(ratio.text(prob).item()) if not _labels(ratio.draws) else ""
    return _finish(ax, "\n".join(line for line in (title, answer) if line), pad=12)


def plot_prior_posterior(fit: "Fit", ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot where the data have moved every coefficient, in standard deviations of its prior.

    The grey stripe is the prior; an interval that fills it has learned nothing, one outside it contradicts it. There
    is one interval per validation set (colour) and group.
    """
    ax, evals = _axes(ax), fit.model.design.evals
    colour_of = dict(zip(evals, _colours(), strict=False))
    standard = in_prior_units(fit)
    half = _half_width(prob)
    ax.axvspan(-half, half, color="0.9", zorder=0, label="prior")
    for height, (_, draws) in enumerate(standard.items()):
        parts = list(_each(draws))
        offsets = np.linspace(-0.3, 0.3, len(parts)) if len(parts) > 1 else [0.0]
        for offset, (_, part) in zip(offsets, parts, strict=True):
            low, middle, high = _quantiles(part, prob)
            colour = colour_of[str(part["eval"].item())]
            ax.plot([low, high], [height + offset] * 2, color=colour, lw=1.5)
            ax.plot(middle, height + offset, "o", color=colour, ms=3)
    for name, colour in colour_of.items():
        ax.plot([], [], color=colour, label=str(name))
    ax.set_yticks(range(len(standard)), list(standard))
    ax.invert_yaxis()
    ax.set_xlabel("standard deviations of the prior, from its middle")
    return _finish(ax, f"intervals: {prob:.0%}", loc="upper left", bbox_to_anchor=(1, 1))


def _half_width(prob: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + prob) / 2)


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(5, 3.2), layout="constrained")[1]


def _finish(ax: "Axes", title: str = "", pad: float = 6, **legend: Any) -> "Axes":
    """Give axes the house style; the legend stands above the data, or beside them where it is long."""
    labels = [label for label in ax.get_legend_handles_labels()[1] if label]
    if not legend and len(labels) > 3:
        legend = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    elif not legend:
        legend = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3, "borderaxespad": 0.1, "columnspacing": 1}
        pad += 14 if labels else 0
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.92", lw=0.6)
    ax.set_axisbelow(True)
    ax.set_title(_plain(title), fontsize=9, loc="left", color="0.3", pad=pad)
    if labels:
        ax.legend(frameon=False, fontsize=8, handletextpad=0.5, **legend)
    return ax


def _colours() -> Iterator[str]:
    while True:
        yield from COLOURS


def _markers() -> Iterator[str]:
    while True:
        yield from "osD^v"


def _plain(text: str) -> str:
    """Keep matplotlib from reading a user's label as mathematics."""
    return text.replace("$", r"\$")


def _axis(name: str) -> str:
    return {"N": "N (parameters)", "D": "D (tokens)", "domain_share": "domain share (of the tokens)"}.get(name, name)


def _labels(draws: xr.DataArray) -> list[str]:
    return [str(d) for d in draws.dims if d not in SAMPLE_DIMS]


def _each(draws: xr.DataArray, *keep: str) -> Iterator[tuple[str, xr.DataArray]]:
    """Every combination of labels of the dims that are not kept, in words, with its draws."""
    dims = [d for d in _labels(draws) if d not in keep]
    for place in product(*(range(draws.sizes[d]) for d in dims)):
        part = draws.isel(dict(zip(dims, place, strict=True)))
        values = {d: part[d].item() for d in dims if d in part.coords and draws.sizes[d] > 1}
        yield (
            ", ".join(f"{d} {amount(v)}" if isinstance(v, float | int) else _plain(str(v)) for d, v in values.items()),
            part,
        )


def _rows_by_run(run: np.ndarray, here: np.ndarray) -> Iterator[np.ndarray]:
    for name in np.unique(run[here]):
        yield np.flatnonzero(here & (run == name))


def _quantiles(draws: xr.DataArray, prob: float) -> Any:
    over = [d for d in draws.dims if d in SAMPLE_DIMS]
    return draws.quantile([(1 - prob) / 2, 0.5, (1 + prob) / 2], over, skipna=False).values


def _band(ax: "Axes", draws: xr.DataArray, along: str, colour: str, label: str, prob: float) -> None:
    low, middle, high = _quantiles(draws, prob)
    x = draws[along].values
    ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    ax.plot(x, middle, color=colour, lw=1.5, label=label)


def _density(ax: "Axes", draws: xr.DataArray, colour: str, label: str, prob: float, bins: Any = 50) -> None:
    low, middle, high = _quantiles(draws, prob)
    ax.hist(draws.values.ravel(), bins=bins, density=True, histtype="stepfilled", color=colour, alpha=0.35)
    ax.plot([low, high], [0, 0], color=colour, lw=4, alpha=0.7, solid_capstyle="butt", clip_on=False, zorder=3)
    ax.plot(middle, 0, "o", color=colour, mec="white", ms=7, clip_on=False, zorder=4, label=label)
