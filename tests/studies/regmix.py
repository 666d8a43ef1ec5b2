"""RegMix: 512 runs of 1M parameters on mixtures of 17 sources, and mixtures not seen at 1M and 60M.

python -m tests.studies.regmix
"""

import time
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.density import Density
from bayeslaw.fit import Fit
from bayeslaw.frame import Frame
from bayeslaw.least_squares import estimate
from bayeslaw.mixtures import folded, normalised
from bayeslaw.plots import plot_mixture
from tests.studies.mixtures import predicted, regmix, scores
from tests.studies.page import DOCS, Page, convergence

Array = NDArray[np.float64]

GOAL = "pile_cc"
LAWS = {"regmix": "RegMix, linear", "data_mixing": "M4", "data_mixing_m1": "M1"}
FLOORS = (3.0, 4.0, 4.5, 5.0, 5.1, 5.2, 5.3, 5.4)
ALL = {"draws": 500, "tune": 500}
AIMS = (0.975, 0.965)
COUNTS = (3, 7, 17, 32, 64)
PUBLISHED = pd.DataFrame(
    {"law": ["published: linear", "published: boosted trees"], "Spearman 1M": [0.9008, 0.9845], "60M": [0.8926, 0.9864]}
)
"""Table 2 of arXiv:2407.01492."""

PAPER = {
    "pile_cc": 0.87,
    "ubuntu_irc": 0.064,
    "pubmed_abstracts": 0.024,
    "wikipedia_en": 0.016,
    "hackernews": 0.012,
    "pubmed_central": 0.003,
    "enron_emails": 0.002,
    "gutenberg_pg_19": 0.002,
    "uspto_backgrounds": 0.002,
    "arxiv": 0.001,
    "freelaw": 0.001,
    "nih_exporter": 0.001,
}
"""The mixture RegMix chose (arXiv:2407.01492); shares rounded."""


def model(law: str, evals: Sequence[str] = (GOAL,)) -> bl.Model:
    """Return the model of some of the losses of the 512 mixtures, nearly half of whose shares are 0."""
    runs = bl.read_runs(regmix("train", "1m"), loss={e: f"{e}_loss" for e in evals})
    return bl.Model(getattr(models, law), runs, outside="include")


def ranks(fit: Fit, evals: Sequence[str]) -> pd.DataFrame:
    """Return the scores on the test mixtures; losses of 60M models are only ranked."""
    rows = {}
    small, large = (predicted(fit, regmix("test", size)) for size in ("1m", "60m"))
    for e in evals:
        found = scores(small[small["eval"] == e])
        of_60 = scores(large[large["eval"] == e])["Spearman"]
        rows[e] = {"Spearman 1M": found.pop("Spearman"), "60M": of_60, **found}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("loss")


# --------------------------------------------------------------------------------------------------------- one loss
def one_loss(page: Page) -> tuple[dict[str, Fit], pd.DataFrame]:
    """Fit three laws to the loss the paper minimises."""
    page.text(
        "## The loss on Pile-CC\n\nIndependent normal errors of the log loss; spreads of 89 % intervals are those "
        "of a new run of 1M parameters. The 60M runs have the same 256 mixtures as the 1M test, and lower losses: "
        "only their order is predicted."
    )
    fits = {law: page.fit(law, model(law)) for law in LAWS}
    tables = {LAWS[law]: ranks(fit, [GOAL]).iloc[0] for law, fit in fits.items()}
    found = pd.DataFrame(tables).T.rename_axis("law")
    page.table(found)
    page.table(PUBLISHED)
    page.table(pd.DataFrame({LAWS[law]: convergence(fit) for law, fit in fits.items()}).T.rename_axis("law"))
    return fits, found


