"""Equations as drawings in the page: no program and no font is fetched to show them."""

import html
import io
import re
from functools import cache
from typing import Any
from zlib import crc32

from docutils import nodes
from matplotlib import rc_context
from matplotlib.figure import Figure

from bayeslaw.declare.equations import plain_equation

POINTS = 12.0
"""Font size at which an equation is drawn; the page scales it with the text."""


OTHERWISE = {r"\le": r"\leq", r"\ge": r"\geq", r"\Big": "", r"\big": "", r"\bigl": "", r"\bigr": ""}
"""What Matplotlib knows under another name, or not at all."""


@cache
def drawn(latex: str) -> str:
    """Return an equation as SVG in the colour of the text, which is read aloud in plain letters."""
    figure, buffer = Figure(figsize=(0.1, 0.1)), io.StringIO()
    known = re.sub(r"\\[A-Za-z]+", lambda m: OTHERWISE.get(m[0], m[0]), " ".join(latex.split()))
    text = figure.text(0, 0, f"${known}$", fontsize=POINTS)
    with rc_context({"mathtext.fontset": "stix", "svg.hashsalt": "bayeslaw"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.02, transparent=True)
        figure.canvas.draw()
        below = text.get_window_extent().y0 * 72 / figure.dpi
    svg = buffer.getvalue()
    svg = re.sub("<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(width|height)="([\d.]+)pt"', lambda m: f'{m[1]}="{float(m[2]) / POINTS:.3f}em"', svg, count=2)
    own = f"e{crc32(latex.encode()):x}-"
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{own}", svg)
    about = html.escape(plain_equation(latex), quote=True)
    style = f'style="vertical-align: {min(below, 0) / POINTS - 0.15:.2f}em"'
    return svg.replace("<svg", f'<svg role="img" aria-label="{about}" fill="currentColor" {style}', 1)


def inline(self: Any, node: nodes.math) -> None:
    """Write an equation within a line."""
    self.body.append(f'<span class="math">{drawn(node.astext())}</span>')
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """Write an equation of its own, each of its lines by itself."""
    parts = re.split(r",\s*\\quad\s*", node.astext().strip())
    lines = [part + "," * (n + 1 < len(parts)) for n, part in enumerate(parts)]
    self.body.append(f'<div class="math">{"".join(f"<p>{drawn(line)}</p>" for line in lines)}</div>')
    raise nodes.SkipNode
