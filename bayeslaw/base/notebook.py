"""What notebooks show: a title, a badge, parts that unfold, and tables whose texts stand on the left.

Colours stand on their own ground or are mixed with that of the notebook, so that light and dark ones can be read.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Literal

__all__ = ["Level", "badge", "folded", "framed", "lines", "table"]

Level = Literal["good", "doubt", "bad"]

STYLE = """<style>
.bayeslaw { max-width: 60rem; line-height: 1.45; text-align: left; }
.bayeslaw p { margin: .3rem 0; }
.bayeslaw .title { font-weight: 600; }
.bayeslaw .badge { display: inline-block; padding: 0 .6em; border-radius: .8em; color: #fff; font-weight: 600; }
.bayeslaw .good { background: #1a7f37; }
.bayeslaw .doubt { background: #8a5a00; }
.bayeslaw .bad { background: #b3261e; }
.bayeslaw details { margin: .2rem 0; border-left: 2px solid rgb(128 128 128 / .4); padding-left: .6rem; }
.bayeslaw summary { cursor: pointer; }
.bayeslaw table { margin: .3rem 0; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.bayeslaw table th, .bayeslaw table td { text-align: left; vertical-align: top; padding: .15rem .7rem .15rem 0;
  border: 0; white-space: normal; overflow-wrap: break-word; background: none; }
.bayeslaw table th { font-weight: 600; white-space: nowrap; }
.bayeslaw .failed th { color: color-mix(in srgb, #d1453b 65%, currentColor); }
.bayeslaw table td.number { text-align: right; white-space: nowrap; }
.bayeslaw .wide { overflow-x: auto; }
@media (max-width: 40rem) { .bayeslaw .failed :is(th, td) { display: block; } }
</style>"""


def framed(*parts: str) -> str:
    """Return parts of HTML as one block with the style that they need."""
    return f"{STYLE}<div class='bayeslaw'>{''.join(parts)}</div>"


def badge(level: Level, text: str) -> str:
    """Return a verdict as a badge in its colour."""
    return f"<span class='badge {level}'>{html.escape(text)}</span>"


def folded(title: str, body: str, opened: bool = False) -> str:
    """Return a part that unfolds at a click on its title."""
    return f"<details{' open' * opened}><summary>{html.escape(title)}</summary>{body}</details>"


def lines(rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table without a head: the first cell of every row names it."""
    cells = ("".join(f"<{tag}>{html.escape(c)}</{tag}>" for tag, c in _tagged(row)) for row in rows)
    return f"<div class='wide {kind}' tabindex='0'><table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table></div>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a table of numbers, which stand on the right; the first `words` columns are texts."""
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    cells = (
        "".join(f"<td{' class=number' * (at >= words)}>{html.escape(c)}</td>" for at, c in enumerate(row))
        for row in rows
    )
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<div class='wide' tabindex='0'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _tagged(row: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(["th", *["td"] * (len(row) - 1)], row, strict=True)
