"""A law is a pure function over named arrays, declared together with the priors of its coefficients.

One function body serves the PyMC graph (XTensor), posterior draws (xarray) and plain numbers. It may use
``+ - * / **``, comparisons, methods the two array types share (``.dot``, ``.cumsum``, ``.isel``) and the functions of
this module. Where a covariate has a dim of its own (the shares of a mixture: ``source``), so do the coefficients that
are declared ``over`` it, and the body sums it out with ``total``.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, cast

import numpy as np
import xarray as xr

from bayeslaw.base.errors import BayeslawError, LawError, RangeError, shown, unknown_name
from bayeslaw.base.words import facts, facts_html
from bayeslaw.declare.algebra import exp, log, maximum, product, total, where
from bayeslaw.declare.priors import Prior, describe

WEIGHT = "weight"
"""The covariate that stands for all columns ``weight_<source>``; its own dim is ``source``."""

AREAS = (
    *("S1", "S1pt", "S1cpt"),
    *("S2", "S2pt", "S2cpt"),
    *("annealed", "annealed_pt", "annealed_cpt", "annealed_power"),
)
"""Columns that are areas under a learning-rate schedule; `bayeslaw.read_curves` computes them."""

type Kind = Literal["schedule", "mixture", "window", "share", "size", "other"]

RESERVED = {
    **dict.fromkeys(
        (
            "sigma",
            "run_weight",
            "correlation_length",
            "eval_correlation",
            "size_exponent",
            "batch_effect",
        ),
        "the error model",
    ),
    **dict.fromkeys(("chain", "draw", "eval", "batch", "row", "measurement", "source", WEIGHT), "a dim"),
    **dict.fromkeys(("loss", "log_loss", "log_likelihood", "shape", "observed", "measured"), "the measurements"),
}
"""Names that a coefficient cannot have, and whose they are."""

__all__ = [
    "AREAS",
    "WEIGHT",
    "Coefficient",
    "Covariate",
    "Law",
    "call_with",
    "exp",
    "law",
    "log",
    "maximum",
    "product",
    "total",
    "where",
]


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of a law: its default prior and what it means.

    Parameters
    ----------
    prior : Prior
        Default prior, in `unit`, at the law's reference run.
    unit, meaning, why : str
        Unit; what it is, in words; the reason for the prior.
    between : float
        Its standard deviation between groups, as likely too high as too low, when it is pooled (log scale if positive).
    seen_along : str, optional
        For an amplitude, which enters the law linearly: the covariate along which the data show its term; ``"level"``
        for the additive constant. The sampler works with what is seen there instead of the amplitude.
    over : str, optional
        A dim of the covariates over which it has one value per label, for example ``"source"``.
    floor : bool
        Whether it lies below every observed loss of its validation set.
    """

    prior: Prior
    unit: str
    meaning: str
    why: str
    between: float = 0.2
    seen_along: str | None = None
    over: str | None = None
    floor: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior):
            raise LawError(f"prior is {shown(self.prior)}: give bl.positive(...), bl.real(...) or a bl.Prior")
        if not (isinstance(self.between, Real) and 0 < self.between < np.inf):
            raise LawError(f"between={shown(self.between)} is no spread: give a number above 0")

    def _facts(self) -> list[tuple[str, str]]:
        over = f", one for each {self.over}" if self.over else ""
        return [("prior", f"{describe(self.prior)}{over}"), ("why", self.why)]

    def __repr__(self) -> str:
        return facts(f"Coefficient: {self.meaning} ({self.unit})", self._facts())

    def _repr_html_(self) -> str:
        return facts_html(f"Coefficient: {self.meaning} ({self.unit})", self._facts())


