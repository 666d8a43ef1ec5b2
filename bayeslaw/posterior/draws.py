"""Posterior draws of a model, and the losses that they predict."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce, singledispatch, wraps
from operator import add
from typing import Any, Self
from zlib import crc32

import numpy as np
import xarray as xr

from bayeslaw import sampler
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import between, exact
from bayeslaw.base.words import span
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.spec.misfit import Process
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.mixtures import as_weights
from bayeslaw.tables.plausible import check_count

__all__ = ["UNSEEN", "Posterior", "kept", "posterior_of"]

UNSEEN = "(unseen)"
"""The label of a group that was not fitted: its coefficients are drawn from the population."""

MANY = 4_000_000
"""Losses from which the compiled function is worth its compilation, half a second where no process has done it yet."""

LARGEST = float(np.finfo(float).max)

POSSIBLE = {
    "N": (1.0, LARGEST, "a number of parameters"),
    "D": (0.0, LARGEST, "a number of tokens"),
    "U": (1.0, LARGEST, "a number of unique tokens"),
    "domain_share": (-1e-9, 1 + 1e-9, "a share in [0, 1]"),
    "duration": (-1e-9, 1 + 1e-9, "a share of the training in [0, 1]"),
}
"""What a run can have of a column, and what to give."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """A model, draws of its parameters, and how they were made: the fields of `bayeslaw.Fit`."""

    model: Specification
    idata: xr.DataTree
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = float("nan")
    kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without what was computed of the draws."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"kept": {}}

    @property
    def evals(self) -> list[str]:
        """Names of the validation sets."""
        return self.model.design.evals

    @property
    def method(self) -> str:
        """How the draws were made: "nuts", "mle", "prior" or "new domain"."""
        return str(self.settings.get("method", "nuts"))

    @property
    def sampled(self) -> bool:
        """Whether a sampler left its statistics, so that convergence can be judged."""
        return "sample_stats" in self.idata.children

    @property
    def draws(self) -> int:
        """Number of draws, those of all chains together."""
        sizes = self.idata["posterior"].sizes
        return int(sizes["chain"] * sizes["draw"])

    @property
    def noise(self) -> Noise:
        """The error model of new runs: maximum likelihood knows only its spread, so errors are independent there."""
        noise, known = self.model.noise, self.posterior
        return replace(
            noise,
            correlated=bool(noise.correlated) and "run_weight" in known,
            joint=bool(noise.joint) and "eval_correlation" in known,
            batch=bool(noise.batch) and "batch_effect" in known,
            size_exponent=noise.size_exponent if "size_exponent" in known else None,
        )

    @property
    def posterior(self) -> xr.Dataset:
        """Draws of every parameter."""
        return self.idata["posterior"].to_dataset()

    def columns(self, /, **given: Any) -> xr.Dataset:
        """Return covariates and labels as named arrays: scalars stay scalars, a 1-d array gets a dim of its own name.

        Raises
        ------
        UnknownName, DataError
            A name the fit does not know, or one it needs and did not get.
        RangeError
            A value that no run can have.
        """
        design = self.model.design
        labels = [c for c in ("domain", *design.groups) if c in design.rows]
        known = list(dict.fromkeys([*self.model.law.columns, *labels]))
        arrays: dict[str, xr.DataArray] = {}
        for name, value in given.items():
            if name not in known:
                raise unknown_name(f"column of a fit of {self.model.law.name}", name, known)
            if value is None:
                continue
            if name == WEIGHT:
                arrays[name] = as_weights(value, design.rows["source"].values)
            elif isinstance(value, xr.DataArray):
                arrays[name] = value
            else:
                a = np.asarray(value)
                if a.ndim > 1:
                    raise DataError(
                        f"{name} has {a.ndim} dimensions: give a number, a list, or a DataArray with named dims"
                    )
                arrays[name] = xr.DataArray(a, dims=(name,) * a.ndim, coords={name: a} if a.ndim else None)
            if not arrays[name].size:
                raise DataError(f"{name} is empty: give at least one value")
            if name in self.model.law.columns and name != WEIGHT:
                _check_numbers(name, arrays[name].values, self.model.law)
        for name in known:
            if name in arrays:
                continue
            if (value := design.feature(name, arrays)) is not None:
                arrays[name] = value
                continue
            if name in self.model.law.columns:
                raise DataError(self._missing(name))
            if name in design.groups:
                if len(design.groups[name]) > 1:
                    raise DataError(f"{name} is missing: give one of {', '.join(map(str, design.groups[name]))}")
                arrays[name] = xr.DataArray(design.groups[name][0])
        for name in labels:
            if name in arrays and name not in self.model.law.columns:
                known_labels = [str(x) for x in np.unique(design.rows[name].values)]
                if design.rows[name].dtype.kind not in "fiub":  # a domain called 7 is no number
                    arrays[name] = arrays[name].astype(str)
                asked = arrays[name].values
                numbers = asked.dtype.kind in "iu" and design.rows[name].dtype.kind == "f"
                for label in np.unique(asked.astype(float) if numbers else asked):
                    if str(label) not in known_labels and label != UNSEEN:
                        raise unknown_name(f"{name} (bl.UNSEEN stands for a new one)", label, known_labels)
        return xr.Dataset(arrays)

    def _missing(self, name: str) -> str:
        """Return a sentence on a covariate that a question does not give."""
        law = self.model.law
        covariate = law.covariates.get(name)
        if covariate is None or covariate.start is None:
            return f"{name} is missing: {law.name} needs {', '.join(law.columns)}"
        known = span(str(covariate.of), self.model.design.rows[covariate.of].values)
        return (
            f"{name} is missing, the {covariate.start} loss of a base model that the runs do not have ({known}): give "
            "it as baseline where a rise is limited, as L_base elsewhere"
        )

    def coefficients(self, columns: xr.Dataset, seed: int = 0) -> dict[str, xr.DataArray]:
        """Return the coefficients that apply to those columns; an unseen group's are drawn from its population."""
        posterior, result = self.posterior, {}
        for name in self.model.law.coefficients:
            c = posterior[name]
            for dim in [d for d in c.dims if d in self.model.design.groups]:
                c = self._select(name, c, str(dim), columns[dim], seed)
            result[name] = c
        return result

    def _select(self, name: str, c: xr.DataArray, dim: str, labels: xr.DataArray, seed: int) -> xr.DataArray:
        known = self.model.design.groups[dim]
        wanted, place = np.unique(labels.values, return_inverse=True)
        parts = []
        for label in wanted:
            if known.dtype.kind in "fiu" and label != UNSEEN:
                label = float(label)
                where = np.flatnonzero(np.isclose(known, label, rtol=1e-6))
            else:
                where = np.flatnonzero(known == label)
            if len(where):
                parts.append(c.isel({dim: int(where[0])}, drop=True))
                continue
            if name not in self.model.by:
                raise RangeError(
                    f"{name} is separate by {dim} and was not fitted at {dim} {label}: pool it with "
                    f"by={{{name!r}: {dim!r}}}"
                )
            mu, sigma = self.posterior[f"{name}_mu"], self.posterior[f"{name}_sigma"]
            number = list(self.model.law.coefficients).index(name)
            z = np.random.default_rng([seed, number, crc32(str(label).encode())]).standard_normal(mu.shape)
            drawn = mu + sigma * z
            parts.append(
                xr.ufuncs.exp(drawn) if self.model.coefficient_priors[name].distribution == "LogNormal" else drawn
            )
        if labels.ndim == 0:
            return parts[0]
        index = xr.DataArray(
            place.reshape(labels.shape),
            dims=labels.dims,
            coords={k: v for k, v in labels.coords.items() if k in labels.dims},
        )
        return xr.concat(parts, dim="__label").isel(__label=index)

    @property
    def processes(self) -> Mapping[str, Process]:
        """The processes of what the law misses; none of a fit by maximum likelihood."""
        known = self.posterior
        return {k: p for k, p in self.model.processes.items() if p.weights in known}

    def misfit(self, columns: xr.Dataset, *names: str) -> xr.DataArray:
        """Return what the law misses at those columns, on the log scale: all processes, or those named."""
        along: dict[frozenset[Any], list[tuple[xr.DataArray, xr.DataArray]]] = {}
        for name, process in self.processes.items():
            if not names or name in names:
                basis = process.basis(columns).rename({process.dim: "function"})
                weights = self.posterior[process.slope] * self.posterior[process.weights].drop_vars(process.dim)
                along.setdefault(frozenset(basis.dims), []).append((basis, weights.rename({process.dim: "function"})))
        found = []
        for parts in along.values():  # those along the same dims are one product of matrices
            basis, weights = (xr.concat(part, "function", coords="minimal") for part in zip(*parts, strict=True))
            found.append(xr.dot(basis, weights, dim="function", optimize=True))
        return reduce(add, found) if found else xr.DataArray(0.0)

    def without_misfit(self) -> Self:
        """Return the fit with the law alone: predictions and decisions leave out what the misfit adds to it."""
        weights = [process.weights for process in self.processes.values()]
        idata = self.idata.copy()
        idata["posterior"] = xr.DataTree(self.posterior.drop_vars(weights))
        return replace(self, idata=idata)

    @property
    def mean_name(self) -> str:
        """What a prediction or a decision is of, if not of a new run."""
        return "mean law with its misfit" if self.processes else "mean law"

    def loss(self, columns: xr.Dataset, new_run: bool = False, seed: int = 0) -> xr.DataArray:
        """Return losses (nats per token), dims chain, draw, eval and those of the columns.

        ``new_run`` adds the error of a run that was not measured; cells that differ only in tokens are checkpoints of
        one new run.
        """
        law = self.model.law
        inputs = law.inputs(self.model.design.with_evals(columns), self.model.reference)
        loss = self._many(inputs, columns, seed)
        if loss is None:
            loss = law(*inputs.values(), **self.coefficients(columns, seed))
        if self.processes:
            loss = loss * xr.ufuncs.exp(self.misfit(columns))
        order = [d for d in ("chain", "draw", "eval") if d in loss.dims]
        loss = loss.transpose(*order, ...)
        if new_run:
            along = law.path in columns and columns[law.path].dims == (law.path,)
            rng = np.random.default_rng([seed, 1])
            log_path = xr.ufuncs.log(columns[law.path]) if along else None
            loss = loss * xr.ufuncs.exp(self.errors(loss, columns, rng, log_path=log_path))
        return loss.rename("loss")

    def _many(self, inputs: Mapping[str, xr.DataArray], columns: xr.Dataset, seed: int) -> xr.DataArray | None:
        """Return losses if they are many, the same at all draws in their covariates, and the law can be compiled."""
        law, posterior = self.model.law, self.posterior
        by = {d for name in law.coefficients for d in posterior[name].dims if d in self.model.design.groups}
        labels = {d: columns[d] for d in self.model.design.groups if d in by}
        sizes = {d: n for x in (*inputs.values(), *labels.values()) for d, n in x.sizes.items() if d not in law.over}
        cells = self.draws * math.prod((sizes | {"eval": len(self.evals)}).values())
        if cells < MANY or not sizes.keys().isdisjoint(SAMPLE):
            return None
        place, combinations = sampler.places(labels)
        return sampler.compiled_losses(law, inputs, self.coefficients(combinations, seed), place)

    def errors(
        self,
        like: xr.DataArray,
        columns: xr.Dataset,
        rng: np.random.Generator,
        *,
        log_path: xr.DataArray | None = None,
        parameters: xr.Dataset | None = None,
    ) -> xr.DataArray:
        """Draw the errors of new runs at those columns, on the log scale; see `bayeslaw.spec.noise.Noise.sample`."""
        parameters = self.posterior if parameters is None else parameters
        drawn = self.noise.sample(parameters, like, log_path, rng)
        result: xr.DataArray = drawn * self.noise.at_size(parameters, self.model.design.log_size(columns))
        return result.transpose(*like.dims, ...)

    def error(self, seed: int = 0, columns: xr.Dataset | None = None) -> xr.DataArray:
        """Return one error of a new run per draw and validation set, on the log scale, of the sizes of the columns."""
        at = xr.Dataset() if columns is None else columns
        rng = np.random.default_rng([seed, 2])
        return self.errors(xr.zeros_like(self.posterior["sigma"]), at, rng)


