"""Part 5, continued: large studies, each fitted once from the table to the checked posterior."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from tests.benchmarks.results import Asked, Goal, Results, Row, chains, peak_gib
from tests.benchmarks.starting import noting_start

MOST_MINUTES = 10
SIGMA = 0.005
"""Relative error of a loss."""

TITLES = {
    "validation_sets": "20 validation sets x 2,000 rows (Chinchilla, 100 runs x 20 checkpoints)",
    "sources": "64 sources (data mixing, 300 runs)",
    "checkpoints": "1,000 runs x 50 checkpoints (D-CPT, both losses)",
    "domains": "200 domains pooled in every coefficient (D-CPT, both losses, 18 rows each)",
}
"""The studies, in the default model of their law."""


def measure(results: Results) -> None:
    """Fit every study once, with what an earlier process compiled."""
    draws = 50 if results.tiny else 1000
    for study in TITLES:
        results.measure("large", Asked("fitted", {"study": study, "draws": draws, "tiny": results.tiny}, ("own",)))


def validation_sets(rng: np.random.Generator, tiny: bool) -> tuple[str, pd.DataFrame, dict[str, str]]:
    """Sizes x tokens, every set with coefficients of its own; errors of a run are alike in all sets."""
    sizes, tokens, sets = (5, 4, 3) if tiny else (100, 20, 20)
    size, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e8, 7e9, sizes), np.geomspace(1e9, 1e11, tokens)))
    common, table = rng.normal(0, SIGMA, len(size)), {"run": [f"run {n:.6g}" for n in size], "N": size, "D": D}
    for number in range(sets):
        E, A, alpha, B, beta = np.array([1.8, 0.36, 0.34, 0.4, 0.37]) * np.exp(rng.normal(0, 0.15, 5))
        loss = E + A * (size / 1e9) ** -alpha + B * (D / 1e10) ** -beta
        table[f"set{number}_loss"] = loss * np.exp(0.7 * common + rng.normal(0, 0.7 * SIGMA, len(size)))
    return "chinchilla", pd.DataFrame(table), {}


def sources(rng: np.random.Generator, tiny: bool) -> tuple[str, pd.DataFrame, dict[str, str]]:
    """Mixtures of many sources, drawn around even ones."""
    runs, many = (40, 4) if tiny else (300, 64)
    weights = rng.dirichlet(np.full(many, 0.5), runs)
    loss = (2.4 + 0.8 * np.exp(weights @ rng.normal(-0.5, 0.7, many))) * np.exp(rng.normal(0, SIGMA, runs))
    return "data_mixing", pd.DataFrame(weights, columns=[f"weight_{i}" for i in range(many)]).assign(loss=loss), {}


def checkpoints(rng: np.random.Generator, tiny: bool) -> tuple[str, pd.DataFrame, dict[str, str]]:
    """Sizes x shares with both losses, a run at each."""
    from tests.benchmarks.simulated import study

    sizes, shares, tokens = (3, 4, 5) if tiny else (20, 50, 50)
    levels = np.geomspace(1e8, 7e9, sizes), np.geomspace(1e9, 1e11, tokens), np.linspace(0.1, 0.9, shares)
    return "dcpt", study(1, int(rng.integers(2**32)), *levels).table.drop(columns="domain"), {}


def domains(rng: np.random.Generator, tiny: bool) -> tuple[str, pd.DataFrame, dict[str, str]]:
    """Two sizes x three shares x three checkpoints of every domain."""
    from bayeslaw import models
    from tests.benchmarks.simulated import study

    levels = np.array([0.5e9, 4e9]), np.geomspace(1e9, 2e10, 3), np.array([0.2, 0.5, 0.8])
    table = study(3 if tiny else 200, int(rng.integers(2**32)), *levels).table
    return "dcpt", table, dict.fromkeys(models.dcpt.coefficients, "domain")


STUDIES: dict[str, Callable[..., tuple[str, pd.DataFrame, dict[str, str]]]] = {
    f.__name__: f for f in (validation_sets, sources, checkpoints, domains)
}


def fitted(study: str, draws: int, tiny: bool, seed: int) -> Row:
    """Read, fit and check a study with the package's defaults."""
    import bayeslaw as bl
    from bayeslaw import models

    law, table, by = STUDIES[study](np.random.default_rng(seed), tiny)
    started, marks = noting_start(), [time.perf_counter()]

    def since() -> float:
        marks.append(time.perf_counter())
        return marks[-1] - marks[-2]

    model = bl.Model(getattr(models, law), bl.read_runs(table), by=by, misfit=None)
    reading = since()
    fit = model.fit(draws=draws, seed=seed, progress=False)
    fitting, peak = since(), peak_gib()
    starting = started[0] - marks[-2]
    fit.checks()
    checking, finished = since(), time.time()
    sampled = [v for k, v in fit.posterior.data_vars.items() if not str(k).endswith("_paper")]
    return {
        "finished": finished,
        "parameters": sum(v.isel(chain=0, draw=0).size for v in sampled),
        "measurements": int(model.design.measured.sum()),
        **{"reading": reading, "starting": starting, "seconds": fitting, "checking": checking},
        **{"peak_gib": peak, "peak_checked_gib": peak_gib()},
        **chains(fit),
    }


def goals(results: Results) -> list[Goal]:
    """Compare the slowest fit with ten minutes, and the worst R-hat with 1.01."""
    rows = results.rows("large", "fitted")
    slowest = max((r["reading"] + r["seconds"] for r in rows), default=None)
    worst = max((r["r_hat"] for r in rows), default=None)
    missing = ", ".join(STUDIES.keys() - {r["settings"]["study"] for r in rows})
    text = f"the slowest of {len(rows)} large studies, from the table to the posterior"
    text += f" (not measured: {missing})" if missing else ""
    found = [Goal.at_most(text, slowest and slowest / 60, MOST_MINUTES, "minutes")]
    measured = "not measured" if worst is None else f"{worst:.4f}"
    return [*found, Goal("their largest R-hat: at most 1.01", measured, None if worst is None else worst <= 1.01)]


def section(results: Results) -> str:
    """Write the part's section."""
    columns = ["study", "measurements", "parameters", "to the posterior", "of it before sampling", "checks"]
    columns += ["peak memory", "after the checks", "R-hat", "min ESS", "divergences", "steps"]
    lines = [
        "### Large studies",
        "",
        "Each fitted once with the defaults of the package. Memory is the peak of the whole process.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for study, title in TITLES.items():
        for r in results.rows("large", "fitted", study=study):
            cells = [title, f"{r['measurements']:,}", f"{r['parameters']:,}", f"{r['reading'] + r['seconds']:.0f} s"]
            cells += [f"{r['reading'] + r['starting']:.1f} s", f"{r['checking']:.0f} s", f"{r['peak_gib']:.2f} GiB"]
            cells += [f"{r['peak_checked_gib']:.2f} GiB", f"{r['r_hat']:.4f}", f"{r['ess']:.0f}"]
            lines.append(f"| {' | '.join([*cells, str(r['divergences']), f'{r["steps"]:.0f}'])} |")
    return "\n".join(lines)
