"""Data sets to fit laws to: runs and published tables in the package, larger public files by download.

Every data set has a card (`card(name)`) and loads with canonical column names, so that it needs no mapping.
"""

import os

import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.datasets.cards import HERE, Card, Column, card, embedded_file, names
from bayeslaw.datasets.public import fetch, read

__all__ = ["Card", "Column", "card", "catalogue", "fetch", "load"]


@checked
def load(name: str, mirror: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load a data set as a table with canonical columns.

    Parameters
    ----------
    name
        A name of `catalogue()`.
    mirror
        Local folder with the files of fetchable data sets; see `fetch`.

    Returns
    -------
    pandas.DataFrame
        Columns as the card lists them: N in parameters, D in tokens, shares in [0, 1], losses in nats per token;
        `attrs` with the `dataset` name and its `source`.

    Raises
    ------
    UnknownName
        There is no such data set.
    DataError, MissingExtra
        See `fetch`.
    """
    about = card(name)
    if file := embedded_file(name):
        with (HERE / file).open("rb") as stream:
            table = pd.read_csv(stream, compression="gzip" if file.endswith(".gz") else None)
    else:
        table = read(name, mirror)
    table.attrs = {"dataset": name, "source": about.source}
    return table


def catalogue() -> pd.DataFrame:
    """Return name, rows, what, source and home ("embedded" or "fetchable") of all data sets, embedded ones first."""
    cards = sorted(map(card, names()), key=lambda about: about.home)
    return pd.DataFrame([vars(about) for about in cards])[["name", "rows", "what", "source", "home"]]
