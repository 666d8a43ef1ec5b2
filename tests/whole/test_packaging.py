"""The package is whole however it is reached: from the root, editable, from a wheel, from a source distribution.

`bayeslaw/models` is a symbolic link to `../models`: these tests prove that an installed package holds the real files
and that no second, top-level `models` comes with it. They need no network: builds use the installed setuptools.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import bayeslaw

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES_ONLY = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
WHERE = (
    "import importlib.util, bayeslaw, bayeslaw.models; "
    "print(bayeslaw.__file__, bayeslaw.models.__file__, importlib.util.find_spec('models') is not None, sep='\\n')"
)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, as a user would who has set nothing up."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def where(python: Path, cwd: Path) -> tuple[Path, Path, bool]:
    """Where `bayeslaw` and `bayeslaw.models` come from, and whether there is a top-level `models`."""
    package, models, stray = run(python, "-c", WHERE, cwd=cwd).splitlines()[-3:]
    return Path(package).parent, Path(models).parent, stray == "True"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the checkout, so that no build leaves anything in it."""
    left_out = (".*", "build", "dist", "docs", "*.egg-info", "__pycache__", "bayeslaw-demo")
    return shutil.copytree(ROOT, tmp_path / "source", symlinks=True, ignore=shutil.ignore_patterns(*left_out))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new environment with our dependencies, but without bayeslaw."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=os.name != "nt")
    scheme = {"base": str(home), "platbase": str(home)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    # Found there, but installed elsewhere: the links that make bayeslaw editable are not followed from here.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return Path(sysconfig.get_path("scripts", "venv", scheme), "python")


def install(python: Path, *what: str | Path, cwd: Path) -> None:
    run(sys.executable, "-m", "pip", "--python", python, "install", "--ignore-installed", *NAMES_ONLY, *what, cwd=cwd)


def build_wheel(what: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", *NAMES_ONLY, "--wheel-dir", folder, what, cwd=what.parent)
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_sdist(source: Path, folder: Path) -> Path:
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, folder, cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    return sdist


def test_version_is_the_one_of_the_project() -> None:
    assert bayeslaw.__version__ == PROJECT["version"]


@pytest.mark.skipif(not (ROOT / "models").is_dir(), reason="a source distribution holds the files, not the link")
def test_models_is_a_relative_link() -> None:
    assert os.readlink(ROOT / "bayeslaw" / "models") == os.path.join("..", "models")


def test_every_distribution_that_is_imported_is_declared() -> None:
    files = [*(ROOT / "bayeslaw").rglob("*.py"), *(ROOT / "models").glob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    imported = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"bayeslaw"}
    asked = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    declared = {word.lower().replace("_", "-") for r in asked for word in re.findall(r"^[\w.-]+|(?<=\[)[\w-]+", r)}
    of_modules = packages_distributions()
    missing = {m for m in imported if not {d.lower().replace("_", "-") for d in of_modules[m]} & declared}
    assert {"numpy", "markdown_it", "distributed"} <= imported and not missing


def test_constraints_are_exact_versions_of_packages_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!]+", line)] == []
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["data"], *extras["domain2vec"], *extras["test"]]
    assert {re.split(r"[\[<>=~! ]", name)[0] for name in asked} <= pinned
    assert "bayeslaw" not in pinned


def test_no_extra_is_imported_before_it_is_needed() -> None:
    loaded = "import sys, bayeslaw.cli, bayeslaw.decisions, bayeslaw.tables.meta_domains; print(*sys.modules)"
    assert not {"dask", "pooch", "sklearn"} & set(run(sys.executable, "-c", loaded, cwd=ROOT).split())


@pytest.mark.slow
def test_import_from_the_root_without_installation(source: Path, python: Path) -> None:
    assert where(python, cwd=source)[:2] == (source / "bayeslaw", source / "bayeslaw" / "models")


@pytest.mark.slow
def test_editable_installation_from_any_folder(source: Path, python: Path, tmp_path: Path) -> None:
    install(python, "--editable", source, cwd=tmp_path)
    assert where(python, cwd=tmp_path) == (source / "bayeslaw", source / "bayeslaw" / "models", False)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["checkout", "sdist"])
def test_wheel(source: Path, python: Path, tmp_path: Path, start: str) -> None:
    wheel = build_wheel(source if start == "checkout" else build_sdist(source, tmp_path / "sdist"), tmp_path / "wheel")

    kept = {".py", ".typed", ".csv", ".gz", ".toml", ".md"}
    package = source / "bayeslaw"
    files = [*package.rglob("*"), *(package / "models").rglob("*")]
    wanted = {p.relative_to(source).as_posix() for p in files if p.is_file() and p.suffix in kept}
    wanted |= {p.relative_to(source).as_posix() for p in (package / "reporting" / "templates").glob("*")}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert "bayeslaw/models/__init__.py" in held
    assert held == wanted

    install(python, wheel, cwd=tmp_path)
    package, models, stray = where(python, cwd=tmp_path)
    assert (package.parent.name, models, stray) == ("site-packages", package / "models", False)
    # In the checkout, the checkout is what a user means.
    assert where(python, cwd=source)[:2] == (source / "bayeslaw", source / "bayeslaw" / "models")
    # The program is the installed one wherever it is started.
    assert "demo" in run(python.with_name("bayeslaw"), "--help", cwd=source)
