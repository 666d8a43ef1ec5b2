"""What is imported when: names of the package when they are asked for, heavy packages when there is work for them."""

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw.posterior.quantity import Quantity
from tests.stand_ins import stand_in

NUMBERS = {"numpy", "pandas", "scipy", "xarray"}
SAMPLERS = {"llvmlite", "nutpie", "numba", "pymc", "pymc_extras", "pytensor"}
FIGURES = {"arviz", "arviz_plots", "matplotlib"}
REST = {"arviz_base", "arviz_stats", "cloudpickle", "h5netcdf", "h5py", "joblib", "narwhals", "pyarrow", "sklearn"}

LAZY = ["bayeslaw", "bayeslaw.plots", "bayeslaw.reporting", "bayeslaw.sampler"]
"""Packages whose names are imported when they are asked for."""


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a fresh process, on this copy of the package."""
    root = str(Path(bl.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": root}
    )


def imported(*command: str, cwd: Path | None = None) -> set[str]:
    """The packages that a fresh process imports."""
    done = run("-X", "importtime", *command, cwd=cwd)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert done.returncode == 0, done.stderr.replace("\n".join(lines), "")
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def cpu(code: str) -> float:
    """The CPU seconds of a fresh process, the shorter of two."""
    command = ["-c", f"{code}\nimport time\nprint(time.process_time())"]
    return min(float(run(*command).stdout.splitlines()[-1]) for _ in range(2))


def test_the_package_alone_imports_nothing_heavy():
    assert not imported("-c", "import bayeslaw; dir(bayeslaw)") & (NUMBERS | SAMPLERS | FIGURES | REST)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["fit", "--help"], ["report", "--help"], ["decide", "--help"]], ids=" ".join
)
def test_help_does_no_arithmetic(words):
    assert not imported("-m", "bayeslaw.cli", *words) & (NUMBERS | SAMPLERS | FIGURES | REST)


def test_the_card_of_a_law_takes_numpy_alone():
    packages = imported("-m", "bayeslaw.cli", "laws", "dcpt")
    assert packages & (NUMBERS | SAMPLERS | FIGURES | REST) == {"numpy"}


def test_the_help_of_decisions_takes_no_sampler():
    assert not imported("-m", "bayeslaw.cli", "decide", "critical-ratio", "--help") & (SAMPLERS | FIGURES)


def test_a_model_is_stated_and_a_fit_is_asked_without_samplers_and_figures(tmp_path, table_for):
    runs = table_for(bl.models.chinchilla)
    runs.to_csv(tmp_path / "runs.csv", index=False)
    stand_in(bl.models.chinchilla, table_for, draws=20).save(tmp_path / "fit.nc")
    code = [
        "import bayeslaw as bl",
        "priors = {'E': bl.Prior('Gamma', alpha=2, beta=1)}",
        "model = bl.Model(bl.models.chinchilla, bl.read_runs('runs.csv'), priors=priors)",
        "bl.load('fit.nc').predict(N=1e9, D=1e10).to_frame()",
        "print(model, bl.Noise(), bl.splits.by('N'))",
    ]
    assert not imported("-c", "\n".join(code), cwd=tmp_path) & (SAMPLERS | FIGURES)


def test_an_answer_from_another_process_is_drawn(tmp_path):
    draws = xr.DataArray(np.linspace(0, 1, 40).reshape(2, 20), dims=("chain", "draw"))
    (tmp_path / "answer").write_bytes(pickle.dumps(Quantity("share", draws, "1", "mean law")))
    code = "import pickle; print(pickle.load(open('answer', 'rb')).plot())"
    done = run("-c", code, cwd=tmp_path)
    assert done.returncode == 0 and "Axes" in done.stdout, done.stderr


def stated(package: str) -> dict[str, tuple[str, str]]:
    """The module and the name there of every name that a package imports for type checkers."""
    tree = ast.parse(Path(sys.modules[package].__file__ or "").read_text(encoding="utf-8"))
    blocks = [node.body for node in tree.body if isinstance(node, ast.If)]
    imports = [node for body in blocks for node in body if isinstance(node, ast.ImportFrom)]
    return {alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}


@pytest.mark.parametrize("package", LAZY)
def test_a_name_is_what_type_checkers_take_it_for(package):
    space: dict[str, Any] = {}
    exec(f"from {package} import *", space)
    here: Any = sys.modules[package]
    assert space.keys() - {"__builtins__"} == set(here.__all__) == set(dir(here))
    for name, (module, own) in stated(package).items():
        __import__(module, fromlist=[own])
        assert getattr(here, name) is getattr(sys.modules[module], own), name
        assert name in here.__all__


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'bayeslaw' has no attribute 'Modle'") as caught:
        bl.Modle  # type: ignore[attr-defined]  # noqa: B018
    assert caught.value.name == "Modle" and caught.value.obj is bl
    assert "Did you mean: 'Model'" in run("-c", "import bayeslaw; bayeslaw.Modle").stderr


def test_it_starts_in_less_than_the_packages_of_every_study():
    tables = cpu("import numpy, scipy, pandas")
    assert cpu("import bayeslaw") < 0.5 * tables
    assert cpu("from bayeslaw.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass") < 0.8 * tables
    assert cpu("import bayeslaw; bayeslaw.models.dcpt.card()") < tables


def started(words: list[str]) -> float:
    """The CPU seconds of a command in a fresh process, less those of Python alone, the shortest of three."""
    code = f"from bayeslaw.cli import app\ntry:\n    app({words})\nexcept SystemExit:\n    pass"
    return min(cpu(code) for _ in range(3)) - cpu("pass")


@pytest.mark.parametrize(("words", "seconds"), [(["--help"], 0.2), (["laws", "dcpt"], 0.5)], ids=["help", "a law"])
def test_commands_that_compute_nothing_are_there_at_once(words, seconds):
    assert started(words) <= seconds


AFTER_A_FIT = """
import sys
from tests.benchmarks import small_tables
small_tables.model().fit(draws=200, tune=50, chains=2, cores=1, progress=False).checks()
before = {m.partition(".")[0] for m in sys.modules}
import arviz
assert arviz.summary  # what was postponed is there for others
print(*before)
"""


def test_a_fit_and_its_checks_of_a_known_law_import_neither_symbols_nor_figures():
    for _ in range(2):  # the first process may meet the law for the first time
        done = run("-c", AFTER_A_FIT, cwd=Path(bl.__file__).parents[1])
        assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & (FIGURES | {"pymc", "pymc_extras", "pytensor"})
