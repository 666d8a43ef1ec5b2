"""Features of early training in each domain, read from its first checkpoints, for the cross-domain D-CPT law.

Source: Que et al. 2024, arXiv:2406.01375, section 5 and appendix H.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import between, exact, short
from bayeslaw.base.words import counted, place
from bayeslaw.declare.laws import Law
from bayeslaw.errors import DataError, unknown_name
from bayeslaw.tables.runs import Runs

__all__ = ["check_features", "early_features"]

K3_FORMS = ("second difference", "simplified")


@checked
def early_features(
    runs: Runs,
    *,
    N: float,
    domain_share: float,
    tokens: Sequence[float],
    eval: str = "domain",
    k3: Literal["second difference", "simplified"] = "second difference",
) -> Runs:
    """Add features k1, k2 (and k3) of every domain from early losses, and leave out the rows of these losses.

    Parameters
    ----------
    runs : Runs
        With a ``domain`` column, and rows at D = 0 at this size.
    N, domain_share : float
        The cell of the early losses, the same in every domain. The paper does not name its cell.
    tokens : tuple of float
        Tokens after 1,000, 5,000 and, for k3, 10,000 steps (the paper's: 0.131e9, 0.655e9 and 1.31e9).
    eval : str
        The validation set whose loss is read.
    k3 : {"second difference", "simplified"}
        L(0) - 2 L(5,000) + L(10,000), the paper's definition; or L(0) - L(10,000), the paper's simplification, which
        has other values.

    Returns
    -------
    Runs
        k1: loss after 1,000 steps; k2: its drop from before training to 5,000 steps (nats). Replicates are averaged.

    Raises
    ------
    DataError
        A domain was not measured there, or its loss did not fall (k2 or k3 not above 0).
    UnknownName
        There is no such validation set or form of k3.

    Notes
    -----
    The rows whose loss becomes a feature are left out of the likelihood, with all their losses. Other rows of the same
    run stay; their run effect also enters the feature.
    """
    if eval not in runs.evals:
        raise unknown_name("validation set", eval, runs.evals)
    if k3 not in K3_FORMS:
        raise unknown_name("form of k3", k3, K3_FORMS)
    if "domain" not in runs.table:
        raise DataError("the runs have no column 'domain': map it, since every domain has its own features")
    if len(tokens) not in (2, 3):
        raise DataError(f"tokens is {tokens}: give those after 1,000 and 5,000 steps, and after 10,000 for k3")
    cell = np.isclose(runs.table["N"], N, rtol=1e-6) & np.isclose(runs.table["domain_share"], domain_share, atol=1e-9)
    cell &= runs.table[f"{eval}_loss"].notna()
    used = pd.Series(False, index=runs.table.index)
    features, start = {}, runs.baseline.dropna(subset=f"{eval}_loss")
    if "N" in start:
        start = start[np.isclose(start["N"], N, rtol=1e-6)]
    for domain, rows in runs.table.groupby("domain", sort=False):
        before = start[start["domain"] == domain] if "domain" in start else start
        if not len(before):
            raise DataError(
                f"the domain {domain!r} has no row at D = 0 with N {exact(N)}: measure its loss before training"
            )
        losses = [float(before[f"{eval}_loss"].mean())]
        for D in tokens:
            at = rows.index[cell[rows.index] & np.isclose(rows["D"], D, rtol=1e-3)]
            if not len(at):
                raise DataError(
                    f"the domain {domain!r} was not measured at N {exact(N)}, domain_share {exact(domain_share)}, D "
                    f"{exact(D)}: name a cell that every domain has, or leave this domain out"
                )
            losses.append(float(rows.loc[at, f"{eval}_loss"].mean()))
            used[at] = True
        found = {"k1": losses[1], "k2": losses[0] - losses[2]}
        if len(tokens) == 3:
            found["k3"] = losses[0] - losses[3] if k3 == "simplified" else losses[0] - 2 * losses[2] + losses[3]
        for name, value in found.items():
            if not value > 0:
                raise DataError(
                    f"{name} of the domain {domain!r} is {short(value)}: its {eval} loss does not fall early at N "
                    f"{exact(N)}, domain_share {exact(domain_share)}; read the features at a larger share"
                )
        features[domain] = found
    of_domain = pd.DataFrame(features).T
    table, baseline = (
        t.assign(**{str(k): t["domain"].map(of_domain[k]) for k in of_domain}) if "domain" in t else t
        for t in (runs.table[~used].reset_index(drop=True), runs.baseline)
    )
    where = place({"N": N, "domain_share": domain_share})
    note = f"early training at {where}: {counted(int(used.sum()), 'row')} became features"
    return replace(runs, table=table, baseline=baseline, note="; ".join(filter(None, [runs.note, note])))


def check_features(law: Law, table: pd.DataFrame) -> None:
    """Check that each feature of a label has one value per label, in the range of the law.

    Raises
    ------
    DataError
        A label has two values, or one outside the law's range.
    """
    for name, covariate in law.covariates.items():
        if covariate.of is None or covariate.of not in table:
            continue
        low, high = covariate.valid
        for label, values in table.groupby(covariate.of, sort=False)[name]:
            first, called = values.iloc[0], f"{name} of the {covariate.of} {label!r}"
            if not np.allclose(values, first, rtol=1e-6, atol=0):
                reader = " (bayeslaw.early_features reads it)" if covariate.start is None else ""
                raise DataError(
                    f"{called} is {exact(values.min())} in one row and {exact(values.max())} in another: give all "
                    f"of its rows one value{reader}"
                )
            if not low <= first <= high:
                raise DataError(
                    f"{called} is {exact(first)}, and {law.name} takes {between(low, high)} {covariate.unit}: "
                    f"convert it to {covariate.unit} per token, the unit of the losses"
                )
