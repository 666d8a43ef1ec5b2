"""Data mixing laws: three sources, five sources with a goal blended from hidden domains, and forgetting.

python -m tests.studies.data_mixing
"""

import time
from inspect import Parameter, Signature
from typing import Any

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare import Coefficient, Law, exp, law, total
from bayeslaw.declare.priors import real
from bayeslaw.plots import plot_mixture, plot_regret
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.tables.mixtures import folded
from bayeslaw.workflow import Fit
from tests.decisions.test_best_mixture import random_mixing, stand_in
from tests.studies.page import DATA, DOCS, Page, convergence

TABLES = DATA / "data_mixing_laws"
THREE = ("github", "books3", "pilecc")
FIVE = {"academic": 0.340664, "prose": 0.152006, "dialogue": 0.050154, "symbolic": 0.116898, "internet": 0.340278}
"""Groups of the validation set, and their shares of it."""

SPLITS = 5
HELD_OUT = 6
KS = (1, 2, 3, 5)
FACTS = {"explicit": 0.00862, "K = 1": 0.02685, "K = 3": 0.01038, "K = 5": 0.00268}
"""Mean absolute errors of the paper's notebook on its own 6 held-out mixtures."""

SHORT: dict[str, Any] = {"draws": 400, "tune": 400, "chains": 2}
BEFORE = 2.873368
CHECK = 0.28515625


# ------------------------------------------------------------------------------------------------------ three sources
def three() -> bl.Runs:
    """Return the 32 runs of 410M parameters; twelve of them leave a source out."""
    table = pd.read_csv(TABLES / "3mix_410M_step60000.csv")
    table = table.rename(columns={f"r_{s}": f"weight_{s}" for s in THREE} | {f"loss_{s}": f"{s}_loss" for s in THREE})
    return bl.read_runs(table.assign(run="run " + table.pop("id").astype(str)))


def mixture_of_three(page: Page) -> Fit:
    """Fit M4 to the runs with all sources, score it on runs left out, and ask for the best mixture."""
    model = bl.Model(models.data_mixing, three(), misfit=None)
    fit = page.fit("three", model)
    folds = bl.evaluate(model, bl.splits.runs(5), progress=False, cores=1, **SHORT)
    page.text(
        "## Three sources, 410M parameters\n\n32 mixtures of GitHub, Books3 and Pile-CC; the 20 with a share of all "
        "three are fitted, the 12 others are outside the law's range and are kept out. Five refits without 4 runs "
        "each, scores on those:"
    )
    page.table(folds.summary()[["n", "mae", "coverage", "interval_score"]], digits=4)
    page.table(pd.DataFrame({"M4": convergence(fit)}).T.rename_axis("fit"))
    rows = fit.model.design.rows.isel(row=np.flatnonzero(fit.model.design.measured.all("eval")))
    smallest = rows["weight"].min("row").to_series().to_dict()
    free, best = fit.best_mixture(), fit.best_mixture(at_least=smallest)
    even = dict.fromkeys(THREE, 1 / 3)
    winner = rows["weight"].isel(row=int(rows["loss"].mean("eval").values.argmin())).reset_coords(drop=True)
    gains = {"an even mixture": best.gain(even), "the best measured run": best.gain(winner)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), gridspec_kw={"width_ratios": [1, 1.1]})
    plot_mixture(best, left)
    plot_regret(best, {"even": even, "best measured run": winner}, right)
    shares = ", ".join(f"{k} {v:.3f}" for k, v in best.recommended.to_series().items())
    page.text(
        "The mixture with the smallest expected mean of the three losses, no share below the smallest that was "
        f"fitted (.125): {shares}. Expected regret {float(best.regret().mean()):.5f} nats. "
        + " ".join(
            f"It lies {gain.text().item()} nats below {name}, and is better with probability "
            f"{float((gain.draws > 0).mean()):.3f}."
            for name, gain in gains.items()
        )
    )
    page.text(
        "Without that bound the law recommends "
        + ", ".join(f"{k} {v:.3f}" for k, v in free.recommended.to_series().items())
        + f" and warns: {free.note}. The runs that leave Books3 alone out show why not to follow it there: their "
        f"Books3 loss lies {_without(fit, 'books3'):.3f} nats above the law in the mean."
    )
    page.figure("three", figure, "Best mixture of every draw in a triangle, and densities of the regret")
    capped = fit.best_mixture(near=even, pull=0.1, at_most={"github": 0.3}, at_least=smallest)
    page.text(
        "With at most 30 % GitHub and a pull of 0.1 towards the even mixture: "
        + ", ".join(f"{k} {v:.3f}" for k, v in capped.recommended.to_series().items())
        + ". On the command line, without the pull: `bayeslaw decide best-mixture FIT.nc --max github=0.3 --json`."
    )
    return fit


