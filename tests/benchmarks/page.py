"""The page of the benchmarks, written from the raw results and from nothing else."""

from pathlib import Path

from tests.benchmarks import (
    bootstrap,
    growth,
    large,
    predictions,
    readme,
    robust,
    small_tables,
    starting,
    yardstick,
)
from tests.benchmarks.results import Goal, Results

__all__ = ["write"]

ASKED = (bootstrap, small_tables, starting, readme, yardstick, predictions, large, robust)
"""The parts in the order of what was asked for."""

SECTIONS = (yardstick, bootstrap, small_tables, starting, readme, growth, large, predictions, robust)


def write(results: Results, path: Path) -> Path:
    """Write the page, its figure beside it."""
    found = [goal for part in ASKED for goal in part.goals(results)]
    lines = [
        "# Benchmarks",
        "",
        "`make bench` measures all of this side by side and writes this page; nobody edits it. Figures are medians",
        "over fresh processes, with their range; a single run is called one. All data are simulated. Models are laws",
        "alone (`misfit=None`), which is what the others fit, where nothing else is said.",
        "",
        *_machine(results),
        "",
        "| asked for | measured | |",
        "|---|---|---|",
        *(f"| {g.text} | {g.measured} | {_verdict(g)} |" for g in found),
    ]
    folder = path.with_name(f"{path.stem}_files")
    sections = [growth.section(results, folder) if p is growth else p.section(results) for p in SECTIONS]
    path.write_text("\n\n".join(["\n".join(lines), *sections]) + "\n")
    return path


def _verdict(goal: Goal) -> str:
    return {True: "reached", False: "**missed**", None: ""}[goal.met]


def _machine(results: Results) -> list[str]:
    abouts = {str(r["about"]): r["about"] for r in results.all}
    lines = []
    for about in {(a["processor"], a["cores"], a["python"], str(a["versions"])): a for a in abouts.values()}.values():
        versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
        machine = f"{about['processor']}, {about['cores']} cores, {about['system']}"
        lines.append(f"Machine: {machine}. Python {about['python']}, {versions}.")
    load = max((r["load"] for r in results.all), default=0.0)
    lines.append(f"Highest load average at the start of a measurement: {load:.1f} (the benchmark itself included).")
    return lines
