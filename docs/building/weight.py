"""What a page waits for before it is seen: no search, no style of notebooks where there is none."""

import re
from pathlib import Path
from typing import Any

LATER = ("doctools.js", "sphinx_highlight.js", "searchtools.js", "language_data.js", "searchindex.js")
"""Programs that a page needs only once it is there."""


def without_notebooks(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave the style of notebooks out of all other pages."""
    if page != "tutorial":
        context["css_files"] = [file for file in context["css_files"] if "mystnb" not in str(file)]


def defer(app: Any, error: Exception | None) -> None:
    """Let pages be seen before their programs have come."""
    if error is not None or app.builder.format != "html":
        return
    names = "|".join(map(re.escape, LATER))
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        later = re.sub(rf'<script src="([^"]*(?:{names})[^"]*)"', r'<script defer src="\1"', text)
        if later != text:
            page.write_text(later, encoding="utf-8")
