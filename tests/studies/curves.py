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
from bayeslaw.spec.misfit import SLOPES
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
TRUTH = {"L0": 3.16, "A": 0.51, "alpha": 0.52, "C": 0.077}
"""Coefficients of the simulations: near those of the public curves of 25M, as is `SCATTER`, the error of a loss."""
SCATTER, SIMULATIONS = 0.0015, 100
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


ALL_ROWS, SAME_ROWS, OURS, DEFAULT = "LS, all rows", "LS, same rows", "independent", "misfit"
CORRELATED, INDEPENDENT = bl.Noise(correlated=True), bl.Noise(correlated=False)
RUN_EFFECT = replace(CORRELATED, correlation_length=bl.positive(0.01, spread=0.3))
ALONG_S1 = bl.Misfit({"S1": SLOPES["S1"]})
WAYS = {
    ALL_ROWS: Way(least_squares=True, spacing=1.0),
    SAME_ROWS: Way(least_squares=True),
    "correlated": Way(CORRELATED),
    "run effect": Way(RUN_EFFECT),
    OURS: Way(INDEPENDENT),
    "all rows": Way(INDEPENDENT, spacing=1.0),
    "wide priors": Way(INDEPENDENT, spread=2.0),
    "Student-t": Way(replace(INDEPENDENT, robust=True)),
    "along S1": Way(INDEPENDENT, ALONG_S1),
    DEFAULT: Way(INDEPENDENT, bl.Misfit()),
    "misfit, correlated": Way(CORRELATED, bl.Misfit()),
    "misfit, all rows": Way(INDEPENDENT, bl.Misfit(), spacing=1.0),
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


def simulated(seed: int) -> dict[str, dict[str, Any]]:
    """Return the scores of the law alone and with its misfit where the annealing law is true, of schedules left out."""
    size, law = min(SIZES), models.lr_annealing
    runs, rng = measured(size, None, MEMORY), np.random.default_rng(seed)
    truth = law(runs.table["S1"], runs.table["annealed"] / law.reference({})["annealed"], **TRUTH)
    losses = truth * np.exp(rng.normal(0, SCATTER, len(truth)))
    out = ~runs.table["run"].isin([f"{size}M {name}" for name in FITTED]).to_numpy()
    some = replace(runs, table=runs.table.assign(**dict.fromkeys(runs.loss_columns, losses))).select(~out)
    columns: dict[str, Any] = {c: xr.DataArray(runs.table[c].to_numpy()[out], dims="row") for c in law.columns}
    found = {}
    for way in (OURS, DEFAULT):
        model = bl.Model(law, some, noise=WAYS[way].noise, misfit=WAYS[way].misfit)
        file = file_of(BUILD / "curves", f"simulated {way}", model, model.design, CI_PROB, DRAWS)
        assert file is not None
        if not file.is_file():
            fit = model.fit(**DRAWS)
            mean = fit.predict(**columns).draws.stack(sample=SAMPLE)
            run = fit.predict(**columns, new_run=True).draws.stack(sample=SAMPLE)
            score: dict[str, Any] = {
                "mean error": float(abs(mean.mean("sample").values.ravel() / truth[out] - 1).mean())
            }
            for name, x, y in (("mean", mean, truth[out]), ("new run", run, losses[out])):
                lower, upper = np.quantile(x.transpose("row", "eval", "sample").values[:, 0], levels(CI_PROB), axis=1)
                score[f"coverage, {name}"] = float(((lower <= y) & (y <= upper)).mean())
                score[f"width, {name}"] = float(((upper - lower) / y).mean())
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(score))
        found[way] = json.loads(file.read_text())
    return found


def where_the_law_is_true() -> pd.DataFrame:
    """Return the mean scores of the simulations; errors and widths are percent of the loss."""
    every = pd.concat([pd.DataFrame(simulated(seed)).T for seed in range(SIMULATIONS)])
    found = every.groupby(level=0, sort=False).mean().rename_axis("errors")
    return found.assign(**{c: 100 * found[c] for c in found.columns.astype(str) if not c.startswith("coverage")})


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
        "- The law alone. *correlated*: a run effect and correlation along the run, the package's default for other "
        "laws; *run effect*: the correlation over before the next row; *independent*: the errors that laws of curves "
        "have by default; the same with *all rows*, with *wide priors* (a spread of 2 for every coefficient), and "
        "*Student-t*: robust.\n"
        "- With a misfit, shared by the runs. *along S1*: of S1 only; *misfit*: of S1, of the annealed rate and of "
        "their product, with independent errors: the package's default; the same with *correlated* errors, and with "
        "*all rows*."
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
    page.text(
        f"## Where the law is true\n\n{SIMULATIONS} simulations: losses of the annealing law under the schedules of "
        f"25M, with independent errors of {SCATTER:.2%}; three schedules fitted, six predicted. Means over the "
        "simulations, 89 % bands; errors and widths are percent of the loss."
    )
    page.table(where_the_law_is_true(), 3)
    page.text(VERDICT)
    page.write()


VERDICT = (
    "## What holds, and what does not\n\n"
    "The misfit along S1, the annealed rate and their product predicts schedules that were not run best: its mean "
    "error lies below that of least squares, of all rows and of the same, on average over laws and sets, and so do "
    "its interval scores in most of them. It is the default of laws of curves. What it mends is at 100M the gain of "
    "a decay, which grows with the training before it. Where the law is true it costs a fifth more error; the bands of "
    "the mean are then 1.5 times as wide, those of a new run 1.1 times.\n\n"
    "The target is not reached: no way of fitting has an error within 2 % of least squares and the coverage in every "
    "set. The misfit misses most on every 10th step of 25M, whose first rows, where the law is off, are left out. On "
    "tinycpt least squares often puts the floor of the loss at 0 nats; the priors of the laws, made for models of 25M "
    "and more, do not, and with wide priors the errors of the law alone are 0 to 10 % above least squares.\n\n"
    "Errors that are correlated along a run take what the law misses for luck of each run, and so do the errors of a "
    "misfit with all rows of a log, which are many and alike: a log is best read thinned, as the package does. "
    "Student-t errors predict about as least squares, and their bands are too narrow. Bands hold too few losses where "
    "a cosine is three times as long, and after a drop of the rate: the memory of the laws is a setting, and no "
    "misfit of these columns is a delay.\n\n"
    "The slopes of the misfit were chosen with these curves in sight, and of two families only."
)

if __name__ == "__main__":
    main()
