"""Whether the runs are what the law and its priors are for; no posterior is needed."""

import pandas as pd

from bayeslaw import models
from bayeslaw.base.numbers import short
from bayeslaw.checks.result import CheckResult
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.cautions import VERIFIED
from bayeslaw.posterior.draws import Posterior
from bayeslaw.spec.misfit import SCALES
from bayeslaw.spec.ranges import MOST_OUTSIDE, left_out, ranges

__all__ = ["in_range", "laws_that_bend", "peaks", "reference", "repetition", "sizes"]

MOST_FACTOR = 100
"""Factor between the reference run, for which the priors are stated, and the mean of the runs."""

MOST_SIZES = 1.1
"""Factor between sizes that count as one."""

MOST_EPOCHS = 4
"""Epochs up to which a repeated token is worth about as much as a fresh one (arXiv:2305.16264)."""


def reference(fit: Posterior) -> CheckResult:
    """Whether the runs lie near the reference run, for which the priors are stated."""
    design, factors = fit.model.design, {"": 1.0}
    for name, values in design.law.inputs(design.rows, design.reference).items():
        positive = values.values[values.values > 0]
        if len(positive) and design.reference[name] != 1.0:
            factors[name] = max(float(positive.mean()), 1 / float(positive.mean()))
    name, factor = max(factors.items(), key=lambda item: item[1])
    return CheckResult.judged(
        "reference run",
        factor,
        MOST_FACTOR,
        f"the runs differ from the reference run by a factor of {short(factor, 2)}" + (f" in {name}" if name else ""),
        f"the priors were stated for runs of its scale: give a reference run of your own, reference={{{name!r}: ...}}",
    )


def in_range(fit: Posterior) -> CheckResult:
    """Whether the law is claimed to hold where each loss was measured; pure runs (`left_out`) do not count."""
    law, counts = fit.model.law, left_out(fit.model.law, fit.model.design.rows)
    share = (counts["outside"] - counts["pure"]) / counts["total"]
    each = ", ".join(
        f"{row.outside} of {row.total} {name} losses" + (f" ({row.pure} of them in pure runs)" if row.pure else "")
        for name, row in counts.iterrows()
        if row.outside
    )
    included = fit.model.outside == "include"
    return CheckResult.judged(
        "range",
        0.0 if included else share.max(),
        MOST_OUTSIDE,
        f"{each or 'no losses'} lie outside the law's range ({ranges(law)})"
        + ("" if not each else " and were included on request" if included else " and stayed out of the fit"),
        f"no fitted measurement supports predictions of the {share.idxmax()} loss there: fit all rows with "
        "outside='include', or use a law that is valid there",
        share.index[share > MOST_OUTSIDE],
    )


def peaks(fit: Posterior) -> CheckResult | None:
    """Whether the runs of curves that share a coefficient share the peak of their learning rates.

    In simulated training the residuals of the annealing law are three times as large with peaks 5 % apart, and fifty
    times with one twice the other; with coefficients for each peak they stay as they are.
    """
    law, rows = fit.model.law, fit.model.design.rows
    if law.path != "step" or "peak" not in rows:
        return None
    found = _within_groups(fit, "peak")
    widest = found.iloc[int((found["max"] / found["min"]).argmax())]
    low, high = short(widest["min"]), short(widest["max"])
    peaks = f"the peak learning rate {low}" if low == high else f"peak learning rates between {low} and {high}"
    return CheckResult.judged(
        "peak learning rates",
        widest["max"] / widest["min"],
        VERIFIED["peak"],
        f"runs that share the coefficient {widest['coefficient']} have {peaks}",
        f"{law.name} is valid for one peak: fit the runs of each peak separately, or give each its own coefficients, "
        f"by=dict.fromkeys(models.{law.name}.coefficients, 'peak')",
    )


def sizes(fit: Posterior) -> CheckResult | None:
    """Whether a law that does not know the model size was fitted to runs of several sizes as if they were of one."""
    law, rows = fit.model.law, fit.model.design.rows
    if "N" not in rows or "N" in law.columns or law.of_scores or not (rows["N"] > 0).all():
        return None
    found = _within_groups(fit, "N")
    factor = (found["max"] / found["min"]).groupby(found["coefficient"]).max()
    low, high = rows["N"].min().item(), rows["N"].max().item()
    return CheckResult.judged(
        "model sizes",
        factor.min(),
        MOST_SIZES,
        f"the runs have N {short(low)}" + ("" if low == high else f" to {short(high)}"),
        f"{law.name} does not know the size, and no coefficient varies with it: fit the runs of each size separately, "
        f"or pool over sizes, by=dict.fromkeys(models.{law.name}.coefficients, 'N')",
    )


def _within_groups(fit: Posterior, column: str) -> pd.DataFrame:
    """Return the smallest and largest value of a column among the runs that share a coefficient."""
    rows = fit.model.design.rows
    labels = pd.DataFrame({name: rows[name].values for name in dict.fromkeys((column, *fit.model.design.groups))})
    ends = []
    for name, prior in fit.model.coefficient_priors.items():
        own = [label for label in labels if label in (prior.dims or ())]
        groups = labels[column].groupby([labels[label] for label in own] or [0 * labels[column]])
        ends.append(groups.agg(["min", "max"]).assign(coefficient=name))
    return pd.concat(ends, ignore_index=True)


def repetition(fit: Posterior) -> CheckResult | None:
    """Whether a law that counts repeated tokens as new ones was fitted to runs that repeat them."""
    law, rows = fit.model.law, fit.model.design.rows
    if "U" not in rows or "U" in law.columns or "D" not in rows:
        return None
    measured = fit.model.design.measured.any("eval").values
    own = rows["D"] * rows["domain_share"] if "domain_share" in law.columns else rows["D"]
    epochs = float((own / rows["U"]).values[measured].max())
    known = models.such_as(lambda other: {"U", *law.columns} <= set(other.columns))
    return CheckResult.judged(
        "repetition",
        epochs,
        MOST_EPOCHS,
        f"runs repeat their unique tokens (column U) for up to {short(epochs)} epochs, and {law.name} counts "
        "each of them as new",
        f"tokens are worth less than new ones beyond about {MOST_EPOCHS} epochs (arXiv:2305.16264): fit a law that "
        f"counts epochs ({known}), or leave those runs out",
    )


def laws_that_bend(fit: Posterior) -> str:
    """Write what can follow runs that this law, with the misfit that it has, cannot."""
    law = fit.model.law

    def bends(other: Law) -> bool:
        same_losses = not other.evals or set(law.evals) <= set(other.evals)
        free = "domain_share" in other.columns and other.path not in other.falls_in
        return free and same_losses and other is not law

    known = f" ({models.such_as(bends)})" if "domain_share" in law.columns else ""
    can_miss = not fit.processes and not set(SCALES).isdisjoint(law.columns)
    beside = ", or add a misfit, misfit=bl.Misfit()" if can_miss else ""
    return f"use a more flexible law{known}{beside}"
