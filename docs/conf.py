"""Sphinx settings; `make docs` builds the site. The page of a law is its card, written here at every build."""

from pathlib import Path
from typing import Any

import bayeslaw
from bayeslaw import models

project = "bayeslaw"
version = release = bayeslaw.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["jupyter_execute", "_build", "benchmarks_files"]
html_theme = "pydata_sphinx_theme"
html_title = "bayeslaw"
html_context = {"default_mode": "auto"}  # else the theme complains on the console
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "header_links_before_dropdown": 4}
html_sidebars = {"index": []}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are committed as executed; tests/test_docs.py runs them
autodoc_typehints = "none"
add_module_names = False
napoleon_use_rtype = False


def write_law_pages(app: Any) -> None:
    for name, law in models.catalogue.items():
        page = Path(app.srcdir, "laws", f"{name}.md")
        text = f"{law.card()}\nName: `{name}`; file: `{law.function.__module__.removeprefix('bayeslaw.')}`.\n"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("builder-inited", write_law_pages)
