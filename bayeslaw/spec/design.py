"""Runs arranged for a law: covariates in reference units, groups, and the order of the measurements."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.numbers import exact
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import ROLE, WEIGHT
from bayeslaw.errors import DataError, LawError, unknown_name
from bayeslaw.spec.ranges import elsewhere, inside, ranges
from bayeslaw.tables.early_training import check_features
from bayeslaw.tables.reading import row
from bayeslaw.tables.runs import Runs

__all__ = ["Design"]

ORDER = "data_order"
"""The column with equal labels for runs that saw their data in the same order."""

_ROLES = ("general", "domain")
"""Names of validation sets that are roles of other laws."""

ANY_ROLE = "any"
"""The role of every validation set, for a law that takes them all alike."""

NO_PREDECESSOR = 1e6
"""Gap in log tokens before the first measurement of a run, over which no correlation is left."""


@dataclass(frozen=True)
class Design:
    """The measurements of a table, arranged for a law.

    Attributes
    ----------
    rows : xarray.Dataset
        Table columns with dim ``row`` (sorted by run, then tokens), the losses with dims (row, eval), and the role of
        every validation set.
    measured : xarray.DataArray
        (row, eval): whether the loss was measured and lies in the law's range, so that it enters the likelihood.
    levels : dict
        The unique values of every column of the law.
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
        cls,
        law: Law,
        runs: Runs,
        reference: Mapping[str, float],
        group_dims: tuple[str, ...],
        include_outside: bool,
        roles: Mapping[str, str],
    ) -> "Design":
        """Arrange checked runs for a law; `roles` as in `bayeslaw.Model`.

        Raises
        ------
        DataError
            A column of the law or the pooling is missing, or no row is left to fit.
        """
        table = runs.table
        for column in law.columns:
            if column not in runs.dataset:
                shown = f"{WEIGHT}_<source>" if column == WEIGHT else column
                how = f"map it: read_runs(..., {shown}='its name in the table')"
                if law.kind == "score" and column == "L":
                    how = "name the loss of the scores: read_scores(..., against='its column') (--loss QUIZ=COLUMN)"
                raise DataError(f"the law {law.name} needs a column {shown!r}, which the table does not have; {how}")
        role_of = _roles(law, runs.evals, roles)
        check_features(law, table)
        for dim in group_dims:
            labels = table.columns.difference(runs.measured_columns, sort=False)
            if dim not in labels:
                raise unknown_name("column to pool over", dim, [*labels, *law.over, "eval"])
            if "/" in dim:
                raise DataError(f"the column {dim!r} has a slash in its name: rename it to pool over it")
            if (gap := table[dim].isna()).any():
                raise DataError(f"{dim} is missing in {row(gap)} of runs.table: fill it in to pool over {dim}")
        by_run = ["run", law.path] if law.path in table else ["run"]
        if (twice := table.duplicated(by_run)).any():
            run, *path = table.loc[twice, by_run].iloc[0]
            again = f"more than once, and there is no column {law.path!r}"
            if path:
                again = f"twice at {law.path} {exact(path[0])}"
            remedy = "or leave one row out" if path else f"map {law.path}, or keep one row each"
            raise DataError(
                f"the run {run!r} is measured {again} ({row(twice)} of runs.table): give different "
                f"runs different names, {remedy}"
            )
        rows = runs.sorted_along(law.path).dataset.assign({ROLE: ("eval", role_of)})
        measured = rows["loss"].notnull() & (include_outside or inside(law, rows))
        if not measured.any():
            seen = rows["eval"].values[rows["loss"].notnull().any("row").values]
            raise DataError(
                f"no row lies inside the range of {law.name} ({ranges(law)}): fit all rows with outside='include', or "
                f"{elsewhere(law, rows, str(seen[0]))}"
            )
        levels = {c: np.unique(rows[c].values) for c in law.columns if rows[c].dims == ("row",)}
        groups = {d: levels[d] if d in levels else np.asarray(pd.Series(rows[d].values).unique()) for d in group_dims}
        design = cls(law, reference, rows, measured.transpose("row", "eval"), levels, groups)
        design._check_single_runs()
        return design

    def _check_single_runs(self) -> None:
        """Refuse a single run if the law has a covariate that is fixed within a run."""
        frame = self.rows.drop_dims([d for d in self.rows.dims if d != "row"]).to_dataframe()
        within = frame.groupby("run").nunique().max()
        fixed_in_run = [c for c in self.law.columns if c != self.law.path and not within.get(c, 1) > 1]
        if fixed_in_run and "domain" not in self.groups and self.law.path in frame and frame["run"].nunique() == 1:
            raise DataError(
                f"a single run ({frame['run'].iloc[0]!r}) does not show how the loss depends on "
                f"{', '.join(fixed_in_run)}: add runs"
            )

    def without(self, run: str) -> "Design":
        """Return the design with the losses of a run not measured."""
        return replace(self, measured=self.measured & (self.rows["run"] != run))

    @cached_property
    def evals(self) -> list[str]:
        """Names of the validation sets."""
        return [str(e) for e in self.rows["eval"].values]

    @cached_property
    def roles(self) -> list[str]:
        """The role of every validation set."""
        return [str(role) for role in self.rows[ROLE].values]

    def of_role(self, role: str) -> list[str]:
        """Return the validation sets of a role."""
        return [name for name, own in zip(self.evals, self.roles, strict=True) if own == role]

    def with_evals(self, columns: xr.Dataset) -> xr.Dataset:
        """Return columns together with the validation sets and their roles, as the law reads them."""
        return columns.assign_coords(eval=self.evals).assign({ROLE: ("eval", self.rows[ROLE].values)})

    @property
    def over(self) -> dict[str, np.ndarray]:
        """The labels of every dim that the law's covariates have of their own."""
        return {dim: self.rows[dim].values for dim in self.law.over}

    @cached_property
    def cells(self) -> dict[str, np.ndarray]:
        """Row and validation set of every measurement in the likelihood, as integer positions."""
        row, ev = np.nonzero(self.measured.values)
        return {"row": row, "eval": ev}

    @cached_property
    def log_loss(self) -> np.ndarray:
        """Log losses of the measurements in the likelihood."""
        losses: np.ndarray = self.rows["loss"].values[self.cells["row"], self.cells["eval"]]
        return np.log(losses)

    @cached_property
    def known_error(self) -> np.ndarray:
        """Known measurement errors (row, eval): standard deviations of the log losses; 0 where none is known."""
        if "loss_sd" not in self.rows:
            return np.zeros(self.measured.shape)
        known: np.ndarray = (self.rows["loss_sd"] / self.rows["loss"]).fillna(0.0).transpose("row", "eval").values
        return known

    def log_size(self, columns: Mapping[Hashable, xr.DataArray]) -> xr.DataArray:
        """Return the log of N over the reference N (1e9 for laws without N); 0 without a column N."""
        if "N" not in columns:
            return xr.DataArray(0.0)
        ratio: xr.DataArray = xr.ufuncs.log(columns["N"].astype(float) / self.reference.get("N", 1e9))
        return ratio.reset_coords(drop=True)

    @cached_property
    def on_grid(self) -> bool:
        """Whether evaluating the law on the grid of all levels costs less than row by row.

        Every covariate must have exactly one column, and no two the same.
        """
        used = [c for name, cov in self.law.covariates.items() for c in cov.columns(name)]
        if len(set(used)) < len(used) or len(used) != len(self.law.covariates) or set(used) != set(self.levels):
            return False
        cells = np.prod([len(v) for v in {**self.levels, **self.groups}.values()], dtype=float)
        return bool(cells <= 2 * self.rows.sizes["row"])

    def columns(self) -> xr.Dataset:
        """Columns on the grid of levels (one dim per column), or by row."""
        if self.on_grid:
            columns = self.with_evals(xr.Dataset(coords=self.levels))
            return columns.assign({c: columns[c] for c in self.levels})
        return self.rows.drop_vars(["loss", "loss_sd"], errors="ignore")

    def inputs(self) -> dict[str, xr.DataArray]:
        """Covariates in reference units: on the grid of levels (one dim per column), or by row."""
        return {k: v.astype(float) for k, v in self.law.inputs(self.columns(), self.reference).items()}

    def feature(self, column: str, labels: Mapping[str, xr.DataArray]) -> xr.DataArray | None:
        """Return the values of a feature column for labels (of domains, say); None if some label has no value."""
        covariate = self.law.covariates.get(column)
        if covariate is None or covariate.of is None or covariate.of not in labels:
            return None
        wanted = labels[covariate.of]
        by_label = pd.Series(self.rows[column].values, self.rows[covariate.of].values)
        by_label = by_label[~by_label.index.duplicated()]
        if not np.isin(wanted.values, by_label.index).all():
            return None
        return wanted.copy(data=by_label.loc[wanted.values.ravel()].to_numpy().reshape(wanted.shape))

    def positions(self) -> dict[str, np.ndarray]:
        """Return the position of every row along each grid dimension and each group dimension."""
        along = {**(self.levels if self.on_grid else {}), **self.groups}
        return {dim: pd.Index(labels).get_indexer(self.rows[dim].values) for dim, labels in along.items()}

    @cached_property
    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the batches after which losses were measured (data order and tokens), and each row's batch number.

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
        """Return whether some runs share a data order at the same tokens; None without that column."""
        return len(self.batches[0]) < self.rows.sizes["row"] if ORDER in self.rows else None

    def order(self) -> dict[str, np.ndarray]:
        """Return the order of the rows within their runs; see `Noise.one_step_ahead`."""
        run = pd.factorize(self.rows["run"].values)[0]
        start = np.searchsorted(run, run)
        measured = self.measured.values
        number = np.arange(len(run))[:, None]
        last = np.maximum.accumulate(np.where(measured, number, -1), axis=0)
        previous = np.vstack([np.full((1, measured.shape[1]), -1), last[:-1]])
        first = previous < start[:, None]
        gap = np.full(measured.shape, NO_PREDECESSOR)
        if self.law.path in self.rows:
            log_path = np.log(self.rows[self.law.path].values.astype(float))
            gap = np.where(
                first | ~measured, NO_PREDECESSOR, log_path[:, None] - log_path[np.where(first, number, previous)]
            )
        return {
            "measured": measured.astype(float),
            "previous": np.where(first, number, previous),
            "gap": gap,
            "start": start,
            "eval_number": np.arange(measured.shape[1]),
        }

    def measured_together(self) -> int:
        """Return the largest number of validation sets that were measured in one row."""
        return int(self.measured.sum("eval").max())

    def has_checkpoints(self) -> bool:
        """Return whether some run was measured at several token counts."""
        return len(np.unique(self.rows["run"].values)) < self.rows.sizes["row"]


