"""A law is a pure function over named arrays, declared together with the priors of its coefficients.

One function body serves the PyMC graph (XTensor), posterior draws (xarray) and plain numbers. It may use
``+ - * / **``, comparisons, methods that both array types have (``.dot``, ``.cumsum``, ``.isel``) and the functions of
`bayeslaw.declare.algebra`. A covariate may have a dim of its own (the shares of a mixture: ``source``); coefficients
declared ``over`` that dim have it too, and the body sums over it with ``total``.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from bayeslaw.base.arguments import checked_fields
from bayeslaw.base.numbers import between, exact, short
from bayeslaw.declare.names import AREAS, KINDS, ROLE, WEIGHT, owner_of_coefficient, owner_of_column
from bayeslaw.declare.priors import describe
from bayeslaw.declare.scale import NATS, TEXT, USUAL
from bayeslaw.declare.symbols import Coefficient, Covariate
from bayeslaw.errors import BayeslawError, LawError, RangeError, shown, unknown_name

if TYPE_CHECKING:
    import xarray as xr

type Kind = Literal["score", "schedule", "mixture", "window", "share", "size", "other"]

__all__ = ["AREAS", "WEIGHT", "Coefficient", "Covariate", "Law", "law"]

FOLLOWS = (
    f"Priors in nats are for losses of text. Where the median loss of the runs lies outside {between(*USUAL)}, "
    f"they are multiplied by that median over {exact(TEXT)} (`loss_scale=` states another factor)."
)


@checked_fields
@dataclass(frozen=True)
class Law:
    """A published law: a pure function, the priors of its coefficients, its source and its range.

    A call evaluates the function: covariates (divided by their references) by position, coefficients by name.

    Parameters
    ----------
    function : callable
        Covariates positional-only, coefficients keyword-only.
    title, source, equation : str
        Title; citation with arXiv id; the equation in LaTeX.
    covariates, coefficients : mapping
        In the order of the function's signature.
    falls_in : tuple of str
        Covariates in which the paper requires the loss to fall.
    rises_in : tuple of str
        Covariates in which the loss can only rise.
    falls_faster : tuple of pairs
        (x, y): the loss falls faster in x where y is larger.
    sufficient_shape : callable, optional
        The paper's sufficient condition for `falls_in`: amounts that must be above 0 at the smallest covariates.
    paper_units : callable, optional
        Coefficients as the paper writes them, from the reference and the coefficients.
    learnability : callable, optional
        From covariates and coefficients: the learnability of a label (``K``; a larger one is learned more easily) and
        its part of the floor (``part``, nats).
    path : str
        The column along which the checkpoints of a run lie.
    of_scores : bool
        Whether its loss is an error rate, 1 - score, below 1.
    evals : tuple of str
        The roles of validation sets that the law distinguishes; empty: any. A set has the role of its own name, or the
        one that `bayeslaw.Model` is given for it.
    notes : tuple of str
        The meaning of the symbols, and where the law fails.
    """

    function: Callable[..., Any]
    title: str
    source: str
    equation: str
    covariates: Mapping[str, Covariate]
    coefficients: Mapping[str, Coefficient]
    falls_in: Sequence[str] = ()
    rises_in: Sequence[str] = ()
    falls_faster: Sequence[tuple[str, str]] = ()
    sufficient_shape: Callable[..., Mapping[str, Any]] | None = None
    paper_units: Callable[..., Mapping[str, Any]] | None = None
    learnability: Callable[..., Mapping[str, Any]] | None = None
    path: str = "D"
    of_scores: bool = False
    evals: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not (callable(self.function) and hasattr(self.function, "__name__")):
            raise LawError(
                f"{self.function!r} is no function: write the law as a function, declared with @bayeslaw.law"
            )
        parameters = inspect.signature(self.function).parameters.values()
        by_position = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
        by_name = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        if other := [str(p) for p in parameters if p.name not in by_position and p.name not in by_name]:
            raise LawError(
                f"law {self.name}: {', '.join(other)} is neither positional-only (a covariate) nor keyword-only (a "
                "coefficient); write (covariates, /, *, coefficients)"
            )
        if not by_position:
            raise LawError(f"law {self.name} takes no covariate: give its function at least one, (N, /, *, E)")
        if by_position != tuple(self.covariates):
            raise LawError(
                f"law {self.name}: the function takes {by_position} by position, its card declares the covariates "
                f"{tuple(self.covariates)}; give both the same names in the same order"
            )
        if by_name != set(self.coefficients):
            raise LawError(
                f"law {self.name}: coefficients without a prior {sorted(by_name - set(self.coefficients))}, "
                f"priors without a coefficient {sorted(set(self.coefficients) - by_name)}; declare one Coefficient for "
                "each parameter after the *"
            )
        for kind, declared in ((Covariate, self.covariates), (Coefficient, self.coefficients)):
            for name, one in declared.items():
                if not isinstance(one, kind):
                    raise LawError(
                        f"law {self.name}: {name} is {one!r}, not a {kind.__name__}; declare a {kind.__name__}"
                    )
        for name in self.columns:
            if owner := owner_of_column(name):
                raise LawError(f"law {self.name}: the column {name} has the name of {owner}; rename it")
        for field, names in (("falls_in", self.falls_in), ("rises_in", self.rises_in)):
            for name in names:
                if name not in self.covariates:
                    raise unknown_name(f"covariate of {self.name} (in {field}=)", name, self.covariates)
        for name, coefficient in self.coefficients.items():
            if owner := owner_of_coefficient(name, self.coefficients, self.columns):
                raise LawError(f"law {self.name}: the coefficient {name} has the name of {owner}; rename it")
            if coefficient.role is not None and coefficient.role not in self.evals:
                raise unknown_name(f"role of {self.name} (of its coefficient {name})", coefficient.role, self.evals)
            if coefficient.over and coefficient.over not in self.over:
                raise LawError(
                    f"law {self.name}: {name} varies over {coefficient.over!r}, a dim that no covariate has; give the "
                    f"law a covariate {WEIGHT!r}, or leave over= out"
                )

    @property
    def name(self) -> str:
        """The name of the law's function."""
        return self.function.__name__

    def __call__(self, *covariates: Any, **coefficients: Any) -> Any:
        """Evaluate the law; named arrays must agree on their labels."""
        import xarray as xr

        try:
            with xr.set_options(arithmetic_join="exact"):
                return self.function(*covariates, **coefficients)
        except (AttributeError, NameError, NotImplementedError, TypeError) as e:
            if isinstance(e, BayeslawError):
                raise
            reason = " ".join(str(e).split())[:160]
            raise LawError(
                f"law {self.name} cannot be evaluated ({type(e).__name__}: {reason}): use + - * / ** and the functions "
                "of bayeslaw.declare"
            ) from e

    @cached_property
    def kind(self) -> Kind:
        """The kind of law, which decides how runs are read and which decisions apply."""
        for kind, columns in KINDS.items():
            if not set(columns).isdisjoint(self.columns):
                return cast(Kind, kind)
        return "size" if "D" in self.columns else "other"

    @cached_property
    def over(self) -> tuple[str, ...]:
        """The dims of covariates with a dim of their own: ``source`` for the shares of a mixture."""
        return ("source",) if WEIGHT in self.columns else ()

    @cached_property
    def vectors(self) -> tuple[str, ...]:
        """Covariates with a dim of their own."""
        return tuple(name for name, cov in self.covariates.items() if WEIGHT in cov.columns(name))

    @cached_property
    def tells_evals_apart(self) -> bool:
        """Whether the law takes validation sets of different roles differently."""
        derived = (cov.derive for cov in self.covariates.values() if cov.derive is not None)
        return bool(self.evals) or any("eval" in inspect.signature(derive).parameters for derive in derived)

    @cached_property
    def single_roles(self) -> tuple[str, ...]:
        """The roles with coefficients of their own, each of which exactly one validation set must have."""
        return tuple(dict.fromkeys(c.role for c in self.coefficients.values() if c.role))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns that the law needs; ``weight`` stands for all ``weight_<source>``."""
        return tuple(dict.fromkeys(c for name, cov in self.covariates.items() for c in cov.columns(name)))

    def reference(self, override: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return the reference value of every covariate; `override` replaces those of the card."""
        if not (override is None or isinstance(override, Mapping)):
            raise LawError(f"reference is {shown(override)}: give a mapping, for example reference={{'N': 1e9}}")
        override = dict(override or {})
        for name, value in override.items():
            if name not in self.covariates:
                raise unknown_name(f"covariate of {self.name}", name, self.covariates)
            if not (isinstance(value, Real) and np.isfinite(value) and value > 0):
                raise RangeError(f"the reference of {name} is {shown(value)}: give a number above 0")
        return {name: float(override.get(name, cov.reference)) for name, cov in self.covariates.items()}

    @property
    def in_nats(self) -> bool:
        """Whether it has priors that follow the scale of the losses; error rates have one scale."""
        return not self.of_scores and any(NATS in c.unit for c in self.coefficients.values())

    def inputs(self, columns: "xr.Dataset", reference: Mapping[str, float]) -> "dict[str, xr.DataArray]":
        """Return the covariates in reference units, from table columns (named arrays, any dims)."""
        return {name: self.value(name, columns) / reference[name] for name in self.covariates}

    def value(self, name: str, columns: "xr.Dataset") -> "xr.DataArray":
        """Return one covariate in its own unit, from table columns."""
        if name not in self.covariates:
            raise unknown_name(f"covariate of {self.name}", name, self.covariates)
        if (derive := self.covariates[name].derive) is None:
            return columns[name]
        known = {"eval": ROLE if ROLE in columns else "eval"}
        found: xr.DataArray = derive(**{p: columns[known.get(p, p)] for p in inspect.signature(derive).parameters})
        return found

    def __reduce__(self) -> Any:
        """Pickle a law that a module holds by reference, as functions are, and any other by its parts."""
        home = self.function.__module__
        if home != "__main__" and getattr(sys.modules.get(home), self.name, None) is self:
            return _held, (home, self.name)
        return super().__reduce__()

    def card(self) -> str:
        """Return the law's card as Markdown: equation, coefficients with units and priors, source, validity."""
        lines = [f"# {self.title}", "", f"$$ {self.equation} $$", "", f"Source: {self.source}", "", "## Covariates", ""]
        lines += ["| name | unit | reference | valid | meaning |", "|---|---|---|---|---|"]
        for name, cov in self.covariates.items():
            lines.append(f"| {name} | {cov.unit} | {short(cov.reference)} | {between(*cov.valid)} | {cov.meaning} |")
        lines += ["", "## Coefficients", ""]
        lines += ["| name | unit | default prior | meaning | why this prior |", "|---|---|---|---|---|"]
        for name, c in self.coefficients.items():
            lines.append(f"| {name} | {c.unit} | {describe(c.prior)} | {c.meaning} | {c.why} |")
        if self.in_nats:
            lines += ["", FOLLOWS]
        if self.notes:
            lines += ["", "## What to know", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        return f"Law {self.name}({', '.join(self.covariates)}; {', '.join(self.coefficients)}): {self.title}"

    def _repr_markdown_(self) -> str:
        return self.card()


def law(**card: Any) -> Callable[[Callable[..., Any]], Law]:
    """Declare the decorated function as a law (see `Law` for the fields).

    Positional-only parameters are the covariates, keyword-only parameters the coefficients; they must match the card.
    """

    def declare(function: Callable[..., Any]) -> Law:
        return Law(function=function, **card)

    return declare


def _held(module: str, name: str) -> Any:
    """Return the law of a module."""
    return getattr(import_module(module), name)
