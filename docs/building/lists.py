"""Lists of pages, made of their titles and first sentences, and what the start page shows of README."""

import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
README = HERE.parent / "README.md"

GUIDES = {
    "Bring runs": ("own-runs", "which-law", "validation-sets"),
    "Shape the model": ("priors", "pooling", "repeated-data", "misfit"),
    "Decide": ("small-replay", "budget", "next-runs", "plan", "scores", "domain-vectors"),
    "Judge and tell": ("comparing", "documents", "explore", "dask"),
    "Extend": ("add-a-law", "add-a-decision", "add-a-check", "add-an-error-model"),
}
"""The guides by what they are for."""


def first(page: Path) -> tuple[str, str]:
    """Return the title and the first sentence of a page."""
    text = page.read_text(encoding="utf-8")
    title, *others = text.removeprefix("# ").split("\n\n")
    words = " ".join(next(part for part in others if re.match(r"[A-Z*`]", part)).split())
    return title.strip(), re.split(r"(?<=[.?:])\s+(?=[A-Z`])", words)[0].rstrip(":.") + "."


def table(folder: str, names: list[str]) -> str:
    """Return a table of pages."""
    rows = [first(HERE / folder / f"{name}.md") for name in names]
    lines = [f"| [{title}]({name}.md) | {said} |" for name, (title, said) in zip(names, rows, strict=True)]
    return "\n".join(["| page | what it says |", "|---|---|", *lines])


def every(folder: str) -> str:
    """Return a table of all pages of a folder."""
    return table(folder, sorted(p.stem for p in (HERE / folder).glob("*.md") if p.stem != "index"))


def guides() -> str:
    """Return the guides, by what they are for."""
    return "\n\n".join(f"## {title}\n\n{table('how-to', list(names))}" for title, names in GUIDES.items())


def session() -> str:
    """Return the session of README and what it prints, of which the checks are shortened to their first line."""
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    printed = re.search(r"```\n(\d+ of \d+ checks passed\n.*?)```", text, re.DOTALL)
    assert code and printed, "README opens with a session and what it prints"
    first, *others = printed[1].splitlines()
    failed = [line.partition(":")[0] for line in others if line.startswith("  FAIL")]
    answers = [line for line in others if re.match(r"\d", line)]
    shown = "\n".join([first, *failed, "  ...", *answers])
    about = "It prints (of the checks, those that failed and only their names):"
    return f"```python\n{code[1]}```\n\n{about}\n\n```text\n{shown}\n```"


MADE = {
    "how-to/index": {"% the list": guides},
    "explanation/index": {"% the list": lambda: every("explanation")},
    "studies/index": {"% the list": lambda: every("studies")},
    "index": {"% the session": session},
}
"""What takes the place of a line of a page."""


def fill(app: Any, name: str, source: list[str]) -> None:
    """Fill in the lists of a page."""
    for line, make in MADE.get(name, {}).items():
        source[0] = source[0].replace(line, make())
