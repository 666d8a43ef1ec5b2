"""Part 5, continued: predictions of 4,000 draws at many points, and the memory they take."""

import resource
import sys
import time

import numpy as np

from tests.benchmarks.results import Goal, Results, Row, spread

ASKED = 1_000_000


def measure(results: Results, points: int) -> None:
    """Measure a small table, and a large one once: a million points take many minutes, and the figure is the memory."""
    results.measure("predictions", "bands", points=1_000 if results.tiny else 10_000)
    if not results.tiny:
        results.measure("predictions", "bands", runs=1, points=points)


def bands(points: int, seed: int) -> Row:
    """Summarise losses at points that do not cross, from draws that stand in for a posterior."""
    import pandas as pd
    import xarray as xr

    import bayeslaw as bl
    from bayeslaw import models
    from tests.benchmarks.simulated import study

    simulated, rng = study(1, seed), np.random.default_rng(seed)
    table = simulated.table[["run", "N", "D", "domain_share", "domain_loss"]]
    model = bl.Model(models.dcpt, bl.read_runs(table))
    around = rng.normal(0, 0.05, (len(models.dcpt.coefficients), 4, 1000, 1))
    draws = {
        str(k): (("chain", "draw", "eval"), float(c.sel(eval="domain").item()) * np.exp(x))
        for (k, c), x in zip(simulated.truth.data_vars.items(), around, strict=True)
    }
    draws["sigma"] = (("chain", "draw", "eval"), np.full((4, 1000, 1), 0.005))
    coords = {"chain": np.arange(4), "draw": np.arange(1000), "eval": ["domain"]}
    fit = bl.Fit(model, xr.DataTree.from_dict({"posterior": xr.Dataset(draws, coords=coords)}))
    grid = {"N": rng.uniform(1e8, 7e9, points), "D": rng.uniform(1e9, 1e11, points)}
    grid["domain_share"] = rng.uniform(0.1, 0.9, points)
    rows = pd.DataFrame(grid)
    before = _peak()
    start = time.perf_counter()
    answer = fit.predict(rows)
    seconds = time.perf_counter() - start
    if len(answer) != points or not np.isfinite(answer["mean"]).all():
        raise ArithmeticError("predictions are missing")
    return {"finished": time.time(), "seconds": seconds, "peak_gib": _peak(), "peak_before_gib": before}


def _peak() -> float:
    """Return the largest memory the process has held, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def goals(results: Results) -> list[Goal]:
    """Compare the peak memory with 2 GiB."""
    rows = results.rows("predictions", "bands")
    text = "4,000 draws x 1e6 points: peak memory under 2 GiB"
    if not rows:
        return [Goal(text, "not measured", None)]
    points = max(r["settings"]["points"] for r in rows)
    peak = max(r["peak_gib"] for r in rows if r["settings"]["points"] == points)
    return [Goal(text, f"{peak:.2f} GiB at {points:,} points", peak < 2 if points >= ASKED else None)]


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "### Predictions in pieces",
        "",
        "`fit.predict(table)`: mean, sd and interval at points that do not cross, from 4,000 draws (D-CPT, one loss;",
        "the draws stand in for a posterior). Memory is the peak of the whole process.",
        "",
        "| points | seconds | peak | before | runs |",
        "|---|---|---|---|---|",
    ]
    for points in sorted({r["settings"]["points"] for r in results.rows("predictions", "bands")}):
        rows = results.rows("predictions", "bands", points=points)
        peak, before = (max(r[k] for r in rows) for k in ("peak_gib", "peak_before_gib"))
        lines.append(f"| {points:,} | {spread(rows, 'seconds')} | {peak:.2f} GiB | {before:.2f} GiB | {len(rows)} |")
    return "\n".join(lines)
