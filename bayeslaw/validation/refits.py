"""Many refits, each kept as a JSON file."""

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.files import replacing
from bayeslaw.base.progress import bar
from bayeslaw.base.version import VERSION
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.declare.priors import Prior
from bayeslaw.errors import RangeError, RefitError, StoreError, unknown_name
from bayeslaw.posterior.inference import fit
from bayeslaw.posterior.store import fingerprint
from bayeslaw.spec.design import Design
from bayeslaw.spec.misfit import Misfit
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.runs import Runs
from bayeslaw.validation.executors import Failure, run

__all__ = ["failure_note", "file_of", "finish", "labels", "refit_settings"]


FIT_SETTINGS = tuple(name for name in inspect.signature(fit).parameters if name not in ("model", "progress"))
"""Settings of a refit; see `bayeslaw.Model.fit`."""


def labels(held: Design) -> dict[str, np.ndarray]:
    """Return the identity of rows: run, columns of the law (shares of a mixture one by one), labels of groups."""
    shares = [str(c) for c in held.rows.data_vars if str(c).startswith(f"{WEIGHT}_")]
    names = dict.fromkeys(["run", *held.law.columns, *shares, *held.groups])
    return {c: held.rows[c].values for c in names if held.rows[c].dims == ("row",)}


def refit_settings(jobs: int, executor: Executor | None, **settings: Any) -> dict[str, Any]:
    """Return the checked settings of refits; each has one core if several run at a time."""
    if jobs == 0:
        raise RangeError("jobs is 0: give how many refits to run at a time, or -1 for one per core")
    if executor is not None and jobs != 1:
        raise RangeError("the executor decides how many refits run at a time: leave jobs out")
    for name in settings:
        if name not in FIT_SETTINGS:
            raise unknown_name("setting of refits", name, (*FIT_SETTINGS, "jobs", "executor", "folder", "prob"))
    if str(method := settings.get("method", "nuts")) not in ("nuts", "mle"):
        raise unknown_name("method", method, ("nuts", "mle"))
    if executor is not None or jobs != 1:
        settings.setdefault("cores", 1)
    return settings | {"progress": False}


def finish(
    work: Callable[..., dict[str, Any]],
    tasks: Mapping[str, tuple[Any, ...]],
    files: Mapping[str, Path | None],
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Return ``work(label, *arguments)`` for every task, from its file if there is one; write the other files.

    Parameters
    ----------
    work, tasks, jobs, executor
        See `bayeslaw.validation.executors.run`.
    files : mapping
        File of each result, or None.
    progress : bool
        As in `bayeslaw.evaluate`.

    Returns
    -------
    done : list of dict
        The results, in the order of the tasks.
    failed : pandas.DataFrame
        One row per failed task: ``fold``, the type of the ``error`` and its ``reason``. It has no file and is tried
        again by the next call.

    Raises
    ------
    RefitError
        Every task failed, or as in `bayeslaw.validation.executors.run`.
    StoreError
        A file cannot be read or written.
    """
    done = {label: _read(file) for label, file in files.items() if file is not None and file.is_file()}
    missing = {label: task for label, task in tasks.items() if label not in done}
    failures: dict[str, Failure] = {}
    with bar("refits", len(tasks), len(done), show=progress) as shown:
        for label, result in run(work, missing, jobs, executor):
            if isinstance(result, Failure):
                failures[label] = result
            else:
                done[label] = result
                if (file := files[label]) is not None:
                    with replacing(file) as temporary:
                        temporary.write_text(json.dumps(result), encoding="utf-8")
            shown.step(f"refits, {len(failures)} failed" if failures else "refits")
    rows = [{"fold": label, **vars(failures[label])} for label in tasks if label in failures]
    failed = pd.DataFrame(rows, columns=["fold", "error", "reason"])
    if not done:
        raise RefitError(f"every refit failed; the first, {_first(failed)}; see whether model.fit() works")
    return [done[label] for label in tasks if label in done], failed


def failure_note(failed: pd.DataFrame, done: int) -> list[str]:
    """Return a line on the failed refits, if any."""
    if failed.empty:
        return []
    return [f"failed and left out: {len(failed)} of {len(failed) + done}; the first, {_first(failed)}"]


def _first(failed: pd.DataFrame) -> str:
    return "{fold}: {error}: {reason}".format(**failed.iloc[0])


def file_of(
    folder: str | Path | None, label: str, model: Specification, held: Design, prob: float, settings: Mapping[str, Any]
) -> Path | None:
    """Make the folder and return the file of a fold, named by a hash of model, measurements and settings."""
    if folder is None:
        return None
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreError(f"cannot make the folder {folder} ({e.strerror or e}): choose a writable one") from None
    recipe = {f.name: getattr(model, f.name) for f in fields(model)} | {
        "all_priors": model.coefficient_priors,
        "held": {c: v.tolist() for c, v in labels(held).items()},
        "settings": {k: v for k, v in settings.items() if k not in ("progress", "cores")},
        "prob": prob,
        "version": VERSION,
    }
    digest = hashlib.sha256(json.dumps(recipe, default=_plain, sort_keys=True).encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.=-]+", "-", label)[:60]
    return Path(folder) / f"{name}-{digest}.json"


def _plain(value: Any) -> Any:
    """Return JSON data that identify a value."""
    if isinstance(value, Law):
        return [value.name, fingerprint(value)]
    if isinstance(value, Runs):
        return [value.hash, value.evals]
    if isinstance(value, Noise | Misfit):
        return vars(value)
    if isinstance(value, Prior):
        return value.to_dict()
    return np.asarray(value).tolist()


def _read(file: Path) -> dict[str, Any]:
    """Return a finished fold."""
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        if not {"fold", "rows", "fit"} <= set(result):
            raise ValueError
    except (OSError, ValueError, TypeError):
        raise StoreError(f"cannot read the finished fold {file}: delete the file to fit it again") from None
    return dict(result)
