"""Reading of files of tables: CSV, Parquet, Feather and JSON."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.errors import DataError, MissingExtra

__all__ = ["FORMATS", "read_file"]

FORMATS = "CSV, Parquet, Feather or JSON (lines)"

ARROW: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".feather": pd.read_feather,
    ".arrow": pd.read_feather,
}
JSON_LINES = {".json": False, ".jsonl": True, ".ndjson": True}
"""Readers of binary files, and whether a file of JSON has one record per line, by the ending of its name."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")


def read_file(path: Path, labels: Iterable[str]) -> pd.DataFrame:
    """Read the table in a file; `labels` as in `bayeslaw.tables.reading.read_table`."""
    written = Path(path.stem) if path.suffix.lower() in COMPRESSED else path
    suffix = written.suffix.lower()
    try:
        if not path.is_file():
            raise DataError(f"there is no file {str(path)!r}: check the path")
        if not path.stat().st_size:
            raise DataError(f"{path} is empty; give a file of {FORMATS} with rows")
        if suffix in ARROW:
            return _read_arrow(path, suffix)
        if suffix in JSON_LINES:
            return pd.read_json(
                path,
                lines=JSON_LINES[suffix],
                dtype=False,
                convert_axes=False,
                precise_float=True,
            )
        return _read_csv(path, labels)
    except (DataError, MissingExtra):
        raise
    except UnicodeDecodeError:
        raise DataError(f"{path.name[:80]} is not text in UTF-8: save it as CSV with the encoding UTF-8") from None
    except (OSError, ValueError, EOFError, ImportError, zlib.error) as e:
        reason = str(getattr(e, "strerror", None) or e).strip().splitlines()[0]
        raise DataError(
            f"cannot read {path.name[:80]} as {suffix.lstrip('.')[:8] or 'CSV'} ({reason}); save it as plain CSV in "
            "UTF-8"
        ) from None


def _read_arrow(path: Path, suffix: str) -> pd.DataFrame:
    try:
        return ARROW[suffix](path)
    except ImportError:
        raise MissingExtra("parquet", "pyarrow") from None


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
        raise ValueError(
            "its rows have more cells than its header, as with a thousands separator or a comma at their end"
        )
    if written := [c for c in dict.fromkeys(labels) if c in frame]:
        texts: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False}
        stripped, exact = read(**texts), read(**texts, skipinitialspace=False).set_axis(frame.columns, axis="columns")
        for c in written:  # a blank in front is part of a label, unless the file has one after every separator
            frame[c] = stripped[c] if exact[c].str.startswith(" ").all() else exact[c]
    return frame
