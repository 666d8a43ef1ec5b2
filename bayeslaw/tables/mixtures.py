"""Mixtures of many sources: reading and checking shares, and mapping them to domain vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import numbers, one_number
from bayeslaw.base.numbers import exact, short
from bayeslaw.base.words import counted
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.tables.reading import row

__all__ = ["as_weights", "blend", "bounds", "folded", "normalised", "sources", "through"]

PREFIX = f"{WEIGHT}_"

SUM_TOLERANCE = 0.01
"""The sum of shares, which may be rounded, differs from 1 by at most this."""

ROUNDING_ERROR = 1e-9
"""Sums of shares that differ from 1 by less count as 1."""


def sources(table: pd.DataFrame) -> list[str]:
    """Return the sources whose shares are columns of a table."""
    return [str(c).removeprefix(PREFIX) for c in table.columns if str(c).startswith(PREFIX)]


def folded(table: pd.DataFrame) -> xr.DataArray:
    """Return the shares of a table as one array with dims ``row`` and ``source``."""
    names = sources(table)
    shares = table[[PREFIX + s for s in names]].to_numpy(float)
    return xr.DataArray(shares, dims=("row", "source"), coords={"source": names})


def normalised(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return a table whose shares sum to 1 in every row, and a note on what was changed.

    Raises
    ------
    DataError
        The shares of a row do not sum to 1 within 0.01.
    """
    columns = [PREFIX + s for s in sources(table)]
    if not columns:
        return table, ""
    sums = table[columns].sum(axis="columns")
    off = abs(sums - 1)
    if (far := off > SUM_TOLERANCE).any():
        raise DataError(
            f"the shares of {row(far)} sum to {short(sums[far].iloc[0], 4)} ({', '.join(columns)}): they must "
            f"sum to 1; give every source of the stream a column, and rename a column {PREFIX}... that is no share"
        )
    rounded = int((off > ROUNDING_ERROR).sum())
    if not rounded:
        return table, ""
    table = table.assign(**{c: table[c] / sums for c in columns})
    return table, (
        f"the shares of {counted(rounded, 'row')}, rounded to sums from {short(sums.min(), 4)} to "
        f"{short(sums.max(), 4)}, were divided by them"
    )


def as_weights(mixture: Any, known: Sequence[str] | np.ndarray) -> xr.DataArray:
    """Return shares, divided by their sum, as an array with the dim ``source`` in the order of the known sources.

    Parameters
    ----------
    mixture : mapping, Series, DataFrame or DataArray
        Shares by source, 0 for sources left out; a DataFrame has one mixture per row (dim ``mixture``), a DataArray
        the dim ``source`` and any others. Columns may be called ``weight_<source>``.
    known : sequence of str
        All sources.

    Raises
    ------
    DataError
        It is of another type, or the shares are negative or do not sum to 1 within 0.01.
    UnknownName
        A source that is not known.
    """
    if isinstance(mixture, pd.DataFrame):
        if mixture.empty:
            raise DataError("the table of mixtures is empty: give a row per mixture and a column per source")
        named = [PREFIX + s for s in sources(mixture)] or list(mixture.columns)
        coords = {"mixture": mixture.index.to_numpy(), "source": [str(c).removeprefix(PREFIX) for c in named]}
        array = xr.DataArray(numbers(mixture[named], "a table of mixtures"), coords, ("mixture", "source"))
    elif isinstance(mixture, Mapping | pd.Series):
        shares = [one_number(share, f"the share of {name}") for name, share in mixture.items()]
        coords = {"source": [str(name).removeprefix(PREFIX) for name, _ in mixture.items()]}
        array = xr.DataArray(shares, coords, "source")
    elif isinstance(mixture, xr.DataArray) and "source" in mixture.coords:
        array = mixture
    else:
        raise DataError(
            f"cannot read a mixture from {type(mixture).__name__}: give shares by source, for example "
            f"{{{str(known[0])!r}: 1.0}}, a DataFrame with a row per mixture, or a DataArray with the dim 'source'"
        )
    for name in array["source"].values:
        if name not in known:
            raise unknown_name("source", name, known)
    array = array.astype(float).reindex(source=np.asarray(known), fill_value=0.0)
    if not (array >= 0).all():
        raise DataError(f"a share of a mixture is {short(float(array.min()), 4)}: shares are at least 0 and sum to 1")
    sums = array.sum("source")
    if (abs(sums - 1) > SUM_TOLERANCE).any():
        worst = float(sums.values.flat[int(np.argmax(abs(sums.values - 1)))])
        raise DataError(f"the shares of a mixture sum to 1, these sum to {short(worst, 4)}: correct them")
    return array / sums


