"""Part 5, continued: predictions of many draws at many points, against the code before, and the memory they take."""

import time
from typing import Any

import numpy as np

from tests.benchmarks import before
from tests.benchmarks.results import Asked, Goal, Results, Row, median, peak_gib, ratio, spread

ASKED, SIDE_BY_SIDE = 1_000_000, 200_000
FIFTH = 587 / 5
"""A fifth of the seconds that a million points took the code before (2026-11-21, one run on such a machine)."""

FRAME = {"points": 100_000, "draws": 400}
"""The size of the table of `to_frame`."""


def measure(results: Results, points: int) -> None:
    """Measure both codes turn by turn, the largest number of points once, and `to_frame`."""
    runs, few = ("own",) * results.runs, 1_000 if results.tiny else SIDE_BY_SIDE
    asked = [Asked("bands", {"points": few, "code": "now"}, runs)]
    if tree := before.tree():
        asked.append(Asked("bands", {"points": few, "code": "before"}, runs, tree))
    results.measure("predictions", *asked)
    if not results.tiny:
        results.measure("predictions", Asked("bands", {"points": points, "code": "now"}, ("own",)))
    size = {"points": 1_000, "draws": 40} if results.tiny else FRAME
    results.measure("predictions", Asked("framed", size, runs))


def bands(points: int, code: str, seed: int) -> Row:
    """Summarise losses at points that do not cross, from draws that stand in for a posterior."""
    import pandas as pd
    import xarray as xr

    fit, rows = standing_in(1000, seed), pd.DataFrame(scattered(points, seed))

    def answered(some: pd.DataFrame) -> Any:
        if code == "now":
            return fit.predict(some)
        return fit.bands(fit.columns(**{str(k): xr.DataArray(v, dims="row") for k, v in some.items()}))

    answered(rows[:10])  # what is imported or compiled at the first call
    held = peak_gib()
    start = time.perf_counter()
    answer = answered(rows)
    seconds = time.perf_counter() - start
    if len(answer) != points or not np.isfinite(answer["mean"]).all():
        raise ArithmeticError("predictions are missing")
    return {"finished": time.time(), "seconds": seconds, "peak_gib": peak_gib(), "peak_before_gib": held}


def framed(points: int, draws: int, seed: int) -> Row:
    """Put the losses of all draws at such points into a table."""
    import xarray as xr

    fit = standing_in(draws // 4, seed)
    at = {name: xr.DataArray(x, dims="point") for name, x in scattered(points, seed).items()}
    held = peak_gib()
    start = time.perf_counter()
    table = fit.predict(**at).to_frame()
    seconds = time.perf_counter() - start
    if len(table) != points:
        raise ArithmeticError("points are missing")
    size = points * draws * 8 / 2**30
    return {"finished": time.time(), "seconds": seconds, "draws_gib": size, "peak_gib": peak_gib() - held}


def scattered(points: int, seed: int) -> dict[str, np.ndarray]:
    """Return columns of points that do not cross."""
    rng = np.random.default_rng(seed)
    ends = {"N": (1e8, 7e9), "D": (1e9, 1e11), "domain_share": (0.1, 0.9)}
    return {name: rng.uniform(*at, points) for name, at in ends.items()}


def standing_in(draws: int, seed: int) -> Any:
    """Return a fit with draws (of each of four chains) around the truth of a simulated study."""
    import xarray as xr

    import bayeslaw as bl
    from bayeslaw import models
    from tests.benchmarks.simulated import study

    simulated, rng = study(1, seed), np.random.default_rng(seed)
    table = simulated.table[["run", "N", "D", "domain_share", "domain_loss"]]
    around = rng.normal(0, 0.05, (len(models.dcpt.coefficients), 4, draws, 1))
    values = {
        str(k): (("chain", "draw", "eval"), float(c.sel(eval="domain").item()) * np.exp(x))
        for (k, c), x in zip(simulated.truth.data_vars.items(), around, strict=True)
    }
    values["sigma"] = (("chain", "draw", "eval"), np.full((4, draws, 1), 0.005))
    coords = {"chain": np.arange(4), "draw": np.arange(draws), "eval": ["domain"]}
    posterior = xr.DataTree.from_dict({"posterior": xr.Dataset(values, coords=coords)})
    return bl.Fit(bl.Model(models.dcpt, bl.read_runs(table)), posterior)


def goals(results: Results) -> list[Goal]:
    """Compare the time with the code before, and the memory with 2 GiB and with the draws."""
    now, then = (median(_bands(results, SIDE_BY_SIDE, code), "seconds") for code in ("now", "before"))
    many = _bands(results, ASKED, "now")
    peak = max((r["peak_gib"] for r in many), default=None)
    text = f"predictions of 4,000 draws at {SIDE_BY_SIDE:,} points, against the code before"
    frames = results.rows("predictions", "framed", **FRAME)
    over = ratio(max((r["peak_gib"] for r in frames), default=None), frames[0]["draws_gib"] if frames else None)
    return [
        Goal.at_most(text, ratio(now, then), 0.2),
        Goal.at_most(f"the same at {ASKED:,} points (a fifth of 587 s)", median(many, "seconds"), round(FIFTH), "s"),
        Goal.at_most(f"the same at {ASKED:,} points, peak memory of the process", peak, 2, "GiB"),
        Goal.at_most("`to_frame` of 100,000 points x 400 draws, memory above what was held, of the draws'", over, 2),
    ]


def _bands(results: Results, points: int, code: str) -> list[Row]:
    return results.rows("predictions", "bands", points=points, code=code)


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "### Predictions in pieces",
        "",
        "`fit.predict(table)`: mean, sd and interval at points that do not cross, from 4,000 draws (D-CPT, one loss;",
        f"the draws stand in for a posterior), now and at commit {before.COMMIT}. Memory is the peak of the whole",
        "process. `to_frame`: the table of `fit.predict(N=, D=, domain_share=)` at such points.",
        "",
        "| | points | draws | seconds | peak | held before | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for code in ("now", "before"):
        for points in sorted({r["settings"]["points"] for r in results.rows("predictions", "bands", code=code)}):
            rows = _bands(results, points, code)
            peak, held = (max(r[k] for r in rows) for k in ("peak_gib", "peak_before_gib"))
            cells = [code, f"{points:,}", "4,000", spread(rows, "seconds"), f"{peak:.2f} GiB", f"{held:.2f} GiB"]
            lines.append(f"| {' | '.join([*cells, str(len(rows))])} |")
    frames = results.rows("predictions", "framed")
    if frames:
        size, peak = frames[0]["draws_gib"], max(r["peak_gib"] for r in frames)
        asked = frames[0]["settings"]
        cells = ["`to_frame`", f"{asked['points']:,}", f"{asked['draws']:,}", spread(frames, "seconds")]
        above = f"{peak:.2f} GiB above it, the draws {size:.2f} GiB"
        lines.append(f"| {' | '.join([*cells, above, '', str(len(frames))])} |")
    return "\n".join(lines)
