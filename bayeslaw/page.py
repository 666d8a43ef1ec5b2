"""A report's Markdown as one HTML page that needs no network: figures and equation inlined. A face."""

import html
import io
import re

__all__ = ["EQUATION", "page"]

EQUATION = "\ue000"
"""A character of no language: it stands where the equation goes."""

SIZE = 12.0
"""Size in points at which the equation is set; on the page it follows the text."""


def page(markdown: str, title: str, equation: str) -> str:
    """Return the page of a report.

    Parameters
    ----------
    markdown : str
        The report; HTML in it is shown, not obeyed. `EQUATION` stands where the equation goes.
    title : str
        Title of the page.
    equation : str
        LaTeX.
    """
    from jinja2 import Environment, PackageLoader
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="table"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    body = parser.render(markdown).replace(EQUATION, _drawn(equation))
    template = Environment(loader=PackageLoader("bayeslaw"), autoescape=True).get_template("report.html.jinja")
    return template.render(title=title, body=body)


def _drawn(equation: str) -> str:
    """Return LaTeX as inline SVG in the colour of the text, as it is where matplotlib cannot set it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure, buffer = Figure(figsize=(0.1, 0.1)), io.StringIO()
    figure.text(0, 0, f"${equation}$", fontsize=SIZE)
    try:
        with rc_context({"mathtext.fontset": "stix", "svg.hashsalt": "bayeslaw"}):
            figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.02, transparent=True)
    except ValueError:
        return f"<code>{html.escape(equation)}</code>"
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(width|height)="([\d.]+)pt"', lambda m: f'{m[1]}="{float(m[2]) / SIZE:.3f}em"', svg, count=2)
    label = html.escape(equation, quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}" fill="currentColor"', 1)
