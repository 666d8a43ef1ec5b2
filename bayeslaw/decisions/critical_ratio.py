"""Critical ratio: the largest domain share at which a loss stays within a limit (usage 1 of arXiv:2406.01375)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import exact, short
from bayeslaw.decisions.baseline import base_models, baseline_of
from bayeslaw.decisions.question import (
    Line,
    general_sets,
    given,
    last_below,
    of_one_role,
    only_eval,
    open_columns,
    sets_of,
    where,
)
from bayeslaw.declare.laws import Law
from bayeslaw.errors import DataError, LawError, RangeError, shown, unknown_name
from bayeslaw.posterior.cautions import cautioned, repeated
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored
from bayeslaw.tables.units import NATS, called

__all__ = ["CriticalRatio", "bends", "critical_ratio", "of_the_study"]

TOKEN_STEP = 1e-3
"""Relative step in tokens over which a turning point compares losses."""

FALLS = (
    "the {} loss falls with the domain share, and shares count from the smallest one on: where that one is not safe, "
    "larger ones still may be (fit.predict has the loss by share)"
)
"""What is said of the loss of the domain."""

LIMIT_INPUTS = ("eval", "together", "rule", "max_rise", "max_increase", "baseline", "baseline_sd", "weight", "range")
"""Inputs that describe the limit."""

MEASURED = ("baseline", "baseline_sd")
"""Inputs that every validation set has of its own."""

MOST_LABELS = 6
"""Model sizes, and domains, of a study's own question."""

AROUND_D = "tokens asked for"
"""Name of the dim of D while the tokens vary around it."""

BASELINES = 1
"""Stream of the errors of baselines, which is not that of new runs."""

RULES = ("tolerance", "break-even", "turning-point")


@dataclass(frozen=True, eq=False, repr=False)
class CriticalRatio(Censored):
    """The largest safe domain share of every draw: at the lower end no share is safe, at the upper end all are."""

    loss_unit: str = NATS

    def _asked(self, besides: Collection[str] = LIMIT_INPUTS) -> str:
        where = super()._asked(besides)
        return f"{where}; {self._limit()}" if "rule" in self.inputs else where

    def _limit(self) -> str:
        """Return the rule in words, with the limit and the baseline."""
        asked, sets, nats = self.inputs, self.inputs["eval"], called(self.loss_unit)
        loss, baseline = f"the {sets} loss", asked.get("baseline", ())
        if not isinstance(sets, str):
            loss = f"the {', '.join(sets[:-1])} and {sets[-1]} losses, {'all' if asked['together'] else 'each'}"
        if asked["rule"] == "turning-point":
            goal = loss if "weight" not in asked else f"domain loss + {exact(asked['weight'])} x general loss"
            return f"{goal} falling again at these tokens"
        if not isinstance(sets, str):
            before = "the baseline"
        elif isinstance(baseline, tuple):
            before = f"a baseline of {short(baseline[0], 4)} (sd {short(baseline[1], 2)}) {nats}"
        else:
            before = f"a baseline of {short(float(baseline), 4)} {nats}" if np.ndim(baseline) == 0 else "the baseline"
            if (sd := np.max(asked.get("baseline_sd", np.nan))) >= 0:
                before += f" (sd {'up to ' * np.ndim(baseline)}{short(sd, 2)})" if sd > 0 else ", taken as exact"
        size, unit = (asked["max_increase"], nats) if "max_increase" in asked else (100 * asked["max_rise"], "%")
        if size == 0:
            return f"{loss} not above {before}"
        far = f"at most {exact(size)} {unit} above" if size > 0 else f"at least {exact(-size)} {unit} below"
        return f"{loss} {far} {before}"

    def probability_safe(self, share: Any) -> xr.DataArray:
        """Return the probability that the critical ratio is at least `share`; draws without a safe share are below.

        Parameters
        ----------
        share : float or 1-d array
            One share, or several (the dim ``share`` of the result).

        Raises
        ------
        RangeError
            `share` lies outside the searched range.
        """
        return ((self.draws >= self._within(share, "share")) & (self.draws > self.low)).mean(SAMPLE)


