"""The house has floors: imports run downward only, of any kind, and no file imports itself through others."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError

ROOT = Path(__file__).parents[2]
FLOORS = (
    ("errors",),
    ("base",),
    ("datasets", "declare"),
    ("models", "tables"),
    ("spec",),
    ("sampler",),
    ("posterior",),
    ("decisions",),
    ("checks", "validation"),
    ("plots",),
    ("explore", "reporting"),
    ("workflow",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
"""From the ground up; folders of one floor do not know each other."""

LINES = 350


def files() -> dict[str, Path]:
    """Every module of the package by its dotted name below `bayeslaw`."""
    package = {p.relative_to(ROOT / "bayeslaw"): p for p in (ROOT / "bayeslaw").rglob("*.py")}
    package |= {Path("models", p.name): p for p in (ROOT / "models").glob("*.py")}
    return {".".join(name.with_suffix("").parts).removesuffix(".__init__"): path for name, path in package.items()}


MODULES = files()


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in it, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "bayeslaw":
                yield rest if rest in MODULES else rest.rpartition(".")[0] or "__init__"


IMPORTS = {name: set(imported(path)) - {name} for name, path in MODULES.items()}


def floor(module: str) -> int:
    folder = module.split(".")[0]
    return next(number for number, folders in enumerate(FLOORS) if folder in folders)


def test_every_folder_has_a_floor():
    assert {name.split(".")[0] for name in MODULES} == {folder for folders in FLOORS for folder in folders}


def test_imports_run_downward_only():
    upward = {
        f"{name} -> {other}"
        for name, others in IMPORTS.items()
        for other in others
        if floor(other) >= floor(name) and name.split(".")[0] != other.split(".")[0]
    }
    assert not upward


def test_no_file_imports_itself_through_others():
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names the circle


def test_no_file_is_longer_than_one_can_read():
    assert {n: c for n, p in MODULES.items() if (c := len(p.read_text("utf-8").splitlines())) > LINES} == {}


def test_a_name_is_a_module_or_a_function_and_never_both():
    known = {name.split(".")[0] for name in MODULES}
    assert not {name for name in bl.__all__ if name in known and callable(getattr(bl, name))}
    import bayeslaw.models as the_models
    import bayeslaw.plots as the_plots

    assert (the_models, the_plots) == (bl.models, bl.plots)


@pytest.mark.parametrize("module", ["base", "declare", "tables", "spec", "posterior", "checks", "validation"])
def test_any_floor_can_be_imported_first(module):
    done = subprocess.run([sys.executable, "-c", f"import bayeslaw.{module}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def typos(model: bl.Model, fit: bl.Fit) -> None:
    """Calls that do not type-check: mypy warns of an ignore that it does not need."""
    model.fit(drws=3)  # type: ignore[call-arg]
    model.prior_predictive(drws=3)  # type: ignore[call-arg]
    fit.critical_ratio(max_ris=0.1)  # type: ignore[call-arg]


def test_a_misspelt_argument_is_named_with_the_nearest_there_is(table_for):
    untyped: Any = bl.Model(models.chinchilla, bl.read_runs(table_for(models.chinchilla)))
    with pytest.raises(ArgumentError, match="no argument 'drws'; did you mean 'draws'"):
        untyped.fit(drws=3)
