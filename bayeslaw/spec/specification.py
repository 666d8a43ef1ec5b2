"""A law bound to runs, with priors, pooling and an error model: everything that defines a posterior."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from numbers import Real
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked_fields
from bayeslaw.base.numbers import between, exact
from bayeslaw.base.words import Described, place
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import ROLE, owner_of_dim
from bayeslaw.declare.populations import of_roles, pooled
from bayeslaw.declare.priors import Prior, describe, with_dims
from bayeslaw.declare.scale import USUAL, default_scale
from bayeslaw.declare.symbols import Coefficient
from bayeslaw.declare.terms import terms
from bayeslaw.errors import DataError, LawError, RangeError, UnknownName, shown, unknown_name
from bayeslaw.spec.design import Design
from bayeslaw.spec.misfit import Misfit, Process
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.ranges import check_left_out, nowhere_inside
from bayeslaw.spec.shape import Shape
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.start import with_start
from bayeslaw.tables.units import ERROR_RATE

__all__ = ["Specification"]


@checked_fields
@dataclass(frozen=True, eq=False, repr=False)
class Specification(Described):
    """The fields of `bayeslaw.Model`, checked, and what follows from them."""

    law: Law
    runs: Runs
    by: Mapping[str, str] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)
    noise: Noise = field(default_factory=Noise)
    reference: Mapping[str, float] = field(default_factory=dict)
    loss_scale: float | None = None
    monotone: Literal["observed", "paper"] | None = "observed"
    outside: Literal["exclude", "include"] | None = None
    misfit: Misfit | Literal["scales"] | None = "scales"
    roles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, given in (("by", self.by), ("priors", self.priors)):
            for name in given:
                if name not in self.law.coefficients:
                    raise unknown_name(f"coefficient of {self.law.name} (in {what}=)", name, self.law.coefficients)
        for dim in self.group_dims:
            if owner := owner_of_dim(dim, self.law.coefficients):
                raise DataError(
                    f"the column {dim!r} has the name of {owner}: rename it to pool over it, for example "
                    f"read_runs(..., {dim}_of_run={dim!r})"
                )
        if self.monotone is not None and str(self.monotone) not in ("observed", "paper"):
            raise unknown_name("shape prior", self.monotone, ("observed", "paper", None))
        if self.outside is not None and str(self.outside) not in ("exclude", "include"):
            raise unknown_name("choice for outside=", self.outside, ("exclude", "include", None))
        if not (self.misfit is None or isinstance(self.misfit, Misfit) or self.misfit == "scales"):
            raise UnknownName(f"misfit is {shown(self.misfit)}: give a misfit, bl.Misfit(...), 'scales' or None")
        if self.monotone == "paper" and self.law.sufficient_shape is None:
            raise LawError(
                f"the paper of {self.law.name} states no sufficient condition: use monotone='observed' or None"
            )
        object.__setattr__(self, "reference", self.law.reference(self.reference))
        object.__setattr__(self, "by", dict(self.by))
        object.__setattr__(self, "priors", dict(self.priors))
        object.__setattr__(self, "roles", dict(self.roles))
        object.__setattr__(self, "runs", with_start(self.law, self.runs, self.roles))
        settled = self.noise.settled(
            self.design.has_checkpoints() and self.law.kind != "schedule",
            self.design.measured_together(),
            bool(self.design.known_error.any()),
            self.design.shares_orders(),
        )
        object.__setattr__(self, "noise", settled)
        object.__setattr__(self, "misfit", self._settled_misfit())
        object.__setattr__(self, "loss_scale", self._settled_scale())
        _ = self.coefficient_priors
        if settled.size_exponent is not None and "N" not in (*self.law.columns, *self.design.groups):
            raise DataError(
                f"size_exponent needs model sizes, and neither {self.law.name} nor by= has N: leave it out, or pool a "
                "coefficient by N"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without what was computed from them."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def _settled_misfit(self) -> Misfit | None:
        """Return the misfit, none by default for a single run: there it does not predict better."""
        if self.misfit is None or isinstance(self.misfit, Misfit):
            return self.misfit
        return None if len(np.unique(self.design.rows["run"])) == 1 else Misfit()

    def _settled_scale(self) -> float:
        """Return the factor on default priors in nats, from the losses of the runs if none is given."""
        if self.loss_scale is None:
            return default_scale(self.runs.table[self.runs.loss_columns]) if self.law.in_nats else 1.0
        if not (isinstance(self.loss_scale, Real) and 0 < self.loss_scale < np.inf):
            raise RangeError(f"loss_scale is {shown(self.loss_scale)}: give a number above 0, or leave it out")
        return float(self.loss_scale)

    @cached_property
    def coefficients(self) -> dict[str, Coefficient]:
        """The coefficients of the law with the priors that were given, and the others in the scale of the losses."""
        for name, prior in self.priors.items():
            if not isinstance(prior, Prior):
                raise LawError(
                    f"the prior of {name} is {shown(prior)}: give bl.positive(...), bl.real(...) or a bl.Prior"
                )
        return {k: c.scaled(self.loss_scale or 1.0, self.priors.get(k)) for k, c in self.law.coefficients.items()}

    @property
    def group_dims(self) -> tuple[str, ...]:
        """The columns over which coefficients vary."""
        from_priors = (d for p in self.priors.values() if isinstance(p, Prior) for d in (p.dims or ()))
        asked = dict.fromkeys([*self.by.values(), *from_priors])
        return tuple(d for d in asked if d not in (*self.law.over, "eval"))

    @property
    def unit(self) -> str:
        """The unit of the losses."""
        return ERROR_RATE if self.law.of_scores else self.runs.unit

    @cached_property
    def design(self) -> Design:
        """The runs arranged for the law."""
        return Design.of(self.law, self.runs, self.reference, self.group_dims, self.outside == "include", self.roles)

    def check_range(self) -> None:
        """Refuse a fit that leaves out many rows without being asked to, or too many; see `check_left_out`."""
        if self.outside != "include":
            check_left_out(self.law, self.design.rows, asked=self.outside == "exclude")

    @cached_property
    def beyond_the_law(self) -> list[str]:
        """A sentence for every loss that was measured nowhere in the law's range, and is fitted all the same."""
        return nowhere_inside(self.law, self.design.rows) if self.outside == "include" else []

    @cached_property
    def coefficient_priors(self) -> dict[str, Prior]:
        """The prior of every coefficient, with its dims."""
        priors = {}
        for name, coefficient in self.coefficients.items():
            prior = coefficient.prior
            if name in self.by:
                if prior.dims:
                    raise LawError(
                        f"{name} is pooled by {self.by[name]!r} and its prior has dims {prior.dims}: keep one"
                    )
                if self.by[name] in self.law.over and self.by[name] != coefficient.over:
                    raise LawError(f"{name} has one value for all {self.by[name]}s: pool it by a column of the runs")
                eval_dim = None if coefficient.role else "eval"
                within = tuple(d for d in (eval_dim, coefficient.over) if d and d != self.by[name])
                prior = pooled(name, prior, (self.by[name],), within, coefficient.between)
                if self.by[name] == "eval":
                    prior = of_roles(prior, self._role_numbers(name))
            elif "eval" not in (prior.dims or ()):
                first = () if coefficient.role else ("eval",)
                over = (coefficient.over,) if coefficient.over else ()
                prior = with_dims(prior, tuple(dict.fromkeys((*first, *(prior.dims or ()), *over))))
            priors[name] = prior
        return priors

    def _role_numbers(self, name: str) -> list[int]:
        """Return the number of the role of every validation set, over which a coefficient is pooled."""
        roles = list(dict.fromkeys(self.design.roles))
        if len(roles) < len(self.design.evals):
            return [roles.index(role) for role in self.design.roles]
        raise LawError(
            f"{name} is to be pooled over validation sets, and no two of {', '.join(self.design.evals)} have the same "
            f"role: leave by={{{name!r}: 'eval'}} out, or give them one role with roles="
        )

    @cached_property
    def terms(self) -> dict[str, str]:
        """The level and the amplitudes of the law, with the covariates along which their terms fall."""
        return terms(self.law, self.coefficient_priors)

    @cached_property
    def processes(self) -> dict[str, Process]:
        """The processes of what the law misses, by their names."""
        if not isinstance(self.misfit, Misfit):
            return {}
        return self.misfit.processes(self.design.rows, self.law.columns, self.reference)

    @property
    def stated_priors(self) -> dict[str, Prior]:
        """The priors of errors and of the slopes of the misfit."""
        slopes = self.misfit.slopes if isinstance(self.misfit, Misfit) else {}
        return self.noise.priors(len(self.design.evals)) | {p.slope: slopes[k] for k, p in self.processes.items()}

    @property
    def other_priors(self) -> dict[str, Prior]:
        """The priors of all parameters but the coefficients: errors, and slopes and weights of the misfit."""
        return self.stated_priors | {p.weights: p.prior for p in self.processes.values()}

    @property
    def coords(self) -> dict[str, Any]:
        """The labels of every dim of the parameters."""
        design, roles = self.design, list(dict.fromkeys(self.design.roles))
        coords: dict[str, Any] = {"eval": design.evals, **design.groups, **design.over}
        if "eval" in self.by.values() and len(roles) > 1:
            coords[ROLE] = roles
        knots = {p.dim: np.arange(p.sampled) for p in self.processes.values()}
        return coords | knots | ({"batch": design.batches[0]} if self.noise.batch else {})

    @cached_property
    def shape(self) -> Shape:
        """The shape prior."""
        return Shape(self.design, self.coefficient_priors, self.monotone)

    def table(self) -> pd.DataFrame:
        """Return the unit, prior in words, sharing and dims of every parameter."""
        rows = []
        for name, prior in self.coefficient_priors.items():
            groups = [d for d in (prior.dims or ()) if d != "eval"]
            how = f"separate by {', '.join(groups)}" if groups else "shared"
            if name in self.by:
                how = f"pooled by {self.by[name]}"
            own = self.coefficients[name]
            follows = name not in self.priors and own.prior is not self.law.coefficients[name].prior
            words = describe(own.prior) + (f", the law's x {exact(cast(float, self.loss_scale))}" if follows else "")
            rows.append((name, own.unit, words, how, ", ".join(prior.dims or ())))
        for name, prior in self.stated_priors.items():
            of = "misfit" if name.startswith("misfit_") else "errors"
            rows.append((name, "1", describe(prior), of, ", ".join(prior.dims or ())))
        return pd.DataFrame(rows, columns=["parameter", "unit", "prior", "shared", "dims"]).set_index("parameter")

    def describe_roles(self) -> str:
        """Return what the law takes every validation set for, in words."""
        roles = dict.fromkeys(self.design.roles)
        return "; ".join(f"{', '.join(self.design.of_role(role))} {role}" for role in roles)

    def describe_scale(self) -> str:
        """Return what the default priors in nats are multiplied by, in words."""
        usual = between(*USUAL)
        return f"the law's x {exact(cast(float, self.loss_scale))}, which are for losses of text (median {usual})"

    def describe_noise(self) -> str:
        """Return one line about the error model."""
        along = "run effect and correlation along tokens" if self.noise.correlated else "independent checkpoints"
        parts = {
            "correlated between validation sets": self.noise.joint,
            "batch noise shared by runs of one data order": self.noise.batch,
            "scale by model size": self.noise.size_exponent is not None,
            "errors of measuring known": self.design.known_error.any(),
            "Student-t innovations": self.noise.robust,
        }
        return ", ".join([along, *(part for part, holds in parts.items() if holds)])

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        pooled_by = ", ".join(f"{k} by {v}" for k, v in self.by.items()) or "none"
        separate = ", ".join(f"{k} by {', '.join(p.dims)}" for k, p in self.priors.items() if p.dims)
        outside = int((self.design.rows["loss"].notnull() & ~self.design.measured).sum())
        kept_out = f"; {outside} outside the law's range kept out" if outside else ""
        return f"Model {self.law.name}: {self.law.title}", [
            ("measurements", f"{len(self.design.log_loss)} ({', '.join(self.design.evals)}){kept_out}"),
            *([("roles", self.describe_roles())] if self.roles else []),
            ("pooled", pooled_by + (f"; separate: {separate}" if separate else "")),
            ("reference", place(self.reference)),
            *([("priors in nats", self.describe_scale())] if self.loss_scale != 1 else []),
            ("shape prior", self.monotone or "none"),
            ("errors", self.describe_noise()),
            ("misfit", f"along {', '.join(self.processes)}" if self.processes else "none: the law alone"),
            *([("note", self.runs.note)] if self.runs.note else []),
        ]

    def _repr_html_(self) -> str:
        return super()._repr_html_() + self.table().to_html(border=0)
