"""The range in which a law holds, and the measurements outside it."""

from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models
from bayeslaw.base.numbers import between, exact
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import ROLE
from bayeslaw.errors import DataError

__all__ = [
    "MOST_OUTSIDE",
    "SLACK",
    "check_left_out",
    "each_inside",
    "elsewhere",
    "holding",
    "inside",
    "left_out",
    "nowhere_inside",
    "ranges",
]

MOST_OUTSIDE = 0.1
"""Share of the measurements of a loss that may stay out of the fit without being asked for, pure runs not counted."""

SLACK = 1e-9
"""Distance beyond an end of a range that is rounding."""

GUIDE = "docs/how-to/small-replay.md"


def inside(law: Law, columns: xr.Dataset) -> xr.DataArray:
    """Return whether the covariates lie in the range where the law holds."""
    result = xr.DataArray(True)
    for holds in each_inside(law, columns).values():
        result = result & holds
    return result


def each_inside(law: Law, columns: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return whether every covariate lies in its own range."""
    found = {}
    for name, value in law.inputs(columns, dict.fromkeys(law.covariates, 1.0)).items():
        low, high = law.covariates[name].valid
        holds = (value >= low - SLACK) & (value <= high + SLACK)
        found[name] = holds.all([d for d in law.over if d in holds.dims])
    return found


def ranges(law: Law) -> str:
    """Return the law's range in words."""
    limited = {name: cov.valid for name, cov in law.covariates.items() if cov.valid != (0.0, np.inf)}
    return ", ".join(f"{name} {between(*valid)}" for name, valid in limited.items()) or "everywhere"


def left_out(law: Law, rows: xr.Dataset) -> pd.DataFrame:
    """Return how many measurements lie outside the law's range, one row per validation set.

    Columns: ``total``, all measurements; ``outside``, those outside the range; ``pure``, those of them in runs on one
    corpus alone (`domain_share` 0 or 1). Every design has pure runs, and no law claims to hold for the other corpus
    there, so that they are no reason to refuse a fit.
    """
    losses = rows["loss"].notnull().transpose("row", "eval")
    outside = losses & ~inside(law, rows)
    share = rows["domain_share"] if "domain_share" in rows else xr.DataArray(0.5)
    counts = {"total": losses, "outside": outside, "pure": outside & share.isin([0.0, 1.0])}
    table = xr.Dataset({name: which.sum("row") for name, which in counts.items()})
    return table.reset_coords(drop=True).to_dataframe()[list(counts)].rename(index=str)


def holding(law: Law, rows: xr.Dataset, name: str, throughout: bool = False) -> str:
    """Return laws of a share that hold where a loss was measured outside the range of another law, or throughout.

    Those with the narrowest range come first: they are made for such measurements.
    """
    here = rows.sel(eval=[name])
    wanted = here["loss"].notnull() & (throughout | ~inside(law, here))
    here = here.isel(row=np.flatnonzero(wanted.any("eval")))
    role = str(here[ROLE].values[0])

    def holds(other: Law) -> bool:
        started = {c: covariate.valid[0] for c, covariate in other.covariates.items() if covariate.start}
        known = set(other.columns) <= {*here.variables, *started}
        if other.kind != "share" or not known or role not in (*other.evals, *([] if other.evals else [role])):
            return False
        return bool(inside(other, here.assign(started)).all())

    return models.such_as(
        holds, first=lambda other: min(np.subtract(*c.valid[::-1]) for c in other.covariates.values())
    )


def elsewhere(law: Law, rows: xr.Dataset, name: str) -> str:
    """Return what to do with a loss outside the range of a law, in words."""
    laws = holding(law, rows, name)
    other = f"use a law that is valid there, {laws}" if laws else "use another law"
    return f"{other} (see {GUIDE})" if law.kind == "share" else other


def nowhere_inside(law: Law, rows: xr.Dataset) -> list[str]:
    """Return a sentence for every loss that was measured, but nowhere in the range of the law."""
    counts = left_out(law, rows)
    return [
        f"no {name} loss lies in the range of {law.name} ({ranges(law)}): answers about it are outside its range"
        + (f"; use a law that is valid there, {laws}" if (laws := holding(law, rows, str(name))) else "")
        for name, (total, outside, _) in counts.iterrows()
        if 0 < total == outside
    ]


def check_left_out(law: Law, rows: xr.Dataset, asked: bool) -> None:
    """Refuse to leave out more than a tenth of the measurements of a loss, or to keep too few or those of one share.

    Parameters
    ----------
    law, rows
        The law and the measurements.
    asked : bool
        Whether the user asked to leave out all rows outside the range, which allows more than a tenth, and one share.

    Raises
    ------
    DataError
    """
    role_of = dict(zip(rows["eval"].values, rows[ROLE].values, strict=True))
    for name, (total, outside, pure) in left_out(law, rows).iterrows():
        if not outside:
            continue
        own = [c for c in law.coefficients.values() if c.role in (None, role_of[name])]
        needed = sum(rows.sizes[c.over] if c.over else 1 for c in own)
        where = f"outside the range of {law.name} ({ranges(law)})"
        guide = partial(elsewhere, law, rows, str(name))
        if total - outside < needed:
            raise DataError(
                f"{outside} of {total} {name} losses lie {where}, and the {total - outside} others are fewer than its "
                f"{needed} coefficients: fit them all with outside='include', leave the {name} loss out, or {guide()}"
            )
        if asked:
            continue
        if outside - pure > MOST_OUTSIDE * total:
            raise DataError(
                f"{outside} of {total} {name} losses lie {where} and would be left out, which is more than a tenth: "
                f"give outside='include' to fit them too, or outside='exclude' to leave them out, or {guide()}"
            )
        if (only := _only_share(law, rows, str(name))) is not None:
            raise DataError(
                f"all {name} losses within the range of {law.name} ({ranges(law)}) were measured at the domain share "
                f"{exact(only)}, which does not show how they depend on it: give outside='include' to fit the "
                f"{outside} others too, or outside='exclude' to fit without them, or {guide()}"
            )


def _only_share(law: Law, rows: xr.Dataset, name: str) -> float | None:
    """Return the domain share of the measurements of a loss inside the law's range if it is one, other than 0 and 1."""
    if "domain_share" not in law.columns:
        return None
    here = rows.sel(eval=[name])
    counted = (here["loss"].notnull() & inside(law, here)).any("eval")
    shares = np.unique(here["domain_share"].values[counted.values])
    return float(shares[0]) if shares.size == 1 and 0 < shares[0] < 1 else None