def through(table: pd.DataFrame, vectors: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the shares of meta-domains in place of those of data sets.

    The domain vector of a data set holds its shares of meta-domains, so that a mixture of data sets is one of
    meta-domains. A law fitted to such a table predicts for new data sets, given their vectors (Zhang et al. 2025,
    arXiv:2506.10952).

    Parameters
    ----------
    table : DataFrame
        With columns ``weight_<data set>``.
    vectors : DataFrame
        One row per meta-domain, one column per data set; every column sums to 1.

    Raises
    ------
    DataError
        A vector does not sum to 1.
    UnknownName
        A data set without a vector.
    """
    columns = blend(vectors, sources(table))
    table, _ = normalised(table)
    shares = xr.dot(folded(table), columns, dim="source")
    kept = table.drop(columns=[PREFIX + s for s in sources(table)])
    names = [f"{PREFIX}{m}" for m in columns["meta_domain"].values]
    return pd.concat([kept, pd.DataFrame(shares.values, table.index, names)], axis="columns")


def blend(vectors: pd.DataFrame, data_sets: Sequence[str] | None = None) -> xr.DataArray:
    """Return the checked domain vectors of some data sets, or of all, with dims ``meta_domain`` and ``source``."""
    for name in data_sets or ():
        if name not in vectors:
            raise unknown_name("data set with a domain vector", name, vectors.columns)
    chosen = vectors[list(data_sets)] if data_sets is not None else vectors
    if text := [name for name in chosen if not pd.api.types.is_numeric_dtype(chosen[name])]:
        raise DataError(f"the domain vector of {str(text[0])!r} holds text: give numbers that sum to 1")
    sums = chosen.sum()
    if (bad := ~(abs(sums - 1) <= SUM_TOLERANCE)).any() or (chosen < 0).any(axis=None):
        name = str(bad.idxmax())
        raise DataError(
            f"the domain vector of {name!r} sums to {short(sums[name], 4)}: its entries are at least 0 and sum to "
            "1; add a row for the meta-domains that are left out"
        )
    coords = {"meta_domain": chosen.index.astype(str).to_numpy(), "source": chosen.columns.astype(str).to_numpy()}
    return xr.DataArray((chosen / sums).to_numpy(float), coords, list(coords))


def bounds(
    names: Sequence[str],
    at_least: Mapping[str, float] | None,
    at_most: Mapping[str, float] | None,
    within: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest share of every source.

    Parameters
    ----------
    names : sequence of str
        The sources.
    at_least, at_most : mapping, optional
        Bounds asked for, by source.
    within : tuple of float
        Bounds of all sources, inside which those asked for are applied.

    Raises
    ------
    RangeError
        The bounds leave no mixture, or are not shares.
    UnknownName
        A source that is not known.
    """
    ends = []
    for what, asked, end in (("at_least", at_least or {}, within[0]), ("at_most", at_most or {}, within[1])):
        for name, share in asked.items():
            if name not in names:
                raise unknown_name(f"source (in {what}=)", name, names)
            if not 0 <= share <= 1:
                raise RangeError(f"{what} of {name} is {share}: give a share in [0, 1]")
        ends.append(np.array([float(asked.get(n, end)) for n in names]))
    low, high = np.maximum(ends[0], within[0]), np.minimum(ends[1], within[1])
    if (crossed := low > high).any():
        name = names[int(np.argmax(crossed))]
        raise RangeError(
            f"the bounds of {name} exclude each other, at least {exact(low[crossed][0])} and at most "
            f"{exact(high[crossed][0])}: change one"
        )
    if low.sum() > 1 or high.sum() < 1:
        raise RangeError(
            f"no mixture lies within the bounds: the shares sum to 1, the smallest to {short(low.sum(), 4)} and the "
            f"largest to {short(high.sum(), 4)}; widen them"
        )
    return low, high
