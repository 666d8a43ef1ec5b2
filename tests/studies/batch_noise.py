"""What runs of one data order share: coverage over simulated studies, where it is known and where it is not.

python -m tests.studies.batch_noise [-n 60] [--jobs 2]
"""

import argparse
from dataclasses import replace

import bayeslaw as bl
from bayeslaw.validation.calibration import calibrate
from tests.studies.error_models import ENVELOPE, FITS, RISE, coverage, critical_ratio, envelope, figure, refits, study
from tests.studies.page import BUILD, Page


def in_order() -> bl.Model:
    """The study of `error_models`, all runs with one data order."""
    model = study()
    return bl.Model(model.law, replace(model.runs, table=model.runs.table.assign(data_order="the same")), misfit=None)


def main() -> None:
    """Simulate, fit twice, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60, help="simulated studies")
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time")
    given = parser.parse_args()
    page = Page("batch_noise", "Runs of one data order share their batch noise")
    both = {"default": None, "unknown order": bl.Noise(batch=False)}
    kept = BUILD / "batch_noise"
    found = {
        name: calibrate(
            in_order(), given.n, fitted_noise=noise, also=critical_ratio, folder=kept, jobs=given.jobs, **FITS
        )
        for name, noise in both.items()
    }
    table = coverage(found)
    n, prob = len(found["default"].fits), found["default"].prob
    ends = envelope(n, len(table), prob)
    page.text(
        f"{n} simulated studies, as on [the page on checkpoints](error_models.md) (D-CPT law, 12 runs of 6 "
        "checkpoints, both losses), but that all runs saw their batches in one order, so that they share what the "
        "latest batches did to the loss. Every study is fitted twice: with the default errors of a table that says "
        "so (`data_order`), which are those simulated, and as if the order were not known (`bl.Noise(batch=False)`). "
        f"How often do {prob:.0%} intervals hold the truth?"
    )
    labels = {"default": "data order known (default)", "unknown order": "data order unknown"}
    page.figure("coverage", figure(table, ends, prob, labels), "Coverage of every quantity under both error models")
    inside, within = (table[c].eq("yes").sum() for c in ("inside", "within"))
    page.text(
        f"With right intervals, the coverage of all {len(table)} quantities lies between {ends[0]:.2f} and "
        f"{ends[1]:.2f} with probability {ENVELOPE:.0%} (simultaneous binomial envelope of {n} studies, wide enough to "
        f"hide small faults). Inside: {inside} of {len(table)} with the order known, {within} of {len(table)} without. "
        f"*critical_ratio* is the largest domain share up to which the general loss of 1.8 B parameters at 10 B tokens "
        f"is at most {RISE:.0%} above that at a share of 0.1; the *width ratio* divides the median width of the "
        "intervals with the order known by that without."
    )
    page.table(table)
    page.text(refits(found))
    page.write()


if __name__ == "__main__":
    main()