def critical_ratio(
    fit: Posterior,
    *,
    N: Any = None,
    D: Any = None,
    U: Any = None,
    domain: Any = None,
    baseline: Any = None,
    max_rise: float | None = None,
    max_increase: float | None = None,
    eval: str | Sequence[str] | None = None,
    together: bool = False,
    new_run: bool = False,
    seed: int = 0,
    rule: str = "tolerance",
    weight: float | None = None,
    beside: Posterior | None = None,
    labels: Mapping[str, Any] | None = None,
) -> CriticalRatio:
    """Return the largest domain share at which the predicted loss stays within a limit above the baseline.

    Per draw, the feasible set is the connected component of {share : loss <= limit} that holds the smallest domain
    share of the law's range; the critical ratio is its upper end. Draws without a safe share are kept at the lower end
    of the range, draws in which all shares are safe at the upper end.

    Parameters
    ----------
    fit, N, D, domain, labels
        The posterior; model size (parameters), tokens of continual pre-training, target domain and ``{column: label}``
        of other groups. Arrays give the result dims.
    U : float or array
        Unique tokens of the domain, where the law counts epochs.
    baseline : float, (float, float), array or mapping, optional
        Loss before training in nats: a number, a pair (value, sd), or one number per `N`; of several validation sets
        ``{validation set: baseline}``. By default the mean of the runs' rows at D = 0 for that N (and domain). Where
        these rows disagree, the mean is as uncertain as their scatter makes it, and so is a single row beside them;
        where none has a replicate, they are exact. Of a law that starts from this loss (`replay`), the baseline of a
        model size without runs is its base model's, and the loss that the runs started from is the default.
    max_rise : float, optional
        Largest rise relative to the baseline (0.03 is 3 %); 0 if neither limit is given.
    max_increase : float, optional
        Largest rise in nats.
    eval : str or sequence of str, optional
        The validation set whose loss is limited, or a role; several give the result a dim ``eval``. By default those
        with the role ``general``.
    together : bool
        Answer with one share at which the losses of all validation sets stay within their limits: the smallest of every
        draw.
    new_run, seed
        Answer for one new run with its error, not for the mean law, and the seed of its error and of an uncertain
        baseline. A turning point is the same for both: the error shifts a whole curve.
    rule : {"tolerance", "break-even", "turning-point"}
        Break-even is a tolerance of 0. Turning point (arXiv:2407.17467): the loss falls again at `D` tokens; it takes
        a law whose loss can rise and then fall with tokens, and neither limit nor baseline.
    weight : float, optional
        Turning point only: domain loss + `weight` x general loss falls again, the paper's goal with its multiplier
        lambda (100 to 7000 there); by default the general loss alone, the limit of large weights.
    beside : Fit, optional
        With `weight`: the fit of the domain loss of the same runs, where `fit` has none. The two posteriors are paired
        draw by draw, so that errors common to both losses of a run are not carried over.

    Returns
    -------
    CriticalRatio

    Raises
    ------
    DataError, LawError, RangeError, UnknownName
        There is no baseline, or it lies a factor of 2 beyond every measured loss; the law does not depend on a domain
        share or has no turning point; a limit or the question has no meaning; the validation set, rule or a label does
        not exist; validation sets of several roles are asked for at once.

    Notes
    -----
    Usage 1 of Que et al. 2024, arXiv:2406.01375. The ends of the range are exact to 0.001, a crossing inside to 1e-12;
    an excursion above the limit narrower than 1 / 200 of the range can be missed.

    The definition of arXiv:2407.17467 also limits the rise to 0.05 nats, which never binds below a share of 1 in its
    own tables: ask for it with ``rule="tolerance", max_increase=0.05``.
    """
    asked = where(labels, N=N, D=D, U=U, domain=domain)
    columns = open_columns(fit, asked | base_models(fit, asked, baseline), "domain_share")
    limits = _limits(fit, rule, max_rise, max_increase)
    if rule != "turning-point" and given(weight=weight, beside=beside):
        raise RangeError(f"rule {rule!r} weighs no losses: leave weight and beside out or use rule='turning-point'")
    baselines = _baselines(fit, baseline, sets := general_sets(fit, eval))

    def of(name: str) -> CriticalRatio:
        line = Line(fit, name, lambda share: columns.assign(domain_share=share))
        grid, about = line.grid(), given(weight=weight, eval=name, rule=rule, **limits)
        if rule == "turning-point":
            draws = last_below(_turning(fit, name, columns, asked, weight, beside), grid)
            if AROUND_D in draws.dims:
                draws = draws.rename({AROUND_D: "D"}).assign_coords(D=columns["D"])
        else:
            error = line.error(columns, seed) if new_run else 1.0
            before = baseline_of(fit, baselines[name], columns, name)
            about |= before.inputs
            like = fit.error(seed).sel(eval=name, drop=True).reset_coords(drop=True)
            start = before.draws(like, seed, BASELINES, of_one_role(fit, name).index(name))
            limit = start * (1 + limits.get("max_rise", 0.0)) + limits.get("max_increase", 0.0)
            draws = last_below(lambda share: line.loss(share) * error - limit, grid)
        low, high = grid[0].item(), grid[-1].item()
        return CriticalRatio(
            "critical_ratio",
            draws.transpose(*SAMPLE, ...),
            "1",
            "new run" if new_run else fit.mean_name,
            asked | about | {"range": (low, high)},
            remark=FALLS.format(name) if fit.model.design.roles[fit.evals.index(name)] == "domain" else "",
            cautions=line.narrowed(),
            low=low,
            high=high,
            loss_unit=fit.model.unit,
        )

    ratio = of(sets[0]) if len(sets) == 1 else _of_several({name: of(name) for name in sets}, together)
    seen = repeated(fit.model.design, columns.assign(domain_share=ratio.median().max()), sets)
    return cautioned(fit, ratio, N=N, D=D, domain_share=[*ratio.interval().values()], **seen)


