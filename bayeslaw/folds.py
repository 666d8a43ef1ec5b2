"""Refits by the dozen: in processes, each kept on disk as a small JSON file, so that reading executes nothing."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from bayeslaw.design import Design
from bayeslaw.errors import RangeError, StoreError
from bayeslaw.law import Law
from bayeslaw.mixtures import WEIGHT
from bayeslaw.model import Model
from bayeslaw.noise import Noise
from bayeslaw.priors import Prior
from bayeslaw.runs import Runs
from bayeslaw.store import fingerprint

__all__ = ["file_of", "finish", "labels", "settled"]


def labels(held: Design) -> dict[str, np.ndarray]:
    """Return what tells the rows apart: run, columns of the law (shares of a mixture one by one), labels of groups."""
    shares = [str(c) for c in held.rows.data_vars if str(c).startswith(f"{WEIGHT}_")]
    names = dict.fromkeys(["run", *held.law.columns, *shares, *held.groups])
    return {c: held.rows[c].values for c in names if held.rows[c].dims == ("row",)}


def settled(jobs: int, **settings: Any) -> dict[str, Any]:
    """Return the settings of refits that share the cores between `jobs` processes."""
    if jobs == 0:
        raise RangeError("jobs is 0: give how many refits to run at a time, or -1 for one per core")
    if jobs != 1:
        settings.setdefault("cores", max(1, (os.cpu_count() or 1) // joblib.effective_n_jobs(jobs)))
    return {"progress": False, **settings}


def finish(
    work: Callable[..., dict[str, Any]],
    tasks: Mapping[str, tuple[Any, ...]],
    files: Mapping[str, Path | None],
    jobs: int,
) -> list[dict[str, Any]]:
    """Return ``work(label, *arguments)`` for every task, from its file where it is there; write the others'."""
    done = {label: _read(file) for label, file in files.items() if file is not None and file.is_file()}
    missing = (joblib.delayed(work)(label, *task) for label, task in tasks.items() if label not in done)
    for result in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(missing):
        done[result["fold"]] = result
        if (file := files[result["fold"]]) is not None:
            _write(file, result)
    return [done[label] for label in tasks]


def file_of(
    folder: str | Path | None, label: str, model: Model, held: Design, prob: float, settings: Mapping[str, Any]
) -> Path | None:
    """Return where a fold is kept: the name holds a hash of model, measurements and settings; makes the folder."""
    if folder is None:
        return None
    import bayeslaw

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreError(
            f"cannot make the folder {folder} ({e.strerror or e}): choose one that can be written"
        ) from None
    recipe = {f.name: getattr(model, f.name) for f in fields(model)} | {
        "all_priors": model.coefficient_priors,
        "held": {c: v.tolist() for c, v in labels(held).items()},
        "settings": {k: v for k, v in settings.items() if k not in ("progress", "cores")},
        "prob": prob,
        "version": bayeslaw.__version__,
    }
    digest = hashlib.sha256(json.dumps(recipe, default=_plain, sort_keys=True).encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.=-]+", "-", label)[:60]
    return Path(folder) / f"{name}-{digest}.json"


def _plain(value: Any) -> Any:
    if isinstance(value, Law):
        return [value.name, fingerprint(value)]
    if isinstance(value, Runs):
        return [value.hash, value.evals]
    if isinstance(value, Noise):
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
        raise StoreError(f"cannot read the finished fold {file}: delete it, and it is fitted again") from None
    return dict(result)


def _write(file: Path, result: Mapping[str, Any]) -> None:
    """Write a finished fold, beside the file first and then renamed: what is there is whole."""
    temporary = file.with_name(f".{file.name}.part")
    try:
        temporary.write_text(json.dumps(result), encoding="utf-8")
        os.replace(temporary, file)
    except OSError as e:
        raise StoreError(f"cannot write {file} ({e.strerror or e}): choose a folder that can be written") from None
    finally:
        temporary.unlink(missing_ok=True)
