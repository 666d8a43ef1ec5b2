"""Sphinx settings; `make docs` builds the site. Made at every build: pages and list of laws, list of reports."""

import re
from pathlib import Path
from typing import Any

import bayeslaw
from bayeslaw import models
from bayeslaw.decisions import DECISIONS
from bayeslaw.declare.questions import QUESTIONS
from bayeslaw.spec.ranges import ranges

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
nb_execution_mode = "off"  # notebooks are committed as executed; tests/whole/test_docs.py runs them
autodoc_typehints = "none"
add_module_names = False
napoleon_use_rtype = False


HERE = Path(__file__).parent


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
    for name, law in models.catalogue.items():
        page = HERE / "laws" / f"{name}.md"
        text = f"{law.card()}\nName: `{name}`; file: `{law.function.__module__.removeprefix('bayeslaw.')}`.\n"
        if links := [f"[{title}](../reports/{file})" for file, (title, _, laws) in shown.items() if name in laws]:
            text += f"\nAt work in: {'; '.join(links)}.\n"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def list_reports(app: Any, name: str, source: list[str]) -> None:
    if name == "reports/index":
        lines = [
            f"- [{title}]({file}). {sentence} ({', '.join(f'[{law}](../laws/{law}.md)' for law in laws)})"
            for file, (title, sentence, laws) in sorted(reports().items(), key=lambda report: report[1][0].casefold())
        ]
        source[0] = source[0].replace("% the list", "\n".join(lines))


def laws_by_question() -> str:
    """Return a table of the laws of every question, made of their cards."""
    parts = []
    for kind, question in QUESTIONS.items():
        parts += [f"## {question}", "", "| law | takes | range | answers |", "|---|---|---|---|"]
        for name, law in models.catalogue.items():
            if law.kind == kind:
                answers = ", ".join(n.replace("_", " ") for n, asked in DECISIONS.items() if asked.applies(law))
                takes = ", ".join(law.columns)
                parts.append(f"| [{name}]({name}.md): {law.title} | {takes} | {ranges(law)} | {answers or 'losses'} |")
        parts.append("")
    return "\n".join(parts)


def list_laws(app: Any, name: str, source: list[str]) -> None:
    if name == "laws/index":
        source[0] = source[0].replace("% the laws by question", laws_by_question())


def setup(app: Any) -> None:
    app.connect("builder-inited", write_law_pages)
    app.connect("env-get-outdated", lambda *_: ["reports/index", "laws/index"])
    app.connect("source-read", list_reports)
    app.connect("source-read", list_laws)
