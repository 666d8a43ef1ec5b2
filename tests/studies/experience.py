"""Strength from other studies: priors of the Chinchilla law learned from other families, a family left out at a time.

python -m tests.studies.experience
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.files import replacing
from bayeslaw.declare.priors import Prior
from bayeslaw.validation.scores import interval_score
from tests.studies import rivals
from tests.studies.kept_out import FAMILIES, STUDIES, Axis, Case, Study, split
from tests.studies.page import BUILD, Page, fitted
from tests.studies.skaling import olmo_ladder

WIDE = {"E": 1.0, "A": 1.2, "alpha": 0.8, "B": 1.2, "beta": 0.8}
"""Spreads of the priors under which whole families are fitted, around the medians of the card."""

UNSURE, SCATTERED = 0.7, 0.4
"""Of a population, before any family: spread of its log median around the card's, half-normal scale of its spread."""

SHIFTS, SPREADS = np.linspace(-2, 2, 81), np.linspace(0.03, 1.5, 50)
"""The grid of a population: log median against the card's, and spread."""

APART = 1.4
"""Factor between the two smallest sizes, at least: a family may have several models of nearly one size."""

ENOUGH = 5
"""Measurements of a size that are fitted or predicted, at least: as many as the law has coefficients."""

ENDS = ("chinchilla_epoch", "datablations", "olmo_ladder")
"""Tables whose tokens are those of finished runs; in all others they are points of curves."""

CARD = {name: float(np.exp(c.prior.parameters["mu"])) for name, c in models.chinchilla.coefficients.items()}


def _ladder() -> bl.Model:
    """Return the law of the ends of the OLMo ladder's runs."""
    return bl.Model(models.chinchilla, bl.read_runs(olmo_ladder()), misfit=None)


@dataclass(frozen=True)
class Family:
    """A table with the law of sizes and tokens; tables of one lineage never teach each other."""

    name: str
    lineage: str
    model: Callable[[], bl.Model]

    @property
    def kind(self) -> str:
        """What its tokens are: ends of runs, or points of curves."""
        return "ends" if self.name in ENDS else "curves"


FAMILY = {name: Family(name, lineage, STUDIES[name].model) for name, lineage in FAMILIES.items()}
FAMILY["olmo_ladder"] = Family("olmo_ladder", "olmo", _ladder)


# -------------------------------------------------------------------------------------------------------- populations
@cache
def shifts(name: str) -> dict[str, np.ndarray]:
    """Return draws of the coefficients of a whole table, as logs against the card's medians in its scale of losses."""
    model = FAMILY[name].model()
    priors = {k: bl.positive(CARD[k] * _scale(k, model), spread=WIDE[k]) for k in CARD}
    fit = fitted("experience", name, replace(model, priors=priors), draws=400, chains=2)
    return {k: np.log(fit.posterior[k].values.ravel() / CARD[k] / _scale(k, model)) for k in CARD}


def _scale(name: str, model: bl.Model) -> float:
    return float(model.loss_scale or 1.0) if models.chinchilla.coefficients[name].unit == "nats" else 1.0


def _likelihood(name: str, coefficient: str) -> np.ndarray:
    """Return the log likelihood (shift, spread) of populations by a table: density over that of its wide prior."""
    x = shifts(name)[coefficient]
    ratio = norm.logpdf(x, SHIFTS[:, None, None], SPREADS[:, None]) - norm.logpdf(x, 0, WIDE[coefficient])
    return np.asarray(logsumexp(ratio, axis=-1) - np.log(len(x)))


@cache
def population(coefficient: str, kind: str, without: str | None) -> tuple[float, float, int]:
    """Return median and spread of a coefficient in a new family, in nats of text, and the number of lineages."""
    lineages: dict[str, list[np.ndarray]] = {}
    for name, family in FAMILY.items():
        if family.kind == kind and family.lineage != without:
            lineages.setdefault(family.lineage, []).append(_likelihood(name, coefficient))
    weight = norm.logpdf(SHIFTS, 0, UNSURE)[:, None] + norm.logpdf(SPREADS, 0, SCATTERED)
    weight = weight + sum(np.mean(tables, axis=0) for tables in lineages.values())
    weight = np.exp(weight - logsumexp(weight))
    mean = (weight * SHIFTS[:, None]).sum()
    variance = (weight * ((SHIFTS[:, None] - mean) ** 2 + SPREADS**2)).sum()
    return CARD[coefficient] * float(np.exp(mean)), float(np.sqrt(variance)), len(lineages)


