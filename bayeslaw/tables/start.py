"""Losses before training as columns of a table, for laws that start from them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayeslaw.base.words import place
from bayeslaw.declare.laws import Law
from bayeslaw.errors import DataError
from bayeslaw.tables.runs import Runs

__all__ = ["with_start"]


def with_start(law: Law, runs: Runs, roles: Mapping[str, str]) -> Runs:
    """Return the runs with the losses before training that the law needs and the table does not have as columns.

    Parameters
    ----------
    law, runs
        The law and the measurements.
    roles : mapping
        ``{validation set: role}`` of sets that are not named like a role.

    Raises
    ------
    DataError
        No row at D = 0 has the loss of some label, or several validation sets have the role.
    """
    table = runs.table
    for name, covariate in law.covariates.items():
        of = covariate.of
        if covariate.start is None or of is None or of not in table or name in table:
            continue
        called = f"{name}, the {covariate.start} loss before training"
        sets = [e for e in runs.evals if roles.get(e, e) == covariate.start]
        if len(sets) != 1:
            raise DataError(
                f"the law {law.name} needs {called}, and {len(sets)} validation sets have that role "
                f"({', '.join(sets) or 'none'}): fit it to the loss of one, or give a column {name!r}"
            )
        loss = f"{sets[0]}_loss"
        rows = runs.baseline.dropna(subset=loss) if of in runs.baseline else runs.baseline.head(0)
        before: dict[Any, float] = rows.groupby(of)[loss].mean().to_dict() if len(rows) else {}
        if missing := [label for label in table[of].unique() if label not in before]:
            which = place({of: missing[0]})
            raise DataError(
                f"the law {law.name} needs {called}, and no row at D = 0 has {which}: add such a row, or a "
                f"column {name!r} with that loss"
            )
        table = table.assign(**{name: table[of].map(before)})
    return runs if table is runs.table else replace(runs, table=table)
