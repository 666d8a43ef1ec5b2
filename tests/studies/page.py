"""The page a study writes: what it prints is what the documentation shows."""

import importlib.metadata
import math
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tabulate import tabulate

import bayeslaw as bl
from bayeslaw.workflow import Fit

__all__ = ["BUILD", "DATA", "DOCS", "Page", "convergence", "fitted", "pairs"]

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
"""Public tables that are not part of the package."""
DOCS = ROOT / "docs"
BUILD = ROOT / "build" / "studies"
"""Fits that a study keeps."""


def convergence(fit: Fit) -> dict[str, float]:
    """Return how well a posterior was sampled, and in what time."""
    stats = fit.idata["sample_stats"].to_dataset()
    r_hat, ess = az.rhat(fit.posterior), az.ess(fit.posterior)
    return {
        "seconds": round(fit.seconds),
        "R-hat": max(float(x.max()) for x in r_hat.values()),
        "bulk ESS": round(min(float(x.min()) for x in ess.values())),
        "divergences": int(stats["diverging"].sum()),
        "steps a draw": round(float(stats["n_steps"].mean())),
    }


def pairs(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    """Return a figure of curves, and the two axes of each: of the rate, and below it of the loss."""
    figure = plt.figure(figsize=size, layout="constrained")
    parts: Any = figure.subfigures(rows, columns, squeeze=False)
    return figure, [part.subplots(2, sharex=True, height_ratios=[1, 4]) for part in parts.flat]


def fitted(study: str, name: str, model: bl.Model, *, cores: int | None = None, **sampling: Any) -> Fit:
    """Return the posterior of 4 x 1,000 draws: that of an earlier run of the study, if its model was the same."""
    sampling = {"draws": 1000, "chains": 4, "seed": 1, **sampling}
    path = BUILD / study / f"{name}.nc"
    if path.is_file():
        with warnings.catch_warnings(record=True) as changed:
            kept = bl.load(path)
        priors = [m.coefficient_priors | m.stated_priors for m in (kept.model, model)]
        written = [{name: str(prior) for name, prior in of.items()} for of in priors]
        same = repr(kept.model) == repr(model) and written[0] == written[1]
        same &= kept.model.runs.hash == model.runs.hash and sampling.items() <= kept.settings.items()
        if same and not changed:
            return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    fit = model.fit(progress=False, cores=cores, **sampling)
    fit.save(path)
    return fit


def as_markdown(table: pd.DataFrame, digits: int) -> str:
    """Return a table; a column has decimals for three digits of its range, two of most numbers, one of the small."""
    numeric = [pd.api.types.is_float_dtype(dtype) or pd.api.types.is_integer_dtype(dtype) for dtype in table.dtypes]
    cells = [_cells(table.iloc[:, n], digits if of_numbers else None) for n, of_numbers in enumerate(numeric)]
    return tabulate(
        list(zip(*cells, strict=True)),
        headers=[str(c) for c in table.columns],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if of_numbers else "left" for of_numbers in numeric],
    )


def _cells(column: pd.Series, digits: int | None) -> list[str]:
    if digits is None:
        return ["" if pd.isna(value) else str(value) for value in column]
    values = column.to_numpy(float, na_value=np.nan)
    known = values[np.isfinite(values)]
    decimals = 0
    if (known != known.round()).any():
        small, usual = np.quantile(np.abs(known[known != 0]), [0.1, 0.5])
        width = np.ptp(known) or usual
        needed = [n - math.floor(math.log10(size)) for n, size in enumerate((small, usual, width))]
        decimals = min(max(*needed, 0), digits)
    values = values.round(decimals) + 0.0
    return ["" if np.isnan(value) else f"{value:.{decimals}f}" for value in values]


class Page:
    """A page of `docs/studies`, written piece by piece; each piece is printed as it comes.

    Parameters
    ----------
    name : str
        Name of the study: of its module in `tests/studies`, of its page, and of the folder of its figures.
    title : str
        The heading.
    """

    def __init__(self, name: str, title: str) -> None:
        self.name, self.began = name, time.perf_counter()
        self.figures = DOCS / "studies" / f"{name}_files"
        self.pieces = [f"# {title}"]

    def fit(self, name: str, model: bl.Model, **sampling: Any) -> Fit:
        """Return the posterior of a model, as `fitted` does, kept under the name of this study."""
        return fitted(self.name, name, model, **sampling)

    def text(self, markdown: str) -> None:
        """Add a paragraph or a heading."""
        print(markdown, end="\n\n", flush=True)
        self.pieces.append(markdown)

    def table(self, table: pd.DataFrame, digits: int = 3) -> None:
        """Add a table; its index, where it has a name, is the first column. Numbers have `digits` decimals at most."""
        self.text(as_markdown(table.reset_index() if table.index.names != [None] else table, digits))

    def figure(self, name: str, figure: Figure, alt: str) -> None:
        """Add a figure; `alt` says in words what it shows."""
        self.figures.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.figures / f"{name}.png", dpi=150, bbox_inches="tight")
        self.pieces.append(f"![{alt}]({self.name}_files/{name}.png)")

    def write(self) -> None:
        """Write the page, with the command, the versions and the time it took."""
        versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("bayeslaw", "pymc", "nutpie", "arviz"))
        spent = np.ceil((time.perf_counter() - self.began) / 60)
        command = " ".join([f"python -m tests.studies.{self.name}", *sys.argv[1:]])
        self.pieces.append(
            f"*Written by `{command}` ({versions}; Python {platform.python_version()}; {spent:.0f} minutes beside "
            "other work, fits kept from earlier runs not counted).*"
        )
        target = DOCS / "studies" / f"{self.name}.md"
        beside = target.with_suffix(".part")
        beside.write_text("\n\n".join(self.pieces) + "\n", encoding="utf-8")
        beside.replace(target)
