"""Critical ratio: the largest domain share at which a loss stays within a limit (usage 1 of arXiv:2406.01375)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslaw.design import inside, ranges
from bayeslaw.errors import DataError, LawError, RangeError, unknown_name
from bayeslaw.quantity import Ratio

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["Line", "critical_ratio", "named"]

POINTS = 201
"""Points at which a line is looked at before a crossing or an optimum is refined."""

CELLS = 2_000_000
"""Losses held in memory at once while a line is looked at."""

HALVINGS = 45
"""Halvings of a bracket of 1 / 200: below the precision of a float."""

RULES = ("tolerance", "break-even")


@dataclass(frozen=True)
class Line:
    """The loss of one validation set along a line through the covariates, by position in [0, 1].

    Attributes
    ----------
    fit : Fit
        The posterior.
    eval : str
        The validation set.
    at : callable
        Table columns (a Dataset) at positions (named array with any dims, those of the draws included).
    ends : tuple of float
        Ends of the line that may be looked at, before the law's range is applied.

    Raises
    ------
    UnknownName
        The fit has no such validation set.
    """

    fit: "Fit"
    eval: str
    at: Callable[[xr.DataArray], xr.Dataset]
    ends: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.eval not in self.fit.evals:
            raise unknown_name("validation set", self.eval, self.fit.evals)

    def loss(self, position: xr.DataArray) -> xr.DataArray:
        """Return the mean loss (nats) of every draw; dims (chain, draw), those of the question and of `position`."""
        loss: xr.DataArray = self.fit.loss(self.at(position)).sel(eval=self.eval, drop=True)
        return loss.reset_coords(drop=True)

    def grid(self) -> xr.DataArray:
        """Return the positions to look at: the part of the line where the law is claimed to hold.

        Raises
        ------
        RangeError
            The law holds nowhere on the line.
        """
        low, high = self.ends
        if self.fit.model.outside != "include":
            law = self.fit.model.law
            positions = xr.DataArray(np.linspace(0, 1, 1001), dims="grid")
            positions = positions[(positions >= low) & (positions <= high)]
            holds = inside(law, self.at(positions).assign_coords(eval=self.eval))
            holds = holds.all([d for d in holds.dims if d != "grid"]).broadcast_like(positions)
            if holds.sum() < 2:
                raise RangeError(
                    f"the question lies outside the range of {law.name} ({ranges(law)}); ask within it, or fit with "
                    "outside='include'"
                )
            low, high = (float(positions[holds.values][i]) for i in (0, -1))
        return xr.DataArray(np.linspace(low, high, POINTS), dims="grid")

    @staticmethod
    def scan(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
        """Return the function on the grid (dim ``grid``), evaluated a piece at a time so that memory stays bounded."""
        length = max(1, CELLS // function(grid[:1]).size)
        values = [function(grid[start : start + length]) for start in range(0, grid.size, length)]
        return xr.concat(values, "grid", join="exact", coords="minimal", compat="override")


def critical_ratio(
    fit: "Fit",
    *,
    N: Any = None,
    D: Any = None,
    domain: Any = None,
    baseline: Any = None,
    max_rise: float | None = None,
    max_increase: float | None = None,
    eval: str = "general",
    new_run: bool = False,
    seed: int = 0,
    rule: str = "tolerance",
    **groups: Any,
) -> Ratio:
    """Return the largest domain share at which the predicted loss stays within a limit above the baseline.

    Per draw, the feasible set is the connected component of {share : loss <= limit} that holds the smallest domain
    share of the law's range; the critical ratio is its upper end. Draws that are never safe are censored at the lower
    end of the range, draws that are always safe at the upper end; every draw is kept.

    Parameters
    ----------
    fit : Fit
        The posterior.
    N : float or array
        Model size in parameters; an array gives the result a dim ``N``.
    D : float or array
        Tokens of continual pre-training.
    domain : str or array, optional
        The target domain, where the model tells domains apart; further labels by name in `groups`.
    baseline : float, (float, float) or array, optional
        Loss before training in nats: a number, a pair (value, sd), one number per `N` (list or array), or None: the
        mean of the runs' rows at D = 0 for that N (and domain).
    max_rise : float, optional
        Largest rise relative to the baseline (0.03 is 3 %); 0 if neither limit is given.
    max_increase : float, optional
        Largest rise in nats.
    eval : str
        The validation set whose loss is limited.
    new_run : bool
        Safe for a new run, with its error, instead of in the law's mean.
    seed : int
        Seed of the errors of a new run and of an uncertain baseline.
    rule : {"tolerance", "break-even"}
        Break-even is a tolerance of 0.

    Returns
    -------
    Ratio

    Raises
    ------
    DataError
        There is no baseline.
    LawError
        The law does not know a domain share.
    RangeError
        A limit, or the question, has no meaning.
    UnknownName
        The validation set, rule or a label does not exist.

    Notes
    -----
    Usage 1 of Que et al. 2024, arXiv:2406.01375. The ends of the range are found to 0.001, a crossing inside to 1e-12;
    an excursion above the limit narrower than 1 / 200 of the range can be missed.
    """
    limits = _limits(rule, max_rise, max_increase)
    columns = share_columns(fit, N=N, D=D, domain=domain, **groups)
    line = Line(fit, eval, lambda share: columns.assign(domain_share=share))
    grid = line.grid()
    sample = fit.error(seed).sel(eval=eval, drop=True).reset_coords(drop=True)
    error = np.exp(sample) if new_run else 1.0
    start = _baseline(fit, baseline, columns, eval, sample, seed)
    limit = start * (1 + limits.get("max_rise", 0.0)) + limits.get("max_increase", 0.0)

    def safe(share: xr.DataArray) -> xr.DataArray:
        return line.loss(share) * error <= limit

    is_safe = line.scan(safe, grid)
    always, never = is_safe.all("grid"), ~is_safe.isel(grid=0, drop=True)
    crossing = (~is_safe).argmax("grid").clip(min=1)
    low, high = grid.isel(grid=crossing - 1), grid.isel(grid=crossing)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        safe_there = safe(middle)
        low, high = xr.where(safe_there, middle, low), xr.where(safe_there, high, middle)
    draws = low.where(~always, grid[-1].item()).where(~never, grid[0].item())
    asked = {"N": N, "D": D, "domain": domain, **groups, "eval": eval, "rule": rule}
    asked |= limits | {"baseline": start if baseline is None else baseline}
    return Ratio(
        "critical_ratio",
        draws.transpose("chain", "draw", ...),
        "1",
        "new run" if new_run else "mean law",
        {k: v for k, v in asked.items() if v is not None} | {"range": (grid[0].item(), grid[-1].item())},
        low=grid[0].item(),
        high=grid[-1].item(),
    )


def named(value: Any, name: str) -> xr.DataArray:
    """Return a number, or a 1-d array with a dim of its own name, as a named array; above 0 or RangeError."""
    values = np.asarray(value, float)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise RangeError(f"{name} is {value}: give numbers above 0")
    return xr.DataArray(values, dims=[name] * values.ndim, coords={name: values} if values.ndim else None)


def share_columns(fit: "Fit", **given: Any) -> xr.Dataset:
    """Return the columns of a question about a domain share, which is itself still to be found."""
    law = fit.model.law
    if "domain_share" not in law.columns:
        raise LawError(f"the law {law.name} does not know a domain share: ask a law that does, for example dcpt")
    columns: xr.Dataset = fit.columns(domain_share=0.5, **{k: v for k, v in given.items() if v is not None})
    return columns


def _limits(rule: str, max_rise: float | None, max_increase: float | None) -> dict[str, float]:
    if rule not in RULES:
        raise unknown_name("rule", rule, RULES)
    given = {k: v for k, v in {"max_rise": max_rise, "max_increase": max_increase}.items() if v is not None}
    if rule == "break-even" and given:
        raise RangeError(f"rule 'break-even' has no tolerance: leave {' and '.join(given)} out or use rule='tolerance'")
    if len(given) == 2:
        raise RangeError("give max_rise (relative, 0.03 is 3 %) or max_increase (nats), not both")
    for name, value in given.items():
        if not np.isfinite(value):
            raise RangeError(f"{name} is {value}: give a finite number")
    if max_rise is not None and not -1 < max_rise < 1:
        raise RangeError(f"max_rise is {max_rise}: it is relative, so 3 % is 0.03; a limit in nats is max_increase")
    return given or {"max_rise": 0.0}


def _baseline(
    fit: "Fit", baseline: Any, columns: xr.Dataset, eval: str, sample: xr.DataArray, seed: int
) -> xr.DataArray:
    """Loss before training (nats), per draw where it is uncertain."""
    if baseline is None:
        return _measured_baseline(fit, columns, eval)
    form = "give a loss in nats, a pair (value, sd), or a list with one loss per N"
    try:
        values = np.asarray(baseline, float)
    except (TypeError, ValueError):
        raise DataError(f"baseline is {baseline!r}: {form}") from None
    if isinstance(baseline, tuple):
        if len(baseline) != 2 or not 0 <= values[1] < values[0] / 2:
            raise DataError(f"baseline is {baseline!r}, which is no loss with its standard deviation: {form}")
        rng = np.random.default_rng([seed, 1])  # a stream of its own, apart from the errors of new runs
        return sample.copy(data=rng.normal(values[0], values[1], sample.shape))
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise DataError(f"baseline is {baseline!r}: a loss in nats is finite and above 0; {form}")
    if values.ndim == 0:
        return xr.DataArray(values)
    N = columns.get("N", xr.DataArray(0.0))
    if values.shape != N.shape:
        raise DataError(f"baseline has {values.size} values, N has {N.size}: {form}")
    return xr.DataArray(values, dims=N.dims, coords=N.coords)


def _measured_baseline(fit: "Fit", columns: xr.Dataset, eval: str) -> xr.DataArray:
    rows = fit.model.runs.baseline
    keys = [str(c) for c in columns.variables if c in rows and c not in ("D", "step", "lr", "domain_share")]

    def mean_at(*wanted: Any) -> float:
        same = np.ones(len(rows), bool)
        for key, value in zip(keys, wanted, strict=True):
            numeric = rows[key].dtype.kind in "fiu"
            same &= np.isclose(rows[key], value, rtol=1e-6) if numeric else rows[key] == str(value)
        if not same.any():
            there = ", ".join(f"{k} {v}" for k, v in zip(keys, wanted, strict=True))
            raise DataError(
                f"the runs have no row at D = 0{' with ' + there if there else ''}: give baseline=, the {eval} loss "
                "before training, or add such rows"
            )
        return float(rows[f"{eval}_loss"][same].mean())

    if not keys:
        return xr.DataArray(mean_at())
    found: xr.DataArray = xr.apply_ufunc(mean_at, *(columns[k] for k in keys), vectorize=True, output_dtypes=[float])
    return found.reset_coords(drop=True)
