"""Inside the runs: what a misfit costs where the law is true, and what it mends where the law is not.

``python -m tests.studies.within [-n 100]`` simulates so many studies of each kind. Results are kept.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.files import replacing
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.validation.refits import file_of
from tests.benchmarks.simulated import SIZES, Study, study
from tests.studies.page import BUILD, Page, convergence

TOKENS = np.geomspace(1.31e9, 26.2e9, 8)
ASKED: dict[str, Any] = {"N": float(SIZES[1]), "D": float(TOKENS[4])}
"""The size and the tokens, half way along the runs, for which the critical ratio is asked."""
HUMPS = {"the law is true": 0.0, "the general loss bends": 0.06}
"""Largest part, of a share of 1, by which the general loss may rise in the middle of a run; that of a study is uniform
below it."""
MODELS: dict[str, Any] = {"law alone": None, "with misfit": "scales"}
PROB = 0.89
SAMPLING: dict[str, Any] = {"draws": 500, "chains": 2, "cores": 2, "progress": False}


def hump(truth: Study, columns: pd.DataFrame, height: float) -> np.ndarray:
    """Return the true losses (eval, row) at rows of one domain, the general one bent by a part of it."""
    path = np.log(columns["D"] / TOKENS[0]) / np.log(TOKENS[-1] / TOKENS[0])
    rise = height * columns["domain_share"] * 4 * path * (1 - path)
    losses = truth.losses(*(columns[c].to_numpy(float) for c in ("N", "D", "domain_share")))[:, 0]
    losses[0] *= np.exp(rise.to_numpy())
    return losses


def scored(kind: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield, for every model, how one simulated study is answered."""
    rng = np.random.default_rng([seed, 1])
    height, ratio = HUMPS[kind] * rng.random(), rng.uniform(0.25, 0.75)
    made = study(1, seed, tokens=TOKENS)
    table = made.table
    table = table.assign(general_loss=table["general_loss"] * (hump(made, table, height) / hump(made, table, 0.0))[0])
    limit = float(hump(made, pd.DataFrame({**ASKED, "domain_share": [ratio]}), height)[0, 0])
    for name, misfit in MODELS.items():
        model = bl.Model(models.dcpt, bl.read_runs(table), reference={"N": 1e9, "D": 1e10}, misfit=misfit)
        about = {"kind": kind, "seed": seed, "model": name}
        file = file_of(BUILD / "within", f"{kind} {seed} {name}", model, model.design, PROB, {"limit": limit})
        assert file is not None
        if not file.is_file():
            fit = model.fit(seed=seed, **SAMPLING)
            rows = model.design.rows[["N", "D", "domain_share"]]
            mean, true = fit.loss(rows), hump(made, rows.to_dataframe(), height)
            ends = mean.quantile([(1 - PROB) / 2, (1 + PROB) / 2], SAMPLE)
            low, high = ends.transpose("quantile", "eval", "row").values
            answer = fit.critical_ratio(**ASKED, baseline=limit, max_rise=0.0)
            lower, upper = (float(answer.interval(PROB)[end].item()) for end in ("lower", "upper"))
            found = {
                "mean losses covered": float(((low <= true) & (true <= high)).mean()),
                "width of mean losses, %": float(100 * (np.log(high) - np.log(low)).mean()),
                "ratio covered": float(lower <= ratio <= upper),
                "error of the ratio": float(np.median(answer.draws)) - ratio,
                "width of the ratio": upper - lower,
                **convergence(fit),
            }
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(found))
            print(about, found, flush=True)
        yield about | json.loads(file.read_text())


def main(n: int) -> None:
    """Write the page."""
    rows = pd.DataFrame([row for seed in range(n) for kind in HUMPS for row in scored(kind, seed)])
    page = Page("within", "Inside the runs: what a misfit costs, and what it mends")
    page.text(
        f"{len(HUMPS) * n} simulated studies of D-CPT: three sizes, seven shares, eight checkpoints, both losses, "
        "errors correlated along a run and between its losses. In half of them the law is true; in the others the "
        "general loss rises along every run and falls again, in the middle by up to "
        f"{max(HUMPS.values()):.0%} times the domain share. The critical ratio is asked half way along the runs, at a "
        f"limit for which the truth lies between 0.25 and 0.75. Intervals are those of {PROB:.0%}; mean losses are "
        "those at all runs and checkpoints."
    )
    each = rows.groupby(["kind", "model"], sort=False)
    measures = ["mean losses covered", "width of mean losses, %", "ratio covered", "error of the ratio"]
    found = each[measures].mean()
    found["width of the ratio, median"] = each["width of the ratio"].median()
    page.table(found)
    wide = rows.pivot(index=["kind", "seed"], columns="model", values="width of the ratio")
    ratio = (
        (wide["with misfit"] / wide["law alone"]).groupby(level="kind", sort=False).quantile(np.array([0.1, 0.5, 0.9]))
    )
    page.text("Width of the critical ratio's interval with the misfit, relative to that of the law alone, by quantile:")
    page.table(ratio.unstack())
    bad = rows[(rows["R-hat"] > 1.05) | (rows["divergences"] > 0)].groupby("model").size()
    page.text(
        f"Posteriors of 2 x 500 draws. Of {len(rows) // len(MODELS)} each, with an R-hat above 1.05 or divergences:"
    )
    page.table(bad.rename("posteriors").reindex(list(MODELS), fill_value=0).to_frame(), 0)
    page.write()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=100, help="studies of each kind")
    main(parser.parse_args().n)
