"""Raw results: every measurement is a fresh process, and a line of JSON on disk as soon as it has finished."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ROOT", "Goal", "Results", "Row", "spread"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("bayeslaw", "pymc", "pytensor", "numba", "nutpie", "arviz", "numpy", "scipy", "xarray")

type Row = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """What was to be reached and what was measured; `met` is None where nothing was."""

    text: str
    measured: str
    met: bool | None


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

    def measure(
        self,
        part: str,
        function: str,
        *,
        caches: Sequence[str] = ("own",),
        runs: int | None = None,
        code: Path = ROOT / "bayeslaw",
        **settings: Any,
    ) -> None:
        """Run a function of a part in fresh processes, and keep what it returns.

        ``caches``: the caches of compiled code each process finds: the user's ``own``; none (``empty``); or what the
        process before it left (``filled``). The function gets a ``seed`` of its own in every process.
        """
        about = machine(code)
        known = [r for r in self.rows(part, function) if r["settings"] == settings]
        kept = [r for r in known if self.resume and r["about"] == about]
        self._write([r for r in self.all if r not in known] + kept)
        for run in range(self.runs if runs is None else runs):
            with tempfile.TemporaryDirectory() as folder:
                for k, cache in enumerate(caches):
                    if any((r["run"], r["caches"]) == (run, cache) for r in kept):
                        continue
                    label = {"part": part, "function": function, "settings": settings, "run": run, "caches": cache}
                    print(f"{part}.{function} {settings or ''} run {run + 1}, {cache} caches ...", flush=True)
                    load = round(os.getloadavg()[0], 2)
                    given = {**settings, "seed": run * len(caches) + k + 1}
                    row = fresh(part, function, given, None if cache == "own" else Path(folder))
                    print(f"  {row['process_seconds']:.1f} s", flush=True)
                    self._write([*self.all, {**label, "load": load, "about": about, **row}])

    def _write(self, rows: Iterable[Row]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text("".join(json.dumps(r) + "\n" for r in rows))
        part.replace(self.file)


def fresh(part: str, function: str, settings: Row, caches: Path | None) -> Row:
    """Return what a function of a part returns in a fresh process, and its wall time from the start of the process.

    The function says in ``finished`` (time.time()) when its work was done.
    """
    environment = dict(os.environ)
    if caches is not None:
        environment["NUMBA_CACHE_DIR"] = str(caches / "numba")
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={caches / 'pytensor'}"
    command = [sys.executable, "-m", "tests.benchmarks.child", part, function, json.dumps(settings)]
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


def spread(rows: Sequence[Row], key: str) -> str:
    """Return the median of a number of seconds over measurements, and its range."""
    values = [r[key] for r in rows]
    if len(values) < 2:
        return f"{values[0]:.1f} s (a single run)" if values else "not measured"
    return f"{np.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"
