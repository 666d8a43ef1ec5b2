"""A fit in one netCDF file: draws, runs and the recipe as JSON. Loading executes nothing from the file."""

import hashlib
import inspect
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.errors import StoreError, unknown_name
from bayeslaw.law import Law
from bayeslaw.model import Model
from bayeslaw.noise import Noise
from bayeslaw.priors import Prior
from bayeslaw.runs import Runs

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["load", "save"]


def save(fit: "Fit", path: str | Path) -> Path:
    """Write a fit, beside the target first and then renamed, so that an interrupted save loses nothing."""
    import bayeslaw

    path, model = Path(path), fit.model
    recipe = {
        "bayeslaw": bayeslaw.__version__,
        "law": model.law.name,
        "law_hash": fingerprint(model.law),
        "by": dict(model.by),
        "priors": {k: p.to_dict() for k, p in model.priors.items()},
        "noise": {"correlated": model.noise.correlated, "joint": model.noise.joint, "robust": model.noise.robust},
        "reference": dict(model.reference),
        "monotone": model.monotone,
        "outside": model.outside,
        "evals": list(model.runs.evals),
        "settings": dict(fit.settings),
        "seconds": fit.seconds,
    }
    tree = xr.DataTree.from_dict(
        {
            **{name: node.to_dataset() for name, node in fit.idata.children.items()},
            "runs": _to_dataset(model.runs.table),
            "baseline": _to_dataset(model.runs.baseline),
        }
    )
    tree.attrs["bayeslaw"] = json.dumps(recipe)
    for node in tree.children.values():
        for v in map(str, node.variables):
            if node[v].dtype == bool:
                node[v] = node[v].astype("int8")
    temporary = path.with_name(f".{path.name}.part")
    try:
        tree.to_netcdf(temporary, engine="h5netcdf")
        os.replace(temporary, path)
    except OSError as e:
        raise StoreError(
            f"cannot write {path} ({e.strerror or e}): choose a folder that exists and can be written"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load(path: str | Path, law: Law | None = None) -> "Fit":
    """Read a fit back.

    Parameters
    ----------
    path : path
        A file written by `Fit.save`.
    law : Law, optional
        The law, if it is not in the catalogue.

    Raises
    ------
    StoreError
        The file is missing, damaged or not a fit.

    Warns
    -----
    UserWarning
        The law has changed since the fit was made.
    """
    from bayeslaw import models
    from bayeslaw.fit import Fit

    path = Path(path)
    if not path.is_file():
        raise StoreError(f"no file {str(path)!r}: check the path")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
        recipe = json.loads(tree.attrs["bayeslaw"])
    except KeyError:
        raise StoreError(f"{path} is a netCDF file but not a fit of bayeslaw: give one written by fit.save") from None
    except Exception as e:  # h5py and xarray raise many kinds for damaged files
        raise StoreError(f"cannot read {path} ({type(e).__name__}): give a file written by fit.save") from None
    if law is None:
        if recipe["law"] not in models.catalogue:
            raise unknown_name(
                "law in the catalogue (pass it with load(path, law=...))", recipe["law"], models.catalogue
            )
        law = models.catalogue[recipe["law"]]
    if fingerprint(law) != recipe["law_hash"]:
        warnings.warn(
            f"the law {law.name} has changed since {path.name} was made: its draws are kept, its predictions use "
            "the new law",
            stacklevel=2,
        )
    runs = Runs(_to_frame(tree["runs"].to_dataset()), tuple(recipe["evals"]), _to_frame(tree["baseline"].to_dataset()))
    model = Model(
        law,
        runs,
        by=recipe["by"],
        priors={k: Prior.from_dict(p) for k, p in recipe["priors"].items()},
        noise=Noise(**recipe["noise"]),
        reference=recipe["reference"],
        monotone=recipe["monotone"],
        outside=recipe["outside"],
    )
    groups = {k: node.to_dataset() for k, node in tree.children.items() if k not in ("runs", "baseline")}
    return Fit(model, xr.DataTree.from_dict(groups), recipe["settings"], recipe["seconds"])


def fingerprint(law: Law) -> str:
    """Return a hash of the law's equation in code and of its coefficients."""
    try:
        code = inspect.getsource(law.function)
    except OSError:
        code = law.equation
    return hashlib.sha256((code + ",".join(law.coefficients)).encode()).hexdigest()[:16]


def _to_dataset(frame: pd.DataFrame) -> xr.Dataset:
    columns: dict[str, Any] = {}
    for c in frame.columns:
        values = frame[c].to_numpy()
        columns[str(c)] = (
            "row",
            values if values.dtype.kind in "fiub" else np.asarray(values.astype(str), dtype=object),
        )
    return xr.Dataset(columns, attrs={"columns": json.dumps([str(c) for c in frame.columns])})


def _to_frame(dataset: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame({c: dataset[c].values for c in json.loads(dataset.attrs["columns"])})