def _roles(law: Law, evals: tuple[str, ...], given: Mapping[str, str]) -> list[str]:
    """Return what the law takes every validation set for: the role it is given, or its own name."""
    for name, role in given.items():
        if name not in evals:
            raise unknown_name("validation set (in roles=)", name, evals)
        if not law.tells_evals_apart:
            raise LawError(
                f"the law {law.name} gives all validation sets the same role: leave roles={{{name!r}: ...}} out"
            )
        if law.evals and role not in law.evals:
            raise unknown_name(f"role of {law.name}", role, law.evals)
    if not law.tells_evals_apart:
        return [ANY_ROLE] * len(evals)
    roles = [given.get(name, name) for name in evals]
    if law.evals and (without := [name for name in roles if name not in law.evals]):
        foreign = [name for name in without if name in _ROLES]
        if foreign:
            kept = [e for e in evals if e not in without] or [law.evals[0]]
            raise DataError(
                f"{law.name} is a law of the {' and '.join(law.evals)} loss: leave the {foreign[0]} loss out, "
                f"read_runs(..., loss={ {e: f'{e}_loss' for e in kept} }) "
                f"({' '.join(f'--loss {e}={e}_loss' for e in kept)}), or give its role, "
                f"roles={ {foreign[0]: law.evals[0]} } (--role {foreign[0]}={law.evals[0]})"
            )
        example = dict.fromkeys(without, law.evals[0]) | {without[-1]: law.evals[-1]}
        raise DataError(
            f"the law {law.name} needs the role of {', '.join(map(repr, without))}: give each "
            f"{' or '.join(law.evals)}, for example roles={dict(given) | example} "
            f"({' '.join(f'--role {name}={role}' for name, role in example.items())})"
        )
    for role in law.single_roles:
        if roles.count(role) != 1:
            raise DataError(
                f"{law.name} describes one {role} loss, and the table has {roles.count(role)}: give it exactly one, "
                f"read_runs(..., loss={ {e: f'{e}_loss' for e in law.evals} }), or use a law of any number of losses"
            )
    return roles
