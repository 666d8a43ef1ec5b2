"""Reading of user data as tables that keep every number and name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame

from bayeslaw.base.numbers import exact
from bayeslaw.errors import ArgumentError, DataError, MissingExtra, shown, unknown_name
from bayeslaw.tables.charts import is_chart, unfolded
from bayeslaw.tables.files import FORMATS, read_file

__all__ = ["FILL", "Table", "as_text", "check_named", "numeric", "read_table", "refuse", "row", "texts"]

type Table = pd.DataFrame | IntoFrame | str | Path
"""A pandas DataFrame, another frame that narwhals reads (polars, PyArrow, ...), or a path to a file."""

FILL = "fill it in or leave the row out"
"""What to do about a missing cell."""


def read_table(table: Table, labels: Iterable[str] = ()) -> pd.DataFrame:
    """Return a copy of a frame, or read one from a file.

    Named levels of its index become columns. An exported chart of Weights & Biases gets one row per run and step.

    Parameters
    ----------
    table : DataFrame, other frame, or path
        A path may end in ``.parquet``, ``.feather``, ``.arrow``, ``.json`` (records) or ``.jsonl``; anything else is
        read as CSV with the separator of its header (comma, semicolon or tab).
    labels : iterable of str
        Columns of a CSV to read as unchanged text: ``007`` is not ``7``, and ``NA`` is a name.

    Returns
    -------
    DataFrame
        With the index of `table` if that has no name, so that sentences name the rows as pandas does.

    Raises
    ------
    ArgumentError
        It is no table.
    DataError
        There is no such file, or its content is ambiguous.
    MissingExtra
        The file needs pyarrow.
    """
    frame = read_file(Path(table), labels) if isinstance(table, str | Path) else _as_pandas(table)
    frame = frame.set_axis([str(c) for c in frame.columns], axis="columns")
    if (twice := frame.columns.duplicated()).any():
        raise DataError(f"the table has the column {frame.columns[twice][0]!r} twice: rename or drop one")
    frame = _with_index(frame)
    return unfolded(frame) if is_chart(frame) else frame


def _as_pandas(table: Any) -> pd.DataFrame:
    if isinstance(table, pd.DataFrame):
        return table
    try:
        frame = nw.from_native(table)
        return (frame.collect() if isinstance(frame, nw.LazyFrame) else frame).to_pandas()
    except TypeError:
        raise ArgumentError(
            f"table is {shown(table)}: give a pandas DataFrame (or one of polars or PyArrow), or a path to {FORMATS}"
        ) from None
    except ImportError:
        raise MissingExtra("parquet", "pyarrow") from None


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the named levels of its index as columns in front."""
    index = frame.index
    levels = {str(name): index.get_level_values(i) for i, name in enumerate(index.names) if name is not None}
    unnamed = [index.get_level_values(i) for i, name in enumerate(index.names) if name is None]
    if index.nlevels > 1 and any(level.dtype.kind not in "iu" for level in unnamed):
        raise DataError("a level of the table's index has no name: name it with table.rename_axis([...])")
    if not levels:
        return frame
    frame = frame.reset_index(drop=True)
    for name, level in reversed(levels.items()):
        values = pd.Series(level.to_numpy(), name=name)
        if name not in frame:
            frame.insert(0, name, values)
        elif not frame[name].equals(values):
            raise DataError(f"the table has a column {name!r} and an index of that name that differs: rename one")
    return frame


def numeric(
    table: pd.DataFrame, column: str, called: str | None = None, gaps: bool | pd.Series = False, remedy: str = FILL
) -> pd.Series:
    """Return a column as finite numbers.

    Parameters
    ----------
    table : DataFrame
        As `read_table` returns it.
    column : str
        Its name in the table.
    called : str, optional
        Its name in error sentences.
    gaps : bool or Series
        Whether cells, or those of a row, may be missing; they become NaN.
    remedy : str
        What to do about a missing cell, in error sentences.

    Raises
    ------
    UnknownName
        There is no such column.
    DataError
        A cell holds no finite number.
    """
    if column not in table:
        raise unknown_name("column", column, table.columns)
    given, called = table[column], called or column
    if given.dtype.kind in "bcmM":  # booleans, complex numbers and times, which pandas would convert
        given = given.astype(str)
    values = pd.to_numeric(given, errors="coerce").to_numpy(float, na_value=np.nan)
    numbers = pd.Series(values, given.index, name=column)
    missing = given.isna()
    if (bare := missing & np.logical_not(gaps)).any():
        raise DataError(f"{called} is missing in {row(bare)}: {remedy}")
    if (bad := numbers.isna() & ~missing).any():
        raise DataError(
            f"{called} is {str(given[bad].iloc[0])[:80]!r} in {row(bad)}, which is not a number: correct it "
            "(numbers look like 1234.5 or 1.2e3)"
        )
    if (bad := numbers.isin([np.inf, -np.inf])).any():
        raise DataError(f"{called} is infinite in {row(bad)}: correct it, or leave diverged measurements out")
    return numbers


def refuse(values: pd.Series, bad: pd.Series, remedy: str) -> None:
    """Refuse a column of numbers where a mask holds."""
    if bad.any():
        raise DataError(f"{values.name} is {exact(values[bad].iloc[0])} in {row(bad)}: {remedy}")


def check_named(table: pd.DataFrame, label: str) -> None:
    """Refuse a column of labels with a missing one."""
    if (missing := table[label].isna() | (table[label].astype(str).str.strip() == "")).any():
        raise DataError(f"{label} is missing in {row(missing)}: name it")


def texts(table: pd.DataFrame, label: str) -> pd.Series:
    """Return a column of labels, none of them missing, as text."""
    check_named(table, label)
    return pd.Series([as_text(value) for value in table[label]], table.index, name=label)


def as_text(label: Any) -> str:
    """Return a label as text; a whole number has no decimal point."""
    return f"{label:.0f}" if isinstance(label, float) and label.is_integer() else str(label)


def row(mask: pd.Series) -> str:
    """Return the first row where a mask holds, as error sentences write it: its label in the index, and its position.

    Both are what pandas shows: positions count from 0.
    """
    position = int(np.argmax(mask))
    label = mask.index[position]
    if label == position:
        return f"row {position} (counted from 0)"
    return f"row {repr(label) if isinstance(label, str) else label} (position {position}, counted from 0)"