def _without(fit: Fit, source: str) -> float:
    """Return how far the loss of a source lies above the law where it alone is left out, mean of the runs."""
    rows = fit.model.design.rows
    alone = (rows["weight"].sel(source=source) == 0) & ((rows["weight"] > 0).sum("source") == 2)
    some = rows.isel(row=np.flatnonzero(alone))
    law = fit.loss(some[["weight"]]).mean(["chain", "draw"])
    return float((some["loss"] - law).sel(eval=source).mean())


# ------------------------------------------------------------------------------------------- five sources, hidden goal
def five() -> pd.DataFrame:
    """Return the 26 mixtures of 70M parameters."""
    table = pd.read_csv(TABLES / "5mix_step30000.csv").query("size == '70M'").drop(columns="size")
    table.columns = table.columns.str.replace("r_", "weight_").str.replace(r"^loss_(.*)", r"\1_loss", regex=True)
    return table


def implicit(count: int) -> Law:
    """Return the law of a validation set that blends hidden domains, each with a data mixing law of its own.

    A weighted sum of mixing laws with one floor: the weights are part of the coefficients t, as shares sum to 1.
    """
    names = [f"t{k + 1}" for k in range(count)]
    hidden = Coefficient(
        real(-1.0 - np.log(count), sd=2.5),
        "1",
        "log of a hidden domain's nats above the floor, by source",
        over="source",
        between=2.0,
        why="as in the data mixing law, shared between the hidden domains",
    )

    def blended(weight: Any, /, **given: Any) -> Any:
        return given["c"] + sum(exp(total(given[t] * weight, "source")) for t in names)

    keywords = [Parameter(name, Parameter.KEYWORD_ONLY) for name in ("c", *names)]
    blended.__signature__ = Signature([Parameter("weight", Parameter.POSITIONAL_ONLY), *keywords])  # type: ignore[attr-defined]
    return law(
        title=f"Blend of {count} hidden domains",
        source="Ye et al. 2024, arXiv:2403.16952, implicit domains",
        equation=r"L = c + \sum_k \exp\left(\sum_j t_{kj} r_j\right)",
        covariates={"weight": models.data_mixing.covariates["weight"]},
        coefficients={"c": models.data_mixing.coefficients["c"], **dict.fromkeys(names, hidden)},
    )(blended)


def held_out_rows(number: int) -> np.ndarray:
    """Return which of the 26 mixtures a split holds out."""
    held: np.ndarray = np.isin(np.arange(26), np.random.default_rng(number).permutation(26)[:HELD_OUT])
    return held


def overall(fit: Fit, table: pd.DataFrame) -> xr.DataArray:
    """Return draws of the overall loss, from its parts where those were fitted."""
    loss = fit.loss(fit.columns(weight=folded(table)))
    if len(fit.evals) == 1:
        return loss.isel(eval=0)
    share = xr.DataArray(list(FIVE.values()), dims="eval", coords={"eval": list(FIVE)})
    mean: xr.DataArray = xr.dot(loss, share / share.sum(), dim="eval")
    return mean


