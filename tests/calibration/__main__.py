"""How often intervals hold the truth, simulated and measured: the program behind docs/calibration.md (make calibrate).

    python -m tests.calibration [-n 60] [--jobs 2] [--laws chinchilla dcpt ...]

Finished fits are kept in build/calibration, so that it can be stopped and started again, and a larger -n adds to them.
With some laws only, the page keeps the lines of all others.
"""

import argparse
import re
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import binom

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.plots import plot_coverage
from bayeslaw.reporting.page import DPI
from bayeslaw.validation.calibration import MOST_R_HAT, Calibration, calibrate
from bayeslaw.validation.scores import scores
from tests.calibration import designs, measured
from tests.calibration.designs import FITS

ROOT = Path(__file__).parents[2]
PAGE, KEPT = ROOT / "docs" / "calibration.md", ROOT / "build" / "calibration"
FILES = PAGE.with_name("calibration_files")
"""Figures: of all laws, and of those that were printed since."""
REPEATED, SCORES = "[repeated tokens](studies/repetition.md)", "[from loss to score](studies/scores.md)"
ELSEWHERE = {
    "dcpt_l": "[the forms side by side](studies/dcpt_forms.md)",
    "data_mixing_m": "not left out here",
    "dcpt_interaction": "not left out here",
    "skaling": "[Skaling beside Chinchilla](studies/skaling.md)",
    "effective_tokens": REPEATED,
    "repetition_penalty": REPEATED,
    "loss_to_score": SCORES,
    "exponential_score": SCORES,
}
"""Laws with a study of their own, by the beginning of their names."""

UNLIKELY = 0.05
"""Chance that any of many right quantities leaves the envelope."""


def envelope(n: int, quantities: int) -> tuple[float, float]:
    """Return the coverages between which so many right quantities all lie, with a probability of 95 %."""
    tail = UNLIKELY / quantities / 2
    return float(binom.ppf(tail, n, CI_PROB)) / n, float(binom.ppf(1 - tail, n, CI_PROB)) / n


def row(found: Calibration) -> dict[str, Any]:
    """Return one line on the calibration of a law."""
    table = found.summary()
    low, high = envelope(len(found.fits), len(table))
    return {
        "law": found.model.law.name,
        "n": len(found.fits),
        "quantities": len(table),
        "coverage": f"{found.rows['covered'].mean():.3f}",
        "lowest": f"{table['coverage'].min():.2f}",
        "highest": f"{table['coverage'].max():.2f}",
        "outside": int((~table["coverage"].between(low, high)).sum()),
        "smallest p": f"{min(1.0, table['p_uniform'].min() * len(table)):.2g}",
        "diverged": found.diverged,
        "R-hat > 1.05": found.unmixed,
        "few draws": found.dependent,
        "failed": len(found.failed),
        "seconds": f"{found.fits['seconds'].mean():.1f}",
    }


def odd(found: Calibration) -> pd.DataFrame:
    """Return the quantities whose coverage or ranks chance does not explain."""
    table = found.summary().reset_index()
    low, high = envelope(len(found.fits), len(table))
    suspect = ~table["coverage"].between(low, high) | (table["p_uniform"] * len(table) < UNLIKELY)
    return table[suspect].assign(law=found.model.law.name)[["law", "quantity", "n", "coverage", "p_uniform"]]


def cells(found: Calibration) -> pd.DataFrame:
    """Return one row per simulation: what a refit of it ought to find again."""
    held = found.rows.groupby("simulation").agg(quantities=("covered", "size"), held=("covered", "sum"))
    fits = found.fits.set_index("simulation")[["r_hat", "divergences", "ess"]]
    return held.join(fits).reset_index().assign(law=found.model.law.name)


def on_the_page(column: str) -> pd.DataFrame:
    """Return the table of the page, as it stands, that has a column; empty where there is none."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.M):
        names, _, *lines = ([cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines())
        if column in names:
            return pd.DataFrame(lines, columns=names)
    return pd.DataFrame(columns=["law"])


def beside(new: pd.DataFrame, kept: pd.DataFrame, laws: list[str]) -> pd.DataFrame:
    """Return the lines of some laws with those that were kept of the others, in the order of the catalogue."""
    order = {name: place for place, name in enumerate(models.catalogue)}
    both = pd.concat([kept[kept["law"].isin(order.keys() - laws)], new], ignore_index=True)
    return both.sort_values("law", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def draw(lines: pd.DataFrame) -> None:
    """Draw how many intervals of every law held the truth, the laws sorted by it, and what chance explains.

    The quantities of one simulation share its luck, so that the envelope counts simulations.
    """
    numbers = ((law, int(n), float(coverage)) for law, n, coverage in lines[["law", "n", "coverage"]].values)
    held = {law: (round(coverage * n), n) for law, n, coverage in numbers}
    FILES.mkdir(exist_ok=True)
    plot_coverage(held)
    plt.savefig(FILES / "coverage.png", dpi=DPI)
    plt.close("all")


def left_out(name: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a line for each loss of a law's real runs, predicted without them."""
    study = measured.study(models.catalogue[name])
    if study is None:
        return [
            {
                "law": name,
                "real runs": next((v for k, v in ELSEWHERE.items() if name.startswith(k)), "none that are public"),
            }
        ]
    what, model, splits = study
    found = bl.evaluate(model, splits, folder=KEPT / "measured" / name, **FITS, **where)
    several = found.rows["eval"].nunique() > 2
    groups = [("all", found.rows)] if several else list(found.rows.groupby("eval", sort=False))
    rows = []
    for loss, part in groups:
        own = scores(part, CI_PROB)
        rows.append(
            {
                "law": name,
                "real runs": what,
                "loss": loss,
                "refits": len(found.folds),
                "diverged": int((found.folds["divergences"] > 0).sum()),
                "R-hat > 1.05": int((found.folds["r_hat"] > MOST_R_HAT).sum()),
                "n": len(part),
                "runs": part["run"].nunique(),
                "coverage": f"{own['coverage']:.2f}",
                "MAE": f"{own['mae']:.4f}",
                "half-width": f"{float((part['upper'] - part['lower']).mean()) / 2:.4f}",
            }
        )
    return rows


