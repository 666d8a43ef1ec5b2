"""The figures of a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import between, exact, percent, short
from bayeslaw.base.words import place
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.errors import RangeError
from bayeslaw.plots import plot_curve, plot_fit, plot_learned, plot_prior_posterior, plot_shares, plot_sources
from bayeslaw.plots.mixtures import MOST_SOURCES
from bayeslaw.plots.panels import grid
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.prediction import at_rows
from bayeslaw.posterior.sensitivity import in_prior_units

__all__ = ["Picture", "curves", "of_coefficients", "of_fit"]

MOST_LEARNED = 6
"""Most validation sets before and after the data."""

MOST_CURVES = 6
"""Most training curves of a figure."""


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes
    ----------
    name : str
        Name of its file.
    alt : str
        What it shows, in words.
    draw : callable
        Returns the figure.
    """

    name: str
    alt: str
    draw: Callable[[], Figure]


def curves(fit: Posterior, runs: Sequence[str]) -> Figure:
    """Draw training curves, each below its learning rate."""

    def draw(run: str, above: Axes, below: Axes) -> None:
        plot_curve(fit, run, (above, below))

    return grid(runs, draw, height=3.6, most=MOST_CURVES, ratios=(1, 3))


def of_fit(fit: Posterior, ratios: dict[tuple[Any, Any], CriticalRatio]) -> list[Picture]:
    """Return the figures of a fit beside its data and beside its prior."""
    predictions = Picture(
        "predictions",
        _agreement(fit),
        lambda: grid([fit], plot_fit, height=3.6),
    )
    pictures = [_over_shares(fit, ratios), predictions] if fit.model.law.kind == "share" else [predictions]
    try:
        prior = prior_predictive(fit.model, draws=300, seed=1)
    except RangeError:  # too few draws of the prior have the shape asked for
        return pictures

    def learned_of(name: str, above: Axes, below: Axes) -> None:
        plot_learned(fit, prior, name, (above, below))

    learned = Picture(
        "learned",
        "Losses before the data (above, grey) and after them (below), each on a scale of its own"
        + _narrowed(prior, fit),
        lambda: grid(fit.evals, learned_of, height=5.0, most=MOST_LEARNED, ratios=(1, 1)),
    )
    return [*pictures, learned]


def _narrowed(prior: Posterior, fit: Posterior) -> str:
    """Say how much narrower the losses of a run in the middle of the table are after the data than before."""
    rows, columns = fit.model.design.rows, [*fit.model.law.columns, *fit.model.design.groups]
    at = rows[list(dict.fromkeys(columns))].isel(row=[rows.sizes["row"] // 2])
    low, high = (
        np.array([one.loss(at).quantile(level, SAMPLE).values for one in (prior, fit)]) for level in levels(CI_PROB)
    )
    before, after = (high - low).reshape(2, -1).mean(axis=1)
    if not 0 < after < before:
        return ""
    return f", {short(before / after, 2)} times narrower mid-table"


def _over_shares(fit: Posterior, ratios: dict[tuple[Any, Any], CriticalRatio]) -> Picture:
    design, columns = fit.model.design, fit.model.law.columns
    most = {name: design.levels[name].max() for name in ("D", "U") if name in columns}
    differ: dict[str, Any] = {"N": design.levels["N"]} if "N" in columns else {}
    differ |= {name: labels for name, labels in design.groups.items() if name != "domain_share"}
    if any(covariate.of == "domain" for covariate in fit.model.law.covariates.values()):
        differ["domain"] = np.unique(design.rows["domain"].values)
    panels = [dict(zip(differ, labels, strict=True)) for labels in product(*differ.values())]
    at = f" at {place(most)}" if most else ""
    return Picture(
        "shares",
        f"Losses over the domain share{at}, with bands; hollow points were not fitted"
        f"{_from_to(fit, most | panels[-1])}",
        lambda: grid(
            panels,
            lambda p, ax: plot_shares(fit, ax=ax, ratio=ratios.get((p.get("N"), p.get("domain"))), **most, **p),
            height=2.7,
        ),
    )


def _agreement(fit: Posterior) -> str:
    """Say how far the mean law lies from the measured losses."""
    rows = fit.model.design.rows["loss"]
    off = abs(at_rows(fit).median(SAMPLE) / rows - 1)
    return (
        f"Predicted against measured losses, {between(float(rows.min()), float(rows.max()), short)}; half of them lie "
        f"within {percent(float(off.median()))} of the line on which they agree"
    )


def _from_to(fit: Posterior, at: dict[str, Any]) -> str:
    """Say where the bands of the last panel begin and end."""
    shares = fit.model.design.rows["domain_share"].values
    within = shares[(shares > 0) & (shares < 1)]
    if not len(within):
        return ""
    ends = [float(within.min()), float(within.max())]
    found = predict(fit, domain_share=np.array(ends), **at).median()
    losses = (f"{name} loss {' to '.join(short(v) for v in found.sel(eval=name).values.ravel())}" for name in fit.evals)
    where = place({k: v for k, v in at.items() if k in ("N", "domain")})
    return f". {f'At {where}' if where else 'There'}, shares {exact(ends[0])} to {exact(ends[1])}: {', '.join(losses)}"


def _left_over(fit: Posterior) -> str:
    """Say which coefficient the data narrowed most, and what they left of the spread of its prior."""
    spreads = {name: float(z.std(SAMPLE).min()) for name, z in in_prior_units(fit).items()}
    narrowest = min(spreads, key=spreads.__getitem__, default="")
    return f"; narrowest: {narrowest} ({percent(spreads[narrowest])})" if spreads else ""


def _ends(fit: Posterior, name: str) -> str:
    """Say which source has the lowest and which the highest coefficient."""
    middle = fit.posterior[name].median(SAMPLE)
    middle = middle.mean([dim for dim in middle.dims if dim != "source"])
    low, high = (str(middle["source"].values[at]) for at in (middle.values.argmin(), middle.values.argmax()))
    return f"{low} has the lowest {name}, {high} the highest"


def of_coefficients(fit: Posterior) -> list[Picture]:
    """Return the figures of every coefficient beside its prior, and of the coefficients of every source."""
    coefficients = fit.model.law.coefficients
    height = float(np.clip(0.3 * len(coefficients) + 1.2, 2.2, 5.0))
    prior = Picture(
        "coefficients",
        f"Interval of every coefficient in standard deviations of its prior, the grey stripe{_left_over(fit)}",
        lambda: grid([fit], plot_prior_posterior, height=height),
    )
    of_sources = [name for name in coefficients if "source" in fit.posterior[name].dims]
    if not of_sources:
        return [prior]
    lines = min(fit.posterior.sizes["source"], MOST_SOURCES) * (1 + 0.15 * len(fit.evals))
    by_source = Picture(
        "sources",
        f"Intervals of {' and '.join(of_sources)} of every source, one row per source; {_ends(fit, of_sources[0])}",
        lambda: grid(of_sources, lambda name, ax: plot_sources(fit, name, ax), height=float(0.24 * lines + 1.4)),
    )
    return [by_source, prior]
