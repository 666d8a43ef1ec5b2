"""Versions of CPT dynamics on real runs: several model sizes, unknown pre-training, a loss out of domain.

python -m tests.studies.cpt_versions
"""

from itertools import product
from typing import Any

import pandas as pd

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.plots import plot_curve
from bayeslaw.posterior.sensitivity import in_prior_units
from bayeslaw.workflow import Fit
from tests.studies.cpt_dynamics import EVALS, MEMORY, Study, interval, per_rate, scored, table_of
from tests.studies.page import DOCS, Page, convergence, pairs

SHORT: dict[str, Any] = {"draws": 500, "tune": 500, "chains": 2}
SIZE = {"XS": 12_384, "S": 49_344, "M": 221_664, "L": 922_720}
REFERENCE = per_rate(2e-3)


# ---------------------------------------------------------------------------------------------------------------- sizes
def by_size() -> Study:
    """The tiny models of four sizes: their bases, half Python at a constant rate, and four more schedules of size S."""
    logged = bl.datasets.load("tinycpt-schedules").groupby("run")
    own = {str(run): schedules.from_table(rows["step"] + 1, rows["lr"]) for run, rows in logged}
    runs, base = bl.datasets.load("tinycpt"), bl.datasets.load("tinycpt-base")
    half = (runs["set"] == "sched") | ((runs["set"] == "grid") & (runs["domain_share"] == 0.5) & (runs["size"] != "S"))
    runs = runs[half & (runs["step"] >= 100)]
    base = base[base["step"] >= 300].rename(columns={"python_loss": "domain_loss"})
    named = pd.concat(
        [base.assign(name=base["size"] + " base"), runs.assign(name=runs["size"] + " " + runs["schedule"])]
    )
    plan: dict[str, Any] = {}
    before: dict[str, Any] = {}
    for (name, run), rows in named.groupby(["name", "run"], sort=False):
        plan[str(name)] = own[str(run)]
        before[str(name)] = None if rows["base"].isna().all() else own[rows["base"].iloc[0]]
    table = named.assign(run=named["name"])[["run", "N", "step", *(f"{e}_loss" for e in EVALS)]]
    return Study(table.reset_index(drop=True), plan, before)


def sized(study: Study, rows: Any) -> bl.Model:
    """Return the model of some of the rows."""
    runs = study.read(rows, memory=MEMORY)
    return bl.Model(models.cpt_dynamics_size, runs, reference={**REFERENCE, "N": 1e5}, misfit=None)


def leave_sizes_out(page: Page) -> Fit:
    """Predict the largest size from three, and one in between from the others."""
    study = by_size()
    N = study.table["N"]
    page.text(
        "## Four model sizes\n\nTiny models of 12 k, 49 k, 222 k and 923 k parameters: the curve of each base "
        "(general text, 4,000 steps at 2e-3), half Python for 1,500 steps at the same rate, and for the second size "
        "four other schedules. The version with size has one set of A, alpha, E, beta and shift for all sizes, and a "
        f"floor that falls with size. Lambda is {MEMORY}, as for [the schedules](cpt_dynamics.md). The largest size "
        "and the third are left out once each (4 x 1,000 draws); 89 % bands of a new run."
    )
    found, fits = {}, {}
    for name in ("L", "M"):
        fit = fits[name] = page.fit(f"size without {name}", sized(study, SIZE[name] != N))
        rows = study.predicted(fit, SIZE[name] == N)
        rows["stage"] = rows["run"].str.endswith("base").map({True: "base", False: "continued"})
        for (stage, e), part in rows.groupby(["stage", "eval"], sort=False):
            error = float((part["mean"] - part["observed"]).mean())
            found[name, stage, e] = scored(part) | {"mean error": error}
    page.table(table_of({f"without {k}": convergence(f) for k, f in fits.items()}, "fit"))
    page.table(table_of(found, "left out", "stage", "loss"), 4)
    figure, axes = pairs(2, 2, (9, 6.5))
    for pair, (name, e) in zip(axes, product(fits, EVALS), strict=True):
        run = f"{name} constant"
        plans = {"schedule": study.schedule[run], "before": study.before[run]}
        plot_curve(fits[name], run, pair, runs=study.read(study.table["run"] == run, memory=MEMORY), **plans, goal=e)
    page.figure("sizes", figure, "Rate and both losses of the two sizes that were left out, with bands of the mean law")
    page.text("Above the largest size, below the third; bands of the mean law.")
    return page.fit("size", sized(study, N.notna()))


# ---------------------------------------------------------------------------------------------------------------- open
def opened(study: Study, rows: Any, **settings: Any) -> bl.Model:
    """Return the model of some of the rows whose pre-training is not told."""
    plans = study.scheduled(rows)["schedule"]
    runs = bl.read_curves(
        study.table.loc[rows].drop(columns="N"), schedule=plans, before=schedules.unknown(), memory=MEMORY
    )
    return bl.Model(models.cpt_dynamics_open, runs, reference={"annealed_cpt": 2e-3}, **settings, misfit=None)


