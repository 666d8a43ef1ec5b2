"""Every law of the catalogue fitted to real runs, a report for each, and its rivals side by side.

python -m tests.studies.catalogue
"""

import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.fit import Fit
from tests.calibration.measured import study
from tests.studies.page import DOCS, Page, convergence

RIVALS = {
    "dcpt_forms": "dcpt dcpt_l1 dcpt_l2 dcpt_l4 dcpt_l5 dcpt_l5_effective dcpt_l6 dcpt_l7",
    "data_mixing_forms": "data_mixing data_mixing_m1 data_mixing_m2 data_mixing_m3 regmix",
    "annealing_forms": "lr_annealing multi_power",
    "upsampling_forms": "domain_upsampling domain_upsampling_points saturating_upsampling quadratic_upsampling "
    "constant_upsampling",
    "upsampling_loss_forms": "upsampling_loss saturating_upsampling_loss quadratic_upsampling_loss",
}
"""Laws of one question to the same runs, in a report each."""


def fitted(page: Page, name: str) -> tuple[str, Fit] | None:
    """Return the runs of a law in words and its posterior, None where no runs are public."""
    found = study(models.catalogue[name])
    if found is None:
        return None
    what, model, _ = found
    return what.rsplit(", ", 1)[0], page.fit(name, model)


def row(what: str, fit: Fit) -> dict[str, object]:
    """Return what the page says of a fit."""
    failed = [c.name for c in fit.checks() if not c.passed]
    how = convergence(fit)
    return {
        "runs": what,
        "measurements": len(fit.model.design.log_loss),
        "seconds": how["seconds"],
        "R-hat": how["R-hat"],
        "divergences": how["divergences"],
        "checks that fail": ", ".join(failed) or "none",
    }


def main() -> None:
    """Fit, write the reports and the page."""
    page = Page("catalogue", "Every law on real runs")
    page.text(
        "Every law of the catalogue that public runs exist for, fitted to them as its card has it (4 x 1,000 draws, no "
        "prior changed but for the reference and, on Pythia, the odds at which the general loss turns), with the "
        "[checks](../explanation/index.md) that fail: which laws can be believed on which runs. Studies of their own "
        "ask more of most of them."
    )
    fits, rows = {}, {}
    for name in models.catalogue:
        if found := fitted(page, name):
            what, fits[name] = found
            rows[name] = row(what, fits[name])
            print(name, rows[name], flush=True)
            if not (DOCS / "reports" / f"{name}.md").is_file() and not any(name in r.split() for r in RIVALS.values()):
                fits[name].report(DOCS / "reports" / f"{name}.md")
    page.table(pd.DataFrame.from_dict(rows, orient="index").rename_axis("law"))
    absent = ", ".join(f"`{name}`" for name in models.catalogue if name not in rows)
    page.text(
        f"No runs are public for {absent}: of several domains, of several sizes over a whole curve, or of losses out "
        "of domain. Their studies and reports are of simulated runs and say so."
    )
    for report, names in RIVALS.items():
        bl.report({n: fits[n] for n in names.split()}, DOCS / "reports" / f"{report}.md")
    page.write()


if __name__ == "__main__":
    main()
