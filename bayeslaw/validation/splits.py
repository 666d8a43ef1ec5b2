"""Ways to hold measurements out of a fit to test it.

Each function returns `Splits`, which return folds when called on `Runs`: whole runs, or checkpoints with `late` and
`segments`.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import exact
from bayeslaw.base.words import counted
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.tables.reading import check_named
from bayeslaw.tables.runs import Runs

__all__ = ["Fold", "Splits", "by", "largest", "late", "runs", "segments"]


@dataclass(frozen=True, eq=False)
class Fold:
    """One set of held-out measurements.

    Attributes
    ----------
    label : str
        The held-out part, for example ``"N 1.8e+09"``.
    test : array of bool
        One entry per row of the runs' `table`.
    """

    label: str
    test: np.ndarray

    def __repr__(self) -> str:
        return f"Fold {self.label}: {int(self.test.sum())} of {counted(len(self.test), 'row')} held out"


@dataclass(frozen=True)
class Splits:
    """A way to split runs into folds; call it on them.

    Parameters
    ----------
    name : str
        The function and its arguments.
    cut : callable
        From a table of runs to ``{label: boolean mask of the held-out rows}``.
    whole_runs : bool
        Whether every run is either held out or trained on, which is checked on every call.
    """

    name: str
    cut: Callable[[pd.DataFrame], Mapping[str, np.ndarray]]
    whole_runs: bool = True

    @property
    def unit(self) -> str:
        """Description of the held-out unit."""
        return "whole runs" if self.whole_runs else "checkpoints of runs seen in part"

    def __repr__(self) -> str:
        return f"Splits {self.name}: hold out {self.unit}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.name)}</b>: hold out {self.unit}</p>"

    @checked
    def __call__(self, runs: Runs) -> list[Fold]:
        """Return the folds with rows.

        Raises
        ------
        DataError
            A fold holds out every row or a part of a run, or no fold holds out any.
        """
        run = runs.table["run"].to_numpy()
        folds = [Fold(label, test) for label, test in self.cut(runs.table).items() if test.any()]
        for fold in folds:
            if fold.test.all():
                raise DataError(f"{self.name} holds out every row ({fold.label}): split by a column that differs")
            if self.whole_runs and len(both := np.intersect1d(run[fold.test], run[~fold.test])):
                raise DataError(
                    f"{self.name} would cut the run {both[0]!r} in two ({fold.label}): split by a column that is "
                    "constant in each run, or hold out later checkpoints with splits.late"
                )
        if not folds:
            raise DataError(
                f"{self.name} holds out no row, since no run has earlier and later checkpoints: split by whole runs"
            )
        return folds


@checked
def by(*columns: str) -> Splits:
    """Leave one label out: a size, a share, a domain, or with several columns one combination.

    ``by("N")`` holds out one size at a time, ``by("N", "domain_share")`` one share at one size, ``by("run")`` one run.
    """
    if not columns:
        raise RangeError("name the column to split by, for example splits.by('N')")

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        labels = _labels(table, columns)
        ordered = labels[table.sort_values(list(columns), kind="stable").index].unique()
        return {label: (labels == label).to_numpy() for label in ordered}

    return Splits(f"by({', '.join(columns)})", cut)


@checked
def largest(column: str) -> Splits:
    """Hold out the largest value of a column, for example the largest models."""

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        labels = _labels(table, (column,))
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise DataError(f"{column} holds text, which has no largest value: use splits.by({column!r})")
        label = labels.iloc[int(table[column].to_numpy().argmax())]
        return {label: (labels == label).to_numpy()}

    return Splits(f"largest({column})", cut)


@checked
def late(path: str = "D", fraction: float = 0.6) -> Splits:
    """Hold out the rows of every run beyond a fraction of its own tokens.

    A run without an earlier row stays in training.
    """
    if not 0 < fraction < 1:
        raise RangeError(f"fraction is {fraction}: give a number between 0 and 1, for example 0.6")

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        beyond = _progress(table, path) > fraction
        seen = (~beyond).groupby(table["run"]).transform("any")
        return {f"{path} beyond {exact(fraction)}": (beyond & seen).to_numpy()}

    return Splits(f"late({path}, {exact(fraction)})", cut, whole_runs=False)


@checked
def segments(path: str = "D", number: int = 3) -> Splits:
    """Hold out one of several equal segments of every run's own tokens, for example its thirds."""
    if number < 2:
        raise RangeError(f"number is {number}: give at least 2 segments")

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        segment = np.ceil(_progress(table, path) * number - 1e-9)
        return {f"{path} segment {k} of {number}": (segment == k).to_numpy() for k in range(1, number + 1)}

    return Splits(f"segments({path}, {number})", cut, whole_runs=False)


@checked
def runs(number: int, seed: int = 0) -> Splits:
    """Hold out one of several equal parts of the runs, shuffled: k-fold cross-validation over whole runs."""
    if number < 2:
        raise RangeError(f"number is {number}: give at least 2 parts")

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        labels = np.unique(table["run"])
        if len(labels) < number:
            raise DataError(f"{counted(len(labels), 'run')} cannot make {number} parts: ask for at most {len(labels)}")
        parts = np.array_split(np.random.default_rng(seed).permutation(labels), number)
        return {f"part {k} of {number}": table["run"].isin(p).to_numpy() for k, p in enumerate(parts, 1)}

    return Splits(f"runs({number}, seed {seed})", cut)


def _labels(table: pd.DataFrame, columns: tuple[str, ...]) -> "pd.Series[str]":
    """Return the label of every row; numbers that agree to 9 digits have one label."""
    parts = []
    for column in columns:
        known = [c for c in table.columns if not str(c).endswith(("_loss", "_loss_sd"))]
        if column not in known:
            raise unknown_name("column to split by", column, known)
        check_named(table, column)
        numeric = pd.api.types.is_numeric_dtype(table[column])
        parts.append([f"{column} {v:.9g}" if numeric else f"{column} {v}" for v in table[column]])
    return pd.Series([", ".join(part) for part in zip(*parts, strict=True)], index=table.index)


def _progress(table: pd.DataFrame, path: str) -> "pd.Series[float]":
    """Return the share of its run's tokens at every row, in (0, 1]."""
    if path not in table:
        raise unknown_name("column along the runs", path, table.columns)
    return table[path] / table.groupby("run")[path].transform("max")