def hidden_domains(page: Page) -> None:
    """Compare the explicit law with blends of hidden domains on held-out mixtures."""
    page.text(
        "## Five sources: explicit and hidden domains, 70M parameters\n\n26 mixtures, loss on the Pile. Explicitly, "
        "the law is fitted to five parts of the validation set and the predictions are weighted by their known "
        "shares. With hidden domains only the overall loss is known: it is taken for a blend of K domains, each "
        "with a data mixing law of its own,\n\n$$L(r) = c + \\sum_{k \\le K} \\exp\\Big(\\sum_j t_{kj} "
        "r_j\\Big),$$\n\nthe weights of the blend being part of t. The law is composed from the one of the "
        f"catalogue (`implicit` in tests/studies/data_mixing.py). Shares of 0 are kept in, as in the paper. {SPLITS} "
        f"random splits, 20 mixtures fitted, {HELD_OUT} predicted: mean absolute errors of the overall loss in nats, "
        "beside those of the paper's notebook on another split of the same table."
    )
    table, errors, worst = five(), {}, {}
    laws = {"explicit": models.data_mixing} | {f"K = {k}": implicit(k) for k in KS}
    for name, form in laws.items():
        for number in range(SPLITS):
            held = held_out_rows(number)
            evals = list(FIVE) if name == "explicit" else ["overall"]
            runs = bl.read_runs(table[~held], loss={e: f"{e}_loss" for e in evals})
            model = bl.Model(form, runs, outside="include", misfit=None)
            fit = (
                page.fit(f"explicit_{number}", model, **SHORT)
                if name == "explicit"
                else model.fit(progress=False, cores=1, seed=1, **SHORT)
            )
            draws = overall(fit, table[held])
            miss = np.abs(draws.mean(["chain", "draw"]).values - table.loc[held, "overall_loss"].to_numpy())
            errors[name, number] = float(miss.mean())
            worst[name, number] = _r_hat(draws)
    found = pd.Series(errors).unstack()
    names = [f"K = {k}" for k in KS]
    chosen = names[int(found.loc[names].mean(axis=1).to_numpy().argmin())]
    result = found.rename(columns=lambda n: f"split {n + 1}").assign(mean=found.mean(axis=1))
    result["notebook"] = pd.Series(FACTS)
    result["R-hat of predictions"] = pd.Series(worst).groupby(level=0).max()
    mean = result["mean"].to_dict()
    page.table(result.loc[list(laws)].rename_axis("form"), digits=4)
    page.text(
        f"The held-out mixtures choose {chosen}: {mean[chosen]:.4f} nats in the mean, the explicit law "
        f"{mean['explicit']:.4f}. Hidden domains have no names: their order is arbitrary and the draws "
        "of their coefficients switch between orders, so convergence is judged by the predictions."
    )


def _r_hat(draws: xr.DataArray) -> float:
    return float(az.rhat(draws.rename("loss").to_dataset())["loss"].max())


