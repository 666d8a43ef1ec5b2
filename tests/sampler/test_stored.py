"""Compiled code on disk: where it lies, and what happens where nothing can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bayeslaw as bl

FITTED = """
from tests.benchmarks import small_tables
print(small_tables.model().fit(method="mle").posterior["E"].item())
"""

COMPILED_BY_PYTENSOR = """
from bayeslaw import models
from bayeslaw.decisions.mixture_problem import slope_in_shares
from bayeslaw.errors import StoreError
try:
    slope_in_shares(models.data_mixing)
except StoreError as e:
    print(e)
"""

COMPILED_AHEAD = """
from bayeslaw.sampler import misfit, stored
stored.ahead(misfit.PARTS[:2])
stored.ahead(misfit.PARTS[:2])
print(len(set(stored._AHEAD.values())), [stored.stored(f).cache_hits for f in misfit.PARTS[:3]], len(stored._AHEAD))
stored.ahead(misfit.PARTS[:2])
print(len(stored._AHEAD))
"""

NOWHERE = "/dev/null/home"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process whose home and cache folders cannot be written."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "PYTENSOR_FLAGS", "XDG_CACHE_HOME")}
    root = str(Path(bl.__file__).parents[1])
    environment = {**kept, "HOME": NOWHERE, "USERPROFILE": NOWHERE, "PYTHONPATH": root, **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=environment)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="no path below a device")
def test_a_fit_needs_no_folder_that_can_be_written(tmp_path):
    without = run(FITTED)
    warned = [line for line in without.stderr.splitlines() if "Warning" in line]
    assert len(warned) == 1 and f"{NOWHERE}/.cache/bayeslaw/compiled cannot be written" in warned[0]
    assert "let NUMBA_CACHE_DIR name a folder" in warned[0]
    named = run(FITTED, NUMBA_CACHE_DIR=str(tmp_path))
    assert named.stdout == without.stdout and not named.stderr
    names = [file.name for file in (tmp_path / "bayeslaw" / "compiled").iterdir()]
    assert sum(name.startswith("law_") and name.endswith(".py") for name in names) == 1
    assert {name.partition("-")[0] for name in names} >= {"parameters.natural", "blocks._evaluate"}


@pytest.mark.skipif(sys.platform == "win32", reason="no path below a device")
def test_what_pytensor_compiles_says_where_it_cannot_be_kept():
    said = run(COMPILED_BY_PYTENSOR).stdout
    assert said.startswith(f"{NOWHERE}/.pytensor cannot be written") and said.count("\n") == 1
    assert "PYTENSOR_FLAGS=base_compiledir=FOLDER" in said


@pytest.mark.skipif(os.cpu_count() in (None, 1), reason="one processor")
def test_another_process_compiles_ahead_what_does_not_lie_on_disk(tmp_path):
    done = run(COMPILED_AHEAD, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout.splitlines() == ["1 [1, 1, 0] 0", "0"]


@pytest.mark.skipif(sys.platform == "win32" or os.cpu_count() in (None, 1), reason="no /bin/false, or one processor")
def test_what_nobody_compiled_ahead_is_compiled_where_it_is_asked_for(tmp_path):
    code = COMPILED_AHEAD.replace("stored.ahead(misfit", "stored.sys.executable = '/bin/false'; stored.ahead(misfit", 1)
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout.splitlines() == ["1 [0, 0, 0] 0", "0"]
