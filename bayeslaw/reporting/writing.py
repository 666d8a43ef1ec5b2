"""Reports as files: MyST Markdown with its figures beside it, or one HTML page, from the same template."""

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
from bayeslaw.base.numbers import as_share, level
from bayeslaw.base.progress import Bar, bar
from bayeslaw.base.words import counted, label, place
from bayeslaw.errors import StoreError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.answer import Verdict
from bayeslaw.reporting.content import content
from bayeslaw.reporting.figures import Picture
from bayeslaw.reporting.page import DPI, MARK, badge, drawn, figure, fold, page
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
        raise StoreError(
            f"the report {str(path)!r} is neither Markdown nor HTML: give a path that ends in .md or .html"
        )
    with replacing(path) as text, bar("report", 0, show=progress) as shown:
        if isinstance(fits, Mapping):
            name, said = "several.md.jinja", several(fits, question, shown)
        else:
            name, said = "report.md.jinja", content(fits, question, published, shown)
        said |= {"about": about, "prob": CI_PROB, "today": date.today().isoformat()}
        said["title"] = title or said["title"]
        if path.suffix == ".html":
            pieces = Pieces()
            written = _rendered(name, said, pieces, shown)
            text.write_text(page(written, said["title"], pieces.kept), encoding="utf-8")
            return path
        with replacing_folder(path.with_name(re.sub(r"\s+", "-", f"{path.stem}_files"))) as folder:
            beside = re.sub(r"\s+", "-", f"{path.stem}_files")
            text.write_text(_rendered(name, said, Beside(folder, beside), shown), encoding="utf-8")
    return path


class Beside:
    """The parts of a Markdown report that need HTML or a folder of figures."""

    transparent = False

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def picture(self, drawn: Picture) -> str:
        """Return a figure below its caption."""
        (self.folder / f"{drawn.name}.png").write_bytes(_png(drawn))
        source = quote(f"{self.name}/{drawn.name}.png")
        return f"{_sentence(drawn.alt)}\n\n![{_text(drawn.alt).replace(']', chr(92) + ']')}]({source})"

    def equation(self, equation: str) -> str:
        """Return an equation in LaTeX."""
        return f"$$ {equation} $$"

    def badge(self, verdict: Verdict) -> str:
        """Return a verdict, its colour as a word."""
        why = f": {_text(verdict.why)}" if verdict.why else ""
        return f"> **{verdict.colour.capitalize()}: {verdict.words}**{why}."

    def fold(self, summary: str) -> str:
        """Return the start of what a reader unfolds."""
        return fold(summary)

    def unfold(self, _: str) -> str:
        """Return its end."""
        return "</details>"


class Pieces(Beside):
    """The same parts of an HTML report, each of which the Markdown holds a mark for."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def _keep(self, piece: str) -> str:
        self.kept.append(piece)
        return MARK

    def picture(self, drawn: Picture) -> str:
        """Return a figure above its caption, which follows the dark mode of the page."""
        return self._keep(figure(_png(drawn, transparent=True), _raw_sentence(drawn.alt)))

    def equation(self, equation: str) -> str:
        """Return an equation as a drawing."""
        return self._keep(drawn(equation))

    def badge(self, verdict: Verdict) -> str:
        """Return a verdict in its colour."""
        return self._keep(badge(verdict.colour, verdict.words.capitalize(), verdict.why and _raw_sentence(verdict.why)))

    def fold(self, summary: str) -> str:
        """Return the start of what a reader unfolds."""
        return self._keep(fold(summary))

    def unfold(self, _: str) -> str:
        """Return its end."""
        return self._keep("</details>")


def _png(picture: Picture, transparent: bool = False) -> bytes:
    figure, buffer = picture.draw(), io.BytesIO()
    figure.set_dpi(DPI)
    if transparent:
        for patch in (figure.patch, *(ax.patch for ax in figure.axes)):
            patch.set_alpha(0)
    FigureCanvasAgg(figure).print_png(buffer)  # Figure.savefig would draw it once more to find its size
    return buffer.getvalue()


def _rendered(name: str, said: Mapping[str, Any], face: Beside, bar: Bar) -> str:
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
        written = face.picture(drawn)
        bar.step()
        return written

    def section(template: str, told: Mapping[str, Any]) -> str:
        return environment.get_template(f"sections/{template}.md.jinja").render(told).strip() + "\n"

    of_words = {"text": _text, "table": _table, "sentence": _sentence, "counted": counted, "place": place}
    of_words |= {"level": level, "as_share": as_share}
    of_face = {"equation": face.equation, "badge": face.badge, "fold": face.fold, "unfold": face.unfold}
    environment.filters |= of_words | of_face | {"picture": picture, "section": section}
    return environment.get_template(name).render(said)


def _text(value: object) -> str:
    """Return a value as Markdown text, with the special characters escaped.

    Underscores within a word, as in new_run, mean nothing and stay.
    """
    words = " ".join(str(value).replace(MARK, "").split())
    return re.sub(r"([\\`*{}\[<>|$#~&]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", words)


def _sentence(value: str) -> str:
    return _raw_sentence(_text(value))


def _raw_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?")) else ".")


def _table(frame: pd.DataFrame) -> str:
    rule = ["---:" if pd.api.types.is_numeric_dtype(dtype) else "---" for dtype in frame.dtypes]
    written = {c: ["" if v != v else _text(label(c, v)) for v in values] for c, values in frame.items()}
    rows = zip(*written.values(), strict=True)
    return "\n".join("| " + " | ".join(row) + " |" for row in (map(_text, frame.columns), rule, *rows))
