"""First designs of a study: the grids and swarms of the papers, scaled to a budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from bayeslaw.base.numbers import exact
from bayeslaw.decisions.compute import FLOPS_PER_PARAMETER
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import LawError, RangeError
from bayeslaw.tables.mixtures import PREFIX
from bayeslaw.tables.plausible import COUNT_RANGES

__all__ = ["cost_of", "designs", "knows", "unit_of"]

SHARES = (0.0, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0)
"""The nine shares of arXiv:2406.01375; those beyond a law's range are moved to its ends."""

PAPER_SIZES = (0.5, 1.8, 4.0)
"""Its three sizes, in proportion."""

CHECKPOINTS = 6
"""Measurements along a run, which cost nothing: the paper's 20 add little to what these say."""

EARLIEST = 0.1
"""Share of a run's tokens at its first measurement."""

ROUNDING = 1e-9
"""Of shares at the ends of a range."""

MOST_RUNS, LEAST_RUNS = 256, 4
"""Runs of a swarm of mixtures."""


@dataclass(frozen=True)
class _Points:
    """Runs in proportion: sizes and tokens relative to the largest run, and shares of the domain."""

    N: np.ndarray
    D: np.ndarray
    domain_share: np.ndarray

    @classmethod
    def crossed(cls, N: ArrayLike, D: ArrayLike, share: ArrayLike) -> "_Points":
        """Every size with every number of tokens and every share."""
        return cls(*(x.ravel() for x in np.meshgrid(np.asarray(N, float), D, share, indexing="ij")))

    def and_(self, other: "_Points") -> "_Points":
        """Return the runs of both, none twice."""
        both = np.column_stack([np.r_[getattr(self, c), getattr(other, c)] for c in ("N", "D", "domain_share")])
        return _Points(*np.unique(both, axis=0).T)


def knows(law: Law) -> bool:
    """Return whether designs are known for laws of this kind."""
    columns = set(law.columns)
    return columns <= {"N", "D", WEIGHT} if WEIGHT in columns else columns <= {"N", "D", "domain_share"}


def unit_of(law: Law) -> str:
    """Return what runs of a law cost: FLOPs if it knows sizes and tokens, tokens if it knows these, else a run each."""
    if "D" not in law.columns:
        return "runs"
    return "FLOPs" if "N" in law.columns else "tokens"


def cost_of(law: Law, table: pd.DataFrame) -> float:
    """Return what all runs of a table cost; the checkpoints of a run are free."""
    last = table.groupby("run")[[c for c in ("N", "D") if c in law.columns]].max().astype(float)
    unit = unit_of(law)
    if unit == "runs":
        return float(len(last))
    return float((FLOPS_PER_PARAMETER * last["N"] * last["D"] if unit == "FLOPs" else last["D"]).sum())


def designs(
    law: Law, reference: Mapping[str, float], budget: float, sources: Sequence[str], seed: int
) -> dict[str, pd.DataFrame]:
    """Return designs by their names, each with rows of checkpoints that cost the budget or just below.

    Of laws of sizes and tokens, the largest run has the ratio of tokens to parameters of the reference run, and scales
    with the budget. A swarm of mixtures has as many runs of the reference size and tokens as the budget allows.

    Raises
    ------
    LawError, RangeError
        No design is known for laws of this kind; a law of mixtures without names of its sources; a budget that is too
        small.
    """
    if WEIGHT in law.columns:
        return _swarms(law, reference, budget, sources, seed)
    if not knows(law):
        raise LawError(
            f"no first design is known for laws of {', '.join(law.columns)}: give your own in Python, "
            "designs={'mine': table}"
        )
    if sources:
        raise LawError(f"{law.name} has no mixture of sources: leave sources= (--source) out")
    tokens = np.geomspace(EARLIEST, 1, CHECKPOINTS) if "D" in law.columns else np.ones(1)
    if unit_of(law) == "runs":
        count = int(budget)
        if count < 2:
            raise RangeError(f"budget is {exact(budget)} runs: give at least 2")
        points = {f"{count} shares, evenly": _Points.crossed([1], [1], _even(count))}
        if "domain_share" not in law.columns:
            points = {f"{count} sizes, one run each": _Points.crossed(np.geomspace(1 / 32, 1, count), [1], [0.5])}
        return {name: _whole(_table(law, each, tokens, reference)) for name, each in points.items()}
    if "N" in law.columns:
        found = _with_share() if "domain_share" in law.columns else _of_size()
    else:
        found = _without_size() if "domain_share" in law.columns else _of_tokens()
    tables = {name: _scaled(law, points, tokens, reference, budget) for name, points in found.items()}
    name, short_of = max(((n, _short_of_a_run(law, t)) for n, t in tables.items()), key=lambda each: each[1])
    if short_of > 1:
        raise RangeError(
            f"budget is {exact(budget)} {unit_of(law)}, too little for the smallest run of {name!r}: give at least "
            f"{exact(_rounded_up(budget * short_of))}"
        )
    return {name: _whole(table) for name, table in tables.items()}


