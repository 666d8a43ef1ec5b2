"""A fit in one netCDF file: draws, runs and the recipe as JSON. Loading executes nothing from the file."""

import hashlib
import json
import os
import warnings
from collections.abc import Buffer, Mapping
from dataclasses import fields
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models, sampler
from bayeslaw.base.files import replacing
from bayeslaw.base.version import VERSION
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.declare.priors import Prior
from bayeslaw.errors import BayeslawError, StoreError, UnknownName
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.posterior.hdf5 import fault, json_of
from bayeslaw.spec.misfit import Misfit
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.units import NATS

__all__ = ["expected_size", "fingerprint", "load", "save"]

SEAL = b"\nbayeslaw sha-256 "
"""Ends the netCDF content; after it comes its hash. Readers of netCDF stop before it.

HDF5's own checksums (fletcher32) do not cover its heap of texts and references: damage there changes labels in silence,
or the library reads for ever.
"""

AREA_SETTINGS = ("memory", "warmup_counted", "tail", "power_C", "power_beta", "power_gamma")
"""Columns of older curves, each of one value."""

STATISTICS = 6
"""Of the sampler, for a draw."""

HEADERS = 300_000
"""Bytes for names, units, labels and the recipe."""

POINTS = 4
"""Points at which a law is told from another."""

TRANSFORMS = (None, "exp", "log", "sigmoid", "softplus", "sqrt", "tanh")
"""What a prior in a file may be transformed by."""


def save(fit: Posterior, path: str | Path) -> Path:
    """Write a fit, beside the target first and then renamed, so that an interrupted save loses nothing.

    HDF5 makes the file in memory: on a full disk its library ends the process.
    """
    path, model = Path(path), fit.model
    recipe = {
        "bayeslaw": VERSION,
        "law": model.law.name,
        "law_hash": fingerprint(model.law),
        "by": dict(model.by),
        "priors": {k: _plain(p) for k, p in model.priors.items()},
        "noise": {f.name: _plain(getattr(model.noise, f.name)) for f in fields(model.noise)},
        "reference": dict(model.reference),
        "loss_scale": model.loss_scale,
        "monotone": model.monotone,
        "outside": model.outside,
        "misfit": _misfit_recipe(model.misfit) if isinstance(model.misfit, Misfit) else None,
        "roles": dict(model.roles),
        "evals": list(model.runs.evals),
        "note": model.runs.note,
        "area_settings": dict(model.runs.area_settings),
        "unit": model.runs.unit,
        "settings": dict(fit.settings),
        "seconds": fit.seconds,
    }
    groups = {name: node.to_dataset() for name, node in fit.idata.children.items()}
    groups |= {"runs": _to_dataset(model.runs.table), "baseline": _to_dataset(model.runs.baseline)}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs["bayeslaw"] = json.dumps(recipe)
    with tree.to_netcdf(engine="h5netcdf") as content:
        seal = _seal(content)
        with replacing(path, len(content) + len(seal)) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.write(seal)
    return path


def expected_size(model: Specification, draws: int) -> int:
    """Return an upper estimate of the bytes of a fit's file, before it is made; draws are those of all chains."""
    tables = sum(int(t.memory_usage(deep=True).sum()) for t in (model.runs.table, model.runs.baseline))
    weights = len(model.design.evals) * sum(len(p) for p in model.processes.values())
    variables = 2 * sampler.Parameters(model).size + weights + STATISTICS  # once more in the units of the paper
    return 8 * draws * variables + (3 + len(model.runs.evals)) * tables + HEADERS


