"""Part 2: a posterior against the least-squares bootstrap, by wall time and by coverage.

Simulated studies of one and of six domains, both losses measured. The bootstrap knows nothing of the other domains; the
posterior pools all coefficients over them and models the errors along a run, as it does by default.
"""

import os
import time
from multiprocessing import get_context
from typing import Any

import numpy as np
import xarray as xr

from tests.benchmarks.least_squares_bootstrap import LOOSE, SCIPY, START, bootstrap, losses
from tests.benchmarks.results import Asked, Goal, Results, Row, chains, ratio, spread

PROB = 0.89
INSIDE = [(1e9, 5e9, 0.3), (1e9, 2e10, 0.6), (3e9, 5e9, 0.6), (3e9, 2e10, 0.3)]
BEYOND = [(7e9, 2e10, 0.3), (7e9, 1e11, 0.6), (3e9, 1e11, 0.3), (1e9, 1e11, 0.6)]
"""N, D, domain share of the losses predicted: between the runs' levels, and beyond the largest N or D."""

SHORT, DEFAULT = (250, 150), (1000, None)
"""Draws and warm-up of a chain: as many effective draws as the bootstrap has refits, and more; and the defaults."""

REACH = {(1, SCIPY): 0.2, (1, LOOSE): 0.7, (6, SCIPY): 0.5, (6, LOOSE): 1.3}
"""Times of the bootstrap's wall time, without compilation, by domains and tolerance of the bootstrap."""

REACH_COMPILED = {SCIPY: 1.0, LOOSE: 2.5}
"""The same for six domains in a process with empty caches."""

WORDS = {SCIPY: "SciPy's tolerance", LOOSE: "a tolerance loosened to 1e-4"}


def measure(results: Results) -> None:
    """Measure posteriors and bootstraps of one and of six domains, turn by turn."""
    runs, refits, many = results.runs, 5 if results.tiny else 200, 2 if results.tiny else 6
    draws, tune = (50, 50) if results.tiny else SHORT
    later, each = ("filled",) * runs, ("empty", "filled") * runs
    for domains, fits, caches in ((1, 2 if results.tiny else 4, ("empty", *later)), (many, 1, each)):
        settings = {"domains": domains, "fits": fits}
        asked = [Asked("posterior", {**settings, "draws": draws, "tune": tune}, caches)]
        asked += [
            Asked("refits", {**settings, "refits": refits, "tolerance": tolerance}, ("own",) * runs)
            for tolerance in (LOOSE, SCIPY)
        ]
        if not results.tiny:
            asked.append(Asked("posterior", {**settings, "draws": DEFAULT[0], "tune": DEFAULT[1]}, later))
        results.measure("bootstrap", *asked)


def posterior(domains: int, fits: int, draws: int, tune: int | None, seed: int) -> Row:
    """Fit studies one after the other with bayeslaw; only the first one compiles."""
    import bayeslaw as bl
    import bayeslaw.sampler.sampling  # not timed
    from bayeslaw import models
    from tests.benchmarks.simulated import study

    sets, finished = [], 0.0
    warm_up: dict[str, Any] = {} if tune is None else {"tune": tune}
    for number in range(fits):
        simulated = study(domains, seed=100 * seed + number)
        start = time.perf_counter()
        by = dict.fromkeys(START, "domain") if domains > 1 else {}
        model = bl.Model(models.dcpt, bl.read_runs(simulated.table), by=by, misfit=None)
        fit = model.fit(draws=draws, **warm_up, seed=seed, progress=False)
        seconds = time.perf_counter() - start
        finished = finished or time.time()
        N, D, share = np.array(INSIDE + BEYOND).T
        c = {k: fit.posterior[k] for k in START}
        labels = simulated.truth["domain"].values
        c = {k: x.sel(domain=labels) if domains > 1 else x.expand_dims("domain") for k, x in c.items()}
        ends = np.quantile(_predicted(c, N, D, share), [(1 - PROB) / 2, (1 + PROB) / 2], axis=2)
        sets.append({"seconds": seconds, **chains(fit), **_coverage(ends, simulated.losses(N, D, share))})
    return {"finished": finished, "sets": sets}


