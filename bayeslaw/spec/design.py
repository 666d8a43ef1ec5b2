"""Runs arranged for a law: covariates in reference units, groups, what is measured where and in which order."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import DataError, unknown_name
from bayeslaw.declare.laws import WEIGHT, Law
from bayeslaw.tables.early_training import check_features
from bayeslaw.tables.runs import Runs

__all__ = ["Design"]

ORDER = "data_order"
"""The column that says which runs saw their data in one order."""

FIRST = 1e6
"""Distance in log tokens from the first measurement of a run to its predecessor: none, so no correlation is left."""


@dataclass(frozen=True)
class Design:
    """The measurements of a table as a law sees them.

    Attributes
    ----------
    rows : xarray.Dataset
        Table columns with dim ``row`` (sorted by run, then tokens) and the losses with dims (row, eval).
    measured : xarray.DataArray
        (row, eval): whether the loss counts in the likelihood; False outside the law's range.
    levels : dict
        The unique levels of every column the law needs.
    groups : dict
        The labels of every dimension over which coefficients vary.
    """

    law: Law
    reference: Mapping[str, float]
    rows: xr.Dataset
    measured: xr.DataArray
    levels: Mapping[str, np.ndarray]
    groups: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls, law: Law, runs: Runs, reference: Mapping[str, float], group_dims: tuple[str, ...], include_outside: bool
    ) -> "Design":
        """Arrange checked runs for a law.

        Raises
        ------
        DataError
            A column that the law or the pooling needs is missing, or nothing is left to fit.
        """
        table = runs.table
        for column in law.columns:
            if column not in runs.dataset:
                shown = f"{WEIGHT}_<source>" if column == WEIGHT else column
                raise DataError(
                    f"the law {law.name} needs a column {shown!r}, which the table does not have; map it: "
                    f"read_runs(..., {shown}='its name in the table')"
                )
        for name in runs.evals:
            if law.evals and name not in law.evals:
                raise DataError(
                    f"the law {law.name} does not know a validation set {name!r}: say which it is, for example "
                    f"loss={{{law.evals[-1]!r}: 'its loss column'}} (known: {', '.join(law.evals)})"
                )
        check_features(law, table)
        for dim in group_dims:
            labels = table.columns.difference(runs.measured_columns, sort=False)
            if dim not in labels:
                raise unknown_name("column to pool over", dim, labels)
            if "/" in dim:
                raise DataError(f"the column {dim!r} has a slash in its name: rename it, to pool over it")
            if (gap := table[dim].isna()).any():
                raise DataError(f"{dim} is missing in row {int(np.argmax(gap)) + 1}: name it, to pool over {dim}")
        by_run = ["run", law.path] if law.path in table else ["run"]
        if (twice := table.duplicated(by_run)).any():
            run, *path = table.loc[twice, by_run].iloc[0]
            again = (
                f"twice at {law.path} {path[0]:g}" if path else f"more than once, and there is no column {law.path!r}"
            )
            raise DataError(
                f"the run {run!r} is measured {again} (row {int(np.argmax(twice)) + 1} of the runs): name the runs "
                + (
                    "apart in the run column, or leave one out"
                    if path
                    else f"apart, map {law.path}, or keep one row each"
                )
            )
        rows = runs.sorted_along(law.path).dataset
        measured = xr.ones_like(rows["loss"], dtype=bool)
        if not include_outside:
            measured = measured & inside(law, rows)
        if not measured.any():
            raise DataError(
                f"no row lies inside the range of {law.name} ({ranges(law)}); outside='include' fits them all the same"
            )
        design = cls(
            law,
            reference,
            rows,
            measured.transpose("row", "eval"),
            {c: np.unique(rows[c].values) for c in law.columns if rows[c].dims == ("row",)},
            {
                dim: np.asarray(
                    pd.Series(np.sort(rows[dim].values) if dim in law.columns else rows[dim].values).unique()
                )
                for dim in group_dims
            },
        )
        design._check_single_runs()
        return design

    def _check_single_runs(self) -> None:
        frame = self.rows.drop_dims([d for d in self.rows.dims if d != "row"]).to_dataframe()
        within = frame.groupby("run").nunique().max()
        fixed_in_run = [c for c in self.law.columns if c != self.law.path and not within.get(c, 1) > 1]
        if not fixed_in_run or "domain" in self.groups:  # a domain that is pooled learns from the others
            return
        for label, runs in frame.groupby("domain") if "domain" in frame else [(None, frame)]:
            if self.law.path in frame and runs["run"].nunique() == 1:
                of = "" if label is None else f" of domain {label!r}"
                raise DataError(
                    f"there is a single run{of} ({runs['run'].iloc[0]!r}): how the loss depends on "
                    f"{', '.join(fixed_in_run)} cannot be learned from it; add runs"
                    + ("" if label is None else " or leave the domain out")
                )

    @property
    def evals(self) -> list[str]:
        """Names of the validation sets."""
        return [str(e) for e in self.rows["eval"].values]

    @property
    def over(self) -> dict[str, np.ndarray]:
        """The labels of every dimension that the law's covariates have of their own."""
        return {dim: self.rows[dim].values for dim in self.law.over}

    @cached_property
    def cells(self) -> dict[str, np.ndarray]:
        """Row and validation set of every measurement that counts, as integer positions."""
        row, ev = np.nonzero(self.measured.values)
        return {"row": row, "eval": ev}

    @cached_property
    def log_loss(self) -> np.ndarray:
        """Log losses of the measurements that count."""
        losses: np.ndarray = self.rows["loss"].values[self.cells["row"], self.cells["eval"]]
        return np.log(losses)

    @cached_property
    def known_error(self) -> np.ndarray:
        """Known standard deviations (row, eval) of measuring the log losses; 0 where there is nothing of the kind."""
        if "loss_sd" not in self.rows:
            return np.zeros(self.measured.shape)
        known: np.ndarray = (self.rows["loss_sd"] / self.rows["loss"]).transpose("row", "eval").values
        return known

    def log_size(self, columns: Mapping[Hashable, xr.DataArray]) -> xr.DataArray:
        """Return the log of model sizes over the reference run's (1e9 where the law has none); 0 where none is told."""
        if "N" not in columns:
            return xr.DataArray(0.0)
        ratio: xr.DataArray = xr.ufuncs.log(columns["N"].astype(float) / self.reference.get("N", 1e9))
        return ratio.reset_coords(drop=True)

    @cached_property
    def on_grid(self) -> bool:
        """Whether the levels of the columns cross so fully that evaluating the law on their grid is cheaper.

        Every covariate has to be made of a column of its own.
        """
        used = [c for name, cov in self.law.covariates.items() for c in cov.columns(name)]
        if len(set(used)) < len(used) or len(used) != len(self.law.covariates) or set(used) != set(self.levels):
            return False
        cells = np.prod([len(v) for v in {**self.levels, **self.groups}.values()], dtype=float)
        return bool(cells <= 2 * self.rows.sizes["row"])

    def inputs(self) -> dict[str, xr.DataArray]:
        """Covariates in reference units: on the grid of levels (one dim per column), or by row."""
        if self.on_grid:
            columns = xr.Dataset(coords={**self.levels, "eval": self.evals})
            columns = columns.assign({c: columns[c] for c in self.levels})
        else:
            columns = self.rows.drop_vars(["loss", "loss_sd"], errors="ignore")
        return {k: v.astype(float) for k, v in self.law.inputs(columns, self.reference).items()}

    def feature(self, column: str, labels: Mapping[str, xr.DataArray]) -> xr.DataArray | None:
        """Return a column that is a feature of labels (of a domain: its early training), where they were measured."""
        covariate = self.law.covariates.get(column)
        if covariate is None or covariate.of is None or covariate.of not in labels:
            return None
        asked = labels[covariate.of]
        by_label = pd.Series(self.rows[column].values, self.rows[covariate.of].values)
        by_label = by_label[~by_label.index.duplicated()]
        known = np.isin(asked.values, by_label.index)
        return (
            asked.copy(data=by_label.loc[asked.values.ravel()].to_numpy().reshape(asked.shape)) if known.all() else None
        )

    def positions(self) -> dict[str, np.ndarray]:
        """Position of every row along each grid dimension and each group dimension."""
        along = {**(self.levels if self.on_grid else {}), **self.groups}
        return {dim: pd.Index(labels).get_indexer(self.rows[dim].values) for dim, labels in along.items()}

    @cached_property
    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """The data order and tokens of every batch after which losses were measured, in words; each row's, by number.

        A run without a data order has one of its own.
        """
        if ORDER not in self.rows:
            return np.empty(0, object), np.full(self.rows.sizes["row"], -1)
        order, run = pd.Series(self.rows[ORDER].values), pd.Series(self.rows["run"].values).astype(str)
        label = order.astype(str).where(order.notna() & (order != ""), "run " + run)
        if self.law.path in self.rows:
            label += f", {self.law.path} " + pd.Series(self.rows[self.law.path].values).map("{:.6g}".format)
        number, labels = pd.factorize(label)
        return np.asarray(labels, object), number

    def shares_orders(self) -> bool | None:
        """Whether some runs share a data order at the same tokens; None where the table does not say."""
        if ORDER not in self.rows:
            return None
        return len(self.batches[0]) < self.rows.sizes["row"]

    def order(self) -> dict[str, np.ndarray]:
        """Return what the error model needs to know of the order of the rows (see `Noise.one_step_ahead`)."""
        run = pd.factorize(self.rows["run"].values)[0]
        start = np.searchsorted(run, run)
        measured = self.measured.values
        number = np.arange(len(run))[:, None]
        last = np.maximum.accumulate(np.where(measured, number, -1), axis=0)
        previous = np.vstack([np.full((1, measured.shape[1]), -1), last[:-1]])
        first = previous < start[:, None]
        gap = np.full(measured.shape, FIRST)
        if self.law.path in self.rows:
            log_path = np.log(self.rows[self.law.path].values.astype(float))
            gap = np.where(first | ~measured, FIRST, log_path[:, None] - log_path[np.where(first, number, previous)])
        return {
            "measured": measured.astype(float),
            "previous": np.where(first, number, previous),
            "gap": gap,
            "start": start,
            "eval_number": np.arange(measured.shape[1]),
        }

    def has_checkpoints(self) -> bool:
        """Whether some run was measured at several token counts."""
        run = self.rows["run"].values
        return len(np.unique(run)) < len(run)


def inside(law: Law, columns: xr.Dataset) -> xr.DataArray:
    """Return whether the covariates lie in the range where the law is claimed to hold."""
    result = xr.DataArray(True)
    for value, cov in zip(
        law.inputs(columns, {c: 1.0 for c in law.covariates}).values(), law.covariates.values(), strict=True
    ):
        low, high = cov.valid
        holds = (value >= low - 1e-9) & (value <= high + 1e-9)
        result = result & holds.all([d for d in law.over if d in holds.dims])
    return result


def ranges(law: Law) -> str:
    """Return the law's range in words."""
    parts = [
        f"{name} {cov.valid[0]:g} to {cov.valid[1]:g}"
        for name, cov in law.covariates.items()
        if cov.valid != (0.0, np.inf)
    ]
    return ", ".join(parts) or "everywhere"
