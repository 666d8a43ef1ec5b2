"""How often intervals hold the truth, simulated and measured: the program behind docs/calibration.md (make calibrate).

    python -m tests.calibration [-n 60] [--jobs 1]

Finished fits are kept in build/calibration, so that it can be stopped and started again, and a larger -n adds to them.
"""

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.calibrate import Calibration, calibrate
from bayeslaw.scores import scores
from bayeslaw.words import amount

ROOT = Path(__file__).parents[1]
PAGE, KEPT = ROOT / "docs" / "calibration.md", ROOT / "build" / "calibration"
FITS: dict[str, Any] = {"draws": 400, "chains": 2, "tune": 400, "seed": 1}
REFITS: dict[str, Any] = {"draws": 300, "chains": 2, "tune": 500}


def design(levels: dict[str, list[float]], *evals: str) -> bl.Runs:
    """Runs at crossed levels; what was measured there does not matter."""
    rows = pd.MultiIndex.from_product(list(levels.values()), names=list(levels)).to_frame(index=False)
    return bl.read_runs(rows.assign(**{f"{e}_loss": 2.0 for e in evals}))


def simulated() -> dict[str, bl.Model]:
    """The models that are calibrated on losses of their own."""
    sizes, tokens = [1e8, 3e8, 1e9, 3e9], [2e9, 6e9, 2e10, 6e10]
    levels = {"N": [5e8, 1.8e9, 4e9], "D": [1e9, 3e9, 1e10], "domain_share": [0.1, 0.33, 0.67, 0.9]}
    return {
        "chinchilla": bl.Model(models.chinchilla, design({"N": sizes, "D": tokens}, "validation")),
        "dcpt": bl.Model(models.dcpt, design(levels, "general", "domain")),
    }


def tinycpt() -> bl.Model:
    """The model of `bayeslaw demo`."""
    table = bl.datasets.load("tinycpt")
    python = table["set"].isin(["grid", "rep"]) & (table["schedule"] == "constant") & (table["domain"] == "python")
    settled = (table["step"] == 0) | (table["step"] >= 300)
    return bl.Model(
        models.dcpt,
        bl.read_runs(table[python & settled]),
        by={"B": "N", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        reference={"N": 2e5, "D": 1e6},
    )


def table(frame: pd.DataFrame, **formats: str) -> str:
    """A table in Markdown."""
    shown = [[format(v, formats.get(str(c), "")) for c, v in row.items()] for _, row in frame.iterrows()]
    lines = [list(map(str, frame.columns)), ["---"] * len(frame.columns), *shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_simulations(name: str, found: Calibration) -> list[str]:
    """The section of a calibration; draws its figure."""
    figures = PAGE.with_name("calibration_files")
    figures.mkdir(exist_ok=True)
    figure = found.plot()[0].get_figure(root=True)
    assert figure is not None
    figure.savefig(figures / f"{name}.png", dpi=120)
    rows = found.summary().reset_index()
    summary, lines = repr(found).splitlines()[1:], repr(found.model).splitlines()[1:]
    per_fit = found.fits["seconds"].mean()
    return [
        f"### {found.model.law.title}",
        "```\n" + "\n".join(lines) + "\n```",
        "\n".join(f"- {line}" for line in [*summary, f"a refit took {per_fit:.1f} s on average, wall time"]),
        f"![Ranks of the truth]({figures.name}/{name}.png)",
        table(rows, coverage=".3f", mc_error=".3f", p_uniform=".3g"),
    ]


def of_shares(found: bl.Evaluation) -> list[str]:
    """The section of the shares that were left out of real runs."""
    sections, rows = [], found.rows
    for by in ("N", "domain_share"):
        scored = [
            {by: amount(float(str(at))) if by == "N" else str(at), "loss": e, **scores(part, found.prob)}
            for at, of_by in rows.groupby(rows[by].astype(float))
            for e, part in of_by.groupby("eval")
        ]
        part = pd.DataFrame(scored)[[by, "loss", "n", "mae", "crps", "coverage"]]
        sections.append(table(part, mae=".4f", crps=".4f", coverage=".3f"))
    total = found.summary().reset_index()[["eval", "n", "mae", "crps", "coverage"]]
    return [
        f"{len(found.folds)} refits; {len(found.unconverged)} of them diverged somewhere or have an R-hat above 1.01 "
        f"(largest {found.folds['r_hat'].max():.3f}; {int(found.folds['divergences'].sum())} divergences in all).",
        table(total, mae=".4f", crps=".4f", coverage=".3f"),
        "By size:",
        sections[0],
        "By the share that was left out:",
        sections[1],
    ]


def main() -> None:
    """Fit what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60, help="simulations of each model")
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time")
    given = parser.parse_args()
    matplotlib.use("agg")
    where: dict[str, Any] = {"folder": KEPT, "jobs": given.jobs}
    sections = []
    for name, model in simulated().items():
        found = calibrate(model, given.n, **FITS, **where)
        print(found, "\n", flush=True)
        sections += of_simulations(name, found)
    shares = bl.evaluate(tinycpt(), bl.splits.by("N", "domain_share"), **REFITS, **where)
    print(shares)
    versions = ", ".join(f"{p} {version(p)}" for p in ("bayeslaw", "nutpie", "arviz", "numpy"))
    page = [
        "# How often the intervals hold the truth",
        f"Written by `make calibrate` ({versions}).",
        "## Simulated losses",
        "Coefficients and errors are drawn from a model's prior, losses simulated from them, and the model refitted "
        f"({FITS['chains']} chains x {FITS['draws']} draws after {FITS['tune']} of warm-up). Were law, density, error "
        "model and sampler at odds, the truth would lie too often in the tails or in the middle of its posterior. `n` "
        "simulations know a coverage to `mc_error`; of many p-values a few are small by chance. A few simulations find "
        "coarse faults only.",
        *sections,
        "## Real runs: one share left out at a time",
        "The model of `bayeslaw demo` on `tinycpt` (real runs of four tiny models), refitted without one share at one "
        "size, predicts the runs at that share and size: mean absolute error and CRPS in nats per token, and the share "
        f"of measurements inside the {shares.prob:.0%} interval for a new run. The measurements of one run share its "
        "luck, so that `n` counts far fewer independent ones.",
        *of_shares(shares),
    ]
    PAGE.write_text("\n\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
