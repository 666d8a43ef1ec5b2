"""Schedules left out, predicted under several error models and misfits, and by least squares of the same law.

``python -m tests.studies.curves`` writes the page. Results are kept.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.files import replacing
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.declare.laws import Law
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.schedules import MEMORY
from bayeslaw.validation.refits import file_of
from bayeslaw.validation.scores import interval_score
from tests.models.test_held_out_schedules import FITTED, HALF, PLANS, SIZES, curves
from tests.posterior.test_forgetting import PEAK, TINY
from tests.studies.page import BUILD, Page

MOST_WORSE, COVERAGE = 0.02, (0.80, 0.97)
"""What is asked: error above least squares at most, and coverage of the 89 % band of a new run."""

DRAWS: dict[str, Any] = {"draws": 500, "chains": 2, "seed": 1, "progress": False}
SPARSE = 10
"""Logged steps of which one is kept, where rows are evenly spaced."""


@dataclass(frozen=True)
class Way:
    """How the runs are fitted: `spacing` as in `bl.read_curves`; `spread` of the priors in place of the card's."""

    noise: bl.Noise = field(default_factory=bl.Noise)
    misfit: bl.Misfit | None = None
    least_squares: bool = False
    spacing: float | None = None
    spread: float | None = None

    def priors(self, law: Law) -> dict[str, bl.Prior]:
        """Return the priors that take the place of those of a law, all of whose coefficients are positive."""
        if self.spread is None:
            return {}
        card = {name: coefficient.prior for name, coefficient in law.coefficients.items()}
        return {name: bl.positive(np.exp(prior.parameters["mu"]), self.spread) for name, prior in card.items()}


ALL_ROWS, SAME_ROWS, OURS = "LS, all rows", "LS, same rows", "independent"
CORRELATED = bl.Noise(correlated=True)
RUN_EFFECT = replace(CORRELATED, correlation_length=bl.positive(0.01, spread=0.3))
SMALL = bl.Misfit({"S1": bl.positive(0.006, spread=0.6)})
WAYS = {
    ALL_ROWS: Way(least_squares=True, spacing=1.0),
    SAME_ROWS: Way(least_squares=True),
    "correlated": Way(CORRELATED),
    "run effect": Way(RUN_EFFECT),
    OURS: Way(bl.Noise(correlated=False)),
    "wide priors": Way(bl.Noise(correlated=False), spread=2.0),
    "Student-t": Way(bl.Noise(correlated=False, robust=True)),
    "correlated, misfit": Way(CORRELATED, bl.Misfit()),
    "run effect, misfit": Way(RUN_EFFECT, bl.Misfit()),
    "independent, misfit": Way(bl.Noise(correlated=False), bl.Misfit()),
    "independent, small misfit": Way(bl.Noise(correlated=False), SMALL),
}
LAWS = ("lr_annealing", "multi_power")


@dataclass(frozen=True)
class Case:
    """Some schedules of a set, from which the others are predicted."""

    name: str
    law: str
    memory: float
    size: int | None
    fitted: tuple[str, ...]
    sparse: bool = False

    def model(self, way: Way) -> bl.Model:
        """Return the model of the fitted schedules."""
        law, runs = models.catalogue[self.law], measured(self.size, 1.0 if self.sparse else way.spacing, self.memory)
        kept = runs.table["run"].isin(self.fitted)
        if self.sparse and way.spacing is None:
            kept &= runs.table.groupby("run").cumcount() % SPARSE == SPARSE - 1
        reference = {c: PEAK for c in law.columns if c.startswith("annealed") and self.size is None}
        some, priors = runs.select(kept.to_numpy()), way.priors(law)
        return bl.Model(law, some, noise=way.noise, misfit=way.misfit, priors=priors, reference=reference)

    def held(self) -> pd.DataFrame:
        """Return all rows of the other schedules, with their ``loss``."""
        runs = measured(self.size, 1.0, self.memory)
        table = runs.table.assign(loss=runs.table[runs.loss_columns[0]])
        return table[~table["run"].isin(self.fitted)]