def _predicted(c: dict[str, xr.DataArray], N: np.ndarray, D: np.ndarray, domain_share: np.ndarray) -> np.ndarray:
    """Return losses (eval, domain, draw, point) of posterior draws."""
    order = ["general", "domain"]
    by_draw = [c[k].sel(eval=order).stack(draws=("chain", "draw")).transpose("domain", "eval", "draws") for k in START]
    flat = np.stack([x.values for x in by_draw], axis=-1)
    return np.stack([losses(one, N, D, domain_share) for one in flat], axis=1)


def refits(domains: int, fits: int, refits: int, tolerance: float, seed: int) -> Row:
    """Bootstrap the same studies, a domain per process on all cores."""
    from tests.benchmarks.simulated import study

    sets, finished = [], 0.0
    for number in range(fits):
        simulated = study(domains, seed=100 * seed + number)
        start = time.perf_counter()
        tables = [simulated.table[simulated.table["domain"] == d] for d in simulated.truth["domain"].values]
        tasks = [(table, refits, 20, tolerance, seed) for table in tables]
        if domains > 1:
            with get_context("fork").Pool(min(domains, os.cpu_count() or 1)) as pool:
                c = pool.starmap(bootstrap, tasks, chunksize=1)
        else:
            c = [bootstrap(*tasks[0])]
        seconds = time.perf_counter() - start
        finished = finished or time.time()
        N, D, share = np.array(INSIDE + BEYOND).T
        predicted = np.stack([losses(one, N, D, share) for one in c], axis=1)
        ends = np.quantile(predicted, [(1 - PROB) / 2, (1 + PROB) / 2], axis=2)
        sets.append({"seconds": seconds, **_coverage(ends, simulated.losses(N, D, share))})
    return {"finished": finished, "sets": sets}