@dataclass(frozen=True)
class Covariate:
    """One covariate of a law.

    Parameters
    ----------
    unit, meaning : str
        Unit and meaning.
    reference : float
        The law sees ``value / reference``; part of what the priors mean, never computed from data.
    valid : tuple of float
        Range in which the law is claimed to hold (after `derive`, before division by `reference`).
    derive : callable, optional
        Computes the covariate from columns of the table; its argument names are the columns (``eval`` is the name
        of the validation set).
    of : str, optional
        The column of labels that it is a feature of: every ``"domain"`` has one value, which predictions look up.
    """

    unit: str
    meaning: str
    reference: float = 1.0
    valid: tuple[float, float] = (0.0, np.inf)
    derive: Callable[..., Any] | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.reference, Real) and 0 < self.reference < np.inf):
            raise LawError(f"the reference of a covariate is {shown(self.reference)}: give a number above 0")
        if len(self.valid) != 2 or not self.valid[0] < self.valid[1]:
            raise LawError(f"valid={self.valid} is no range: give its lower and its upper end")

    def _facts(self) -> list[tuple[str, str]]:
        low, high = self.valid
        return [("reference", f"{self.reference:g}"), ("valid", f"{low:g} to {high:g}")]

    def __repr__(self) -> str:
        return facts(f"Covariate: {self.meaning} ({self.unit})", self._facts())

    def _repr_html_(self) -> str:
        return facts_html(f"Covariate: {self.meaning} ({self.unit})", self._facts())

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the table columns this covariate is made of."""
        return (
            (name,)
            if self.derive is None
            else tuple(p for p in inspect.signature(self.derive).parameters if p != "eval")
        )


@dataclass(frozen=True)
class Law:
    """A published law: a pure function, the priors of its coefficients, its source and its domain of validity.

    Calling it evaluates the function: covariates (divided by their references) by position, coefficients by name.

    Parameters
    ----------
    function : callable
        Covariates positional-only, coefficients keyword-only.
    title, source, equation : str
        Names, with arXiv id; the equation in LaTeX.
    covariates, coefficients : mapping
        In the order of the function's signature.
    falls_in : tuple of str
        Covariates in which the paper requires the loss to fall.
    falls_faster : tuple of pairs
        (x, y): the loss falls faster in x where y is larger.
    sufficient_shape : callable, optional
        The paper's sufficient condition for `falls_in`: amounts that must be above 0, from the smallest covariates.
    paper_units : callable, optional
        Coefficients as the paper writes them, from the reference and the coefficients.
    learnability : callable, optional
        How easily a label is learned by its features (``K``: the larger, the easier) and what that adds to its floor
        (``part``, nats), from covariates and coefficients.
    path : str
        The column along which a run is measured repeatedly.
    evals : tuple of str
        The validation sets the law can tell apart; empty: any.
    notes : tuple of str
        What the symbols mean and where the law fails.
    """

    function: Callable[..., Any]
    title: str
    source: str
    equation: str
    covariates: Mapping[str, Covariate]
    coefficients: Mapping[str, Coefficient]
    falls_in: tuple[str, ...] = ()
    falls_faster: tuple[tuple[str, str], ...] = ()
    sufficient_shape: Callable[..., Mapping[str, Any]] | None = None
    paper_units: Callable[..., Mapping[str, Any]] | None = None
    learnability: Callable[..., Mapping[str, Any]] | None = None
    path: str = "D"
    evals: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not (callable(self.function) and hasattr(self.function, "__name__")):
            raise LawError(f"{self.function!r} is no function: write the law as a function and declare it with @law")
        parameters = inspect.signature(self.function).parameters.values()
        by_position = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
        by_name = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        if other := [str(p) for p in parameters if p.name not in by_position and p.name not in by_name]:
            raise LawError(
                f"law {self.name} takes {', '.join(other)} neither by position alone, as a covariate, nor by name "
                "alone, as a coefficient; write (covariates, /, *, coefficients)"
            )
        if by_position != tuple(self.covariates):
            raise LawError(
                f"law {self.name}: the function takes {by_position} by position, the covariates declared are "
                f"{tuple(self.covariates)}; make them the same, in the same order"
            )
        if by_name != set(self.coefficients):
            raise LawError(
                f"law {self.name}: coefficients without a prior {sorted(by_name - set(self.coefficients))}, "
                f"priors without a coefficient {sorted(set(self.coefficients) - by_name)}; declare one Coefficient for "
                "each parameter after the * of the function"
            )
        for kind, declared in ((Covariate, self.covariates), (Coefficient, self.coefficients)):
            for name, one in declared.items():
                if not isinstance(one, kind):
                    raise LawError(f"law {self.name}: {name} is {one!r}, not a {kind.__name__}; declare it as one")
        for name in self.falls_in:
            if name not in self.covariates:
                raise unknown_name(f"covariate of {self.name} (in falls_in=)", name, self.covariates)
        for name, coefficient in self.coefficients.items():
            self._check_name(name)
            if coefficient.over and coefficient.over not in self.over:
                raise LawError(
                    f"law {self.name}: {name} varies over {coefficient.over!r}, a dim that no covariate has; give the "
                    f"law a covariate {WEIGHT!r}, or leave over= out"
                )

    def _check_name(self, name: str) -> None:
        """Refuse a coefficient that has the name of something else."""
        own = name.removesuffix("_mu").removesuffix("_sigma").removesuffix("_paper")
        whose = RESERVED.get(name) or ("a column of its runs" if name in self.columns else None)
        if own != name and own in self.coefficients:
            whose = f"what belongs to {own}"
        if whose:
            raise LawError(f"law {self.name}: the coefficient {name} has the name of {whose}; call it something else")

    @property
    def name(self) -> str:
        """The name of the law's function."""
        return self.function.__name__

    def __call__(self, *covariates: Any, **coefficients: Any) -> Any:
        """Evaluate the law; named arrays must agree on their labels."""
        try:
            with xr.set_options(arithmetic_join="exact"):
                return self.function(*covariates, **coefficients)
        except (AttributeError, NameError, NotImplementedError, TypeError) as e:
            if isinstance(e, BayeslawError):
                raise
            reason = " ".join(str(e).split())[:160]
            raise LawError(
                f"law {self.name} cannot be evaluated ({type(e).__name__}: {reason}): use + - * / ** and the functions "
                "of bayeslaw.law"
            ) from e

    @property
    def kind(self) -> Kind:
        """What the law is about: it decides how its runs are read and what they can be asked."""
        known = {"schedule": AREAS, "mixture": (WEIGHT,), "window": ("duration",), "share": ("domain_share",)}
        for kind, columns in known.items():
            if not set(columns).isdisjoint(self.columns):
                return cast(Kind, kind)
        return "size" if {"N", "D"} <= set(self.columns) else "other"

    @property
    def over(self) -> tuple[str, ...]:
        """Dims that covariates have of their own: ``source`` for the shares of a mixture."""
        return ("source",) if WEIGHT in self.columns else ()

    @property
    def vectors(self) -> tuple[str, ...]:
        """Covariates that have a dim of their own."""
        return tuple(name for name, cov in self.covariates.items() if WEIGHT in cov.columns(name))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a runs table that the law needs; ``weight`` stands for all ``weight_<source>``."""
        return tuple(dict.fromkeys(c for name, cov in self.covariates.items() for c in cov.columns(name)))

    def reference(self, override: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return the reference value of every covariate, with a study's own values in place."""
        if not (override is None or isinstance(override, Mapping)):
            raise LawError(f"reference is {shown(override)}: give a mapping, for example reference={{'N': 1e9}}")
        override = dict(override or {})
        for name, value in override.items():
            if name not in self.covariates:
                raise unknown_name(f"covariate of {self.name}", name, self.covariates)
            if not (isinstance(value, Real) and np.isfinite(value) and value > 0):
                raise RangeError(f"the reference of {name} is {shown(value)}: give a number above 0")
        return {name: float(override.get(name, cov.reference)) for name, cov in self.covariates.items()}

    def inputs(self, columns: xr.Dataset, reference: Mapping[str, float]) -> dict[str, xr.DataArray]:
        """Return the covariates as the function wants them, from table columns (named arrays, any dims)."""
        scaled = {}
        for name, cov in self.covariates.items():
            if cov.derive is None:
                value = columns[name]
            else:
                value = cov.derive(**{p: columns[p] for p in inspect.signature(cov.derive).parameters})
            scaled[name] = value / reference[name]
        return scaled

    def card(self) -> str:
        """Return the law's card as Markdown: equation, coefficients with units and priors, source, validity."""
        lines = [f"# {self.title}", "", f"$$ {self.equation} $$", "", f"Source: {self.source}", "", "## Covariates", ""]
        lines += ["| name | unit | reference | valid | meaning |", "|---|---|---|---|---|"]
        for name, cov in self.covariates.items():
            low, high = cov.valid
            lines.append(f"| {name} | {cov.unit} | {cov.reference:g} | {low:g} to {high:g} | {cov.meaning} |")
        lines += [
            "",
            "## Coefficients",
            "",
            "| name | unit | default prior | meaning | why this prior |",
            "|---|---|---|---|---|",
        ]
        for name, c in self.coefficients.items():
            lines.append(f"| {name} | {c.unit} | {describe(c.prior)} | {c.meaning} | {c.why} |")
        if self.notes:
            lines += ["", "## What to know", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        return f"Law {self.name}({', '.join(self.covariates)}; {', '.join(self.coefficients)}): {self.title}"

    def _repr_markdown_(self) -> str:
        return self.card()


def law(**card: Any) -> Callable[[Callable[..., Any]], Law]:
    """Declare the decorated function as a law (see `Law` for the fields).

    Positional-only parameters are the covariates, keyword-only parameters the coefficients: the signature is the
    declaration, and it is checked against the card.
    """

    def declare(function: Callable[..., Any]) -> Law:
        return Law(function=function, **card)

    return declare


def call_with(function: Any, covariates: Mapping[str, Any], coefficients: Mapping[Any, Any]) -> Any:
    """Call a law's helper with those covariates (by position) and coefficients (by name) that it asks for."""
    parameters = inspect.signature(function).parameters.values()
    positional = [covariates[p.name] for p in parameters if p.kind is p.POSITIONAL_ONLY]
    return function(*positional, **{p.name: coefficients[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY})
