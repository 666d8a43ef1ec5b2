"""Part 3: a small table from the import to a checked posterior, beside a peer; the second fit, and a report."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.results import ROOT, Asked, Goal, Results, Row, median, ratio, spread

PEER = "simple-scaling-laws==0.2.0"
PEERS, OURS = ROOT / "build/peer", ROOT / "build/own"
"""Environments of the peer and of bayeslaw, each with what it needs itself: what others bring is imported too."""

TRUTH = {"E": 1.8, "A": 0.36, "alpha": 0.35, "B": 0.42, "beta": 0.36}
SIZES = np.geomspace(5e7, 2e9, 7)
TOKENS = np.geomspace(1e9, 5e10, 4)


def measure(results: Results) -> None:
    """Measure ours with empty and with filled caches, and the peer, where it can be installed, turn by turn."""
    draws, asked = 50 if results.tiny else 1000, []
    if _installed(OURS, "-c", str(ROOT / "constraints.txt"), str(ROOT)):
        caches = ("empty", *("filled",) * results.runs)
        asked.append(Asked("posterior", {"draws": draws}, caches, python=OURS / "bin/python"))
    if peer_installed():
        asked.append(Asked("peer", {"draws": draws}, ("own",) * results.runs))
    results.measure("small_tables", *asked)


def peer_installed() -> bool:
    """Install the peer, unless it is there or cannot be had."""
    return _installed(PEERS, "--only-binary", ":all:", PEER)


def _installed(environment: Path, *what: str) -> bool:
    """Install a package in an environment of its own, unless that is there; return whether it can be had."""
    done = environment / ".installed"
    if not done.is_file():
        install = [str(environment / "bin/python"), "-m", "pip", "install", "-qq", *what]
        for command in ([sys.executable, "-m", "venv", str(environment)], install):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                print(f"small_tables: {what[-1]} cannot be installed, so it is left out")
                return False
        done.touch()
    return True


def rows() -> dict[str, list[float]]:
    """Simulate 28 runs of the Chinchilla law: N, D and loss."""
    N, D = (a.ravel() for a in np.meshgrid(SIZES, TOKENS, indexing="ij"))
    t = TRUTH
    loss = t["E"] + t["A"] * (N / 1e9) ** -t["alpha"] + t["B"] * (D / 1e10) ** -t["beta"]
    loss *= np.exp(np.random.default_rng(0).normal(0, 0.004, len(N)))
    return {"N": N.tolist(), "D": D.tolist(), "loss": loss.tolist()}


def model() -> Any:
    """Return the model of the rows."""
    import pandas as pd

    import bayeslaw as bl
    from bayeslaw import models

    measured = rows()
    table = pd.DataFrame(measured).assign(run=[f"run {i}" for i in range(len(measured["N"]))])
    return bl.Model(models.chinchilla, bl.read_runs(table), misfit=None)


def posterior(draws: int, seed: int) -> Row:
    """Import, fit, check; then once more, with a report."""
    start = time.perf_counter()
    import bayeslaw  # noqa: F401

    marks = [start, time.perf_counter()]

    def since() -> float:
        marks.append(time.perf_counter())
        return marks[-1] - marks[-2]

    small = model()
    fit = small.fit(draws=draws, seed=seed, progress=False)
    fitting = since()
    checks = fit.checks()
    checking, finished = since(), time.time()
    whole = marks[-1] - start
    second = small.fit(draws=draws, seed=seed + 1000, progress=False)
    fitting_again = since()
    second.checks()
    checking_again = since()
    with tempfile.TemporaryDirectory() as folder:
        second.report(f"{folder}/report.md", progress=False)
    convergence = next(c for c in checks if c.name == "convergence")
    return {
        "finished": finished,
        "seconds": whole,
        "importing": marks[1] - start,
        "fitting": fitting,
        "checking": checking,
        "fitting_again": fitting_again,
        "checking_again": checking_again,
        "reporting": since(),
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
        command = [str(PEERS / "bin/scaling-laws"), "fit", str(table), "--output", f"{folder}/runs.slaw"]
        start = time.perf_counter()
        subprocess.run([*command, "--draws", str(draws), "--seed", str(seed), "--quiet"], check=True, stdout=sys.stderr)
        return {"seconds": time.perf_counter() - start, "finished": time.time()}


def goals(results: Results) -> list[Goal]:
    """Compare with the peer, and checks and report with the seconds asked for."""
    mine = results.rows("small_tables", "posterior", caches="filled")
    theirs = median(results.rows("small_tables", "peer"), "seconds")
    text = "28 rows, import to checked posterior in a later process, against the whole process of simple-scaling-laws"
    return [
        Goal.at_most(text, ratio(median(mine, "seconds"), theirs), 1.2),
        Goal.at_most("checks of 28 rows after the first", median(mine, "checking_again"), 0.5, "s"),
        Goal.at_most("report of 28 rows", median(mine, "reporting"), 3, "s"),
    ]


def section(results: Results) -> str:
    """Write the part's section."""
    columns = ("seconds", "importing", "fitting", "checking", "process_seconds")
    again = ("fitting_again", "checking_again", "reporting")
    lines = [
        "## 3. Small tables",
        "",
        "28 rows of the Chinchilla law, simulated; from `import bayeslaw` to a checked posterior with 4 x 1,000 draws;",
        "then a second fit of the process, its checks, and the first report of the process (its figures drawn; the",
        "checks are those just made).",
        f"The peer ({PEER}, `scaling-laws fit`, a bootstrap with 1,000 draws) is timed as a process, turn by turn.",
        "Each is installed in an environment of its own, with what it needs and nothing else.",
        "",
        "| | whole | import | fit | checks | whole process | second fit | its checks | report |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for caches, words in (("empty", "fresh process, caches empty"), ("filled", "later process, caches filled")):
        mine = results.rows("small_tables", "posterior", caches=caches)
        lines.append(f"| {words} | {' | '.join(spread(mine, k, 2) for k in (*columns, *again))} |")
    theirs = results.rows("small_tables", "peer")
    lines.append(f"| peer | {spread(theirs, 'seconds', 2) if theirs else 'could not be installed'} {'| ' * 7}|")
    mine = results.rows("small_tables", "posterior")
    passed = sum(r["converged"] for r in mine)
    lines += ["", f"The convergence check passed in {passed} of {len(mine)} processes." if mine else "Not measured."]
    return "\n".join(lines)