def by_floor(page: Page) -> None:
    """Least squares of M4 at fixed floors, and of M1."""
    x, y, tests = *_shares("train", "1m"), [_shares("test", size) for size in ("1m", "60m")]

    rows = []
    for c in FLOORS:
        t, rms = _above(c, x, y)
        rows.append((f"M4, c = {c:g}", rms, *(float(spearmanr(shares @ t, loss).statistic) for shares, loss in tests)))
    start = np.r_[4.5, np.full(17, -2.3), np.full(17, -3.0)]

    def bent(p: Array, shares: Array) -> Array:
        terms: Array = np.exp(p[1:18] + np.clip(p[18:] * shares, -500, 20))
        return terms

    def miss(p: Array) -> Array:
        return np.r_[p[0] + bent(p, x).sum(1) - y, 2e-4 * (p - start)]

    def slope(p: Array) -> Array:
        return np.vstack([np.hstack([np.ones((len(x), 1)), bent(p, x), bent(p, x) * x]), 2e-4 * np.eye(len(p))])

    found = least_squares(miss, start, jac=slope, x_scale="jac")
    rms = float(np.sqrt(np.mean(miss(found.x)[: len(y)] ** 2)))
    rows.append(
        (
            f"M1, c = {found.x[0]:.2f}",
            rms,
            *(float(spearmanr(bent(found.x, s).sum(1), loss).statistic) for s, loss in tests),
        )
    )
    page.text(
        "## Why M4 does not rank as well as M1\n\nLeast squares without priors, M4 at fixed floors (the lowest "
        f"measured loss is {y.min():.2f}) and M1. The best M4 needs a floor above losses that were measured, which "
        "the posterior does not allow, and at no floor does it reach .975 and .965: one curve in t.r cannot fall as "
        "fast as Pile-CC's share lets it at first and as slowly later. M1 bends for every source alone and ranks "
        "the mixtures better than both targets; its floor is not identified."
    )
    page.table(pd.DataFrame(rows, columns=["law", "rms miss (nats)", "Spearman 1M", "60M"]))


def _above(c: float, x: Array, y: Array) -> tuple[Array, float]:
    """Return the least squares t of M4 above a floor, and its root mean square miss."""

    def miss(t: Array) -> Array:
        return np.asarray(c + np.exp(np.minimum(x @ t, 20)) - y)

    found = least_squares(miss, np.zeros(17), x_scale="jac")
    return found.x, float(np.sqrt(2 * found.cost / len(y)))


def _shares(kind: str, size: str) -> tuple[Array, Array]:
    table, _ = normalised(regmix(kind, size))
    return folded(table).values, table[f"{GOAL}_loss"].to_numpy()


# ----------------------------------------------------------------------------------------------------- thirteen losses
def all_losses(page: Page) -> Fit:
    """Fit M4 and the line to the 13 losses, each in one posterior."""
    evals = [c.removesuffix("_loss") for c in map(str, regmix("train", "1m").columns) if c.endswith("_loss")]
    fits = {law: page.fit(f"{law}_all", model(law, evals), **ALL) for law in ("regmix", "data_mixing")}
    page.text(
        "## All 13 losses in one posterior\n\n512 mixtures of 17 sources and 13 validation sets, 6,656 losses; the "
        "errors of one run's losses are correlated. Scores are those of the 256 test mixtures at 1M, and ranks at "
        "60M."
    )
    page.table(pd.DataFrame({LAWS[law]: convergence(fit) for law, fit in fits.items()}).T.rename_axis("law"))
    for law, fit in fits.items():
        page.text(f"{LAWS[law]}:")
        page.table(ranks(fit, evals))
    return fits["data_mixing"]


# ------------------------------------------------------------------------------------------------------------ decision
def decide(page: Page, fit: Fit) -> None:
    """Ask M1 for the best mixture of the loss it was fitted to, within the shares that were tried."""
    tried = fit.model.design.rows["weight"].max("row").to_series()
    best = fit.best_mixture(at_most=tried.to_dict())
    order = best.recommended.to_series().sort_values(ascending=False)
    figure, axes = plt.subplots(figsize=(6, 4.6))
    plot_mixture(best, axes)
    page.text(
        "## The best mixture for Pile-CC\n\nM1, no source above the largest share that was tried. Recommended: "
        + ", ".join(f"{name} {share:.3f}" for name, share in order.head(4).items())
        + f". Expected regret {float(best.regret().mean()):.4f} nats. The paper's own choice by boosted trees is "
        "Pile-CC .870, Ubuntu IRC .064, PubMed Abstracts .024; under M1 the recommended mixture lies "
        f"{best.gain(PAPER).text().item()} nats below it."
    )
    page.figure("best_mixture", figure, "Shares of the best mixture for the loss on Pile-CC, with intervals")


