"""Part 3, continued: when sampling starts, and what it takes to import the package and to call its program."""

import os
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks import readme, small_tables
from tests.benchmarks.results import Asked, Goal, Results, Row, median, spread

MODELS = {"small": ("28 rows", 0.2), "readme": ("the README's model", 0.5)}
"""What is fitted, and the seconds after which sampling is to start."""

COMMANDS = {
    "numpy, scipy, pandas": ["-c", "import numpy, pandas, scipy.optimize, scipy.stats"],
    "import bayeslaw": ["-c", "import bayeslaw"],
    "bayeslaw --help": ["-m", "bayeslaw.cli", "--help"],
    "bayeslaw laws dcpt": ["-m", "bayeslaw.cli", "laws", "dcpt"],
}
MOST_SECONDS = {"import bayeslaw": 1.0, "bayeslaw --help": 0.3, "bayeslaw laws dcpt": 1.0}


def measure(results: Results) -> None:
    """Measure first fits with filled caches, and the commands turn by turn."""
    results.measure("starting", *(Asked("first_fit", {"of": name}, ("filled",) * results.runs) for name in MODELS))
    results.measure("starting", *(Asked("command", {"name": name}, ("own",) * results.runs) for name in COMMANDS))


def noting_start() -> list[float]:
    """Return a list to which every fit from now on adds the time (`time.perf_counter`) at which sampling starts."""
    import nutpie

    started: list[float] = []
    sample = nutpie.sample

    def noted(*given: Any, **settings: Any) -> Any:
        started.append(time.perf_counter())
        return sample(*given, **settings)

    nutpie.sample = noted
    return started


def first_fit(of: str, seed: int) -> Row:
    """Return the seconds from the first call of `fit` to the start of sampling, and those of imports before it."""
    start = time.perf_counter()
    import bayeslaw.sampler.sampling  # noqa: F401

    started, imported = noting_start(), time.perf_counter()
    model = small_tables.model() if of == "small" else readme.model()
    called = time.perf_counter()
    model.fit(draws=10, tune=10, seed=seed, progress=False)
    return {"finished": time.time(), "seconds": started[0] - called, "importing": imported - start}


def command(name: str, seed: int) -> Row:
    """Run a command of Python; the time of the processor counts what its threads take, too."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *COMMANDS[name]], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"finished": time.time(), "seconds": seconds, "cpu": cpu}


def goals(results: Results) -> list[Goal]:
    """Compare with the seconds asked for."""
    found = []
    for name, (words, most) in MODELS.items():
        seconds = median(results.rows("starting", "first_fit", of=name), "seconds")
        text = f"first fit of a process with filled caches, {words}, from `fit` to the start of sampling"
        found.append(Goal.at_most(text, seconds, most, "s"))
    for name, most in MOST_SECONDS.items():
        cpu = median(results.rows("starting", "command", name=name), "cpu")
        found.append(Goal.at_most(f"`{name}`, time of the processor", cpu, most, "s"))
    return found


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "### The start of sampling",
        "",
        "First fit of a process that finds what an earlier one compiled: from the call of `fit` to the start of the",
        "chains (model built before, everything imported: the other column).",
        "",
        "| model | start of sampling after | imports |",
        "|---|---|---|",
    ]
    for name, (words, _) in MODELS.items():
        rows = results.rows("starting", "first_fit", of=name)
        lines.append(f"| {words} | {spread(rows, 'seconds', 2)} | {spread(rows, 'importing', 2)} |")
    lines += ["", "### Imports and the program", "", "| process | processor | wall |", "|---|---|---|"]
    for name in COMMANDS:
        rows = results.rows("starting", "command", name=name)
        lines.append(f"| `{name}` | {spread(rows, 'cpu', 2)} | {spread(rows, 'seconds', 2)} |")
    return "\n".join(lines)
