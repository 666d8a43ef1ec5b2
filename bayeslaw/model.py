"""A law bound to runs, with priors, pooling and an error model: a plain PyMC model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pymc as pm
import pymc.dims as pmd
import xarray as xr

from bayeslaw.design import Design
from bayeslaw.errors import DataError, LawError, shown, unknown_name
from bayeslaw.law import Law
from bayeslaw.noise import Noise
from bayeslaw.priors import Prior, describe, pooled, with_dims
from bayeslaw.runs import Runs
from bayeslaw.shape import RISE, Shape
from bayeslaw.words import facts, facts_html

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["Model"]


@dataclass(frozen=True, eq=False)
class Model:
    """A law, the runs it is fitted to, priors, pooling and errors.

    Parameters
    ----------
    law : Law
        A law of `bayeslaw.models`, or your own.
    runs : Runs
        Checked measurements (`read_runs`).
    by : mapping, optional
        ``{coefficient: column}``: partial pooling; the coefficient has one value per label of the column, and its prior
        becomes the prior of their population. Every coefficient also has one value per validation set, unpooled.
    priors : mapping, optional
        ``{coefficient: Prior}`` in place of the card's. A Prior with its own ``dims`` is used as it is (no pooling).
    noise : Noise, optional
        Error model; the default follows from the structure of the table.
    reference : mapping, optional
        The study's own reference run, for example ``{"N": 2e5, "D": 1e6}``; priors are read there.
    monotone : {"observed", "paper", None}
        Shape prior: the loss falls in the covariates the paper names over the observed range; by the paper's
        sufficient condition; or none.
    outside : {"exclude", "include"}
        Whether rows outside the law's range count in the likelihood (and decisions may go there).

    Raises
    ------
    DataError, UnknownName, LawError
        Before anything is compiled.
    """

    law: Law
    runs: Runs
    by: Mapping[str, str] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)
    noise: Noise = field(default_factory=Noise)
    reference: Mapping[str, float] = field(default_factory=dict)
    monotone: Literal["observed", "paper"] | None = "observed"
    outside: Literal["exclude", "include"] = "exclude"

    def __post_init__(self) -> None:
        if not isinstance(self.law, Law):
            raise LawError(
                f"law is {shown(self.law)}, not a Law: take one from bayeslaw.models or declare one with @bayeslaw.law"
            )
        if not isinstance(self.runs, Runs):
            raise DataError(f"runs is a {type(self.runs).__name__}: read the table first, bl.read_runs(table)")
        if not isinstance(self.noise, Noise):
            raise LawError(f"noise is {shown(self.noise)}: give bl.Noise(...), or leave it out for the default")
        for what, given in (("by", self.by), ("priors", self.priors)):
            if not isinstance(given, Mapping):
                raise LawError(
                    f"{what} is {shown(given)}: give a mapping from coefficients, for example by={{'E': 'domain'}}"
                )
            for name in given:
                if name not in self.law.coefficients:
                    raise unknown_name(f"coefficient of {self.law.name} (in {what}=)", name, self.law.coefficients)
        for name, column in self.by.items():
            if not isinstance(column, str):
                raise LawError(f"by[{name!r}] is {column!r}: give one column, for example by={{{name!r}: 'domain'}}")
        if self.monotone is not None and str(self.monotone) not in ("observed", "paper"):
            raise unknown_name("shape prior", self.monotone, ("observed", "paper", None))
        if str(self.outside) not in ("exclude", "include"):
            raise unknown_name("choice for outside=", self.outside, ("exclude", "include"))
        if self.monotone == "paper" and self.law.sufficient_shape is None:
            raise LawError(
                f"the paper of {self.law.name} states no sufficient condition: use monotone='observed' or None"
            )
        object.__setattr__(self, "reference", self.law.reference(self.reference))
        object.__setattr__(self, "by", dict(self.by))
        object.__setattr__(self, "priors", dict(self.priors))
        settled = self.noise.settled(
            self.design.has_checkpoints(),
            len(self.design.evals),
            bool(self.design.known_error.any()),
            self.design.shares_orders(),
        )
        object.__setattr__(self, "noise", settled)
        _ = self.coefficient_priors
        if settled.size_exponent is not None and "N" not in (*self.law.columns, *self.design.groups):
            raise DataError(
                f"size_exponent is about model sizes, and neither {self.law.name} nor by= knows N: leave it out, or "
                "pool a coefficient by N"
            )

    @cached_property
    def design(self) -> Design:
        """The runs arranged for the law."""
        from_priors = (d for p in self.priors.values() if isinstance(p, Prior) for d in (p.dims or ()) if d != "eval")
        dims = tuple(d for d in dict.fromkeys([*self.by.values(), *from_priors]) if d not in (*self.law.over, "eval"))
        return Design.of(self.law, self.runs, self.reference, dims, self.outside == "include")

    @cached_property
    def coefficient_priors(self) -> dict[str, Prior]:
        """The prior of every coefficient, with its dims."""
        priors = {}
        for name, coefficient in self.law.coefficients.items():
            prior = self.priors.get(name, coefficient.prior)
            if not isinstance(prior, Prior):
                raise LawError(
                    f"the prior of {name} is {shown(prior)}: give bl.positive(...), bl.real(...) or a bl.Prior"
                )
            if name in self.by:
                if prior.dims:
                    raise LawError(
                        f"{name} is pooled by {self.by[name]!r} and its prior has dims {prior.dims}: keep one of the "
                        "two"
                    )
                if self.by[name] in self.law.over and self.by[name] != coefficient.over:
                    raise LawError(f"{name} is one for all {self.by[name]}s: pool it over a column of the runs, or not")
                within = tuple(d for d in ("eval", coefficient.over) if d and d != self.by[name])
                prior = pooled(name, prior, (self.by[name],), within, coefficient.between)
            elif "eval" not in (prior.dims or ()):
                over = (coefficient.over,) if coefficient.over else ()
                prior = with_dims(prior, tuple(dict.fromkeys(("eval", *(prior.dims or ()), *over))))
            priors[name] = prior
        return priors

    @property
    def batch_coords(self) -> dict[str, np.ndarray]:
        """The labels of the batches, where runs share their noise."""
        return {"batch": self.design.batches[0]} if self.noise.batch else {}

    @cached_property
    def pymc_model(self) -> pm.Model:
        """The model as a plain `pymc.Model`: priors on the coefficients, the law, the errors."""
        d, shared = self.design, self._shared()
        sizes = {dim: np.arange(n) for v in shared.values() for dim, n in zip(v.dims, v.shape, strict=True)}
        coords = sizes | {"eval": d.evals, **(d.levels if d.on_grid else {}), **d.groups, **d.over, **self.batch_coords}
        with pm.Model(coords=coords) as model:
            data = {k: pmd.Data(k, v.values, dims=v.dims) for k, v in shared.items()}
            coefficients = {k: p.create_variable(k, xdist=True) for k, p in self.coefficient_priors.items()}
            errors = {k: p.create_variable(k, xdist=True) for k, p in self.noise.priors(len(d.evals)).items()}
            if violations := self.shape.violations(coefficients):
                # a pseudo-observation, since a Potential of named arrays has no gradient in PyMC 6.3
                total = sum((v**2).sum() for v in violations) + 1e-20
                pmd.Normal("shape", mu=total**0.5, sigma=RISE, observed=xr.DataArray(0.0))
            log_mean = pm.dims.math.log(
                self.law(*(data[f"x_{c}"] for c in self.law.covariates), **self._by_row(coefficients, data))
            )
            center, scale = self._likelihood(log_mean, errors, data)
            distribution = pmd.StudentT if self.noise.robust else pmd.Normal
            shape = {"nu": 5.0} if self.noise.robust else {}
            distribution("log_loss", mu=center, sigma=scale, **shape, observed=data["observed"])
        return model

    def _shared(self) -> dict[str, xr.DataArray]:
        d = self.design
        shared = {f"x_{k}": v for k, v in d.inputs().items()}
        rows_needed = self.noise.correlated or self.noise.joint
        pick = ("row" if rows_needed else "measurement",)
        for dim, position in d.positions().items():
            shared[f"at_{dim}"] = xr.DataArray(position if rows_needed else position[d.cells["row"]], dims=pick)
        if rows_needed:
            dims = {"measured": ("row", "eval"), "previous": ("row", "eval"), "gap": ("row", "eval")}
            for k, v in d.order().items():
                shared[k] = xr.DataArray(v, dims=dims.get(k, ("eval",) if k == "eval_number" else ("row",)))
            shared["log_loss_row"] = xr.ufuncs.log(d.rows["loss"].reset_coords(drop=True)).transpose("row", "eval")
            if not self.noise.correlated:
                shared = {k: v for k, v in shared.items() if k not in ("previous", "gap", "start", "eval_number")}
        elif not d.on_grid:
            shared = {
                k: v.isel(row=d.cells["row"]).rename(row="measurement") if "row" in v.dims else v
                for k, v in shared.items()
            }
        if self.noise.batch:
            number = d.batches[1]
            shared["at_batch"] = xr.DataArray(number if rows_needed else number[d.cells["row"]], dims=pick)
        shared["cell_eval"] = xr.DataArray(d.cells["eval"], dims="measurement")
        if rows_needed:
            shared["cell_row"] = xr.DataArray(d.cells["row"], dims="measurement")
        if d.known_error.any():
            shared["known_error"] = xr.DataArray(d.known_error[d.cells["row"], d.cells["eval"]], dims="measurement")
        if self.noise.size_exponent is not None:
            size = d.log_size(d.rows)
            shared["log_size"] = size if rows_needed else size.isel(row=d.cells["row"]).rename(row="measurement")
        shared["observed"] = xr.DataArray(d.log_loss, dims="measurement")
        return shared

    def _by_row(self, coefficients: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
        """Coefficients as the law's inputs want them: by group on the grid, by row otherwise."""
        if self.design.on_grid:
            return dict(coefficients)
        return {
            k: c.isel({g: data[f"at_{g}"] for g in self.design.groups if g in c.dims}) for k, c in coefficients.items()
        }

    def _likelihood(self, log_mean: Any, errors: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Any, Any]:
        """Mean and scale of every measurement that counts."""
        at = {dim: data[f"at_{dim}"] for dim in self.design.positions() if dim in log_mean.dims}
        factor = self.noise.at_size(errors, data["log_size"]) if "log_size" in data else 1.0
        batch = errors["batch_effect"] if self.noise.batch else None
        if not (self.noise.correlated or self.noise.joint):
            scale = factor * errors["sigma"].isel(eval=data["cell_eval"])
            if "known_error" in data:
                scale = self.noise.scale(scale, data["known_error"])
            center = log_mean.isel({**at, "eval": data["cell_eval"]})
            if batch is not None:
                center = center + factor * batch.isel(batch=data["at_batch"], eval=data["cell_eval"])
            return center, scale
        log_mean = log_mean.isel(at).transpose("row", "eval")
        if batch is not None:
            log_mean = log_mean + (factor * batch.isel(batch=data["at_batch"])).transpose("row", "eval")
        error = data["measured"] * (data["log_loss_row"] - log_mean) / factor
        ahead = self.noise.one_step_ahead if self.noise.correlated else self.noise.same_step
        shift, scale = (factor * part for part in ahead(error, errors, data))
        cell = {"row": data["cell_row"], "eval": data["cell_eval"]}
        return (log_mean + shift).isel(cell), scale.isel(cell)

    @cached_property
    def shape(self) -> Shape:
        """What the law is held to: falling over the observed range, floors below the observed losses."""
        return Shape(self)

    def table(self) -> pd.DataFrame:
        """Every parameter: its prior in words, its dims, and how it is shared."""
        rows = []
        for name, prior in self.coefficient_priors.items():
            groups = [d for d in (prior.dims or ()) if d != "eval"]
            how = (
                f"pooled by {self.by[name]}"
                if name in self.by
                else f"separate by {', '.join(groups)}"
                if groups
                else "shared"
            )
            own = self.priors.get(name, self.law.coefficients[name].prior)
            rows.append((name, self.law.coefficients[name].unit, describe(own), how, ", ".join(prior.dims or ())))
        for name, prior in self.noise.priors(len(self.design.evals)).items():
            rows.append((name, "1", describe(prior), "errors", ", ".join(prior.dims or ())))
        return pd.DataFrame(rows, columns=["parameter", "unit", "prior", "shared", "dims"]).set_index("parameter")

    def fit(self, **settings: Any) -> "Fit":
        """Sample the posterior, or find the maximum likelihood; see `bayeslaw.inference.fit`."""
        from bayeslaw.inference import fit

        return fit(self, **settings)

    def prior_predictive(self, draws: int = 500, seed: int = 0) -> Any:
        """Sample the prior, shape prior included; see `bayeslaw.inference.prior_predictive`."""
        from bayeslaw.inference import prior_predictive

        return prior_predictive(self, draws=draws, seed=seed)

    def describe_noise(self) -> str:
        """Return one line that says which errors are assumed."""
        parts = ["run effect and correlation along tokens" if self.noise.correlated else "independent checkpoints"]
        if self.noise.joint:
            parts.append("correlated between validation sets")
        if self.noise.batch:
            parts.append("batch noise shared by runs of one data order")
        if self.noise.size_exponent is not None:
            parts.append("scale by model size")
        if self.design.known_error.any():
            parts.append("errors of measuring known")
        if self.noise.robust:
            parts.append("Student-t innovations")
        return ", ".join(parts)

    def _facts(self) -> list[tuple[str, str]]:
        pooled_by = ", ".join(f"{k} by {v}" for k, v in self.by.items()) or "none"
        separate = ", ".join(f"{k} by {', '.join(p.dims)}" for k, p in self.priors.items() if p.dims)
        outside = int((~self.design.measured).sum())
        kept_out = f"; {outside} outside the law's range kept out" if outside else ""
        return [
            ("measurements", f"{len(self.design.log_loss)} ({', '.join(self.design.evals)}){kept_out}"),
            ("pooled", pooled_by + (f"; separate: {separate}" if separate else "")),
            ("reference", ", ".join(f"{k} {v:g}" for k, v in self.reference.items())),
            ("shape prior", self.monotone or "none"),
            ("errors", self.describe_noise()),
        ]

    def __repr__(self) -> str:
        return facts(f"Model {self.law.name}: {self.law.title}", self._facts())

    def _repr_html_(self) -> str:
        about = facts_html(f"Model {self.law.name}: {self.law.title}", self._facts())
        return about + self.table().to_html(border=0)
