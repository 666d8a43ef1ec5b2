"""Part 6: what robust (Student-t) errors cost, per gradient."""

import time

import numpy as np

from tests.benchmarks.results import Asked, Goal, Results, Row


def measure(results: Results) -> None:
    """Measure independent errors, and the correlated ones of the default model."""
    domains = 1 if results.tiny else 6
    asked = (Asked("both", {"correlated": c, "domains": domains}, ("own",) * results.runs) for c in (False, True))
    results.measure("robust", *asked)


def both(correlated: bool, domains: int, seed: int) -> Row:
    """Time a gradient with either kind of errors, turn by turn."""
    import bayeslaw as bl
    from bayeslaw import models
    from tests.benchmarks.gradients import seconds_per_gradient
    from tests.benchmarks.simulated import study

    simulated = study(domains, seed)
    runs, by = bl.read_runs(simulated.table), {k: "domain" for k in models.dcpt.coefficients}
    seconds: dict[str, list[float]] = {"normal": [], "student_t": []}
    for _ in range(2):
        for name, taken in seconds.items():
            noise = bl.Noise(correlated=correlated, joint=correlated, robust=name == "student_t")
            taken.append(
                seconds_per_gradient(bl.Model(models.dcpt, runs, by=by, noise=noise, misfit=None), simulated.truth)
            )
    return {"finished": time.time(), **{k: float(np.median(x)) for k, x in seconds.items()}}


def goals(results: Results) -> list[Goal]:
    """Compare the ratio with 2."""
    found = []
    for correlated, words in ((False, "independent"), (True, "correlated")):
        rows = results.rows("robust", "both", correlated=correlated)
        text = f"robust errors ({words}), a gradient against one of Normal errors"
        ratio = float(np.median([r["student_t"] / r["normal"] for r in rows])) if rows else None
        found.append(Goal.at_most(text, ratio, 2))
    return found


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "## 6. Robust errors",
        "",
        "Six pooled domains, both losses (5,040 measurements), microseconds per gradient.",
        "",
        "| errors | Normal | Student-t | ratio |",
        "|---|---|---|---|",
    ]
    for correlated, words in ((False, "independent"), (True, "correlated along runs and between losses")):
        rows = results.rows("robust", "both", correlated=correlated)
        if rows:
            normal, robust = (1e6 * np.median([r[k] for r in rows]) for k in ("normal", "student_t"))
            ratio = np.median([r["student_t"] / r["normal"] for r in rows])
            lines.append(f"| {words} | {normal:.0f} | {robust:.0f} | {ratio:.2f} |")
    return "\n".join(lines)
