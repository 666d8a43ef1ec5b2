"""A report as one HTML page that needs no network: figures and equations are part of it."""

import base64
import html
import io
import re
import struct

from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["DPI", "EQUATION", "page"]

EQUATION = "\ue000"
"""Placeholder of an equation in the Markdown: a character that no language uses."""

DPI = 150
"""Dots per inch of the figures of reports."""

EQUATION_POINTS = 12.0
"""Font size at which an equation is drawn; the page scales it with the text."""


def page(markdown: str, title: str, equations: list[str]) -> str:
    """Return the page of a report.

    Parameters
    ----------
    markdown : str
        The report, with `EQUATION` in place of each equation; HTML in it is escaped.
    title : str
        Title of the page.
    equations : list of str
        The equations in LaTeX, in their order on the page.
    """
    from jinja2 import Environment, PackageLoader
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="table"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    body = re.sub(r'<img src="data:image/png;base64,([^"]+)"', _sized, parser.render(markdown))
    for equation in equations:
        body = body.replace(EQUATION, _drawn(equation), 1)
    template = Environment(loader=PackageLoader("bayeslaw.reporting"), autoescape=True).get_template(
        "report.html.jinja"
    )
    return template.render(title=title, body=body)


def _sized(found: re.Match[str]) -> str:
    """Give a figure the width at which its letters are as large as the page's, and a least legible width."""
    inches = struct.unpack(">I", base64.b64decode(found[1][:64])[16:20])[0] / DPI
    size = f"max-width: {105 * inches:.0f}px; min-width: {72 * inches:.0f}px"
    return f'<img style="{size}" {found[0].removeprefix("<img ")}'


def _drawn(equation: str) -> str:
    """Return LaTeX as inline SVG in the colour of the text, or as code if matplotlib cannot draw it."""
    figure, buffer = Figure(figsize=(0.1, 0.1)), io.StringIO()
    figure.text(0, 0, f"${equation}$", fontsize=EQUATION_POINTS)
    try:
        with rc_context({"mathtext.fontset": "stix", "svg.hashsalt": "bayeslaw"}):
            figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.02, transparent=True)
    except ValueError:
        return f"<code>{html.escape(equation)}</code>"
    svg = buffer.getvalue()
    svg = re.sub("<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'(width|height)="([\d.]+)pt"', lambda m: f'{m[1]}="{float(m[2]) / EQUATION_POINTS:.3f}em"', svg, count=2
    )
    label = html.escape(equation, quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}" fill="currentColor"', 1)