def experience(model: bl.Model, family: Family) -> dict[str, Prior]:
    """Return the priors that the other lineages teach, in the scale of the losses of a model."""
    found = {k: population(k, family.kind, family.lineage) for k in CARD}
    return {k: bl.positive(median * _scale(k, model), spread=spread) for k, (median, spread, _) in found.items()}


# ------------------------------------------------------------------------------------------------------------- scores
def cases(family: Family) -> dict[str, Case]:
    """Return the fits of the smallest size and of the two smallest, and the largest size, which is kept out."""
    whole, found = family.model(), {}
    table = whole.runs.sorted_along("D").table
    near = table["N"].map(lambda size: float(f"{size:.2g}"))  # sizes read off a figure differ in their last digits
    count = near.value_counts()
    sizes = np.sort(count.index[count >= ENOUGH])
    second = sizes[sizes >= APART * sizes[0]][0]
    nothing = Axis("larger models", lambda rows: {}, lambda rows: {}, "N")
    for words, kept in {"one size": sizes[:1], "two sizes": np.array([sizes[0], second])}.items():
        few = table[near.isin(kept)].reset_index(drop=True)
        noise = whole.noise
        if few["run"].nunique() == 1:
            few, noise = few.assign(run=[f"point {i}" for i in few.index]), bl.Noise(correlated=False)
        runs = replace(whole.runs, table=few)
        model = bl.Model(whole.law, runs, noise=noise, reference=whole.reference, misfit=None)
        _, held = split(whole, (near == sizes[-1]).to_numpy())
        factor = np.full(len(held.log_loss), sizes[-1] / kept[-1])
        found[words] = Case(Study(family.name, family.lineage, family.model, ()), nothing, words, model, held, factor)
    return found


PRIORS: dict[str, Callable[[bl.Model, Family], dict[str, Prior]]] = {
    "default": lambda model, family: {},
    "experience": experience,
}
MISFITS: dict[str, Any] = {"law alone": None, "with misfit": "scales"}


def scored(family: Family, case: Case, priors: str, misfit: str) -> dict[str, Any]:
    """Return error and coverage at the largest size, percent of the loss; kept from an earlier run."""
    model = replace(case.model, priors=PRIORS[priors](case.model, family), misfit=MISFITS[misfit])
    about = {"kind": family.kind, "family": family.name, "fitted": case.label, "factor": float(case.factor[0])}
    about |= {"model": misfit, "priors": priors}
    written = {k: str(p) for k, p in model.coefficient_priors.items()}
    file = BUILD / "experience" / f"{family.name} {case.label} {misfit} {priors}.json".replace(" ", "-")
    kept = json.loads(file.read_text()) if file.is_file() else {}
    if kept.get("written") != written:
        found, seen = rivals.posterior(replace(case, model=model)), case.held.log_loss
        last = int(np.argmax(case.held.rows["D"].values[case.held.cells["row"]]))
        off = 100 * (found["middle"].to_numpy() - seen)
        inside = (found["lower"] <= seen) & (seen <= found["upper"])
        kept = {
            "written": written,
            "error of the last loss": float(abs(off[last])),
            "rms error": float(np.sqrt((off**2).mean())),
            "bias": float(off.mean()),
            "coverage": float(inside.mean()),
            "last inside": float(inside.to_numpy()[last]),
            "interval score": 100 * float(interval_score(found["lower"], found["upper"], seen, rivals.INTERVAL).mean()),
            "R-hat": float(found["r_hat"].iloc[0]),
            "divergences": float(found["divergences"].iloc[0]),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(kept))
        print(about, {k: v for k, v in kept.items() if k != "written"}, flush=True)
    return about | {k: v for k, v in kept.items() if k != "written"}


def every() -> pd.DataFrame:
    """Return the scores of every family, number of sizes, misfit and kind of prior."""
    return pd.DataFrame(
        scored(family, case, priors, misfit)
        for family in FAMILY.values()
        for case in cases(family).values()
        for misfit in MISFITS
        for priors in PRIORS
    )