# ---------------------------------------------------------------------------------------------------------- forgetting
def forgetting(page: Page) -> None:
    """Find the Pile share that keeps the Pile loss of Pythia-70M, by the mixing law and by CMR's law of the share."""
    table = pd.read_csv(DATA / "pythia70m_cpt/ct_pythia70m_pile_python.csv").query("step == 10000")
    check = np.isclose(table["r_pile"], CHECK)
    shares = {"weight_pile": table["r_pile"], "weight_python": table["r_domain"], "domain_share": table["r_domain"]}
    rows = pd.DataFrame({"run": "run " + table["r_pile"].astype(str), **shares, "general_loss": table["pile_loss"]})
    noise = bl.Noise(sigma=bl.positive(0.001, spread=0.7))
    mixing = rows[~check].drop(columns="domain_share")
    cmr = rows[~check].filter(regex="run|share|loss")
    by_mixing = page.fit("forgetting", bl.Model(models.data_mixing, bl.read_runs(mixing), noise=noise, misfit=None))
    by_cmr = page.fit("forgetting_cmr", bl.Model(models.cmr_ratio, bl.read_runs(cmr), noise=noise, misfit=None))
    c, t = by_mixing.posterior["c"].squeeze("eval"), by_mixing.posterior["t"].squeeze("eval")
    left = xr.ufuncs.log((BEFORE - c).clip(1e-9)) - t.sel(source="python")
    share = Quantity("pile", left / (t.sel(source="pile") - t.sel(source="python")), "1", "mean law")
    even = by_cmr.critical_ratio(rule="break-even", baseline=BEFORE)
    other = Quantity("pile", 1 - even.draws, "1", "mean law")
    answers = {"data_mixing": (by_mixing, share), "cmr_ratio": (by_cmr, other)}
    page.text(
        "## The share that avoids forgetting, Pythia-70M\n\nContinued for 10,000 steps on Pile and Python; the Pile "
        f"loss was {BEFORE} before. Four last losses are fitted, the paper's check run at a Pile share of {CHECK} is "
        "left out (it ended 0.0013 nats below the loss before). The paper's point estimate is .286."
    )
    page.table(
        pd.DataFrame(
            {
                name: {"Pile share that breaks even": q.text().item(), "holds .286": _holds(q, 0.28623)}
                | {k: f"{v:.4g}" for k, v in convergence(fit).items()}
                for name, (fit, q) in answers.items()
            }
        ).T.rename_axis("law")
    )


def _holds(q: Quantity, value: float) -> str:
    ends = q.interval()
    return "yes" if float(ends["lower"]) <= value <= float(ends["upper"]) else "no"


# -------------------------------------------------------------------------------------------------------------- timing
def timing(page: Page) -> None:
    """Time the best mixtures of 4,000 draws."""
    rows = []
    for count in (7, 64):
        draws = random_mixing(draws=4000, evals=3, source=count)
        near = {f"s{i}": 1 / count for i in range(count)}
        pulls: dict[str, dict[str, Any]] = {"none": {}, "0.1 nats": {"near": near, "pull": 0.1}}
        for name, asked in pulls.items():
            fit = stand_in(models.data_mixing, draws)
            fit.best_mixture()  # compiles
            began = time.perf_counter(), time.process_time()
            best = fit.best_mixture(**asked)
            spent = time.perf_counter() - began[0], time.process_time() - began[1]
            rows.append((count, name, *spent, best.note or "every draw within 1e-7 nats"))
    page.text(
        "## Time of a best mixture\n\n4,000 simulated draws, mean of three losses, one process. Aimed at: seconds "
        "with 7 sources, under a minute with 64."
    )
    page.table(pd.DataFrame(rows, columns=["sources", "pull", "seconds", "of them computing", "note"]), digits=1)


def main() -> None:
    """Write the page and the report."""
    page = Page("data_mixing", "Data mixing laws: three sources, five sources, forgetting")
    page.text(
        "The data mixing law (arXiv:2403.16952) on the losses published with it. Which mixture is best and how sure "
        "is that; how well are unseen mixtures predicted; does a blend of hidden domains predict a validation set "
        "of which only the overall loss is known; and which share avoids forgetting?"
    )
    fit = mixture_of_three(page)
    hidden_domains(page)
    forgetting(page)
    timing(page)
    page.write()
    fit.report(
        DOCS / "reports" / "data_mixing.md",
        title="Data mixing law (M4): three sources, 410M models",
        about="Models of 410M parameters on mixtures of GitHub, Books3 and Pile-CC (arXiv:2403.16952); the 20 with "
        "some of each are fitted. More in the [study](../studies/data_mixing.md).",
    )


if __name__ == "__main__":
    main()
