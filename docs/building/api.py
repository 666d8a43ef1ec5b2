"""The reference: a page for every object, with an example that is run while the site is built, and what it printed."""

import ast
import contextlib
import importlib
import inspect
import io
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

from docs.building.examples import EXAMPLES, SECTIONS

HERE = Path(__file__).parents[1] / "reference"


def found(dotted: str) -> Any:
    """Return an object by its dotted name below `bayeslaw`."""
    parts = f"bayeslaw.{dotted}".split(".")
    for at in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            thing: Any = importlib.import_module(".".join(parts[:at]))
            for name in parts[at:]:
                thing = getattr(thing, name)
            return thing
    raise AttributeError(dotted)


def short_name(dotted: str) -> str:
    """Return the name of a page: the last part, or for plots, schedules, splits and data sets with their module."""
    first, _, last = dotted.rpartition(".")
    return f"{first}.{last}" if first in ("schedules", "splits", "datasets", "plots") else last


def file_of(dotted: str) -> str:
    """Return the name of the file of a page, of a class by another name than that of a function spelt like it."""
    name = short_name(dotted)
    alike = [
        other for section in SECTIONS.values() for other in section if short_name(other).casefold() == name.casefold()
    ]
    return f"{name.replace('.', '-')}{'-class' * (len(alike) > 1 and name[0].isupper())}"


def sentence(dotted: str) -> str:
    """Return the first sentence of what is said of an object; of a constant that stands below it in its module."""
    thing = found(dotted)
    said = inspect.getdoc(thing) or ""
    if isinstance(thing, str):
        module, _, name = f"bayeslaw.{dotted}".rpartition(".")
        below = re.search(
            rf'^{name} = [^\n]*\n"""(.*?)"""', inspect.getsource(importlib.import_module(module)), re.M | re.S
        )
        said = below[1] if below else ""
    return " ".join(said.split("\n\n")[0].split())


@cache
def prepared() -> dict[str, Any]:
    """Return the names that examples use."""
    from docs.building.examples import names

    return names()


def run(code: str, names: dict[str, Any]) -> str:
    """Run an example and return what a session would print: what is printed, and the value of every expression."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for statement in ast.parse(code).body:
            if isinstance(statement, ast.Expr):
                value = eval(compile(ast.Expression(statement.value), "example", "eval"), names)
                if value is not None:
                    print(repr(value))
            else:
                exec(compile(ast.Module([statement], []), "example", "exec"), names)
    return printed.getvalue().rstrip()


def page(dotted: str, members: str) -> str:
    """Return the page of an object."""
    thing = found(dotted)
    kind = "autoclass" if inspect.isclass(thing) else "autofunction" if callable(thing) else "autodata"
    options = f"\n   :members: {members}" if members else "\n   :no-value:" if kind == "autodata" else ""
    parts = [f"# {short_name(dotted)}", f"```{{eval-rst}}\n.. {kind}:: bayeslaw.{dotted}{options}\n```"]
    if code := EXAMPLES.get(dotted):
        parts += ["## Example", f"```python\n{code.strip()}\n```"]
        if said := run(code, dict(prepared())):
            parts.append(f"```text\n{said}\n```")
    return "\n\n".join(parts) + "\n"


def write_pages(app: Any = None) -> None:
    """Write the page of every object, where it has changed."""
    matplotlib.use("Agg")
    HERE.mkdir(exist_ok=True)
    known = {"index", *(file_of(dotted) for section in SECTIONS.values() for dotted in section)}
    for old in HERE.glob("*.md"):
        if old.stem not in known:
            old.unlink()
    for section in SECTIONS.values():
        for dotted, members in section.items():
            target, text = HERE / f"{file_of(dotted)}.md", page(dotted, members)
            if not target.is_file() or target.read_text(encoding="utf-8") != text:
                target.write_text(text, encoding="utf-8")


def index() -> str:
    """Return the list of all objects."""
    parts = []
    for title, section in SECTIONS.items():
        parts += [f"## {title}", "", "| name | what it is |", "|---|---|"]
        parts += [f"| [{short_name(name)}]({file_of(name)}.md) | {sentence(name)} |" for name in section]
        parts.append("")
    return "\n".join(parts)
