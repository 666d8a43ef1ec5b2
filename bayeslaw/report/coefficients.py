"""The table of coefficients: posterior beside prior, beside the papers' fit and beside what a paper published."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.errors import unknown_name
from bayeslaw.law import describe
from bayeslaw.priors import Prior
from bayeslaw.quantity import CI_PROB
from bayeslaw.sensitivity import FEWEST, in_prior_units, sensitivity
from bayeslaw.words import place

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["coefficients", "in_short"]

CELLS = 6
"""A coefficient of more groups (or sources) than this is one line of the short table."""


def coefficients(fit: "Fit", published: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return every coefficient and error parameter: its posterior beside its prior, and what decided it.

    Columns: ``coefficient``, ``of`` (validation set and group); ``posterior`` and ``prior``: median and interval;
    ``contraction``: 1 minus the ratio of posterior to prior variance; ``distance``: of the posterior mean from the
    middle of the prior, in prior standard deviations (both on the log scale where positive); where there are draws
    enough, what `sensitivity` says: ``prior sensitivity``, ``data sensitivity``, ``verdict``; and, if there is any,
    what was published: ``in the paper's units`` (posterior) and ``published``.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    published : mapping, optional
        Values that a paper gives, in its units, by coefficient: a number, or numbers by validation set.

    Raises
    ------
    UnknownName
        The law has no such coefficient.
    """
    model, standard = fit.model, in_prior_units(fit)
    for name in published or {}:
        if name not in model.law.coefficients:
            raise unknown_name(f"coefficient of {model.law.name} (in published=)", name, model.law.coefficients)
    errors = model.noise.priors(len(fit.evals))
    names = [name for name in [*model.law.coefficients, *errors] if name in fit.posterior]
    rows = []
    for name in names:
        draws = fit.posterior[name]
        stated = errors[name] if name in errors else model.law.coefficients[name].prior
        prior = _interval(model.priors.get(name, stated))
        dims = [d for d in draws.dims if d not in ("chain", "draw")]
        for index in np.ndindex(*(draws.sizes[d] for d in dims)):
            cell = dict(zip(dims, index, strict=True))
            own = draws.isel(cell)
            of = ", ".join(str(own[d].item()) if d in ("eval", "source") else place({d: own[d].item()}) for d in dims)
            z = standard[name].isel(cell) if name in standard else None
            learned = (np.nan, np.nan) if z is None else (1 - float(z.var()), float(z.mean()))
            paper = _published(fit, name, cell, (published or {}).get(name))
            rows.append((name, of, _middle_and_ends(own), prior, *learned, *paper))
    columns = [
        "coefficient",
        "of",
        "posterior",
        "prior",
        "contraction",
        "distance",
        "in the paper's units",
        "published",
    ]
    table = pd.DataFrame(rows, columns=columns)
    if not published:
        table = table.drop(columns=columns[-2:])
    if fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] >= FEWEST:
        found = sensitivity(fit, fit.posterior[names])
        table["prior sensitivity"], table["data sensitivity"] = found["prior"].values, found["likelihood"].values
        table["verdict"] = found["verdict"].values
    return table


def in_short(fit: "Fit", table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a reader wants it: two digits, and one line for a coefficient of many groups or sources."""
    lines: list[Mapping[Any, Any]] = []
    for name, block in table.groupby("coefficient", sort=False):
        dims = [d for d in fit.posterior[name].dims if d not in ("chain", "draw", "eval")]
        if not dims or len(block) <= CELLS:
            lines += block.to_dict("records")
            continue
        draws = fit.posterior[name]
        for e in fit.evals if "eval" in draws.dims else [None]:
            own = draws if e is None else draws.sel(eval=e)
            medians = own.median(["chain", "draw"])
            which = block[block["of"].str.split(", ").str[0] == e] if e is not None else block
            line = {
                "coefficient": name,
                "of": f"{'' if e is None else f'{e}, '}{medians.size} {' x '.join(map(str, dims))}",
                "posterior": f"medians {float(medians.min()):.3g} to {float(medians.max()):.3g}",
                "prior": block["prior"].iloc[0],
                "contraction": which["contraction"].mean(),
                "distance": which["distance"].abs().max(),
            }
            if "verdict" in block:
                counts = which["verdict"].value_counts()
                line["verdict"] = ", ".join(f"{verdict} ({n})" for verdict, n in counts.items())
            lines.append(line)
    short = pd.DataFrame(lines, columns=[c for c in table if c not in ("prior sensitivity", "data sensitivity")])
    for column in ("contraction", "distance"):
        short[column] = ["" if pd.isna(v) else f"{round(v, 2) + 0.0:.2f}" for v in short[column]]
    return short.fillna("")


def _published(fit: "Fit", name: str, cell: Mapping[Any, int], value: Any) -> tuple[str, str]:
    if value is None:
        return "", ""
    draws = fit.posterior[f"{name}_paper" if f"{name}_paper" in fit.posterior else name]
    if isinstance(value, Mapping):
        value = value.get(fit.evals[cell["eval"]])
    here = {d: i for d, i in cell.items() if d in draws.dims}
    return _middle_and_ends(draws.isel(here)), "" if value is None else f"{value:.4g}"


def _middle_and_ends(draws: xr.DataArray) -> str:
    low, middle, high = np.quantile(draws, [(1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2])
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def _interval(prior: Prior) -> str:
    """Return a prior as its median and interval, where they are simple, and in words elsewhere."""
    mu, sigma = (prior.parameters.get(k) for k in ("mu", "sigma"))
    nested = isinstance(mu, Prior) or isinstance(sigma, Prior) or np.ndim(mu)
    if prior.distribution not in ("LogNormal", "Normal") or nested:
        numbers = ", ".join(f"{v:g}" for v in prior.parameters.values() if isinstance(v, float | int))
        return f"{prior.distribution.lower()} ({numbers})" if numbers else describe(prior)
    ends = mu + sigma * NormalDist().inv_cdf((1 + CI_PROB) / 2) * np.array([0, -1, 1])
    middle, low, high = np.exp(ends) if prior.distribution == "LogNormal" else ends
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
