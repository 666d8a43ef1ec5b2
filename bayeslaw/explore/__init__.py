"""An HTML page with a slider for every column of a law and the bands of its losses: one file without a server."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from bayeslaw.base.arguments import checked
from bayeslaw.base.files import check_writable, replacing
from bayeslaw.errors import RangeError, StoreError
from bayeslaw.posterior.draws import Posterior

__all__ = ["PARTS", "explore", "javascript"]

PARTS = (
    *("uPlot.LICENSE", "uPlot.iife.min.js", "uPlot.min.css", "page.css"),
    *("engine.js", "state.js", "sliders.js", "figure.js", "page.js"),
)
"""Files that the page is made of, the scripts in their order."""


@checked
def explore(fit: Posterior, path: str | Path, *, title: str | None = None, draws: int = 300) -> Path:
    """Write a page with a slider for every column of the law, and the bands of all losses at these values.

    The page computes by itself, with draws of the posterior and the law's own formula: no server and no network. It has
    the measured runs, the critical ratio for a limit that is typed in, and a link that keeps its state.

    Parameters
    ----------
    path : path
        The file, ``.html``.
    title : str, optional
        The heading; by default the law.
    draws : int
        Draws that travel in the page, about; fewer where a draw has very many coefficients.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    StoreError
        The path cannot be written, or does not end in .html.
    LawError
        The body of the law uses more than the algebra of laws.
    RangeError
        `draws` is below 1.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise StoreError(f"the page {str(path)!r} is no HTML file: give a path that ends in .html")
    if draws < 1:
        raise RangeError(f"draws is {draws}: give at least 1")
    check_writable(path)
    from bayeslaw.explore.contents import contents, formulas, travelling
    from bayeslaw.posterior.cautions import cautions

    few = travelling(fit, draws)
    page = _page(title or fit.model.law.title, formulas(few), {"cautions": cautions(fit), **contents(few)})
    with replacing(path, len(page)) as file:
        file.write_text(page, encoding="utf-8")
    return path


def _page(title: str, formulas: Mapping[str, Mapping[str, str]], content: Mapping[str, Any]) -> str:
    """Return the page: its parts, the formulas as functions, and what they compute with."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("bayeslaw.explore"), undefined=StrictUndefined)
    folder = resources.files("bayeslaw.explore") / "templates"
    parts = {name: (folder / name).read_text(encoding="utf-8") for name in PARTS}
    shown = {"title": title, "laws": javascript(formulas), "content": _script(content)}
    return environment.get_template("explore.html.jinja").render(parts=parts, **shown)


def javascript(formulas: Mapping[str, Mapping[str, str]]) -> str:
    """Return the formulas of every role as an object of functions."""
    functions = (
        f"{_script(role)}: {{loss: (x, c) => {text['loss']}, inside: (x) => {text['inside']}}}"
        for role, text in formulas.items()
    )
    return f"{{{', '.join(functions)}}}"


def _script(value: Any) -> str:
    """Return a value as JavaScript that may stand in a page: no text of it ends the script."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