@cache
def measured(size: int | None, spacing: float | None, memory: float) -> Runs:
    """Return all curves of a size, or the domain loss of the tiny runs."""
    if size is not None:
        return curves(size, names=tuple(PLANS), spacing=spacing, memory=memory)
    table = bl.datasets.load("tinycpt").query("set == 'sched' and step >= 100")
    table = table.assign(run=table["schedule"])[["run", "step", "lr", "domain_loss"]]
    return bl.read_curves(table, schedule=TINY, memory=memory)


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every set with every law, at the papers' memory and at the one that its fitted schedules choose."""
    public = {size: tuple(f"{size}M {name}" for name in FITTED) for size in SIZES}
    for law in LAWS:
        every = [
            *(Case(f"{size}M", law, MEMORY, size, fitted) for size, fitted in public.items()),
            *(Case(f"{size}M, evenly", law, MEMORY, size, fitted, sparse=True) for size, fitted in public.items()),
            *(Case("tinycpt", law, MEMORY, None, tuple(n for n in TINY if n != out)) for out in TINY),
        ]
        for case in every:
            if law == "multi_power":
                yield "multi-power", case
            else:
                yield f"annealing, {MEMORY:g}", case
                yield "annealing, chosen", replace(case, memory=chosen(case)["memory"])


def kept(case: Case, way: str, make: Callable[[bl.Model], dict[str, Any]]) -> dict[str, Any]:
    """Return what is made of the model of a case, or was by an earlier run, if nothing has changed."""
    model = case.model(WAYS.get(way, WAYS[OURS]))
    settings = DRAWS | {"way": way, "left out": sorted(case.held()["run"].unique())}
    file = file_of(BUILD / "curves", f"{case.law} {case.name} {way}", model, model.design, CI_PROB, settings)
    assert file is not None
    if not file.is_file():
        found = make(model)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(found))
        print(f"{case.name}, {case.law}, memory {case.memory:g}: {way}", flush=True)
    answer: dict[str, Any] = json.loads(file.read_text())
    return answer


def chosen(case: Case) -> dict[str, Any]:
    """Return the memory with which each fitted schedule is predicted best from the other fitted ones."""
    return kept(
        case, "memory", lambda model: {"memory": float(bl.compare_memories(model)["mean"].nsmallest(1).index[0])}
    )


def scores(case: Case, way: str) -> dict[str, Any]:
    """Return the scores of every schedule left out."""
    held, plain = case.held(), WAYS[way].least_squares

    def make(model: bl.Model) -> dict[str, Any]:
        fit = model.fit(method="mle") if plain else model.fit(**DRAWS)
        columns = fit.columns(**{c: xr.DataArray(held[c].to_numpy(), dims="row") for c in model.law.columns})
        losses = fit.loss(columns)
        law, error = (
            x.stack(sample=SAMPLE).transpose("row", "eval", "sample").values[:, 0]
            for x in (losses, fit.errors(losses, columns, np.random.default_rng(0)))
        )
        if plain:
            left = model.design.log_loss - np.log(fit.loss(model.design.rows).values.ravel())
            half = HALF * left.std(ddof=len(model.law.coefficients))
            lower, upper = law[:, 0] * np.exp(-half), law[:, 0] * np.exp(half)
        else:
            lower, upper = np.quantile(law * np.exp(error), levels(CI_PROB), axis=1)
        y, middle = held["loss"].to_numpy(), law.mean(axis=1)
        rows = {"MAE": abs(middle - y), "coverage": (lower <= y) & (y <= upper)}
        rows["interval score"] = interval_score(lower, upper, y, CI_PROB)
        by_run = pd.DataFrame(rows).groupby(held["run"].to_numpy()).mean()
        return {str(score): values for score, values in by_run.to_dict("list").items()}

    return kept(case, way, make)


def table() -> pd.DataFrame:
    """Return the mean scores of the schedules left out, by law, set and way."""
    parts = [
        pd.DataFrame(scores(case, way)).assign(law=law, set=case.name, way=way) for law, case in cases() for way in WAYS
    ]
    by = pd.concat(parts).groupby(["law", "set", "way"], sort=False)
    return by[["MAE", "coverage", "interval score"]].mean()


def side_by_side(found: pd.DataFrame, score: str, relative: str | None = None) -> pd.DataFrame:
    """Return a score, the ways beside each other; if asked, relative to that of one of them."""
    wide = found[score].unstack("way").reindex(found.droplevel("way").index.unique())[list(WAYS)]
    return wide if relative is None else wide.div(wide[relative], axis=0)


