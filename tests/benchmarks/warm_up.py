"""How many draws of warm-up a posterior needs: ``python -m tests.benchmarks.warm_up [PART OF A NAME ...]``.

Four chains of 1,000 draws of every model after several warm-ups, three seeds each: the worst R-hat of the three, the
smallest and the median of the lowest effective draws (bulk), gradients a draw, divergences of each seed, and the time
of the processor in which a fit makes an effective draw, set-up and warm-up included, relative to the longest warm-up.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.workflow import Fit
from tests.benchmarks import readme, small_tables, yardstick
from tests.benchmarks.results import ROOT
from tests.models.test_held_out_schedules import model as of_curves

WARM_UPS = (150, 200, 300, 800)
SEEDS = (1, 2, 3)
DATA = ROOT.parent / "shared/data"


def chinchilla() -> bl.Model:
    """Return Chinchilla's law for 28 simulated runs."""
    table = pd.DataFrame(small_tables.rows())
    return bl.Model(
        models.chinchilla, bl.read_runs(table.assign(run=[f"run {i}" for i in range(len(table))])), misfit=None
    )


def mixtures() -> bl.Model:
    """Return the data mixing law for the paper's mixtures of three sources."""
    sources = ("github", "books3", "pilecc")
    table = pd.read_csv(DATA / "data_mixing_laws/3mix_410M_step60000.csv")
    table = table.rename(
        columns={f"r_{s}": f"weight_{s}" for s in sources} | {f"loss_{s}": f"{s}_loss" for s in sources}
    )
    return bl.Model(
        models.data_mixing, bl.read_runs(table.assign(run="run " + table.pop("id").astype(str))), misfit=None
    )


def forgetting() -> bl.Model:
    """Return the law of the critical mixture ratio for the general loss of Pythia-70M."""
    from tests.studies.cmr import pythia_table

    return bl.Model(models.cmr_general, bl.read_runs(pythia_table().drop(columns="domain_loss")), misfit=None)


def hierarchical(likelihood: str) -> bl.Model:
    """Return the model of the yardstick: six domains, all coefficients pooled, spreads half-normal."""
    module = yardstick.frozen()
    found: bl.Model = yardstick.model(module, yardstick.rows(module, 6), likelihood)
    return found


MODELS: dict[str, Callable[[], bl.Model]] = {
    "README, four sizes": readme.model,
    "six domains (yardstick), Normal": lambda: hierarchical("normal"),
    "six domains (yardstick), Student-t": lambda: hierarchical("student_t"),
    "Chinchilla, 28 runs": chinchilla,
    "learning-rate annealing, two sizes": lambda: of_curves("lr_annealing"),
    "data mixing, three sources": mixtures,
    "critical mixture ratio, one model": forgetting,
}


def measured(fits: list[tuple[Fit, float]]) -> dict[str, Any]:
    """Return the figures of the fits of all seeds."""
    ess = [min(float(v.min()) for v in az.ess(fit.posterior).data_vars.values()) for fit, _ in fits]
    r_hat = [max(float(v.max()) for v in az.rhat(fit.posterior).data_vars.values()) for fit, _ in fits]
    stats = [fit.idata["sample_stats"].to_dataset() for fit, _ in fits]
    return {
        "R-hat": f"{max(r_hat):.4f}",
        "effective": f"{min(ess):.0f}, {np.median(ess):.0f}",
        "gradients a draw": f"{np.mean([float(s['n_steps'].mean()) for s in stats]):.1f}",
        "divergences": ", ".join(str(int(s["diverging"].sum())) for s in stats),
        "cost": float(np.median([seconds / n for (_, seconds), n in zip(fits, ess, strict=True)])),
    }


def main(asked: list[str]) -> None:
    """Print the table."""
    print("| model | warm-up | R-hat | effective draws: least, median | gradients a draw | divergences | cost |")
    print("|---" * 7 + "|")
    for name, make in MODELS.items():
        if asked and not any(part in name for part in asked):
            continue
        try:
            model = make()
        except FileNotFoundError as e:
            print(f"{name}: left out, there is no {e.filename}", file=sys.stderr)
            continue
        model.fit(draws=1, tune=10, progress=False)
        rows = {}
        for tune in WARM_UPS:
            fits = []
            for seed in SEEDS:
                start = time.process_time()
                fit = model.fit(tune=tune, seed=seed, target_accept=0.95, progress=False)
                fits.append((fit, time.process_time() - start))
            rows[tune] = measured(fits)
        longest = rows[WARM_UPS[-1]]["cost"]
        for tune, row in rows.items():
            cells = row | {"cost": f"{row['cost'] / longest:.2f}"}
            print(f"| {name} | {tune} | {' | '.join(cells.values())} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
