"""Reading of user data as tables that keep every number and name."""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.errors import DataError, unknown_name

__all__ = ["check_named", "numeric", "read_table", "refuse", "row"]


def read_table(table: pd.DataFrame | str | Path, labels: Iterable[str] = ()) -> pd.DataFrame:
    """Return a copy of a DataFrame, or read one from a CSV or Parquet file.

    Parameters
    ----------
    table : DataFrame or path
        ``.parquet``; anything else is read as CSV with the separator of its header (comma, semicolon or tab).
    labels : iterable of str
        Columns of a CSV to read as unchanged text: ``007`` is not ``7``, and ``NA`` is a name.

    Raises
    ------
    DataError
        There is no such file, or its content is ambiguous.
    """
    if isinstance(table, pd.DataFrame):
        frame = table.reset_index(drop=True).set_axis([str(c) for c in table.columns], axis="columns")
        if (twice := frame.columns.duplicated()).any():
            raise DataError(f"the table has the column {frame.columns[twice][0]!r} twice: rename or drop one")
        return frame
    if not isinstance(table, str | Path):
        raise DataError(
            f"cannot read a table from {type(table).__name__}: give a pandas DataFrame or a path to CSV or Parquet"
        )
    path = Path(table)
    try:
        if not path.is_file():
            raise DataError(f"no file {str(path)!r}: check the path")
        if not path.stat().st_size:
            raise DataError(f"{path} is empty; give a CSV or Parquet file with a header and rows")
        if path.suffix.lower() == ".parquet":
            return read_table(pd.read_parquet(path))
        return _read_csv(path, labels)
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(f"{path.name[:80]} is not text in UTF-8: save it as CSV with the encoding UTF-8") from None
    except (OSError, ValueError, EOFError, ImportError, zlib.error) as e:
        reason = str(getattr(e, "strerror", None) or e).strip().splitlines()[0]
        raise DataError(
            f"cannot read {path.name[:80]} as {path.suffix.lstrip('.')[:8] or 'CSV'} ({reason}); save it as plain CSV "
            "in UTF-8"
        ) from None


def numeric(table: pd.DataFrame, column: str, called: str | None = None) -> pd.Series:
    """Return a column as finite numbers.

    Parameters
    ----------
    table : DataFrame
        As `read_table` returns it.
    column : str
        Its name in the table.
    called : str, optional
        Its name in error sentences.

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
    if (missing := given.isna()).any():
        raise DataError(f"{called} is missing in {row(missing)}: fill it in or leave the row out")
    if (bad := numbers.isna()).any():
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
        raise DataError(f"{values.name} is {values[bad].iloc[0]:g} in {row(bad)}: {remedy}")


def check_named(table: pd.DataFrame, label: str) -> None:
    """Refuse a column of labels with a missing one."""
    if (missing := table[label].isna() | (table[label].astype(str).str.strip() == "")).any():
        raise DataError(f"{label} is missing in {row(missing)}: name it")


def row(mask: Any) -> str:
    """Return the first row where a mask holds, as error sentences write it."""
    return f"row {int(np.flatnonzero(np.asarray(mask))[0]) + 1}"


def _read_csv(path: Path, labels: Iterable[str]) -> pd.DataFrame:
    def read(**options: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(path, encoding="utf-8-sig", **{"skipinitialspace": True, **options})
        return frame

    first = read(header=None, nrows=1, dtype=str)
    separator = next((s for s in ";\t" if first.shape[1] == 1 and s in str(first.iat[0, 0])), ",")
    names = read(header=None, nrows=1, dtype=str, sep=separator).iloc[0].dropna()
    if "\0" in "".join(names):
        raise ValueError("its header is not text")
    if (twice := names.duplicated()).any():
        raise ValueError(f"its header names {names[twice].iloc[0]!r} twice")
    frame = read(sep=separator)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first cells of such rows for an index
        raise ValueError("its rows have more cells than its header: is there a thousands separator or a last comma")
    if written := [c for c in dict.fromkeys(labels) if c in frame]:
        texts: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False}
        stripped, exact = read(**texts), read(**texts, skipinitialspace=False).set_axis(frame.columns, axis="columns")
        for c in written:  # a blank in front is part of a label, unless the file has one after every separator
            frame[c] = stripped[c] if exact[c].str.startswith(" ").all() else exact[c]
    return frame