def _coverage(ends: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the share of true losses (eval, domain, point) inside their intervals, and the mean width."""
    inside, width = (ends[0] <= truth) & (truth <= ends[1]), ends[1] - ends[0]
    n = len(INSIDE)
    return {
        "covered_inside": float(inside[..., :n].mean()),
        "covered_beyond": float(inside[..., n:].mean()),
        "width_inside": float(width[..., :n].mean()),
        "width_beyond": float(width[..., n:].mean()),
    }


def goals(results: Results) -> list[Goal]:
    """Compare wall times, without compilation and with it."""
    found = []
    for (domains, tolerance), most in REACH.items():
        rows = _posteriors(results, domains, *SHORT)
        seconds = _later(rows) if domains == 1 else _firsts(rows, "filled")
        theirs = _middle(_seconds(results.rows("bootstrap", "refits", domains=domains, tolerance=tolerance)))
        name = f"{domains} domain{'s pooled' * (domains > 1)}, both losses, 4 x {SHORT[0]} draws after {SHORT[1]}"
        name += f", against 200 refits at {WORDS[tolerance]}"
        words = "later fits" if domains == 1 else "without compilation"
        found.append(Goal.at_most(f"{name}, {words}", ratio(_middle(seconds), theirs), most))
        if domains > 1:
            included = ratio(_middle(_firsts(rows, "empty")), theirs)
            found.append(Goal.at_most(f"{name}, compilation included", included, REACH_COMPILED[tolerance]))
    return found


def _posteriors(results: Results, domains: int, draws: int, tune: int | None) -> list[Row]:
    return results.rows("bootstrap", "posterior", domains=domains, draws=draws, tune=tune)


def _seconds(rows: list[Row]) -> list[float]:
    return [s["seconds"] for r in rows for s in r["sets"]]


def _firsts(rows: list[Row], caches: str) -> list[float]:
    return [r["sets"][0]["seconds"] for r in rows if r["caches"] == caches]


def _later(rows: list[Row]) -> list[float]:
    return [s["seconds"] for r in rows for s in r["sets"][1:]]


def _middle(seconds: list[float]) -> float | None:
    return float(np.median(seconds)) if seconds else None


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "## 2. Against the bootstrap",
        "",
        "Simulated studies (3 sizes x 7 shares x 20 checkpoints a domain, both losses), the truth drawn",
        "around fixed medians near those of the card's priors, errors correlated along a run and between its losses.",
        "Bootstrap: least squares from 20 starts, then 200 refits over resampled runs from the optimum, with an",
        "analytic Jacobian, a domain per process on all cores; a fit ends where SciPy's default tolerance of 1e-8 ends",
        "it, or, loosened as far as leaves the intervals what they are, at a relative change of the cost of 1e-4.",
        "Posterior: the default model (correlated errors, shape prior), six domains pooled in all coefficients, with",
        f"4 x {SHORT[0]} draws after {SHORT[1]} of warm-up, which tells the ends of an interval as well as 200 refits",
        f"where it converges, and with the default of 4 x {DEFAULT[0]}. Seconds count from the building of the model",
        "on. Compilation included: a first fit with empty caches, which compiles the log density, once for all models",
        "and all later processes, and the law. Without: the first fit of a later process, or later fits of a process.",
        "",
        "| domains | method | seconds | data sets |",
        "|---|---|---|---|",
    ]
    coverage = [
        f"Coverage of {PROB:.0%} intervals for the true mean losses, at {len(INSIDE)} points inside the design and",
        f"{len(BEYOND)} beyond its sizes or tokens (each domain and loss), and mean width of the intervals in nats:",
        "",
        "| domains | method | data sets | inside | beyond | width inside | width beyond | R-hat | ESS | divergences |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for domains in (1, 6):
        for draws, tune in (SHORT, DEFAULT):
            mine = _posteriors(results, domains, draws, tune)
            name = f"posterior, 4 x {draws}"
            for caches, words in (("empty", "first fit, caches empty"), ("filled", "first fit of a later process")):
                if first := _firsts(mine, caches):
                    lines.append(_time(domains, f"{name}, {words}", first))
            if later := _later(mine):
                lines.append(_time(domains, f"{name}, later fits of a process", later))
            coverage.append(_covered(domains, name, mine))
        for tolerance in (LOOSE, SCIPY):
            rows = results.rows("bootstrap", "refits", domains=domains, tolerance=tolerance)
            lines.append(_time(domains, f"bootstrap, tolerance {tolerance:g}", _seconds(rows)))
            coverage.append(_covered(domains, f"bootstrap, tolerance {tolerance:g}", rows))
    return "\n".join([*lines, "", *coverage])


def _time(domains: int, method: str, seconds: list[float]) -> str:
    return f"| {domains} | {method} | {spread([{'s': s} for s in seconds], 's')} | {len(seconds)} |"


def _covered(domains: int, method: str, rows: list[Row]) -> str:
    sets = [s for r in rows for s in r["sets"]]
    if not sets:
        return f"| {domains} | {method} | 0 | - | - | - | - | - | - | - |"
    mean = {k: np.mean([s[k] for s in sets]) for k in sets[0]}
    cells = [f"{mean['covered_inside']:.2f}", f"{mean['covered_beyond']:.2f}"]
    cells += [f"{mean['width_inside']:.4f}", f"{mean['width_beyond']:.4f}"]
    cells += ["-", "-", "-"]
    if "r_hat" in mean:
        worst = max(s["r_hat"] for s in sets), min(s["ess"] for s in sets), sum(s["divergences"] for s in sets)
        cells[-3:] = [f"{worst[0]:.3f}", f"{worst[1]:.0f}", f"{worst[2]}"]
    return f"| {domains} | {method} | {len(sets)} | {' | '.join(cells)} |"