# -------------------------------------------------------------------------------------------------------------- timing
def timing(page: Page) -> None:
    """Time the density and its gradient against the number of sources."""
    rows = []
    for count in COUNTS:
        rng = np.random.default_rng(count)
        shares = rng.dirichlet(np.ones(count), 512)
        table = pd.DataFrame(shares, columns=[f"weight_s{i}" for i in range(count)])
        t = rng.normal(-1, 1, (count, 1))
        table["loss"] = models.data_mixing(shares.T, c=2.0, t=t) * np.exp(rng.normal(0, 0.005, 512))
        simulated = bl.Model(models.data_mixing, bl.read_runs(table))
        density = Density(simulated)
        frame = Frame.at_mode(density, estimate(simulated, regularised=True))
        q = np.zeros(density.size)
        taken: list[float] = []
        while len(taken) < 20 or sum(taken) < 0.5:
            start = time.perf_counter()
            frame(q)
            taken.append(time.perf_counter() - start)
        rows.append((count, density.size, 1e6 * np.median(taken), 1e6 * min(taken)))
    page.text("## Time per gradient\n\nM4 on 512 simulated mixtures, one loss, as the sampler asks for it:")
    page.table(pd.DataFrame(rows, columns=["sources", "parameters", "median (microseconds)", "least"]), digits=0)


def conclude(page: Page, found: pd.DataFrame, whole: Fit) -> None:
    """Say which aims were met."""
    best = str(found["Spearman 1M"].idxmax())
    first, second = found["Spearman 1M"].max(), found["60M"][best]
    lines = [
        f"Rank correlations of at least {AIMS[0]} (1M) and {AIMS[1]} (60M) for the better law: {first:.3f} and "
        f"{second:.3f} by {best}, {'met' if first >= AIMS[0] and second >= AIMS[1] else 'missed'}; the boosted "
        f"trees' .985 {'is reached' if first >= 0.985 else 'is not reached'}.",
        *(
            f"89 % intervals of {law} hold {row['coverage']:.0%} of the 256 test losses, mean width "
            f"{row['width']:.2f} nats."
            for law, row in found.iterrows()
        ),
        f"All 13 losses by M4: {whole.seconds:.0f} s in all for {whole.settings['chains']} x "
        f"{whole.settings['draws']} draws, {'within' if whole.seconds < 120 else 'beyond'} the two minutes aimed at, "
        "on a machine that may have done other things (on a quiet one: remove "
        "build/studies/regmix/data_mixing_all.nc and run this program).",
    ]
    page.text("## What holds, and what does not\n\n" + "\n".join(f"- {line}" for line in lines))


def main() -> None:
    """Write the page and the report."""
    page = Page("regmix", "RegMix: 512 small runs, 17 sources")
    page.text(
        "The RegMix study (arXiv:2407.01492) trains 512 models of 1M parameters on random mixtures of 17 parts of "
        "the Pile and asks which mixture gives the lowest loss on Pile-CC. How well do posteriors of three laws "
        "rank mixtures that were not trained on, at 1M and at 60M parameters, and do their intervals hold?"
    )
    fits, found = one_loss(page)
    by_floor(page)
    decide(page, fits["data_mixing_m1"])
    whole = all_losses(page)
    timing(page)
    conclude(page, found, whole)
    page.write()
    fits["regmix"].report(DOCS / "reports" / "regmix.md")


if __name__ == "__main__":
    main()