def _with_share() -> dict[str, _Points]:
    grid, few = [s / max(PAPER_SIZES) for s in PAPER_SIZES], (0.1, 0.5, 0.9)
    many = np.geomspace(1 / 32, 1, 6)
    return {
        "3 sizes x 9 shares (D-CPT)": _Points.crossed(grid, [1], SHARES),
        "4 sizes x 5 shares, factorial": _Points.crossed(np.geomspace(1 / 16, 1, 4), [1], (0.1, 0.3, 0.5, 0.7, 0.9)),
        "L: 9 shares of the smallest, 6 sizes at half": _Points.crossed([1 / 32], [1], SHARES).and_(
            _Points.crossed(many, [1], [0.5])
        ),
        "6 sizes x 3 shares": _Points.crossed(many, [1], few),
        "one size x 9 shares": _Points.crossed([1], [1], SHARES),
    }


def _of_size() -> dict[str, _Points]:
    sizes, tokens, half = np.geomspace(1 / 32, 1, 5), np.geomspace(1 / 32, 1, 4), [0.5]
    around = np.geomspace(1 / 3, 3, 5)
    first, second, third = (
        _Points(flops**0.5 * around, flops**0.5 / around, np.full(5, 0.5)) for flops in (1 / 64, 1 / 16, 1 / 4)
    )
    return {
        "5 sizes x 4 lengths, factorial": _Points.crossed(sizes, tokens, half),
        "L: 5 sizes of the shortest, 4 lengths of the smallest": _Points.crossed(sizes, [1 / 32], half).and_(
            _Points.crossed([1 / 32], tokens, half)
        ),
        "3 IsoFLOP curves of 5 sizes": first.and_(second).and_(third),
        "8 sizes, one run each": _Points.crossed(np.geomspace(1 / 64, 1, 8), [1], half),
        "2 large sizes, one run each": _Points.crossed([0.5, 1], [1], half),
    }


def _without_size() -> dict[str, _Points]:
    return {
        "9 shares": _Points.crossed([1], [1], SHARES),
        "5 shares, evenly": _Points.crossed([1], [1], _even(5)),
        "3 shares, longer runs": _Points.crossed([1], [1], (0.1, 0.5, 0.9)),
        "L: 9 shares, short, and one long run": _Points.crossed([1], [0.2], SHARES).and_(
            _Points.crossed([1], [1], [0.5])
        ),
    }


def _of_tokens() -> dict[str, _Points]:
    return {
        "one run": _Points.crossed([1], [1], [0.5]),
        "4 runs of one length": _Points.crossed([1], [1] * 4, [0.5]),
        "4 lengths, one run each": _Points.crossed([1], np.geomspace(1 / 32, 1, 4), [0.5]),
    }


def _even(count: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, count)


def _scaled(
    law: Law, points: _Points, tokens: np.ndarray, reference: Mapping[str, float], budget: float
) -> pd.DataFrame:
    """Return runs whose costs add up to the budget."""
    table = _table(law, points, tokens, reference)
    factor = budget / cost_of(law, table)
    by = {"N": factor**0.5, "D": factor**0.5} if "N" in law.columns else {"D": factor}
    return table.assign(**{c: table[c] * by[c] for c in by})


