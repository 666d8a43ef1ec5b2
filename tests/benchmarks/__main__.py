"""Measure, keep the raw results, write the page: ``python -m tests.benchmarks --help``, or ``make bench``."""

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    bootstrap,
    growth,
    large,
    page,
    predictions,
    readme,
    robust,
    small_tables,
    starting,
    yardstick,
)
from tests.benchmarks.results import ROOT, Results

PARTS: dict[str, Callable[[Results, argparse.Namespace], None]] = {
    "small_tables": lambda results, _: small_tables.measure(results),
    "starting": lambda results, _: starting.measure(results),
    "readme": lambda results, _: readme.measure(results),
    "robust": lambda results, _: robust.measure(results),
    "growth": lambda results, _: growth.measure(results),
    "bootstrap": lambda results, _: bootstrap.measure(results),
    "yardstick": lambda results, asked: yardstick.measure(results, asked.yardstick_runs, asked.textbook),
    "predictions": lambda results, asked: predictions.measure(results, asked.points),
    "large": lambda results, _: large.measure(results),
}


def main() -> None:
    """Run the parts asked for; the page is written anew after each."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Benchmarks of bayeslaw.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes per figure")
    parser.add_argument("--yardstick-runs", type=int, default=1, help="runs of the textbook model, ten minutes each")
    parser.add_argument(
        "--textbook",
        nargs="*",
        choices=list(yardstick.LIKELIHOODS),
        default=[],
        help="measure it anew, with these",
    )
    parser.add_argument("--points", type=int, default=predictions.ASKED, help="points to predict at, at most")
    parser.add_argument("--resume", action="store_true", help="keep what the same code measured on this machine")
    parser.add_argument("--tiny", action="store_true", help="try the programs; the figures mean nothing")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md", help="the page to write")
    asked = parser.parse_args()
    file = asked.page.with_name(f"{asked.page.stem}_files") / "results.jsonl"
    results = Results(file, asked.resume, asked.runs, asked.tiny)
    for name in asked.only:
        PARTS[name](results, asked)
        page.write(results, asked.page)
    print(page.write(results, asked.page).read_text())


if __name__ == "__main__":
    main()
