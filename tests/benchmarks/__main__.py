"""Measure, keep the raw results, write the page: ``python -m tests.benchmarks --help``, or ``make bench``."""

import argparse
from pathlib import Path

from tests.benchmarks import bootstrap, growth, page, predictions, robust, small_tables, yardstick
from tests.benchmarks.results import ROOT, Results


def main() -> None:
    """Run the parts asked for; the page is written anew after each."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Benchmarks of bayeslaw.")
    parts = ["small_tables", "robust", "growth", "predictions", "bootstrap", "yardstick"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to measure")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes per figure")
    parser.add_argument("--yardstick-runs", type=int, default=1, help="runs of the textbook model, ten minutes each")
    parser.add_argument(
        "--textbook", nargs="*", choices=["normal", "student_t"], default=["normal"], help="its likelihoods"
    )
    parser.add_argument("--points", type=int, default=100_000, help="points to predict at; a million takes long")
    parser.add_argument("--resume", action="store_true", help="keep what the same code measured on this machine")
    parser.add_argument("--tiny", action="store_true", help="try the programs; the figures mean nothing")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md", help="the page to write")
    asked = parser.parse_args()
    file = asked.page.with_name(f"{asked.page.stem}_files") / "results.jsonl"
    results = Results(file, asked.resume, asked.runs, asked.tiny)
    for name, module in (
        ("small_tables", small_tables),
        ("robust", robust),
        ("growth", growth),
        ("bootstrap", bootstrap),
    ):
        if name in asked.only:
            module.measure(results)
            page.write(results, asked.page)
    if "predictions" in asked.only:
        predictions.measure(results, asked.points)
        page.write(results, asked.page)
    if "yardstick" in asked.only:
        yardstick.measure(results, asked.yardstick_runs, asked.textbook)
    print(page.write(results, asked.page).read_text())


if __name__ == "__main__":
    main()