def bends(law: Law) -> bool:
    """Return whether a law's loss can rise and then fall with tokens, at any domain share."""
    return {"D", "domain_share"} <= set(law.columns) and "D" not in (*law.falls_in, *law.rises_in)


def of_the_study(fit: Posterior) -> dict[str, Any] | None:
    """Return the study's own question: no rise, at its most tokens, its model sizes and domains (six each)."""
    design = fit.model.design
    if not sets_of(fit, "general"):
        return None
    asked: dict[str, Any] = {"max_rise": 0.0}
    asked |= {column: float(design.levels[column].max()) for column in ("D", "U") if column in fit.model.law.columns}
    if (N := design.levels.get("N", design.groups.get("N"))) is not None:
        asked["N"] = N[np.unique(np.linspace(0, len(N) - 1, MOST_LABELS).round().astype(int))]
    if "domain" in design.groups:
        asked["domain"] = design.groups["domain"][:MOST_LABELS]
    elif any(covariate.of == "domain" for covariate in fit.model.law.covariates.values()):
        asked["domain"] = np.unique(design.rows["domain"].values)[:MOST_LABELS]
    return asked


def _baselines(fit: Posterior, given: Any, sets: list[str]) -> dict[str, Any]:
    """Return the baseline that was given for every validation set."""
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in fit.evals]:
            raise unknown_name("validation set (in baseline=)", unknown[0], fit.evals)
        return {name: given.get(name) for name in sets}
    if given is not None and len(sets) > 1:
        raise RangeError(
            f"baseline is {shown(given)}, and {len(sets)} losses are limited ({', '.join(sets)}): give one for each, "
            f"baseline={{{sets[0]!r}: ...}}, or name one with eval="
        )
    return dict.fromkeys(sets, given)


