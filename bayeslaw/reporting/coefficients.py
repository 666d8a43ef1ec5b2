"""The table of coefficients: posterior beside prior, beside the papers' fit and beside what a paper published."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import RangeError, unknown_name
from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.base.words import place
from bayeslaw.declare.priors import Prior, central, describe
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, contraction, in_prior_units, sensitivity

__all__ = ["coefficients", "in_short"]

CELLS = 6
"""Of more groups (or sources) than this, the short table names those that stand apart."""

NAMED = 4
"""So many stand apart."""

UNITS = "in the paper's units"
"""The column of a posterior beside what was published in other units."""


def coefficients(fit: Posterior, published: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return every coefficient and error parameter: its posterior beside its prior, and what decided it.

    Columns: ``coefficient``, ``of`` (validation set and group); ``posterior`` and ``prior``: median and interval;
    ``contraction``: 1 minus the ratio of posterior to prior variance; ``distance``: of the posterior mean from the
    middle of the prior, in prior standard deviations (both on the log scale where positive); where there are draws
    enough, what `sensitivity` says: ``prior sensitivity``, ``data sensitivity``, ``verdict``; and, if there is any,
    what was published: ``in the paper's units`` (the posterior, where they are others), and a column named by each
    source.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    published : mapping of str to mapping, optional
        What was published, by where: values by coefficient in the paper's units, each a number, or numbers by
        validation set, source or other group.

    Raises
    ------
    UnknownName
        The law has no such coefficient.
    RangeError
        It is not said where the values were published.
    """
    model, standard = fit.model, in_prior_units(fit)
    published = published or {}
    for where, values in published.items():
        if not isinstance(values, Mapping):
            raise RangeError(
                f"published={{{where!r}: ...}} does not say where: name the paper, {{'paper': {{{where!r}: ...}}}}"
            )
        for name in values:
            if name not in model.law.coefficients:
                raise unknown_name(f"coefficient of {model.law.name} (in published=)", name, model.law.coefficients)
    converted = any(f"{name}_paper" in fit.posterior for values in published.values() for name in values)
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
            at = {d: own[d].item() for d in dims}
            of = ", ".join(str(at[d]) if d == "eval" else place({d: at[d]}) for d in dims)
            z = standard[name].isel(cell) if name in standard else None
            learned = (np.nan, np.nan) if z is None else (float(contraction(z)), float(z.mean()))
            paper = [_value(values.get(name), at.values()) for values in published.values()]
            if converted:
                paper.insert(0, _in_paper_units(fit, name, cell) if any(paper) else "")
            rows.append((name, of, _middle_and_ends(own), prior, *learned, *paper))
    columns = [
        "coefficient",
        "of",
        "posterior",
        "prior",
        "contraction",
        "distance",
        *([UNITS] if converted else []),
        *published,
    ]
    table = pd.DataFrame(rows, columns=columns)
    if fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] >= LEAST_DRAWS:
        found = sensitivity(fit, fit.posterior[names])
        table["prior sensitivity"], table["data sensitivity"] = found["prior"].values, found["likelihood"].values
        table["verdict"] = found["verdict"].values
    return table


def in_short(fit: Posterior, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a reader wants it: two digits, and of many groups or sources only those that stand apart."""
    lines: list[Mapping[Any, Any]] = []
    for name, block in table.groupby("coefficient", sort=False):
        draws = fit.posterior[name]
        dims = [str(d) for d in draws.dims if d not in ("chain", "draw")]
        medians = draws.median(["chain", "draw"])
        rows = medians.copy(data=np.arange(len(block)).reshape(medians.shape))
        for e in range(draws.sizes.get("eval", 1)):
            own, middle = (x.isel(eval=e, missing_dims="ignore").values.ravel() for x in (rows, medians))
            if len(own) <= CELLS:
                lines += block.iloc[own].to_dict("records")
                continue
            apart = np.argsort(-abs(middle - np.median(middle)), kind="stable")
            named, rest = sorted(apart[:NAMED], key=middle.__getitem__), apart[NAMED:]
            lines += block.iloc[own[named]].to_dict("records")
            groups = " x ".join(d for d in dims if d != "eval")
            others = f"the other {len(rest)} {groups}s"
            of = f"{fit.evals[e]}, {others}" if "eval" in dims else others
            lines.append(_together(block.iloc[own[rest]], of, middle[rest]))
    short = pd.DataFrame(lines, columns=[c for c in table if c not in ("prior sensitivity", "data sensitivity")])
    for column in ("contraction", "distance"):
        short[column] = ["" if pd.isna(v) else f"{round(v, 2) + 0.0:.2f}" for v in short[column]]
    return short.fillna("")


def _together(rows: pd.DataFrame, of: str, medians: np.ndarray) -> dict[str, Any]:
    """Return several lines of a table as one."""
    line = {
        "coefficient": rows["coefficient"].iloc[0],
        "of": of,
        "posterior": f"medians {medians.min():.3g} to {medians.max():.3g}",
        "prior": rows["prior"].iloc[0],
        "contraction": rows["contraction"].mean(),
        "distance": rows["distance"].abs().max(),
    }
    if "verdict" in rows:
        line["verdict"] = ", ".join(f"{verdict} ({n})" for verdict, n in rows["verdict"].value_counts().items())
    return line


def _value(published: Any, labels: Iterable[Any]) -> str:
    """Return a published number, or that of these labels."""
    for label in labels:
        if isinstance(published, Mapping):
            published = published.get(label, published)
    return "" if published is None or isinstance(published, Mapping) else f"{published:.4g}"


def _in_paper_units(fit: Posterior, name: str, cell: Mapping[Any, int]) -> str:
    draws = fit.posterior[f"{name}_paper" if f"{name}_paper" in fit.posterior else name]
    return _middle_and_ends(draws.isel({d: i for d, i in cell.items() if d in draws.dims}))


def _middle_and_ends(draws: xr.DataArray) -> str:
    return _written(np.quantile(draws, [0.5, *levels(CI_PROB)]))


def _interval(prior: Prior) -> str:
    """Return a prior as its median and interval, where they are simple, and in words elsewhere."""
    if (ends := central(prior, CI_PROB)) is not None:
        return _written(ends)
    numbers = ", ".join(f"{v:g}" for v in prior.parameters.values() if isinstance(v, float | int))
    return f"{prior.distribution.lower()} ({numbers})" if numbers else describe(prior)


def _written(ends: np.ndarray) -> str:
    return "{:.3g} [{:.3g}, {:.3g}]".format(*ends)
