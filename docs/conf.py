"""Sphinx settings; `make docs` builds the site. What is made at every build is in `docs/building`."""

import re
import sys
from pathlib import Path
from typing import Any

import bayeslaw

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docs.building import api, laws, lists, notebooks, styles, weight  # noqa: E402
from docs.building.equations import block, inline  # noqa: E402

project = "bayeslaw"
version = release = bayeslaw.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["jupyter_execute", "_build", "benchmarks_files", "building"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "bayeslaw"
html_context = {"default_mode": "auto"}  # else the theme complains on the console
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_math_renderer = "drawn"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "header_links_before_dropdown": 5}
html_sidebars = {name: [] for name in ("index", "404", "tutorial", "gallery", "schema", "calibration", "benchmarks")}
html_sidebars["architecture"] = []
myst_enable_extensions = ["attrs_block", "dollarmath"]
myst_heading_anchors = 3
myst_html_meta = {"description lang=en": "Bayesian scaling laws of continual pre-training: decide with intervals."}
nb_execution_mode = "off"  # notebooks are committed as executed; tests/whole/test_docs.py runs them
autodoc_typehints = "none"
add_module_names = False
napoleon_use_rtype = False


def reports() -> dict[str, tuple[str, str, list[str]]]:
    """Return title, first sentence and laws of every report, by its file."""
    found = {}
    for page in sorted((HERE / "reports").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if laws := list(dict.fromkeys(re.findall(r"^- law: (\w+)", text, re.MULTILINE))):
            title, first, *_ = text.removeprefix("# ").split("\n\n")
            if re.match(r"\d{4}-", first):  # nothing was said about the runs
                first = text.split("## The question")[1].split("\n\n")[1]
            sentence = re.split(r"(?<=[.?])\s+(?=[A-Z])", " ".join(first.removeprefix("- ").split()))[0]
            found[page.name] = (title, sentence, laws)
    return found


def write_law_pages(app: Any) -> None:
    shown = reports()
    for name, law in bayeslaw.models.catalogue.items():
        page, text = HERE / "laws" / f"{name}.md", laws.page(name, law, shown)
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def list_reports(app: Any, name: str, source: list[str]) -> None:
    if name == "reports/index":
        lines = [
            f"- [{title}]({file}). {sentence} ({', '.join(f'[{law}](../laws/{law}.md)' for law in laws)})"
            for file, (title, sentence, laws) in sorted(reports().items(), key=lambda report: report[1][0].casefold())
        ]
        source[0] = source[0].replace("% the list", "\n".join(lines))


def fill(app: Any, name: str, source: list[str]) -> None:
    lists.fill(app, name, source)
    source[0] = re.sub(
        r"^> \*\*(Green|Amber|Red):", lambda badge: f"{{.{badge[1].lower()}}}\n{badge[0]}", source[0], flags=re.M
    )
    if name == "laws/index":
        source[0] = source[0].replace("% the chooser", laws.chooser())
    if name == "reference/index":
        source[0] = source[0].replace("% the list", api.index())


def setup(app: Any) -> None:
    app.add_html_math_renderer("drawn", (inline, None), (block, None))
    app.connect("builder-inited", write_law_pages)
    app.connect("builder-inited", api.write_pages)
    app.connect("env-get-outdated", lambda *_: ["reports/index", "laws/index", "reference/index", "index", *lists.MADE])
    app.connect("source-read", list_reports)
    app.connect("source-read", fill)
    app.connect("doctree-read", notebooks.describe)
    app.connect("html-page-context", weight.without_notebooks)
    app.connect("build-finished", weight.lighten)
    app.connect("build-finished", styles.prune)
