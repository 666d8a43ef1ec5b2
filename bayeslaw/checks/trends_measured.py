"""Whether the measurements themselves rise where the shape prior forbids it, before any law."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bayeslaw.base.numbers import apart, short
from bayeslaw.base.words import place
from bayeslaw.checks.residuals import error_scale
from bayeslaw.checks.result import CheckResult, Group, by_chance, losses_beyond
from bayeslaw.posterior.draws import Posterior

__all__ = ["measured_rises"]

MOST_RISE = 3.0
"""Standard errors by which a measured loss may rise where the shape prior forbids it."""


def measured_rises(fit: Posterior) -> CheckResult | None:
    """Rises between measurements that differ in one covariate, in which the shape prior lets the loss only fall."""
    if fit.model.monotone is None or not (found := list(_rises(fit))):
        return None
    groups = [group for _, group in found]
    score, where, _ = max(groups)
    limit = by_chance(sum(count for count, _ in found), MOST_RISE)
    return CheckResult.judged(
        "shape prior",
        score,
        limit,
        f"{where} ({short(score)} standard errors), the largest measured rise where the shape prior forbids one"
        if score > 0
        else "no measured loss rises where the shape prior forbids it",
        "the prior changes the law there: compare the answers with those of Model(..., monotone=None)",
        losses_beyond(groups, limit),
    )


def _rises(fit: Posterior) -> Iterator[tuple[int, Group]]:
    """Yield, of the measurements that differ in one covariate, the number of pairs and the largest rise.

    It is in standard errors of new runs, and in words.
    """
    design, reference, scale = fit.model.design, fit.model.design.reference, error_scale(fit)
    for e in design.evals:
        frame = _covariates(fit, e)
        columns = list(frame)
        loss = design.rows["loss"].sel(eval=e).where(design.measured.sel(eval=e))
        frame = frame.assign(log=np.log(loss.values), var=scale.sel(eval=e).values ** 2).dropna(subset="log")
        for name in [c for c in fit.model.law.falls_in if c in frame]:
            others = [str(c) for c in columns if c != name]
            cells = frame.groupby([*others, name]).agg(log=("log", "mean"), var=("var", "mean"), n=("log", "size"))
            cells = cells.reset_index()
            number = cells.groupby(others).ngroup() if others else pd.Series(0, cells.index)
            for _, alike in cells[number.groupby(number).transform("size") > 1].groupby(number):
                log, var = alike["log"].to_numpy(), (alike["var"] / alike["n"]).to_numpy()
                low, high = np.triu_indices(len(alike), 1)
                rises = log[high] - log[low]
                scores = rises / np.sqrt(var[low] + var[high])
                k = int(scores.argmax())
                at = {c: alike[c].iloc[0] * reference.get(c, 1.0) for c in others if c in reference}
                ends = " to ".join(place({name: alike[name].iloc[i] * reference[name]}) for i in (low[k], high[k]))
                rise = f"rises by {apart(rises[k])} from {ends}"
                where = f"the {e} loss{f' at {place(at)}' if at else ''} {rise}"
                yield len(rises), Group(float(scores[k]), where, e)


def _covariates(fit: Posterior, e: str) -> pd.DataFrame:
    """Return the covariates that vary by row of one validation set, in reference units, and the labels of groups."""
    design = fit.model.design
    columns: dict[str, np.ndarray] = {}
    for name, values in fit.model.law.inputs(design.rows, design.reference).items():
        if "row" not in values.dims:
            continue
        own = (values.sel(eval=e) if "eval" in values.dims else values).transpose("row", ...)
        each = own.values.reshape(len(own), -1).round(12)  # one column of each source of a mixture
        columns |= {name if each.shape[1] == 1 else f"{name} {i}": part for i, part in enumerate(each.T)}
    return pd.DataFrame(columns | {c: design.rows[c].values for c in design.groups if c not in columns})
