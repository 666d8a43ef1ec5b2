"""Part 5: time per gradient against rows and domains."""

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from tests.benchmarks.results import Asked, Results, Row

FACTORIAL = (1_000, 10_000, 100_000, 1_000_000)
RAGGED = (1_000, 10_000, 100_000)
DOMAINS = (1, 2, 4, 8, 16, 32, 64)


def measure(results: Results) -> None:
    """Measure the factorial and ragged designs, and the number of domains, each in one process."""
    largest = 1_000 if results.tiny else 10**6
    sizes: dict[str, dict[str, list[int]]] = {
        "factorial": {"rows": [n for n in FACTORIAL if n <= largest]},
        "ragged": {"rows": [n for n in RAGGED if n <= largest]},
        "pooled": {"domains": [d for d in DOMAINS if not results.tiny or d < 3]},
    }
    results.measure("growth", *(Asked(name, at, ("own",)) for name, at in sizes.items()))


def factorial(rows: list[int], seed: int) -> Row:
    """Sizes x tokens x shares crossed, independent errors, one domain."""
    from tests.benchmarks.simulated import study

    seconds = []
    for n in rows:
        side = round(n ** (1 / 3))
        levels = np.geomspace(1e8, 5e9, side), np.geomspace(1e9, 1e11, side), np.linspace(0.1, 0.9, side)
        simulated = study(1, seed, *levels)
        seconds.append(_gradient(simulated.table.drop(columns="domain"), simulated.truth.isel(domain=0, drop=True)))
    return {"at": rows, "seconds": seconds, "finished": time.time()}


def ragged(rows: list[int], seed: int) -> Row:
    """Every row at a size, number of tokens and share of its own."""
    from bayeslaw import models
    from tests.benchmarks.simulated import study

    truth = study(1, seed).truth.isel(domain=0, drop=True)
    rng, seconds = np.random.default_rng(seed), []
    for n in rows:
        table = pd.DataFrame({"N": np.exp(rng.uniform(18.4, 22.3, n)), "D": np.exp(rng.uniform(20.7, 25.3, n))})
        table["domain_share"] = rng.uniform(0.1, 0.9, n)
        table["run"] = [f"run {i}" for i in range(n)]
        for name, share in (("general", 1 - table["domain_share"]), ("domain", table["domain_share"])):
            c = {str(k): float(x) for k, x in truth.sel(eval=name).data_vars.items()}
            law = models.dcpt(table["N"] / 1e9, table["D"] / 1e10, share, **c)
            table[f"{name}_loss"] = law * np.exp(rng.normal(0, 0.005, n))
        seconds.append(_gradient(table, truth))
    return {"at": rows, "seconds": seconds, "finished": time.time()}


def pooled(domains: list[int], seed: int) -> Row:
    """Domains of 420 rows with both losses, every coefficient pooled."""
    import bayeslaw as bl
    from bayeslaw import models
    from tests.benchmarks.gradients import seconds_per_gradient
    from tests.benchmarks.simulated import study

    seconds = []
    for n in domains:
        simulated = study(n, seed)
        by = {k: "domain" for k in models.dcpt.coefficients}
        model = bl.Model(models.dcpt, bl.read_runs(simulated.table), by=by, misfit=None)
        seconds.append(seconds_per_gradient(model, simulated.truth))
    return {"at": domains, "seconds": seconds, "finished": time.time()}


def _gradient(table: pd.DataFrame, truth: xr.Dataset) -> float:
    import bayeslaw as bl
    from bayeslaw import models
    from tests.benchmarks.gradients import seconds_per_gradient

    noise = bl.Noise(correlated=False, joint=False)
    return seconds_per_gradient(
        bl.Model(models.dcpt, bl.read_runs(table), noise=noise, monotone=None, misfit=None), truth
    )


def section(results: Results, folder: Path) -> str:
    """Write the part's section and its figure."""
    lines = [
        "## 5. Growth",
        "",
        "Microseconds per evaluation of the log density and its gradient, as the sampler asks for it: by its address,",
        "in the frame at the mode; the median of many in one process (the loop is Python's, and adds about a",
        "microsecond of the foreign call). D-CPT with both losses, so that a row is two measurements; Normal errors.",
        "Rows: one domain, independent errors, no shape prior; factorial: sizes, tokens and shares crossed; ragged:",
        "nothing crosses. Domains: 420 rows each, every coefficient pooled, the default model (correlated errors,",
        "shape prior).",
        "",
        "| | " + " | ".join(("at", "microseconds", "slope of the last step (log-log)")) + " |",
        "|---|---|---|---|",
    ]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    places = {"factorial": (axes[0], "rows"), "ragged": (axes[0], "rows"), "pooled": (axes[1], "domains")}
    for name, (axis, unit) in places.items():
        measured = results.rows("growth", name)
        if not measured:
            continue
        at = np.array(measured[0]["at"])
        micro = 1e6 * np.median([r["seconds"] for r in measured], axis=0)
        slopes = np.diff(np.log(micro)) / np.diff(np.log(at)) if len(at) > 1 else np.array([])
        for x, y, slope in zip(at, micro, ["", *(f"{s:.2f}" for s in slopes)], strict=True):
            lines.append(f"| {name} | {x:,} {unit} | {y:,.0f} | {slope} |")
        label = f"{name}, last slope {slopes[-1]:.2f}" if len(slopes) else name
        axis.loglog(at, micro, "o-", label=label)
        axis.set(xlabel=unit, ylabel="microseconds per gradient")
    for axis in axes:
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "growth.png", dpi=130)
    plt.close(figure)
    return "\n".join([*lines, "", f"![Time per gradient against rows and domains]({folder.name}/growth.png)"])
