"""Reports as files: MyST Markdown with its figures beside it, or one HTML page, from the same template."""

import base64
import io
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bayeslaw.base.files import replacing, replacing_folder
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.progress import Bar, bar
from bayeslaw.base.words import counted, label
from bayeslaw.errors import StoreError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.content import content
from bayeslaw.reporting.figures import Picture
from bayeslaw.reporting.page import DPI, EQUATION, page
from bayeslaw.reporting.several import several

__all__ = ["write"]


def write(
    fits: Posterior | Mapping[str, Posterior],
    path: str | Path,
    *,
    title: str | None,
    about: str,
    question: Mapping[str, Any] | None,
    published: Mapping[str, Any] | None,
    progress: bool,
) -> Path:
    """Write a report; see `bayeslaw.report`."""
    path = Path(path)
    if path.suffix not in (".md", ".html"):
        raise StoreError(f"a report is Markdown or HTML: give a path that ends in .md or .html, not {str(path)!r}")
    with replacing(path) as text, bar("report", 0, show=progress) as shown:
        if isinstance(fits, Mapping):
            name, usual, said = "several.md.jinja", "Fits side by side", several(fits, question, shown)
        else:
            name, usual = "report.md.jinja", f"{fits.model.law.title}: report of a fit"
            said = content(fits, question, published, shown)
        title = title or usual
        said |= {"title": title, "about": about, "prob": CI_PROB, "today": date.today().isoformat()}
        if path.suffix == ".html":
            equations: list[str] = []

            def keep(equation: str) -> str:
                equations.append(equation)
                return EQUATION

            written = _rendered(
                name, said, lambda p: f"data:image/png;base64,{base64.b64encode(_png(p)).decode()}", keep, shown
            )
            text.write_text(page(written, title, equations), encoding="utf-8")
            return path
        with replacing_folder(path.with_name(f"{path.stem}_files")) as folder:

            def beside(picture: Picture) -> str:
                (folder / f"{picture.name}.png").write_bytes(_png(picture))
                return quote(f"{path.stem}_files/{picture.name}.png")

            text.write_text(_rendered(name, said, beside, lambda e: f"$$ {e} $$", shown), encoding="utf-8")
    return path


def _png(picture: Picture) -> bytes:
    figure, buffer = picture.draw(), io.BytesIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(buffer)  # Figure.savefig would draw it once more to find its size
    return buffer.getvalue()


def _rendered(name: str, said: Mapping[str, Any], source: Any, equation: Any, bar: Bar) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayeslaw.reporting"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )

    def picture(drawn: Picture) -> str:
        written = f"![{_text(drawn.alt).replace(']', chr(92) + ']')}]({source(drawn)})"
        bar.step()
        return written

    filters = {"text": _text, "table": _table, "sentence": _sentence, "counted": counted}
    environment.filters |= filters | {"picture": picture, "equation": equation}
    return environment.get_template(name).render(said)


def _text(value: object) -> str:
    """Return a value as Markdown text, with the special characters escaped.

    Underscores within a word, as in new_run, mean nothing and stay.
    """
    return re.sub(r"([\\`*{}\[<>|$#~&]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(str(value).split()))


def _sentence(value: str) -> str:
    text = _text(value)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?")) else ".")


def _table(frame: pd.DataFrame) -> str:
    rule = ["---:" if pd.api.types.is_numeric_dtype(dtype) else "---" for dtype in frame.dtypes]
    written = {c: ["" if v != v else _text(label(c, v)) for v in values] for c, values in frame.items()}
    rows = zip(*written.values(), strict=True)
    return "\n".join("| " + " | ".join(row) + " |" for row in (map(_text, frame.columns), rule, *rows))