def _short_of_a_run(law: Law, table: pd.DataFrame) -> float:
    """Return by what factor the budget of a scaled design falls short of runs that a table of runs may hold."""
    scaled = [c for c in ("N", "D") if c in law.columns]
    return float(max(COUNT_RANGES[c][0] / table[c].min() for c in scaled) ** len(scaled))


def _rounded_up(number: float) -> float:
    """Return a number of two digits that is not smaller."""
    return float(np.format_float_scientific(number * 1.05, precision=1, unique=False))


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Return runs of whole numbers of parameters and tokens, which cost no more."""
    return table.assign(**{c: table[c].map(int) for c in ("N", "D") if c in table})


def _table(law: Law, points: _Points, tokens: np.ndarray, reference: Mapping[str, float]) -> pd.DataFrame:
    """Return the rows of runs at the scale of the reference run."""
    runs = len(points.N)
    low, high = _range(law)
    every: dict[str, np.ndarray] = {
        "run": np.array([f"run {i + 1}" for i in range(runs)]),
        "N": points.N * reference.get("N", 1.0),
        "D": points.D * reference.get("D", 1.0),
        "domain_share": points.domain_share.clip(low, high),
    }
    kept = ["run", *(c for c in ("N", "D", "domain_share") if c in law.columns)]
    table = pd.DataFrame({c: np.repeat(every[c], len(tokens)) for c in kept})
    return table.assign(D=table["D"] * np.tile(tokens, runs)) if "D" in table else table


def _range(law: Law) -> tuple[float, float]:
    """Return the ends of the domain shares at which a law holds for some loss."""
    shares = xr.DataArray(np.linspace(0, 1, 101), dims="share")
    columns = xr.Dataset({"domain_share": shares}, {"eval": list(law.evals) or ["any"]})
    holds = xr.ones_like(shares, bool)
    for name, covariate in law.covariates.items():
        if covariate.columns(name) == ("domain_share",):
            low, high = covariate.valid
            value = law.value(name, columns)
            holds = holds & (value >= low - ROUNDING) & (value <= high + ROUNDING)
    some = shares.values[holds.any([d for d in holds.dims if d != "share"]).values]
    return float(some[0]), float(some[-1])


def _swarms(
    law: Law, reference: Mapping[str, float], budget: float, sources: Sequence[str], seed: int
) -> dict[str, pd.DataFrame]:
    if len(sources) < 2:
        raise LawError(
            f"{law.name} is a law of mixtures: name the sources, sources=['web', 'code'] (--source web --source code)"
        )
    if other := set(law.columns) - {WEIGHT, "N", "D"}:
        raise LawError(
            f"no first design is known for laws of {WEIGHT} and {', '.join(sorted(other))}: give your own in Python, "
            "designs={'mine': table}"
        )
    k, rng = len(sources), np.random.default_rng(seed)
    single = {c: reference.get(c, 1.0) for c in ("N", "D") if c in law.columns}
    each = {"runs": 1.0, "tokens": single.get("D", 1.0), "FLOPs": FLOPS_PER_PARAMETER * np.prod(list(single.values()))}
    count = min(MOST_RUNS, int(budget / each[unit_of(law)]))
    if count < LEAST_RUNS:
        raise RangeError(
            f"budget is {exact(budget)} {unit_of(law)}, less than {LEAST_RUNS} runs of the reference run: give more, "
            "or a smaller reference= (--reference)"
        )
    even, ends = np.full(k, 1 / k), np.eye(k)
    mostly = np.resize(np.vstack([even, 0.6 * ends + 0.4 * even]), (count, k))
    found: dict[str, Callable[[], np.ndarray]] = {
        "Dirichlet(1) swarm": lambda: rng.dirichlet(np.ones(k), count),
        "Dirichlet(3) swarm, near the even mixture": lambda: rng.dirichlet(np.full(k, 3.0), count),
        "one source raised at a time": lambda: mostly,
    }
    tables = {}
    for name, draw in found.items():
        shares = draw()
        table = pd.DataFrame(shares / shares.sum(axis=1, keepdims=True), columns=[f"{PREFIX}{s}" for s in sources])
        table.insert(0, "run", [f"run {i + 1}" for i in range(count)])
        tables[f"{name}, {count} runs"] = table.assign(**{c: v for c, v in single.items()})
    return tables
