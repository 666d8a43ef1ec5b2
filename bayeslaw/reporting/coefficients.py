"""The table of coefficients: the posterior beside the prior and beside published values."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.words import place
from bayeslaw.declare.priors import Prior, central, describe
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.plots.style import cells
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, contraction, in_prior_units, sensitivity

__all__ = ["coefficients", "in_short"]

MOST_CELLS = 6
"""Most groups (or sources) of a coefficient that have a row each in the short table."""

NAMED_CELLS = 4
"""Of more groups, those farthest from the median that still have one."""

PAPER_UNITS = "in the paper's units"
"""The column of the posterior in the units of published values, where they differ."""


def coefficients(fit: Posterior, published: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return every coefficient and error parameter: its posterior beside its prior.

    Columns: ``coefficient``, ``of`` (validation set and group); ``posterior`` and ``prior``: median and interval;
    ``contraction``: 1 minus the ratio of posterior to prior variance; ``distance``: of the posterior mean from the
    middle of the prior, in prior standard deviations (both on the log scale if positive); with 200 draws or more,
    ``prior sensitivity``, ``data sensitivity`` and ``verdict`` of `sensitivity`; with published values, the posterior
    ``in the paper's units`` (if they differ) and a column named by each source.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    published : mapping of str to mapping, optional
        Published values by source: values by coefficient in the paper's units, each a number, or numbers by validation
        set, source or other group.

    Raises
    ------
    UnknownName
        The law has no such coefficient.
    RangeError
        The values have no source.
    """
    model, standard = fit.model, in_prior_units(fit)
    published = published or {}
    for where, values in published.items():
        if not isinstance(values, Mapping):
            raise RangeError(
                f"published={{{where!r}: ...}} names no source: name the paper, {{'paper': {{{where!r}: ...}}}}"
            )
        for name in values:
            if name not in model.law.coefficients:
                raise unknown_name(f"coefficient of {model.law.name} (in published=)", name, model.law.coefficients)
    converted = any(f"{name}_paper" in fit.posterior for values in published.values() for name in values)
    errors = model.stated_priors
    names = [name for name in [*model.law.coefficients, *errors] if name in fit.posterior]
    rows = []
    for name in names:
        draws = fit.posterior[name]
        prior = _interval(errors[name] if name in errors else model.coefficients[name].prior)
        in_paper_units = fit.posterior.get(f"{name}_paper", draws)
        for cell in cells(draws):
            own = draws.isel(cell)
            at = {d: own[d].item() for d in cell}
            row: dict[str, Any] = {"coefficient": name}
            row["of"] = ", ".join(str(label) if d == "eval" else place({d: label}) for d, label in at.items())
            row |= {"posterior": _middle_and_ends(own), "prior": prior, "contraction": np.nan, "distance": np.nan}
            if name in standard:
                z = standard[name].isel(cell)
                row |= {"contraction": float(contraction(z)), "distance": float(z.mean())}
            paper = {where: _value(values.get(name), at.values()) for where, values in published.items()}
            if converted:
                shown = in_paper_units.isel(cell, missing_dims="ignore")
                row[PAPER_UNITS] = _middle_and_ends(shown) if any(paper.values()) else ""
            rows.append(row | paper)
    table = pd.DataFrame(rows)
    if fit.draws >= LEAST_DRAWS:
        found = sensitivity(fit, fit.posterior[names])
        table["prior sensitivity"], table["data sensitivity"] = found["prior"].values, found["likelihood"].values
        table["verdict"] = found["verdict"].values
    return table


def in_short(fit: Posterior, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with two digits, and of many groups or sources only those farthest from the median."""
    lines: list[Mapping[Any, Any]] = []
    for name, block in table.groupby("coefficient", sort=False):
        medians = fit.posterior[name].median(SAMPLE)
        rows = medians.copy(data=np.arange(len(block)).reshape(medians.shape))
        for e in range(medians.sizes.get("eval", 1)):
            own, middle = (x.isel(eval=e, missing_dims="ignore").values.ravel() for x in (rows, medians))
            if len(own) <= MOST_CELLS:
                lines += block.iloc[own].to_dict("records")
                continue
            farthest = np.argsort(-abs(middle - np.median(middle)), kind="stable")
            named, rest = sorted(farthest[:NAMED_CELLS], key=middle.__getitem__), farthest[NAMED_CELLS:]
            lines += block.iloc[own[named]].to_dict("records")
            others = f"the other {len(rest)} {' x '.join(str(d) for d in medians.dims if d != 'eval')}s"
            of = f"{fit.evals[e]}, {others}" if "eval" in medians.dims else others
            lines.append(_together(block.iloc[own[rest]], of, middle[rest]))
    short = pd.DataFrame(lines, columns=[c for c in table if c not in ("prior sensitivity", "data sensitivity")])
    for column in ("contraction", "distance"):
        short[column] = ["" if pd.isna(v) else f"{round(v, 2) + 0.0:.2f}" for v in short[column]]
    return short.fillna("")


def _together(rows: pd.DataFrame, of: str, medians: np.ndarray) -> dict[Any, Any]:
    """Return several rows of a table as one."""
    line: dict[Any, Any] = rows.iloc[0].to_dict() | {
        "of": of,
        "posterior": f"medians {medians.min():.3g} to {medians.max():.3g}",
        "contraction": rows["contraction"].mean(),
        "distance": rows["distance"].abs().max(),
    }
    if "verdict" in rows:
        line["verdict"] = ", ".join(f"{verdict} ({n})" for verdict, n in rows["verdict"].value_counts().items())
    return line


def _value(published: Any, labels: Iterable[Any]) -> str:
    """Return a published number of these labels in words."""
    for label in labels:
        if isinstance(published, Mapping):
            published = published.get(label, published)
    return "" if published is None or isinstance(published, Mapping) else f"{published:.4g}"


def _middle_and_ends(draws: xr.DataArray) -> str:
    return _written(np.quantile(draws, [0.5, *levels(CI_PROB)]))


def _interval(prior: Prior) -> str:
    """Return median and interval of a prior, or its parameters in words."""
    if (ends := central(prior, CI_PROB)) is not None:
        return _written(ends)
    numbers = ", ".join(f"{v:g}" for v in prior.parameters.values() if isinstance(v, float | int))
    return f"{prior.distribution.lower()} ({numbers})" if numbers else describe(prior)


def _written(ends: np.ndarray) -> str:
    return "{:.3g} [{:.3g}, {:.3g}]".format(*ends)
