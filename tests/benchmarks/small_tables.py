"""Parts 3 and 4: a small table from the import to a checked posterior, and the fits after the first one."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.results import ROOT, Goal, Results, Row, spread

PEER = "simple-scaling-laws==0.2.0"
ENVIRONMENT = ROOT / "build/peer"
TRUTH = {"E": 1.8, "A": 0.36, "alpha": 0.35, "B": 0.42, "beta": 0.36}
SIZES = np.geomspace(5e7, 2e9, 7)
TOKENS = np.geomspace(1e9, 5e10, 4)


def measure(results: Results) -> None:
    """Measure ours with empty and with filled caches, and the peer where it can be installed."""
    draws = 50 if results.tiny else 1000
    results.measure("small_tables", "posterior", caches=("empty", "filled"), draws=draws)
    if _installed():
        results.measure("small_tables", "peer", draws=draws)


def _installed() -> bool:
    """Install the peer in an environment of its own under build/, unless it is there or cannot be had."""
    program = ENVIRONMENT / "bin/scaling-laws"
    if not program.is_file():
        install = [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "-qq", "--only-binary", ":all:", PEER]
        for command in ([sys.executable, "-m", "venv", str(ENVIRONMENT)], install):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                print(f"small_tables: {PEER} cannot be installed, so it is left out")
                return False
    return program.is_file()


def rows() -> dict[str, list[float]]:
    """Simulate 28 runs of the Chinchilla law: N, D and loss."""
    N, D = (a.ravel() for a in np.meshgrid(SIZES, TOKENS, indexing="ij"))
    t = TRUTH
    loss = t["E"] + t["A"] * (N / 1e9) ** -t["alpha"] + t["B"] * (D / 1e10) ** -t["beta"]
    loss *= np.exp(np.random.default_rng(0).normal(0, 0.004, len(N)))
    return {"N": N.tolist(), "D": D.tolist(), "loss": loss.tolist()}


def posterior(draws: int, seed: int) -> Row:
    """Import, fit, check; then refit without each of five parts of the runs."""
    measured = rows()
    start = time.perf_counter()
    import bayeslaw as bl
    from bayeslaw import models

    imported = time.perf_counter()
    import pandas as pd

    table = pd.DataFrame(measured).assign(run=[f"run {i}" for i in range(len(measured["N"]))])
    model = bl.Model(models.chinchilla, bl.read_runs(table))
    fit = model.fit(draws=draws, seed=seed, progress=False)
    fitted = time.perf_counter()
    checks = fit.checks()
    checked, finished = time.perf_counter(), time.time()
    refits = bl.evaluate(model, bl.splits.runs(5), draws=draws, seed=seed)
    convergence = next(c for c in checks if c.name == "convergence")
    return {
        "finished": finished,
        "seconds": checked - start,
        "importing": imported - start,
        "fitting": fitted - imported,
        "checking": checked - fitted,
        "refits": refits.folds["seconds"].tolist(),
        "convergence": convergence.text,
        "converged": bool(convergence.passed),
    }


def peer(draws: int, seed: int) -> Row:
    """Fit the same rows with the peer's program."""
    measured = rows()
    names = {"N": "model_size__n_params", "D": "dataset_size__n_tokens", "loss": "test_loss__cross_entropy"}
    lines = [",".join(["training_run_id", "test_set_id", *names.values()])]
    lines += [f"run{i},0,{N!r},{D!r},{loss!r}" for i, (N, D, loss) in enumerate(zip(*measured.values(), strict=True))]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "runs.csv"
        table.write_text("\n".join(lines) + "\n")
        command = [str(ENVIRONMENT / "bin/scaling-laws"), "fit", str(table), "--output", f"{folder}/runs.slaw"]
        start = time.perf_counter()
        subprocess.run([*command, "--draws", str(draws), "--seed", str(seed), "--quiet"], check=True, stdout=sys.stderr)
        return {"seconds": time.perf_counter() - start, "finished": time.time()}


def goals(results: Results) -> list[Goal]:
    """Compare with the seconds asked for, and the refits with the first fit."""
    found = []
    for caches, words, most in (("empty", "in a fresh process", 12.0), ("filled", "in a later process", 8.0)):
        mine = [r["seconds"] for r in results.rows("small_tables", "posterior", caches=caches)]
        text = f"28 rows, from the import to a checked posterior {words}: under {most:g} s"
        measured = f"{np.median(mine):.1f} s" if mine else "not measured"
        found.append(Goal(text, measured, bool(np.median(mine) < most) if mine else None))
    ratios = _ratios(results.rows("small_tables", "posterior", caches="empty"))
    text = "a refit on new data against the first fit, caches empty: at least 10 times faster"
    measured = f"{np.median(ratios):.1f} times" if ratios else "not measured"
    found.insert(0, Goal(text, measured, bool(np.median(ratios) >= 10) if ratios else None))
    return found


def _ratios(measured: list[Row]) -> list[float]:
    return [r["fitting"] / float(np.median(r["refits"])) for r in measured]


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "## 3. The second fit does not compile",
        "",
        "The table of part 4 (28 rows, simulated) in one process: `model.fit`, then `bl.evaluate` with five folds,",
        "each a refit of 4 x 1,000 draws.",
        "",
        "| caches of compiled code | first fit | refit (median of each process) | ratio |",
        "|---|---|---|---|",
    ]
    for caches in ("empty", "filled"):
        mine = results.rows("small_tables", "posterior", caches=caches)
        if mine:
            refits = [{"s": float(np.median(r["refits"]))} for r in mine]
            ratio = f"{np.median(_ratios(mine)):.1f}"
            lines.append(f"| {caches} | {spread(mine, 'fitting')} | {spread(refits, 's')} | {ratio} |")
    lines += [
        "",
        "## 4. Small tables",
        "",
        "28 rows of the Chinchilla law, simulated; from `import bayeslaw` to a checked posterior with 4 x 1,000 draws.",
        f"The peer ({PEER}, `scaling-laws fit`, a bootstrap with 1,000 draws) is timed as a process.",
        "",
        "| | whole | import | fit | checks | whole process |",
        "|---|---|---|---|---|---|",
    ]
    for caches, words in (("empty", "fresh process, caches empty"), ("filled", "later process, caches filled")):
        mine = results.rows("small_tables", "posterior", caches=caches)
        if mine:
            cells = [spread(mine, k) for k in ("seconds", "importing", "fitting", "checking", "process_seconds")]
            lines.append(f"| {words} | {' | '.join(cells)} |")
    theirs = results.rows("small_tables", "peer")
    lines.append(f"| peer | {spread(theirs, 'seconds') if theirs else 'could not be installed'} | | | | |")
    mine = results.rows("small_tables", "posterior")
    passed = sum(r["converged"] for r in mine)
    lines += ["", f"The convergence check passed in {passed} of {len(mine)} processes." if mine else "Not measured."]
    return "\n".join(lines)
