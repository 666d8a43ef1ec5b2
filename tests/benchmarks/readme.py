"""Part 4: the example of the README, against the code before the log density was compiled as a whole."""

import time
from typing import Any

from tests.benchmarks import before
from tests.benchmarks.results import Asked, Goal, Results, Row, chains, median, ratio, spread

TEXT = "the README's example, 4 x 1,000 draws, the fit alone, against the code before the compiled density"
CODES = {
    "now": "now, the law alone",
    "misfit": "now, with its misfit (the default)",
    "before": f"before (commit {before.COMMIT})",
}


def measure(results: Results) -> None:
    """Fit with both, turn by turn, each with what it compiled before."""
    draws, caches = 50 if results.tiny else 1000, ("filled",) * results.runs
    asked = [Asked("example", {"draws": draws, "code": code}, caches) for code in ("now", "misfit")]
    if tree := before.tree():
        asked.append(Asked("example", {"draws": draws, "code": "before"}, caches, tree))
    results.measure("readme", *asked)


def model(**settings: Any) -> Any:
    """Return the model of the README, with further settings."""
    import bayeslaw as bl
    from bayeslaw import models

    table = bl.datasets.load("tinycpt")
    design = table["set"].isin(["grid", "rep"]) & (table["schedule"] == "constant") & (table["domain"] == "python")
    settled = (table["step"] == 0) | (table["step"] >= 300)
    return bl.Model(
        models.dcpt,
        bl.read_runs(table[design & settled]),
        by={"B": "N", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        reference={"N": 2e5, "D": 1e6},
        **settings,
    )


def example(draws: int, code: str, seed: int) -> Row:
    """Fit it with the defaults of the code; what a fit imports is imported before."""
    import bayeslaw.sampler.sampling  # noqa: F401

    example = model(**({"misfit": None} if code == "now" else {}))
    start = time.perf_counter()
    fit = example.fit(draws=draws, seed=seed, progress=False)
    seconds, finished = time.perf_counter() - start, time.time()
    return {
        "finished": finished,
        "seconds": seconds,
        **chains(fit),
        "commit": before.COMMIT if code == "before" else "",
    }


def goals(results: Results) -> list[Goal]:
    """Compare the seconds of the fits."""
    now, then = (median(results.rows("readme", "example", code=code), "seconds") for code in ("now", "before"))
    return [Goal.at_most(TEXT, ratio(now, then), 0.15)]


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "## 4. The example of the README, now and before",
        "",
        "`model.fit()` of the README's model, seconds of the fit alone, imports excluded, in a process that finds what",
        "an earlier one compiled. Before: the commit before the log density was compiled as a whole, run",
        "by the same interpreter, turn by turn; both with their own defaults (4 x 1,000 draws, acceptance 0.95).",
        "It had no misfit: the law alone is what is compared.",
        "",
        "| code | seconds | min ESS | R-hat | divergences | steps a draw |",
        "|---|---|---|---|---|---|",
    ]
    for code, words in CODES.items():
        rows = results.rows("readme", "example", code=code)
        if not rows:
            lines.append(f"| {words} | not measured: the history is not there | | | | |")
            continue
        worst = f"{min(r['ess'] for r in rows):.0f} | {max(r['r_hat'] for r in rows):.4f}"
        divergences = ", ".join(str(r["divergences"]) for r in rows)
        lines.append(f"| {words} | {spread(rows, 'seconds')} | {worst} | {divergences} | {median(rows, 'steps'):.0f} |")
    return "\n".join(lines)