def _check_numbers(name: str, values: np.ndarray, law: Law) -> None:
    if values.dtype.kind not in "fiu":
        raise DataError(f"{name} is {str(values.ravel()[0])[:80]!r}, which is not a number: give numbers")
    low, high, what = POSSIBLE.get(name, (-np.inf, np.inf, "a number"))
    covariate = law.covariates.get(name)
    if covariate is not None and covariate.of is not None:
        low, high = covariate.valid
        what = f"{between(low, high)} {covariate.unit}, as {law.name} takes it"
    if (bad := ~((values >= low) & (values <= high))).any():
        raise RangeError(f"{name} is {exact(values[bad].ravel()[0])}: give {what}")
    check_count(name, values)


@singledispatch
def posterior_of(model: Specification, idata: xr.DataTree, settings: Mapping[str, Any], seconds: float) -> Posterior:
    """Return draws as what a model of this kind is answered with: a `bayeslaw.Fit` for a `bayeslaw.Model`."""
    return Posterior(model, idata, settings, seconds)


def kept[R](function: Callable[[Posterior], R]) -> Callable[[Posterior], R]:
    """Return the function as one that computes its result once for a fit, and keeps it there."""

    @wraps(function)
    def once(fit: Posterior) -> R:
        if function not in fit.kept:
            fit.kept[function] = function(fit)
        found: R = fit.kept[function]
        return found

    return once
