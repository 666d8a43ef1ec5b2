"""Files of user data made into tables, without changing a number or a name on the way."""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.base.errors import DataError

__all__ = ["read_table"]


def read_table(table: pd.DataFrame | str | Path, labels: Iterable[str] = ()) -> pd.DataFrame:
    """Return a copy of a DataFrame, or read one from a CSV or Parquet file.

    Parameters
    ----------
    table : DataFrame or path
        ``.parquet``, or anything else as CSV, separated by commas, semicolons or tabs as its header is.
    labels : iterable of str
        Columns of a CSV that are text as it is written: ``007`` is not ``7``, and ``NA`` is a name.

    Raises
    ------
    DataError
        There is no such file, or it cannot be read without guessing.
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


def _read_csv(path: Path, labels: Iterable[str]) -> pd.DataFrame:
    def read(**options: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(path, encoding="utf-8-sig", skipinitialspace=True, **options)
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
    if written := [c for c in labels if c in frame]:
        frame[written] = read(sep=separator, usecols=written, dtype=str, keep_default_na=False)[written]
    return frame