def load(path: str | Path, law: Law | None = None, kind: type[Specification] = Specification) -> Posterior:
    """Read a fit back, its model made as that kind; see `bayeslaw.load`."""
    path = Path(path)
    tree, recipe = _read(path)
    if law is None:
        if recipe["law"] not in models.catalogue:
            raise UnknownName(
                f"the law {recipe['law']!r} of {path} is not in the catalogue of this version: give it, "
                "load(path, law=...)"
            )
        law = models.catalogue[recipe["law"]]
    if fingerprint(law) != recipe["law_hash"]:
        warnings.warn(
            f"the law {law.name} has changed since {path.name} was made: its draws are kept, its predictions use "
            "the new law",
            stacklevel=2,
        )
    try:
        return _fit(tree, recipe, law, kind)
    except BayeslawError as e:
        raise StoreError(f"{path} does not fit the law {law.name}: {e}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        reason = " ".join(str(e).split())[:120]
        raise StoreError(
            f"{path} is incomplete ({type(e).__name__}: {reason}): give a file as fit.save wrote it"
        ) from None


def _read(path: Path) -> tuple[xr.DataTree, dict[str, Any]]:
    """Return what a file holds, after its seal was found whole."""
    if not os.path.isfile(path):
        raise StoreError(f"there is no file {str(path)[:80]!r}: check the path")
    try:
        if _is_damaged(path):
            raise StoreError(f"{path} was damaged after fit.save wrote it: restore a copy, or fit again")
        with h5py.File(path) as file:
            if found := fault(file):
                raise StoreError(f"{path} holds {found}, which no fit holds: give a file written by fit.save")
            recipe = json_of(file.attrs["bayeslaw"])
        if not isinstance(recipe, dict) or not all(isinstance(recipe.get(k), str) for k in ("law", "law_hash")):
            raise ValueError
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            return opened.load(), recipe
    except StoreError:
        raise
    except Exception as e:  # h5py and xarray raise many kinds
        raise StoreError(
            f"cannot read {path} as a fit of bayeslaw ({type(e).__name__}): give a file written by fit.save"
        ) from None


def _seal(content: Buffer) -> bytes:
    return SEAL + hashlib.sha256(content).hexdigest().encode()


def _is_damaged(path: Path) -> bool:
    """Tell whether a seal ends the file and is not its own; files of version 0.1.0 may have none."""
    with path.open("rb") as file:
        size = max(file.seek(0, os.SEEK_END) - len(SEAL) - 64, 0)
        file.seek(size)
        seal = file.read()
        if not seal.startswith(SEAL):
            return False
        with mmap(file.fileno(), size, access=ACCESS_READ) as content:
            return seal != _seal(content)


def _fit(tree: xr.DataTree, recipe: Mapping[str, Any], law: Law, kind: type[Specification]) -> Posterior:
    noise: dict[str, Any] = {k: _prior(v) if isinstance(v, dict) else v for k, v in recipe["noise"].items()}
    model = kind(
        law,
        _runs(tree, recipe),
        by=recipe["by"],
        priors={k: _prior(p) for k, p in recipe["priors"].items()},
        noise=Noise(**noise),
        reference=recipe["reference"],
        loss_scale=recipe.get("loss_scale", 1.0),
        monotone=recipe["monotone"],
        outside=recipe["outside"],
        misfit=_misfit(recipe.get("misfit")),
        roles=recipe.get("roles", {}),
    )
    groups = {k: node.to_dataset() for k, node in tree.children.items() if k not in ("runs", "baseline")}
    posterior = groups["posterior"]
    if list(posterior["eval"].values) != recipe["evals"]:
        raise ValueError("the draws are of other validation sets than this model's")
    dims = {name: () if c.role else ("eval",) for name, c in law.coefficients.items()} | {"sigma": ("eval",)}
    for name, own in dims.items():
        if not {"chain", "draw", *own} <= set(posterior[name].dims):
            raise ValueError(f"the draws of {name} are not those of this model")
    return posterior_of(model, xr.DataTree.from_dict(groups), recipe["settings"], float(recipe["seconds"]))


def _runs(tree: xr.DataTree, recipe: Mapping[str, Any]) -> Runs:
    table = _to_frame(tree["runs"].to_dataset())
    baseline = _to_frame(tree["baseline"].to_dataset(), like=table)
    areas = dict(recipe.get("area_settings", {}))
    if "area_settings" not in recipe and set(AREA_SETTINGS) <= set(table):  # as curves of version 0.1.0 have them
        areas = {name: table.pop(name).tolist()[0] for name in AREA_SETTINGS}
    return Runs(table, tuple(recipe["evals"]), baseline, recipe.get("note", ""), areas, recipe.get("unit", NATS))


def _misfit_recipe(misfit: Misfit) -> dict[str, Any]:
    levels = {k: np.asarray(x, float).tolist() for k, x in misfit.levels.items()}
    return {"slopes": {k: _plain(p) for k, p in misfit.slopes.items()}, "levels": levels}


def _misfit(recipe: Mapping[str, Any] | None) -> Misfit | None:
    if recipe is None:
        return None
    levels = {k: np.array(x, float) for k, x in recipe["levels"].items()}
    return Misfit({k: _prior(p) for k, p in recipe["slopes"].items()}, levels)


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Prior) else value