def written(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it stands on the page: whole numbers, and nothing where there is none."""
    whole = {c: "Int64" for c in table.select_dtypes(float) if (table[c].dropna() % 1 == 0).all()}
    return table.astype(whole).astype(object).fillna("")


def markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    return str(table.to_markdown(index=False, disable_numparse=True))


def main() -> None:
    """Fit what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60, help="simulations of each law")
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--laws", nargs="+", default=list(models.catalogue), help="some laws only")
    given = parser.parse_args()
    matplotlib.use("agg")
    warnings.filterwarnings("ignore", category=UserWarning)
    where: dict[str, Any] = {"jobs": given.jobs, "progress": False}
    began, every, real = time.perf_counter(), {}, []
    for name in given.laws:
        model = designs.study(models.catalogue[name])
        every[name] = calibrate(model, given.n, folder=KEPT / "simulated" / name, **FITS, **where)
        print(row(every[name]), flush=True)
    for name in given.laws:
        real += left_out(name, where)
        print(real[-1], flush=True)
    some = set(given.laws) < set(models.catalogue)
    lines, measures = (written(pd.DataFrame(rows)) for rows in ([row(found) for found in every.values()], real))
    strange = pd.concat(odd(found) for found in every.values())
    strange["coverage"] = strange["coverage"].map("{:.2f}".format)
    strange["p_uniform"] = strange["p_uniform"].map("{:.2g}".format)
    simulated = pd.concat(cells(found) for found in every.values())
    if some:
        lines = beside(lines, on_the_page("quantities"), given.laws)
        measures = beside(measures, on_the_page("real runs"), given.laws)
        strange = beside(strange, on_the_page("quantity"), given.laws)
        simulated = beside(simulated, pd.read_csv(FILES / "simulations.csv"), given.laws)
    draw(lines)
    simulated.to_csv(FILES / "simulations.csv", index=False, float_format="%.4g")
    before = re.findall(r"^\*Written by .*\*$", PAGE.read_text(encoding="utf-8"), re.M) if some else []
    total = lines["quantities"].astype(int).sum()
    low, high = envelope(given.n, 20)
    versions = ", ".join(f"{p} {version(p)}" for p in ("bayeslaw", "nutpie", "arviz", "numpy"))
    page = [
        "# How often the intervals hold the truth",
        "Two questions to every law of the catalogue. Would its intervals be right if the law and its error model "
        "were? And do they hold the losses of real runs that were left out?",
        "## Simulated: when the law is true",
        "Coefficients and errors are drawn from a model's prior, the losses of a small study simulated from them, and "
        f"the model refitted ({FITS['chains']} chains x {FITS['draws']} draws after {FITS['tune']}): "
        "[simulation-based calibration](https://arxiv.org/abs/1804.06788). Were law, density, error model and sampler "
        "at odds, the truth would lie too often in the tails or in the middle of its posterior. The quantities are "
        "every coefficient, the errors' parameters, four predicted losses and the likelihood. *coverage*: how often "
        f"the 89 % intervals hold the truth, over all quantities; *lowest*, *highest*: by quantity; *outside*: "
        f"quantities beyond what chance does to {given.n} simulations (a simultaneous 95 % envelope over the law's "
        f"quantities, {low:.2f} to {high:.2f} for 20 of them); *smallest p*: of a test that ranks are uniform, times "
        "the number of quantities. Refits that diverged, mixed badly (R-hat above 1.05) or gave fewer than 99 "
        "effective draws of some quantity are counted and kept; *failed* ones gave nothing. *seconds*: wall time of "
        "a refit.",
        markdown(lines),
        f"Of {total} quantities, {len(strange)} stand out (coverage outside the envelope of their law, or ranks that "
        "are not uniform):"
        if len(strange)
        else f"Of {total} quantities, none stands out.",
        *([markdown(strange)] if len(strange) else []),
        "![A dot for every law, sorted by the share of its intervals that held the truth, on grey bars of what chance "
        "explains](calibration_files/coverage.png)",
        "A dot for each law: the share of its 89 % intervals that held the truth. The grey bars hold 99 of 100 right "
        "laws if the quantities of a simulation share its luck entirely; they share some of it. Every "
        "simulation is listed in `docs/calibration_files/simulations.csv`; tests refit three of them.",
        "## Real runs: when the world is",
        "The same laws fitted to public runs, some of which are left out and predicted: the share of measurements "
        "inside the 89 % interval for a new run, its half-width and the mean absolute error (nats per token; error "
        "rates for scores). The checkpoints of a run share its luck, so that few *runs* know a coverage to a tenth at "
        "best. Larger models and later tokens are [a harder question](studies/held_out.md): there intervals fail.",
        markdown(measures),
        *before,
        f"*Written by `python -m tests.calibration {' '.join(sys.argv[1:])}` ({versions}; "
        f"{np.ceil((time.perf_counter() - began) / 60):.0f} minutes beside other work, kept fits not counted).*",
    ]
    PAGE.write_text("\n\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
