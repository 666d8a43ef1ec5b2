"""Critical ratio: the largest domain share at which a loss stays within a limit (usage 1 of arXiv:2406.01375)."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw import models
from bayeslaw.base.arguments import numbers
from bayeslaw.base.errors import DataError, LawError, RangeError, unknown_name
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.question import Line, given, last_below, open_columns, where
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["CriticalRatio", "applies", "bends", "critical_ratio", "of_the_study"]

STEP = 1e-3
"""Relative distance in tokens over which the loss is looked at to see whether it falls."""

OF_THE_LIMIT = ("eval", "rule", "max_rise", "max_increase", "baseline", "weight", "range")
"""Inputs that say what the limit is."""

MOST = 6
"""A study is asked about at most this many model sizes, and domains."""

ALONG = "tokens asked for"
"""Stands for the dim D while tokens are varied around those asked for."""

RULES = ("tolerance", "break-even", "turning-point")


@dataclass(frozen=True, eq=False, repr=False)
class CriticalRatio(Censored):
    """The largest safe domain share of every draw: at the lower end none is safe, at the upper end every one."""

    def _asked(self, besides: Collection[str] = ()) -> str:
        where = super()._asked((*OF_THE_LIMIT, *besides))
        return f"{where}; {self._limit()}" if "rule" in self.inputs else where

    def _limit(self) -> str:
        """Return the rule in words, with the limit and what it is measured from."""
        asked = self.inputs
        loss, baseline = f"the {asked['eval']} loss", asked.get("baseline", ())
        if asked["rule"] == "turning-point":
            goal = loss if "weight" not in asked else f"domain loss + {asked['weight']:g} x general loss"
            return f"{goal} falling again by then"
        before = "the baseline"
        if isinstance(baseline, tuple):
            before = f"a baseline of {baseline[0]:.4g} (sd {baseline[1]:.2g}) nats"
        elif np.ndim(baseline) == 0:
            before = f"a baseline of {float(baseline):.4g} nats"
        if "max_increase" in asked:
            return f"{loss} at most {asked['max_increase']:g} nats above {before}"
        if asked["max_rise"] == 0:
            return f"{loss} not above {before}"
        return f"{loss} at most {100 * asked['max_rise']:g} % above {before}"

    def probability_safe(self, share: Any) -> xr.DataArray:
        """Return the share of the draws whose ratio is at least `share`; draws that are never safe do not count.

        Parameters
        ----------
        share : float or 1-d array
            One share, or several (the dim ``share`` of the result).

        Raises
        ------
        RangeError
            `share` lies outside the range in which the ratio was looked for.
        """
        values = numbers(share, "share")
        if (bad := ~((values >= self.low) & (values <= self.high))).any():
            within = f"[{self.low:g}, {self.high:g}]"
            raise RangeError(f"share is {values[bad][0]:g}: the ratio was looked for in {within}; ask within it")
        asked = xr.DataArray(values, dims=["share"] * values.ndim, coords={"share": values} if values.ndim else None)
        return ((self.draws >= asked) & (self.draws > self.low)).mean(SAMPLE)


def applies(law: Law) -> bool:
    """Return whether a law knows a share of a target domain."""
    return law.kind == "share"


def critical_ratio(
    fit: Posterior,
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
    weight: float | None = None,
    beside: Posterior | None = None,
    labels: Mapping[str, Any] | None = None,
) -> CriticalRatio:
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
        The target domain, where the model tells domains apart.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column; an array gives the result a dim of its own.
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
        Safe for a new run, with its error, instead of in the law's mean. A turning point is the same for both: the
        error is taken to lift a whole curve.
    seed : int
        Seed of the errors of a new run and of an uncertain baseline.
    rule : {"tolerance", "break-even", "turning-point"}
        Break-even is a tolerance of 0. Turning point (arXiv:2407.17467): the loss has begun to fall again by `D`; it
        takes a law whose loss can rise and then fall with tokens, and neither limit nor baseline.
    weight : float, optional
        Turning point only: what has begun to fall is domain loss + `weight` x general loss, the paper's goal with
        its multiplier lambda (100 to 7000 there). The general loss alone if left out: the limit of large weights.
    beside : Fit, optional
        With `weight`: the fit of the domain loss of the same runs, where `fit` has none. The two posteriors are paired
        draw by draw, so that errors common to both losses of a run are not carried over.

    Returns
    -------
    CriticalRatio

    Raises
    ------
    DataError
        There is no baseline.
    LawError
        The law does not know a domain share, or has no turning point.
    RangeError
        A limit, or the question, has no meaning.
    UnknownName
        The validation set, rule or a label does not exist.

    Notes
    -----
    Usage 1 of Que et al. 2024, arXiv:2406.01375. The ends of the range are found to 0.001, a crossing inside to 1e-12;
    an excursion above the limit narrower than 1 / 200 of the range can be missed.

    The definition of arXiv:2407.17467 also limits the rise to 0.05 nats, which never binds below a share of 1 in its
    own tables: ask for it with ``rule="tolerance", max_increase=0.05``. `CriticalRatio.probability_safe` says how
    probably a share
    is safe by the rule asked.
    """
    asked = where(labels, N=N, D=D, domain=domain)
    columns = open_columns(fit, {"domain_share": 0.5}, asked)
    limits = _limits(fit, rule, max_rise, max_increase)
    if rule != "turning-point" and given(weight=weight, beside=beside):
        raise RangeError(f"rule {rule!r} weighs no losses: leave weight and beside out or use rule='turning-point'")
    line = Line(fit, eval, lambda share: columns.assign(domain_share=share))
    grid = line.grid()
    if rule == "turning-point":
        rise = _rise(fit, eval, columns)
        if weight is None and beside is not None:
            raise RangeError("beside is the fit of the domain loss that weight adds to: give both or leave beside out")
        if weight is None:
            draws = last_below(rise, grid)
        else:
            domain = _domain_fit(fit, beside, weight)
            fall = _rise(domain, "domain", open_columns(domain, {"domain_share": 0.5}, asked))
            draws = last_below(lambda share: weight * rise(share) + fall(share), grid)
            asked["weight"] = weight
        if ALONG in draws.dims:
            draws = draws.rename({ALONG: "D"}).assign_coords(D=columns["D"])
        start = None
    else:
        sample = fit.error(seed).sel(eval=eval, drop=True).reset_coords(drop=True)
        error = np.exp(fit.error(seed, columns).sel(eval=eval, drop=True).reset_coords(drop=True)) if new_run else 1.0
        start = _baseline(fit, baseline, columns, eval, sample, seed)
        limit = start * (1 + limits.get("max_rise", 0.0)) + limits.get("max_increase", 0.0)
        draws = last_below(lambda share: line.loss(share) * error - limit, grid)
    asked |= given(eval=eval, rule=rule, **limits, baseline=start if baseline is None else baseline)
    ratio = CriticalRatio(
        "critical_ratio",
        draws.transpose("chain", "draw", ...),
        "1",
        "new run" if new_run else "mean law",
        asked | {"range": (grid[0].item(), grid[-1].item())},
        low=grid[0].item(),
        high=grid[-1].item(),
    )
    return cautioned(fit, ratio, N=N, D=D)