MEASURES = ["error of the last loss", "rms error", "coverage", "last inside", "interval score"]


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return medians of errors and scores, and mean coverages, over families."""
    grouped = found.groupby(["fitted", "model", "priors"], sort=False)
    middle = grouped[["error of the last loss", "rms error", "interval score"]].median()
    return middle.join(grouped[["coverage", "last inside"]].mean())[MEASURES]


def families_better(found: pd.DataFrame) -> pd.DataFrame:
    """Return in how many families experience has the smaller error and the smaller interval score."""
    wide = found.pivot(index=["fitted", "model", "family"], columns="priors", values=["rms error", "interval score"])
    better = pd.DataFrame({k: wide[k, "experience"] < wide[k, "default"] for k in ("rms error", "interval score")})
    by = better.groupby(level=["fitted", "model"])
    return by.sum().add_prefix("smaller ").assign(families=by.size())


def verdict(table: pd.DataFrame) -> tuple[bool, str]:
    """Return whether experience beats the defaults in error and coverage in every pair of lines, and in words."""
    lines, better = [], []
    for (sizes, model), part in table.groupby(level=["fitted", "model"], sort=False):
        default, other = (part.xs(p, level="priors").iloc[0] for p in PRIORS)
        less = other["rms error"] < default["rms error"]
        nearer = abs(other["coverage"] - rivals.INTERVAL) < abs(default["coverage"] - rivals.INTERVAL)
        better.append(bool(less and nearer))
        lines.append(
            f"- {sizes}, {model}: median error {default['rms error']:.2f} % by default, {other['rms error']:.2f} % "
            f"with experience ({'less' if less else 'not less'}); coverage {default['coverage']:.2f} and "
            f"{other['coverage']:.2f} ({'nearer to' if nearer else 'not nearer to'} {rivals.INTERVAL:g})"
        )
    return all(better), "\n".join(lines)


def main() -> None:
    """Learn the populations, predict every family's largest model, and write the page."""
    page = Page("experience", "Strength from other studies: priors learned from other families")
    found = every()
    page.text(
        "Do priors that other families of models teach predict a family's largest model from its smallest ones better "
        "than the default priors? Ten public tables with the Chinchilla law: seven of points along curves (five "
        "lineages), three of ends of runs, which are kept apart, since tokens stand for different things there. Every "
        "whole table is fitted under wide priors; each coefficient, levels and amplitudes in the scale of the "
        "table's losses, gets a population of its own, whose median and spread are learned from all lineages but the "
        "one predicted. The smallest size, or the smallest and the next one at least "
        f"{APART:g} times as large, are then fitted under these priors and under the default ones, and the largest "
        "model's losses are predicted as those of a new run. Errors are in percent of the loss. Where a single run "
        "is left, which the toolkit refuses, its points count as runs of their own, under either kind of prior."
    )
    table = summary(found)
    page.text("## Over all families\n\nMedians of errors and interval scores, means of coverages of 89 % intervals:")
    page.table(table.reset_index(), digits=2)
    for kind, words in {"curves": "Points along curves", "ends": "Ends of runs"}.items():
        page.text(f"{words}:")
        page.table(summary(found[found["kind"] == kind]).reset_index(), digits=2)
    beats, lines = verdict(table)
    page.text(f"## What it is worth\n\n{lines}\n\nIn how many families experience has the smaller one:")
    page.table(families_better(found).reset_index())
    page.text(
        "It beats the default priors in error and coverage everywhere."
        if beats
        else "It does not beat the default priors in both everywhere, so that the package has no such priors. Numbers "
        "of few families, and of many points of one curve each, are known roughly."
    )
    page.text("## The populations\n\nIn nats of text, from all families; the card's medians and spreads beside them:")
    card = {k: float(c.prior.parameters["sigma"]) for k, c in models.chinchilla.coefficients.items()}
    rows = []
    for kind in ("curves", "ends"):
        for k in CARD:
            median, spread, lineages = population(k, kind, None)
            rows.append({"tokens": kind, "coefficient": k, "median": median, "spread": spread, "lineages": lineages})
            rows[-1] |= {"card's median": CARD[k], "card's spread": card[k]}
    page.table(pd.DataFrame(rows), digits=2)
    page.text("## Every family")
    wide = found.pivot(
        index=["family", "fitted", "factor", "model"], columns="priors", values=["rms error", "coverage"]
    )
    wide.columns = wide.columns.map(", ".join)
    page.table(wide.reset_index(), digits=2)
    page.text(
        f"{len(found)} fits of 2 x 400 draws; {int((found['R-hat'] > 1.01).sum())} have an R-hat above 1.01 (largest "
        f"{found['R-hat'].max():.3f}), divergences in all: {int(found['divergences'].sum())}."
    )
    page.write()


if __name__ == "__main__":
    main()