def reached(found: pd.DataFrame) -> pd.DataFrame:
    """Return in how many laws and sets each way reaches what is asked, and by how much it misses at most."""
    coverage = side_by_side(found, "coverage")
    rows: dict[str, dict[str, str]] = {}
    held = (coverage >= COVERAGE[0]) & (coverage <= COVERAGE[1])
    for way in WAYS:
        rows[way] = {}
        for plain in (ALL_ROWS, SAME_ROWS):
            worse = side_by_side(found, "MAE", plain)[way] - 1
            rows[way] |= {
                f"error as {plain}": f"{(worse <= MOST_WORSE).sum()} of {len(worse)}",
                f"mean, {plain}": f"{np.expm1(np.log1p(worse).mean()):+.1%}",
                f"worst, {plain}": f"{worse.max():+.1%}",
            }
        rows[way]["coverage"] = f"{held[way].sum()} of {len(held)}"
        rows[way]["least coverage"] = f"{coverage[way].min():.2f}"
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("errors")


def main() -> None:
    """Fit what is not kept, and write the page."""
    found, page = table(), Page("curves", "Curves: error models and misfits beside least squares")
    page.text(
        "A law of training curves is fitted to some schedules and predicts others. Least squares (LS; the papers' "
        "Huber loss) of the same law stands beside posteriors that differ in their errors. Sets: the public curves of "
        "25M and of 100M (three schedules fitted, six predicted, [as here](schedules.md)), on the logged steps that "
        f"the package keeps and on every {SPARSE}th (*evenly*); and tinycpt's domain loss, each of five schedules "
        "predicted from the other four. The annealing law has the papers' memory, 0.999, or the one of "
        "`bl.compare_memories` with which each fitted schedule is predicted best from the other fitted ones (*chosen*)."
    )
    page.text(
        "- *correlated*: a run effect and correlation along the run, the package's default for other laws; *run "
        "effect*: the correlation over before the next row; *independent*: the default for laws of curves; "
        "*wide priors*: the same, with a spread of 2 for every coefficient; *Student-t*: robust.\n"
        "- *misfit*: a smooth function of S1, shared by the runs; *small*: with slopes of 0.006, not 0.02, a decade."
    )
    page.text(
        f"## What is reached\n\nOf all laws and sets: an error at most {MOST_WORSE:.0%} above least squares, of all "
        f"logged rows and of the same rows, and a coverage of {COVERAGE[0]:.2f} to {COVERAGE[1]:.2f} by the 89 % band."
    )
    page.table(reached(found))
    page.text("## Every set\n\nMean absolute error, relative to least squares of all rows:")
    page.table(side_by_side(found, "MAE", ALL_ROWS))
    page.text("Mean absolute error, relative to least squares of the same rows:")
    page.table(side_by_side(found, "MAE", SAME_ROWS))
    page.text("Coverage of the 89 % band of a new run (LS: of the spread of its residuals):")
    page.table(side_by_side(found, "coverage"), 2)
    page.text("Interval score of that band (nats; smaller is better):")
    page.table(side_by_side(found, "interval score"), 4)
    page.text(VERDICT)
    page.write()


VERDICT = (
    "## What holds, and what does not\n\n"
    "The target is not reached: no way of fitting has an error within 2 % of least squares and the coverage in every "
    "set. Errors that are correlated along a run are the first cause of the distance: they take what the law misses "
    "for luck of each run. A run effect alone does so less, independent errors least: they are the default of laws "
    "of curves. The second cause is the priors on tinycpt, made for the pre-training of models of 25M and more. Most "
    "of what is left beside least squares of all rows is the weight of the rows: a log has more late ones than the "
    "package keeps, and least squares of those that are kept is further off too.\n\n"
    "A misfit along S1 helps the annealing law on some public curves and misleads on tinycpt, probably because it "
    "takes late decays for a function of S1. It stays a choice. A chosen memory lowers most errors of least squares "
    "and posteriors, but also the coverage at 100M. Student-t errors predict about as least squares, and their bands "
    "are too narrow.\n\n"
    "At 100M the bands of the multi-power law, and of the annealing law with a chosen memory, hold too few losses "
    "whatever the errors, as do the residuals of least squares."
)

if __name__ == "__main__":
    main()