def bends(law: Law) -> bool:
    """Return whether a law's loss can rise and then fall with tokens, at any domain share."""
    return {"D", "domain_share"} <= set(law.columns) and "D" not in law.falls_in


def of_the_study(fit: Posterior) -> dict[str, Any] | None:
    """Return the question of the study itself: no rise, at its most tokens, its model sizes and domains (six each)."""
    design = fit.model.design
    if "general" not in fit.evals:
        return None
    asked: dict[str, Any] = {"max_rise": 0.0}
    if "D" in fit.model.law.columns:
        asked["D"] = float(design.levels["D"].max())
    if (N := design.levels.get("N", design.groups.get("N"))) is not None:
        asked["N"] = N[np.unique(np.linspace(0, len(N) - 1, MOST).round().astype(int))]
    if "domain" in design.groups:
        asked["domain"] = design.groups["domain"][:MOST]
    elif any(covariate.of == "domain" for covariate in fit.model.law.covariates.values()):
        asked["domain"] = np.unique(design.rows["domain"].values)[:MOST]
    return asked


def _limits(fit: Posterior, rule: str, max_rise: float | None, max_increase: float | None) -> dict[str, float]:
    if rule not in RULES:
        raise unknown_name("rule", rule, RULES)
    limits = given(max_rise=max_rise, max_increase=max_increase)
    if rule != "tolerance" and limits:
        raise RangeError(f"rule {rule!r} has no tolerance: leave {' and '.join(limits)} out or use rule='tolerance'")
    if rule == "turning-point":
        if not bends(fit.model.law):
            raise LawError(
                f"the law {fit.model.law.name} has no turning point: that takes a law whose loss rises and then falls "
                f"with tokens, such as {models.such_as(bends)}; use rule='tolerance' or 'break-even'"
            )
        return {}
    if len(limits) == 2:
        raise RangeError("give max_rise (relative, 0.03 is 3 %) or max_increase (nats), not both")
    for name, value in limits.items():
        if not np.isfinite(value):
            raise RangeError(f"{name} is {value}: give a finite number")
    if max_rise is not None and not -1 < max_rise < 1:
        raise RangeError(f"max_rise is {max_rise}: it is relative, so 3 % is 0.03; a limit in nats is max_increase")
    return limits or {"max_rise": 0.0}


def _rise(fit: Posterior, eval: str, columns: xr.Dataset) -> Callable[[xr.DataArray], xr.DataArray]:
    """Return the function of the share that says how much a loss rises over a small step in tokens (nats)."""
    if "D" in columns.dims:
        columns = columns.rename_dims(D=ALONG)
    D, others = columns["D"].variable, columns.drop_vars("D")

    def line(tokens: xr.Variable) -> Line:
        return Line(fit, eval, lambda share: others.assign(domain_share=share, D=tokens))

    later, sooner = line(D * (1 + STEP)), line(D * (1 - STEP))
    return lambda share: later.loss(share) - sooner.loss(share)


def _domain_fit(fit: Posterior, beside: Posterior | None, weight: float) -> Posterior:
    """Return the fit that knows the domain loss, its draws as many as those of `fit`."""
    if not (np.isfinite(weight) and weight > 0):
        raise RangeError(
            f"weight is {weight}: give a finite number above 0, or leave it out for the general loss alone"
        )
    domain = beside or fit
    if "domain" not in domain.evals:
        raise DataError("weight= needs the domain loss: give its fit as beside=, or fit both losses by one law")
    wanted, got = (f.posterior.sizes for f in (fit, domain))
    if any(wanted[d] != got[d] for d in SAMPLE):
        raise DataError(
            f"the fits have {wanted['chain']} x {wanted['draw']} and {got['chain']} x {got['draw']} draws, which "
            "cannot be paired: fit both with the same chains and draws"
        )
    return domain


def _baseline(
    fit: Posterior, baseline: Any, columns: xr.Dataset, eval: str, sample: xr.DataArray, seed: int
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


def _measured_baseline(fit: Posterior, columns: xr.Dataset, eval: str) -> xr.DataArray:
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
