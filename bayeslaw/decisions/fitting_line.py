"""The line that fits a law to a table, as it is to be typed: a command for a file, Python for a frame."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bayeslaw.declare.laws import Law

__all__ = ["Outside", "fitting_line"]

Outside = Literal["exclude", "include"] | None


def fitting_line(
    law: Law, file: Path | None, reading: Mapping[str, Any], of_model: Mapping[str, Any], outside: Outside
) -> str:
    """Return the line that fits a law: of the command line for a file, else of Python."""
    if file is None:
        return _python(law, reading, of_model, outside)
    words = ["bayeslaw", "fit", law.name, str(file), "-o", f"{law.name}.nc"]
    for name, value in {**reading, **of_model}.items():
        given = [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else [value]
        words += [word for one in given for word in (f"--{name.replace('_', '-')}", str(one))]
    return shlex.join(words + {None: [], "exclude": ["--inside"], "include": ["--outside"]}[outside])


def _python(law: Law, reading: Mapping[str, Any], of_model: Mapping[str, Any], outside: Outside) -> str:
    read, runs = dict(reading), "runs"
    if reading:
        columns = read.pop("map")
        before = ", before=bl.schedules.unknown()" if read.pop("before", None) else ""
        given = "".join(f", {name}={value!r}" for name, value in {**read, **columns}.items() if value)
        if law.kind == "score":
            read["against"] = read.pop("loss", None)
        reader = {"schedule": "read_curves"}.get(law.kind, "read_scores" if law.of_scores else "read_runs")
        runs = f"bl.{reader}(table{given}{before})"
    numbers = {"reference": {k: float(v) for k, v in of_model["reference"].items()}}
    settings = {"roles": of_model["role"], "by": of_model["by"], **numbers, "outside": outside}
    return f"bl.Model(bl.models.{law.name}, {runs}{''.join(f', {k}={v!r}' for k, v in settings.items() if v)}).fit()"
