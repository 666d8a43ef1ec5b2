"""What it costs to take the checkpoints of a run for independent: coverage over simulated studies.

python -m tests.studies.error_models [-n 500] [--jobs 2]
"""

import argparse
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binom

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.plots.style import COLOURS, finish
from bayeslaw.validation.calibration import Calibration, calibrate
from bayeslaw.workflow import Fit
from tests.studies.page import BUILD, Page

LEVELS = {
    "N": [5e8, 1.8e9, 4e9],
    "D": [1e9, 2e9, 4e9, 8e9, 1.6e10, 3.2e10],
    "domain_share": [0.1, 0.33, 0.67, 0.9],
}
FITS: dict[str, Any] = {"draws": 200, "chains": 2, "tune": 200, "seed": 7}
SHARES = np.linspace(0.1, 0.9, 161)
RISE = 0.03
ENVELOPE = 0.95


def study() -> bl.Model:
    """12 runs of 6 checkpoints, both losses, the default errors; what was measured there does not matter."""
    rows = pd.MultiIndex.from_product(list(LEVELS.values()), names=list(LEVELS)).to_frame(index=False)
    rows["run"] = rows.groupby(["N", "domain_share"]).ngroup().map("run {}".format)
    return bl.Model(models.dcpt, bl.read_runs(rows.assign(general_loss=2.0, domain_loss=2.0)), misfit=None)


def critical_ratio(fit: Fit) -> xr.Dataset:
    """Largest domain share, on a grid, up to which the general loss is at most 3 % above that at a share of 0.1."""
    columns = fit.columns(N=1.8e9, D=1e10, domain_share=SHARES)
    loss = fit.loss(columns).sel(eval="general", drop=True)
    safe = (loss <= (1 + RISE) * loss.isel(domain_share=0)).cumprod("domain_share").sum("domain_share")
    rng = np.random.default_rng(0)  # shares between two of the grid are as likely, so that ranks have no ties
    return xr.Dataset({"critical_ratio": SHARES[0] + (safe - 1 + rng.random(safe.shape)) * (SHARES[1] - SHARES[0])})


def envelope(n: int, cells: int, prob: float) -> tuple[float, float]:
    """Ends between which the coverage of all cells lies with probability 95 %, where the intervals are right."""
    each = ENVELOPE ** (1 / cells)
    low, high = (float(binom.ppf(p, n, prob)) / n for p in ((1 - each) / 2, (1 + each) / 2))
    return low, high


def coverage(found: dict[str, Calibration]) -> pd.DataFrame:
    """Coverage of every quantity under the default errors and others; whether inside the envelope; the width."""
    tables = {}
    for name, one in found.items():
        part = one.summary()[["kind", "n", "coverage", "mc_error"]]
        part = part[part["kind"].isin(["coefficient", "loss", "decision"])]
        width = (one.rows["upper"] - one.rows["lower"]).groupby(one.rows["quantity"]).median()
        tables[name] = part.assign(width=width.reindex(part.index))
    default, (other, others) = tables.pop("default"), *tables.items()
    low, high = envelope(int(default["n"].min()), len(default), found["default"].prob)
    return pd.DataFrame(
        {
            "kind": default["kind"],
            "default": default["coverage"],
            "inside": np.where(default["coverage"].between(low, high), "yes", "NO"),
            other: others["coverage"],
            "within": np.where(others["coverage"].between(low, high), "yes", "NO"),
            "mc error": default["mc_error"],
            "width ratio": default["width"] / others["width"],
        }
    ).rename_axis("quantity")


def figure(table: pd.DataFrame, ends: tuple[float, float], prob: float, labels: dict[str, str]) -> Any:
    """Coverage of every quantity under both error models, which the labels name."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.0, 0.24 * len(table) + 1.2), layout="constrained")
    y = np.arange(len(table))[::-1]
    ax.axvspan(*ends, color="0.88", lw=0, label=f"where all lie with probability {ENVELOPE:.0%}")
    ax.axvline(prob, color="0.4", lw=0.8)
    for (column, label), marker, colour in zip(labels.items(), "os", COLOURS, strict=False):
        ax.plot(table[column], y, marker, color=colour, mfc=colour if marker == "o" else "none", label=label)
    ax.set_yticks(y, [str(q) for q in table.index], fontsize=7)
    ax.set(xlabel=f"share of simulated studies whose {prob:.0%} interval holds the truth", ylim=(-1, len(table)))
    finish(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return fig


def main() -> None:
    """Simulate, fit twice, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500, help="simulated studies")
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time")
    given = parser.parse_args()
    page = Page("error_models", "Checkpoints of one run are not independent")
    kept = BUILD / "error_models"
    both = {"default": None, "independent": bl.Noise(correlated=False, joint=False)}
    found = {
        name: calibrate(study(), given.n, fitted_noise=noise, also=critical_ratio, folder=kept, jobs=given.jobs, **FITS)
        for name, noise in both.items()
    }
    table = coverage(found)
    n, prob = len(found["default"].fits), found["default"].prob
    ends = envelope(n, len(table), prob)
    page.text(
        f"{n} simulated studies: coefficients and errors drawn from the default prior of the D-CPT law, 12 runs of 6 "
        "checkpoints with both losses simulated from them, every study fitted twice: with the default errors, which "
        "are those simulated (a run effect, correlation along the run, correlation between the losses), and as if all "
        f"measurements were independent. How often do {prob:.0%} intervals hold the truth?"
    )
    labels = {"default": "run effect, correlation (default)", "independent": "independent checkpoints"}
    page.figure("coverage", figure(table, ends, prob, labels), "Coverage of every quantity under both error models")
    inside, within = (table[c].eq("yes").sum() for c in ("inside", "within"))
    page.text(
        f"With right intervals, the coverage of all {len(table)} quantities lies between {ends[0]:.3f} and "
        f"{ends[1]:.3f} with probability {ENVELOPE:.0%} (simultaneous binomial envelope). Inside: {inside} of "
        f"{len(table)} with the default errors, {within} of {len(table)} with independent ones. *critical_ratio* is "
        f"the largest domain share up to which the general loss of 1.8 B parameters at 10 B tokens is at most "
        f"{RISE:.0%} above that at a share of 0.1; a *loss* is that of the mean law at a row of the design; the "
        "*width ratio* divides the median width of the default's intervals by that of independent errors."
    )
    page.table(table)
    page.text(refits(found))
    page.write()


def refits(found: dict[str, Calibration]) -> str:
    """Return how the refits went."""
    return "\n\n".join(
        f"Refits with {name} errors: {one.diverged} of {len(one.fits)} with divergences, {one.unmixed} with R-hat "
        f"above 1.05, {one.dependent} with fewer than 99 effective draws of some quantity, {len(one.failed)} "
        f"failed; {one.fits['seconds'].mean():.1f} s each on average. None that came to an end is left out."
        for name, one in found.items()
    )


if __name__ == "__main__":
    main()
