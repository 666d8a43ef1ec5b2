"""How fast laws miss beyond the runs: the slopes of the misfit in whole tables, and priors without one family.

python -m tests.studies.slopes
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

import bayeslaw as bl
from bayeslaw.declare.priors import Prior
from bayeslaw.spec.misfit import SLOPES
from bayeslaw.workflow import Fit
from tests.studies.kept_out import STUDIES
from tests.studies.page import Page, convergence, fitted

WIDE = 0.03, 1.2
"""Median and spread of the prior of slopes that are left to a whole table."""

MIDDLES, SPREADS = np.log(np.geomspace(0.003, 0.3, 93)), np.linspace(0.1, 1.0, 46)
"""The grid of the population's median (log) and spread."""

EXPECTED, UNSURE, SCATTERED = np.log(0.03), 1.0, 0.6
"""Before any table: the log median is normal around the first, with the second; the spread half-normal of the third."""

ENOUGH = 3
"""Families that a population is learned from, at least; of fewer, the default stands."""


@cache
def whole(name: str) -> Fit | None:
    """Return the posterior of a whole table, if its law has a scale of a misfit."""
    misfit = bl.Misfit({scale: bl.positive(WIDE[0], spread=WIDE[1]) for scale in SLOPES})
    model = replace(STUDIES[name].model(), misfit=misfit)
    return fitted("slopes", name, model, draws=400, chains=2) if model.processes else None


@cache
def log_slopes(name: str) -> dict[str, np.ndarray]:
    """Return draws of the log slope along every scale in which the runs of a whole table differ."""
    if (fit := whole(name)) is None:
        return {}
    along = fit.model.processes
    return {k: np.log(fit.posterior[p.slope].values.ravel()) for k, p in along.items() if p.sampled}


@cache
def likelihood(name: str, scale: str) -> np.ndarray:
    """Return the log likelihood (median, spread) of populations by a whole table.

    It is the mean of their density over that of the wide prior, over the draws under that prior.
    """
    x = log_slopes(name)[scale]
    ratio = norm.logpdf(x, MIDDLES[:, None, None], SPREADS[:, None]) - norm.logpdf(x, np.log(WIDE[0]), WIDE[1])
    return np.asarray(logsumexp(ratio, axis=-1) - np.log(len(x)))


def population(scale: str, without: str | None = None) -> tuple[float, float, int]:
    """Return median and spread of the slope of a new family, and how many families say so; each has one vote."""
    families: dict[str, list[np.ndarray]] = {}
    for name, study in STUDIES.items():
        if study.family != without and scale in log_slopes(name):
            families.setdefault(study.family, []).append(likelihood(name, scale))
    weight = norm.logpdf(MIDDLES, EXPECTED, UNSURE)[:, None] + norm.logpdf(SPREADS, 0, SCATTERED)
    weight = weight + sum(np.mean(tables, axis=0) for tables in families.values())
    weight = np.exp(weight - logsumexp(weight))
    mean = (weight * MIDDLES[:, None]).sum()
    variance = (weight * ((MIDDLES[:, None] - mean) ** 2 + SPREADS**2)).sum()
    return float(np.exp(mean)), float(np.sqrt(variance)), len(families)


@cache
def priors(without: str | None = None) -> dict[str, Prior]:
    """Return the priors of the slopes, learned from all families but one; the defaults where too few have a scale."""
    found = dict(SLOPES)
    for scale in SLOPES:
        median, spread, families = population(scale, without)
        if families >= ENOUGH:
            found[scale] = bl.positive(median, spread=spread)
    return found


def tables() -> pd.DataFrame:
    """Return the slopes of every whole table, and how it was sampled."""
    rows = []
    for name in STUDIES:
        if (fit := whole(name)) is None:
            continue
        sampled = convergence(fit)
        for scale, x in log_slopes(name).items():
            row: dict[str, Any] = {"scale": scale, "table": name, "median": np.exp(np.median(x)), "spread": x.std()}
            rows.append(row | {k: sampled[k] for k in ("R-hat", "divergences")})
    return pd.DataFrame(rows).sort_values("scale", kind="stable")


def populations() -> pd.DataFrame:
    """Return median and spread of every scale, with all families and with each left out."""
    rows = []
    for scale in SLOPES:
        having = {study.family for name, study in STUDIES.items() if scale in log_slopes(name)}
        for left_out in (None, *sorted(having)):
            median, spread, families = population(scale, left_out)
            use = "learned" if families >= ENOUGH else "default stands"
            row = {"scale": scale, "left out": left_out or "none", "median": median, "spread": spread}
            rows.append(row | {"families": families, "": use})
    return pd.DataFrame(rows)


def main() -> None:
    """Fit every whole table, and write the page."""
    page = Page("slopes", "How fast laws miss beyond the runs")
    page.text(
        "The misfit's slope along a scale is the change of the log loss per factor of ten (or per unit of a share) "
        "that a law leaves out. Its prior ought to come from other studies, never from the table in hand. Here every "
        f"whole public table says what its slopes are, under a wide prior (median {WIDE[0]}, spread {WIDE[1]}); and a "
        "log-normal population is learned from all families but one. "
        "[Beyond the runs](beyond.md) scores each family with the priors learned without it."
    )
    page.text(
        "## Populations\n\nMedian and spread of a family that was not seen, the population's own uncertainty "
        f"included, and how they move when a family is left out. Fewer than {ENOUGH} families leave the default as "
        "it is. Beforehand, a median is log-normal around "
        f"{np.exp(EXPECTED):g} with spread {UNSURE:g}, and a spread is half-normal with {SCATTERED:g}; tables of one "
        "family share one vote. "
        "The defaults of the package: "
        + ", ".join(
            f"{k} {np.exp(p.parameters['mu']):.3g} (spread {p.parameters['sigma']:.2g})" for k, p in SLOPES.items()
        )
        + "."
    )
    page.table(populations())
    page.text("## Whole tables\n\nPosterior median and spread of the log of each slope; 2 x 400 draws.")
    page.table(tables())
    page.write()


if __name__ == "__main__":
    main()