def forget_pretraining(page: Page) -> Fit:
    """Fit schedules as if their pre-training were unknown, under two priors on it."""
    whole = by_size()
    part = whole.table["run"].isin([f"S {name}" for name in ("constant", "const_low", "multistep", "twostage", "wsd")])
    table = whole.table[part].reset_index(drop=True)
    study = Study(table, whole.schedule, dict.fromkeys(whole.schedule, schedules.unknown()))
    left_out = table["run"] == "S wsd"
    page.text(
        "## Unknown pre-training\n\nFour schedules of size S, its pre-training not told (`before=schedules.unknown()`),"
        " predict the fifth, `wsd`. The forward area of that pre-training, S1pt, is a coefficient; here it is known to "
        "be 7.95, which in the units of the law is 1.99, and the prior of the card happens to have its median there. A "
        "second fit therefore puts the median at a quarter of that (4 x 1,000 draws each)."
    )
    priors: dict[str, dict[str, Any]] = {
        "median 2": {},
        "median 0.5": {"priors": {"S1pt": bl.positive(0.5, spread=1.0)}},
    }
    fits = {k: page.fit(f"open, {k}", opened(study, ~left_out, **settings)) for k, settings in priors.items()}
    page.table(table_of({k: convergence(f) for k, f in fits.items()}, "prior of S1pt"))
    page.text(
        "Under the second prior the chains found two explanations and did not converge; its numbers below are shown "
        "for what the prior does, not as a posterior."
    )
    rows: dict[Any, dict[str, Any]] = {}
    for symbol, e in product(models.cpt_dynamics_open.coefficients, EVALS):
        for k, fit in fits.items():
            learned = 1 - float(in_prior_units(fit)[symbol].sel(eval=e).var())
            rows.setdefault((symbol, e), {})[k] = interval(fit.posterior[symbol].sel(eval=e), 3)
            rows[symbol, e][f"contraction, {k}"] = learned
    page.text("Coefficients, and the share of their prior variance that the runs removed (contraction):")
    page.table(table_of(rows, "coefficient", "loss"), 2)
    scores = {
        (k, e): scored(p)
        for k, fit in fits.items()
        for e, p in study.predicted(fit, left_out).groupby("eval", sort=False)
    }
    page.text("`wsd`, which was left out, in the 89 % band of a new run:")
    page.table(table_of(scores, "prior of S1pt", "loss"), 4)
    return page.fit("open", opened(study, table["run"].notna()))


# ------------------------------------------------------------------------------------------------------- out of domain
def third_loss(page: Page) -> None:
    """Predict a third loss of the largest base from its first two, by what the smaller bases say."""
    base = bl.datasets.load("tinycpt-base")
    base = base[base["step"] >= 300]
    names = {"general_loss": "L_general", "python_loss": "L_domain", "cheaders_loss": "headers_loss"}
    table = base.rename(columns=names)[["run", "size", "step", *names.values()]]
    large = table["size"] == "L"
    runs = bl.read_runs(table[~large].drop(columns="size"))
    fit = page.fit("headers", bl.Model(models.cpt_out_of_domain, runs, misfit=None), **SHORT)
    bands = fit.predict(table[large], new_run=True).assign(observed=table.loc[large, "headers_loss"])
    both = {c: interval(fit.posterior[c].squeeze("eval"), 3) for c in models.cpt_out_of_domain.coefficients}
    page.text(
        "## A loss out of domain\n\nNo public runs of continual pre-training measure a third loss along the way, so "
        "that equation (6) cannot be tried on what it was made for. What comes nearest are the four tiny bases, whose "
        "losses on general text, Python and C headers were logged while they learned general text. If the weights "
        "belong to the corpora alone, as the paper has it, then those of the three smaller sizes hold for the largest."
    )
    page.table(table_of({"three smaller bases": {**convergence(fit), **both}}, "fit"))
    page.table(table_of({"L": scored(bands)}, "left out"), 4)


def main() -> None:
    """Fit, predict and write the page."""
    page = Page("cpt_versions", "Continual pre-training: sizes, unknown pre-training, other losses")
    page.text(
        "The law of arXiv:2505.07796 has versions for several model sizes, for an open model whose pre-training is not "
        "known, and for losses on other corpora. What do they predict of real runs that were left out? Simulated runs "
        "of the paper's own constants are on [another page](cpt_recovery.md)."
    )
    size = leave_sizes_out(page)
    unknown = forget_pretraining(page)
    third_loss(page)
    page.text("## What holds, and what does not")
    page.text(VERDICT)
    page.write()
    size.report(
        DOCS / "reports" / "cpt_dynamics_size.md",
        title="CPT dynamics with model size: four tiny models",
        about="Tiny models of four sizes, their pre-training and their continuation on half Python, and four more "
        "schedules of one of them. More in the [study](../studies/cpt_versions.md).",
    )
    unknown.report(
        DOCS / "reports" / "cpt_dynamics_open.md",
        title="CPT dynamics of an open model: a tiny model whose pre-training is not told",
        about="The continuation of a tiny model on half Python by four learning-rate schedules; what it was trained on "
        "before is left for the law to find. More in the [study](../studies/cpt_versions.md).",
    )


VERDICT = (
    "Holds: schedules whose pre-training is not told still predict the fifth, both losses within 0.015 on average "
    "and at least 96 % of them in the band of a new run, whatever the prior says of S1pt. What the decays of those "
    "runs show, C_cpt, does not depend on that prior either.\n\n"
    "Does not hold: one A and one alpha for all sizes is not what the tiny models do. The larger a model, the more "
    "it gains along a run, and a floor that falls with size does not make up for that: the largest is missed by "
    "0.15 to 0.21 nats, its bands hold none to a third of its losses; the third is missed by 0.07 to 0.15, mostly "
    "inside bands that are a quarter to half a nat wide. Runs that continue one open model do not tell A and alpha, "
    "which stay what the priors say, tell S1pt within a factor of ten, and do not tell L0 from the shift: the shift "
    "of the general loss comes out below 0, though it is 0.11 once the curve of the base is known. With the median "
    "of S1pt at 0.5 the runs have a second explanation (the domain loss fell because pre-training had been almost "
    "nothing), and the chains did not converge: R-hat 1.47. The weights of three small bases miss a third loss of "
    "the largest by 0.035 on average, ten times the paper's errors, and bands hold 69 % of it: between tiny models "
    "in pre-training they are not the corpora's alone."
)

if __name__ == "__main__":
    main()