def _prior(recipe: Any) -> Prior:
    """Return a prior from its recipe, which may name distributions and hold numbers, nothing else."""
    if not (isinstance(recipe, dict) and set(recipe) <= {"dist", "kwargs", "centered", "dims", "transform"}):
        raise ValueError("a prior is not written as one")
    if recipe.get("transform") not in TRANSFORMS:
        raise ValueError(f"a prior has the transform {recipe['transform']!r}")
    for value in recipe.get("kwargs", {}).values():
        _ = _prior(value) if isinstance(value, dict) else np.asarray(value, dtype=float)
    return Prior.from_dict(recipe)


def fingerprint(law: Law) -> str:
    """Return a hash of what a law does: its losses at a few points, its priors and its ranges; not of its words."""
    rng = np.random.default_rng(0)
    reference = law.reference()
    columns = xr.Dataset(coords={"eval": list(law.evals) or ["validation"], "source": list("abc")})
    for name in law.columns:
        dims = {"source": 3} if name in law.vectors or name == WEIGHT else {"point": POINTS}
        at = rng.uniform(0.2, 0.8, list(dims.values())) * reference.get(name, 1.0)
        columns[name] = xr.DataArray(at, dims=list(dims))
    sizes = {"source": 3}
    coefficients = {
        k: xr.DataArray(rng.uniform(0.2, 0.8, [sizes[c.over]] if c.over else []), dims=[c.over] if c.over else [])
        for k, c in law.coefficients.items()
    }
    with np.errstate(all="ignore"):
        losses = law(*law.inputs(columns, reference).values(), **coefficients)
    about = {
        "losses": [f"{x:.9g}" for x in np.ravel(losses.values)],
        "coefficients": {
            k: [_plain(c.prior), c.between, c.seen_along, c.floor, *([c.role] if c.role else [])]
            for k, c in law.coefficients.items()
        },
        "covariates": {k: [c.valid, c.reference, c.of] for k, c in law.covariates.items()},
        "shape": [law.evals, law.path, law.falls_in, law.falls_faster],
    }
    return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:16]


def _to_dataset(frame: pd.DataFrame) -> xr.Dataset:
    """Return a table as a Dataset: numbers and truths as they are, anything else as text.

    Its attributes say the type of every column, and in which rows it has a gap.
    """
    columns: dict[str, Any] = {}
    gaps: dict[str, list[int]] = {}
    frame = frame.set_axis([str(c) for c in frame.columns], axis="columns")
    for name in map(str, frame):
        values = frame[name].to_numpy()
        if values.dtype.kind not in "fiub":
            if (missing := frame[name].isna().to_numpy()).any():
                gaps[name] = np.flatnonzero(missing).tolist()
            texts = ["" if gap else str(v) for v, gap in zip(frame[name], missing, strict=True)]
            values = np.array(texts, dtype=object)
        columns[_variable(name)] = ("row", values)
    attributes = {"columns": list(frame), "types": frame.dtypes.map(str).to_dict(), "gaps": gaps}
    return xr.Dataset(columns, attrs={k: json.dumps(v) for k, v in attributes.items()})


def _variable(column: str) -> str:
    """Return the name of a column in a file, where a slash would name a group."""
    return column.replace("/", "\u2215")


def _to_frame(dataset: xr.Dataset, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the table of a Dataset; columns of a file without types have those of another table."""
    names, types, truths, gaps = (json_of(dataset.attrs.get(k, "{}")) for k in ("columns", "types", "truths", "gaps"))
    columns, texts = {}, []
    for name in names:
        values = dataset[_variable(name)].values
        if values.dtype.kind not in "fiub":
            texts.append(name)
            values = values.astype(object)
            values[gaps.get(name, [])] = None
        columns[name] = pd.Series(values, dtype=values.dtype)
    if not types:  # as in files of version 0.1.0
        types = dict.fromkeys(texts, "str") | dict.fromkeys(truths, "bool")
        types |= {} if like is None else like.dtypes.filter(names).to_dict()
    return pd.DataFrame(columns).astype(types)
