"""The theme's style without the rules for what no page has: a page is not seen before its style has come."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

STYLE = Path("styles") / "pydata-sphinx-theme.css"

COMPOSED = ("bs-",)
"""Beginnings of class names that programs put together, so that they stand nowhere whole."""


def prune(app: Any, error: Exception | None) -> None:
    """Write the style of the theme with the rules that some page, or a program on it, may need."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pages = (p for p in out.rglob("*") if p.suffix in (".html", ".js") and p.stem not in ("tinycpt", "searchindex"))
    words = set(re.findall(r"[\w-]+", " ".join(p.read_text(encoding="utf-8") for p in pages)))
    theme = Path(str(files("pydata_sphinx_theme"))) / "theme" / "pydata_sphinx_theme" / "static"
    style = (theme / STYLE).read_text(encoding="utf-8")
    (out / "_static" / STYLE).write_text(needed(style, words), encoding="utf-8")


def needed(style: str, words: set[str]) -> str:
    """Return the rules of a style whose classes are all among some words."""
    kept = []
    for head, body in rules(style):
        if re.match(r"@(media|supports|layer|container)", head):
            body = needed(body or "", words)
        elif body is not None and not head.startswith("@"):
            head = ",".join(one for one in re.split(r",(?![^(]*\))", head) if _needed(one, words))
        if head and body != "":
            kept.append(head + ";" if body is None else f"{head}{{{body}}}")
    return "".join(kept)


def rules(style: str) -> Iterator[tuple[str, str | None]]:
    """Yield each rule as what stands before its braces and within them; None where it has none."""
    style, at = re.sub(r"/\*.*?\*/", "", style, flags=re.S), 0
    for found in re.finditer(r"[{;]", style):
        if found.start() < at:
            continue
        head = style[at : found.start()].strip()
        if found[0] == ";":
            at = found.end()
            yield head, None
            continue
        end = _closing(style, found.end())
        at = end + 1
        yield head, style[found.end() : end].strip()


def _closing(style: str, start: int) -> int:
    """Return where the brace that was opened before is closed; braces in quoted texts do not count."""
    depth = 1
    for found in re.finditer(r'"(?:\\.|[^"\\])*"|[{}]', style[start:]):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return start + found.start()
    raise ValueError("a brace of the style is not closed")


def _needed(selector: str, words: set[str]) -> bool:
    """Return whether a selector may hold; classes within brackets, such as ``:not(.a)``, are not asked for."""
    outside = re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", selector)
    names = re.findall(r"\.(-?[A-Za-z_][\w-]*)", outside)
    return "\\" in selector or all(name in words or name.startswith(COMPOSED) for name in names)
