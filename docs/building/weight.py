"""What a page waits for before it is seen: nothing of the search, no style of notebooks, no figure far below."""

import re
from pathlib import Path
from typing import Any

LATER = ("doctools.js", "sphinx_highlight.js", "searchtools.js", "language_data.js", "searchindex.js")
"""Programs that a page needs only once it is there."""

OF_SEARCH = LATER[2:]
"""Programs that only the page of the search needs."""


def without_notebooks(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave the style of notebooks out: `site.css` has what the tutorial needs of it."""
    context["css_files"] = [file for file in context["css_files"] if "mystnb" not in str(file)]


def lighten(app: Any, error: Exception | None) -> None:
    """Let pages be seen before their programs and their lower figures have come."""
    if error is not None or app.builder.format != "html":
        return
    for page in (p for p in Path(app.outdir).rglob("*.html") if "_static" not in p.parts):
        text = page.read_text(encoding="utf-8")
        lighter = light(text, searches=page.name == "search.html")
        if lighter != text:
            page.write_text(lighter, encoding="utf-8")


def light(text: str, searches: bool) -> str:
    """Return the HTML of a page with what it can wait for put off."""
    if not searches:
        text = re.sub(rf'\s*<script [^>]*src="[^"]*(?:{_any(OF_SEARCH)})[^>]*></script>', "", text)
    text = re.sub(rf'<script src="([^"]*(?:{_any(LATER)})[^"]*)"', r'<script defer src="\1"', text)
    first, image, others = text.partition("<img ")
    return first + image + re.sub("<img (?!loading)", '<img loading="lazy" ', others)


def _any(names: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, names))
