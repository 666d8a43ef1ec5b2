"""A report as one HTML page that needs no network: figures and equations are part of it."""

import base64
import html
import io
import re
import struct

from matplotlib import rc_context
from matplotlib.figure import Figure

from bayeslaw.declare.equations import plain_equation

__all__ = ["DPI", "MARK", "badge", "drawn", "figure", "fold", "page"]

MARK = "\ue000"
"""Placeholder of a piece of HTML in the Markdown: a character that no language uses."""

DPI = 150
"""Dots per inch of the figures of reports."""

EQUATION_POINTS = 12.0
"""Font size at which an equation is drawn; the page scales it with the text."""


def page(markdown: str, title: str, pieces: list[str]) -> str:
    """Return the page of a report.

    Parameters
    ----------
    markdown : str
        The report, with `MARK` in place of each piece of HTML; other HTML in it is escaped.
    title : str
        Title of the page.
    pieces : list of str
        Figures, equations and badges as HTML, in their order on the page.
    """
    from jinja2 import Environment, PackageLoader
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens, sections = parser.parse(markdown), {}
    for opening, inline in zip(tokens, tokens[1:], strict=False):
        if opening.type == "heading_open" and opening.tag == "h2":
            anchor = re.sub(r"\W+", "-", inline.content.lower()).strip("-")
            opening.attrSet("id", anchor)
            sections[anchor] = inline.content
    body, left = parser.renderer.render(tokens, parser.options, {}), iter(pieces)
    body = re.sub(f"<p>{MARK}</p>|{MARK}", lambda _: next(left), body)
    head, *rest = body.partition('<h2 id="')
    template = Environment(loader=PackageLoader("bayeslaw.reporting"), autoescape=True).get_template(
        "report.html.jinja"
    )
    return template.render(title=title, head=head, sections=sections, body="".join(rest))


def figure(png: bytes, caption: str) -> str:
    """Return a figure above its caption, with letters as large as the page's, and a least legible width."""
    inches = struct.unpack(">I", png[16:20])[0] / DPI
    size = f"max-width: {105 * inches:.0f}px; min-width: {72 * inches:.0f}px"
    source, said = base64.b64encode(png).decode(), html.escape(caption)
    return (
        '<figure><div class="wide" tabindex="0">'
        f'<img style="{size}" src="data:image/png;base64,{source}" alt="{said}"></div>'
        f"<figcaption>{said}</figcaption></figure>"
    )


def badge(colour: str, words: str, why: str) -> str:
    """Return whether to act, as a badge."""
    said = f" {html.escape(why)}" if why else ""
    return f'<p class="badge {colour}"><strong>{html.escape(words)}</strong>{said}</p>'


def fold(summary: str) -> str:
    """Return the start of what a reader unfolds; ``</details>`` ends it."""
    return f"<details><summary>{html.escape(summary)}</summary>"


def drawn(equation: str) -> str:
    """Return LaTeX as inline SVG in the colour of the text, or as code if matplotlib cannot draw it."""
    canvas, buffer = Figure(figsize=(0.1, 0.1)), io.StringIO()
    canvas.text(0, 0, f"${equation}$", fontsize=EQUATION_POINTS)
    try:
        with rc_context({"mathtext.fontset": "stix", "svg.hashsalt": "bayeslaw"}):
            canvas.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.02, transparent=True)
    except ValueError:
        return f"<p><code>{html.escape(equation)}</code></p>"
    svg = buffer.getvalue()
    svg = re.sub("<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'(width|height)="([\d.]+)pt"', lambda m: f'{m[1]}="{float(m[2]) / EQUATION_POINTS:.3f}em"', svg, count=2
    )
    label = html.escape(plain_equation(equation), quote=True)
    return f'<p tabindex="0">{svg.replace("<svg", f'<svg role="img" aria-label="{label}" fill="currentColor"', 1)}</p>'