def _of_several(found: Mapping[str, CriticalRatio], together: bool) -> CriticalRatio:
    """Return the ratios of several validation sets as one answer, by set or of all together."""
    sets, ratios = list(found), list(found.values())
    draws = xr.concat([ratio.draws for ratio in ratios], xr.DataArray(sets, dims="eval", name="eval"))
    each = {k: {name: ratio.inputs[k] for name, ratio in found.items()} for k in MEASURED if k in ratios[0].inputs}
    return replace(
        ratios[0],
        draws=draws.min("eval") if together else draws.transpose(*SAMPLE, "eval", ...),
        inputs={**ratios[0].inputs, "eval": sets, "together": together, **each},
    )


def _limits(fit: Posterior, rule: str, max_rise: float | None, max_increase: float | None) -> dict[str, float]:
    if rule not in RULES:
        raise unknown_name("rule", rule, RULES)
    limits = given(max_rise=max_rise, max_increase=max_increase)
    if rule != "tolerance" and limits:
        raise RangeError(f"rule {rule!r} has no tolerance: leave {' and '.join(limits)} out or use rule='tolerance'")
    if rule == "turning-point":
        if bends(fit.model.law):
            return {}
        raise LawError(
            f"the law {fit.model.law.name} has no turning point: use a law whose loss rises, then falls with tokens, "
            f"such as {models.such_as(bends)}, or use rule='tolerance' or 'break-even'"
        )
    if len(limits) == 2:
        raise RangeError("max_rise (relative, 0.03 is 3 %) and max_increase (nats) are two limits: give one of them")
    if max_increase is not None and not np.isfinite(max_increase):
        raise RangeError(f"max_increase is {max_increase}: give a finite number")
    if max_rise is not None and not -1 < max_rise < 1:
        raise RangeError(f"max_rise is {max_rise}: give it relative, 0.03 for 3 %, or a limit in nats as max_increase")
    return limits or {"max_rise": 0.0}


def _turning(
    fit: Posterior,
    eval: str,
    columns: xr.Dataset,
    asked: Mapping[str, Any],
    weight: float | None,
    beside: Posterior | None,
) -> Callable[[xr.DataArray], xr.DataArray]:
    """Return the rise over a small step in tokens (nats), as a function of the share, of a loss or the weighted sum."""
    rise = _rise(fit, eval, columns)
    if weight is None:
        if beside is not None:
            raise RangeError(
                "beside, the fit of the domain loss, needs the weight of that loss: give weight, or leave beside out"
            )
        return rise
    if not 0 < weight < np.inf:
        raise RangeError(
            f"weight is {weight}: give a finite number above 0, or leave it out for the general loss alone"
        )
    domain = beside or fit
    if not sets_of(domain, "domain"):
        raise DataError("weight= needs the domain loss: give its fit as beside=, or fit both losses with one law")
    own = only_eval(domain, None)
    wanted, got = (f.posterior.sizes for f in (fit, domain))
    if any(wanted[d] != got[d] for d in SAMPLE):
        raise DataError(
            f"the fits have {wanted['chain']} x {wanted['draw']} and {got['chain']} x {got['draw']} draws, which "
            "cannot be paired: fit both with the same chains and draws"
        )
    domain_rise = _rise(domain, own, open_columns(domain, asked, "domain_share"))
    return lambda share: weight * rise(share) + domain_rise(share)


def _rise(fit: Posterior, eval: str, columns: xr.Dataset) -> Callable[[xr.DataArray], xr.DataArray]:
    """Return the rise of one loss over a small step in tokens (nats), as a function of the share."""
    if "D" in columns.dims:
        columns = columns.rename_dims(D=AROUND_D)
    D, others = columns["D"].variable, columns.drop_vars("D")

    def line(tokens: xr.Variable) -> Line:
        return Line(fit, eval, lambda share: others.assign(domain_share=share, D=tokens))

    later, sooner = line(D * (1 + TOKEN_STEP)), line(D * (1 - TOKEN_STEP))
    return lambda share: later.loss(share) - sooner.loss(share)
