"""Raw results: every measurement is a fresh process, and a line of JSON on disk as soon as it has finished."""

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ROOT", "Asked", "Goal", "Results", "Row", "chains", "median", "peak_gib", "ratio", "spread"]

ROOT = Path(__file__).parents[2]
CACHES = ROOT / "build/caches"
"""Compiled code that processes with filled caches find, by the code that left it."""

PACKAGES = ("bayeslaw", "pymc", "pytensor", "numba", "nutpie", "arviz", "numpy", "scipy", "xarray")

type Row = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """What was to be reached and what was measured; `met` is None where nothing was."""

    text: str
    measured: str
    met: bool | None

    @classmethod
    def at_most(cls, text: str, value: float | None, limit: float, unit: str = "times") -> "Goal":
        """Compare a number with a limit."""
        asked = f"{text}: at most {limit:g} {unit}"
        return cls(asked, "not measured", None) if value is None else cls(asked, f"{value:.2f} {unit}", value <= limit)


@dataclass(frozen=True)
class Asked:
    """A function of a part to be measured in fresh processes.

    Parameters
    ----------
    function : str
        It gets the settings and a ``seed`` of its own in every process.
    settings : dict
    caches : sequence of str
        The caches of compiled code that each process finds: the user's ``own``; none (``empty``); or what earlier
        processes left, one of them of the same function and settings, which is not counted (``filled``).
    tree : Path
        Where bayeslaw is imported from.
    code : Path, optional
        What is measured, if it is not bayeslaw.
    python : Path
        The interpreter of the environment in which it is measured.
    """

    function: str
    settings: Row
    caches: Sequence[str]
    tree: Path = ROOT
    code: Path | None = None
    python: Path = Path(sys.executable)


@dataclass(frozen=True)
class Results:
    """Measurements in a file of JSON lines.

    Parameters
    ----------
    file : Path
        One line per process that was measured.
    resume : bool
        Keep what was measured by the same code on the same machine with the same versions, instead of measuring anew.
    runs : int
        How often everything is measured.
    tiny : bool
        Whether to try the programs with tiny sizes; the figures mean nothing then.
    """

    file: Path
    resume: bool
    runs: int = 3
    tiny: bool = False

    @property
    def all(self) -> list[Row]:
        """Every line of the file."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.is_file() else []

    def rows(self, part: str, function: str, **settings: Any) -> list[Row]:
        """Return the measurements of a function, those with the settings given."""
        return [
            r
            for r in self.all
            if (r["part"], r["function"]) == (part, function) and settings.items() <= {**r, **r["settings"]}.items()
        ]

    def measure(self, part: str, *asked: Asked) -> None:
        """Run functions of a part in fresh processes, turn by turn, and keep what they return."""
        kept = [self._kept(part, a) for a in asked]
        for run, caches in enumerate(zip_longest(*(a.caches for a in asked))):
            for a, cache, known in zip(asked, caches, kept, strict=True):
                if cache is not None and (run, cache) not in known:
                    self._measure(part, a, run, cache)

    def _kept(self, part: str, a: Asked) -> set[tuple[int, str]]:
        """Drop the rows that are measured anew; return number and caches of the others."""
        known = [r for r in self.rows(part, a.function) if r["settings"] == a.settings]
        kept = [r for r in known if self.resume and r["about"] == self._about(a)]
        self._write([r for r in self.all if r not in known] + kept)
        return {(r["run"], r["caches"]) for r in kept}

    def _about(self, a: Asked) -> Row:
        return machine(a.code or a.tree / "bayeslaw")

    def _measure(self, part: str, a: Asked, run: int, cache: str) -> None:
        print(f"{part}.{a.function} {a.settings or ''} run {run + 1}, {cache} caches ...", flush=True)
        given, about = {**a.settings, "seed": run + 1}, self._about(a)
        with tempfile.TemporaryDirectory() as empty:
            caches = (
                None if self.tiny or cache == "own" else Path(empty) if cache == "empty" else CACHES / about["code"]
            )
            if caches and cache == "filled":
                key = f"{part} {a.function} {json.dumps(a.settings, sort_keys=True)}"
                mark = caches / hashlib.sha256(key.encode()).hexdigest()[:12]
                if not mark.is_file():
                    fresh(part, a, given, caches)
                    mark.touch()
            load = round(os.getloadavg()[0], 2)
            row = fresh(part, a, given, caches)
        print(f"  {row['process_seconds']:.1f} s", flush=True)
        label = {"part": part, "function": a.function, "settings": a.settings, "run": run, "caches": cache}
        self._write([*self.all, {**label, "date": time.strftime("%Y-%m-%d"), "load": load, "about": about, **row}])

    def _write(self, rows: Iterable[Row]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text("".join(json.dumps(r) + "\n" for r in rows))
        part.replace(self.file)


def fresh(part: str, asked: Asked, settings: Row, caches: Path | None) -> Row:
    """Return what a function of a part returns in a fresh process, and its wall time from the start of the process.

    The function says in ``finished`` (time.time()) when its work was done.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys((asked.tree, ROOT))))}
    if caches is not None:
        environment["NUMBA_CACHE_DIR"] = str(caches / "numba")
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={caches / 'pytensor'}"
    command = [str(asked.python), "-P", "-m", "tests.benchmarks.child", part, asked.function, json.dumps(settings)]
    started = time.time()
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return {"process_seconds": round(row.pop("finished") - started, 3), **row}


def machine(code: Path) -> dict[str, Any]:
    """Return where, and with which code and versions, something is measured."""
    files = sorted(code.rglob("*.py")) if code.is_dir() else [code]
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {p: _version(p) for p in PACKAGES},
        "code": hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12],
    }


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def spread(rows: Sequence[Row], key: str, digits: int = 1) -> str:
    """Return the median of a number of seconds over measurements, and its range."""
    values = [r[key] for r in rows]
    if len(values) < 2:
        return f"{values[0]:.{digits}f} s (a single run)" if values else "not measured"
    return f"{np.median(values):.{digits}f} s ({min(values):.{digits}f} to {max(values):.{digits}f})"


def median(rows: Sequence[Row], key: str) -> float | None:
    """Return the median of a number over measurements; None if there are none."""
    return float(np.median([r[key] for r in rows])) if rows else None


def ratio(mine: float | None, theirs: float | None) -> float | None:
    """Return a ratio; None if either number was not measured."""
    return None if mine is None or theirs is None else mine / theirs


def peak_gib() -> float:
    """Return the largest memory the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def chains(fit: Any) -> Row:
    """Return the largest R-hat and smallest bulk ESS of the parameters, divergences and mean steps of a draw."""
    import arviz as az

    sampled = fit.posterior[[k for k in fit.posterior.data_vars if not str(k).endswith("_paper")]]
    stats = fit.idata["sample_stats"]
    return {
        "r_hat": max(float(v.max()) for v in az.rhat(sampled).data_vars.values()),
        "ess": min(float(v.min()) for v in az.ess(sampled).data_vars.values()),
        "divergences": int(stats["diverging"].sum()),
        "steps": float(stats["n_steps"].mean()),
    }
