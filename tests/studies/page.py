"""The page a study writes: what it prints is what the documentation shows."""

import importlib.metadata
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

__all__ = ["DATA", "DOCS", "Page"]

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
"""Public tables that are not part of the package."""
DOCS = ROOT / "docs"


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

    def text(self, markdown: str) -> None:
        """Add a paragraph or a heading."""
        print(markdown, end="\n\n", flush=True)
        self.pieces.append(markdown)

    def table(self, table: pd.DataFrame, digits: int = 3) -> None:
        """Add a table; its index, where it has a name, is the first column."""
        table = table.reset_index() if table.index.names != [None] else table
        print(table.to_string(index=False, float_format=f"{{:.{digits}f}}".format), end="\n\n", flush=True)
        self.pieces.append(table.to_markdown(index=False, floatfmt=f".{digits}f"))

    def figure(self, name: str, figure: Figure, alt: str) -> None:
        """Add a figure; `alt` says in words what it shows."""
        self.figures.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.figures / f"{name}.png", dpi=150, bbox_inches="tight")
        self.pieces.append(f"![{alt}]({self.name}_files/{name}.png)")

    def write(self) -> None:
        """Write the page, with the command, the versions and the time it took."""
        versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("bayeslaw", "pymc", "nutpie", "arviz"))
        spent = np.ceil((time.perf_counter() - self.began) / 60)
        self.pieces.append(
            f"*Written by `python -m tests.studies.{self.name}` ({versions}; Python {platform.python_version()}; "
            f"{spent:.0f} minutes on a machine that also did other things).*"
        )
        target = DOCS / "studies" / f"{self.name}.md"
        beside = target.with_suffix(".part")
        beside.write_text("\n\n".join(self.pieces) + "\n", encoding="utf-8")
        beside.replace(target)
