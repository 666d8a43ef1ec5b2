"""The report of a fit, for analysts: MyST Markdown with its figures beside it, or one HTML file. A face.

One template makes both: the HTML is the rendered Markdown in a page of its own.
"""

import base64
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.checks import beside_papers_fit
from bayeslaw.errors import BayeslawError, StoreError
from bayeslaw.note import SURE, Answer, answer, coefficients, critical_ratios
from bayeslaw.quantity import CI_PROB
from bayeslaw.sensitivity import FEWEST, sensitivity
from bayeslaw.words import amount

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayeslaw.fit import Fit

__all__ = ["critical_ratios", "replacing", "write_report"]

MOST = 12
"""A figure has at most this many panels."""


def write_report(fit: "Fit", path: str | Path, *, question: Mapping[str, Any] | None = None) -> Path:
    """Write a report of a fit.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    path : path
        The report. ``.md``: MyST Markdown, its figures in the folder ``<stem>_files`` beside it; ``.html``: one file
        that needs nothing else.
    question : mapping, optional
        Arguments of `Fit.critical_ratio` (``max_rise``, ``max_increase``, ``baseline``, ``N``, ``D``, ``domain``) in
        place of the two standard limits: no rise, and 1 %.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    StoreError
        The path cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".md", ".html"):
        raise StoreError(f"a report is Markdown or HTML: give a path that ends in .md or .html, not {str(path)!r}")
    with replacing(path) as text:
        content = _content(fit, question)
        pictures, equation = content.pop("pictures"), fit.model.law.equation
        if path.suffix == ".html":
            from bayeslaw.page import EQUATION, page

            inlined = {name: f"data:image/png;base64,{_png(figure)}" for name, figure in pictures.items()}
            markdown = _template().render(content, figures=inlined, equation=EQUATION)
            text.write_text(page(markdown, fit.model.law.title, equation), encoding="utf-8")
            return path
        with _replacing_folder(path.with_name(f"{path.stem}_files")) as folder:
            for name, figure in pictures.items():
                figure.savefig(folder / f"{name}.png", dpi=150)
            beside = {name: f"{path.stem}_files/{name}.png" for name in pictures}
            text.write_text(_template().render(content, figures=beside, equation=f"$$ {equation} $$"), encoding="utf-8")
    return path


def _content(fit: "Fit", question: Mapping[str, Any] | None) -> dict[str, Any]:
    """Everything that the template names, the figures as `pictures`."""
    found = answer(fit, question)
    checks = list(fit.checks())
    if fit.settings.get("method") != "mle":
        checks.append(beside_papers_fit(fit))
    many = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] >= FEWEST
    return {
        "law": fit.model.law,
        "model": fit.model,
        "answer": found,
        "passed": [c for c in checks if c.passed],
        "failed": [c for c in checks if not c.passed],
        "coefficients": coefficients(fit),
        "sensitivity": _sensitivity(fit, found) if many else None,
        "pictures": _figures(fit, found.ratios),
        "facts": fit.model.runs._facts(),
        "noise": fit.model.describe_noise(),
        "provenance": fit.provenance(),
        "prob": CI_PROB,
        "sure": SURE,
        "today": date.today().isoformat(),
    }


def _sensitivity(fit: "Fit", found: Answer) -> pd.DataFrame:
    draws = pd.Index(found.draws, name="answer")
    table = sensitivity(fit, xr.concat(found.draws.values(), draws, coords="minimal").to_dataset(name="draws"))
    return table.set_axis(draws).reset_index()


def _figures(fit: "Fit", ratios: pd.DataFrame | None) -> dict[str, "Figure"]:
    """Draw the figures of a report, by name."""
    from bayeslaw import plots

    design, figures = fit.model.design, {}
    if {"N", "D", "domain_share"} <= set(fit.model.law.columns):
        D, domains = design.levels["D"].max(), list(design.groups.get("domain", [None]))
        panels = [(N, domain) for N in design.levels["N"] for domain in domains]
        figures["shares"] = _grid(panels, lambda at, ax: plots.plot_shares(fit, at[0], D, ax, domain=at[1]))
    else:
        figures["predictions"] = _grid([fit], plots.plot_fit, height=3.6, width=6.0)
    if ratios is not None:
        rows = list(ratios.to_dict("records"))
        figures["critical-ratio"] = _grid(
            rows, lambda row, ax: plots.plot_critical_ratio(row["ratio"], ax, _title(row)), width=2.6, height=2.3
        )
    figures["coefficients"] = _grid([fit], plots.plot_prior_posterior, height=3.6, width=6.0)
    return figures


def _title(row: Mapping[str, Any]) -> str:
    size = [f"N = {amount(row['N'])}"] if "N" in row else []
    return ", ".join([*size, *([row["domain"]] if "domain" in row else []), row["limit"]])


def _grid(panels: list[Any], draw: Callable[[Any, Any], Any], width: float = 3.2, height: float = 2.5) -> "Figure":
    from matplotlib.figure import Figure

    panels = [panels[i] for i in np.unique(np.linspace(0, len(panels) - 1, MOST).round().astype(int))]
    across = min(len(panels), 2 if len(panels) in (2, 4) else 4 if len(panels) % 4 == 0 else 3)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        draw(panel, ax)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _png(figure: "Figure") -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return base64.b64encode(buffer.getvalue()).decode()


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayeslaw"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"text": _text, "table": _table, "sentence": _sentence}
    return environment.get_template("report.md.jinja")


def _text(value: object) -> str:
    """Escape what Markdown would read as a command: names in a user's table are only ever text."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}" if abs(value) >= 1000 else f"{value:.3g}"
    return re.sub(r"([\\`*{}\[<>|$#])", r"\\\1", " ".join(str(value).split()))


def _sentence(value: str) -> str:
    text = _text(value)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?")) else ".")


def _table(frame: pd.DataFrame) -> str:
    rule = ["---:" if pd.api.types.is_numeric_dtype(dtype) else "---" for dtype in frame.dtypes]
    rows = [
        [_text(c) for c in frame.columns],
        rule,
        *([_text(v) for v in row] for row in frame.itertuples(index=False)),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when all went well and disappears when not.

    Raises
    ------
    StoreError
        The folder cannot be made or written to, or `path` is a folder.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder: give the name of a file")
    folder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=path.parent))
        yield folder / path.name
        (folder / path.name).replace(path)
    except OSError as e:
        if isinstance(e, BayeslawError):
            raise
        raise StoreError(f"cannot write {path}: {e.strerror or e}") from e
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move to `target` when all went well."""
    folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=target.parent))
    try:
        yield folder
        target.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.replace(target / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
