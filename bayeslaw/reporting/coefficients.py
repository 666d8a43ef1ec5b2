"""The table of coefficients: the posterior beside the prior and beside published values."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import exact, short, with_interval
from bayeslaw.base.words import place
from bayeslaw.declare.priors import Prior, central, describe
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.plots.style import cells
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.sensitivity import (
    LEAST_DRAWS,
    SENSITIVE,
    contraction,
    in_prior_units,
    sensitivity,
    with_loss,
)

__all__ = ["coefficients", "in_short"]

MOST_CELLS = 6
"""Most groups (or sources) of a coefficient that have a row each in the short table."""

NAMED_CELLS = 4
"""Of more groups, those farthest from the median that still have one."""

NUMBERS = ("contraction", "distance", "prior sensitivity", "data sensitivity")
"""Columns that a report says in words, as its verdict."""

HARDLY, MOSTLY, FAR = 1.15, 0.75, 2.0
"""Narrowing below which the data add next to nothing, contraction from which they decide, and prior standard deviations
from the middle of the prior beyond which the two disagree."""

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
        draws = with_loss(fit, name)
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


def in_short(fit: Posterior, table: pd.DataFrame, answers: Iterable[xr.DataArray] = ()) -> pd.DataFrame:
    """Return the table of a report: those that the answers rest on first, each with one prior and a verdict in words.

    Of many groups or sources only those farthest from the median have a row of their own. An answer rests on a
    coefficient as far as their draws go together (the largest squared correlation over groups and answers).
    """
    lines: list[Mapping[Any, Any]] = []
    table = table.assign(verdict=[_verdict(row) for row in table.to_dict("records")])
    rests = {name: _correlation(fit.posterior[name], answers) for name in table["coefficient"].unique()}
    blocks = dict(iter(table.groupby("coefficient", sort=False)))
    for name in sorted(blocks, key=lambda name: -rests[name]):
        block, start = blocks[name], len(lines)
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
        lines[start + 1 :] = [{**line, "prior": ""} for line in lines[start + 1 :]]
    return pd.DataFrame(lines, columns=[c for c in table if c not in NUMBERS]).fillna("")


def _correlation(draws: xr.DataArray, answers: Iterable[xr.DataArray]) -> float:
    """Return the largest squared correlation of the draws of a coefficient, in any group, with those of an answer."""
    found = [0.0]
    for answer in answers:
        both = xr.align(draws, answer.reset_coords(drop=True), join="inner")
        with np.errstate(invalid="ignore", divide="ignore"):  # draws of an answer at the end of its range are alike
            found.append(float((xr.corr(*both, dim=SAMPLE) ** 2).fillna(0.0).max()))
    return max(found)


def _verdict(row: Mapping[Any, Any]) -> str:
    """Return in words what a coefficient rests on: how far the data narrowed it, and whether its prior agrees."""
    narrowed, away, pull = (row.get(c, np.nan) for c in ("contraction", "distance", "prior sensitivity"))
    if np.isnan(narrowed):
        return "" if np.isnan(pull) else "the data, still moved by its prior" if pull >= SENSITIVE else "the data"
    factor = (1 - min(narrowed, 1 - 1e-6)) ** -0.5
    if factor < HARDLY:
        words = "its prior"
    else:
        words = f"{'the data' if narrowed >= MOSTLY else 'data and prior'}: {short(factor, 2)} x narrower"
    if abs(away) > FAR:
        words += f", {short(abs(away), 2)} sd {'above' if away > 0 else 'below'} the prior"
    elif pull >= SENSITIVE and factor >= HARDLY:
        words += ", still moved by its prior"
    return words


def _together(rows: pd.DataFrame, of: str, medians: np.ndarray) -> dict[Any, Any]:
    """Return several rows of a table as one."""
    line: dict[Any, Any] = rows.iloc[0].to_dict() | {
        "of": of,
        "posterior": f"medians {short(medians.min())} to {short(medians.max())}",
        "contraction": rows["contraction"].mean(),
        "distance": max(rows["distance"], key=abs),
    }
    return line | {"verdict": _verdict(line)}


def _value(published: Any, labels: Iterable[Any]) -> str:
    """Return a published number of these labels in words."""
    for label in labels:
        if isinstance(published, Mapping):
            published = published.get(label, published)
    return "" if published is None or isinstance(published, Mapping) else exact(published)


def _middle_and_ends(draws: xr.DataArray) -> str:
    return with_interval(*np.quantile(draws, [0.5, *levels(CI_PROB)]))


def _interval(prior: Prior) -> str:
    """Return median and interval of a prior, or its parameters in words."""
    if (ends := central(prior, CI_PROB)) is not None:
        return with_interval(*ends)
    numbers = ", ".join(exact(v) for v in prior.parameters.values() if isinstance(v, float | int))
    return f"{prior.distribution.lower()} ({numbers})" if numbers else describe(prior)
